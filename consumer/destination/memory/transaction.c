/* transaction.c -- apply the stream's transactions to the tables, or undo them exactly. The tables
 * of changes are found in relations.c, their rows in rows.c.
 * A change puts a new version in front of the old one. Versions of the open transaction carry its
 * commit LSN, which no snapshot has reached; the old ones stay until it is committed. */
#include "destination/memory/change.h"

#include "event/lsn.h"

/* ---- the end of a transaction ---- */

/* The version before is for older snapshots only, a deleted row for them and for nobody after. */
static void
settle_row(pen_memory_store *store, pen_heap *heap, uint32_t row, uint64_t stamp, bool seen)
{
	pen_version *head = pen_heap_newest(heap, row);

	if (head == NULL || head->lsn != store->transaction_lsn)
		return;
	if (head->older != NULL)
	{
		if (seen)
			pen_memory_retire_at(store, stamp, PEN_GARBAGE_VERSION, heap, head->older, 0);
		else
			pen_heap_free_version(heap, head->older);
	}
	if (head->flags & PEN_VERSION_TOMBSTONE)
		pen_memory_retire_at(store, stamp, PEN_GARBAGE_DEAD_ROW, heap, head, row);
}

static void
commit(pen_memory_store *store, uint64_t end_lsn)
{
	pen_tableset *old_set = store->published;
	uint64_t stamp;
	bool seen;

	store->in_transaction = false;
	store->applied_lsn = end_lsn;
	pthread_mutex_lock(&store->lock);
	store->published_lsn = end_lsn;
	store->published = store->working;
	stamp = store->snapshot_counter;
	seen = store->first_snapshot != NULL;
	pthread_mutex_unlock(&store->lock);
	for (size_t i = 0; i < store->undo_count; i++)
	{
		pen_undo *undo = &store->undo[i];

		if (undo->row == PEN_NO_ROW)
		{
			pen_heap *heap = pen_table_heap(undo->object);

			if (heap->older != NULL && !heap->older->retired)
				pen_memory_retire_heap(store, undo->object, heap->older);
		}
		else if (undo->count == 0 && !((pen_heap *) undo->object)->retired)
			settle_row(store, undo->object, undo->row, stamp, seen);
	}
	store->undo_count = 0;
	if (old_set != store->working && old_set != NULL)
		pen_memory_retire(store, PEN_GARBAGE_SET, NULL, old_set, 0);
	pen_memory_collect(store);
}

static void
undo_row(pen_memory_store *store, pen_heap *heap, uint32_t row)
{
	pen_version *head = pen_heap_newest(heap, row);
	pen_version *older;
	bool deleted;

	if (head == NULL || head->lsn != store->transaction_lsn)
		return;
	older = head->older;
	deleted = head->flags & PEN_VERSION_TOMBSTONE;
	heap->live -= !deleted;
	if (older == NULL)
	{
		if (heap->keyed || !deleted)
			pen_heap_unindex(heap, row);
		pen_heap_remove_row(heap, row);
	}
	else
	{
		heap->live += !(older->flags & PEN_VERSION_TOMBSTONE);
		pen_heap_set_newest(heap, row, older);
		if (!heap->keyed && deleted)
			pen_heap_reindex(heap, row); /* buckets are there: this needs no memory */
	}
	pen_memory_retire(store, PEN_GARBAGE_VERSION, heap, head, 0);
}

static void
undo_truncate(pen_memory_store *store, pen_table *table)
{
	pen_heap *heap = pen_table_heap(table);

	if (heap->lsn != store->transaction_lsn || heap->older == NULL)
		return;
	atomic_store_explicit(&table->heap, heap->older, memory_order_release);
	pen_memory_retire_heap(store, table, heap);
}

void
pen_memory_undo(pen_memory_store *store)
{
	if (!store->in_transaction)
		return;
	while (store->undo_count > 0)
	{
		pen_undo *undo = &store->undo[--store->undo_count];
		pen_heap *heap = undo->object;

		if (undo->row == PEN_NO_ROW)
			undo_truncate(store, undo->object);
		else if (heap->retired)
			continue;
		else if (undo->count == 0)
			undo_row(store, heap, undo->row);
		else
			for (uint32_t i = undo->count; i > 0; i--)
				undo_row(store, heap, undo->row + i - 1);
	}
	store->in_transaction = false;
	pen_memory_collect(store);
}

/* ---- the stream ---- */

penstock_status
pen_memory_start(pen_memory_store *store, uint64_t start_lsn, pen_error *error)
{
	pen_memory_undo(store);
	store->skipping = false;
	pen_memory_forget_relations(store);
	if (start_lsn > pen_memory_store_lsn(store))
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "memory tables are loaded again: the stream begins at " LSN_FORMAT
							 ", after the " LSN_FORMAT " of the loaded rows",
							 LSN_ARGS(start_lsn), LSN_ARGS(pen_memory_store_lsn(store)));
	if (store->loaded && !pen_memory_publish_loaded(store))
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for memory tables");
	return PENSTOCK_OK;
}

static penstock_status
begin(pen_memory_store *store, const penstock_event *event, pen_error *error)
{
	uint64_t lsn = event->transaction->commit_lsn;

	if (store->in_transaction)
		return pen_error_set(error, PENSTOCK_E_BUG, "a transaction begins within another one");
	if (lsn == 0)
		return pen_error_set(error, PENSTOCK_E_DATA, "a transaction has no commit LSN");
	store->skipping = lsn < store->applied_lsn || store->published == NULL;
	store->transaction_lsn = lsn;
	store->in_transaction = !store->skipping;
	return PENSTOCK_OK;
}

penstock_status
pen_memory_apply(pen_memory_store *store, const penstock_event *event, pen_error *error)
{
	pen_change change = {.store = store, .relation = event->relation, .error = error};
	penstock_status status;

	if (event->kind == PENSTOCK_BEGIN)
		return begin(store, event, error);
	if (store->skipping)
	{
		store->skipping = event->kind != PENSTOCK_COMMIT;
		return PENSTOCK_OK;
	}
	if (!store->in_transaction)
		return pen_error_set(error, PENSTOCK_E_BUG, "a change stands outside of a transaction");
	if (event->kind == PENSTOCK_COMMIT)
	{
		uint64_t end_lsn = event->transaction->end_lsn;

		commit(store, end_lsn > store->transaction_lsn ? end_lsn : store->transaction_lsn + 1);
		return PENSTOCK_OK;
	}
	if (event->kind == PENSTOCK_TRUNCATE)
		return pen_memory_truncate(&change, event);
	status = pen_memory_find_table(&change);
	if (status < 0)
		return status;
	return pen_memory_change_row(&change, event);
}

void
pen_memory_advance(pen_memory_store *store, uint64_t lsn)
{
	if (store->in_transaction)
		return;
	if (store->published != NULL && lsn > store->applied_lsn)
	{
		store->applied_lsn = lsn;
		pthread_mutex_lock(&store->lock);
		store->published_lsn = lsn;
		pthread_mutex_unlock(&store->lock);
	}
	pen_memory_collect(store);
}
