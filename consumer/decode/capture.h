/* capture.h -- a stream that was saved to a file: event by event, in bounded memory.
 * A plain Batch, or what pg_recvlogical wrote, which has a newline after each message. */
#ifndef PEN_CAPTURE_H
#define PEN_CAPTURE_H

#include "base/error.h"
#include "wire.h"

/* No event is larger: PostgreSQL writes none. */
#define PEN_CAPTURE_EVENT_LEN_MAX ((size_t) 1 << 30)

typedef struct pen_capture
{
	int fd;          /* borrowed */
	uint64_t offset; /* in the file, of data[consumed] */
	/* 0..consumed handed out, consumed..data.len still to come. */
	pen_wire_buf data;
	size_t consumed;
	bool at_end;
} pen_capture;

extern void pen_capture_init(pen_capture *capture, int fd);
extern void pen_capture_reset(pen_capture *capture);

/*
 * The next event as it stands in the file, and where it begins. PENSTOCK_OK; PENSTOCK_DONE at the
 * end; E_DATA: damaged or cut off, said with the offset; E_RETRY: could not read, no memory. The
 * bytes are borrowed until the next call.
 */
extern penstock_status pen_capture_next(pen_capture *capture, const uint8_t **event, size_t *len,
										uint64_t *offset, pen_error *error);

/* Nothing whole is at hand: the next call will read, and may wait. */
extern bool pen_capture_drained(pen_capture *capture);

#endif
