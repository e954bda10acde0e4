/* test_parts.c -- transactions that arrive in parts: random ones, read from their bytes, come out
 * as if they had arrived whole, from memory and from disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/buffer.h"
#include "penstock.pb-c.h"
#include "stream_events.h"
#include "transaction/transaction.h"

#define STREAMS    4
#define SUBXACTS   6
#define CHANGES    400
#define LARGEST    2000 /* changes of any one */
#define FIRST_XID  100
#define XIDS_APART 100

static uint64_t seed = 1;

static uint64_t
random_below(uint64_t limit)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % limit;
}

/* ---- writing a stream ---- */

/* public.t(id bigint primary key) */
static void
put_relation(pen_wire_buf *buf, uint32_t number)
{
	Penstock__V1__Relation relation = PENSTOCK__V1__RELATION__INIT;
	Penstock__V1__Column id = PENSTOCK__V1__COLUMN__INIT;
	Penstock__V1__Column *columns[] = {&id};

	relation.number = number;
	relation.schema = "public";
	relation.name = "t";
	relation.replica_identity = PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_DEFAULT;
	relation.n_columns = 1;
	relation.columns = columns;
	id.name = "id";
	id.attnum = 1;
	id.base_type_oid = 20;
	id.primary_key = id.identity = 1;
	id.encoding = PENSTOCK__V1__ENCODING__ENCODING_INT;
	put(buf, PEN_EVENT_RELATION, &relation.base);
}

static void
put_insert(pen_wire_buf *buf, uint32_t relation, int64_t id)
{
	pen_wire_mark mark = pen_wire_begin_event(buf, PEN_EVENT_INSERT, 16);

	pen_wire_write_relation_number(buf, relation);
	pen_wire_write_int(buf, PEN_TUPLE_NEW, id);
	pen_wire_end_event(buf, &mark);
}

static void
put_stream_commit(pen_wire_buf *buf, uint32_t xid, uint64_t lsn)
{
	Penstock__V1__StreamCommit message = PENSTOCK__V1__STREAM_COMMIT__INIT;

	message.xid = xid;
	message.commit_lsn = lsn;
	message.end_lsn = lsn + 8;
	message.commit_time = (int64_t) lsn * 2;
	put(buf, PEN_EVENT_STREAM_COMMIT, &message.base);
}

/* ---- reading it ---- */

typedef struct fixture
{
	char root[64];
	pen_statedir *state;
	pen_decoder *decoder;
	pen_assembler *assembler;
	pen_wire_buf buf; /* the message that is being written */
	uint32_t relation;
	uint64_t lsn;
	/* What came out of the transaction that was handed out last. */
	int64_t got[2 * CHANGES];
	size_t got_count;
	bool began;
	bool ended;
	/* What went ahead of the transaction that does. */
	uint32_t ahead_xid;
	int64_t ahead[LARGEST];
	size_t ahead_count;
	int went_ahead; /* transactions, to their commit */
	pen_error error;
} fixture;

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/penstock-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	f->state = pen_statedir_open(f->root, "s", &f->error);
	assert_non_null(f->state);
	f->decoder = pen_decoder_new();
	pen_decoder_defer_streams(f->decoder);
	f->assembler = pen_assembler_new(NULL);
	pen_assembler_go_ahead(f->assembler, f->decoder);
	pen_buffer_init(&f->buf);
	put_session(&f->buf);
	f->lsn = 1000;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	fixture *f = *state;
	char command[128];

	pen_buffer_reset(&f->buf);
	pen_assembler_free(f->assembler);
	pen_decoder_free(f->decoder);
	pen_statedir_close(f->state);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->root);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static int64_t
id_of(const penstock_event *event)
{
	pen_tuple tuple = {event->new_row.data, event->new_row.len, 1};
	pen_wire_reader reader;
	pen_value value;

	pen_wire_tuple_reader(&reader, &tuple);
	assert_true(pen_wire_read_value(&reader, &value));
	return value.integer;
}

static void
look_at(fixture *f, const penstock_event *event)
{
	assert_int_equal(event->transaction->commit_lsn, f->lsn);
	if (event->kind == PENSTOCK_INSERT)
	{
		assert_true(f->began && !f->ended);
		assert_string_equal(event->relation->name, "t");
		f->got[f->got_count++] = id_of(event);
		assert_int_equal(event->sequence, f->got_count);
		return;
	}
	assert_int_equal(event->sequence, 0);
	assert_true(event->kind == (f->began ? PENSTOCK_COMMIT : PENSTOCK_BEGIN));
	assert_int_equal(event->transaction->end_lsn, f->began ? f->lsn + 8 : 0);
	assert_int_equal(event->transaction->commit_time, 2 * f->lsn);
	f->ended = f->began;
	f->began = true;
}

