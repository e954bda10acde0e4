/* test_wire.c -- the codec by hand against protobuf-c, both ways, and against damage.
 * Events are random from a fixed seed, so a failure repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "penstock.pb-c.h"
#include "wire.h"

#define ROUNDS 3000

static uint64_t seed;

static uint64_t
next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Small and large numbers alike. */
static uint64_t
random_number(void)
{
	return next_random() >> (next_random() % 64);
}

static uint8_t text_space[70000];

static pen_value
random_value(bool may_be_unchanged)
{
	pen_value value = {.kind = (pen_value_kind) (next_random() % (may_be_unchanged ? 8 : 7))};

	switch (value.kind)
	{
		case PEN_VALUE_BOOL:
			value.boolean = next_random() % 2;
			break;
		case PEN_VALUE_INT:
			value.integer = (int64_t) random_number() * (next_random() % 2 ? 1 : -1);
			break;
		case PEN_VALUE_FLOAT:
			value.float4 = (float) random_number() / 7;
			break;
		case PEN_VALUE_DOUBLE:
			value.float8 = (double) random_number() / -7;
			break;
		case PEN_VALUE_STRING:
		case PEN_VALUE_BYTES:
			value.data = text_space;
			value.len = random_number() % (next_random() % 50 == 0 ? sizeof(text_space) : 300);
			break;
		default:
			break;
	}
	return value;
}

/* ---- events whose messages protobuf-c packs ---- */

static ProtobufCBinaryData
random_bytes(void)
{
	return (ProtobufCBinaryData){random_number() % 300, text_space};
}

static void
put_packed(pen_wire_buf *buf, pen_event_kind kind, const ProtobufCMessage *message)
{
	uint8_t packed[1024];

	pen_wire_write_packed(buf, kind, packed, protobuf_c_message_pack(message, packed));
}

/* The same message for begin_prepare, prepare, commit_prepared and stream_prepare. */
static void
random_prepare(pen_wire_buf *buf, pen_event_kind kind)
{
	Penstock__V1__PreparedTransaction prepare = PENSTOCK__V1__PREPARED_TRANSACTION__INIT;

	prepare.xid = (uint32_t) random_number();
	prepare.gid = random_bytes();
	prepare.lsn = random_number();
	prepare.end_lsn = random_number();
	prepare.time = (int64_t) random_number();
	put_packed(buf, kind, &prepare.base);
}

static void
random_rollback(pen_wire_buf *buf)
{
	Penstock__V1__RollbackPrepared rollback = PENSTOCK__V1__ROLLBACK_PREPARED__INIT;

	rollback.xid = (uint32_t) random_number();
	rollback.gid = random_bytes();
	rollback.prepare_end_lsn = random_number();
	rollback.end_lsn = random_number();
	rollback.prepare_time = (int64_t) random_number();
	rollback.rollback_time = -(int64_t) random_number();
	put_packed(buf, PEN_EVENT_ROLLBACK_PREPARED, &rollback.base);
}

static void
random_message(pen_wire_buf *buf)
{
	Penstock__V1__Message message = PENSTOCK__V1__MESSAGE__INIT;

	message.lsn = random_number();
	message.transactional = next_random() % 2;
	message.prefix = random_bytes();
	message.content = random_bytes();
	put_packed(buf, PEN_EVENT_MESSAGE, &message.base);
}

static void
random_stream_event(pen_wire_buf *buf, pen_event_kind kind)
{
	Penstock__V1__Origin origin = PENSTOCK__V1__ORIGIN__INIT;
	Penstock__V1__StreamStart start = PENSTOCK__V1__STREAM_START__INIT;
	Penstock__V1__StreamStop stop = PENSTOCK__V1__STREAM_STOP__INIT;
	Penstock__V1__StreamAbort stream_abort = PENSTOCK__V1__STREAM_ABORT__INIT;
	Penstock__V1__StreamCommit commit = PENSTOCK__V1__STREAM_COMMIT__INIT;
	const ProtobufCMessage *messages[] = {&origin.base, &start.base, &stop.base, &stream_abort.base,
										  &commit.base};

	origin.name = random_bytes();
	origin.lsn = random_number();
	start.xid = stream_abort.xid = commit.xid = (uint32_t) random_number();
	start.first = next_random() % 2;
	stream_abort.subxid = (uint32_t) random_number();
	commit.commit_lsn = random_number();
	commit.end_lsn = random_number();
	commit.commit_time = (int64_t) random_number();
	put_packed(buf, kind, messages[kind - PEN_EVENT_ORIGIN]);
}

