/* worker.c -- drive one destination from its queue.
 * A failure never leaves the destination half open: it is closed, and nothing is handed to it until
 * it has been opened again and a new stream has begun. */
#include "destination/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/queue.h"
#include "event/lsn.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS   15000
#define PROBE_MS       500

typedef enum item_kind
{
	ITEM_START,
	ITEM_CHUNK,
	ITEM_ADVANCE,
	ITEM_REFUSAL /* points to the error */
} item_kind;

/* What a START item points to. */
typedef struct stream_start
{
	unsigned int epoch;
	uint64_t lsn;
} stream_start;

struct pen_worker
{
	pen_destination *destination;
	const pen_source_identity *source;
	const pen_log *log;
	void (*wake)(void *);
	void *wake_context;
	pen_queue *queue;
	pthread_t thread;
	bool running;
	atomic_bool quit;
	atomic_uint epoch; /* of the newest stream, as the receiver sees it */
	uint64_t pushed;   /* items, the receiver's own count */

	pthread_mutex_t lock; /* for status, and for nothing that waits */
	pen_worker_status status;
	uint64_t status_handled;

	/* The thread's own. */
	pen_position position;
	bool open;
	bool in_transaction;
	bool skipping;    /* the open transaction is one that the destination has */
	bool gathered;    /* something was handed over since the last flush */
	uint64_t handled; /* items */
	int poll_ms;
	pen_backoff backoff;
	bool probing;
	uint64_t data_error_lsn; /* where a row was last rejected */
	bool data_error_seen;
};

static void
release_item(pen_item *item)
{
	if (item->kind == ITEM_CHUNK)
		pen_chunk_unref(item->pointer);
	else
		free(item->pointer);
}

pen_worker *
pen_worker_new(pen_destination *destination, const pen_source_identity *source, const pen_log *log,
			   void (*wake)(void *), void *wake_context)
{
	pen_worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL || (worker->queue = pen_queue_new()) == NULL)
	{
		destination->kind->destroy(destination);
		free(worker);
		return NULL;
	}
	worker->destination = destination;
	worker->source = source;
	worker->log = log;
	worker->wake = wake;
	worker->wake_context = wake_context;
	worker->poll_ms = -1;
	worker->backoff = (pen_backoff){.first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS};
	pthread_mutex_init(&worker->lock, NULL);
	return worker;
}

