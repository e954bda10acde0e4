/* test_narrate.c -- each event's JSON, where an event may stand, and what damage may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "narrate.h"
#include "stream_events.h"

/* What is unpacked; emptied before each event, as the owner of a narrator does. */
static char arena[1 << 16];
static size_t arena_used;

static void *
allocate(void *unused, size_t size)
{
	void *result = arena + arena_used;

	(void) unused;
	if (size > sizeof(arena) - arena_used)
		return NULL;
	arena_used += (size + 15) / 16 * 16;
	return result;
}

static void
release(void *unused, void *pointer)
{
	(void) unused;
	(void) pointer;
}

static ProtobufCAllocator allocator = {allocate, release, NULL};

/* public.users(id bigint primary key, name text), number 1 */
static Penstock__V1__Column id_column = PENSTOCK__V1__COLUMN__INIT;
static Penstock__V1__Column name_column = PENSTOCK__V1__COLUMN__INIT;
static Penstock__V1__Column *columns[] = {&id_column, &name_column};
static Penstock__V1__Relation users = PENSTOCK__V1__RELATION__INIT;

static int
describe_users(void **state)
{
	(void) state;
	id_column.name = "id";
	id_column.attnum = 1;
	id_column.type_schema = "pg_catalog";
	id_column.type_name = "int8";
	id_column.type_oid = id_column.base_type_oid = 20;
	id_column.typmod = -1;
	id_column.not_null = true;
	id_column.primary_key = id_column.identity = 1;
	id_column.encoding = PENSTOCK__V1__ENCODING__ENCODING_INT;
	name_column.name = "na\"me";
	name_column.attnum = 3;
	name_column.type_schema = "public";
	name_column.type_name = "title";
	name_column.type_oid = 70000;
	name_column.base_type_oid = 25;
	name_column.typmod = 44;
	name_column.generated = PENSTOCK__V1__COLUMN__GENERATED__GENERATED_STORED;
	name_column.encoding = PENSTOCK__V1__ENCODING__ENCODING_TEXT;
	users.number = 1;
	users.oid = 4000000000U;
	users.schema = "public";
	users.name = "users";
	users.kind = PENSTOCK__V1__RELATION__KIND__KIND_PARTITIONED;
	users.replica_identity = PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_INDEX;
	users.columns = columns;
	users.n_columns = 2;
	return 0;
}

static const Penstock__V1__Relation *
find_relation(void *arg, uint32_t number)
{
	(void) arg;
	return number == 1 ? &users : NULL;
}

static pen_narrator
new_narrator(void)
{
	return (pen_narrator){.allocator = &allocator, .find_relation = find_relation};
}

/* ---- events ---- */

static ProtobufCBinaryData
binary(const char *text)
{
	return (ProtobufCBinaryData){strlen(text), (uint8_t *) text};
}

static void
put_insert(pen_wire_buf *buf, int64_t id, const char *name)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_INSERT, 20);

	pen_wire_write_relation_number(buf, 1);
	pen_wire_write_int(buf, PEN_TUPLE_NEW, id);
	pen_wire_write_string(buf, PEN_TUPLE_NEW, name, strlen(name));
	pen_wire_end_event(buf, &mark);
}

static void
put_update(pen_wire_buf *buf)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_UPDATE, 20);

	pen_wire_write_relation_number(buf, 1);
	pen_wire_write_int(buf, PEN_TUPLE_NEW, 2);
	pen_wire_write_unchanged(buf, PEN_TUPLE_NEW);
	pen_wire_write_int(buf, PEN_TUPLE_KEY, 1);
	pen_wire_end_event(buf, &mark);
}

static void
put_delete(pen_wire_buf *buf)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_DELETE, 20);

	pen_wire_write_relation_number(buf, 1);
	pen_wire_write_int(buf, PEN_TUPLE_OLD, 2);
	pen_wire_write_null(buf, PEN_TUPLE_OLD);
	pen_wire_end_event(buf, &mark);
}

static void
put_message(pen_wire_buf *buf, bool transactional, ProtobufCBinaryData prefix,
			ProtobufCBinaryData content)
{
	Penstock__V1__Message message = PENSTOCK__V1__MESSAGE__INIT;

	message.lsn = 255;
	message.transactional = transactional;
	message.prefix = prefix;
	message.content = content;
	put(buf, PEN_EVENT_MESSAGE, &message.base);
}

