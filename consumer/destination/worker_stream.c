/* worker_stream.c -- hand over what comes from the queue.
 * Nothing is handed over that the destination has, and nothing after a gap. */
#include "destination/worker_private.h"

#include "event/lsn.h"

void
pen_worker_forget_stream(pen_worker *worker)
{
	worker->in_transaction = false;
	worker->skipping = false;
	worker->gathered = false;
	worker->whole = false;
	worker->poll_ms = -1;
	if (worker->open)
		pen_worker_forgo(worker);
}

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

penstock_status
pen_worker_flush(pen_worker *worker, pen_error *error)
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
	if (pen_worker_state_get(worker) == PEN_WORKER_READY && stream->epoch < wants)
		return PENSTOCK_OK;
	pen_worker_forget_stream(worker);
	status = check_gap(worker, stream->lsn, error);
	if (status < 0)
		return status;
	status = worker->destination->kind->start(worker->destination, stream->lsn, &worker->position,
											  error);
	if (status >= 0)
		pen_worker_publish(worker, PEN_WORKER_STREAMING, NULL);
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
		status = pen_worker_flush(worker, error);
	else if (worker->whole)
	{
		worker->careful_lsn = worker->open_lsn;
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "its spool holds a transaction without an end; reading it again");
	}
	else
		status = worker->destination->kind->start(worker->destination, stream->lsn,
												  &worker->position, error);
	pen_worker_forget_stream(worker);
	return status;
}

/* Open again: read on disk from where this destination is. */
static penstock_status
resume(pen_worker *worker, uint64_t opened, pen_error *error)
{
	uint64_t lsn;

	/* What was meant for an earlier session was not checked against the position of this one. */
	if (pen_worker_state_get(worker) != PEN_WORKER_READY || opened != worker->status.opened)
		return PENSTOCK_OK;
	if (pen_feed_resume(worker->feed, worker->position.durable_lsn, &lsn, error) < 0)
		return error->status;
	pen_worker_forget_stream(worker);
	if (check_gap(worker, lsn, error) < 0 ||
		worker->destination->kind->start(worker->destination, lsn, &worker->position, error) < 0)
		return error->status;
	pen_worker_publish(worker, PEN_WORKER_STREAMING, NULL);
	return PENSTOCK_OK;
}

penstock_status
pen_worker_map(pen_worker *worker, const penstock_event *event, const penstock_event **mapped,
			   pen_error *error)
{
	*mapped = event;
	return worker->mapper != NULL ? pen_mapper_map(worker->mapper, event, mapped, error)
								  : PENSTOCK_OK;
}

static penstock_status
hand_over(pen_worker *worker, const penstock_event *event, pen_error *error)
{
	bool passed;

	if (pen_worker_pass(worker, event, &passed, error) < 0)
		return error->status;
	if (passed)
		return PENSTOCK_OK;
	if (pen_worker_map(worker, event, &event, error) < 0)
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
			pen_worker_flush(worker, error) < 0)
			return error->status;
		worker->in_transaction = true;
		worker->open_lsn = commit_lsn;
		worker->skipping = event->transaction->commit_lsn < worker->position.applied_lsn;
		if (event->kind == PENSTOCK_BEGIN &&
			pen_worker_claim(worker, event->transaction, error) < 0)
			return error->status;
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
		if (status >= 0)
			pen_worker_end_claim(worker);
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
	status = pen_worker_flush(worker, error);
	if (status >= 0 && lsn > worker->position.applied_lsn)
		status =
			worker->destination->kind->advance(worker->destination, lsn, &worker->position, error);
	return status;
}

penstock_status
pen_worker_handle(pen_worker *worker, pen_item *item, pen_error *error)
{
	bool streaming = pen_worker_state_get(worker) == PEN_WORKER_STREAMING;

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
		case PEN_FEED_AHEAD:
			return streaming ? pen_worker_go_ahead(worker, item, error) : PENSTOCK_OK;
		case PEN_FEED_FORGO:
			if (streaming && item->number == worker->ahead.xid)
				pen_worker_forgo(worker);
			return PENSTOCK_OK;
	}
	return pen_error_set(error, PENSTOCK_E_BUG, "an item of kind %d", item->kind);
}

penstock_status
pen_worker_drained(pen_worker *worker, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	worker->poll_ms = -1;
	if (!worker->in_transaction)
		status = pen_worker_flush(worker, error);
	if (status >= 0)
		status = worker->destination->kind->sync(worker->destination, &worker->position,
												 &worker->poll_ms, error);
	if (status >= 0)
		pen_worker_publish(worker, PEN_WORKER_STREAMING, NULL);
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
