/* transaction.c -- pass committed transactions on as they arrive.
 * Order is checked here, once, so that no destination has to: begin, changes, its own commit. */
#include "transaction/transaction.h"
#include "event/lsn.h"

#include <stdlib.h>

struct pen_assembler
{
	const pen_route *route;
	bool in_transaction;
	penstock_transaction transaction;
	uint64_t end_lsn;

	/* The transaction's copy in the chunk that is being filled. */
	const pen_chunk *copied_to;
	const penstock_transaction *copy;

	/* The last relation that was routed, and what came of it. */
	const penstock_relation *routed;
	bool taken;
};

pen_assembler *
pen_assembler_new(const pen_route *route)
{
	pen_assembler *assembler = calloc(1, sizeof(*assembler));

	if (assembler != NULL)
		assembler->route = route;
	return assembler;
}

void
pen_assembler_free(pen_assembler *assembler)
{
	free(assembler);
}

void
pen_assembler_reset(pen_assembler *assembler)
{
	*assembler = (pen_assembler){.route = assembler->route};
}

void
pen_assembler_resume(pen_assembler *assembler, const penstock_transaction *transaction)
{
	assembler->in_transaction = true;
	assembler->transaction = *transaction;
	assembler->transaction.end_lsn = 0;
	assembler->copied_to = NULL;
}

bool
pen_assembler_in_transaction(const pen_assembler *assembler)
{
	return assembler->in_transaction;
}

uint64_t
pen_assembler_end_lsn(const pen_assembler *assembler)
{
	return assembler->end_lsn;
}

static bool
takes(pen_assembler *assembler, const penstock_relation *relation)
{
	if (relation != assembler->routed)
	{
		assembler->routed = relation;
		assembler->taken = pen_route_takes(assembler->route, relation->schema, relation->name);
	}
	return assembler->taken;
}

/* An event of the open transaction, or NULL without memory. */
static penstock_event *
add_event(pen_assembler *assembler, pen_chunk *chunk, penstock_event_kind kind)
{
	penstock_event *event = pen_chunk_add(chunk);

	if (event == NULL)
		return NULL;
	if (assembler->copied_to != chunk || chunk->count == 1 || kind == PENSTOCK_BEGIN ||
		kind == PENSTOCK_COMMIT)
	{
		assembler->copy = pen_chunk_transaction(chunk, &assembler->transaction);
		assembler->copied_to = chunk;
	}
	event->kind = kind;
	event->transaction = assembler->copy;
	return assembler->copy != NULL ? event : NULL;
}

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the stream");
}

static penstock_status
take_begin(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk, pen_error *error)
{
	if (assembler->in_transaction)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a transaction begins inside of the one that commits at " LSN_FORMAT,
							 LSN_ARGS(assembler->transaction.commit_lsn));
	if (decoded->event.transaction->commit_lsn < assembler->end_lsn)
		return pen_error_set(
			error, PENSTOCK_E_DATA, "commits are out of order: " LSN_FORMAT " after " LSN_FORMAT,
			LSN_ARGS(decoded->event.transaction->commit_lsn), LSN_ARGS(assembler->end_lsn));
	assembler->in_transaction = true;
	assembler->transaction = *decoded->event.transaction;
	assembler->transaction.end_lsn = 0;
	return add_event(assembler, chunk, PENSTOCK_BEGIN) != NULL ? PENSTOCK_OK : no_memory(error);
}

static penstock_status
take_commit(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
			pen_error *error)
{
	if (!assembler->in_transaction ||
		decoded->event.transaction->commit_lsn != assembler->transaction.commit_lsn)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "the commit at " LSN_FORMAT " is not that of the open transaction",
							 LSN_ARGS(decoded->event.transaction->commit_lsn));
	if (decoded->event.transaction->end_lsn <= decoded->event.transaction->commit_lsn)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "the commit at " LSN_FORMAT " ends before it begins",
							 LSN_ARGS(decoded->event.transaction->commit_lsn));
	assembler->transaction.end_lsn = decoded->event.transaction->end_lsn;
	if (add_event(assembler, chunk, PENSTOCK_COMMIT) == NULL)
		return no_memory(error);
	assembler->in_transaction = false;
	assembler->end_lsn = decoded->event.transaction->end_lsn;
	return PENSTOCK_OK;
}

static penstock_status
take_row(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk, pen_error *error)
{
	penstock_event *event;

	if (!takes(assembler, decoded->event.relation))
		return PENSTOCK_OK;
	event = add_event(assembler, chunk, decoded->event.kind);
	if (event == NULL)
		return no_memory(error);
	event->sequence = decoded->event.sequence;
	event->new_row = decoded->event.new_row;
	event->old_row = decoded->event.old_row;
	pen_chunk_hold(chunk, event, decoded->event.relation);
	return PENSTOCK_OK;
}

static penstock_status
take_truncate(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
			  pen_error *error)
{
	const penstock_relation **taken =
		calloc(decoded->event.relation_count + 1, sizeof(penstock_relation *));
	penstock_event *event;
	uint32_t count = 0;
	bool ok = taken != NULL;

	for (uint32_t i = 0; ok && i < decoded->event.relation_count; i++)
	{
		if (takes(assembler, decoded->event.relations[i]))
			taken[count++] = decoded->event.relations[i];
	}
	if (ok && count > 0)
	{
		event = add_event(assembler, chunk, PENSTOCK_TRUNCATE);
		ok = event != NULL && pen_chunk_relations(chunk, event, taken, count);
		if (ok)
		{
			event->sequence = decoded->event.sequence;
			event->cascade = decoded->event.cascade;
			event->restart_identity = decoded->event.restart_identity;
		}
	}
	free(taken);
	return ok ? PENSTOCK_OK : no_memory(error);
}

penstock_status
pen_assembler_take(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
				   pen_error *error)
{
	switch (decoded->kind)
	{
		case PEN_EVENT_SESSION:
			/* Relations of before may be freed now, and their addresses used again. */
			assembler->routed = NULL;
			if (assembler->in_transaction)
				return pen_error_set(error, PENSTOCK_E_DATA,
									 "a session begins inside of a transaction");
			return PENSTOCK_OK;
		case PEN_EVENT_RELATION:
			return PENSTOCK_OK;
		case PEN_EVENT_BEGIN:
			return take_begin(assembler, decoded, chunk, error);
		case PEN_EVENT_COMMIT:
			return take_commit(assembler, decoded, chunk, error);
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
		case PEN_EVENT_TRUNCATE:
			break;
		case PEN_EVENT_ORIGIN:
			return PENSTOCK_OK; /* nobody wants to know it yet */
		default:
			return pen_error_set(error, PENSTOCK_E_DATA,
								 "the stream has events of kind %d, which were not asked for",
								 (int) decoded->kind);
	}
	if (!assembler->in_transaction)
		return pen_error_set(error, PENSTOCK_E_DATA, "a change stands outside of a transaction");
	return decoded->kind == PEN_EVENT_TRUNCATE ? take_truncate(assembler, decoded, chunk, error)
											   : take_row(assembler, decoded, chunk, error);
}