static void
put_origin(pen_wire_buf *buf, const char *name)
{
	Penstock__V1__Origin origin = PENSTOCK__V1__ORIGIN__INIT;

	origin.name = binary(name);
	origin.lsn = UINT64_C(0xFFFFFFFF00000000);
	put(buf, PEN_EVENT_ORIGIN, &origin.base);
}

static void
put_stream_commit(pen_wire_buf *buf, uint32_t xid)
{
	Penstock__V1__StreamCommit commit = PENSTOCK__V1__STREAM_COMMIT__INIT;

	commit.xid = xid;
	commit.commit_lsn = 100;
	commit.end_lsn = 200;
	commit.commit_time = -1;
	put(buf, PEN_EVENT_STREAM_COMMIT, &commit.base);
}

/* The same message for stream_prepare, begin_prepare, prepare and commit_prepared. */
static void
put_prepare(pen_wire_buf *buf, pen_event_kind kind, ProtobufCBinaryData gid, int64_t time)
{
	Penstock__V1__PreparedTransaction prepare = PENSTOCK__V1__PREPARED_TRANSACTION__INIT;

	prepare.xid = 9;
	prepare.gid = gid;
	prepare.lsn = 300;
	prepare.end_lsn = 400;
	prepare.time = time;
	put(buf, kind, &prepare.base);
}

static void
put_rollback_prepared(pen_wire_buf *buf)
{
	Penstock__V1__RollbackPrepared rollback = PENSTOCK__V1__ROLLBACK_PREPARED__INIT;

	rollback.xid = 9;
	rollback.gid = binary("g");
	rollback.prepare_end_lsn = 400;
	rollback.end_lsn = 500;
	rollback.prepare_time = 0;
	rollback.rollback_time = 1000000;
	put(buf, PEN_EVENT_ROLLBACK_PREPARED, &rollback.base);
}

/* ---- telling them ---- */

/* All events, a line each; NULL, or what is wrong with the first that is not told. */
static const char *
narrate(const pen_wire_buf *buf, pen_wire_buf *lines)
{
	pen_narrator narrator = new_narrator();
	pen_wire_reader reader;
	pen_wire_event event;

	pen_wire_reader_init(&reader, buf->data, buf->len);
	while (pen_wire_more(&reader))
	{
		const char *wrong;
		size_t start = lines->len;

		arena_used = 0;
		if (!pen_wire_read_event(&reader, &event))
			return reader.error;
		wrong = pen_narrate_follow(&narrator, &event);
		if (wrong == NULL)
			wrong = pen_narrate_json(&narrator, &event, lines);
		if (wrong != NULL)
			return wrong;
		if (lines->len > start)
			pen_wire_append(lines, "\n", 1);
	}
	return reader.error;
}

static void
assert_told(const pen_wire_buf *buf, const char *expected)
{
	pen_wire_buf lines;

	pen_buffer_init(&lines);
	assert_null(narrate(buf, &lines));
	pen_wire_append(&lines, "", 1);
	assert_string_equal((char *) lines.data, expected);
	pen_buffer_reset(&lines);
}

#define HEAD7 "\"xid\":7,\"lsn\":\"0/64\",\"time\":\"2000-01-01T00:00:00.000000Z\""
#define HEAD9 "\"xid\":9,\"lsn\":\"0/12C\",\"time\":\"2000-01-01T00:00:01.500000Z\""
#define USERS ",\"schema\":\"public\",\"table\":\"users\""

