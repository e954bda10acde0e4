/* wire.c -- the wire format by hand.
 * write_x stands directly above read_x, in the same field order; lengths come before bytes, so an
 * event's two lengths are filled in when its fields are complete. */
#include "wire.h"

#include <string.h>

#include "varint.h"

/* Wire types of protobuf. */
enum
{
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_LEN = 2,
	WIRE_FIXED32 = 5
};

#define TAG(field, type)    ((uint8_t) ((field) << 3 | (type)))
#define TAG_RELATION_NUMBER TAG(1, WIRE_VARINT)

/* ---- buffer and primitive fields ---- */

bool
pen_wire_grow(pen_wire_buf *buf, size_t n)
{
	if (buf->failed)
		return false;
	if (n > SIZE_MAX / 2 - buf->len || !buf->grow(buf, buf->len + n))
	{
		buf->failed = true;
		return false;
	}
	return true;
}

static inline uint64_t
zigzag(int64_t value)
{
	return ((uint64_t) value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

static inline int64_t
unzigzag(uint64_t value)
{
	return (int64_t) (value >> 1) ^ -(int64_t) (value & 1);
}

void
pen_wire_write_varint(pen_wire_buf *buf, uint64_t value)
{
	if (!pen_wire_reserve(buf, PEN_VARINT_MAX_BYTES))
		return;
	buf->len = (size_t) (pen_put_varint(buf->data + buf->len, value) - buf->data);
}

void
pen_wire_reader_init(pen_wire_reader *reader, const void *data, size_t len)
{
	reader->pos = data;
	reader->end = len > 0 ? (const uint8_t *) data + len : data;
	reader->error = NULL;
}

static bool
fail(pen_wire_reader *reader, const char *error)
{
	if (reader->error == NULL)
		reader->error = error;
	return false;
}

bool
pen_wire_read_varint(pen_wire_reader *reader, uint64_t *value)
{
	const uint8_t *p = reader->pos;
	uint64_t result = 0;

	if (reader->error != NULL)
		return false;
	for (int shift = 0; shift < 64; shift += 7)
	{
		if (p >= reader->end)
			return fail(reader, "a number is cut off");
		if (shift == 63 && *p > 1)
			break;
		result |= (uint64_t) (*p & 0x7f) << shift;
		if ((*p++ & 0x80) == 0)
		{
			reader->pos = p;
			*value = result;
			return true;
		}
	}
	return fail(reader, "a number is longer than 64 bits");
}

/* Most numbers are one byte. */
static inline bool
read_number(pen_wire_reader *reader, uint64_t *value)
{
	if (reader->error != NULL || reader->pos >= reader->end || *reader->pos >= 0x80)
		return pen_wire_read_varint(reader, value);
	*value = *reader->pos++;
	return true;
}

static bool
read_uint32(pen_wire_reader *reader, uint32_t *value)
{
	uint64_t wide;

	if (!read_number(reader, &wide))
		return false;
	if (wide > UINT32_MAX)
		return fail(reader, "a 32-bit number is out of range");
	*value = (uint32_t) wide;
	return true;
}

static bool
read_bool(pen_wire_reader *reader, bool *value)
{
	uint64_t wide;

	if (!read_number(reader, &wide))
		return false;
	if (wide > 1)
		return fail(reader, "a boolean is neither 0 nor 1");
	*value = wide == 1;
	return true;
}

static bool
read_fixed32(pen_wire_reader *reader, uint32_t *value)
{
	uint32_t result = 0;

	if (reader->end - reader->pos < 4)
		return fail(reader, "a 4-byte number is cut off");
	for (int i = 0; i < 4; i++)
		result |= (uint32_t) reader->pos[i] << (8 * i);
	reader->pos += 4;
	*value = result;
	return true;
}

static bool
read_fixed64(pen_wire_reader *reader, uint64_t *value)
{
	uint64_t result = 0;

	if (reader->end - reader->pos < 8)
		return fail(reader, "an 8-byte number is cut off");
	for (int i = 0; i < 8; i++)
		result |= (uint64_t) reader->pos[i] << (8 * i);
	reader->pos += 8;
	*value = result;
	return true;
}

/* A length and that many bytes, as a reader of their own. */
static inline bool
read_span(pen_wire_reader *reader, pen_wire_reader *span)
{
	uint64_t len;

	if (!read_number(reader, &len))
		return false;
	if (len > (uint64_t) (reader->end - reader->pos))
		return fail(reader, "a field is longer than what holds it");
	*span = (pen_wire_reader){.pos = reader->pos, .end = reader->pos + len};
	reader->pos += len;
	return true;
}

/* The next byte is this tag: consume it. */
static inline bool
take_tag(pen_wire_reader *reader, uint8_t tag)
{
	if (!pen_wire_more(reader) || *reader->pos != tag)
		return false;
	reader->pos++;
	return true;
}

/* ---- the frame of an event ---- */

/* Fields past 15 have a tag of two bytes. */
static inline size_t
event_tag_size(pen_event_kind kind)
{
	return kind <= 15 ? 1 : 2;
}

pen_wire_mark
pen_wire_begin_event(pen_wire_buf *buf, pen_event_kind kind, size_t body_guess)
{
	pen_wire_mark mark = {.start = buf->len, .kind = kind};
	size_t tag_size = event_tag_size(kind);
	size_t body_len_size = pen_varint_size(body_guess);

	mark.header =
		1 + tag_size + body_len_size + pen_varint_size(tag_size + body_len_size + body_guess);
	if (pen_wire_reserve(buf, mark.header))
		buf->len += mark.header;
	return mark;
}

void
pen_wire_end_event(pen_wire_buf *buf, const pen_wire_mark *mark)
{
	size_t tag_size = event_tag_size(mark->kind);
	size_t body;
	size_t inner;
	size_t header;
	uint8_t *p;

	if (buf->failed)
		return;
	body = buf->len - mark->start - mark->header;
	inner = tag_size + pen_varint_size(body) + body;
	header = 1 + pen_varint_size(inner) + inner - body;
	if (header != mark->header)
	{
		if (header > mark->header && !pen_wire_reserve(buf, header - mark->header))
			return;
		p = buf->data + mark->start;
		memmove(p + header, p + mark->header, body);
		buf->len = mark->start + header + body;
	}
	p = buf->data + mark->start;
	*p++ = PEN_WIRE_EVENT_TAG;
	p = pen_put_varint(p, inner);
	p = pen_put_varint(p, (uint64_t) mark->kind << 3 | WIRE_LEN);
	pen_put_varint(p, body);
}

void
pen_wire_write_packed(pen_wire_buf *buf, pen_event_kind kind, const void *body, size_t len)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, kind, len);

	pen_wire_append(buf, body, len);
	pen_wire_end_event(buf, &mark);
}

