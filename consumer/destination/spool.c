/* spool.c -- records of a log: each begins with a head of ours, and holds a Batch.
 * Every segment can be read by itself: it begins with a record that says from where the stream is
 * in it, and its chunks need nothing that was written before.
 *
 *     record: u8 kind, u64 the end of the last whole transaction after it, u64 an LSN, more
 *     'S'  first of a segment: a stream begins at the LSN
 *     'H'  first of a segment: the stream goes on; the LSN is the commit of the open transaction
 *     'C'  a piece of the stream: a record of event/encode.h
 *     'A'  nothing of interest before the LSN
 */
#include "destination/spool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "event/encode.h"
#include "event/lsn.h"
#include "store/store.h"
#include "transaction/replay.h"

#define HEAD_BYTES    17
#define SYNC_PAUSE_MS 20 /* between two syncs */

struct pen_spool
{
	pen_store *store;
	char *directory;
	pen_store_options options;
	void (*wake)(void *context);
	void *wake_context;

	/* The writer's. */
	pen_encoder *encoder;
	pen_wire_buf record;
	bool head_wanted; /* the next record is to begin a segment */
	bool start_wanted;
	bool start_told; /* and the reader has it without being written */
	uint64_t start_lsn;
	penstock_transaction open; /* of what has been appended; commit_lsn 0: none */
	uint64_t position;         /* of the last record */
	bool skipping;             /* the transaction that arrives is here already */

	/* The reader's. */
	pen_store_cursor *cursor;
	pen_replay *replay;
	pen_memory_budget budget; /* of chunks that were read back: nobody asks for it */

	pthread_mutex_t lock; /* for what follows, and for nothing that waits */
	pthread_cond_t changed;
	pthread_t syncer;
	bool running;
	bool quit;
	bool dirty;
	bool syncing;
	bool failed;
	pen_error error;
	uint64_t from_lsn;
	uint64_t end_lsn;
	uint64_t synced_lsn;
	uint64_t records;        /* appended */
	uint64_t marked;         /* of them, when the reader was at the end */
	uint64_t skip;           /* the reader passes over so many */
	unsigned int generation; /* of resets */
	bool empty;
};

/* ---- syncing ---- */

static void
fail(pen_spool *spool, const pen_error *error)
{
	pthread_mutex_lock(&spool->lock);
	if (!spool->failed)
		spool->error = *error;
	spool->failed = true;
	pthread_mutex_unlock(&spool->lock);
}

/* What was whole when it began is durable afterwards. Called and returns with the lock held. */
static void
sync_once(pen_spool *spool)
{
	uint64_t end_lsn = spool->end_lsn;
	unsigned int generation = spool->generation;
	pen_error error;
	penstock_status status;

	spool->dirty = false;
	spool->syncing = true;
	pthread_mutex_unlock(&spool->lock);
	pen_error_clear(&error);
	PEN_FAILPOINT("spool-written");
	status = pen_store_sync(spool->store, NULL, &error);
	PEN_FAILPOINT("spool-synced");
	if (status < 0)
		fail(spool, &error);
	pthread_mutex_lock(&spool->lock);
	spool->syncing = false;
	pthread_cond_broadcast(&spool->changed);
	if (status >= 0 && generation == spool->generation && end_lsn > spool->synced_lsn)
		spool->synced_lsn = end_lsn;
}

static void *
sync_loop(void *argument)
{
	pen_spool *spool = argument;

	pthread_mutex_lock(&spool->lock);
	while (!spool->quit)
	{
		if (!spool->dirty || spool->failed)
		{
			pthread_cond_wait(&spool->changed, &spool->lock);
			continue;
		}
		sync_once(spool);
		pthread_mutex_unlock(&spool->lock);
		spool->wake(spool->wake_context);
		pen_clock_sleep_ms(SYNC_PAUSE_MS);
		pthread_mutex_lock(&spool->lock);
	}
	pthread_mutex_unlock(&spool->lock);
	return NULL;
}

/* ---- what an earlier process left ---- */

static uint64_t
read_u64(const uint8_t *bytes)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | bytes[i];
	return value;
}

static penstock_status
bad_record(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_REFUSED,
						 "the spool holds a record that is none of ours; remove its directory, and "
						 "copy the destination anew");
}