/* What the message has brought of the transaction that goes ahead. */
static void
take_ahead(fixture *f)
{
	pen_ahead_part part;

	while (pen_assembler_ahead(f->assembler, &part))
	{
		if (part.chunk == NULL || part.before == 0)
			f->ahead_count = 0;
		f->ahead_xid = part.chunk != NULL ? part.xid : 0;
		assert_int_equal(part.before, f->ahead_count);
		for (size_t i = 0; part.chunk != NULL && i < part.chunk->count; i++)
		{
			const penstock_event *event = &part.chunk->events[i];

			assert_int_equal(event->kind, PENSTOCK_INSERT);
			assert_int_equal(event->transaction->xid, part.xid);
			f->ahead[f->ahead_count++] = id_of(event);
			assert_int_equal(event->sequence, f->ahead_count);
		}
		pen_chunk_unref(part.chunk);
	}
}

/* Send the message off; the chunk has what is passed on at once. */
static penstock_status
send_off(fixture *f, pen_chunk **chunk)
{
	uint8_t *bytes = malloc(f->buf.len);
	penstock_status status = PENSTOCK_OK;
	pen_wire_reader reader;
	pen_decoded decoded;

	memcpy(bytes, f->buf.data, f->buf.len);
	*chunk = pen_chunk_new(bytes, f->buf.len, free);
	pen_wire_reader_init(&reader, bytes, f->buf.len);
	f->buf.len = 0;
	while (status >= 0 && pen_wire_more(&reader))
	{
		status = pen_decode_event(f->decoder, &reader, &decoded, &f->error);
		if (status >= 0)
			status = pen_assembler_take(f->assembler, &decoded, *chunk, &f->error);
	}
	take_ahead(f);
	return status;
}

static penstock_status
flush_any(fixture *f)
{
	pen_chunk *chunk;
	penstock_status status = send_off(f, &chunk);

	pen_chunk_unref(chunk);
	return status;
}

/* Send the message off, which passes nothing on, and take out what is pending then. */
static penstock_status
flush(fixture *f)
{
	pen_chunk *chunk;
	penstock_status status = send_off(f, &chunk);

	f->got_count = 0;
	f->began = f->ended = false;
	assert_int_equal(chunk->count, 0);
	pen_chunk_unref(chunk);
	while (status >= 0 && pen_assembler_pending(f->assembler))
	{
		assert_true(pen_assembler_in_transaction(f->assembler));
		chunk = pen_assembler_next(f->assembler, f->decoder, &f->error);
		assert_non_null(chunk);
		assert_true(chunk->count > 0);
		for (size_t i = 0; i < chunk->count; i++)
			look_at(f, &chunk->events[i]);
		pen_chunk_unref(chunk);
	}
	return status;
}

#define OK(call)  assert_int_equal(call, PENSTOCK_OK)
#define BAD(call) assert_int_equal(call, PENSTOCK_E_DATA)

/* ---- random transactions ---- */

/* What a transaction has done: a sub-transaction lives until it is aborted. */
typedef struct story
{
	uint32_t xid;
	bool sent;
	int64_t ids[CHANGES];
	uint32_t subxids[CHANGES];
	size_t count;
	uint32_t live[SUBXACTS];
	size_t live_count;
	uint32_t next_subxid;
} story;

static void
write_part(fixture *f, story *s)
{
	uint32_t subxid = s->xid;

	put_stream_start(&f->buf, s->xid, !s->sent);
	s->sent = true;
	for (uint64_t n = random_below(20); n > 0 && s->count < CHANGES; n--)
	{
		if (s->live_count < SUBXACTS && random_below(4) == 0)
			s->live[s->live_count++] = s->next_subxid++;
		if (random_below(3) == 0)
		{
			subxid = s->live_count > 0 && random_below(4) > 0 ? s->live[random_below(s->live_count)]
															  : s->xid;
			pen_wire_write_sub_xact(&f->buf, subxid);
		}
		if (f->relation == 0 || random_below(10) == 0)
			put_relation(&f->buf, ++f->relation);
		s->ids[s->count] = (int64_t) random_below(1 << 30);
		s->subxids[s->count] = subxid;
		put_insert(&f->buf, 1 + (uint32_t) random_below(f->relation), s->ids[s->count++]);
		if (random_below(8) == 0)
			OK(flush(f)); /* in the middle of a part */
	}
	put_stream_stop(&f->buf);
	OK(flush(f));
}

