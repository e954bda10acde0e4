/* render.h -- what the formats that render the native one need of the server. */
#ifndef PENSTOCK_RENDER_H
#define PENSTOCK_RENDER_H

#include "postgres.h"

#include "narrate.h"

/* In the current memory context. */
extern ProtobufCAllocator render_allocator;

/*
 * Valid UTF-8 that the SQL interface would take for text in the database's encoding: every
 * character beyond ASCII from offset on becomes \uXXXX.
 */
extern void render_escape(pen_wire_buf *out, size_t offset);

/* text.c */
extern const char *render_text(pen_narrator *narrator, pen_wire_event *event, pen_wire_buf *out);

#endif