/* Who has everything before it can begin to read at the segment with this first record. */
static penstock_status
read_from(const pen_store_record *record, uint64_t *from_lsn, pen_error *error)
{
	if (record->len < HEAD_BYTES || (record->data[0] != 'S' && record->data[0] != 'H'))
		return bad_record(error);
	*from_lsn = read_u64(record->data + 9);
	/* In the middle of a transaction: it must be there already, which ends after its commit. */
	if (record->data[0] == 'H' && *from_lsn != 0)
		*from_lsn += 1;
	else if (record->data[0] == 'H')
		*from_lsn = read_u64(record->data + 1);
	return PENSTOCK_OK;
}

/* The last record says how far it goes; from the first one at or after position on. */
static penstock_status
read_end(pen_spool *spool, uint64_t position, pen_error *error)
{
	pen_store_cursor *cursor = pen_store_cursor_new(spool->store, position);
	pen_store_record record;
	penstock_status status = PENSTOCK_OK;

	if (cursor == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	while (status == PENSTOCK_OK)
	{
		status = pen_store_next(cursor, &record, error);
		if (status == PENSTOCK_OK && record.len < HEAD_BYTES)
			status = bad_record(error);
		else if (status == PENSTOCK_OK)
			spool->end_lsn = read_u64(record.data + 1);
	}
	pen_store_cursor_free(cursor);
	return status == PENSTOCK_AGAIN ? PENSTOCK_OK : status;
}

static penstock_status
take_up(pen_spool *spool, pen_error *error)
{
	pen_store_cursor *cursor;
	pen_store_record record;
	penstock_status status;
	uint64_t first;

	spool->empty = !pen_store_positions(spool->store, &first, &spool->position);
	if (spool->empty)
		return PENSTOCK_OK;
	cursor = pen_store_cursor_new(spool->store, 0);
	if (cursor == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	status = pen_store_next(cursor, &record, error);
	if (status == PENSTOCK_OK)
		status = read_from(&record, &spool->from_lsn, error);
	pen_store_cursor_free(cursor);
	if (status < 0 || read_end(spool, spool->position, error) < 0)
		return error->status;
	spool->synced_lsn = spool->end_lsn;
	return PENSTOCK_OK;
}

/* ---- life ---- */

static pen_spool *
new_spool(const pen_spool_options *options, pen_error *error)
{
	pen_spool *spool = calloc(1, sizeof(*spool));

	if (spool == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&spool->lock, NULL);
	pthread_cond_init(&spool->changed, NULL);
	pen_buffer_init(&spool->record);
	spool->wake = options->wake;
	spool->wake_context = options->wake_context;
	spool->head_wanted = true;
	spool->directory = strdup(options->directory);
	spool->options = (pen_store_options){.bytes_max = options->bytes_max,
										 .segment_bytes_max = options->segment_bytes_max,
										 .durable = true};
	spool->encoder = pen_encoder_new();
	spool->replay = pen_replay_new();
	if (spool->directory == NULL || spool->encoder == NULL || spool->replay == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	return spool;
}

pen_spool *
pen_spool_open(const pen_spool_options *options, pen_error *error)
{
	pen_spool *spool;

	pen_error_clear(error);
	spool = new_spool(options, error);
	if (spool == NULL)
		return NULL;
	if (error->status >= 0)
		spool->store = pen_store_open(spool->directory, &spool->options, error);
	if (spool->store != NULL && take_up(spool, error) >= 0)
	{
		spool->running = pthread_create(&spool->syncer, NULL, sync_loop, spool) == 0;
		if (spool->running)
			return spool;
		pen_error_set(error, PENSTOCK_E_RETRY, "could not start a thread for a spool");
	}
	pen_error_context(error, "spool %s", options->directory);
	pen_spool_close(spool);
	return NULL;
}

void
pen_spool_close(pen_spool *spool)
{
	if (spool == NULL)
		return;
	if (spool->running)
	{
		pthread_mutex_lock(&spool->lock);
		spool->quit = true;
		pthread_cond_broadcast(&spool->changed);
		pthread_mutex_unlock(&spool->lock);
		pthread_join(spool->syncer, NULL);
	}
	pen_store_cursor_free(spool->cursor);
	pen_store_close(spool->store);
	pen_encoder_free(spool->encoder);
	pen_replay_free(spool->replay);
	pen_buffer_reset(&spool->record);
	free(spool->directory);
	pthread_cond_destroy(&spool->changed);
	pthread_mutex_destroy(&spool->lock);
	free(spool);
}

void
pen_spool_state_get(pen_spool *spool, pen_spool_state *state)
{
	uint64_t bytes = pen_store_bytes(spool->store);

	pthread_mutex_lock(&spool->lock);
	*state = (pen_spool_state){
		.empty = spool->empty,
		.from_lsn = spool->from_lsn,
		.end_lsn = spool->end_lsn,
		.synced_lsn = spool->synced_lsn,
		.bytes = bytes,
		.failed = spool->failed,
		.error = spool->error,
	};
	pthread_mutex_unlock(&spool->lock);
}

/* ---- writing ---- */

static void
write_u64(pen_wire_buf *buf, uint64_t value)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t) (value >> (8 * i));
	pen_wire_append(buf, bytes, sizeof(bytes));
}

static void
begin_record(pen_spool *spool, char kind, uint64_t end_lsn, uint64_t lsn)
{
	spool->record.len = 0;
	pen_wire_append(&spool->record, &kind, 1);
	write_u64(&spool->record, end_lsn);
	write_u64(&spool->record, lsn);
}

/* From where a spool that begins with the record that is being written can be read. */
static uint64_t
first_lsn(const pen_spool *spool)
{
	if (spool->start_wanted)
		return spool->start_lsn;
	return spool->open.commit_lsn != 0 ? spool->open.commit_lsn + 1 : spool->end_lsn;
}

/* Append the record; end_lsn is where it brings the spool to. */
static penstock_status
append(pen_spool *spool, uint64_t position, uint64_t end_lsn, pen_error *error)
{
	penstock_status status;

	if (spool->record.failed)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a spool");
	if (position < spool->position)
		position = spool->position;
	status = pen_store_append(spool->store, spool->record.data, spool->record.len, position, error);
	if (status != PENSTOCK_OK)
		return status;
	spool->position = position;
	pthread_mutex_lock(&spool->lock);
	if (spool->empty)
	{
		spool->from_lsn = first_lsn(spool);
		spool->synced_lsn = end_lsn;
	}
	spool->empty = false;
	spool->end_lsn = end_lsn;
	spool->records++;
	spool->dirty = true;
	pthread_cond_broadcast(&spool->changed);
	pthread_mutex_unlock(&spool->lock);
	return PENSTOCK_OK;
}

/* The first record of a segment. */
static penstock_status
write_head(pen_spool *spool, pen_error *error)
{
	uint64_t end_lsn = spool->end_lsn;
	penstock_status status;

	/* An open transaction is not here, and not whole even at its end: it comes again in a stream
	 * that begins before it. */
	if (spool->empty)
		end_lsn = spool->start_wanted ? spool->start_lsn : spool->open.commit_lsn;
	if (pen_store_roll(spool->store, error) < 0)
		return error->status;
	pen_encoder_reset(spool->encoder);
	begin_record(spool, spool->start_wanted ? 'S' : 'H', end_lsn,
				 spool->start_wanted ? spool->start_lsn : spool->open.commit_lsn);
	status = append(spool, spool->position, end_lsn, error);
	if (status != PENSTOCK_OK)
		return status;
	if (spool->start_wanted)
		spool->open = (penstock_transaction){0};
	spool->start_wanted = false;
	spool->head_wanted = false;
	return PENSTOCK_OK;
}

static penstock_status
want_head(pen_spool *spool, pen_error *error)
{
	if (!spool->head_wanted && !pen_store_segment_full(spool->store))
		return PENSTOCK_OK;
	return write_head(spool, error);
}

penstock_status
pen_spool_start(pen_spool *spool, uint64_t lsn, pen_error *error)
{
	spool->head_wanted = true;
	spool->start_wanted = true;
	spool->start_told = false;
	spool->start_lsn = lsn;
	spool->skipping = false;
	return want_head(spool, error);
}

bool
pen_spool_take_start(pen_spool *spool, uint64_t *lsn)
{
	bool wanted = spool->start_wanted && !spool->start_told;

	*lsn = spool->start_lsn;
	spool->start_told = spool->start_wanted;
	return wanted;
}

/* The end of a prepared transaction stands by itself. */
static bool
is_beginning(penstock_event_kind kind)
{
	return kind == PENSTOCK_BEGIN || kind == PENSTOCK_COMMIT_PREPARED ||
		   kind == PENSTOCK_ROLLBACK_PREPARED;
}

/*
 * What of a chunk is not here yet: whole transactions that are here stand before it. What it
 * leaves behind are the open transaction and the end.
 */
static pen_chunk
choose_new(pen_spool *spool, const pen_chunk *chunk, penstock_transaction *open, uint64_t *end_lsn)
{
	pen_chunk chosen = {0};

	for (size_t i = 0; i < chunk->count; i++)
	{
		const penstock_event *event = &chunk->events[i];

		if (is_beginning(event->kind))
			spool->skipping = event->transaction->commit_lsn < *end_lsn;
		if (spool->skipping)
			continue;
		if (chosen.count == 0)
			chosen = (pen_chunk){.events = chunk->events + i, .count = chunk->count - i};
		*open = *event->transaction;
		if (event->kind >= PENSTOCK_COMMIT)
		{
			*end_lsn = event->transaction->end_lsn;
			*open = (penstock_transaction){0};
		}
	}
	return chosen;
}

penstock_status
pen_spool_chunk(pen_spool *spool, const pen_chunk *chunk, pen_error *error)
{
	bool skipping = spool->skipping;
	penstock_transaction open;
	penstock_status status;
	pen_chunk chosen;
	uint64_t end_lsn;

	if (chunk->count == 0)
		return PENSTOCK_OK;
	if (spool->empty && spool->open.commit_lsn == 0 && !spool->start_wanted)
	{
		if (!is_beginning(chunk->events[0].kind))
			spool->open = *chunk->events[0].transaction;
		else
		{
			spool->start_wanted = true;
			spool->start_lsn = chunk->events[0].transaction->commit_lsn;
		}
	}
	status = want_head(spool, error);
	if (status != PENSTOCK_OK)
		return status;
	open = spool->open;
	end_lsn = spool->end_lsn;
	chosen = choose_new(spool, chunk, &open, &end_lsn);
	if (chosen.count == 0)
		return PENSTOCK_OK;
	begin_record(spool, 'C', end_lsn, 0);
	status = pen_encoder_append(spool->encoder, &chosen, &spool->record, error);
	if (status >= 0)
		status =
			append(spool, open.commit_lsn != 0 ? open.commit_lsn : end_lsn - 1, end_lsn, error);
	if (status == PENSTOCK_OK)
		spool->open = open;
	else
	{
		spool->skipping = skipping;
		/* It believes that its Relations are there: the next one says all again. */
		pen_encoder_reset(spool->encoder);
	}
	return status;
}

penstock_status
pen_spool_advance(pen_spool *spool, uint64_t lsn, pen_error *error)
{
	penstock_status status;

	if (spool->open.commit_lsn != 0 || lsn <= spool->end_lsn)
		return PENSTOCK_OK;
	if (spool->empty)
	{
		spool->start_wanted = true;
		spool->start_lsn = lsn;
	}
	status = want_head(spool, error);
	if (status != PENSTOCK_OK)
		return status;
	begin_record(spool, 'A', lsn, lsn);
	return append(spool, lsn - 1, lsn, error);
}

void
pen_spool_truncate(pen_spool *spool, uint64_t lsn)
{
	uint64_t before = pen_store_bytes(spool->store);

	PEN_FAILPOINT("spool-read");
	pen_store_truncate(spool->store, lsn);
	if (pen_store_bytes(spool->store) >= before)
		return;
	/* Whoever has been taken back to before that misses something. */
	pthread_mutex_lock(&spool->lock);
	if (lsn > spool->from_lsn)
		spool->from_lsn = lsn;
	pthread_mutex_unlock(&spool->lock);
}

/* The writer and the reader have nothing to do with what was there. */
static void
begin_afresh(pen_spool *spool)
{
	pen_store_cursor_free(spool->cursor);
	spool->cursor = NULL;
	spool->head_wanted = true;
	spool->start_wanted = false;
	spool->skipping = false;
	spool->open = (penstock_transaction){0};
	spool->position = 0;
}

static void
wait_for_syncer(pen_spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	spool->dirty = false;
	while (spool->syncing)
		pthread_cond_wait(&spool->changed, &spool->lock);
	pthread_mutex_unlock(&spool->lock);
}

penstock_status
pen_spool_mend(pen_spool *spool, pen_error *error)
{
	pen_store *store;
	penstock_status status;

	wait_for_syncer(spool);
	store = pen_store_open(spool->directory, &spool->options, error);
	if (store == NULL)
		return pen_error_context(error, "spool %s", spool->directory);
	begin_afresh(spool);
	pen_store_close(spool->store);
	spool->store = store;
	pthread_mutex_lock(&spool->lock);
	spool->from_lsn = spool->end_lsn = spool->synced_lsn = 0;
	spool->skip = 0;
	spool->generation++;
	status = take_up(spool, error);
	spool->failed = status < 0;
	if (status < 0)
		spool->error = *error;
	pthread_mutex_unlock(&spool->lock);
	return status;
}

penstock_status
pen_spool_reset(pen_spool *spool, pen_error *error)
{
	pen_spool_state state;

	wait_for_syncer(spool);
	pen_spool_state_get(spool, &state);
	if (state.failed && pen_spool_mend(spool, error) < 0)
		return error->status;
	if (pen_store_reset(spool->store, error) < 0)
		return pen_error_context(error, "emptying a spool");
	begin_afresh(spool);
	pthread_mutex_lock(&spool->lock);
	spool->empty = true;
	spool->from_lsn = spool->end_lsn = spool->synced_lsn = 0;
	spool->skip = 0;
	spool->generation++;
	pthread_mutex_unlock(&spool->lock);
	return PENSTOCK_OK;
}

/* ---- reading ---- */

penstock_status
pen_spool_rewind(pen_spool *spool, uint64_t lsn, pen_error *error)
{
	pen_store_cursor_free(spool->cursor);
	spool->cursor = pen_store_cursor_new(spool->store, lsn);
	if (spool->cursor == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	pthread_mutex_lock(&spool->lock);
	spool->skip = 0;
	pthread_mutex_unlock(&spool->lock);
	return PENSTOCK_OK;
}

void
pen_spool_mark_end(pen_spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	spool->marked = spool->records;
	pthread_mutex_unlock(&spool->lock);
}

void
pen_spool_skip_marked(pen_spool *spool)
{
	pthread_mutex_lock(&spool->lock);
	spool->skip = spool->records - spool->marked;
	pthread_mutex_unlock(&spool->lock);
}

static bool
is_passed_over(pen_spool *spool)
{
	bool passed;

	pthread_mutex_lock(&spool->lock);
	passed = spool->skip > 0;
	spool->skip -= passed;
	pthread_mutex_unlock(&spool->lock);
	return passed;
}

/* What follows the end may be what the failure has taken away. */
static penstock_status
at_end(pen_spool *spool, pen_error *error)
{
	penstock_status status = PENSTOCK_AGAIN;

	pthread_mutex_lock(&spool->lock);
	if (spool->failed)
		status = pen_error_set(error, PENSTOCK_E_RETRY, "its spool failed: %s", spool->error.text);
	pthread_mutex_unlock(&spool->lock);
	return status;
}

/* PENSTOCK_AGAIN: there is nothing to hand out. */
static penstock_status
read_record(pen_spool *spool, const pen_store_record *record, pen_spool_item *item,
			pen_error *error)
{
	uint64_t lsn;
	uint8_t *bytes;

	if (record->len < HEAD_BYTES)
		return bad_record(error);
	lsn = read_u64(record->data + 9);
	switch (record->data[0])
	{
		case 'S':
			*item = (pen_spool_item){.kind = PEN_SPOOL_START, .lsn = lsn};
			return PENSTOCK_OK;
		case 'H':
			return PENSTOCK_AGAIN;
		case 'A':
			*item = (pen_spool_item){.kind = PEN_SPOOL_ADVANCE, .lsn = lsn};
			return PENSTOCK_OK;
		case 'C':
			break;
		default:
			return bad_record(error);
	}
	/* Its bytes become the chunk's. */
	bytes = pen_store_take(spool->cursor);
	memmove(bytes, bytes + HEAD_BYTES, record->len - HEAD_BYTES);
	*item = (pen_spool_item){.kind = PEN_SPOOL_CHUNK};
	item->chunk = pen_replay_chunk(spool->replay, bytes, record->len - HEAD_BYTES, error);
	if (item->chunk == NULL)
		return pen_error_context(error, "reading a spool");
	pen_chunk_seal(item->chunk, &spool->budget);
	return PENSTOCK_OK;
}

penstock_status
pen_spool_next(pen_spool *spool, pen_spool_item *item, pen_error *error)
{
	pen_store_record record;
	penstock_status status;

	if (spool->cursor == NULL && pen_spool_rewind(spool, 0, error) < 0)
		return error->status;
	for (;;)
	{
		status = pen_store_next(spool->cursor, &record, error);
		if (status == PENSTOCK_AGAIN)
			return at_end(spool, error);
		if (status != PENSTOCK_OK)
			return status;
		status = read_record(spool, &record, item, error);
		if (status < 0)
			return status;
		if (!is_passed_over(spool) && status == PENSTOCK_OK)
			return PENSTOCK_OK;
		if (status == PENSTOCK_OK && item->kind == PEN_SPOOL_CHUNK)
			pen_chunk_unref(item->chunk);
	}
}
