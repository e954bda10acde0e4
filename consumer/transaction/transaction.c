/* transaction.c -- pass committed transactions on as they arrive, others once they have committed.
 * Order is checked here, once, so that no destination has to: begin, changes, its own commit. */
#include "transaction/transaction.h"
#include "event/lsn.h"
#include "transaction/shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pen_assembler
{
	const pen_route *route;
	const pen_amendments *amendments;
	bool in_transaction;
	penstock_transaction transaction;
	char gid[PEN_GID_SIZE]; /* transaction.gid points here, or is NULL */
	uint64_t start_lsn;
	uint64_t end_lsn;

	/* Transactions in progress, and those that were prepared before start_lsn. */
	pen_shelf *shelf;
	pen_parcel *part; /* whose part is open, or NULL */
	uint32_t subxid;  /* in which the next change of it stands */
	uint32_t xid;     /* whose part is open */
	pen_ahead ahead;

	/* The one that has committed, while it is handed out; in_transaction once it has begun. */
	pen_parcel *pending;
	penstock_event_kind pending_end; /* what ends it: commit or prepare */
	uint64_t pending_end_lsn;
	uint64_t sequence;

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

	if (assembler == NULL)
		return NULL;
	assembler->route = route;
	assembler->shelf = pen_shelf_new();
	if (assembler->shelf != NULL)
		return assembler;
	free(assembler);
	return NULL;
}

void
pen_assembler_amend(pen_assembler *assembler, const pen_amendments *amendments)
{
	assembler->amendments = amendments;
	assembler->routed = NULL;
}

void
pen_assembler_free(pen_assembler *assembler)
{
	if (assembler == NULL)
		return;
	pen_ahead_reset(&assembler->ahead);
	pen_shelf_free(assembler->shelf);
	free(assembler);
}

void
pen_assembler_limit(pen_assembler *assembler, pen_statedir *state, size_t bytes_max)
{
	pen_shelf_limit(assembler->shelf, state, bytes_max);
}

void
pen_assembler_reset(pen_assembler *assembler)
{
	pen_shelf_clear(assembler->shelf);
	pen_ahead_reset(&assembler->ahead);
	*assembler = (pen_assembler){.route = assembler->route,
								 .amendments = assembler->amendments,
								 .shelf = assembler->shelf,
								 .ahead = assembler->ahead};
}

void
pen_assembler_start(pen_assembler *assembler, uint64_t lsn)
{
	assembler->start_lsn = lsn;
}

void
pen_assembler_go_ahead(pen_assembler *assembler, pen_decoder *decoder)
{
	assembler->ahead.decoder = decoder;
}

bool
pen_assembler_ahead(pen_assembler *assembler, pen_ahead_part *part)
{
	return pen_ahead_take(&assembler->ahead, part);
}

void
pen_assembler_leave_ahead(pen_assembler *assembler)
{
	pen_ahead_end(&assembler->ahead);
}

bool
pen_assembler_goes_ahead(const pen_assembler *assembler)
{
	return assembler->ahead.xid != 0;
}

bool
pen_gid_copy(char gid[PEN_GID_SIZE], const uint8_t *bytes, size_t len)
{
	if (len == 0 || len >= PEN_GID_SIZE || memchr(bytes, '\0', len) != NULL)
		return false;
	memcpy(gid, bytes, len);
	gid[len] = '\0';
	return true;
}

void
pen_assembler_resume(pen_assembler *assembler, const penstock_transaction *transaction)
{
	assembler->in_transaction = true;
	assembler->transaction = *transaction;
	if (transaction->gid == NULL)
		assembler->transaction.end_lsn = 0;
	else
	{
		snprintf(assembler->gid, sizeof(assembler->gid), "%s", transaction->gid);
		assembler->transaction.gid = assembler->gid;
	}
	assembler->copied_to = NULL;
}

bool
pen_assembler_in_transaction(const pen_assembler *assembler)
{
	return assembler->in_transaction || assembler->pending != NULL;
}

bool
pen_assembler_pending(const pen_assembler *assembler)
{
	return assembler->pending != NULL;
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
		assembler->taken =
			pen_route_takes(assembler->route, relation->schema, relation->name) ||
			pen_amendments_mention(assembler->amendments, relation->schema, relation->name);
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
		kind >= PENSTOCK_COMMIT)
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
add_bound(pen_assembler *assembler, pen_chunk *chunk, penstock_event_kind kind, pen_error *error)
{
	return add_event(assembler, chunk, kind) != NULL ? PENSTOCK_OK : no_memory(error);
}

