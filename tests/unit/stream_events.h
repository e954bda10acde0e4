/* stream_events.h -- events as the plugin writes them, by protobuf-c. */
#ifndef STREAM_EVENTS_H
#define STREAM_EVENTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "penstock.pb-c.h"
#include "wire.h"

static inline void
put(pen_wire_buf *buf, pen_event_kind kind, const ProtobufCMessage *message)
{
	uint8_t packed[1024];

	assert_true(protobuf_c_message_get_packed_size(message) <= sizeof(packed));
	pen_wire_write_packed(buf, kind, packed, protobuf_c_message_pack(message, packed));
}

static inline void
put_session(pen_wire_buf *buf)
{
	Penstock__V1__Session session = PENSTOCK__V1__SESSION__INIT;

	session.protocol_version = 2;
	put(buf, PEN_EVENT_SESSION, &session.base);
}

static inline void
put_stream_start(pen_wire_buf *buf, uint32_t xid, bool first)
{
	Penstock__V1__StreamStart start = PENSTOCK__V1__STREAM_START__INIT;

	start.xid = xid;
	start.first = first;
	put(buf, PEN_EVENT_STREAM_START, &start.base);
}

static inline void
put_stream_stop(pen_wire_buf *buf)
{
	Penstock__V1__StreamStop stop = PENSTOCK__V1__STREAM_STOP__INIT;

	put(buf, PEN_EVENT_STREAM_STOP, &stop.base);
}

static inline void
put_stream_abort(pen_wire_buf *buf, uint32_t xid, uint32_t subxid)
{
	Penstock__V1__StreamAbort stream_abort = PENSTOCK__V1__STREAM_ABORT__INIT;

	stream_abort.xid = xid;
	stream_abort.subxid = subxid;
	put(buf, PEN_EVENT_STREAM_ABORT, &stream_abort.base);
}

#endif
