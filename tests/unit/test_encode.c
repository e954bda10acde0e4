/* test_encode.c -- chunks that were written down come back as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "event/encode.h"
#include "event/relation.h"
#include "transaction/replay.h"
#include "types.h"

#define RELATIONS 40

static uint64_t seed = 1;

static uint64_t
random_below(uint64_t limit)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return seed % limit;
}

/* ---- random chunks ---- */

static const penstock_relation *
make_relation(int number)
{
	static const struct
	{
		int encoding;
		uint32_t oid;
	} types[] = {{PEN_ENCODING_INT, 20},    {PEN_ENCODING_TEXT, 25},    {PEN_ENCODING_BYTEA, 17},
				 {PEN_ENCODING_BOOL, 16},   {PEN_ENCODING_FLOAT8, 701}, {PEN_ENCODING_UUID, 2950},
				 {PEN_ENCODING_FLOAT4, 700}};
	int count = number == 0 ? 0 : number == 1 ? 1600 : 1 + (int) random_below(12);
	penstock_column *columns = calloc((size_t) count + 1, sizeof(*columns));
	char names[1600][16];
	char name[32];
	pen_error error;
	const penstock_relation *relation;
	bool keyed = random_below(3) > 0;

	for (int i = 0; i < count; i++)
	{
		size_t type = random_below(7);

		snprintf(names[i], sizeof(names[i]), "c%d", i);
		columns[i] =
			(penstock_column){.name = names[i],
							  .type_schema = "pg_catalog",
							  .type_name = "t",
							  .type_oid = types[type].oid + 10000 * (uint32_t) random_below(2),
							  .base_type_oid = types[type].oid,
							  .typmod = (int32_t) random_below(20) - 1,
							  .attnum = 2 * i + 1,
							  .encoding = types[type].encoding,
							  .not_null = random_below(2) == 0,
							  .generated = random_below(5) == 0};
		if (keyed && (i == 0 || random_below(3) == 0))
			columns[i].primary_key = columns[i].identity = i + 1;
	}
	snprintf(name, sizeof(name), "table %d", number);
	relation = pen_relation_new(&(penstock_relation){.number = 7,
													 .oid = (uint32_t) number + 1,
													 .schema = "schéma",
													 .name = name,
													 .replica_identity = "dnfi"[random_below(4)],
													 .column_count = count,
													 .columns = columns},
								&error);
	free(columns);
	assert_non_null(relation);
	return relation;
}

static void
write_value(pen_wire_buf *buf, pen_tuple_field field, int encoding)
{
	char bytes[300];
	size_t len = random_below(random_below(10) == 0 ? 300 : 20);

	memset(bytes, 'a' + (int) random_below(26), sizeof(bytes));
	switch (encoding)
	{
		case PEN_ENCODING_INT:
			pen_wire_write_int(buf, field, (int64_t) random_below(UINT64_MAX));
			break;
		case PEN_ENCODING_TEXT:
			pen_wire_write_string(buf, field, bytes, len);
			break;
		case PEN_ENCODING_BYTEA:
			pen_wire_write_bytes(buf, field, bytes, len);
			break;
		case PEN_ENCODING_BOOL:
			pen_wire_write_bool(buf, field, len % 2 == 0);
			break;
		case PEN_ENCODING_FLOAT8:
			pen_wire_write_double(buf, field, (double) len / 3);
			break;
		case PEN_ENCODING_FLOAT4:
			pen_wire_write_float(buf, field, (float) len / 3);
			break;
		default:
			pen_wire_write_bytes(buf, field, bytes, 16);
	}
}

static void
write_row(pen_wire_buf *buf, pen_tuple_field field, const penstock_relation *relation,
		  bool may_be_unchanged, penstock_row *row)
{
	size_t start = buf->len;

	for (int i = 0; i < relation->column_count; i++)
	{
		if (field == PEN_TUPLE_KEY && relation->columns[i].identity == 0)
			continue;
		if (random_below(5) == 0)
			pen_wire_write_null(buf, field);
		else if (may_be_unchanged && random_below(5) == 0)
			pen_wire_write_unchanged(buf, field);
		else
			write_value(buf, field, relation->columns[i].encoding);
	}
	/* The address is put in once the buffer no longer moves. */
	*row = (penstock_row){relation, (const uint8_t *) (uintptr_t) start, buf->len - start,
						  field == PEN_TUPLE_KEY};
}

