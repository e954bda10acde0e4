/* wire.h -- the wire format by hand: what is per row, written and read without allocation.
 * Everything that is not per row (Session, Relation, Message, streams, prepared transactions) goes
 * through protobuf-c's generated code.
 *
 * Shared by the plugin and the consumer, so it knows neither palloc nor malloc: a buffer grows
 * through the function that its owner put in it. write_x stands above read_x in wire.c, with the
 * same field order. Nothing here is thread-safe for one buffer or reader. */
#ifndef PEN_WIRE_H
#define PEN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PEN_PROTOCOL_VERSION_MIN 1
#define PEN_PROTOCOL_VERSION_MAX 2

/* The tag bytes that frame a stream. */
#define PEN_WIRE_EVENT_TAG   0x12 /* Batch.events */
#define PEN_WIRE_NEWLINE_TAG 0x0A /* written by pg_recvlogical after each message */

/* The fields of Event; those from MESSAGE on need PEN_PROTOCOL_VERSION_EXTENDED. */
#define PEN_PROTOCOL_VERSION_EXTENDED 2
typedef enum pen_event_kind
{
	PEN_EVENT_SESSION = 1,
	PEN_EVENT_BEGIN = 2,
	PEN_EVENT_COMMIT = 3,
	PEN_EVENT_RELATION = 4,
	PEN_EVENT_INSERT = 5,
	PEN_EVENT_UPDATE = 6,
	PEN_EVENT_DELETE = 7,
	PEN_EVENT_TRUNCATE = 8,
	PEN_EVENT_MESSAGE = 9,
	PEN_EVENT_ORIGIN = 10,
	PEN_EVENT_STREAM_START = 11,
	PEN_EVENT_STREAM_STOP = 12,
	PEN_EVENT_STREAM_ABORT = 13,
	PEN_EVENT_STREAM_COMMIT = 14,
	PEN_EVENT_SUB_XACT = 15,
	PEN_EVENT_STREAM_PREPARE = 16,
	PEN_EVENT_BEGIN_PREPARE = 17,
	PEN_EVENT_PREPARE = 18,
	PEN_EVENT_COMMIT_PREPARED = 19,
	PEN_EVENT_ROLLBACK_PREPARED = 20
} pen_event_kind;

/* The fields of Insert, Update and Delete that hold Values. */
typedef enum pen_tuple_field
{
	PEN_TUPLE_NEW = 2,
	PEN_TUPLE_KEY = 3,
	PEN_TUPLE_OLD = 4
} pen_tuple_field;

/* The members of Value; NULL is the empty Value. */
typedef enum pen_value_kind
{
	PEN_VALUE_NULL = 0,
	PEN_VALUE_BOOL = 1,
	PEN_VALUE_INT = 2,
	PEN_VALUE_FLOAT = 3,
	PEN_VALUE_DOUBLE = 4,
	PEN_VALUE_STRING = 5,
	PEN_VALUE_BYTES = 6,
	PEN_VALUE_UNCHANGED = 7
} pen_value_kind;

/* One value. data is borrowed from the bytes that it was read from; it is not NUL-terminated. */
typedef struct pen_value
{
	pen_value_kind kind;
	union
	{
		bool boolean;
		int64_t integer;
		float float4;
		double float8;
		struct
		{
			const uint8_t *data;
			size_t len;
		};
	};
} pen_value;

/*
 * The Values of one tuple as they stand on the wire, each with its tag and length. All tags are
 * the same pen_tuple_field. len 0 is "no such tuple" (also for a relation without columns).
 */
typedef struct pen_tuple
{
	const uint8_t *data;
	size_t len;
	uint32_t count; /* Values in it */
} pen_tuple;

/* ---- writing ---- */

/*
 * A growable buffer. grow must make cap at least need (data may move) and return true, or return
 * false or not return at all. failed is sticky: once a grow failed all writes do nothing.
 */
typedef struct pen_wire_buf pen_wire_buf;
struct pen_wire_buf
{
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
	bool (*grow)(pen_wire_buf *buf, size_t need);
};

/* An event that is being written. size_guess remembers the size of the last one of its kind. */
typedef struct pen_wire_mark
{
	size_t start;
	size_t header;
	pen_event_kind kind;
} pen_wire_mark;

/* Have it grow for n more bytes, whether it must or not: the rare part of pen_wire_reserve. */
extern bool pen_wire_grow(pen_wire_buf *buf, size_t n);

/* Make room for n more bytes; false (and buf->failed) when that cannot be had. */
static inline bool
pen_wire_reserve(pen_wire_buf *buf, size_t n)
{
	return (n <= buf->cap - buf->len && !buf->failed) || pen_wire_grow(buf, n);
}

static inline void
pen_wire_append(pen_wire_buf *buf, const void *bytes, size_t n)
{
	if (n == 0 || !pen_wire_reserve(buf, n))
		return;
	memcpy(buf->data + buf->len, bytes, n);
	buf->len += n;
}

extern void pen_wire_write_varint(pen_wire_buf *buf, uint64_t value);

