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
#include "event/lsn.h"
#include "route/mapper.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS   15000
#define PROBE_MS       500

/* What pen_worker_pause and pen_worker_resume leave for the thread. */
typedef enum worker_request
{
	REQUEST_NONE,
	REQUEST_PAUSE,
	REQUEST_RESUME
} worker_request;

struct pen_worker
{
	pen_destination *destination;
	const pen_source_identity *source;
	const pen_log *log;
	void (*wake)(void *);
	void *wake_context;
	pen_feed *feed;
	pen_mapper *mapper; /* the thread's own; NULL: nothing is mapped */
	pthread_t thread;
	bool running;
	atomic_bool quit;
	atomic_uint epoch; /* of the newest stream, as the receiver sees it */

	pthread_mutex_t lock; /* for status, and for nothing that waits */
	pen_worker_status status;
	uint64_t status_handled;
	worker_request request; /* taken by the thread in one step with the change of state */

	/* The thread's own. */
	pen_position position;
	bool open;
	bool in_transaction;
	bool skipping;        /* the open transaction is one that the destination has */
	bool gathered;        /* something was handed over since the last flush */
	bool whole;           /* and the end of a transaction, too */
	uint64_t open_lsn;    /* commit LSN of the open transaction */
	uint64_t careful_lsn; /* flush before this transaction begins */
	uint64_t handled;     /* items that came through memory */
	int poll_ms;
	pen_backoff backoff;
	bool at_once; /* the next attempt to open waits for nothing */
	bool probing;
	uint64_t data_error_lsn; /* where a row was last rejected */
	bool data_error_seen;
};

pen_worker *
pen_worker_new(pen_destination *destination, pen_feed *feed, const pen_source_identity *source,
			   const pen_log *log, void (*wake)(void *), void *wake_context)
{
	pen_worker *worker = calloc(1, sizeof(*worker));

	if (worker == NULL)
	{
		destination->kind->destroy(destination);
		pen_feed_free(feed);
		return NULL;
	}
	worker->destination = destination;
	worker->feed = feed;
	if (destination->config->mapping != NULL)
	{
		worker->mapper = pen_mapper_new(destination->config->mapping);
		if (worker->mapper == NULL)
		{
			pen_worker_free(worker);
			return NULL;
		}
	}
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
		pen_feed_interrupt(worker->feed);
		pthread_join(worker->thread, NULL);
	}
	if (worker->open)
		worker->destination->kind->close(worker->destination);
	worker->destination->kind->destroy(worker->destination);
	pen_feed_free(worker->feed);
	pen_mapper_free(worker->mapper);
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
	worker->status.opened++;
	worker->status.drained = true;
	worker->status_handled = worker->handled;
	pthread_mutex_unlock(&worker->lock);
	worker->wake(worker->wake_context);
}

void
pen_worker_status_get(pen_worker *worker, pen_worker_status *status)
{
	bool caught_up = pen_feed_caught_up(worker->feed);
	uint64_t pushed = pen_feed_pushed(worker->feed);

	pthread_mutex_lock(&worker->lock);
	*status = worker->status;
	status->drained = status->drained && caught_up && worker->status_handled == pushed;
	status->pausing = worker->request == REQUEST_PAUSE;
	if (worker->request == REQUEST_RESUME &&
		(status->state == PEN_WORKER_PAUSED || status->state == PEN_WORKER_STOPPED))
		status->state = PEN_WORKER_DOWN;
	pthread_mutex_unlock(&worker->lock);
}

const char *
pen_worker_state_name(pen_worker_state state)
{
	switch (state)
	{
		case PEN_WORKER_STREAMING:
			return "streaming";
		case PEN_WORKER_DOWN:
			return "down";
		case PEN_WORKER_READY:
			return "starting";
		case PEN_WORKER_STOPPED:
			return "stopped";
		case PEN_WORKER_PAUSED:
			return "paused";
	}
	return "?";
}

bool
pen_worker_remap(pen_worker *worker)
{
	pen_mapper *mapper = pen_mapper_new(worker->destination->config->mapping);

	if (mapper == NULL)
		return false;
	pen_mapper_free(worker->mapper);
	worker->mapper = mapper;
	return true;
}

void
pen_worker_nudge(pen_worker *worker)
{
	pen_feed_interrupt(worker->feed);
}

pen_destination *
pen_worker_destination(pen_worker *worker)
{
	return worker->destination;
}

pen_feed *
pen_worker_feed(pen_worker *worker)
{
	return worker->feed;
}

/* ---- failing and coming back ---- */