static void
test_a_transaction_is_told_as_FORMAT_md_says(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	put_session(&buf);
	pen_wire_write_begin(&buf, 7, 100, 0);
	put_origin(&buf, "node \"1\"");
	put(&buf, PEN_EVENT_RELATION, &users.base);
	put_insert(&buf, 1, "a\nb");
	put_message(&buf, true, binary("p"), binary("c"));
	put_update(&buf);
	put_delete(&buf);
	pen_wire_write_truncate(&buf, (const uint32_t[]){1, 1}, 2, true, false);
	pen_wire_write_commit(&buf, 100, 200, 0);
	put_message(&buf, false, binary(""), binary(""));
	assert_told(
		&buf,
		"{\"op\":\"begin\"," HEAD7 "}\n"
		"{\"op\":\"origin\"," HEAD7 ",\"name\":\"node \\\"1\\\"\",\"origin_lsn\":\"FFFFFFFF/0\"}\n"
		"{\"op\":\"relation\"" USERS ",\"oid\":4000000000,\"partitioned\":true,"
		"\"replica_identity\":\"index\",\"columns\":["
		"{\"name\":\"id\",\"type\":\"int8\",\"type_schema\":\"pg_catalog\",\"type_oid\":20,"
		"\"attnum\":1,\"not_null\":true,\"primary_key\":1,\"identity\":1},"
		"{\"name\":\"na\\\"me\",\"type\":\"title\",\"type_schema\":\"public\",\"type_oid\":70000,"
		"\"base_type_oid\":25,\"typmod\":44,\"attnum\":3,\"not_null\":false,\"generated\":true}]}\n"
		"{\"op\":\"insert\"," HEAD7 ",\"seq\":1" USERS
		",\"new\":{\"id\":1,\"na\\\"me\":\"a\\nb\"}}\n"
		"{\"op\":\"message\"," HEAD7 ",\"seq\":2,\"message_lsn\":\"0/FF\",\"transactional\":true,"
		"\"prefix\":\"p\",\"content\":\"c\"}\n"
		"{\"op\":\"update\"," HEAD7 ",\"seq\":3" USERS
		",\"new\":{\"id\":2},\"unchanged\":[\"na\\\"me\"],\"key\":{\"id\":1}}\n"
		"{\"op\":\"delete\"," HEAD7 ",\"seq\":4" USERS ",\"old\":{\"id\":2,\"na\\\"me\":null}}\n"
		"{\"op\":\"truncate\"," HEAD7 ",\"seq\":5,\"tables\":[{\"schema\":\"public\","
		"\"table\":\"users\"},{\"schema\":\"public\",\"table\":\"users\"}],\"cascade\":true,"
		"\"restart_identity\":false}\n"
		"{\"op\":\"commit\"," HEAD7 ",\"end_lsn\":\"0/C8\"}\n"
		"{\"op\":\"message\",\"message_lsn\":\"0/FF\",\"transactional\":false,\"prefix\":\"\","
		"\"content\":\"\"}\n");
	pen_buffer_reset(&buf);
}