/* Where the generated stream is. */
typedef struct story
{
	const penstock_relation *relations[RELATIONS];
	penstock_transaction transaction;
	bool open;
	uint64_t sequence;
} story;

static void
add_change(story *s, pen_chunk *chunk, pen_wire_buf *buf)
{
	const penstock_relation *relation = s->relations[random_below(RELATIONS)];
	penstock_event *event = pen_chunk_add(chunk);
	bool keyed = pen_relation_identity_count(relation) > 0;

	event->transaction = pen_chunk_transaction(chunk, &s->transaction);
	s->sequence += random_below(4) == 0 ? 1 + random_below(5) : 1;
	event->sequence = s->sequence;
	event->kind = (penstock_event_kind) (PENSTOCK_INSERT + random_below(4));
	if (event->kind == PENSTOCK_TRUNCATE)
	{
		event->cascade = random_below(2) == 0;
		event->restart_identity = random_below(2) == 0;
		pen_chunk_relations(chunk, event, &s->relations[random_below(RELATIONS - 5)],
							(uint32_t) (1 + random_below(5)));
		return;
	}
	pen_chunk_hold(chunk, event, relation);
	if (event->kind != PENSTOCK_DELETE)
		write_row(buf, PEN_TUPLE_NEW, relation, event->kind == PENSTOCK_UPDATE, &event->new_row);
	if (event->kind != PENSTOCK_INSERT && keyed &&
		(event->kind == PENSTOCK_DELETE || random_below(2) == 0))
		write_row(buf, random_below(2) == 0 ? PEN_TUPLE_KEY : PEN_TUPLE_OLD, relation, false,
				  &event->old_row);
}

static const char *const gids[] = {"g", "a name with 'quotes' and spaces", "ümläut"};

/* Something becomes of a prepared transaction. */
static void
end_prepared(story *s, pen_chunk *chunk, penstock_event *event)
{
	bool commits = random_below(2) == 0;

	s->transaction = (penstock_transaction){.xid = (uint32_t) random_below(UINT32_MAX),
											.commit_lsn = s->transaction.end_lsn + random_below(5),
											.commit_time = (int64_t) random_below(UINT64_MAX),
											.gid = gids[random_below(3)]};
	s->transaction.end_lsn = s->transaction.commit_lsn + (commits ? 1 + random_below(100) : 1);
	if (!commits)
	{
		s->transaction.prepare_end_lsn = random_below(s->transaction.end_lsn);
		s->transaction.prepare_time = (int64_t) random_below(UINT64_MAX);
	}
	event->kind = commits ? PENSTOCK_COMMIT_PREPARED : PENSTOCK_ROLLBACK_PREPARED;
	event->transaction = pen_chunk_transaction(chunk, &s->transaction);
}

static void
add_event(story *s, pen_chunk *chunk, pen_wire_buf *buf)
{
	penstock_event *event;

	if (s->open && random_below(8) != 0)
	{
		add_change(s, chunk, buf);
		return;
	}
	event = pen_chunk_add(chunk);
	if (!s->open && random_below(5) == 0)
	{
		end_prepared(s, chunk, event);
		return;
	}
	if (s->open && s->transaction.gid == NULL)
		s->transaction.end_lsn = s->transaction.commit_lsn + 1 + random_below(100);
	else if (!s->open)
		s->transaction =
			(penstock_transaction){.xid = (uint32_t) random_below(UINT32_MAX),
								   .commit_lsn = s->transaction.end_lsn + random_below(5),
								   .commit_time = (int64_t) random_below(UINT64_MAX)};
	if (!s->open && random_below(3) == 0)
	{
		s->transaction.gid = gids[random_below(3)];
		s->transaction.end_lsn = s->transaction.commit_lsn + 1 + random_below(100);
	}
	event->kind = !s->open                     ? PENSTOCK_BEGIN
				  : s->transaction.gid != NULL ? PENSTOCK_PREPARE
											   : PENSTOCK_COMMIT;
	event->transaction = pen_chunk_transaction(chunk, &s->transaction);
	s->open = !s->open;
	s->sequence = 0;
}

