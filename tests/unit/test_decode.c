/* test_decode.c -- what a stream may say, and what a saved one may look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "decode/capture.h"
#include "decode/decode.h"
#include "event/line.h"
#include "narrate.h"
#include "penstock.pb-c.h"

static void
put_session(pen_wire_buf *buf, uint32_t version)
{
	Penstock__V1__Session session = PENSTOCK__V1__SESSION__INIT;
	uint8_t packed[64];

	session.protocol_version = version;
	session.server_version = 150020;
	pen_wire_write_packed(buf, PEN_EVENT_SESSION, packed,
						  penstock__v1__session__pack(&session, packed));
}

/* public.users(id bigint primary key, name text) */
static void
put_relation(pen_wire_buf *buf, uint32_t number, char *second_name, int encoding)
{
	Penstock__V1__Relation relation = PENSTOCK__V1__RELATION__INIT;
	Penstock__V1__Column id = PENSTOCK__V1__COLUMN__INIT;
	Penstock__V1__Column name = PENSTOCK__V1__COLUMN__INIT;
	Penstock__V1__Column *columns[] = {&id, &name};
	uint8_t packed[256];

	relation.number = number;
	relation.schema = "public";
	relation.name = "users";
	relation.replica_identity = PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_DEFAULT;
	relation.n_columns = 2;
	relation.columns = columns;
	id.name = "id";
	id.attnum = 1;
	id.base_type_oid = 20;
	id.primary_key = id.identity = 1;
	id.encoding = PENSTOCK__V1__ENCODING__ENCODING_INT;
	name.name = second_name;
	name.attnum = 2;
	name.base_type_oid = 25;
	name.encoding = (Penstock__V1__Encoding) encoding;
	pen_wire_write_packed(buf, PEN_EVENT_RELATION, packed,
						  penstock__v1__relation__pack(&relation, packed));
}

static void
put_insert(pen_wire_buf *buf, uint32_t relation, int64_t id, const char *name)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_INSERT, 20);

	pen_wire_write_relation_number(buf, relation);
	pen_wire_write_int(buf, PEN_TUPLE_NEW, id);
	if (name != NULL)
		pen_wire_write_string(buf, PEN_TUPLE_NEW, name, strlen(name));
	pen_wire_end_event(buf, &mark);
}

static void
put_start(pen_wire_buf *buf)
{
	buf->len = 0;
	put_session(buf, 1);
	put_relation(buf, 1, "name", PENSTOCK__V1__ENCODING__ENCODING_TEXT);
	pen_wire_write_begin(buf, 7, 100, 0);
}

/* Decode everything; the status of the first failure, or OK. */
static penstock_status
decode_all(const pen_wire_buf *buf, pen_wire_buf *lines)
{
	pen_decoder *decoder = pen_decoder_new();
	penstock_status status = PENSTOCK_OK;
	pen_wire_reader reader;
	pen_decoded decoded;
	pen_error error;

	pen_error_clear(&error);
	pen_wire_reader_init(&reader, buf->data, buf->len);
	while (status >= 0 && pen_wire_more(&reader))
	{
		status = pen_decode_event(decoder, &reader, &decoded, &error);
		if (status >= 0 && lines != NULL && decoded.kind != PEN_EVENT_SESSION &&
			decoded.kind != PEN_EVENT_RELATION)
			status = pen_event_json(&decoded.event, lines, &error);
	}
	assert_true((status < 0) == (error.text[0] != '\0'));
	pen_decoder_free(decoder);
	return status;
}

