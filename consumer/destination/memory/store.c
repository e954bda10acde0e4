/* store.c -- loading, publishing, and freeing what no snapshot can see.
 * Snapshots are numbered. Whoever takes something out of readers' reach notes the number that the
 * next snapshot will have: once all below it have ended, nobody holds it. */
#include "destination/memory/store_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "event/relation.h"

pen_memory_store *
pen_memory_store_new(size_t bytes_max)
{
	pen_memory_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return NULL;
	store->bytes_max = bytes_max;
	pthread_mutex_init(&store->lock, NULL);
	pen_buffer_init(&store->key_scratch);
	pen_buffer_init(&store->other_key_scratch);
	pen_buffer_init(&store->row_scratch);
	return store;
}

static void
free_tables(pen_tableset *set)
{
	for (size_t i = 0; set != NULL && i < set->count; i++)
		pen_table_free(set->tables[i]);
	free(set);
}

void
pen_memory_store_free(pen_memory_store *store)
{
	if (store == NULL)
		return;
	pen_memory_undo(store);
	pen_memory_collect(store);
	pen_memory_load_abort(store);
	pen_memory_forget_relations(store);
	if (store->published != store->working)
		free(store->published);
	free_tables(store->working);
	pen_buffer_reset(&store->key_scratch);
	pen_buffer_reset(&store->other_key_scratch);
	pen_buffer_reset(&store->row_scratch);
	free(store->known);
	free(store->undo);
	free(store->garbage);
	free(store->others);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

uint64_t
pen_memory_store_lsn(const pen_memory_store *store)
{
	return store->loaded ? store->consistent_point : store->applied_lsn;
}

size_t
pen_memory_store_bytes(const pen_memory_store *store)
{
	return store->bytes;
}

penstock_status
pen_memory_account(pen_memory_store *store, pen_heap *heap, size_t *total,
				   const penstock_relation *relation, pen_error *error)
{
	size_t bytes = pen_heap_bytes(heap);

	if (bytes == heap->counted)
		return PENSTOCK_OK;
	*total += bytes - heap->counted;
	heap->counted = bytes;
	if (store->bytes_max != 0 && *total > store->bytes_max)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "memory tables need more than the %zu bytes allowed; table %s.%s was "
							 "growing: raise table-memory-limit or take fewer tables",
							 store->bytes_max, relation->schema, relation->name);
	return PENSTOCK_OK;
}

/* ---- garbage ---- */

/* Without memory for the note the object is leaked, which is safe. */
void
pen_memory_retire_at(pen_memory_store *store, uint64_t stamp, pen_garbage_kind kind, void *owner,
					 void *object, uint32_t row)
{
	if (store->garbage_count == store->garbage_size)
	{
		size_t size = store->garbage_size == 0 ? 64 : store->garbage_size * 2;
		pen_garbage *garbage = realloc(store->garbage, size * sizeof(*garbage));

		if (garbage == NULL)
			return;
		store->garbage = garbage;
		store->garbage_size = size;
	}
	store->garbage[store->garbage_count++] =
		(pen_garbage){.stamp = stamp, .owner = owner, .object = object, .row = row, .kind = kind};
}

static void
free_heap_of_table(pen_table *table, pen_heap *heap)
{
	for (pen_heap *newer = pen_table_heap(table); newer != NULL; newer = newer->older)
		if (newer->older == heap)
			newer->older = NULL;
	pen_heap_free(heap);
}

static void
dispose(pen_memory_store *store, pen_garbage_kind kind, void *owner, void *object, uint32_t row)
{
	pen_heap *heap = owner;

	switch (kind)
	{
		case PEN_GARBAGE_VERSION:
			if (!heap->retired)
				pen_heap_free_version(heap, object);
			break;
		case PEN_GARBAGE_DEAD_ROW:
			if (heap->retired || pen_heap_newest(heap, row) != object)
				break;
			if (heap->keyed)
				pen_heap_unindex(heap, row);
			pen_heap_remove_row(heap, row);
			/* A reader who walks the slots may hold the tombstone still. */
			pen_memory_retire(store, PEN_GARBAGE_VERSION, heap, object, 0);
			break;
		case PEN_GARBAGE_HEAP:
			free_heap_of_table(owner, object);
			break;
		case PEN_GARBAGE_TABLE:
			pen_table_free(object);
			break;
		case PEN_GARBAGE_SET:
			free(object);
			break;
	}
}

void
pen_memory_retire(pen_memory_store *store, pen_garbage_kind kind, void *owner, void *object,
				  uint32_t row)
{
	uint64_t stamp;
	bool seen;

	pthread_mutex_lock(&store->lock);
	seen = store->first_snapshot != NULL;
	stamp = store->snapshot_counter;
	pthread_mutex_unlock(&store->lock);
	if (!seen && kind == PEN_GARBAGE_VERSION)
		dispose(store, kind, owner, object, row);
	else
		pen_memory_retire_at(store, stamp, kind, owner, object, row);
}

void
pen_memory_retire_heap(pen_memory_store *store, pen_table *table, pen_heap *heap)
{
	heap->retired = true;
	store->bytes -= heap->counted;
	heap->counted = 0;
	pen_memory_retire(store, PEN_GARBAGE_HEAP, table, heap, 0);
}