void
pen_worker_free(pen_worker *worker)
{
	if (worker == NULL)
		return;
	if (worker->running)
	{
		atomic_store(&worker->quit, true);
		atomic_store(&worker->destination->interrupted, true);
		pen_queue_interrupt(worker->queue);
		pthread_join(worker->thread, NULL);
	}
	if (worker->open)
		worker->destination->kind->close(worker->destination);
	worker->destination->kind->destroy(worker->destination);
	pen_queue_free(worker->queue, release_item);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

/* ---- what the receiver sees ---- */

static void
publish(pen_worker *worker, pen_worker_state state, const pen_error *error)
{
	bool drained = !worker->in_transaction && !worker->gathered;
	bool changed;

	pthread_mutex_lock(&worker->lock);
	changed = worker->status.state != state || worker->status.drained != drained ||
			  worker->status_handled != worker->handled ||
			  worker->status.position.durable_lsn != worker->position.durable_lsn ||
			  worker->status.position.applied_lsn != worker->position.applied_lsn;
	worker->status.state = state;
	worker->status.position = worker->position;
	worker->status.drained = drained;
	worker->status_handled = worker->handled;
	if (error != NULL)
		worker->status.error = *error;
	pthread_mutex_unlock(&worker->lock);
	if (changed)
		worker->wake(worker->wake_context);
}

static pen_worker_state
state_of(pen_worker *worker)
{
	pen_worker_state state;

	pthread_mutex_lock(&worker->lock);
	state = worker->status.state;
	pthread_mutex_unlock(&worker->lock);
	return state;
}

/* Open, and ready for the next stream to begin, not for the one that runs. */
static void
publish_ready(pen_worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->status.state = PEN_WORKER_READY;
	worker->status.position = worker->position;
	worker->status.stored_lsn =
		worker->destination->kind->keeps_position ? worker->position.durable_lsn : 0;
	worker->status.wants_epoch = atomic_load(&worker->epoch) + 1;
	worker->status.drained = true;
	worker->status_handled = worker->handled;
	pthread_mutex_unlock(&worker->lock);
	worker->wake(worker->wake_context);
}

void
pen_worker_status_get(pen_worker *worker, pen_worker_status *status)
{
	size_t queue_bytes = pen_queue_bytes(worker->queue);

	pthread_mutex_lock(&worker->lock);
	*status = worker->status;
	status->drained = status->drained && worker->status_handled == worker->pushed;
	pthread_mutex_unlock(&worker->lock);
	status->queue_bytes = queue_bytes;
}

void
pen_worker_nudge(pen_worker *worker)
{
	pen_queue_interrupt(worker->queue);
}

pen_destination *
pen_worker_destination(pen_worker *worker)
{
	return worker->destination;
}

/* ---- failing and coming back ---- */

static void
forget_stream(pen_worker *worker)
{
	worker->in_transaction = false;
	worker->skipping = false;
	worker->gathered = false;
	worker->poll_ms = -1;
}

/*
 * A row that is rejected may be the echo of our own last session, whose COMMIT arrived after all:
 * only what is rejected again from the same position is the row's fault.
 */
static bool
may_be_echo(pen_worker *worker)
{
	if (!worker->destination->kind->keeps_position)
		return false;
	if (worker->data_error_seen && worker->data_error_lsn == worker->position.applied_lsn)
		return false;
	worker->data_error_seen = true;
	worker->data_error_lsn = worker->position.applied_lsn;
	return true;
}

static void
drop_item(pen_worker *worker, pen_item *item)
{
	worker->handled++;
	release_item(item);
}

static void
fail(pen_worker *worker, pen_error *error)
{
	const char *name = worker->destination->config->name;
	bool again = error->status == PENSTOCK_E_RETRY || error->status == PENSTOCK_E_WAITING ||
				 (error->status == PENSTOCK_E_DATA && may_be_echo(worker));

	if (worker->open)
		worker->destination->kind->close(worker->destination);
	worker->open = false;
	worker->probing = error->status == PENSTOCK_E_WAITING;
	forget_stream(worker);
	if (!atomic_load(&worker->quit))
		pen_log_write(worker->log, again ? PENSTOCK_LOG_WARNING : PENSTOCK_LOG_ERROR, name,
					  again ? "%s; trying again" : "%s; this destination is stopped", error->text);
	publish(worker, again ? PEN_WORKER_DOWN : PEN_WORKER_STOPPED, error);
}

static penstock_status
open_destination(pen_worker *worker, pen_error *error)
{
	const pen_destination_kind *kind = worker->destination->kind;
	penstock_status status;

	if (worker->probing && kind->probe != NULL)
	{
		status = kind->probe(worker->destination, worker->source, error);
		if (status < 0)
			return status;
	}
	worker->probing = false;
	worker->position = (pen_position){0};
	status = kind->open(worker->destination, worker->source, &worker->position, error);
	worker->open = status >= 0;
	if (status < 0)
		kind->close(worker->destination);
	return status;
}

/* Down: drop what comes, and after a while try to open. */
static void
come_back(pen_worker *worker)
{
	int64_t until =
		pen_clock_ms() + (worker->probing ? PROBE_MS : pen_backoff_next(&worker->backoff));
	bool probing = worker->probing;
	pen_error error;
	pen_item item;

	while (!atomic_load(&worker->quit))
	{
		int64_t left = until - pen_clock_ms();

		if (left <= 0)
			break;
		if (pen_queue_pop(worker->queue, &item, (int) left))
			drop_item(worker, &item);
	}
	if (atomic_load(&worker->quit))
		return;
	pen_error_clear(&error);
	if (open_destination(worker, &error) >= 0)
	{
		pen_log_write(worker->log, PENSTOCK_LOG_INFO, worker->destination->config->name,
					  "open again; it has everything up to " LSN_FORMAT,
					  LSN_ARGS(worker->position.applied_lsn));
		publish_ready(worker);
	}
	else if (!probing || error.status != PENSTOCK_E_WAITING ||
			 strstr(worker->status.error.text, error.text) == NULL) /* something else is missing */
		fail(worker, &error);
}

/* ---- handing over ---- */

/*
 * Does the stream begin after what this destination has? Only a new temporary slot does that. What
 * loads afresh sees to it itself, and a stored position was compared with the slot's; for others
 * what lies between is gone.
 */
static penstock_status
check_gap(pen_worker *worker, uint64_t start_lsn, pen_error *error)
{
	const pen_destination_kind *kind = worker->destination->kind;
	uint64_t applied_lsn = worker->position.applied_lsn;

	if (kind->keeps_position || kind->loads_afresh || applied_lsn == 0 || start_lsn <= applied_lsn)
		return PENSTOCK_OK;
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"the temporary slot was lost with the connection, and changes between " LSN_FORMAT
		" and " LSN_FORMAT " with it; use a slot that stays: --slot NAME",
		LSN_ARGS(applied_lsn), LSN_ARGS(start_lsn));
}