static void
test_a_transaction_becomes_numbered_events(void **state)
{
	static const char expected[] =
		"{\"op\":\"begin\",\"xid\":7,\"lsn\":\"0/64\",\"time\":\"2000-01-01T00:00:00.000000Z\"}\n"
		"{\"op\":\"insert\",\"xid\":7,\"lsn\":\"0/64\",\"time\":\"2000-01-01T00:00:00.000000Z\","
		"\"seq\":1,\"schema\":\"public\",\"table\":\"users\",\"new\":{\"id\":1,\"name\":\"a\"}}\n"
		"{\"op\":\"truncate\",\"xid\":7,\"lsn\":\"0/64\",\"time\":\"2000-01-01T00:00:00.000000Z\","
		"\"seq\":2,\"tables\":[{\"schema\":\"public\",\"table\":\"users\"}],\"cascade\":false,"
		"\"restart_identity\":false}\n"
		"{\"op\":\"commit\",\"xid\":7,\"lsn\":\"0/64\",\"time\":\"2000-01-01T00:00:00.000000Z\","
		"\"end_lsn\":\"0/C8\"}\n";
	pen_wire_buf buf;
	pen_wire_buf lines;

	(void) state;
	pen_buffer_init(&buf);
	pen_buffer_init(&lines);
	put_start(&buf);
	put_insert(&buf, 1, 1, "a");
	pen_wire_write_truncate(&buf, (const uint32_t[]){1}, 1, false, false);
	pen_wire_write_commit(&buf, 100, 200, 0);
	assert_int_equal(decode_all(&buf, &lines), PENSTOCK_OK);
	assert_int_equal(lines.len, sizeof(expected) - 1);
	assert_memory_equal(lines.data, expected, lines.len);
	pen_buffer_reset(&buf);
	pen_buffer_reset(&lines);
}

static void
test_a_new_session_forgets_relations_and_the_open_transaction(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	put_start(&buf);
	put_session(&buf, 1);
	pen_wire_write_begin(&buf, 8, 300, 0);
	assert_int_equal(decode_all(&buf, NULL), PENSTOCK_OK);
	put_insert(&buf, 1, 1, "a");
	assert_int_equal(decode_all(&buf, NULL), PENSTOCK_E_DATA);
	pen_buffer_reset(&buf);
}

static void
test_what_a_stream_cannot_say_is_bad_data(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (int wrong = 0; wrong < 14; wrong++)
	{
		pen_wire_mark mark;

		put_start(&buf);
		if (wrong == 0)
			put_insert(&buf, 2, 1, "a"); /* not described */
		else if (wrong == 1)
			put_insert(&buf, 1, 1, NULL); /* a value short */
		else if (wrong == 2)
			put_relation(&buf, 1, "name", 6); /* used twice */
		else if (wrong == 3)
			put_relation(&buf, 0, "name", 6);
		else if (wrong == 4)
			put_relation(&buf, PEN_DECODER_NUMBER_MAX + 1, "name", 6);
		else if (wrong == 5)
			put_relation(&buf, 2, "id", 6); /* two columns of one name */
		else if (wrong == 6)
			put_relation(&buf, 2, "\xff", 6);
		else if (wrong == 7)
			put_relation(&buf, 2, "name", 15); /* unknown encoding */
		else if (wrong == 8)
			pen_wire_write_begin(&buf, 8, 101, 0);
		else if (wrong == 9)
			pen_wire_write_commit(&buf, 101, 200, 0);
		else if (wrong == 10)
			put_session(&buf, PEN_PROTOCOL_VERSION_MAX + 1);
		else if (wrong == 11)
			pen_wire_write_truncate(&buf, (const uint32_t[]){3}, 1, false, false);
		else
		{
			/* a delete without a key; a value of another kind */
			mark = pen_wire_begin_event(&buf, PEN_EVENT_DELETE, 9);
			pen_wire_write_relation_number(&buf, 1);
			if (wrong == 13)
				pen_wire_write_bool(&buf, PEN_TUPLE_KEY, true);
			pen_wire_end_event(&buf, &mark);
		}
		assert_int_equal(decode_all(&buf, NULL), PENSTOCK_E_DATA);
	}
	buf.len = 0;
	pen_wire_write_begin(&buf, 8, 101, 0); /* no session */
	assert_int_equal(decode_all(&buf, NULL), PENSTOCK_E_DATA);
	pen_buffer_reset(&buf);
}