/* Of the kinds that came with protocol version 2. */
static void
random_extended_event(pen_wire_buf *buf)
{
	pen_event_kind kind = (pen_event_kind) (PEN_EVENT_MESSAGE + next_random() % 12);

	if (kind == PEN_EVENT_MESSAGE)
		random_message(buf);
	else if (kind <= PEN_EVENT_STREAM_COMMIT)
		random_stream_event(buf, kind);
	else if (kind == PEN_EVENT_SUB_XACT)
		pen_wire_write_sub_xact(buf, 1 + (uint32_t) (random_number() >> 33));
	else if (kind == PEN_EVENT_ROLLBACK_PREPARED)
		random_rollback(buf);
	else
		random_prepare(buf, kind);
}

static void
random_row_event(pen_wire_buf *buf)
{
	pen_event_kind kind = (pen_event_kind) (PEN_EVENT_BEGIN + next_random() % 6);
	uint32_t relations[5];
	pen_wire_mark mark;

	if (kind >= PEN_EVENT_RELATION)
		kind = (pen_event_kind) (kind + 1);
	if (kind == PEN_EVENT_BEGIN)
		pen_wire_write_begin(buf, 1 + (uint32_t) (random_number() >> 33), 1 + random_number(),
							 1 + (int64_t) (random_number() >> 1));
	else if (kind == PEN_EVENT_COMMIT)
		pen_wire_write_commit(buf, 1 + random_number(), 1 + random_number(), -5);
	else if (kind == PEN_EVENT_TRUNCATE)
	{
		for (int i = 0; i < 5; i++)
			relations[i] = (uint32_t) random_number();
		pen_wire_write_truncate(buf, relations, 1 + next_random() % 5, next_random() % 2,
								next_random() % 2);
	}
	else
	{
		int old = (int) (next_random() % 3);

		mark = pen_wire_begin_event(buf, kind, next_random() % 20000);
		pen_wire_write_relation_number(buf, 1 + (uint32_t) (random_number() >> 33));
		for (size_t n = next_random() % 12; kind != PEN_EVENT_DELETE && n > 0; n--)
			pen_wire_write_value(buf, PEN_TUPLE_NEW,
								 &(pen_value[]){random_value(kind == PEN_EVENT_UPDATE)}[0]);
		for (size_t n = next_random() % 12; kind != PEN_EVENT_INSERT && old > 0 && n > 0; n--)
			pen_wire_write_value(buf, old == 1 ? PEN_TUPLE_KEY : PEN_TUPLE_OLD,
								 &(pen_value[]){random_value(false)}[0]);
		pen_wire_end_event(buf, &mark);
	}
}

static void
random_event(pen_wire_buf *buf)
{
	if (next_random() % 2)
		random_row_event(buf);
	else
		random_extended_event(buf);
}

/* ---- comparison with protobuf-c ---- */

static void
assert_same_value(const pen_value *value, const Penstock__V1__Value *message)
{
	assert_int_equal(value->kind, message->value_case);
	switch (value->kind)
	{
		case PEN_VALUE_BOOL:
			assert_true(value->boolean == message->bool_);
			break;
		case PEN_VALUE_INT:
			assert_true(value->integer == message->int_);
			break;
		case PEN_VALUE_FLOAT:
			assert_memory_equal(&value->float4, &message->float_, sizeof(float));
			break;
		case PEN_VALUE_DOUBLE:
			assert_memory_equal(&value->float8, &message->double_, sizeof(double));
			break;
		case PEN_VALUE_STRING:
			assert_memory_equal(value->data, message->string, value->len);
			assert_int_equal(message->string[value->len], 0);
			break;
		case PEN_VALUE_BYTES:
			assert_int_equal(value->len, message->bytes.len);
			assert_memory_equal(value->data, message->bytes.data, value->len);
			break;
		default:
			break;
	}
}