static penstock_status
check_order(const pen_assembler *assembler, uint64_t commit_lsn, pen_error *error)
{
	if (commit_lsn >= assembler->end_lsn)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_DATA,
						 "commits are out of order: " LSN_FORMAT " after " LSN_FORMAT,
						 LSN_ARGS(commit_lsn), LSN_ARGS(assembler->end_lsn));
}

static penstock_status
check_end(uint64_t commit_lsn, uint64_t end_lsn, pen_error *error)
{
	if (end_lsn > commit_lsn)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_DATA,
						 "the commit at " LSN_FORMAT " ends before it begins",
						 LSN_ARGS(commit_lsn));
}

static penstock_status
take_begin(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk, pen_error *error)
{
	if (assembler->in_transaction)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a transaction begins inside of the one that commits at " LSN_FORMAT,
							 LSN_ARGS(assembler->transaction.commit_lsn));
	if (assembler->part != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a transaction begins inside of a part of another one");
	if (check_order(assembler, decoded->event.transaction->commit_lsn, error) < 0)
		return PENSTOCK_E_DATA;
	assembler->in_transaction = true;
	assembler->transaction = *decoded->event.transaction;
	assembler->transaction.end_lsn = 0;
	return add_event(assembler, chunk, PENSTOCK_BEGIN) != NULL ? PENSTOCK_OK : no_memory(error);
}

static penstock_status
take_commit(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
			pen_error *error)
{
	if (!assembler->in_transaction || assembler->transaction.gid != NULL ||
		decoded->event.transaction->commit_lsn != assembler->transaction.commit_lsn)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "the commit at " LSN_FORMAT " is not that of the open transaction",
							 LSN_ARGS(decoded->event.transaction->commit_lsn));
	if (check_end(decoded->event.transaction->commit_lsn, decoded->event.transaction->end_lsn,
				  error) < 0)
		return PENSTOCK_E_DATA;
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

/* ---- parts of transactions in progress ---- */

static penstock_status
start_part(pen_assembler *assembler, const pen_json_boundary *boundary, bool first,
		   pen_error *error)
{
	pen_parcel *parcel = pen_shelf_find(assembler->shelf, boundary->xid);

	if (assembler->in_transaction || assembler->part != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a part of transaction %u begins inside of another one",
							 boundary->xid);
	if ((parcel == NULL) != first)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a part of transaction %u %s, but it is not the first", boundary->xid,
							 parcel == NULL ? "comes" : "says that it is the first one");
	if (parcel == NULL)
		parcel = pen_shelf_add(assembler->shelf, boundary->xid);
	if (parcel == NULL)
		return no_memory(error);
	assembler->part = parcel;
	assembler->xid = assembler->subxid = boundary->xid;
	return PENSTOCK_OK;
}

static penstock_status
start_stream(pen_assembler *assembler, const pen_json_boundary *boundary, pen_error *error)
{
	if (start_part(assembler, boundary, boundary->first, error) < 0)
		return error->status;
	if (boundary->first)
		pen_ahead_begin(&assembler->ahead, boundary->xid);
	return PENSTOCK_OK;
}

/* The same for those who take it before its commit. What cannot be read here is told when it is
 * read again, if ever it commits. */
static void
add_ahead(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk)
{
	pen_ahead *ahead = &assembler->ahead;
	pen_wire_reader reader;
	pen_decoded kept;
	pen_error ignored;
	bool added;

	if (decoded->kind == PEN_EVENT_SUB_XACT)
		return;
	ahead->sequence++;
	pen_wire_reader_init(&reader, decoded->bytes, decoded->len);
	added = pen_decode_kept(ahead->decoder, &reader, &kept, &ignored) >= 0 &&
			kept.kind != PEN_EVENT_TRUNCATE &&
			(!takes(assembler, kept.event.relation) || pen_ahead_add(ahead, &kept.event, chunk));
	if (!added)
		pen_ahead_void(ahead, assembler->xid);
}

