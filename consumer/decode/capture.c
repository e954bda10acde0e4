/* capture.c -- a stream that was saved to a file.
 * Memory follows what has been read, never what a length in the file promises. */
#include "decode/capture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"

#define READ_BYTES ((size_t) 256 << 10)

void
pen_capture_init(pen_capture *capture, int fd)
{
	*capture = (pen_capture){.fd = fd};
	pen_buffer_init(&capture->data);
}

void
pen_capture_reset(pen_capture *capture)
{
	pen_buffer_reset(&capture->data);
}

/* Read more behind what is there, moving the rest to the front first. */
static penstock_status
read_more(pen_capture *capture, pen_error *error)
{
	pen_wire_buf *data = &capture->data;
	ssize_t n;

	if (capture->consumed > 0)
	{
		memmove(data->data, data->data + capture->consumed, data->len - capture->consumed);
		data->len -= capture->consumed;
		capture->consumed = 0;
	}
	/* After one very large event its memory is not kept. */
	if (data->len == 0 && data->cap > 64 * READ_BYTES)
		pen_buffer_reset(data);
	if (!pen_wire_reserve(data, READ_BYTES))
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for an event");
	do
		n = read(capture->fd, data->data + data->len, data->cap - data->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "could not read: %s", strerror(errno));
	data->len += (size_t) n;
	capture->at_end = n == 0;
	return PENSTOCK_OK;
}

static void
skip_newlines(pen_capture *capture)
{
	while (capture->consumed < capture->data.len &&
		   capture->data.data[capture->consumed] == PEN_WIRE_NEWLINE_TAG)
	{
		capture->consumed++;
		capture->offset++;
	}
}

bool
pen_capture_drained(pen_capture *capture)
{
	skip_newlines(capture);
	return capture->consumed == capture->data.len;
}

static penstock_status
damage(const pen_capture *capture, const char *what, pen_error *error)
{
	size_t left = capture->data.len - capture->consumed;
	unsigned int first = left > 0 ? capture->data.data[capture->consumed] : 0;

	return pen_error_set(error, PENSTOCK_E_DATA, "at byte %llu: %s (found 0x%02X)",
						 (unsigned long long) capture->offset, what, first);
}

penstock_status
pen_capture_next(pen_capture *capture, const uint8_t **event, size_t *len, uint64_t *offset,
				 pen_error *error)
{
	for (;;)
	{
		pen_wire_reader reader;
		size_t left;
		size_t need;
		size_t size;

		skip_newlines(capture);
		left = capture->data.len - capture->consumed;
		if (left > 0)
		{
			pen_wire_reader_init(&reader, capture->data.data + capture->consumed, left);
			size = pen_wire_event_size(&reader, &need);
			if (reader.error != NULL)
				return damage(capture, reader.error, error);
			if ((size > 0 ? size : need) > PEN_CAPTURE_EVENT_LEN_MAX)
				return damage(capture, "an event claims to be larger than 1 GB", error);
			if (size > 0)
			{
				*event = reader.pos;
				*len = size;
				*offset = capture->offset;
				capture->consumed += size;
				capture->offset += size;
				return PENSTOCK_OK;
			}
		}
		if (capture->at_end && left == 0)
			return PENSTOCK_DONE;
		if (capture->at_end)
			return pen_error_set(error, PENSTOCK_E_DATA,
								 "at byte %llu: the input ends inside of an event: %zu of at least "
								 "%zu bytes are there",
								 (unsigned long long) capture->offset, left, need);
		if (read_more(capture, error) < 0)
			return pen_error_context(error, "at byte %llu", (unsigned long long) capture->offset);
	}
}