static void
abort_one(fixture *f, story *s)
{
	size_t which;
	uint32_t subxid;
	size_t kept = 0;

	if (s->live_count == 0 || !s->sent)
		return;
	which = random_below(s->live_count);
	subxid = s->live[which];
	s->live[which] = s->live[--s->live_count];
	put_stream_abort(&f->buf, s->xid, subxid);
	OK(flush(f));
	for (size_t i = 0; i < s->count; i++)
	{
		if (s->subxids[i] == subxid)
			continue;
		s->ids[kept] = s->ids[i];
		s->subxids[kept++] = s->subxids[i];
	}
	s->count = kept;
}

static void
end(fixture *f, story *s)
{
	if (s->sent && random_below(4) == 0)
	{
		put_stream_abort(&f->buf, s->xid, s->xid);
		OK(flush(f));
		assert_false(f->began);
	}
	else if (s->sent)
	{
		f->lsn += 100;
		put_stream_commit(&f->buf, s->xid, f->lsn);
		OK(flush(f));
		assert_true(f->ended);
		assert_int_equal(f->got_count, s->count);
		assert_memory_equal(f->got, s->ids, s->count * sizeof(*s->ids));
		assert_int_equal(pen_assembler_end_lsn(f->assembler), f->lsn + 8);
		if (f->ahead_xid == s->xid)
		{
			assert_int_equal(f->ahead_count, s->count);
			assert_memory_equal(f->ahead, s->ids, s->count * sizeof(*s->ids));
			f->went_ahead++;
		}
	}
	assert_false(pen_assembler_in_transaction(f->assembler));
	s->xid += STREAMS * XIDS_APART;
	*s = (story){.xid = s->xid, .next_subxid = s->xid + 1};
}

static void
run_stories(fixture *f, int rounds)
{
	story *stories = calloc(STREAMS, sizeof(*stories));

	for (uint32_t i = 0; i < STREAMS; i++)
	{
		stories[i].xid = FIRST_XID + i * XIDS_APART;
		stories[i].next_subxid = stories[i].xid + 1;
	}
	for (int round = 0; round < rounds; round++)
	{
		story *s = &stories[random_below(STREAMS)];

		if (s->count > CHANGES - 30 || s->next_subxid > s->xid + XIDS_APART - 30 ||
			random_below(12) == 0)
			end(f, s);
		else if (random_below(5) == 0)
			abort_one(f, s);
		else
			write_part(f, s);
	}
	free(stories);
}

/* ---- tests ---- */

static void
test_random_transactions_from_memory(void **state)
{
	fixture *f = *state;

	run_stories(f, 4000);
	assert_true(f->went_ahead > 10);
}

static void
test_random_transactions_from_disk(void **state)
{
	fixture *f = *state;
	char path[128];

	pen_assembler_limit(f->assembler, f->state, 300);
	run_stories(f, 3000);
	snprintf(path, sizeof(path), "%s/s/streams", f->root);
	assert_int_equal(access(path, F_OK), 0);
	pen_assembler_reset(f->assembler);
	assert_int_equal(rmdir(path), 0); /* a reset removes all files */
}