static penstock_status
keep(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk, pen_error *error)
{
	if (decoded->kind == PEN_EVENT_SUB_XACT)
		assembler->subxid = decoded->wire.sub_xact.xid;
	if (assembler->ahead.xid != 0 && assembler->xid == assembler->ahead.xid)
		add_ahead(assembler, decoded, chunk);
	return pen_shelf_keep(assembler->shelf, assembler->part, chunk, decoded->bytes, decoded->len,
						  assembler->subxid, error);
}

/* Of a transaction that nothing was kept of nothing need be dropped. */
static penstock_status
abort_parts(pen_assembler *assembler, const pen_json_boundary *boundary, pen_error *error)
{
	pen_parcel *parcel = pen_shelf_find(assembler->shelf, boundary->xid);

	pen_ahead_void(&assembler->ahead, boundary->xid);
	if (boundary->subxid == boundary->xid)
		pen_shelf_drop(assembler->shelf, parcel);
	else if (parcel != NULL && !pen_parcel_abort(parcel, boundary->subxid))
		return no_memory(error);
	return PENSTOCK_OK;
}

/* All parts are there: they come out from now on, with this end. gid NULL: as an ordinary one. */
static penstock_status
hand_out(pen_assembler *assembler, const pen_json_boundary *boundary, penstock_event_kind ends,
		 const char *gid, pen_error *error)
{
	pen_parcel *parcel = pen_shelf_find(assembler->shelf, boundary->xid);

	if (parcel == NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "transaction %u ends at " LSN_FORMAT ", but no part of it came",
							 boundary->xid, LSN_ARGS(boundary->lsn));
	if (check_order(assembler, boundary->lsn, error) < 0 ||
		check_end(boundary->lsn, boundary->end_lsn, error) < 0)
		return PENSTOCK_E_DATA;
	assembler->transaction = (penstock_transaction){.xid = boundary->xid,
													.commit_lsn = boundary->lsn,
													.commit_time = boundary->time,
													.gid = gid};
	assembler->pending = parcel;
	if (gid != NULL)
		assembler->transaction.end_lsn = boundary->end_lsn;
	assembler->pending_end = ends;
	assembler->pending_end_lsn = boundary->end_lsn;
	assembler->sequence = 0;
	return PENSTOCK_OK;
}

/* ---- prepared transactions ---- */

/* Was it prepared where this stream could not see it? Then the server sends it at its commit: it is
 * kept till then, and comes as an ordinary one. */
static bool
is_late(const pen_assembler *assembler, const pen_json_boundary *boundary)
{
	return boundary->lsn < assembler->start_lsn || boundary->lsn < assembler->end_lsn;
}

static penstock_status
check_gid(pen_assembler *assembler, const pen_json_boundary *boundary, pen_error *error)
{
	if (pen_gid_copy(assembler->gid, boundary->gid.data, boundary->gid.len))
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_DATA, "transaction %u was prepared without a valid name",
						 boundary->xid);
}

static penstock_status
begin_prepare(pen_assembler *assembler, const pen_json_boundary *boundary, pen_chunk *chunk,
			  pen_error *error)
{
	if (is_late(assembler, boundary))
		return start_part(assembler, boundary, true, error);
	if (assembler->in_transaction || assembler->part != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a prepared transaction begins inside of another one");
	if (check_gid(assembler, boundary, error) < 0)
		return PENSTOCK_E_DATA;
	assembler->in_transaction = true;
	assembler->transaction = (penstock_transaction){.xid = boundary->xid,
													.commit_lsn = boundary->lsn,
													.end_lsn = boundary->end_lsn,
													.commit_time = boundary->time,
													.gid = assembler->gid};
	return add_bound(assembler, chunk, PENSTOCK_BEGIN, error);
}

static penstock_status
prepare(pen_assembler *assembler, const pen_json_boundary *boundary, pen_chunk *chunk,
		pen_error *error)
{
	if (assembler->part != NULL)
	{
		assembler->part = NULL;
		return PENSTOCK_OK;
	}
	if (!assembler->in_transaction || boundary->lsn != assembler->transaction.commit_lsn)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "the prepare at " LSN_FORMAT " is not that of the open transaction",
							 LSN_ARGS(boundary->lsn));
	if (check_end(boundary->lsn, boundary->end_lsn, error) < 0)
		return PENSTOCK_E_DATA;
	assembler->transaction.end_lsn = boundary->end_lsn;
	if (add_bound(assembler, chunk, PENSTOCK_PREPARE, error) < 0)
		return PENSTOCK_E_RETRY;
	assembler->in_transaction = false;
	assembler->end_lsn = boundary->end_lsn;
	return PENSTOCK_OK;
}