/*
 * An event is begun, its fields are appended, and it is ended, which fills in the two lengths
 * before it. body_guess is the expected size of the fields in bytes: a good guess saves a
 * memmove, a bad one costs nothing else. To give an event up, set buf->len = mark.start.
 */
extern pen_wire_mark pen_wire_begin_event(pen_wire_buf *buf, pen_event_kind kind,
										  size_t body_guess);
extern void pen_wire_end_event(pen_wire_buf *buf, const pen_wire_mark *mark);

/* A whole event whose fields were serialised elsewhere (protobuf-c). */
extern void pen_wire_write_packed(pen_wire_buf *buf, pen_event_kind kind, const void *body,
								  size_t len);

extern void pen_wire_write_begin(pen_wire_buf *buf, uint32_t xid, uint64_t commit_lsn,
								 int64_t commit_time);
extern void pen_wire_write_commit(pen_wire_buf *buf, uint64_t commit_lsn, uint64_t end_lsn,
								  int64_t commit_time);
extern void pen_wire_write_truncate(pen_wire_buf *buf, const uint32_t *relations, size_t count,
									bool cascade, bool restart_identity);
extern void pen_wire_write_sub_xact(pen_wire_buf *buf, uint32_t xid);

/* Inside an Insert, Update or Delete: first the relation's number, then Values, NEW before KEY or
 * OLD. */
extern void pen_wire_write_relation_number(pen_wire_buf *buf, uint32_t relation);
extern void pen_wire_write_null(pen_wire_buf *buf, pen_tuple_field field);
extern void pen_wire_write_unchanged(pen_wire_buf *buf, pen_tuple_field field);
extern void pen_wire_write_bool(pen_wire_buf *buf, pen_tuple_field field, bool value);
extern void pen_wire_write_int(pen_wire_buf *buf, pen_tuple_field field, int64_t value);
extern void pen_wire_write_float(pen_wire_buf *buf, pen_tuple_field field, float value);
extern void pen_wire_write_double(pen_wire_buf *buf, pen_tuple_field field, double value);
/* String and bytes differ only in the member's number; a string must be valid UTF-8. */
extern void pen_wire_write_string(pen_wire_buf *buf, pen_tuple_field field, const void *data,
								  size_t len);
extern void pen_wire_write_bytes(pen_wire_buf *buf, pen_tuple_field field, const void *data,
								 size_t len);
/* Any of the above by value->kind. */
extern void pen_wire_write_value(pen_wire_buf *buf, pen_tuple_field field, const pen_value *value);

/* ---- reading ---- */

/* A cursor over borrowed bytes. error is NULL or says what is wrong; it is sticky, and every read
 * after it fails. */
typedef struct pen_wire_reader
{
	const uint8_t *pos;
	const uint8_t *end;
	const char *error;
} pen_wire_reader;

/* One event. Everything in it is borrowed from the reader's bytes. */
typedef struct pen_wire_event
{
	pen_event_kind kind;
	const uint8_t *body; /* the event's own message: what has no member below is for protobuf-c */
	size_t body_len;
	union
	{
		struct
		{
			uint32_t xid;
			uint64_t commit_lsn;
			int64_t commit_time;
		} begin;
		struct
		{
			uint64_t commit_lsn;
			uint64_t end_lsn;
			int64_t commit_time;
		} commit;
		struct
		{
			uint32_t relation;
			pen_tuple new_tuple;
			pen_tuple key;
			pen_tuple old;
		} change; /* Insert, Update, Delete */
		struct
		{
			pen_wire_reader relations; /* packed varints: pen_wire_read_varint until its end */
			uint32_t count;
			bool cascade;
			bool restart_identity;
		} truncate;
		struct
		{
			uint32_t xid;
		} sub_xact;
	};
} pen_wire_event;

extern void pen_wire_reader_init(pen_wire_reader *reader, const void *data, size_t len);

/* True while there is something left and no error. */
static inline bool
pen_wire_more(const pen_wire_reader *reader)
{
	return reader->error == NULL && reader->pos < reader->end;
}

/*
 * Read the next event of a Batch, or fail. Every Value of a change has been checked afterwards:
 * known member, whole, valid length. Field order is that of the .proto file; anything else,
 * anything unknown and anything twice is an error.
 */
extern bool pen_wire_read_event(pen_wire_reader *reader, pen_wire_event *event);
extern bool pen_wire_read_varint(pen_wire_reader *reader, uint64_t *value);

/*
 * The total size in bytes, tag and length included, of the event that starts at reader->pos, or 0
 * with *need = at least how many bytes are wanted to tell (incomplete), or 0 with reader->error.
 * Consumes nothing. For readers of files, which hold only a part of the stream.
 */
extern size_t pen_wire_event_size(pen_wire_reader *reader, size_t *need);

/* Read the Values of a tuple one by one. Fails at the end (error NULL) and on damage. */
extern void pen_wire_tuple_reader(pen_wire_reader *reader, const pen_tuple *tuple);
extern bool pen_wire_read_value(pen_wire_reader *reader, pen_value *value);

#endif