static void
forget_stream(pen_worker *worker)
{
	worker->in_transaction = false;
	worker->skipping = false;
	worker->gathered = false;
	worker->whole = false;
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
	if (!item->from_disk)
		worker->handled++;
	pen_feed_release(item);
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

/* Wait for an item and drop it: this destination takes nothing now. But it can be refused. */
static void
drop_next(pen_worker *worker, int timeout_ms)
{
	pen_error error;
	pen_item item;

	if (pen_feed_pop(worker->feed, &item, false, timeout_ms, &error) != PENSTOCK_OK)
		return;
	if (item.kind == PEN_FEED_REFUSAL)
	{
		error = *(const pen_error *) item.pointer;
		fail(worker, &error);
	}
	drop_item(worker, &item);
}

static penstock_status
open_destination(pen_worker *worker, pen_error *error)
{
	const pen_destination_kind *kind = worker->destination->kind;
	uint64_t durable_lsn = kind->keeps_position ? worker->position.durable_lsn : 0;
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
	if (status >= 0)
		return status;
	kind->close(worker->destination);
	/* What was durable still is, though nobody answers. */
	worker->position = (pen_position){durable_lsn, durable_lsn};
	return status;
}

/* Is there something to obey now? A pause waits for the end of a transaction. */
static bool
request_is_due(pen_worker *worker)
{
	worker_request request;

	pthread_mutex_lock(&worker->lock);
	request = worker->request;
	pthread_mutex_unlock(&worker->lock);
	return request == REQUEST_RESUME || (request == REQUEST_PAUSE && !worker->in_transaction);
}

/* Down: drop what comes, and after a while try to open. */
static void
come_back(pen_worker *worker)
{
	int64_t until = pen_clock_ms() + (worker->at_once   ? 0
									  : worker->probing ? PROBE_MS
														: pen_backoff_next(&worker->backoff));
	bool probing = worker->probing;
	pen_error error;

	worker->at_once = false;
	while (!atomic_load(&worker->quit) && !request_is_due(worker))
	{
		int64_t left = until - pen_clock_ms();

		if (left <= 0 || state_of(worker) != PEN_WORKER_DOWN)
			break;
		drop_next(worker, (int) left);
	}
	if (atomic_load(&worker->quit) || request_is_due(worker) || state_of(worker) != PEN_WORKER_DOWN)
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
 * Does the stream begin after what this destination has? What loads afresh sees to it itself. One
 * that keeps its position came back while others agreed on where the stream begins: next time it
 * is asked. For the rest only a new temporary slot does that, and what lies between is gone.
 */
static penstock_status
check_gap(pen_worker *worker, uint64_t start_lsn, pen_error *error)
{
	const pen_destination_kind *kind = worker->destination->kind;
	uint64_t applied_lsn = worker->position.applied_lsn;

	if (kind->loads_afresh || applied_lsn == 0 || start_lsn <= applied_lsn)
		return PENSTOCK_OK;
	if (kind->keeps_position)
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "the stream begins at " LSN_FORMAT ", behind its position " LSN_FORMAT,
							 LSN_ARGS(start_lsn), LSN_ARGS(applied_lsn));
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"the temporary slot was lost with the connection, and changes between " LSN_FORMAT
		" and " LSN_FORMAT " with it; use a slot that stays: --slot NAME",
		LSN_ARGS(applied_lsn), LSN_ARGS(start_lsn));
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
		worker->whole = false;
		worker->backoff.delay_ms = 0;
	}
	return status;
}

static penstock_status
begin_stream(pen_worker *worker, const pen_feed_stream *stream, pen_error *error)
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

/*
 * On disk a stream begins anew after what was read: whole transactions stay, and one without an end
 * is void. Where both are gathered they cannot be told apart any more: then all is read again, and
 * what is gathered is flushed before that one begins.
 */
static penstock_status
begin_on_disk(pen_worker *worker, const pen_feed_stream *stream, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	if (!worker->in_transaction || worker->skipping)
		status = flush(worker, error);
	else if (worker->whole)
	{
		worker->careful_lsn = worker->open_lsn;
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "its spool holds a transaction without an end; reading it again");
	}
	else
		status = worker->destination->kind->start(worker->destination, stream->lsn,
												  &worker->position, error);
	forget_stream(worker);
	return status;
}

