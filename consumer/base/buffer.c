/* buffer.c -- a pen_wire_buf on the heap, doubling as it grows. */
#include "base/buffer.h"

#include <stdlib.h>

static bool
grow(pen_wire_buf *buf, size_t need)
{
	size_t cap = buf->cap < 256 ? 256 : buf->cap;
	uint8_t *data;

	while (cap < need)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (data == NULL)
		return false;
	buf->data = data;
	buf->cap = cap;
	return true;
}

void
pen_buffer_init(pen_wire_buf *buf)
{
	*buf = (pen_wire_buf){.grow = grow};
}

void
pen_buffer_reset(pen_wire_buf *buf)
{
	free(buf->data);
	pen_buffer_init(buf);
}