static penstock_status
begin_stream(pen_worker *worker, const stream_start *stream, pen_error *error)
{
	unsigned int wants;
	penstock_status status;

	pthread_mutex_lock(&worker->lock);
	wants = worker->status.wants_epoch;
	pthread_mutex_unlock(&worker->lock);
	if (state_of(worker) == PEN_WORKER_READY && stream->epoch < wants)
		return PENSTOCK_OK;
	forget_stream(worker);
	status = check_gap(worker, stream->lsn, error);
	if (status < 0)
		return status;
	status = worker->destination->kind->start(worker->destination, stream->lsn, &worker->position,
											  error);
	if (status >= 0)
		publish(worker, PEN_WORKER_STREAMING, NULL);
	return status;
}

static penstock_status
apply_event(pen_worker *worker, const penstock_event *event, pen_error *error)
{
	penstock_status status;

	if (event->kind == PENSTOCK_BEGIN)
	{
		worker->in_transaction = true;
		worker->skipping = event->transaction->commit_lsn < worker->position.applied_lsn;
	}
	if (worker->skipping)
		status = PENSTOCK_OK;
	else
	{
		worker->gathered = true;
		status =
			worker->destination->kind->apply(worker->destination, event, &worker->position, error);
	}
	if (event->kind == PENSTOCK_COMMIT)
	{
		worker->in_transaction = false;
		worker->skipping = false;
	}
	return status;
}

static penstock_status
apply_chunk(pen_worker *worker, const pen_chunk *chunk, pen_error *error)
{
	for (size_t i = 0; i < chunk->count; i++)
	{
		penstock_status status;

		if (i % 64 == 0 && atomic_load_explicit(&worker->quit, memory_order_relaxed))
			break;
		status = apply_event(worker, &chunk->events[i], error);
		if (status < 0)
			return status;
	}
	return PENSTOCK_OK;
}

static penstock_status
flush(pen_worker *worker, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	if (worker->gathered)
		status = worker->destination->kind->flush(worker->destination, &worker->position, error);
	if (status >= 0)
	{
		worker->gathered = false;
		worker->backoff.delay_ms = 0;
	}
	return status;
}

static penstock_status
advance(pen_worker *worker, uint64_t lsn, pen_error *error)
{
	penstock_status status;

	if (worker->in_transaction)
		return PENSTOCK_OK;
	status = flush(worker, error);
	if (status >= 0 && lsn > worker->position.applied_lsn)
		status =
			worker->destination->kind->advance(worker->destination, lsn, &worker->position, error);
	return status;
}

static penstock_status
handle(pen_worker *worker, pen_item *item, pen_error *error)
{
	if (item->kind == ITEM_START)
		return begin_stream(worker, item->pointer, error);
	if (item->kind == ITEM_REFUSAL)
	{
		*error = *(const pen_error *) item->pointer;
		return error->status;
	}
	if (state_of(worker) != PEN_WORKER_STREAMING)
		return PENSTOCK_OK;
	if (item->kind == ITEM_ADVANCE)
		return advance(worker, item->number, error);
	return apply_chunk(worker, item->pointer, error);
}