/* Batch.events' tag and Event's one field; on success body is what is inside of that. */
static bool
read_event_frame(pen_wire_reader *reader, pen_wire_event *event, pen_wire_reader *body)
{
	pen_wire_reader outer;
	uint64_t tag;

	if (reader->error != NULL)
		return false;
	if (!take_tag(reader, PEN_WIRE_EVENT_TAG))
		return fail(reader, "no event begins here");
	if (!read_span(reader, &outer))
		return false;
	if (outer.pos == outer.end)
		return fail(reader, "an event is empty");
	if (!read_number(&outer, &tag))
		return fail(reader, outer.error);
	if ((tag & 7) != WIRE_LEN || tag >> 3 < PEN_EVENT_SESSION ||
		tag >> 3 > PEN_EVENT_ROLLBACK_PREPARED)
		return fail(reader, "an event is of an unknown kind");
	if (!read_span(&outer, body))
		return fail(reader, outer.error);
	if (outer.pos != outer.end)
		return fail(reader, "an event holds more than one message");
	event->kind = (pen_event_kind) (tag >> 3);
	event->body = body->pos;
	event->body_len = (size_t) (body->end - body->pos);
	return true;
}

size_t
pen_wire_event_size(pen_wire_reader *reader, size_t *need)
{
	pen_wire_reader probe = *reader;
	size_t have = (size_t) (reader->end - reader->pos);
	uint64_t len;
	size_t header;

	*need = have + 1;
	if (reader->error != NULL || have == 0)
		return 0;
	if (!take_tag(&probe, PEN_WIRE_EVENT_TAG))
	{
		fail(reader, "no event begins here");
		return 0;
	}
	if (!pen_wire_read_varint(&probe, &len))
	{
		if (probe.pos + PEN_VARINT_MAX_BYTES <= probe.end)
			fail(reader, probe.error);
		return 0;
	}
	header = (size_t) (probe.pos - reader->pos);
	if (len > SIZE_MAX / 2)
	{
		fail(reader, "an event is longer than memory");
		return 0;
	}
	if (header + len > have)
	{
		*need = header + (size_t) len;
		return 0;
	}
	return header + (size_t) len;
}

