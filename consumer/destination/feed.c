/* feed.c -- memory first, then disk, and back.
 * The mode changes under the lock only, and what is appended to the spool is appended under it: so
 * the reader, who looks once more under the lock, cannot take the end of the spool for the end of
 * everything while something is being added. */
#include "destination/feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* While changes go ahead: more than a source sends of them in one go with
 * logical_decoding_work_mem as it is set by default, so that it decodes the next while they are
 * applied. */
#define SATED_BYTES  ((size_t) 128 * 1024 * 1024)
#define SATED_SHARE  2 /* of queue_bytes_max at most: they are no reason to go to disk */
#define HUNGRY_SHARE 8 /* of that */

typedef enum feed_mode
{
	MEMORY,
	SPOOL,
	TEE
} feed_mode;

struct pen_feed
{
	pen_queue *queue;
	pen_spool *spool; /* NULL: always MEMORY */
	size_t queue_bytes_max;
	atomic_ulong pushed;

	pthread_mutex_t lock;
	feed_mode mode;
	bool behind;      /* the stream began in memory, and went on on disk */
	uint64_t tee_lsn; /* TEE: the end of the spool when it began */

	pen_chunk *held;    /* the receiver's: what the spool had no room for */
	pen_error held_why; /* while held is there */
	bool stuck;         /* TEE: there is something held */
};

void
pen_feed_release(pen_item *item)
{
	if (item->kind == PEN_FEED_CHUNK || item->kind == PEN_FEED_AHEAD)
		pen_chunk_unref(item->pointer);
	else
		free(item->pointer);
}

/* ---- life ---- */

pen_feed *
pen_feed_new(const pen_feed_options *options, pen_error *error)
{
	pen_feed *feed = calloc(1, sizeof(*feed));
	pen_spool_state state;

	if (feed == NULL || (feed->queue = pen_queue_new()) == NULL)
	{
		free(feed);
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&feed->lock, NULL);
	feed->queue_bytes_max = options->queue_bytes_max;
	if (options->spool.directory == NULL)
		return feed;
	feed->spool = pen_spool_open(&options->spool, error);
	if (feed->spool == NULL)
	{
		pen_feed_free(feed);
		return NULL;
	}
	pen_spool_state_get(feed->spool, &state);
	feed->mode = state.empty ? MEMORY : SPOOL;
	return feed;
}

void
pen_feed_free(pen_feed *feed)
{
	if (feed == NULL)
		return;
	pen_queue_free(feed->queue, pen_feed_release);
	pen_spool_close(feed->spool);
	pen_chunk_unref(feed->held);
	pthread_mutex_destroy(&feed->lock);
	free(feed);
}

/* ---- pushing ---- */

static penstock_status
enqueue(pen_feed *feed, pen_item *item, pen_error *error)
{
	if (!pen_queue_push(feed->queue, item))
	{
		pen_feed_release(item);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	}
	atomic_fetch_add(&feed->pushed, 1);
	return PENSTOCK_OK;
}

static penstock_status
enqueue_chunk(pen_feed *feed, pen_chunk *chunk, pen_error *error)
{
	pen_item item = {
		.kind = PEN_FEED_CHUNK,
		.pointer = pen_chunk_ref(chunk),
		.size = pen_chunk_size(chunk),
	};

	return enqueue(feed, &item, error);
}