static void
assert_same_tuple(const pen_tuple *tuple, size_t count, Penstock__V1__Value **messages)
{
	pen_wire_reader reader;
	pen_value value;
	size_t i = 0;

	assert_int_equal(tuple->count, count);
	pen_wire_tuple_reader(&reader, tuple);
	while (pen_wire_read_value(&reader, &value))
		assert_same_value(&value, messages[i++]);
	assert_null(reader.error);
	assert_int_equal(i, count);
}

static void
assert_same_truncate(pen_wire_event *event, const Penstock__V1__Truncate *message)
{
	uint64_t number;

	assert_int_equal(event->truncate.count, message->n_relations);
	for (size_t i = 0; i < message->n_relations; i++)
	{
		assert_true(pen_wire_read_varint(&event->truncate.relations, &number));
		assert_true(number == message->relations[i]);
	}
	assert_true(event->truncate.cascade == message->cascade);
	assert_true(event->truncate.restart_identity == message->restart_identity);
}

/* What the codec leaves to protobuf-c: its bytes. All messages of the oneof are pointers. */
static void
assert_same_body(const pen_wire_event *event, const Penstock__V1__Event *message)
{
	const ProtobufCMessage *body = (const ProtobufCMessage *) message->message;
	uint8_t packed[1024];

	assert_int_equal(protobuf_c_message_get_packed_size(body), event->body_len);
	protobuf_c_message_pack(body, packed);
	assert_memory_equal(packed, event->body, event->body_len);
}

static void
assert_same_event(pen_wire_event *event, const Penstock__V1__Event *message)
{
	assert_int_equal(event->kind, message->event_case);
	switch (event->kind)
	{
		case PEN_EVENT_BEGIN:
			assert_true(event->begin.xid == message->begin->xid);
			assert_true(event->begin.commit_lsn == message->begin->commit_lsn);
			assert_true(event->begin.commit_time == message->begin->commit_time);
			break;
		case PEN_EVENT_COMMIT:
			assert_true(event->commit.commit_lsn == message->commit->commit_lsn);
			assert_true(event->commit.end_lsn == message->commit->end_lsn);
			assert_true(event->commit.commit_time == message->commit->commit_time);
			break;
		case PEN_EVENT_INSERT:
			assert_true(event->change.relation == message->insert->relation);
			assert_same_tuple(&event->change.new_tuple, message->insert->n_new_,
							  message->insert->new_);
			break;
		case PEN_EVENT_UPDATE:
			assert_true(event->change.relation == message->update->relation);
			assert_same_tuple(&event->change.new_tuple, message->update->n_new_,
							  message->update->new_);
			assert_same_tuple(&event->change.key, message->update->n_key, message->update->key);
			assert_same_tuple(&event->change.old, message->update->n_old, message->update->old);
			break;
		case PEN_EVENT_DELETE:
			assert_true(event->change.relation == message->delete_->relation);
			assert_same_tuple(&event->change.key, message->delete_->n_key, message->delete_->key);
			assert_same_tuple(&event->change.old, message->delete_->n_old, message->delete_->old);
			break;
		case PEN_EVENT_TRUNCATE:
			assert_same_truncate(event, message->truncate);
			break;
		case PEN_EVENT_SUB_XACT:
			assert_true(event->sub_xact.xid == message->sub_xact->xid);
			break;
		default:
			assert_true(event->kind >= PEN_EVENT_MESSAGE);
			assert_same_body(event, message);
	}
}

static void
test_protobuf_c_agrees_on_every_event_and_packs_it_to_the_same_bytes(void **state)
{
	pen_wire_buf buf;

	(void) state;
	seed = UINT64_C(88172645463325252);
	pen_buffer_init(&buf);
	for (int round = 0; round < ROUNDS; round++)
	{
		Penstock__V1__Batch *batch;
		pen_wire_reader reader;
		pen_wire_event event;
		uint8_t *packed;
		size_t count = 1 + next_random() % 4;

		buf.len = 0;
		for (size_t i = 0; i < count; i++)
			random_event(&buf);
		batch = penstock__v1__batch__unpack(NULL, buf.len, buf.data);
		assert_non_null(batch);
		assert_int_equal(batch->n_events, count);
		pen_wire_reader_init(&reader, buf.data, buf.len);
		for (size_t i = 0; i < count; i++)
		{
			assert_true(pen_wire_read_event(&reader, &event));
			assert_same_event(&event, batch->events[i]);
		}
		assert_false(pen_wire_more(&reader));
		assert_int_equal(penstock__v1__batch__get_packed_size(batch), buf.len);
		packed = malloc(buf.len);
		penstock__v1__batch__pack(batch, packed);
		assert_memory_equal(packed, buf.data, buf.len);
		free(packed);
		penstock__v1__batch__free_unpacked(batch, NULL);
	}
	pen_buffer_reset(&buf);
}