static void
test_a_damaged_scratch_file_is_found_and_another_try_may_help(void **state)
{
	fixture *f = *state;
	char command[200];
	pen_chunk *chunk;

	pen_assembler_limit(f->assembler, f->state, 1000);
	put_relation(&f->buf, 1);
	put_stream_start(&f->buf, 5, true);
	for (int i = 0; i < LARGEST; i++)
		put_insert(&f->buf, 1, i);
	put_stream_stop(&f->buf);
	OK(flush(f));
	snprintf(command, sizeof(command),
			 "printf x | dd of=$(ls %s/s/streams/*/*.log | head -n 1) bs=1 seek=200 conv=notrunc "
			 "status=none",
			 f->root);
	assert_int_equal(system(command), 0);
	put_stream_commit(&f->buf, 5, f->lsn);
	OK(send_off(f, &chunk));
	pen_chunk_unref(chunk);
	assert_null(pen_assembler_next(f->assembler, f->decoder, &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_RETRY);
	assert_non_null(strstr(f->error.text, "offset"));
}

/* What is told of the one that went ahead when it has ended so: "4 5 void". */
static void
tells(fixture *f, const char *expected)
{
	char told[200] = "";
	pen_ahead_part part;
	pen_chunk *chunk;
	uint8_t *bytes = malloc(f->buf.len);
	pen_wire_reader reader;
	pen_decoded decoded;

	memcpy(bytes, f->buf.data, f->buf.len);
	chunk = pen_chunk_new(bytes, f->buf.len, free);
	pen_wire_reader_init(&reader, bytes, f->buf.len);
	f->buf.len = 0;
	while (pen_wire_more(&reader))
	{
		OK(pen_decode_event(f->decoder, &reader, &decoded, &f->error));
		OK(pen_assembler_take(f->assembler, &decoded, chunk, &f->error));
	}
	while (pen_assembler_ahead(f->assembler, &part))
	{
		size_t used = strlen(told);

		snprintf(told + used, sizeof(told) - used, part.chunk != NULL ? "%u:%zu " : "%u void ",
				 part.xid, part.chunk != NULL ? part.chunk->count : 0);
		pen_chunk_unref(part.chunk);
	}
	pen_chunk_unref(chunk);
	assert_string_equal(told, expected);
}

static void
put_part(fixture *f, uint32_t xid, bool first, int count)
{
	put_stream_start(&f->buf, xid, first);
	for (int i = 0; i < count; i++)
		put_insert(&f->buf, 1, i);
	put_stream_stop(&f->buf);
}

static void
test_one_goes_ahead_at_a_time_and_from_its_first_change(void **state)
{
	fixture *f = *state;

	put_relation(&f->buf, 1);
	put_part(f, 5, true, 3);
	tells(f, "5:3 ");
	put_part(f, 6, true, 2);
	tells(f, "");
	put_part(f, 5, false, 1);
	tells(f, "5:1 ");
	pen_assembler_leave_ahead(f->assembler);
	put_part(f, 6, false, 2);
	put_part(f, 5, false, 2);
	tells(f, "");
	put_part(f, 7, true, 2);
	tells(f, "7:2 ");
	put_stream_abort(&f->buf, 6, 6);
	tells(f, "");
	put_stream_abort(&f->buf, 7, 8);
	tells(f, "7 void ");
	put_part(f, 9, true, 1);
	put_stream_abort(&f->buf, 9, 9);
	tells(f, "9 void ");
	assert_false(pen_assembler_goes_ahead(f->assembler));
}

static void
test_a_transaction_of_which_nothing_is_left_still_begins_and_commits(void **state)
{
	fixture *f = *state;

	put_relation(&f->buf, 1);
	put_stream_start(&f->buf, 5, true);
	pen_wire_write_sub_xact(&f->buf, 6);
	put_insert(&f->buf, 1, 1);
	put_stream_stop(&f->buf);
	put_stream_abort(&f->buf, 5, 6);
	put_stream_commit(&f->buf, 5, f->lsn);
	OK(flush(f));
	assert_true(f->ended);
	assert_int_equal(f->got_count, 0);
}

static void
test_an_open_part_holds_nothing_back(void **state)
{
	fixture *f = *state;

	put_stream_start(&f->buf, 5, true);
	OK(flush(f));
	assert_false(pen_assembler_in_transaction(f->assembler));
}

/* Begin anew with a message, which must be refused. */
static void
refused(fixture *f, const char *word)
{
	BAD(flush(f));
	if (strstr(f->error.text, word) == NULL)
		print_error("%s\n", f->error.text);
	assert_non_null(strstr(f->error.text, word));
	pen_decoder_reset(f->decoder);
	pen_assembler_reset(f->assembler);
	put_session(&f->buf);
}

static void
test_parts_that_do_not_fit_are_bad_data(void **state)
{
	fixture *f = *state;

	put_stream_start(&f->buf, 5, false);
	refused(f, "not the first");
	put_stream_start(&f->buf, 5, true);
	put_stream_stop(&f->buf);
	put_stream_start(&f->buf, 5, true);
	refused(f, "first");
	put_stream_commit(&f->buf, 5, f->lsn);
	refused(f, "no part of it came");
	put_stream_start(&f->buf, 5, true);
	put_stream_start(&f->buf, 6, true);
	refused(f, "inside");
	put_stream_start(&f->buf, 5, true);
	put_stream_commit(&f->buf, 5, f->lsn);
	refused(f, "inside");
	put_stream_stop(&f->buf);
	refused(f, "outside");
	put_stream_start(&f->buf, 5, true);
	put_session(&f->buf);
	refused(f, "inside");
	put_stream_start(&f->buf, 5, true);
	put_stream_stop(&f->buf);
	put_stream_commit(&f->buf, 5, f->lsn);
	put_stream_start(&f->buf, 6, true);
	refused(f, "not the last");
	put_stream_start(&f->buf, 5, true);
	put_insert(&f->buf, 77, 1);
	put_stream_stop(&f->buf);
	OK(flush(f)); /* not looked into yet */
	pen_decoder_reset(f->decoder);
	pen_assembler_reset(f->assembler);
}

static void
test_a_reset_forgets_what_was_kept(void **state)
{
	fixture *f = *state;

	put_stream_start(&f->buf, 5, true);
	put_stream_stop(&f->buf);
	OK(flush(f));
	pen_assembler_reset(f->assembler);
	put_session(&f->buf);
	put_stream_start(&f->buf, 5, true);
	put_stream_stop(&f->buf);
	OK(flush(f));
	put_session(&f->buf); /* as does a new session */
	put_stream_start(&f->buf, 5, true);
	put_stream_stop(&f->buf);
	OK(flush(f));
}

/* ---- prepared transactions ---- */

static void
put_prepared(pen_wire_buf *buf, pen_event_kind kind, uint32_t xid, const char *gid, uint64_t lsn)
{
	Penstock__V1__PreparedTransaction message = PENSTOCK__V1__PREPARED_TRANSACTION__INIT;

	message.xid = xid;
	message.gid = (ProtobufCBinaryData){strlen(gid), (uint8_t *) gid};
	message.lsn = lsn;
	message.end_lsn = lsn + 8;
	message.time = 7;
	put(buf, kind, &message.base);
}

static void
put_rollback(pen_wire_buf *buf, uint32_t xid, const char *gid, uint64_t prepare_lsn, uint64_t lsn)
{
	Penstock__V1__RollbackPrepared message = PENSTOCK__V1__ROLLBACK_PREPARED__INIT;

	message.xid = xid;
	message.gid = (ProtobufCBinaryData){strlen(gid), (uint8_t *) gid};
	message.prepare_end_lsn = prepare_lsn + 8;
	message.end_lsn = lsn + 8;
	message.prepare_time = 7;
	message.rollback_time = 9;
	put(buf, PEN_EVENT_ROLLBACK_PREPARED, &message.base);
}

/* What the message, and what is pending after it, says: a word an event. */
static const char *
told(fixture *f)
{
	static char text[1000];
	static const char *const words[] = {"begin",   "insert",          "update",
										"delete",  "truncate",        "commit",
										"prepare", "commit-prepared", "rollback-prepared"};
	pen_chunk *chunk;
	int used = 0;

	text[0] = '\0';
	OK(send_off(f, &chunk));
	while (chunk != NULL)
	{
		for (size_t i = 0; i < chunk->count; i++)
		{
			const penstock_transaction *t = chunk->events[i].transaction;

			used += snprintf(text + used, sizeof(text) - (size_t) used, "%s %s %d-%d, ",
							 words[chunk->events[i].kind], t->gid != NULL ? t->gid : "-",
							 (int) t->commit_lsn, (int) t->end_lsn);
		}
		pen_chunk_unref(chunk);
		chunk = pen_assembler_pending(f->assembler)
					? pen_assembler_next(f->assembler, f->decoder, &f->error)
					: NULL;
	}
	return text;
}

static void
test_prepared_transactions_are_passed_on(void **state)
{
	fixture *f = *state;

	put_relation(&f->buf, 1);
	put_prepared(&f->buf, PEN_EVENT_BEGIN_PREPARE, 5, "five", 100);
	put_insert(&f->buf, 1, 1);
	assert_string_equal(told(f), "begin five 100-108, insert five 100-108, ");
	assert_true(pen_assembler_in_transaction(f->assembler));
	put_prepared(&f->buf, PEN_EVENT_PREPARE, 5, "five", 100);
	assert_string_equal(told(f), "prepare five 100-108, ");
	assert_false(pen_assembler_in_transaction(f->assembler));
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 108);
	put_prepared(&f->buf, PEN_EVENT_COMMIT_PREPARED, 5, "five", 200);
	assert_string_equal(told(f), "commit-prepared five 200-208, ");
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 208);
	put_rollback(&f->buf, 6, "six", 150, 300);
	assert_string_equal(told(f), "rollback-prepared six 307-308, ");
	assert_false(pen_assembler_in_transaction(f->assembler));
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 308);
}

