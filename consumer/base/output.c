/* output.c -- a file descriptor with a buffer before it. */
#include "base/output.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"

void
pen_output_init(pen_output *output, int fd, const char *name)
{
	output->fd = fd;
	output->name = name;
	pen_buffer_init(&output->buf);
}

void
pen_output_reset(pen_output *output)
{
	pen_buffer_reset(&output->buf);
}

penstock_status
pen_output_flush(pen_output *output, pen_error *error)
{
	size_t written = 0;

	while (written < output->buf.len)
	{
		ssize_t n = write(output->fd, output->buf.data + written, output->buf.len - written);

		if (n >= 0)
			written += (size_t) n;
		else if (errno == EAGAIN)
			poll(&(struct pollfd){.fd = output->fd, .events = POLLOUT}, 1, -1);
		else if (errno != EINTR)
			return pen_error_set(error, PENSTOCK_E_REFUSED, "could not write to %s: %s",
								 output->name,
								 errno == EPIPE ? "its reader has gone away" : strerror(errno));
	}
	output->buf.len = 0;
	/* After one very large event its memory is not kept. */
	if (output->buf.cap > 64 * PEN_OUTPUT_FLUSH_BYTES)
		pen_buffer_reset(&output->buf);
	return PENSTOCK_OK;
}

penstock_status
pen_output_full(pen_output *output, pen_error *error)
{
	if (output->buf.len < PEN_OUTPUT_FLUSH_BYTES)
		return PENSTOCK_AGAIN;
	return pen_output_flush(output, error);
}