/* COMMIT PREPARED or ROLLBACK PREPARED of what was prepared in time. */
static penstock_status
end_prepared(pen_assembler *assembler, const pen_json_boundary *boundary, penstock_event_kind kind,
			 pen_chunk *chunk, pen_error *error)
{
	/* Only the end of a rollback's record is told: take its last byte for its start, which falls
	 * before or after a position as the record does. */
	uint64_t lsn = kind == PENSTOCK_COMMIT_PREPARED ? boundary->lsn : boundary->end_lsn - 1;

	if (check_order(assembler, lsn, error) < 0 || check_end(lsn, boundary->end_lsn, error) < 0 ||
		check_gid(assembler, boundary, error) < 0)
		return PENSTOCK_E_DATA;
	assembler->transaction = (penstock_transaction){.xid = boundary->xid,
													.commit_lsn = lsn,
													.end_lsn = boundary->end_lsn,
													.commit_time = boundary->time,
													.gid = assembler->gid,
													.prepare_end_lsn = boundary->prepare_end_lsn,
													.prepare_time = boundary->prepare_time};
	assembler->end_lsn = boundary->end_lsn;
	return add_bound(assembler, chunk, kind, error);
}

static penstock_status
take_end(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk, pen_error *error)
{
	const pen_json_boundary *boundary = decoded->boundary;
	pen_parcel *kept = pen_shelf_find(assembler->shelf, boundary->xid);

	switch (decoded->kind)
	{
		case PEN_EVENT_STREAM_ABORT:
			return abort_parts(assembler, boundary, error);
		case PEN_EVENT_STREAM_COMMIT:
			if (assembler->ahead.xid == boundary->xid)
				pen_ahead_end(&assembler->ahead);
			return hand_out(assembler, boundary, PENSTOCK_COMMIT, NULL, error);
		case PEN_EVENT_STREAM_PREPARE:
			pen_ahead_void(&assembler->ahead, boundary->xid);
			if (is_late(assembler, boundary))
				return PENSTOCK_OK;
			if (check_gid(assembler, boundary, error) < 0)
				return PENSTOCK_E_DATA;
			return hand_out(assembler, boundary, PENSTOCK_PREPARE, assembler->gid, error);
		case PEN_EVENT_COMMIT_PREPARED:
			if (kept != NULL)
				return hand_out(assembler, boundary, PENSTOCK_COMMIT, NULL, error);
			return end_prepared(assembler, boundary, PENSTOCK_COMMIT_PREPARED, chunk, error);
		default:
			pen_shelf_drop(assembler->shelf, kept);
			return end_prepared(assembler, boundary, PENSTOCK_ROLLBACK_PREPARED, chunk, error);
	}
}

static penstock_status
take_boundary(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
			  pen_error *error)
{
	if (decoded->kind == PEN_EVENT_BEGIN_PREPARE)
		return begin_prepare(assembler, decoded->boundary, chunk, error);
	if (decoded->kind == PEN_EVENT_PREPARE)
		return prepare(assembler, decoded->boundary, chunk, error);
	if (decoded->kind == PEN_EVENT_STREAM_STOP)
	{
		assembler->part = NULL;
		return PENSTOCK_OK;
	}
	if (decoded->kind == PEN_EVENT_STREAM_START)
		return start_stream(assembler, decoded->boundary, error);
	if (assembler->in_transaction || assembler->part != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA, "transaction %u ends inside of another one",
							 decoded->boundary->xid);
	return take_end(assembler, decoded, chunk, error);
}

/* ---- any event ---- */

static penstock_status
take_session(pen_assembler *assembler, pen_error *error)
{
	/* Relations of before may be freed now, and their addresses used again. */
	assembler->routed = NULL;
	if (assembler->in_transaction || assembler->part != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA, "a session begins inside of a transaction");
	pen_ahead_void(&assembler->ahead, assembler->ahead.xid);
	pen_shelf_clear(assembler->shelf);
	return PENSTOCK_OK;
}

