/* output.h -- a file descriptor with a buffer before it.
 * What is in the buffer is lines or events that are whole, so that a write never ends in one. */
#ifndef PEN_OUTPUT_H
#define PEN_OUTPUT_H

#include "base/error.h"
#include "wire.h"

#define PEN_OUTPUT_FLUSH_BYTES ((size_t) 64 << 10)

/* Append to buf, then call pen_output_full or pen_output_flush. */
typedef struct pen_output
{
	int fd; /* borrowed */
	const char *name;
	pen_wire_buf buf;
} pen_output;

extern void pen_output_init(pen_output *output, int fd, const char *name);
extern void pen_output_reset(pen_output *output);

/* Write everything, waiting as long as the reader takes. PENSTOCK_E_REFUSED: it cannot be written
 * (the reader is gone, the disk is full); how much has been, nobody knows. */
extern penstock_status pen_output_flush(pen_output *output, pen_error *error);

/* The same when enough has gathered. PENSTOCK_AGAIN: it has not. */
extern penstock_status pen_output_full(pen_output *output, pen_error *error);

#endif
