/* worker.c -- drive one destination from its queue.
 * A failure never leaves the destination half open: it is closed, and nothing is handed to it until
 * it has been opened again and a new stream has begun. */
#include "destination/worker_private.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "event/lsn.h"

#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS   15000
#define PROBE_MS       500

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
pen_worker_interrupt(pen_worker *worker)
{
	atomic_store(&worker->destination->interrupted, true);
}

void
pen_worker_free(pen_worker *worker)
{
	if (worker == NULL)
		return;
	if (worker->running)
	{
		atomic_store(&worker->quit, true);
		pen_worker_interrupt(worker);
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
	pen_worker_forget_ahead(worker, true);
	worker->probing = error->status == PENSTOCK_E_WAITING;
	pen_worker_forget_stream(worker);
	if (!atomic_load(&worker->quit))
		pen_log_write(worker->log, again ? PENSTOCK_LOG_WARNING : PENSTOCK_LOG_ERROR, name,
					  again ? "%s; trying again" : "%s; this destination is stopped", error->text);
	pen_worker_publish(worker, again ? PEN_WORKER_DOWN : PEN_WORKER_STOPPED, error);
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
	while (!atomic_load(&worker->quit) && !pen_worker_request_is_due(worker))
	{
		int64_t left = until - pen_clock_ms();

		if (left <= 0 || pen_worker_state_get(worker) != PEN_WORKER_DOWN)
			break;
		drop_next(worker, (int) left);
	}
	if (atomic_load(&worker->quit) || pen_worker_request_is_due(worker) ||
		pen_worker_state_get(worker) != PEN_WORKER_DOWN)
		return;
	pen_error_clear(&error);
	if (open_destination(worker, &error) >= 0)
	{
		pen_log_write(worker->log, PENSTOCK_LOG_INFO, worker->destination->config->name,
					  "open again; it has everything up to " LSN_FORMAT,
					  LSN_ARGS(worker->position.applied_lsn));
		pen_worker_publish_ready(worker);
	}
	else if (!probing || error.status != PENSTOCK_E_WAITING ||
			 strstr(worker->status.error.text, error.text) == NULL) /* something else is missing */
		fail(worker, &error);
}

/* ---- pausing ---- */

static void
pause_now(pen_worker *worker, pen_worker_state state)
{
	pen_error error;

	pen_error_clear(&error);
	if (state == PEN_WORKER_STREAMING && pen_worker_flush(worker, &error) < 0)
	{
		fail(worker, &error);
		return;
	}
	if (worker->open)
		worker->destination->kind->close(worker->destination);
	worker->open = false;
	pen_worker_forget_ahead(worker, false);
	pen_worker_forget_stream(worker);
	pen_log_write(worker->log, PENSTOCK_LOG_INFO, worker->destination->config->name,
				  "paused; it has everything up to " LSN_FORMAT,
				  LSN_ARGS(worker->position.applied_lsn));
	pen_worker_obeyed(worker, REQUEST_PAUSE, PEN_WORKER_PAUSED);
}

/* Pause or resume, where this is asked for and now is the time. */
static void
obey(pen_worker *worker)
{
	pen_worker_state state = pen_worker_state_get(worker);
	bool closed = state == PEN_WORKER_PAUSED || state == PEN_WORKER_STOPPED;
	worker_request request;

	if (!pen_worker_request_is_due(worker))
		return;
	request = pen_worker_request_get(worker);
	if (request == REQUEST_PAUSE && !closed)
		pause_now(worker, state);
	else if (request == REQUEST_RESUME && closed)
	{
		worker->data_error_seen = false;
		worker->probing = false;
		worker->backoff.delay_ms = 0;
		worker->at_once = true;
		pen_worker_obeyed(worker, request, PEN_WORKER_DOWN);
	}
	else
	{
		worker->at_once = request == REQUEST_RESUME && state == PEN_WORKER_DOWN;
		pen_worker_obeyed(worker, request, state);
	}
}

/* ---- the thread ---- */

static penstock_status
turn(pen_worker *worker, pen_error *error)
{
	bool streaming = pen_worker_state_get(worker) == PEN_WORKER_STREAMING;
	penstock_status status = PENSTOCK_OK;
	pen_item item;

	status = pen_feed_pop(worker->feed, &item, streaming, 0, error);
	if (status == PENSTOCK_AGAIN)
	{
		status = streaming ? pen_worker_drained(worker, error) : PENSTOCK_OK;
		/* An interrupt is told once, and the first pop may have heard it. */
		if (status < 0 || atomic_load(&worker->quit) || pen_worker_request_is_due(worker))
			return status;
		status =
			pen_feed_pop(worker->feed, &item, streaming, streaming ? worker->poll_ms : -1, error);
	}
	if (status != PENSTOCK_OK)
		return status;
	status = pen_worker_handle(worker, &item, error);
	drop_item(worker, &item);
	if (status >= 0)
		pen_worker_publish(worker, pen_worker_state_get(worker), NULL);
	return status;
}

/* Take no part: drop what comes. */
static void
stand_by(pen_worker *worker, pen_worker_state state)
{
	drop_next(worker, -1);
	if (pen_worker_state_get(worker) == state)
		pen_worker_publish(worker, state, NULL);
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
		state = pen_worker_state_get(worker);
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
		pen_worker_publish_ready(worker);
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
