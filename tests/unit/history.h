/* history.h -- a source that is made up: transactions in order, cut into chunks anywhere.
 * Each has its number in its rows, so that whoever gets them can tell what is missing. */
#ifndef HISTORY_H
#define HISTORY_H

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "event/chunk.h"
#include "event/relation.h"
#include "types.h"
#include "wire.h"

typedef struct history_event
{
	penstock_event_kind kind;
	uint64_t transaction; /* its number, from 0 */
	uint64_t sequence;
} history_event;

typedef struct history_transaction
{
	uint64_t commit_lsn;
	uint64_t end_lsn;
	size_t first; /* of its events */
	uint64_t changes;
	bool prepared; /* a BEGIN…PREPARE, or the end of one that was prepared: nothing but that */
	bool alone;
} history_transaction;

typedef struct history
{
	const penstock_relation *relations[2];
	history_event *events;
	size_t event_count;
	history_transaction *transactions;
	size_t transaction_count;
	pen_memory_budget budget; /* of the chunks */
} history;

static uint64_t history_seed = 1;

static uint64_t
random_below(uint64_t limit)
{
	history_seed ^= history_seed << 13, history_seed ^= history_seed >> 7;
	history_seed ^= history_seed << 17;
	return history_seed % limit;
}

static const penstock_relation *
history_relation(const char *name)
{
	penstock_column columns[2] = {{.name = "n",
								   .type_schema = "pg_catalog",
								   .type_name = "int8",
								   .type_oid = 20,
								   .base_type_oid = 20,
								   .typmod = -1,
								   .attnum = 1,
								   .primary_key = 1,
								   .identity = 1,
								   .encoding = PEN_ENCODING_INT},
								  {.name = "filler",
								   .type_schema = "pg_catalog",
								   .type_name = "text",
								   .type_oid = 25,
								   .base_type_oid = 25,
								   .typmod = -1,
								   .attnum = 2,
								   .encoding = PEN_ENCODING_TEXT}};
	pen_error error;
	const penstock_relation *relation =
		pen_relation_new(&(penstock_relation){.number = 1,
											  .oid = 1,
											  .schema = "public",
											  .name = name,
											  .replica_identity = 'd',
											  .column_count = 2,
											  .columns = columns},
						 &error);

	assert_non_null(relation);
	return relation;
}

static void
history_add(history *h, penstock_event_kind kind, uint64_t transaction, uint64_t sequence)
{
	h->events = realloc(h->events, (h->event_count + 1) * sizeof(*h->events));
	h->events[h->event_count++] = (history_event){kind, transaction, sequence};
}

/* Transactions of up to changes_max changes; prepared: some are prepared, or ends of such. */
static history *
history_new(size_t transaction_count, size_t changes_max, bool prepared)
{
	history *h = calloc(1, sizeof(*h));
	uint64_t lsn = 1000;

	h->relations[0] = history_relation("a");
	h->relations[1] = history_relation("b");
	h->transactions = calloc(transaction_count + 1, sizeof(*h->transactions));
	h->transaction_count = transaction_count;
	for (size_t i = 0; i < transaction_count; i++)
	{
		history_transaction *t = &h->transactions[i];

		t->first = h->event_count;
		t->prepared = prepared && random_below(3) == 0;
		t->alone = prepared && !t->prepared && random_below(3) == 0;
		t->changes = t->alone ? 0 : random_below(random_below(4) == 0 ? changes_max : 4) + 1;
		t->commit_lsn = lsn + random_below(3) * 50;
		t->end_lsn = t->commit_lsn + 8;
		lsn = t->end_lsn;
		if (t->alone)
		{
			history_add(
				h, random_below(2) == 0 ? PENSTOCK_COMMIT_PREPARED : PENSTOCK_ROLLBACK_PREPARED, i,
				0);
			if (h->events[t->first].kind == PENSTOCK_ROLLBACK_PREPARED)
				t->commit_lsn = t->end_lsn - 1;
			continue;
		}
		history_add(h, PENSTOCK_BEGIN, i, 0);
		for (uint64_t c = 1; c <= t->changes; c++)
			history_add(h, PENSTOCK_INSERT, i, c);
		history_add(h, t->prepared ? PENSTOCK_PREPARE : PENSTOCK_COMMIT, i, 0);
	}
	h->transactions[transaction_count].first = h->event_count;
	h->transactions[transaction_count].commit_lsn = lsn + 1000;
	return h;
}

static void
history_free(history *h)
{
	assert_int_equal(h->budget.used, 0);
	pen_relation_unref(h->relations[0]);
	pen_relation_unref(h->relations[1]);
	free(h->events);
	free(h->transactions);
	free(h);
}

/* What a stream that begins at lsn sends first: an event, or event_count. */
static size_t
history_find(const history *h, uint64_t lsn)
{
	size_t i = 0;

	while (i < h->transaction_count && h->transactions[i].commit_lsn < lsn)
		i++;
	return h->transactions[i].first;
}

/* Does a transaction go on here, of which events came before? */
static bool
history_is_within(const history *h, size_t event)
{
	return event < h->event_count && event > h->transactions[h->events[event].transaction].first;
}

/* The number in a row; its filler is there to take room. */
static void
history_write_row(pen_wire_buf *buf, uint64_t number, size_t filler)
{
	char text[4096];

	for (size_t i = 0; i < filler; i++)
		text[i] = (char) ('a' + random_below(26));
	pen_wire_write_int(buf, PEN_TUPLE_NEW, (int64_t) number);
	pen_wire_write_string(buf, PEN_TUPLE_NEW, text, filler);
}

/* Events from first on as a chunk, sealed. filler: bytes in each row besides its number. */
static pen_chunk *
history_chunk(history *h, size_t first, size_t count, size_t filler)
{
	pen_chunk *chunk = pen_chunk_new(NULL, 0, NULL);
	pen_wire_buf buf;

	pen_buffer_init(&buf);
	for (size_t i = first; i < first + count; i++)
	{
		const history_event *from = &h->events[i];
		const history_transaction *t = &h->transactions[from->transaction];
		bool knows_end = from->kind >= PENSTOCK_COMMIT || t->prepared;
		penstock_transaction transaction = {.xid = (uint32_t) from->transaction + 1,
											.commit_lsn = t->commit_lsn,
											.end_lsn = knows_end ? t->end_lsn : 0,
											.gid = t->prepared || t->alone ? "gid" : NULL};
		penstock_event *event = pen_chunk_add(chunk);
		size_t start = buf.len;

		event->kind = from->kind;
		event->sequence = from->sequence;
		event->transaction = pen_chunk_transaction(chunk, &transaction);
		if (from->kind != PENSTOCK_INSERT)
			continue;
		pen_chunk_hold(chunk, event, h->relations[i % 2]);
		history_write_row(&buf, from->transaction, filler);
		event->new_row = (penstock_row){.relation = event->relation,
										.data = (const uint8_t *) (uintptr_t) start,
										.len = buf.len - start};
	}
	for (size_t i = 0; i < count; i++)
		chunk->events[i].new_row.data = buf.data + (uintptr_t) chunk->events[i].new_row.data;
	chunk->bytes = buf.data;
	chunk->byte_count = buf.len;
	chunk->free_bytes = free;
	pen_chunk_seal(chunk, &h->budget);
	return chunk;
}

/* The number in an insert's row. */
static uint64_t
history_number(const penstock_event *event)
{
	pen_wire_reader reader;
	pen_value value;

	pen_wire_reader_init(&reader, event->new_row.data, event->new_row.len);
	assert_true(pen_wire_read_value(&reader, &value));
	return (uint64_t) value.integer;
}

#endif