/* Nothing is queued: commit what is gathered, and see what has become durable. */
static penstock_status
drained(pen_worker *worker, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	worker->poll_ms = -1;
	if (!worker->in_transaction)
		status = flush(worker, error);
	if (status >= 0)
		status = worker->destination->kind->sync(worker->destination, &worker->position,
												 &worker->poll_ms, error);
	if (status >= 0)
		publish(worker, PEN_WORKER_STREAMING, NULL);
	return status;
}

static penstock_status
turn(pen_worker *worker, pen_error *error)
{
	bool streaming = state_of(worker) == PEN_WORKER_STREAMING;
	penstock_status status = PENSTOCK_OK;
	pen_item item;

	if (!pen_queue_pop(worker->queue, &item, 0))
	{
		if (streaming)
			status = drained(worker, error);
		/* An interrupt is told once, and the first pop may have heard it. */
		if (status < 0 || atomic_load(&worker->quit) ||
			!pen_queue_pop(worker->queue, &item, streaming ? worker->poll_ms : -1))
			return status;
	}
	status = handle(worker, &item, error);
	drop_item(worker, &item);
	if (status >= 0)
		publish(worker, state_of(worker), NULL);
	return status;
}

static void *
run(void *argument)
{
	pen_worker *worker = argument;
	pen_error error;

	while (!atomic_load(&worker->quit))
	{
		pen_item item;

		switch (state_of(worker))
		{
			case PEN_WORKER_DOWN:
				come_back(worker);
				break;
			case PEN_WORKER_STOPPED:
				if (pen_queue_pop(worker->queue, &item, -1))
				{
					drop_item(worker, &item);
					publish(worker, PEN_WORKER_STOPPED, NULL);
				}
				break;
			case PEN_WORKER_STREAMING:
			case PEN_WORKER_READY:
				pen_error_clear(&error);
				if (turn(worker, &error) < 0)
					fail(worker, &error);
				break;
		}
	}
	return NULL;
}

penstock_status
pen_worker_open(pen_worker *worker, pen_error *error)
{
	return open_destination(worker, error);
}

penstock_status
pen_worker_run(pen_worker *worker, pen_error *error)
{
	sigset_t all;
	sigset_t before;

	publish_ready(worker);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	worker->running = pthread_create(&worker->thread, NULL, run, worker) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return worker->running ? PENSTOCK_OK
						   : pen_error_set(error, PENSTOCK_E_RETRY,
										   "could not start a thread for destination %s",
										   worker->destination->config->name);
}

/* ---- pushing ---- */

static penstock_status
push(pen_worker *worker, pen_item *item)
{
	if (!pen_queue_push(worker->queue, item))
	{
		release_item(item);
		return PENSTOCK_E_RETRY;
	}
	pthread_mutex_lock(&worker->lock);
	worker->pushed++;
	pthread_mutex_unlock(&worker->lock);
	return PENSTOCK_OK;
}

penstock_status
pen_worker_push_start(pen_worker *worker, unsigned int epoch, uint64_t start_lsn)
{
	stream_start *start = malloc(sizeof(*start));
	pen_item item = {.kind = ITEM_START, .pointer = start};

	if (start == NULL)
		return PENSTOCK_E_RETRY;
	*start = (stream_start){.epoch = epoch, .lsn = start_lsn};
	atomic_store(&worker->epoch, epoch);
	return push(worker, &item);
}

penstock_status
pen_worker_push_chunk(pen_worker *worker, pen_chunk *chunk)
{
	pen_item item = {
		.kind = ITEM_CHUNK,
		.pointer = pen_chunk_ref(chunk),
		.size = pen_chunk_size(chunk),
	};

	return push(worker, &item);
}

penstock_status
pen_worker_push_advance(pen_worker *worker, uint64_t lsn)
{
	pen_item item = {.kind = ITEM_ADVANCE, .number = lsn};

	return push(worker, &item);
}

penstock_status
pen_worker_push_refusal(pen_worker *worker, const pen_error *error)
{
	pen_error *copy = malloc(sizeof(*copy));
	pen_item item = {.kind = ITEM_REFUSAL, .pointer = copy};

	if (copy == NULL)
		return PENSTOCK_E_RETRY;
	*copy = *error;
	return push(worker, &item);
}