/* ---- streams, prepared transactions, messages, origins ---- */

static void
put_packed(pen_wire_buf *buf, pen_event_kind kind, const ProtobufCMessage *message)
{
	uint8_t packed[256];

	pen_wire_write_packed(buf, kind, packed, protobuf_c_message_pack(message, packed));
}

/* An event of the kind, of transaction 7 where it names one. */
static void
put_extended(pen_wire_buf *buf, pen_event_kind kind)
{
	static uint8_t content[] = {0xff};
	Penstock__V1__Message message = PENSTOCK__V1__MESSAGE__INIT;
	Penstock__V1__Origin origin = PENSTOCK__V1__ORIGIN__INIT;
	Penstock__V1__StreamStart start = PENSTOCK__V1__STREAM_START__INIT;
	Penstock__V1__StreamStop stop = PENSTOCK__V1__STREAM_STOP__INIT;
	Penstock__V1__StreamAbort stream_abort = PENSTOCK__V1__STREAM_ABORT__INIT;
	Penstock__V1__StreamCommit commit = PENSTOCK__V1__STREAM_COMMIT__INIT;
	Penstock__V1__PreparedTransaction prepare = PENSTOCK__V1__PREPARED_TRANSACTION__INIT;
	Penstock__V1__RollbackPrepared rollback = PENSTOCK__V1__ROLLBACK_PREPARED__INIT;

	message.transactional = true;
	message.content = (ProtobufCBinaryData){1, content};
	start.xid = stream_abort.xid = commit.xid = prepare.xid = rollback.xid = 7;
	stream_abort.subxid = 8;
	commit.end_lsn = prepare.end_lsn = rollback.end_lsn = 200;
	if (kind == PEN_EVENT_MESSAGE)
		put_packed(buf, kind, &message.base);
	else if (kind == PEN_EVENT_ORIGIN)
		put_packed(buf, kind, &origin.base);
	else if (kind == PEN_EVENT_STREAM_START)
		put_packed(buf, kind, &start.base);
	else if (kind == PEN_EVENT_STREAM_STOP)
		put_packed(buf, kind, &stop.base);
	else if (kind == PEN_EVENT_STREAM_ABORT)
		put_packed(buf, kind, &stream_abort.base);
	else if (kind == PEN_EVENT_STREAM_COMMIT)
		put_packed(buf, kind, &commit.base);
	else if (kind == PEN_EVENT_SUB_XACT)
		pen_wire_write_sub_xact(buf, 8);
	else if (kind == PEN_EVENT_ROLLBACK_PREPARED)
		put_packed(buf, kind, &rollback.base);
	else
		put_packed(buf, kind, &prepare.base);
}

/* Of every event the name of its op and its number, as `penstock decode` would tell it. */
static penstock_status
tell_all(const pen_wire_buf *buf, char *ops, size_t size)
{
	pen_decoder *decoder = pen_decoder_new();
	pen_narrator *narrator = pen_decoder_narrator(decoder);
	penstock_status status = PENSTOCK_OK;
	pen_wire_reader reader;
	pen_decoded decoded;
	pen_error error;
	size_t used = 0;

	pen_error_clear(&error);
	pen_wire_reader_init(&reader, buf->data, buf->len);
	*ops = '\0';
	while (status >= 0 && pen_wire_more(&reader))
	{
		pen_wire_buf line;

		pen_buffer_init(&line);
		status = pen_decode_event(decoder, &reader, &decoded, &error);
		if (status >= 0 && decoded.kind >= PEN_EVENT_INSERT && decoded.kind <= PEN_EVENT_TRUNCATE)
			status = pen_event_json_under(&decoded.event, &narrator->head, &line, &error);
		else if (status >= 0 && pen_narrate_json(narrator, &decoded.wire, &line) != NULL)
			status = pen_error_set(&error, PENSTOCK_E_DATA, "not told");
		if (status >= 0 && line.len > 7)
			used += (size_t) snprintf(ops + used, size - used, "%.*s%d ",
									  (int) strcspn((char *) line.data + 7, "\""),
									  (char *) line.data + 7, (int) decoded.event.sequence);
		pen_buffer_reset(&line);
	}
	pen_decoder_free(decoder);
	return status;
}