static void
test_parts_of_a_stream_have_xids_only_until_they_count(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	put_session(&buf);
	put_stream_start(&buf, 7, true);
	put_origin(&buf, "o");
	put_insert(&buf, 1, "x");
	pen_wire_write_sub_xact(&buf, 8);
	put_insert(&buf, 2, "x");
	put_message(&buf, true, binary("p"), binary("c"));
	pen_wire_write_sub_xact(&buf, 7);
	put_delete(&buf);
	put_stream_stop(&buf);
	put_stream_abort(&buf, 7, 8);
	/* a new part begins with the top-level transaction's own */
	put_stream_start(&buf, 7, false);
	put_insert(&buf, 3, "x");
	pen_wire_write_sub_xact(&buf, 4000000000U);
	pen_wire_write_truncate(&buf, (const uint32_t[]){1}, 1, false, true);
	put_stream_stop(&buf);
	put_stream_commit(&buf, 7);
	put_stream_start(&buf, 9, true);
	put_stream_stop(&buf);
	put_prepare(&buf, PEN_EVENT_STREAM_PREPARE, binary("g"), 1500000);
	put_stream_abort(&buf, 5, 5);
	assert_told(&buf,
				"{\"op\":\"stream_start\",\"xid\":7,\"first\":true}\n"
				"{\"op\":\"origin\",\"xid\":7,\"name\":\"o\"}\n"
				"{\"op\":\"insert\",\"xid\":7" USERS ",\"new\":{\"id\":1,\"na\\\"me\":\"x\"}}\n"
				"{\"op\":\"insert\",\"xid\":7,\"subxid\":8" USERS
				",\"new\":{\"id\":2,\"na\\\"me\":\"x\"}}\n"
				"{\"op\":\"message\",\"xid\":7,\"subxid\":8,\"message_lsn\":\"0/FF\","
				"\"transactional\":true,\"prefix\":\"p\",\"content\":\"c\"}\n"
				"{\"op\":\"delete\",\"xid\":7" USERS ",\"old\":{\"id\":2,\"na\\\"me\":null}}\n"
				"{\"op\":\"stream_stop\",\"xid\":7}\n"
				"{\"op\":\"stream_abort\",\"xid\":7,\"subxid\":8}\n"
				"{\"op\":\"stream_start\",\"xid\":7,\"first\":false}\n"
				"{\"op\":\"insert\",\"xid\":7" USERS ",\"new\":{\"id\":3,\"na\\\"me\":\"x\"}}\n"
				"{\"op\":\"truncate\",\"xid\":7,\"subxid\":4000000000,\"tables\":"
				"[{\"schema\":\"public\",\"table\":\"users\"}],\"cascade\":false,"
				"\"restart_identity\":true}\n"
				"{\"op\":\"stream_stop\",\"xid\":7}\n"
				"{\"op\":\"stream_commit\",\"xid\":7,\"lsn\":\"0/64\","
				"\"time\":\"1999-12-31T23:59:59.999999Z\",\"end_lsn\":\"0/C8\"}\n"
				"{\"op\":\"stream_start\",\"xid\":9,\"first\":true}\n"
				"{\"op\":\"stream_stop\",\"xid\":9}\n"
				"{\"op\":\"stream_prepare\",\"xid\":9,\"gid\":\"g\",\"lsn\":\"0/12C\","
				"\"time\":\"2000-01-01T00:00:01.500000Z\",\"end_lsn\":\"0/190\"}\n"
				"{\"op\":\"stream_abort\",\"xid\":5,\"subxid\":5}\n");
	pen_buffer_reset(&buf);
}

static void
test_prepared_transactions_have_the_time_of_their_prepare(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	put_session(&buf);
	put_prepare(&buf, PEN_EVENT_BEGIN_PREPARE, binary("g"), 1500000);
	put_insert(&buf, 1, "x");
	put_prepare(&buf, PEN_EVENT_PREPARE, binary("g"), 1500000);
	put_prepare(&buf, PEN_EVENT_COMMIT_PREPARED, binary("g"), 1500000);
	put_rollback_prepared(&buf);
	assert_told(
		&buf,
		"{\"op\":\"begin_prepare\",\"xid\":9,\"gid\":\"g\",\"lsn\":\"0/12C\","
		"\"time\":\"2000-01-01T00:00:01.500000Z\",\"end_lsn\":\"0/190\"}\n"
		"{\"op\":\"insert\"," HEAD9 ",\"seq\":1" USERS ",\"new\":{\"id\":1,\"na\\\"me\":\"x\"}}\n"
		"{\"op\":\"prepare\",\"xid\":9,\"gid\":\"g\",\"lsn\":\"0/12C\","
		"\"time\":\"2000-01-01T00:00:01.500000Z\",\"end_lsn\":\"0/190\"}\n"
		"{\"op\":\"commit_prepared\",\"xid\":9,\"gid\":\"g\",\"lsn\":\"0/12C\","
		"\"time\":\"2000-01-01T00:00:01.500000Z\",\"end_lsn\":\"0/190\"}\n"
		"{\"op\":\"rollback_prepared\",\"xid\":9,\"gid\":\"g\",\"prepare_end_lsn\":\"0/190\","
		"\"prepare_time\":\"2000-01-01T00:00:00.000000Z\",\"time\":\"2000-01-01T00:00:01.000000Z\","
		"\"end_lsn\":\"0/1F4\"}\n");
	pen_buffer_reset(&buf);
}

