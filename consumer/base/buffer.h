/* buffer.h -- heap memory for the codec: a pen_wire_buf that grows with realloc. */
#ifndef PEN_BUFFER_H
#define PEN_BUFFER_H

#include "wire.h"

/* An empty buffer, which holds nothing until it is written to. A failed realloc sets failed. */
extern void pen_buffer_init(pen_wire_buf *buf);
/* Free what it holds; it is as after init. */
extern void pen_buffer_reset(pen_wire_buf *buf);

#endif