bool
pen_memory_collect(pen_memory_store *store)
{
	uint64_t seen;

	pthread_mutex_lock(&store->lock);
	seen = store->first_snapshot != NULL ? store->first_snapshot->number : store->snapshot_counter;
	pthread_mutex_unlock(&store->lock);
	while (store->garbage_first < store->garbage_count &&
		   store->garbage[store->garbage_first].stamp <= seen)
	{
		pen_garbage garbage = store->garbage[store->garbage_first++];

		dispose(store, garbage.kind, garbage.owner, garbage.object, garbage.row);
	}
	if (store->garbage_first == store->garbage_count)
	{
		store->garbage_first = store->garbage_count = 0;
		if (store->garbage_size > 4096)
		{
			free(store->garbage);
			store->garbage = NULL;
			store->garbage_size = 0;
		}
	}
	else if (store->garbage_first > store->garbage_count / 2)
	{
		store->garbage_count -= store->garbage_first;
		memmove(store->garbage, store->garbage + store->garbage_first,
				store->garbage_count * sizeof(*store->garbage));
		store->garbage_first = 0;
	}
	return store->garbage_count > 0;
}

bool
pen_memory_idle(pen_memory_store *store)
{
	return store->in_transaction || !pen_memory_collect(store);
}

/* ---- loading ---- */

void
pen_memory_load_abort(pen_memory_store *store)
{
	free_tables(store->loading);
	store->loading = NULL;
	store->load_table = NULL;
	store->loaded = false;
	store->loading_bytes = 0;
}

void
pen_memory_load_begin(pen_memory_store *store)
{
	pen_memory_undo(store);
	pen_memory_load_abort(store);
	store->other_count = 0;
}

penstock_status
pen_memory_load_table(pen_memory_store *store, const penstock_relation *relation, pen_error *error)
{
	pen_table *table = pen_table_new(relation, 0);
	pen_tableset *set = table != NULL ? pen_tableset_with(store->loading, table) : NULL;

	if (set == NULL)
	{
		pen_table_free(table);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for table %s.%s",
							 relation->schema, relation->name);
	}
	free(store->loading);
	store->loading = set;
	store->load_table = table;
	return PENSTOCK_OK;
}

penstock_status
pen_memory_load_row(pen_memory_store *store, const uint8_t *data, size_t len, pen_error *error)
{
	pen_table *table = store->load_table;
	pen_heap *heap = pen_table_heap(table);
	penstock_row row = {pen_table_schema(table)->relation, data, len, false};
	pen_span key = {data, len};
	pen_version *version;

	if (heap->keyed && !pen_rowkey_of(&row, &store->key_scratch, &key))
		return pen_error_set(error, PENSTOCK_E_DATA, "a row of table %s.%s has no whole key",
							 table->schema_name, table->name);
	version = len <= UINT32_MAX ? pen_heap_new_version(heap, 0, 0, (uint32_t) len) : NULL;
	if (version != NULL && len > 0)
		memcpy(version->data, data, len);
	if (version == NULL || pen_heap_add_row(heap, pen_rowkey_hash(key), version) == PEN_NO_ROW)
	{
		pen_heap_free_version(heap, version);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a row of table %s.%s",
							 table->schema_name, table->name);
	}
	heap->live++;
	return pen_memory_account(store, heap, &store->loading_bytes, row.relation, error);
}

penstock_status
pen_memory_load_other(pen_memory_store *store, uint32_t oid, pen_error *error)
{
	if (store->other_count == store->other_size)
	{
		size_t size = store->other_size == 0 ? 64 : store->other_size * 2;
		uint32_t *others = realloc(store->others, size * sizeof(*others));

		if (others == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the list of tables");
		store->others = others;
		store->other_size = size;
	}
	store->others[store->other_count++] = oid;
	return PENSTOCK_OK;
}

void
pen_memory_load_end(pen_memory_store *store, uint64_t consistent_point)
{
	store->load_table = NULL;
	store->loaded = true;
	store->consistent_point = consistent_point;
}

bool
pen_memory_publish_loaded(pen_memory_store *store)
{
	pen_tableset *old_working = store->working;
	pen_tableset *old_published = store->published;
	pen_tableset *set = store->loading;

	if (set == NULL && (set = calloc(1, sizeof(*set))) == NULL)
		return false;
	pen_memory_forget_relations(store);
	store->working = set;
	if (store->applied_lsn < store->consistent_point)
		store->applied_lsn = store->consistent_point;
	pthread_mutex_lock(&store->lock);
	store->published = set;
	store->published_lsn = store->applied_lsn;
	pthread_mutex_unlock(&store->lock);
	for (size_t i = 0; old_working != NULL && i < old_working->count; i++)
	{
		pen_table *table = old_working->tables[i];

		for (pen_heap *heap = pen_table_heap(table); heap != NULL; heap = heap->older)
			heap->retired = true;
		pen_memory_retire(store, PEN_GARBAGE_TABLE, NULL, table, 0);
	}
	if (old_published != NULL)
		pen_memory_retire(store, PEN_GARBAGE_SET, NULL, old_published, 0);
	if (old_working != old_published)
		free(old_working);
	store->bytes = store->loading_bytes;
	store->loading_bytes = 0;
	store->loading = NULL;
	store->loaded = false;
	pen_memory_collect(store);
	return true;
}