static pen_chunk *
make_chunk(story *s)
{
	pen_wire_buf buf;
	pen_chunk *chunk = pen_chunk_new(NULL, 0, NULL);
	size_t count = 1 + random_below(40);

	pen_buffer_init(&buf);
	while (chunk->count < count)
		add_event(s, chunk, &buf);
	for (size_t i = 0; i < chunk->count; i++)
	{
		penstock_event *event = &chunk->events[i];

		event->new_row.data = buf.data + (uintptr_t) event->new_row.data;
		event->old_row.data = buf.data + (uintptr_t) event->old_row.data;
	}
	chunk->bytes = buf.data;
	chunk->byte_count = buf.len;
	chunk->free_bytes = free;
	return chunk;
}

/* ---- comparison ---- */

static void
same_relation(const penstock_relation *a, const penstock_relation *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a == NULL)
		return;
	assert_string_equal(a->schema, b->schema);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->oid, b->oid);
	assert_int_equal(a->replica_identity, b->replica_identity);
	assert_int_equal(a->column_count, b->column_count);
	assert_int_equal(a->key_count, b->key_count);
	assert_memory_equal(a->key_columns, b->key_columns, (size_t) a->key_count * sizeof(int));
	for (int i = 0; i < a->column_count; i++)
	{
		const penstock_column *x = &a->columns[i];
		const penstock_column *y = &b->columns[i];

		assert_string_equal(x->name, y->name);
		assert_string_equal(x->type_schema, y->type_schema);
		assert_string_equal(x->type_name, y->type_name);
		assert_int_equal(x->type_oid, y->type_oid);
		assert_int_equal(x->base_type_oid, y->base_type_oid);
		assert_int_equal(x->typmod, y->typmod);
		assert_int_equal(x->attnum, y->attnum);
		assert_int_equal(x->primary_key, y->primary_key);
		assert_int_equal(x->identity, y->identity);
		assert_int_equal(x->encoding, y->encoding);
		assert_int_equal(x->not_null, y->not_null);
		assert_int_equal(x->generated, y->generated);
	}
}

static void
same_row(const penstock_row *a, const penstock_row *b)
{
	/* Of a row without columns nothing is left. */
	if (a->relation != NULL && a->len == 0 && b->relation == NULL)
		return;
	same_relation(a->relation, b->relation);
	assert_int_equal(a->len, b->len);
	assert_int_equal(a->identity_only, b->identity_only);
	if (a->len > 0)
		assert_memory_equal(a->data, b->data, a->len);
}

static void
same_chunk(const pen_chunk *a, const pen_chunk *b)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++)
	{
		const penstock_event *x = &a->events[i];
		const penstock_event *y = &b->events[i];

		assert_int_equal(x->kind, y->kind);
		assert_int_equal(x->sequence, y->sequence);
		assert_int_equal(x->cascade, y->cascade);
		assert_int_equal(x->restart_identity, y->restart_identity);
		assert_int_equal(x->transaction->xid, y->transaction->xid);
		assert_int_equal(x->transaction->commit_lsn, y->transaction->commit_lsn);
		assert_int_equal(x->transaction->end_lsn, y->transaction->end_lsn);
		assert_int_equal(x->transaction->commit_time, y->transaction->commit_time);
		assert_int_equal(x->transaction->prepare_end_lsn, y->transaction->prepare_end_lsn);
		assert_int_equal(x->transaction->prepare_time, y->transaction->prepare_time);
		assert_string_equal(x->transaction->gid != NULL ? x->transaction->gid : "",
							y->transaction->gid != NULL ? y->transaction->gid : "");
		same_relation(x->relation, y->relation);
		same_row(&x->new_row, &y->new_row);
		same_row(&x->old_row, &y->old_row);
		assert_int_equal(x->relation_count, y->relation_count);
		for (uint32_t r = 0; r < x->relation_count; r++)
			same_relation(x->relations[r], y->relations[r]);
	}
}

/* ---- tests ---- */

static story *
new_story(void)
{
	story *s = calloc(1, sizeof(*s));

	for (int i = 0; i < RELATIONS; i++)
		s->relations[i] = make_relation(i);
	return s;
}