/* Zeros, which protobuf libraries leave out and wire.c need not. */
static void
test_absent_fields_are_zero(void **state)
{
	static const uint8_t events[] = {0x12, 2, 0x12, 0, 0x12, 2, 0x1a, 0, 0x12, 2, 0x42, 0};
	pen_wire_reader reader;
	pen_wire_event event;

	(void) state;
	pen_wire_reader_init(&reader, events, sizeof(events));
	assert_true(pen_wire_read_event(&reader, &event));
	assert_true(event.begin.xid == 0 && event.begin.commit_lsn == 0);
	assert_true(pen_wire_read_event(&reader, &event));
	assert_true(event.commit.end_lsn == 0);
	assert_true(pen_wire_read_event(&reader, &event));
	assert_true(event.truncate.count == 0);
}

/* Kinds from 16 on have a tag of two bytes, within lengths around every boundary of theirs. */
static void
test_tags_of_two_bytes_fit_bodies_of_any_length(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (size_t len = 0; len < 17000; len += len < 300 || len > 16000 ? 1 : 97)
		for (int kind = PEN_EVENT_STREAM_PREPARE; kind <= PEN_EVENT_ROLLBACK_PREPARED; kind++)
		{
			pen_wire_reader reader;
			pen_wire_event event;
			size_t need;

			buf.len = 0;
			pen_wire_write_packed(&buf, (pen_event_kind) kind, text_space, len);
			pen_wire_reader_init(&reader, buf.data, buf.len);
			assert_int_equal(pen_wire_event_size(&reader, &need), buf.len);
			assert_true(pen_wire_read_event(&reader, &event));
			assert_int_equal(event.kind, kind);
			assert_int_equal(event.body_len, len);
			assert_false(pen_wire_more(&reader));
		}
	pen_buffer_reset(&buf);
}

/* ---- damage ---- */

static void
test_every_truncation_is_an_error_and_incomplete(void **state)
{
	pen_wire_buf buf;

	(void) state;
	seed = 12345;
	pen_buffer_init(&buf);
	for (int round = 0; round < 200; round++)
	{
		size_t len;

		buf.len = 0;
		random_event(&buf);
		len = buf.len < 600 ? buf.len : 600;
		for (size_t cut = 0; cut < len; cut++)
		{
			uint8_t *exact = malloc(cut > 0 ? cut : 1);
			pen_wire_reader reader;
			pen_wire_event event;
			size_t need;

			memcpy(exact, buf.data, cut);
			pen_wire_reader_init(&reader, exact, cut);
			assert_int_equal(pen_wire_event_size(&reader, &need), 0);
			assert_null(reader.error);
			assert_true(need > cut && need <= buf.len);
			assert_false(pen_wire_read_event(&reader, &event));
			assert_non_null(reader.error);
			free(exact);
		}
	}
	pen_buffer_reset(&buf);
}

static void
test_flipped_bytes_never_read_outside(void **state)
{
	pen_wire_buf buf;

	(void) state;
	seed = 777;
	pen_buffer_init(&buf);
	for (int round = 0; round < 20000; round++)
	{
		uint8_t *exact;
		pen_wire_reader reader;
		pen_wire_event event;

		buf.len = 0;
		random_event(&buf);
		exact = malloc(buf.len);
		memcpy(exact, buf.data, buf.len);
		for (int flips = 0; flips < 3; flips++)
			exact[next_random() % (buf.len < 64 ? buf.len : 64)] = (uint8_t) next_random();
		pen_wire_reader_init(&reader, exact, buf.len);
		while (pen_wire_more(&reader) && pen_wire_read_event(&reader, &event))
			;
		free(exact);
	}
	pen_buffer_reset(&buf);
}