/* ---- transactions ---- */

void
pen_wire_write_begin(pen_wire_buf *buf, uint32_t xid, uint64_t commit_lsn, int64_t commit_time)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_BEGIN, 20);
	uint8_t *p;

	if (!pen_wire_reserve(buf, 1 + PEN_VARINT_MAX_BYTES + 18))
		return;
	p = buf->data + buf->len;
	*p++ = TAG(1, WIRE_VARINT);
	p = pen_put_varint(p, xid);
	*p++ = TAG(2, WIRE_FIXED64);
	p = pen_put_fixed64(p, commit_lsn);
	*p++ = TAG(3, WIRE_FIXED64);
	p = pen_put_fixed64(p, (uint64_t) commit_time);
	buf->len = (size_t) (p - buf->data);
	pen_wire_end_event(buf, &mark);
}

/* Absent fields are zero: protobuf libraries leave zeros out. */
static bool
read_begin(pen_wire_reader *body, pen_wire_event *event)
{
	uint64_t commit_time = 0;

	event->begin.xid = 0;
	event->begin.commit_lsn = 0;
	if (take_tag(body, TAG(1, WIRE_VARINT)) && !read_uint32(body, &event->begin.xid))
		return false;
	if (take_tag(body, TAG(2, WIRE_FIXED64)) && !read_fixed64(body, &event->begin.commit_lsn))
		return false;
	if (take_tag(body, TAG(3, WIRE_FIXED64)) && !read_fixed64(body, &commit_time))
		return false;
	event->begin.commit_time = (int64_t) commit_time;
	return true;
}

void
pen_wire_write_commit(pen_wire_buf *buf, uint64_t commit_lsn, uint64_t end_lsn, int64_t commit_time)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_COMMIT, 27);
	uint8_t *p;

	if (!pen_wire_reserve(buf, 27))
		return;
	p = buf->data + buf->len;
	*p++ = TAG(1, WIRE_FIXED64);
	p = pen_put_fixed64(p, commit_lsn);
	*p++ = TAG(2, WIRE_FIXED64);
	p = pen_put_fixed64(p, end_lsn);
	*p++ = TAG(3, WIRE_FIXED64);
	p = pen_put_fixed64(p, (uint64_t) commit_time);
	buf->len = (size_t) (p - buf->data);
	pen_wire_end_event(buf, &mark);
}

static bool
read_commit(pen_wire_reader *body, pen_wire_event *event)
{
	uint64_t commit_time = 0;

	event->commit.commit_lsn = 0;
	event->commit.end_lsn = 0;
	if (take_tag(body, TAG(1, WIRE_FIXED64)) && !read_fixed64(body, &event->commit.commit_lsn))
		return false;
	if (take_tag(body, TAG(2, WIRE_FIXED64)) && !read_fixed64(body, &event->commit.end_lsn))
		return false;
	if (take_tag(body, TAG(3, WIRE_FIXED64)) && !read_fixed64(body, &commit_time))
		return false;
	event->commit.commit_time = (int64_t) commit_time;
	return true;
}

