/* worker_ahead.c -- changes of a transaction in progress, handed over before its commit.
 *
 * A worker has the first `count` changes of the transaction at its destination, or none. When the
 * transaction commits it comes whole, as any other; then those are passed over, once the
 * destination has said that they stand. So nothing depends on what came ahead: where anything went
 * wrong with it, all of it is handed over behind its begin. */
#include "destination/worker_private.h"

#include "event/lsn.h"

void
pen_worker_forget_ahead(pen_worker *worker, bool ban)
{
	if (worker->ahead.xid == 0)
		return;
	worker->ahead.lost++;
	if (ban)
		worker->ahead.banned = worker->ahead.xid;
	worker->ahead.xid = 0;
	worker->ahead.claimed = false;
}

void
pen_worker_forgo(pen_worker *worker)
{
	if (worker->ahead.xid == 0)
		return;
	worker->destination->kind->forgo(worker->destination);
	pen_worker_forget_ahead(worker, false);
}

/* Is this part the next one of what the destination has, or the first of something? Whoever has
 * missed one gets nothing more. */
static bool
follows(pen_worker *worker, uint32_t xid, uint64_t before)
{
	if (before == 0 && xid != worker->ahead.banned)
	{
		pen_worker_forgo(worker);
		worker->ahead.xid = xid;
		worker->ahead.count = 0;
		worker->ahead.begun = false;
	}
	return xid == worker->ahead.xid && before == worker->ahead.count;
}

/* False: nothing is kept any more. */
static bool
hand_ahead(pen_worker *worker, const penstock_event *event)
{
	const penstock_event *mapped;
	pen_error ignored;

	if (pen_worker_map(worker, event, &mapped, &ignored) < 0)
	{
		pen_worker_forgo(worker);
		return false;
	}
	if (mapped != NULL &&
		!worker->destination->kind->ahead(worker->destination, mapped, !worker->ahead.begun))
	{
		pen_worker_forget_ahead(worker, false);
		return false;
	}
	worker->ahead.begun = worker->ahead.begun || mapped != NULL;
	worker->ahead.count++;
	worker->ahead.sequence = event->sequence;
	return true;
}

/* The queue may not be drained for long: see what has become durable nevertheless. */
static penstock_status
look_at_position(pen_worker *worker, pen_error *error)
{
	int poll_ms = -1;

	if (worker->position.durable_lsn >= worker->position.applied_lsn)
		return PENSTOCK_OK;
	return worker->destination->kind->sync(worker->destination, &worker->position, &poll_ms, error);
}

penstock_status
pen_worker_go_ahead(pen_worker *worker, const pen_item *item, pen_error *error)
{
	const pen_chunk *chunk = item->pointer;

	if (worker->destination->kind->ahead == NULL || worker->in_transaction)
		return PENSTOCK_OK;
	if (!follows(worker, chunk->events[0].transaction->xid, item->number))
	{
		pen_worker_forgo(worker);
		return PENSTOCK_OK;
	}
	if (pen_worker_flush(worker, error) < 0 || look_at_position(worker, error) < 0)
		return error->status;
	for (size_t i = 0; i < chunk->count; i++)
	{
		if (i % 64 == 0 && atomic_load_explicit(&worker->quit, memory_order_relaxed))
			break;
		if (!hand_ahead(worker, &chunk->events[i]))
			break;
	}
	return PENSTOCK_OK;
}

penstock_status
pen_worker_claim(pen_worker *worker, const penstock_transaction *transaction, pen_error *error)
{
	worker_ahead *ahead = &worker->ahead;

	if (ahead->xid == 0 || ahead->xid != transaction->xid)
		return PENSTOCK_OK;
	if (worker->skipping || transaction->gid != NULL || !ahead->begun)
	{
		pen_worker_forgo(worker);
		return PENSTOCK_OK;
	}
	if (pen_worker_flush(worker, error) < 0)
		return error->status;
	ahead->claimed = worker->destination->kind->claim(worker->destination, transaction);
	ahead->passed = 0;
	if (!ahead->claimed)
		pen_worker_forget_ahead(worker, false);
	return PENSTOCK_OK;
}

penstock_status
pen_worker_pass(pen_worker *worker, const penstock_event *event, bool *passed, pen_error *error)
{
	worker_ahead *ahead = &worker->ahead;
	bool change = event->kind >= PENSTOCK_INSERT && event->kind <= PENSTOCK_DELETE;
	bool right;

	*passed = ahead->claimed && change && ahead->passed < ahead->count;
	if (!ahead->claimed || event->kind == PENSTOCK_BEGIN)
		return PENSTOCK_OK;
	if (*passed)
		ahead->passed++;
	/* The last of them is the one that was the last then, and all else comes behind it. */
	right =
		ahead->passed == ahead->count ? !*passed || event->sequence == ahead->sequence : *passed;
	if (right)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_RETRY,
						 "the transaction that commits at " LSN_FORMAT " is not what came of it "
						 "before; applying it anew",
						 LSN_ARGS(event->transaction->commit_lsn));
}

void
pen_worker_end_claim(pen_worker *worker)
{
	if (!worker->ahead.claimed)
		return;
	worker->ahead.claimed = false;
	worker->ahead.xid = 0;
	worker->ahead.kept++;
}