#define REFUSED(...)                                                                               \
	{                                                                                              \
		.bytes = (const uint8_t[]){__VA_ARGS__}, .len = sizeof((const uint8_t[]){__VA_ARGS__})     \
	}

static void
test_one_past_each_limit_is_refused(void **state)
{
	const struct
	{
		const uint8_t *bytes;
		size_t len;
	} cases[] = {
		REFUSED(0x0a, 2, 0x12, 0),                                     /* not an event */
		REFUSED(0x12, 0),                                              /* unset */
		REFUSED(0x12, 3, 0xaa, 1, 0),                                  /* unknown kind */
		REFUSED(0x12, 4, 0x12, 0, 0x1a, 0),                            /* two messages */
		REFUSED(0x12, 3, 0x12, 2, 0x08),                               /* inner too long */
		REFUSED(0x12, 8, 0x12, 6, 0x08, 0x80, 0x80, 0x80, 0x80, 0x10), /* xid of 33 bits */
		REFUSED(0x12, 13, 0x12, 11, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
				0x02),                                                 /* 65 bits */
		REFUSED(0x12, 4, 0x12, 2, 0x20, 1),                            /* unknown field */
		REFUSED(0x12, 8, 0x2a, 6, 0x08, 1, 0x12, 2, 0x08, 2),          /* boolean 2 */
		REFUSED(0x12, 8, 0x2a, 6, 0x08, 1, 0x12, 2, 0x38, 0),          /* unchanged false */
		REFUSED(0x12, 8, 0x2a, 6, 0x08, 1, 0x12, 2, 0x40, 1),          /* unknown member */
		REFUSED(0x12, 10, 0x2a, 8, 0x08, 1, 0x12, 4, 8, 1, 8, 1),      /* two members */
		REFUSED(0x12, 6, 0x2a, 4, 0x08, 1, 0x1a, 0),                   /* an insert with a key */
		REFUSED(0x12, 8, 0x3a, 6, 0x08, 1, 0x1a, 0, 0x22, 0),          /* key and old row */
		REFUSED(0x12, 6, 0x3a, 4, 0x08, 1, 0x12, 0),                   /* a delete with a new row */
		REFUSED(0x12, 8, 0x32, 6, 0x08, 1, 0x1a, 0, 0x12, 0),          /* key before new row */
		REFUSED(0x12, 4, 0x42, 2, 0x10, 2),                            /* cascade 2 */
		REFUSED(0x12, 8, 0x7a, 6, 0x08, 0x80, 0x80, 0x80, 0x80, 0x10), /* xid of 33 bits */
		REFUSED(0x12, 4, 0x7a, 2, 0x10, 1),                            /* unknown field */
		REFUSED(0x12, 6, 0x7a, 4, 0x08, 1, 0x08, 1),                   /* twice */
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		pen_wire_reader reader;
		pen_wire_event event;

		pen_wire_reader_init(&reader, cases[i].bytes, cases[i].len);
		assert_false(pen_wire_read_event(&reader, &event));
		assert_non_null(reader.error);
	}
}

static bool
no_memory(pen_wire_buf *buf, size_t need)
{
	(void) buf;
	(void) need;
	return false;
}

static void
test_a_failed_grow_writes_nothing_and_is_sticky(void **state)
{
	pen_wire_buf buf = {.grow = no_memory};

	(void) state;
	seed = 4711;
	for (int i = 0; i < 200; i++)
		random_event(&buf);
	assert_true(buf.failed);
	assert_int_equal(buf.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protobuf_c_agrees_on_every_event_and_packs_it_to_the_same_bytes),
		cmocka_unit_test(test_absent_fields_are_zero),
		cmocka_unit_test(test_tags_of_two_bytes_fit_bodies_of_any_length),
		cmocka_unit_test(test_every_truncation_is_an_error_and_incomplete),
		cmocka_unit_test(test_flipped_bytes_never_read_outside),
		cmocka_unit_test(test_one_past_each_limit_is_refused),
		cmocka_unit_test(test_a_failed_grow_writes_nothing_and_is_sticky)};

	memset(text_space, 'x', sizeof(text_space));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