void
pen_wire_write_truncate(pen_wire_buf *buf, const uint32_t *relations, size_t count, bool cascade,
						bool restart_identity)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_TRUNCATE, 2 * count + 4);
	size_t packed = 0;

	for (size_t i = 0; i < count; i++)
		packed += pen_varint_size(relations[i]);
	pen_wire_write_varint(buf, TAG(1, WIRE_LEN));
	pen_wire_write_varint(buf, packed);
	for (size_t i = 0; i < count; i++)
		pen_wire_write_varint(buf, relations[i]);
	if (cascade)
		pen_wire_append(buf, (const uint8_t[]){TAG(2, WIRE_VARINT), 1}, 2);
	if (restart_identity)
		pen_wire_append(buf, (const uint8_t[]){TAG(3, WIRE_VARINT), 1}, 2);
	pen_wire_end_event(buf, &mark);
}

static bool
read_truncate(pen_wire_reader *body, pen_wire_event *event)
{
	pen_wire_reader check;
	uint32_t relation;

	event->truncate.cascade = false;
	event->truncate.restart_identity = false;
	event->truncate.count = 0;
	pen_wire_reader_init(&event->truncate.relations, body->pos, 0);
	if (take_tag(body, TAG(1, WIRE_LEN)) && !read_span(body, &event->truncate.relations))
		return false;
	check = event->truncate.relations;
	while (pen_wire_more(&check) && read_uint32(&check, &relation))
		event->truncate.count++;
	if (check.error != NULL)
		return fail(body, check.error);
	if (take_tag(body, TAG(2, WIRE_VARINT)) && !read_bool(body, &event->truncate.cascade))
		return false;
	if (take_tag(body, TAG(3, WIRE_VARINT)) && !read_bool(body, &event->truncate.restart_identity))
		return false;
	return true;
}

void
pen_wire_write_sub_xact(pen_wire_buf *buf, uint32_t xid)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_SUB_XACT, 6);

	pen_wire_write_varint(buf, TAG(1, WIRE_VARINT));
	pen_wire_write_varint(buf, xid);
	pen_wire_end_event(buf, &mark);
}

static bool
read_sub_xact(pen_wire_reader *body, pen_wire_event *event)
{
	event->sub_xact.xid = 0;
	return !take_tag(body, TAG(1, WIRE_VARINT)) || read_uint32(body, &event->sub_xact.xid);
}

/* ---- values ---- */

void
pen_wire_write_null(pen_wire_buf *buf, pen_tuple_field field)
{
	if (!pen_wire_reserve(buf, 2))
		return;
	buf->data[buf->len++] = TAG(field, WIRE_LEN);
	buf->data[buf->len++] = 0;
}

static void
write_truth(pen_wire_buf *buf, pen_tuple_field field, pen_value_kind member, bool value)
{
	uint8_t *p;

	if (!pen_wire_reserve(buf, 4))
		return;
	p = buf->data + buf->len;
	p[0] = TAG(field, WIRE_LEN);
	p[1] = 2;
	p[2] = TAG(member, WIRE_VARINT);
	p[3] = value;
	buf->len += 4;
}

void
pen_wire_write_unchanged(pen_wire_buf *buf, pen_tuple_field field)
{
	write_truth(buf, field, PEN_VALUE_UNCHANGED, true);
}

void
pen_wire_write_bool(pen_wire_buf *buf, pen_tuple_field field, bool value)
{
	write_truth(buf, field, PEN_VALUE_BOOL, value);
}

void
pen_wire_write_int(pen_wire_buf *buf, pen_tuple_field field, int64_t value)
{
	uint8_t *start;
	uint8_t *p;

	if (!pen_wire_reserve(buf, 3 + PEN_VARINT_MAX_BYTES))
		return;
	start = buf->data + buf->len;
	start[0] = TAG(field, WIRE_LEN);
	start[2] = TAG(PEN_VALUE_INT, WIRE_VARINT);
	p = pen_put_varint(start + 3, zigzag(value));
	start[1] = (uint8_t) (p - start - 2);
	buf->len = (size_t) (p - buf->data);
}

void
pen_wire_write_float(pen_wire_buf *buf, pen_tuple_field field, float value)
{
	uint32_t bits;
	uint8_t *p;

	if (!pen_wire_reserve(buf, 7))
		return;
	memcpy(&bits, &value, sizeof(bits));
	p = buf->data + buf->len;
	p[0] = TAG(field, WIRE_LEN);
	p[1] = 5;
	p[2] = TAG(PEN_VALUE_FLOAT, WIRE_FIXED32);
	pen_put_fixed32(p + 3, bits);
	buf->len += 7;
}