static penstock_status
enqueue_start(pen_feed *feed, unsigned int epoch, uint64_t lsn, pen_error *error)
{
	pen_feed_stream *start = malloc(sizeof(*start));
	pen_item item = {.kind = PEN_FEED_START, .pointer = start};

	if (start == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	*start = (pen_feed_stream){.epoch = epoch, .lsn = lsn};
	return enqueue(feed, &item, error);
}

/* With the lock held. */
static void
drop_held(pen_feed *feed)
{
	pen_chunk_unref(feed->held);
	feed->held = NULL;
	feed->stuck = false;
}

/* What was pushed ahead is of no use any more. */
static void
drop_ahead(pen_feed *feed)
{
	atomic_fetch_sub(&feed->pushed, pen_queue_drop_late(feed->queue, pen_feed_release));
}

/* Who waits for the queue alone is to look again. */
static void
enter_spool(pen_feed *feed)
{
	if (feed->mode != SPOOL)
		pen_queue_interrupt(feed->queue);
	feed->mode = SPOOL;
}

/* Nothing goes through memory any more, what is in the queue is read first. With the lock held. */
static void
to_spool(pen_feed *feed)
{
	if (feed->mode == TEE)
		pen_spool_skip_marked(feed->spool);
	enter_spool(feed);
}

penstock_status
pen_feed_start(pen_feed *feed, unsigned int epoch, uint64_t lsn, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	pthread_mutex_lock(&feed->lock);
	drop_held(feed); /* it comes again with the stream */
	drop_ahead(feed);
	feed->behind = feed->mode == MEMORY;
	if (feed->mode == MEMORY)
		status = enqueue_start(feed, epoch, lsn, error);
	else
	{
		/* What went through memory stays: the stream may begin behind it. */
		to_spool(feed);
		/* Without room it is written with the first piece of the stream. */
		(void) pen_spool_start(feed->spool, lsn, error);
	}
	pthread_mutex_unlock(&feed->lock);
	return status;
}

/* With the lock held. */
static penstock_status
push_chunk(pen_feed *feed, pen_chunk *chunk, pen_error *error)
{
	bool crowded = feed->spool != NULL && pen_queue_bytes(feed->queue) > feed->queue_bytes_max;
	penstock_status status = PENSTOCK_OK;

	if (crowded)
		to_spool(feed);
	if (feed->mode == SPOOL)
		return pen_spool_chunk(feed->spool, chunk, error);
	if (feed->mode == TEE)
		status = pen_spool_chunk(feed->spool, chunk, error);
	if (status == PENSTOCK_OK)
		status = enqueue_chunk(feed, chunk, error);
	return status;
}

/* With the lock held: there is no room for this now,
 * and the worker may have to do something for it. */
static void
hold(pen_feed *feed, pen_chunk *chunk, const pen_error *why)
{
	bool stuck = feed->mode == TEE && chunk != NULL;

	feed->held = chunk;
	feed->held_why = *why;
	if (stuck && !feed->stuck)
		pen_queue_interrupt(feed->queue);
	feed->stuck = stuck;
}

penstock_status
pen_feed_chunk(pen_feed *feed, pen_chunk *chunk, pen_error *error)
{
	penstock_status status;

	if (feed->held != NULL)
		return pen_error_set(error, PENSTOCK_E_BUG, "a full spool was given more");
	pthread_mutex_lock(&feed->lock);
	status = push_chunk(feed, chunk, error);
	if (status != PENSTOCK_OK)
		hold(feed, pen_chunk_ref(chunk), error);
	pthread_mutex_unlock(&feed->lock);
	return PENSTOCK_OK;
}

penstock_status
pen_feed_advance(pen_feed *feed, uint64_t lsn, pen_error *error)
{
	pen_item item = {.kind = PEN_FEED_ADVANCE, .number = lsn};
	penstock_status status = PENSTOCK_OK;

	if (feed->held != NULL)
		return PENSTOCK_OK;
	pthread_mutex_lock(&feed->lock);
	if (feed->mode != MEMORY)
		status = pen_spool_advance(feed->spool, lsn, error);
	if (status == PENSTOCK_OK && feed->mode != SPOOL)
		status = enqueue(feed, &item, error);
	pthread_mutex_unlock(&feed->lock);
	/* Without room, or without a disk, the next one says the same and more. */
	return PENSTOCK_OK;
}

penstock_status
pen_feed_command(pen_feed *feed, pen_feed_item_kind kind, uint64_t number, void *pointer)
{
	pen_item item = {.kind = (int) kind, .number = number, .pointer = pointer};
	pen_error ignored;

	return enqueue(feed, &item, &ignored);
}

/* ---- ahead ---- */

static feed_mode
mode_of(pen_feed *feed)
{
	feed_mode mode;

	pthread_mutex_lock(&feed->lock);
	mode = feed->mode;
	pthread_mutex_unlock(&feed->lock);
	return mode;
}

pen_feed_appetite
pen_feed_appetite_get(pen_feed *feed)
{
	size_t sated = feed->queue_bytes_max / SATED_SHARE;
	size_t bytes = pen_queue_bytes(feed->queue);

	if (mode_of(feed) != MEMORY)
		return PEN_FEED_ELSEWHERE;
	if (sated > SATED_BYTES)
		sated = SATED_BYTES;
	if (bytes >= sated)
		return PEN_FEED_SATED;
	return bytes <= sated / HUNGRY_SHARE ? PEN_FEED_HUNGRY : PEN_FEED_BUSY;
}

bool
pen_feed_ahead(pen_feed *feed, pen_chunk *chunk, uint64_t before)
{
	pen_item item = {.kind = PEN_FEED_AHEAD, .number = before, .size = pen_chunk_size(chunk)};
	bool taken = false;

	pthread_mutex_lock(&feed->lock);
	if (feed->mode == MEMORY)
	{
		item.pointer = pen_chunk_ref(chunk);
		taken = pen_queue_push_late(feed->queue, &item);
		if (taken)
			atomic_fetch_add(&feed->pushed, 1);
		else
			pen_feed_release(&item);
	}
	pthread_mutex_unlock(&feed->lock);
	return taken;
}

size_t
pen_feed_bytes(pen_feed *feed)
{
	return pen_queue_bytes(feed->queue);
}

void
pen_feed_ahead_ends(pen_feed *feed)
{
	if (!pen_queue_join(feed->queue))
		drop_ahead(feed);
}

void
pen_feed_forgo(pen_feed *feed, uint32_t xid)
{
	drop_ahead(feed);
	(void) pen_feed_command(feed, PEN_FEED_FORGO, xid, NULL);
}

/* ---- modes ---- */

static bool
can_go_on(const pen_spool_state *state, uint64_t durable_lsn)
{
	return !state->empty && durable_lsn >= state->from_lsn;
}

penstock_status
pen_feed_durable(pen_feed *feed, uint64_t lsn, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	if (feed->spool == NULL)
		return PENSTOCK_OK;
	pthread_mutex_lock(&feed->lock);
	if (feed->mode == TEE && lsn >= feed->tee_lsn)
	{
		status = pen_spool_reset(feed->spool, error);
		if (status >= 0)
			feed->mode = MEMORY;
	}
	else if (feed->mode == SPOOL)
		pen_spool_truncate(feed->spool, lsn);
	if (status >= 0 && feed->held != NULL)
		status = push_chunk(feed, feed->held, error);
	if (status == PENSTOCK_OK)
		drop_held(feed);
	else if (feed->held != NULL)
		hold(feed, feed->held, error);
	pthread_mutex_unlock(&feed->lock);
	return status == PEN_SPOOL_FULL ? PENSTOCK_OK : status;
}

static penstock_status
leave_spool(pen_feed *feed, pen_error *error)
{
	drop_held(feed);
	return pen_spool_reset(feed->spool, error);
}

penstock_status
pen_feed_mend(pen_feed *feed, pen_error *error)
{
	penstock_status status;

	pthread_mutex_lock(&feed->lock);
	drop_held(feed);
	status = pen_spool_mend(feed->spool, error);
	if (status >= 0)
		enter_spool(feed);
	feed->behind = false;
	pthread_mutex_unlock(&feed->lock);
	return status;
}

bool
pen_feed_park(pen_feed *feed, uint64_t durable_lsn, pen_error *error)
{
	pen_spool_state state;
	bool goes_on;

	pen_spool_state_get(feed->spool, &state);
	pthread_mutex_lock(&feed->lock);
	drop_ahead(feed);
	goes_on = feed->mode != MEMORY && can_go_on(&state, durable_lsn);
	feed->behind = false;
	if (!goes_on && leave_spool(feed, error) >= 0)
		pen_error_clear(error);
	enter_spool(feed);
	pthread_mutex_unlock(&feed->lock);
	return goes_on;
}

penstock_status
pen_feed_unpark(pen_feed *feed, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	pthread_mutex_lock(&feed->lock);
	if (feed->mode != MEMORY)
		status = leave_spool(feed, error);
	if (status >= 0)
		feed->mode = MEMORY;
	pthread_mutex_unlock(&feed->lock);
	return status;
}

/* ---- what is asked ---- */

uint64_t
pen_feed_from_lsn(pen_feed *feed)
{
	pen_spool_state state;

	if (mode_of(feed) == MEMORY)
		return 0;
	pen_spool_state_get(feed->spool, &state);
	return state.from_lsn;
}

uint64_t
pen_feed_end_lsn(pen_feed *feed)
{
	pen_spool_state state;

	if (mode_of(feed) == MEMORY)
		return 0;
	pen_spool_state_get(feed->spool, &state);
	return state.end_lsn;
}

uint64_t
pen_feed_resume_lsn(pen_feed *feed, uint64_t durable_lsn)
{
	pen_spool_state state;

	if (mode_of(feed) == MEMORY)
		return durable_lsn;
	pen_spool_state_get(feed->spool, &state);
	return can_go_on(&state, durable_lsn) && state.end_lsn > durable_lsn ? state.end_lsn
																		 : durable_lsn;
}

uint64_t
pen_feed_secured_lsn(pen_feed *feed, uint64_t durable_lsn)
{
	feed_mode mode = mode_of(feed);
	pen_spool_state state;
	uint64_t lsn;

	if (mode == MEMORY)
		return durable_lsn;
	pen_spool_state_get(feed->spool, &state);
	if (!can_go_on(&state, durable_lsn))
		return durable_lsn;
	lsn = state.synced_lsn;
	/* What comes after is on its way through memory too: once it is there, the spool is emptied. */
	if (mode == TEE && lsn > feed->tee_lsn)
		lsn = feed->tee_lsn;
	return lsn > durable_lsn ? lsn : durable_lsn;
}

bool
pen_feed_is_full(const pen_feed *feed)
{
	return feed->held != NULL;
}

void
pen_feed_state_get(pen_feed *feed, pen_feed_state *state)
{
	pen_spool_state spool;

	*state = (pen_feed_state){.queue_bytes = pen_queue_bytes(feed->queue)};
	if (feed->spool == NULL)
		return;
	pen_spool_state_get(feed->spool, &spool);
	state->has_spool = true;
	pthread_mutex_lock(&feed->lock);
	state->spooling = feed->mode != MEMORY;
	state->behind = state->spooling && feed->behind;
	state->full = feed->held != NULL;
	state->error = spool.failed ? spool.error : feed->held_why;
	pthread_mutex_unlock(&feed->lock);
	state->spool_bytes = spool.bytes;
	state->failed = spool.failed;
}

/* ---- popping ---- */

static void
from_spool_item(pen_item *item, const pen_spool_item *read, pen_feed_stream *start)
{
	*item = (pen_item){.from_disk = true};
	switch (read->kind)
	{
		case PEN_SPOOL_START:
			*start = (pen_feed_stream){.lsn = read->lsn};
			item->kind = PEN_FEED_START;
			item->pointer = start;
			return;
		case PEN_SPOOL_CHUNK:
			item->kind = PEN_FEED_CHUNK;
			item->pointer = read->chunk;
			break;
		case PEN_SPOOL_ADVANCE:
			item->kind = PEN_FEED_ADVANCE;
			item->number = read->lsn;
			break;
	}
	free(start);
}

/* The spool has been read to its end: what comes from now on comes through memory too. */
static penstock_status
look_again(pen_feed *feed, pen_spool_item *read, pen_error *error)
{
	pen_spool_state state;
	penstock_status status;

	pthread_mutex_lock(&feed->lock);
	status = pen_spool_next(feed->spool, read, error);
	if (status == PENSTOCK_AGAIN && pen_spool_take_start(feed->spool, &read->lsn))
	{
		/* The disk has no room for it, and what follows may not come from there. */
		read->kind = PEN_SPOOL_START;
		status = PENSTOCK_OK;
	}
	if (status == PENSTOCK_AGAIN)
	{
		pen_spool_state_get(feed->spool, &state);
		pen_spool_mark_end(feed->spool);
		feed->tee_lsn = state.end_lsn;
		feed->mode = TEE;
	}
	pthread_mutex_unlock(&feed->lock);
	return status;
}

static penstock_status
pop_from_spool(pen_feed *feed, pen_item *item, pen_error *error)
{
	pen_feed_stream *start = malloc(sizeof(*start));
	pen_spool_item read;
	penstock_status status;

	if (start == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	status = pen_spool_next(feed->spool, &read, error);
	if (status == PENSTOCK_AGAIN)
		status = look_again(feed, &read, error);
	if (status != PENSTOCK_OK)
	{
		free(start);
		return status;
	}
	from_spool_item(item, &read, start);
	return PENSTOCK_OK;
}

/* What was read may have been less than what was written. */
static penstock_status
look_at_failure(pen_feed *feed, pen_error *error)
{
	pen_spool_state state;

	pen_spool_state_get(feed->spool, &state);
	if (!state.failed || mode_of(feed) != TEE)
		return PENSTOCK_AGAIN;
	return pen_error_set(error, PENSTOCK_E_RETRY, "its spool failed: %s", state.error.text);
}

penstock_status
pen_feed_pop(pen_feed *feed, pen_item *item, bool from_spool, int timeout_ms, pen_error *error)
{
	/* First the mode: in SPOOL nothing is added to the queue but commands, so that what is on disk
	 * is newer than what the queue has. And an interrupt is told once: do not wait after that. */
	feed_mode mode = from_spool && feed->spool != NULL ? mode_of(feed) : MEMORY;

	if (pen_queue_pop(feed->queue, item, mode == SPOOL ? 0 : timeout_ms))
		return PENSTOCK_OK;
	if (mode == SPOOL && !pen_queue_empty(feed->queue))
		return PENSTOCK_AGAIN; /* an interrupt hid what is there */
	if (mode == SPOOL)
		return pop_from_spool(feed, item, error);
	return mode == TEE ? look_at_failure(feed, error) : PENSTOCK_AGAIN;
}

penstock_status
pen_feed_resume(pen_feed *feed, uint64_t durable_lsn, uint64_t *lsn, pen_error *error)
{
	pen_spool_state state;
	penstock_status status;

	pthread_mutex_lock(&feed->lock);
	pen_spool_state_get(feed->spool, &state);
	*lsn = state.from_lsn;
	status = pen_spool_rewind(feed->spool, durable_lsn, error);
	pthread_mutex_unlock(&feed->lock);
	return status;
}

void
pen_feed_interrupt(pen_feed *feed)
{
	pen_queue_interrupt(feed->queue);
}

uint64_t
pen_feed_pushed(pen_feed *feed)
{
	return atomic_load(&feed->pushed);
}

bool
pen_feed_caught_up(pen_feed *feed)
{
	return mode_of(feed) != SPOOL;
}

bool
pen_feed_is_stuck(pen_feed *feed, uint64_t durable_lsn)
{
	bool stuck;

	pthread_mutex_lock(&feed->lock);
	stuck = feed->stuck && durable_lsn < feed->tee_lsn;
	pthread_mutex_unlock(&feed->lock);
	return stuck;
}