static void
test_a_stream_may_end_prepared(void **state)
{
	fixture *f = *state;

	put_relation(&f->buf, 1);
	put_stream_start(&f->buf, 5, true);
	put_insert(&f->buf, 1, 1);
	pen_wire_write_sub_xact(&f->buf, 6);
	put_insert(&f->buf, 1, 2);
	put_stream_stop(&f->buf);
	put_stream_abort(&f->buf, 5, 6);
	put_prepared(&f->buf, PEN_EVENT_STREAM_PREPARE, 5, "five", 100);
	assert_string_equal(told(f), "begin five 100-108, insert five 100-108, prepare five 100-108, ");
	put_prepared(&f->buf, PEN_EVENT_COMMIT_PREPARED, 5, "five", 200);
	assert_string_equal(told(f), "commit-prepared five 200-208, ");
}

/* The server sends them just before their commit. */
static void
test_what_was_prepared_before_the_stream_comes_at_its_commit(void **state)
{
	fixture *f = *state;

	pen_assembler_start(f->assembler, 1000);
	put_relation(&f->buf, 1);
	put_prepared(&f->buf, PEN_EVENT_BEGIN_PREPARE, 5, "five", 100);
	put_insert(&f->buf, 1, 1);
	assert_string_equal(told(f), "");
	assert_false(pen_assembler_in_transaction(f->assembler));
	put_insert(&f->buf, 1, 2);
	put_prepared(&f->buf, PEN_EVENT_PREPARE, 5, "five", 100);
	assert_string_equal(told(f), "");
	put_prepared(&f->buf, PEN_EVENT_COMMIT_PREPARED, 5, "five", 1200);
	assert_string_equal(told(f),
						"begin - 1200-0, insert - 1200-0, insert - 1200-0, commit - 1200-1208, ");

	/* The same of one that was streamed, and after others. */
	put_stream_start(&f->buf, 6, true);
	put_insert(&f->buf, 1, 3);
	put_stream_stop(&f->buf);
	put_prepared(&f->buf, PEN_EVENT_STREAM_PREPARE, 6, "six", 1100);
	assert_string_equal(told(f), "");
	put_prepared(&f->buf, PEN_EVENT_COMMIT_PREPARED, 6, "six", 1300);
	assert_string_equal(told(f), "begin - 1300-0, insert - 1300-0, commit - 1300-1308, ");
	put_prepared(&f->buf, PEN_EVENT_BEGIN_PREPARE, 7, "seven", 100);
	put_prepared(&f->buf, PEN_EVENT_PREPARE, 7, "seven", 100);
	put_rollback(&f->buf, 7, "seven", 100, 1400);
	assert_string_equal(told(f), "rollback-prepared seven 1407-1408, ");
}