void
pen_wire_write_double(pen_wire_buf *buf, pen_tuple_field field, double value)
{
	uint64_t bits;
	uint8_t *p;

	if (!pen_wire_reserve(buf, 11))
		return;
	memcpy(&bits, &value, sizeof(bits));
	p = buf->data + buf->len;
	p[0] = TAG(field, WIRE_LEN);
	p[1] = 9;
	p[2] = TAG(PEN_VALUE_DOUBLE, WIRE_FIXED64);
	pen_put_fixed64(p + 3, bits);
	buf->len += 11;
}

static void
write_span(pen_wire_buf *buf, pen_tuple_field field, pen_value_kind member, const void *data,
		   size_t len)
{
	uint8_t *p;

	if (len > SIZE_MAX / 4 || !pen_wire_reserve(buf, len + 2 + 2 * PEN_VARINT_MAX_BYTES))
		return;
	p = buf->data + buf->len;
	*p++ = TAG(field, WIRE_LEN);
	p = pen_put_varint(p, 1 + pen_varint_size(len) + len);
	*p++ = TAG(member, WIRE_LEN);
	p = pen_put_varint(p, len);
	if (len > 0)
		memcpy(p, data, len);
	buf->len = (size_t) (p - buf->data) + len;
}

void
pen_wire_write_string(pen_wire_buf *buf, pen_tuple_field field, const void *data, size_t len)
{
	write_span(buf, field, PEN_VALUE_STRING, data, len);
}

void
pen_wire_write_bytes(pen_wire_buf *buf, pen_tuple_field field, const void *data, size_t len)
{
	write_span(buf, field, PEN_VALUE_BYTES, data, len);
}

void
pen_wire_write_value(pen_wire_buf *buf, pen_tuple_field field, const pen_value *value)
{
	switch (value->kind)
	{
		case PEN_VALUE_NULL:
			pen_wire_write_null(buf, field);
			break;
		case PEN_VALUE_BOOL:
			pen_wire_write_bool(buf, field, value->boolean);
			break;
		case PEN_VALUE_INT:
			pen_wire_write_int(buf, field, value->integer);
			break;
		case PEN_VALUE_FLOAT:
			pen_wire_write_float(buf, field, value->float4);
			break;
		case PEN_VALUE_DOUBLE:
			pen_wire_write_double(buf, field, value->float8);
			break;
		case PEN_VALUE_STRING:
		case PEN_VALUE_BYTES:
			write_span(buf, field, value->kind, value->data, value->len);
			break;
		case PEN_VALUE_UNCHANGED:
			pen_wire_write_unchanged(buf, field);
			break;
	}
}

/* What is inside of one Value's length. */
static inline bool
read_member(pen_wire_reader *inner, pen_value *value)
{
	pen_wire_reader span;
	uint64_t wide;
	uint32_t bits;

	if (inner->pos == inner->end)
	{
		value->kind = PEN_VALUE_NULL;
		return true;
	}
	switch (*inner->pos++)
	{
		case TAG(PEN_VALUE_BOOL, WIRE_VARINT):
			value->kind = PEN_VALUE_BOOL;
			return read_bool(inner, &value->boolean);
		case TAG(PEN_VALUE_INT, WIRE_VARINT):
			value->kind = PEN_VALUE_INT;
			if (!read_number(inner, &wide))
				return false;
			value->integer = unzigzag(wide);
			return true;
		case TAG(PEN_VALUE_FLOAT, WIRE_FIXED32):
			value->kind = PEN_VALUE_FLOAT;
			if (!read_fixed32(inner, &bits))
				return false;
			memcpy(&value->float4, &bits, sizeof(bits));
			return true;
		case TAG(PEN_VALUE_DOUBLE, WIRE_FIXED64):
			value->kind = PEN_VALUE_DOUBLE;
			if (!read_fixed64(inner, &wide))
				return false;
			memcpy(&value->float8, &wide, sizeof(wide));
			return true;
		case TAG(PEN_VALUE_STRING, WIRE_LEN):
		case TAG(PEN_VALUE_BYTES, WIRE_LEN):
			value->kind = (pen_value_kind) (inner->pos[-1] >> 3);
			if (!read_span(inner, &span))
				return false;
			value->data = span.pos;
			value->len = (size_t) (span.end - span.pos);
			return true;
		case TAG(PEN_VALUE_UNCHANGED, WIRE_VARINT):
			value->kind = PEN_VALUE_UNCHANGED;
			if (!read_number(inner, &wide))
				return false;
			return wide == 1 || fail(inner, "an unchanged value is not marked true");
		default:
			return fail(inner, "a value has an unknown member");
	}
}