static void
test_a_capture_of_version_2_decodes(void **state)
{
	static const pen_event_kind kinds[] = {
		PEN_EVENT_STREAM_START,    PEN_EVENT_ORIGIN,           PEN_EVENT_INSERT,
		PEN_EVENT_SUB_XACT,        PEN_EVENT_INSERT,           PEN_EVENT_MESSAGE,
		PEN_EVENT_STREAM_STOP,     PEN_EVENT_STREAM_ABORT,     PEN_EVENT_STREAM_START,
		PEN_EVENT_INSERT,          PEN_EVENT_STREAM_STOP,      PEN_EVENT_STREAM_COMMIT,
		PEN_EVENT_STREAM_PREPARE,  PEN_EVENT_BEGIN_PREPARE,    PEN_EVENT_ORIGIN,
		PEN_EVENT_INSERT,          PEN_EVENT_INSERT,           PEN_EVENT_PREPARE,
		PEN_EVENT_COMMIT_PREPARED, PEN_EVENT_ROLLBACK_PREPARED};
	char ops[2000];
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	put_session(&buf, 2);
	put_relation(&buf, 1, "name", PENSTOCK__V1__ENCODING__ENCODING_TEXT);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (kinds[i] == PEN_EVENT_INSERT)
			put_insert(&buf, 1, 1, "a");
		else
			put_extended(&buf, kinds[i]);
	}
	assert_int_equal(tell_all(&buf, ops, sizeof(ops)), PENSTOCK_OK);
	assert_string_equal(
		ops, "relation0 stream_start0 origin0 insert1 insert2 message0 stream_stop0 stream_abort0 "
			 "stream_start0 insert1 stream_stop0 stream_commit0 stream_prepare0 begin_prepare0 "
			 "origin0 insert1 insert2 prepare0 commit_prepared0 rollback_prepared0 ");
	pen_buffer_reset(&buf);
}

static void
test_an_event_of_version_2_in_the_wrong_place_is_bad_data(void **state)
{
	char ops[2000];
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (int kind = PEN_EVENT_MESSAGE; kind <= PEN_EVENT_ROLLBACK_PREPARED; kind++)
	{
		bool may_begin = kind != PEN_EVENT_MESSAGE && kind != PEN_EVENT_ORIGIN &&
						 kind != PEN_EVENT_STREAM_STOP && kind != PEN_EVENT_SUB_XACT &&
						 kind != PEN_EVENT_PREPARE;

		/* between transactions */
		buf.len = 0;
		put_session(&buf, 2);
		put_extended(&buf, (pen_event_kind) kind);
		assert_int_equal(tell_all(&buf, ops, sizeof(ops)),
						 may_begin ? PENSTOCK_OK : PENSTOCK_E_DATA);
		/* in one that was begun by a Begin */
		put_start(&buf);
		put_extended(&buf, (pen_event_kind) kind);
		assert_int_equal(tell_all(&buf, ops, sizeof(ops)),
						 kind == PEN_EVENT_MESSAGE || kind == PEN_EVENT_ORIGIN ? PENSTOCK_OK
																			   : PENSTOCK_E_DATA);
		/* before the session */
		buf.len = 0;
		put_extended(&buf, (pen_event_kind) kind);
		assert_int_equal(tell_all(&buf, ops, sizeof(ops)), PENSTOCK_E_DATA);
	}
	/* a commit ends neither a part of a stream nor a prepared transaction */
	for (int i = 0; i < 2; i++)
	{
		buf.len = 0;
		put_session(&buf, 2);
		put_extended(&buf, i == 0 ? PEN_EVENT_STREAM_START : PEN_EVENT_BEGIN_PREPARE);
		pen_wire_write_commit(&buf, 0, 200, 0);
		assert_int_equal(tell_all(&buf, ops, sizeof(ops)), PENSTOCK_E_DATA);
	}
	pen_buffer_reset(&buf);
}