/* Open again: read on disk from where this destination is. */
static penstock_status
resume(pen_worker *worker, uint64_t opened, pen_error *error)
{
	uint64_t lsn;

	/* What was meant for an earlier session was not checked against the position of this one. */
	if (state_of(worker) != PEN_WORKER_READY || opened != worker->status.opened)
		return PENSTOCK_OK;
	if (pen_feed_resume(worker->feed, worker->position.durable_lsn, &lsn, error) < 0)
		return error->status;
	forget_stream(worker);
	if (check_gap(worker, lsn, error) < 0 ||
		worker->destination->kind->start(worker->destination, lsn, &worker->position, error) < 0)
		return error->status;
	publish(worker, PEN_WORKER_STREAMING, NULL);
	return PENSTOCK_OK;
}

/* What this destination is to have of the event, which may be nothing. */
static penstock_status
hand_over(pen_worker *worker, const penstock_event *event, pen_error *error)
{
	if (worker->mapper != NULL && pen_mapper_map(worker->mapper, event, &event, error) < 0)
		return error->status;
	if (event == NULL)
		return PENSTOCK_OK;
	return worker->destination->kind->apply(worker->destination, event, &worker->position, error);
}

static penstock_status
apply_event(pen_worker *worker, const penstock_event *event, pen_error *error)
{
	uint64_t commit_lsn = event->transaction->commit_lsn;
	penstock_status status;

	if (event->kind == PENSTOCK_BEGIN || event->kind == PENSTOCK_COMMIT_PREPARED ||
		event->kind == PENSTOCK_ROLLBACK_PREPARED)
	{
		if (commit_lsn == worker->careful_lsn && !worker->in_transaction &&
			flush(worker, error) < 0)
			return error->status;
		worker->in_transaction = true;
		worker->open_lsn = commit_lsn;
		worker->skipping = event->transaction->commit_lsn < worker->position.applied_lsn;
	}
	else if (!worker->in_transaction)
	{
		/* A spool may begin in the middle of a transaction, one that is there already. */
		if (event->transaction->commit_lsn >= worker->position.applied_lsn)
			return pen_error_set(error, PENSTOCK_E_BUG,
								 "the transaction that commits at " LSN_FORMAT " has no beginning",
								 LSN_ARGS(event->transaction->commit_lsn));
		worker->in_transaction = true;
		worker->skipping = true;
	}
	if (worker->skipping)
		status = PENSTOCK_OK;
	else
	{
		worker->gathered = true;
		status = hand_over(worker, event, error);
	}
	if (event->kind >= PENSTOCK_COMMIT) /* or prepare, or the end of a prepared one */
	{
		worker->in_transaction = false;
		worker->whole = worker->whole || !worker->skipping;
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
	bool streaming = state_of(worker) == PEN_WORKER_STREAMING;

	switch ((pen_feed_item_kind) item->kind)
	{
		case PEN_FEED_START:
			return item->from_disk ? begin_on_disk(worker, item->pointer, error)
								   : begin_stream(worker, item->pointer, error);
		case PEN_FEED_RESUME:
			return resume(worker, item->number, error);
		case PEN_FEED_REFUSAL:
			*error = *(const pen_error *) item->pointer;
			return error->status;
		case PEN_FEED_ADVANCE:
			return streaming ? advance(worker, item->number, error) : PENSTOCK_OK;
		case PEN_FEED_CHUNK:
			return streaming ? apply_chunk(worker, item->pointer, error) : PENSTOCK_OK;
	}
	return pen_error_set(error, PENSTOCK_E_BUG, "an item of kind %d", item->kind);
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
	if (status < 0 || !worker->in_transaction ||
		!pen_feed_is_stuck(worker->feed, worker->position.durable_lsn))
		return status;
	/* What is gathered before the open transaction, or not durable yet, would wait for its end, and
	 * its end for room on disk. */
	worker->careful_lsn = worker->open_lsn;
	return pen_error_set(error, PENSTOCK_E_RETRY,
						 "its spool has no room for the rest of a transaction; committing what is "
						 "before it");
}

static penstock_status
turn(pen_worker *worker, pen_error *error)
{
	bool streaming = state_of(worker) == PEN_WORKER_STREAMING;
	penstock_status status = PENSTOCK_OK;
	pen_item item;

	status = pen_feed_pop(worker->feed, &item, streaming, 0, error);
	if (status == PENSTOCK_AGAIN)
	{
		status = streaming ? drained(worker, error) : PENSTOCK_OK;
		/* An interrupt is told once, and the first pop may have heard it. */
		if (status < 0 || atomic_load(&worker->quit) || request_is_due(worker))
			return status;
		status =
			pen_feed_pop(worker->feed, &item, streaming, streaming ? worker->poll_ms : -1, error);
	}
	if (status != PENSTOCK_OK)
		return status;
	status = handle(worker, &item, error);
	drop_item(worker, &item);
	if (status >= 0)
		publish(worker, state_of(worker), NULL);
	return status;
}

/* ---- pausing ---- */

static void
request_set(pen_worker *worker, worker_request request)
{
	pthread_mutex_lock(&worker->lock);
	worker->request = request;
	pthread_mutex_unlock(&worker->lock);
	pen_feed_interrupt(worker->feed);
}

void
pen_worker_pause(pen_worker *worker)
{
	request_set(worker, REQUEST_PAUSE);
}

void
pen_worker_resume(pen_worker *worker)
{
	request_set(worker, REQUEST_RESUME);
}

/* The request is taken together with the change of state, so that nobody sees the old state without
 * the request. One that has replaced it meanwhile is left for the next look. */
static void
obeyed(pen_worker *worker, worker_request request, pen_worker_state state)
{
	pthread_mutex_lock(&worker->lock);
	if (worker->request == request)
		worker->request = REQUEST_NONE;
	worker->status.state = state;
	worker->status.position = worker->position;
	worker->status.drained = !worker->in_transaction && !worker->gathered;
	worker->status_handled = worker->handled;
	pthread_mutex_unlock(&worker->lock);
	worker->wake(worker->wake_context);
}

static void
pause_now(pen_worker *worker, pen_worker_state state)
{
	pen_error error;

	pen_error_clear(&error);
	if (state == PEN_WORKER_STREAMING && flush(worker, &error) < 0)
	{
		fail(worker, &error);
		return;
	}
	if (worker->open)
		worker->destination->kind->close(worker->destination);
	worker->open = false;
	forget_stream(worker);
	pen_log_write(worker->log, PENSTOCK_LOG_INFO, worker->destination->config->name,
				  "paused; it has everything up to " LSN_FORMAT,
				  LSN_ARGS(worker->position.applied_lsn));
	obeyed(worker, REQUEST_PAUSE, PEN_WORKER_PAUSED);
}

/* Pause or resume, where this is asked for and now is the time. */
static void
obey(pen_worker *worker)
{
	pen_worker_state state = state_of(worker);
	bool closed = state == PEN_WORKER_PAUSED || state == PEN_WORKER_STOPPED;
	worker_request request;

	if (!request_is_due(worker))
		return;
	pthread_mutex_lock(&worker->lock);
	request = worker->request;
	pthread_mutex_unlock(&worker->lock);
	if (request == REQUEST_PAUSE && !closed)
		pause_now(worker, state);
	else if (request == REQUEST_RESUME && closed)
	{
		worker->data_error_seen = false;
		worker->probing = false;
		worker->backoff.delay_ms = 0;
		worker->at_once = true;
		obeyed(worker, request, PEN_WORKER_DOWN);
	}
	else
	{
		worker->at_once = request == REQUEST_RESUME && state == PEN_WORKER_DOWN;
		obeyed(worker, request, state);
	}
}

/* Take no part: drop what comes. */
static void
stand_by(pen_worker *worker, pen_worker_state state)
{
	drop_next(worker, -1);
	if (state_of(worker) == state)
		publish(worker, state, NULL);
}

static void *
run(void *argument)
{
	pen_worker *worker = argument;
	pen_error error;

	while (!atomic_load(&worker->quit))
	{
		pen_worker_state state;

		obey(worker);
		state = state_of(worker);
		switch (state)
		{
			case PEN_WORKER_DOWN:
				come_back(worker);
				break;
			case PEN_WORKER_STOPPED:
			case PEN_WORKER_PAUSED:
				stand_by(worker, state);
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
pen_worker_run(pen_worker *worker, const pen_error *down, pen_error *error)
{
	sigset_t all;
	sigset_t before;

	if (down == NULL)
		publish_ready(worker);
	else
	{
		*error = *down;
		fail(worker, error);
	}
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

penstock_status
pen_worker_push_start(pen_worker *worker, unsigned int epoch, uint64_t start_lsn, pen_error *error)
{
	atomic_store(&worker->epoch, epoch);
	return pen_feed_start(worker->feed, epoch, start_lsn, error);
}

penstock_status
pen_worker_push_refusal(pen_worker *worker, const pen_error *error)
{
	pen_error *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return PENSTOCK_E_RETRY;
	*copy = *error;
	return pen_feed_command(worker->feed, PEN_FEED_REFUSAL, 0, copy);
}

penstock_status
pen_worker_push_resume(pen_worker *worker, unsigned int opened)
{
	return pen_feed_command(worker->feed, PEN_FEED_RESUME, opened, NULL);
}