static void
test_prepared_transactions_that_do_not_fit_are_bad_data(void **state)
{
	fixture *f = *state;
	char long_name[201];

	memset(long_name, 'x', 200);
	long_name[200] = '\0';
	put_prepared(&f->buf, PEN_EVENT_BEGIN_PREPARE, 5, "", 100);
	refused(f, "valid name");
	put_prepared(&f->buf, PEN_EVENT_COMMIT_PREPARED, 5, long_name, 100);
	refused(f, "valid name");
	put_prepared(&f->buf, PEN_EVENT_STREAM_PREPARE, 5, "five", 100);
	refused(f, "no part of it came");
	pen_wire_write_begin(&f->buf, 5, 200, 1);
	pen_wire_write_commit(&f->buf, 200, 208, 1);
	put_prepared(&f->buf, PEN_EVENT_COMMIT_PREPARED, 6, "six", 100);
	BAD(flush_any(f));
	assert_non_null(strstr(f->error.text, "out of order"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_random_transactions_from_memory),
		TEST(test_random_transactions_from_disk),
		TEST(test_a_transaction_of_which_nothing_is_left_still_begins_and_commits),
		TEST(test_one_goes_ahead_at_a_time_and_from_its_first_change),
		TEST(test_a_damaged_scratch_file_is_found_and_another_try_may_help),
		TEST(test_an_open_part_holds_nothing_back),
		TEST(test_parts_that_do_not_fit_are_bad_data),
		TEST(test_a_reset_forgets_what_was_kept),
		TEST(test_prepared_transactions_are_passed_on),
		TEST(test_a_stream_may_end_prepared),
		TEST(test_what_was_prepared_before_the_stream_comes_at_its_commit),
		TEST(test_prepared_transactions_that_do_not_fit_are_bad_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
