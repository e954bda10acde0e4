/* worker_state.c -- where a worker is and what is asked of it, as its thread and the receiver tell
 * each other. Nobody waits while the lock is held. */
#include "destination/worker_private.h"

/* ---- what the receiver sees ---- */

void
pen_worker_publish(pen_worker *worker, pen_worker_state state, const pen_error *error)
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
	worker->status.ahead = worker->ahead.kept;
	worker->status.ahead_undone = worker->ahead.lost;
	worker->status.drained = drained;
	worker->status_handled = worker->handled;
	if (error != NULL)
		worker->status.error = *error;
	pthread_mutex_unlock(&worker->lock);
	if (changed)
		worker->wake(worker->wake_context);
}

pen_worker_state
pen_worker_state_get(pen_worker *worker)
{
	pen_worker_state state;

	pthread_mutex_lock(&worker->lock);
	state = worker->status.state;
	pthread_mutex_unlock(&worker->lock);
	return state;
}

void
pen_worker_publish_ready(pen_worker *worker)
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

/* ---- what is asked ---- */

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

worker_request
pen_worker_request_get(pen_worker *worker)
{
	worker_request request;

	pthread_mutex_lock(&worker->lock);
	request = worker->request;
	pthread_mutex_unlock(&worker->lock);
	return request;
}

bool
pen_worker_request_is_due(pen_worker *worker)
{
	worker_request request = pen_worker_request_get(worker);

	return request == REQUEST_RESUME || (request == REQUEST_PAUSE && !worker->in_transaction);
}

void
pen_worker_obeyed(pen_worker *worker, worker_request request, pen_worker_state state)
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