static void
free_story(story *s)
{
	for (int i = 0; i < RELATIONS; i++)
		pen_relation_unref(s->relations[i]);
	free(s);
}

static void *
copy_of(const pen_wire_buf *buf)
{
	void *bytes = malloc(buf->len);

	memcpy(bytes, buf->data, buf->len);
	return bytes;
}

static void
test_random_chunks_come_back_as_they_were(void **state)
{
	pen_encoder *encoder = pen_encoder_new();
	pen_replay *replay = pen_replay_new();
	story *s = new_story();
	pen_error error = {0};
	pen_wire_buf buf;
	size_t continued = 0;

	(void) state;
	pen_buffer_init(&buf);
	for (int i = 0; i < 1500; i++)
	{
		pen_chunk *chunk;
		pen_chunk *again;

		if (random_below(10) == 0)
			pen_encoder_reset(encoder); /* also in the middle of a transaction */
		continued += s->open;
		chunk = make_chunk(s);
		buf.len = 0;
		assert_int_equal(pen_encoder_append(encoder, chunk, &buf, &error), PENSTOCK_OK);
		again = pen_replay_chunk(replay, copy_of(&buf), buf.len, &error);
		if (again == NULL)
			print_error("%s\n", error.text);
		assert_non_null(again);
		same_chunk(chunk, again);
		pen_chunk_unref(chunk);
		pen_chunk_unref(again);
	}
	assert_true(continued > 100);
	pen_buffer_reset(&buf);
	free_story(s);
	pen_encoder_free(encoder);
	pen_replay_free(replay);
}

static void
test_a_segment_is_read_without_those_before(void **state)
{
	pen_encoder *encoder = pen_encoder_new();
	story *s = new_story();
	pen_error error = {0};
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (int segment = 0; segment < 20; segment++)
	{
		pen_replay *replay = pen_replay_new();

		pen_encoder_reset(encoder);
		for (int i = 0; i < 20; i++)
		{
			pen_chunk *chunk = make_chunk(s);
			pen_chunk *again;

			buf.len = 0;
			assert_int_equal(pen_encoder_append(encoder, chunk, &buf, &error), PENSTOCK_OK);
			again = pen_replay_chunk(replay, copy_of(&buf), buf.len, &error);
			assert_non_null(again);
			same_chunk(chunk, again);
			pen_chunk_unref(chunk);
			pen_chunk_unref(again);
		}
		pen_replay_free(replay);
	}
	pen_buffer_reset(&buf);
	free_story(s);
	pen_encoder_free(encoder);
}

/* Whatever the bytes: a chunk or an error, and nothing that a sanitizer finds. */
static void
test_damaged_records_are_refused(void **state)
{
	pen_encoder *encoder = pen_encoder_new();
	story *s = new_story();
	pen_error error = {0};
	pen_wire_buf buf;
	pen_chunk *chunk = make_chunk(s);
	size_t refused = 0;

	(void) state;
	pen_buffer_init(&buf);
	assert_int_equal(pen_encoder_append(encoder, chunk, &buf, &error), PENSTOCK_OK);
	pen_chunk_unref(chunk);
	for (size_t len = 0; len < buf.len; len += 1 + random_below(20))
	{
		pen_replay *replay = pen_replay_new();
		uint8_t *bytes = malloc(buf.len);
		bool flip = random_below(2) == 0;

		memcpy(bytes, buf.data, buf.len);
		if (flip)
			bytes[len] ^= (uint8_t) (1 + random_below(255));
		chunk = pen_replay_chunk(replay, bytes, flip ? buf.len : len, &error);
		refused += chunk == NULL;
		if (chunk == NULL)
			assert_int_equal(error.status, PENSTOCK_E_DATA);
		pen_chunk_unref(chunk);
		pen_replay_free(replay);
	}
	assert_true(refused > 10);
	pen_buffer_reset(&buf);
	free_story(s);
	pen_encoder_free(encoder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_chunks_come_back_as_they_were),
		cmocka_unit_test(test_a_segment_is_read_without_those_before),
		cmocka_unit_test(test_damaged_records_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