/* ---- saved streams ---- */

/* Count the events of a file with this content. */
static penstock_status
read_capture(const pen_wire_buf *buf, size_t len, int *events, pen_error *error)
{
	char name[] = "/tmp/test_decode.XXXXXX";
	int fd = mkstemp(name);
	penstock_status status;
	pen_capture capture;
	const uint8_t *event;
	size_t event_len;
	uint64_t offset;

	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, buf->data, len), (ssize_t) len);
	lseek(fd, 0, SEEK_SET);
	pen_capture_init(&capture, fd);
	for (*events = 0;
		 (status = pen_capture_next(&capture, &event, &event_len, &offset, error)) == PENSTOCK_OK;)
		(*events)++;
	pen_capture_reset(&capture);
	close(fd);
	return status;
}

static void
test_newlines_between_events_are_skipped(void **state)
{
	pen_wire_buf buf;
	pen_error error;
	int events;

	(void) state;
	pen_buffer_init(&buf);
	pen_wire_append(&buf, "\n\n", 2);
	for (int i = 0; i < 50000; i++)
	{
		put_insert(&buf, 10, '\n', "\n\n");
		if (i % 3 == 0)
			pen_wire_append(&buf, "\n", 1);
	}
	assert_int_equal(read_capture(&buf, buf.len, &events, &error), PENSTOCK_DONE);
	assert_int_equal(events, 50000);
	pen_buffer_reset(&buf);
}

static void
test_a_cut_capture_is_bad_data_after_the_whole_events(void **state)
{
	pen_wire_buf buf;
	pen_error error;
	size_t first;
	int events;

	(void) state;
	pen_buffer_init(&buf);
	put_insert(&buf, 1, 1, "a");
	first = buf.len;
	put_insert(&buf, 1, 2, "b");
	for (size_t cut = first + 1; cut < buf.len; cut++)
	{
		assert_int_equal(read_capture(&buf, cut, &events, &error), PENSTOCK_E_DATA);
		assert_int_equal(events, 1);
	}
	pen_wire_append(&buf, "x", 1);
	assert_int_equal(read_capture(&buf, buf.len, &events, &error), PENSTOCK_E_DATA);
	assert_int_equal(events, 2);
	pen_buffer_reset(&buf);
}

static void
test_an_event_larger_than_the_limit_is_refused_before_it_is_read(void **state)
{
	pen_wire_buf buf;
	pen_error error;
	int events;

	(void) state;
	pen_buffer_init(&buf);
	pen_wire_append(&buf, "\x12", 1);
	pen_wire_write_varint(&buf, PEN_CAPTURE_EVENT_LEN_MAX);
	assert_int_equal(read_capture(&buf, buf.len, &events, &error), PENSTOCK_E_DATA);
	assert_non_null(strstr(error.text, "1 GB"));
	pen_buffer_reset(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_transaction_becomes_numbered_events),
		cmocka_unit_test(test_a_new_session_forgets_relations_and_the_open_transaction),
		cmocka_unit_test(test_what_a_stream_cannot_say_is_bad_data),
		cmocka_unit_test(test_a_capture_of_version_2_decodes),
		cmocka_unit_test(test_an_event_of_version_2_in_the_wrong_place_is_bad_data),
		cmocka_unit_test(test_newlines_between_events_are_skipped),
		cmocka_unit_test(test_a_cut_capture_is_bad_data_after_the_whole_events),
		cmocka_unit_test(test_an_event_larger_than_the_limit_is_refused_before_it_is_read)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