static void
test_bytes_that_cannot_be_a_string_are_an_object(void **state)
{
	static uint8_t with_nul[] = {'a', 0, 'b'};
	static uint8_t only_nul[] = {0};
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	put_session(&buf);
	put_message(&buf, false, (ProtobufCBinaryData){3, with_nul}, binary("\xff\xfe"));
	put_message(&buf, false, binary("\xc3\xbc\x01"), (ProtobufCBinaryData){1, only_nul});
	put_message(&buf, false, binary("\xed\xa0\x80"), (ProtobufCBinaryData){0, NULL});
	put_prepare(&buf, PEN_EVENT_COMMIT_PREPARED, binary("g\xe2\x80"), 1500000);
	pen_wire_write_begin(&buf, 7, 100, 0);
	put_origin(&buf, "\x80");
	assert_told(
		&buf, "{\"op\":\"message\",\"message_lsn\":\"0/FF\",\"transactional\":false,"
			  "\"prefix\":{\"bytes\":\"\\\\x610062\"},\"content\":{\"bytes\":\"\\\\xfffe\"}}\n"
			  "{\"op\":\"message\",\"message_lsn\":\"0/FF\",\"transactional\":false,"
			  "\"prefix\":\"\xc3\xbc\\u0001\",\"content\":{\"bytes\":\"\\\\x00\"}}\n"
			  "{\"op\":\"message\",\"message_lsn\":\"0/FF\",\"transactional\":false,"
			  "\"prefix\":{\"bytes\":\"\\\\xeda080\"},\"content\":\"\"}\n"
			  "{\"op\":\"commit_prepared\",\"xid\":9,\"gid\":{\"bytes\":\"\\\\x67e280\"},"
			  "\"lsn\":\"0/12C\",\"time\":\"2000-01-01T00:00:01.500000Z\",\"end_lsn\":\"0/190\"}\n"
			  "{\"op\":\"begin\"," HEAD7 "}\n"
			  "{\"op\":\"origin\"," HEAD7 ",\"name\":{\"bytes\":\"\\\\x80\"},"
			  "\"origin_lsn\":\"FFFFFFFF/0\"}\n");
	pen_buffer_reset(&buf);
}

/* ---- where an event may stand ---- */

/* An event of each kind that has to stand somewhere, with contents that are right. */
static void
put_kind(pen_wire_buf *buf, pen_event_kind kind)
{
	switch (kind)
	{
		case PEN_EVENT_SESSION:
			put_session(buf);
			break;
		case PEN_EVENT_BEGIN:
			pen_wire_write_begin(buf, 7, 100, 0);
			break;
		case PEN_EVENT_COMMIT:
			pen_wire_write_commit(buf, 100, 200, 0);
			break;
		case PEN_EVENT_RELATION:
			put(buf, kind, &users.base);
			break;
		case PEN_EVENT_INSERT:
			put_insert(buf, 1, "x");
			break;
		case PEN_EVENT_UPDATE:
			put_update(buf);
			break;
		case PEN_EVENT_DELETE:
			put_delete(buf);
			break;
		case PEN_EVENT_TRUNCATE:
			pen_wire_write_truncate(buf, (const uint32_t[]){1}, 1, false, false);
			break;
		case PEN_EVENT_MESSAGE:
			put_message(buf, true, binary("p"), binary("c"));
			break;
		case PEN_EVENT_ORIGIN:
			put_origin(buf, "o");
			break;
		case PEN_EVENT_STREAM_START:
			put_stream_start(buf, 7, true);
			break;
		case PEN_EVENT_STREAM_STOP:
			put_stream_stop(buf);
			break;
		case PEN_EVENT_STREAM_ABORT:
			put_stream_abort(buf, 7, 8);
			break;
		case PEN_EVENT_STREAM_COMMIT:
			put_stream_commit(buf, 7);
			break;
		case PEN_EVENT_SUB_XACT:
			pen_wire_write_sub_xact(buf, 8);
			break;
		case PEN_EVENT_STREAM_PREPARE:
		case PEN_EVENT_BEGIN_PREPARE:
		case PEN_EVENT_PREPARE:
		case PEN_EVENT_COMMIT_PREPARED:
			put_prepare(buf, kind, binary("g"), 0);
			break;
		case PEN_EVENT_ROLLBACK_PREPARED:
			put_rollback_prepared(buf);
			break;
	}
}