void
pen_wire_tuple_reader(pen_wire_reader *reader, const pen_tuple *tuple)
{
	pen_wire_reader_init(reader, tuple->data, tuple->len);
}

bool
pen_wire_read_value(pen_wire_reader *reader, pen_value *value)
{
	pen_wire_reader inner;

	if (!pen_wire_more(reader))
		return false;
	reader->pos++; /* the tag, which read_tuple has checked */
	if (!read_span(reader, &inner))
		return false;
	if (!read_member(&inner, value))
		return fail(reader, inner.error);
	if (inner.pos != inner.end)
		return fail(reader, "a value has more than one member");
	return true;
}

/* ---- row changes ---- */

void
pen_wire_write_relation_number(pen_wire_buf *buf, uint32_t relation)
{
	if (!pen_wire_reserve(buf, 1 + PEN_VARINT_MAX_BYTES))
		return;
	buf->data[buf->len++] = TAG_RELATION_NUMBER;
	pen_wire_write_varint(buf, relation);
}

/* Values of one field, each checked. */
static bool
read_tuple(pen_wire_reader *body, pen_tuple_field field, pen_tuple *tuple)
{
	uint8_t tag = TAG(field, WIRE_LEN);
	pen_value value;

	tuple->data = body->pos;
	tuple->count = 0;
	while (pen_wire_more(body) && *body->pos == tag)
	{
		if (!pen_wire_read_value(body, &value))
			return false;
		tuple->count++;
	}
	tuple->len = (size_t) (body->pos - tuple->data);
	return body->error == NULL;
}

static bool
read_change(pen_wire_reader *body, pen_wire_event *event)
{
	event->change.relation = 0;
	if (take_tag(body, TAG_RELATION_NUMBER) && !read_uint32(body, &event->change.relation))
		return false;
	if (event->kind == PEN_EVENT_DELETE)
		event->change.new_tuple = (pen_tuple){0};
	else if (!read_tuple(body, PEN_TUPLE_NEW, &event->change.new_tuple))
		return false;
	event->change.key = event->change.old = (pen_tuple){0};
	if (event->kind == PEN_EVENT_INSERT)
		return true;
	if (!read_tuple(body, PEN_TUPLE_KEY, &event->change.key) ||
		!read_tuple(body, PEN_TUPLE_OLD, &event->change.old))
		return false;
	if (event->change.key.count > 0 && event->change.old.count > 0)
		return fail(body, "a change has both a key and an old row");
	return true;
}

bool
pen_wire_read_event(pen_wire_reader *reader, pen_wire_event *event)
{
	pen_wire_reader body;
	bool ok = true;

	if (!read_event_frame(reader, event, &body))
		return false;
	switch (event->kind)
	{
		case PEN_EVENT_BEGIN:
			ok = read_begin(&body, event);
			break;
		case PEN_EVENT_COMMIT:
			ok = read_commit(&body, event);
			break;
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
			ok = read_change(&body, event);
			break;
		case PEN_EVENT_TRUNCATE:
			ok = read_truncate(&body, event);
			break;
		case PEN_EVENT_SUB_XACT:
			ok = read_sub_xact(&body, event);
			break;
		default:
			return true; /* protobuf-c reads the others from event->body */
	}
	if (!ok)
		return fail(reader, body.error);
	if (body.pos != body.end)
		return fail(reader, "an event has an unknown field");
	return true;
}