static penstock_status
take_change(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
			pen_error *error)
{
	return decoded->kind == PEN_EVENT_TRUNCATE ? take_truncate(assembler, decoded, chunk, error)
											   : take_row(assembler, decoded, chunk, error);
}

penstock_status
pen_assembler_take(pen_assembler *assembler, const pen_decoded *decoded, pen_chunk *chunk,
				   pen_error *error)
{
	if (assembler->pending != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "the end of a streamed transaction is not the last of its message");
	switch (decoded->kind)
	{
		case PEN_EVENT_SESSION:
			return take_session(assembler, error);
		case PEN_EVENT_RELATION:
		case PEN_EVENT_ORIGIN: /* nobody wants to know it yet */
			return PENSTOCK_OK;
		case PEN_EVENT_BEGIN:
			return take_begin(assembler, decoded, chunk, error);
		case PEN_EVENT_COMMIT:
			return take_commit(assembler, decoded, chunk, error);
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
		case PEN_EVENT_TRUNCATE:
		case PEN_EVENT_SUB_XACT:
			break;
		case PEN_EVENT_MESSAGE:
			return pen_error_set(error, PENSTOCK_E_DATA,
								 "the stream has messages, which were not asked for");
		default:
			return take_boundary(assembler, decoded, chunk, error);
	}
	if (assembler->part != NULL)
		return keep(assembler, decoded, chunk, error);
	if (!assembler->in_transaction || decoded->kind == PEN_EVENT_SUB_XACT)
		return pen_error_set(error, PENSTOCK_E_DATA, "a change stands outside of a transaction");
	return take_change(assembler, decoded, chunk, error);
}

/* ---- handing out what was kept ---- */

/* The events of a piece that were not aborted. */
static penstock_status
take_piece(pen_assembler *assembler, pen_decoder *decoder, const pen_piece *piece, pen_error *error)
{
	bool aborted = pen_parcel_is_aborted(assembler->pending, piece->subxid);
	penstock_status status = PENSTOCK_OK;
	pen_wire_reader reader;
	pen_decoded decoded;

	pen_wire_reader_init(&reader, piece->data, piece->len);
	while (status >= 0 && pen_wire_more(&reader))
	{
		status = pen_decode_kept(decoder, &reader, &decoded, error);
		if (status < 0)
			break;
		if (decoded.kind == PEN_EVENT_SUB_XACT)
			aborted = pen_parcel_is_aborted(assembler->pending, decoded.wire.sub_xact.xid);
		else if (!aborted)
		{
			decoded.event.sequence = ++assembler->sequence;
			status = take_change(assembler, &decoded, piece->chunk, error);
		}
	}
	return status;
}

/* Fill chunks until one has events; all has been handed out when pending is NULL again. */
static penstock_status
fill_next(pen_assembler *assembler, pen_decoder *decoder, pen_chunk **chunk, pen_error *error)
{
	pen_piece piece = {0};
	penstock_status status = pen_parcel_next(assembler->shelf, assembler->pending, &piece, error);

	if (status == PENSTOCK_DONE)
		piece.chunk = pen_chunk_new(NULL, 0, NULL);
	*chunk = piece.chunk;
	if (status < 0)
		return status;
	if (piece.chunk == NULL)
		return no_memory(error);
	if (!assembler->in_transaction)
		status = add_bound(assembler, piece.chunk, PENSTOCK_BEGIN, error);
	assembler->in_transaction = true;
	if (status >= 0)
		status = take_piece(assembler, decoder, &piece, error);
	if (status < 0 || !pen_parcel_is_empty(assembler->pending))
		return status;
	assembler->transaction.end_lsn = assembler->pending_end_lsn;
	status = add_bound(assembler, piece.chunk, assembler->pending_end, error);
	if (status < 0)
		return status;
	assembler->end_lsn = assembler->pending_end_lsn;
	pen_shelf_drop(assembler->shelf, assembler->pending);
	assembler->pending = NULL;
	assembler->in_transaction = false;
	return PENSTOCK_OK;
}

pen_chunk *
pen_assembler_next(pen_assembler *assembler, pen_decoder *decoder, pen_error *error)
{
	pen_chunk *chunk;

	for (;;)
	{
		penstock_status status = fill_next(assembler, decoder, &chunk, error);

		if (status >= 0 && chunk->count > 0)
			return chunk;
		pen_chunk_unref(chunk);
		if (status < 0)
			return NULL;
	}
}