/* Bits of the kinds that may follow. */
#define BIT(kind) (UINT32_C(1) << PEN_EVENT_##kind)
#define ANYWHERE  (BIT(SESSION) | BIT(RELATION))
#define OUTSIDE                                                                                    \
	(ANYWHERE | BIT(BEGIN) | BIT(BEGIN_PREPARE) | BIT(STREAM_START) | BIT(STREAM_ABORT) |          \
	 BIT(STREAM_COMMIT) | BIT(STREAM_PREPARE) | BIT(COMMIT_PREPARED) | BIT(ROLLBACK_PREPARED))
#define INSIDE                                                                                     \
	(ANYWHERE | BIT(INSERT) | BIT(UPDATE) | BIT(DELETE) | BIT(TRUNCATE) | BIT(MESSAGE) |           \
	 BIT(ORIGIN))

static void
test_every_event_stands_only_where_it_may(void **state)
{
	const struct
	{
		pen_event_kind before;
		uint32_t allowed;
	} cases[] = {
		{PEN_EVENT_SESSION, OUTSIDE},
		{PEN_EVENT_BEGIN, INSIDE | BIT(COMMIT)},
		{PEN_EVENT_BEGIN_PREPARE, INSIDE | BIT(PREPARE)},
		{PEN_EVENT_STREAM_START, INSIDE | BIT(SUB_XACT) | BIT(STREAM_STOP)},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int kind = PEN_EVENT_SESSION; kind <= PEN_EVENT_ROLLBACK_PREPARED; kind++)
		{
			bool allowed = (cases[i].allowed >> kind & 1) != 0;
			pen_wire_buf buf;
			pen_wire_buf lines;

			pen_buffer_init(&buf);
			pen_buffer_init(&lines);
			put_session(&buf);
			put_kind(&buf, cases[i].before);
			put_kind(&buf, (pen_event_kind) kind);
			if ((narrate(&buf, &lines) == NULL) != allowed)
				fail_msg("event %d after event %d", kind, cases[i].before);
			pen_buffer_reset(&buf);
			pen_buffer_reset(&lines);
		}
}

static void
test_a_session_ends_whatever_was_open(void **state)
{
	pen_wire_buf buf;
	pen_wire_buf lines;

	(void) state;
	pen_buffer_init(&buf);
	pen_buffer_init(&lines);
	put_session(&buf);
	put_stream_start(&buf, 7, true);
	put_session(&buf);
	pen_wire_write_begin(&buf, 7, 100, 0);
	put_insert(&buf, 1, "x");
	assert_null(narrate(&buf, &lines));
	put_session(&buf);
	put_insert(&buf, 1, "x");
	assert_non_null(narrate(&buf, &lines));
	pen_buffer_reset(&buf);
	pen_buffer_reset(&lines);
}

static void
test_what_cannot_be_is_refused(void **state)
{
	pen_wire_buf buf;
	pen_wire_buf lines;

	(void) state;
	pen_buffer_init(&buf);
	pen_buffer_init(&lines);
	for (int wrong = 0; wrong < 6; wrong++)
	{
		pen_wire_mark mark;

		buf.len = lines.len = 0;
		put_session(&buf);
		if (wrong == 0) /* times out of range */
			pen_wire_write_begin(&buf, 7, 100, INT64_MAX);
		else if (wrong == 1)
			put_prepare(&buf, PEN_EVENT_COMMIT_PREPARED, binary("g"), INT64_MIN);
		else if (wrong == 2)
			put_prepare(&buf, PEN_EVENT_BEGIN_PREPARE, binary("g"), INT64_MAX);
		else
		{
			pen_wire_write_begin(&buf, 7, 100, 0);
			if (wrong == 3)
				pen_wire_write_truncate(&buf, (const uint32_t[]){1, 2}, 2, false, false);
			else
			{
				mark = pen_wire_begin_event(&buf, PEN_EVENT_INSERT, 20);
				pen_wire_write_relation_number(&buf, wrong == 4 ? 2 : 1);
				pen_wire_write_bool(&buf, PEN_TUPLE_NEW, true);
				pen_wire_end_event(&buf, &mark);
			}
		}
		if (narrate(&buf, &lines) == NULL)
			fail_msg("case %d is told", wrong);
	}
	pen_buffer_reset(&buf);
	pen_buffer_reset(&lines);
}

/* ---- damage ---- */

/* Narrate one event, from bytes of exactly its size, after a begin that it may follow. */
static void
narrate_damaged(pen_event_kind kind, const uint8_t *body, size_t len)
{
	pen_narrator narrator = new_narrator();
	uint8_t *exact = malloc(len > 0 ? len : 1);
	pen_wire_buf whole;
	pen_wire_buf line;
	pen_wire_reader reader;
	pen_wire_event event;

	memcpy(exact, body, len);
	pen_buffer_init(&whole);
	pen_buffer_init(&line);
	narrator.in_transaction = true;
	narrator.head.xid = 7;
	pen_wire_write_packed(&whole, kind, exact, len);
	pen_wire_reader_init(&reader, whole.data, whole.len);
	arena_used = 0;
	if (pen_wire_read_event(&reader, &event))
	{
		/* where the codec leaves the body to protobuf-c, that one's bounds are checked too */
		if (event.kind >= PEN_EVENT_MESSAGE && event.kind != PEN_EVENT_SUB_XACT)
			event.body = exact;
		(void) pen_narrate_follow(&narrator, &event);
		arena_used = 0;
		if (pen_narrate_json(&narrator, &event, &line) == NULL && line.len > 0)
			assert_true(line.data[0] == '{' && line.data[line.len - 1] == '}' &&
						memchr(line.data, '\n', line.len) == NULL);
	}
	pen_buffer_reset(&whole);
	pen_buffer_reset(&line);
	free(exact);
}

static void
test_damage_of_any_event_is_survived(void **state)
{
	uint64_t seed = UINT64_C(88172645463325252);

	(void) state;
	for (int kind = PEN_EVENT_SESSION; kind <= PEN_EVENT_ROLLBACK_PREPARED; kind++)
	{
		pen_wire_buf buf;
		pen_wire_reader reader;
		pen_wire_event event;
		uint8_t copy[1024];

		pen_buffer_init(&buf);
		put_kind(&buf, (pen_event_kind) kind);
		pen_wire_reader_init(&reader, buf.data, buf.len);
		assert_true(pen_wire_read_event(&reader, &event));
		for (size_t cut = 0; cut <= event.body_len; cut++)
			narrate_damaged(event.kind, event.body, cut);
		for (int round = 0; round < 2000 && event.body_len > 0; round++)
		{
			memcpy(copy, event.body, event.body_len);
			for (int flips = 0; flips < 2; flips++)
			{
				seed ^= seed << 13;
				seed ^= seed >> 7;
				seed ^= seed << 17;
				copy[seed % event.body_len] = (uint8_t) (seed >> 32);
			}
			narrate_damaged(event.kind, copy, event.body_len);
		}
		pen_buffer_reset(&buf);
	}
}

static void
test_without_memory_an_event_is_refused(void **state)
{
	pen_narrator narrator = new_narrator();
	pen_wire_buf buf;
	pen_wire_buf line;
	pen_wire_reader reader;
	pen_wire_event event;

	(void) state;
	pen_buffer_init(&buf);
	pen_buffer_init(&line);
	put_message(&buf, false, binary("p"), binary("c"));
	pen_wire_reader_init(&reader, buf.data, buf.len);
	assert_true(pen_wire_read_event(&reader, &event));
	arena_used = sizeof(arena);
	assert_non_null(pen_narrate_json(&narrator, &event, &line));
	assert_int_equal(line.len, 0);
	pen_buffer_reset(&buf);
	pen_buffer_reset(&line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_transaction_is_told_as_FORMAT_md_says),
		cmocka_unit_test(test_parts_of_a_stream_have_xids_only_until_they_count),
		cmocka_unit_test(test_prepared_transactions_have_the_time_of_their_prepare),
		cmocka_unit_test(test_bytes_that_cannot_be_a_string_are_an_object),
		cmocka_unit_test(test_every_event_stands_only_where_it_may),
		cmocka_unit_test(test_a_session_ends_whatever_was_open),
		cmocka_unit_test(test_what_cannot_be_is_refused),
		cmocka_unit_test(test_damage_of_any_event_is_survived),
		cmocka_unit_test(test_without_memory_an_event_is_refused)};

	return cmocka_run_group_tests(tests, describe_users, NULL);
}
