/* transaction.c -- apply the stream's transactions to the tables, or undo them exactly.
 * A change puts a new version in front of the old one. Versions of the open transaction carry its
 * commit LSN, which no snapshot has reached; the old ones stay until it is committed. */
#include "destination/memory/store_private.h"
#include "event/lsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/relation.h"

#define RELOADS_IN_ROW 3

typedef struct pen_change
{
	pen_memory_store *store;
	const penstock_relation *relation;
	pen_table *table;
	pen_heap *heap;
	uint16_t schema;
	pen_error *error;
} pen_change;

/* ---- errors ---- */

static const char *
key_names(const penstock_relation *relation, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	if (relation->key_count == 0)
		snprintf(buffer, size, "all columns");
	for (int i = 0; i < relation->key_count && used < size; i++)
		used += (size_t) snprintf(buffer + used, size - used, "%s%s", i > 0 ? ", " : "",
								  relation->columns[relation->key_columns[i]].name);
	return buffer;
}

static penstock_status
row_error(const pen_change *change, const char *what)
{
	char names[256];

	return pen_error_set(change->error, PENSTOCK_E_DATA,
						 "table %s.%s: %s (key: %s) in the transaction with commit LSN " LSN_FORMAT,
						 change->relation->schema, change->relation->name, what,
						 key_names(change->relation, names, sizeof(names)),
						 LSN_ARGS(change->store->transaction_lsn));
}

static penstock_status
no_memory(const pen_change *change)
{
	return pen_error_set(change->error, PENSTOCK_E_RETRY, "out of memory for table %s.%s",
						 change->relation->schema, change->relation->name);
}

static penstock_status
no_identity(const pen_change *change, const char *verb)
{
	return pen_error_set(
		change->error, PENSTOCK_E_REFUSED,
		"table %s.%s: %s came without a key because the table has no replica "
		"identity; run ALTER TABLE %s.%s REPLICA IDENTITY FULL (or USING INDEX, or "
		"add a primary key) at the source, then start again",
		change->relation->schema, change->relation->name, verb, change->relation->schema,
		change->relation->name);
}

static penstock_status
reload(pen_memory_store *store, const penstock_relation *relation, const char *reason,
	   pen_error *error)
{
	store->reload_oid = relation->oid;
	if (++store->reloads > RELOADS_IN_ROW)
		return pen_error_set(error, PENSTOCK_E_BUG,
							 "table %s.%s was loaded again %d times and still differs from the "
							 "stream: %s",
							 relation->schema, relation->name, RELOADS_IN_ROW, reason);
	return pen_error_set(error, PENSTOCK_E_RETRY,
						 "memory tables are loaded again: table %s.%s was altered, %s",
						 relation->schema, relation->name, reason);
}

/* ---- which table ---- */

void
pen_memory_forget_relations(pen_memory_store *store)
{
	for (size_t i = 0; i < store->known_size; i++)
		pen_relation_unref(store->known[i].relation);
	if (store->known_size > 0)
		memset(store->known, 0, store->known_size * sizeof(*store->known));
	store->known_count = 0;
	store->last_known.relation = NULL;
}

static pen_known_relation *
known_place(pen_known_relation *known, size_t size, const penstock_relation *relation)
{
	size_t i = ((uintptr_t) relation >> 4) * 0x9E3779B97F4A7C15u >> 20 & (size - 1);

	while (known[i].relation != NULL && known[i].relation != relation)
		i = (i + 1) & (size - 1);
	return &known[i];
}

static bool
grow_known(pen_memory_store *store)
{
	size_t size = store->known_size == 0 ? 64 : store->known_size * 2;
	pen_known_relation *known = calloc(size, sizeof(*known));

	if (known == NULL)
		return false;
	for (size_t i = 0; i < store->known_size; i++)
		if (store->known[i].relation != NULL)
			*known_place(known, size, store->known[i].relation) = store->known[i];
	free(store->known);
	store->known = known;
	store->known_size = size;
	return true;
}

static bool
reserve_undo(pen_memory_store *store)
{
	size_t size = store->undo_size == 0 ? 256 : store->undo_size * 2;
	pen_undo *undo;

	if (store->undo_count < store->undo_size)
		return true;
	undo = realloc(store->undo, size * sizeof(*undo));
	if (undo == NULL)
		return false;
	store->undo = undo;
	store->undo_size = size;
	return true;
}

/* An empty heap in front, as after TRUNCATE. */
static penstock_status
empty_table(pen_change *change)
{
	pen_memory_store *store = change->store;
	pen_heap *old = pen_table_heap(change->table);

	if (!reserve_undo(store) || !pen_table_add_heap(change->table, store->transaction_lsn))
		return no_memory(change);
	if (old->lsn == store->transaction_lsn)
	{
		/* Made in this transaction: only the one before it may be needed again. */
		pen_table_heap(change->table)->older = old->older;
		pen_memory_retire_heap(store, change->table, old);
		if (old->older != NULL)
			return PENSTOCK_OK;
	}
	store->undo[store->undo_count++] =
		(pen_undo){.object = change->table, .row = PEN_NO_ROW, .count = 0};
	return PENSTOCK_OK;
}

/* Does a table with this oid exist, under another name or outside of what we took? Its rows did
 * not come through the stream as those of this name. */
static bool
oid_is_known(const pen_memory_store *store, uint32_t oid)
{
	for (size_t i = 0; store->working != NULL && i < store->working->count; i++)
		if (pen_table_schema(store->working->tables[i])->relation->oid == oid)
			return true;
	for (size_t i = 0; i < store->other_count; i++)
		if (store->others[i] == oid)
			return true;
	return false;
}

static penstock_status
add_table(pen_change *change)
{
	pen_memory_store *store = change->store;
	pen_tableset *set;

	if (oid_is_known(store, change->relation->oid))
		return reload(store, change->relation, "it was renamed or made permanent", change->error);
	change->table = pen_table_new(change->relation, store->transaction_lsn);
	set = change->table != NULL ? pen_tableset_with(store->working, change->table) : NULL;
	if (set == NULL)
	{
		pen_table_free(change->table);
		return no_memory(change);
	}
	if (store->working != store->published)
		free(store->working);
	store->working = set;
	return PENSTOCK_OK;
}

/* A table whose description may be new. */
static penstock_status
compare_table(pen_change *change)
{
	pen_memory_store *store = change->store;
	const penstock_relation *old_relation = pen_table_schema(change->table)->relation;
	const char *reason;

	switch (pen_table_compare(old_relation, change->relation, &reason))
	{
		case PEN_SCHEMA_SAME:
			return PENSTOCK_OK;
		case PEN_SCHEMA_MAPPABLE:
			break;
		case PEN_SCHEMA_REWRITTEN:
			if (pen_table_heap(change->table)->live > 0 ||
				(old_relation->oid != change->relation->oid &&
				 oid_is_known(store, change->relation->oid)))
				return reload(store, change->relation, reason, change->error);
			if (!pen_table_add_schema(change->table, change->relation, store->transaction_lsn))
				return no_memory(change);
			return empty_table(change);
	}
	if (pen_table_schema(change->table)->number == UINT16_MAX)
		return reload(store, change->relation, "too often to remember", change->error);
	if (!pen_table_add_schema(change->table, change->relation, store->transaction_lsn))
		return no_memory(change);
	return PENSTOCK_OK;
}

/* A relation that this session has not mentioned yet. */
static penstock_status
meet_relation(pen_change *change)
{
	pen_memory_store *store = change->store;
	penstock_status status;
	bool found;
	size_t at;

	if (store->known_count * 2 >= store->known_size && !grow_known(store))
		return no_memory(change);
	at = pen_tableset_search(store->working, change->relation->schema, change->relation->name,
							 &found);
	if (found)
	{
		change->table = store->working->tables[at];
		status = compare_table(change);
	}
	else
		status = add_table(change);
	if (status < 0)
		return status;
	if (change->relation->oid == store->reload_oid)
		store->reloads = 0;
	*known_place(store->known, store->known_size, change->relation) =
		(pen_known_relation){.relation = pen_relation_ref(change->relation),
							 .table = change->table,
							 .schema = pen_table_schema(change->table)->number};
	store->known_count++;
	return PENSTOCK_OK;
}

static penstock_status
find_table(pen_change *change)
{
	pen_memory_store *store = change->store;
	penstock_status status;

	if (store->last_known.relation != change->relation)
	{
		pen_known_relation *known = NULL;

		if (store->known_size > 0)
			known = known_place(store->known, store->known_size, change->relation);
		if (known == NULL || known->relation == NULL)
		{
			status = meet_relation(change);
			if (status < 0)
				return status;
			known = known_place(store->known, store->known_size, change->relation);
		}
		store->last_known = *known;
	}
	change->table = store->last_known.table;
	change->schema = store->last_known.schema;
	change->heap = pen_table_heap(change->table);
	return PENSTOCK_OK;
}

/* ---- changes of rows ---- */

/* The row in the heap that has this key, a deleted one included; or PEN_NO_ROW. */
static uint32_t
find_row(const pen_change *change, pen_span key, uint32_t hash)
{
	uint32_t row = pen_heap_first(change->heap, hash);

	for (; row != PEN_NO_ROW; row = pen_heap_next(change->heap, row))
	{
		const pen_version *version = pen_heap_newest(change->heap, row);

		/* A deleted row's key stands in what is left of it: the version before. */
		if (version->flags & PEN_VERSION_TOMBSTONE)
		{
			if (version->len == key.len && memcmp(version->data, key.data, key.len) == 0)
				return row;
		}
		else if (!change->heap->keyed)
		{
			if (version->len == key.len && memcmp(version->data, key.data, key.len) == 0)
				return row;
		}
		else if (pen_rowkey_matches(pen_table_relation(change->table, version->schema),
									version->data, version->len, key))
			return row;
	}
	return PEN_NO_ROW;
}

static bool
is_live(const pen_heap *heap, uint32_t row)
{
	return row != PEN_NO_ROW && !(pen_heap_newest(heap, row)->flags & PEN_VERSION_TOMBSTONE);
}

static pen_version *
make_version(const pen_change *change, pen_span data)
{
	pen_version *version;

	if (data.len > UINT32_MAX)
		return NULL;
	version = pen_heap_new_version(change->heap, change->store->transaction_lsn, change->schema,
								   (uint32_t) data.len);
	if (version != NULL && data.len > 0)
		memcpy(version->data, data.data, data.len);
	return version;
}

/* Note that a row changes, before it does. */
static void
note_change(const pen_change *change, uint32_t row)
{
	change->store->undo[change->store->undo_count++] =
		(pen_undo){.object = change->heap, .row = row, .count = 0};
}

/*
 * Put a new version in front of a row. A version that this same transaction made before is
 * replaced. A tombstone holds the key, so that the row can be found while it is in the index.
 */
static penstock_status
put_version(const pen_change *change, uint32_t row, pen_span data, uint16_t flags)
{
	pen_memory_store *store = change->store;
	pen_version *head = pen_heap_newest(change->heap, row);
	bool own = head->lsn == store->transaction_lsn;
	pen_version *version;

	if (!reserve_undo(store))
		return no_memory(change);
	version = make_version(change, data);
	if (version == NULL)
		return no_memory(change);
	version->flags = flags;
	version->older = own ? head->older : head;
	change->heap->live += (head->flags & PEN_VERSION_TOMBSTONE) != 0;
	change->heap->live -= (flags & PEN_VERSION_TOMBSTONE) != 0;
	pen_heap_set_newest(change->heap, row, version);
	if (!own || (version->older == NULL && (flags & PEN_VERSION_TOMBSTONE)))
		note_change(change, row);
	if (own)
		pen_memory_retire(store, PEN_GARBAGE_VERSION, change->heap, head, 0);
	return pen_memory_account(store, change->heap, &store->bytes, change->relation, change->error);
}

static penstock_status
add_row(const pen_change *change, pen_span data, uint32_t hash)
{
	pen_memory_store *store = change->store;
	pen_version *version;
	pen_undo *last;
	uint32_t row;

	if (!reserve_undo(store) || (version = make_version(change, data)) == NULL)
		return no_memory(change);
	row = pen_heap_add_row(change->heap, hash, version);
	if (row == PEN_NO_ROW)
	{
		pen_heap_free_version(change->heap, version);
		return no_memory(change);
	}
	change->heap->live++;
	last = store->undo_count > 0 ? &store->undo[store->undo_count - 1] : NULL;
	if (last != NULL && last->object == change->heap && last->count > 0 &&
		last->row + last->count == row)
		last->count++;
	else
		store->undo[store->undo_count++] =
			(pen_undo){.object = change->heap, .row = row, .count = 1};
	return pen_memory_account(store, change->heap, &store->bytes, change->relation, change->error);
}

/* Add a row, or put it on top of a deleted one with the same key. */
static penstock_status
insert_row(const pen_change *change, pen_span data, pen_span key)
{
	uint32_t hash = pen_rowkey_hash(key);
	uint32_t row = change->heap->keyed ? find_row(change, key, hash) : PEN_NO_ROW;

	if (row == PEN_NO_ROW)
		return add_row(change, data, hash);
	if (is_live(change->heap, row))
		return row_error(change, "an inserted row is there already");
	return put_version(change, row, data, 0);
}

static penstock_status
delete_row(const pen_change *change, uint32_t row, pen_span key)
{
	/* Without a key nobody but us uses the index: what is deleted need not be found again. */
	if (!change->heap->keyed)
	{
		penstock_status status = put_version(change, row, (pen_span){0}, PEN_VERSION_TOMBSTONE);

		if (status == PENSTOCK_OK ||
			(pen_heap_newest(change->heap, row)->flags & PEN_VERSION_TOMBSTONE))
			pen_heap_unindex(change->heap, row);
		return status;
	}
	return put_version(change, row, key, PEN_VERSION_TOMBSTONE);
}

/* The key of a row that is to be found: of a table without key the whole row. */
static penstock_status
search_key(const pen_change *change, const penstock_row *row, pen_span *key)
{
	pen_memory_store *store = change->store;

	if (change->heap->keyed)
	{
		if (!pen_rowkey_of(row, &store->key_scratch, key))
			return row_error(change, "a change has no whole key");
	}
	else if (row->identity_only || !pen_rowkey_retag(row, &store->key_scratch, key))
		return row_error(change, "a change has no whole old row");
	return PENSTOCK_OK;
}

static penstock_status
apply_insert(pen_change *change, const penstock_event *event)
{
	pen_span data;
	pen_span key;

	if (!pen_rowkey_retag(&event->new_row, &change->store->row_scratch, &data))
		return no_memory(change);
	key = data;
	if (change->heap->keyed && !pen_rowkey_of(&event->new_row, &change->store->key_scratch, &key))
		return row_error(change, "an inserted row has no whole key");
	return insert_row(change, data, key);
}

static penstock_status
apply_delete(pen_change *change, const penstock_event *event)
{
	penstock_status status;
	pen_span key;
	uint32_t row;

	if (event->old_row.relation == NULL)
		return no_identity(change, "a DELETE");
	status = search_key(change, &event->old_row, &key);
	if (status < 0)
		return status;
	row = find_row(change, key, pen_rowkey_hash(key));
	if (!is_live(change->heap, row))
		return row_error(change, "a deleted row is not there");
	return delete_row(change, row, key);
}

/* The new row with the values that did not travel taken from the stored one. */
static penstock_status
complete_row(const pen_change *change, const penstock_row *new_row, uint32_t row, pen_span *data)
{
	const pen_version *version = pen_heap_newest(change->heap, row);
	penstock_row stored = {pen_table_relation(change->table, version->schema), version->data,
						   version->len, false};

	if (!pen_rowkey_has_unchanged(new_row))
		return pen_rowkey_retag(new_row, &change->store->row_scratch, data) ? PENSTOCK_OK
																			: no_memory(change);
	if (!pen_rowkey_merge(change->relation, new_row, &stored, &change->store->row_scratch, data))
		return row_error(change, "an updated row lacks a value that did not travel");
	return PENSTOCK_OK;
}

static penstock_status
apply_update(pen_change *change, const penstock_event *event)
{
	bool has_old = event->old_row.relation != NULL;
	penstock_row merged = {.relation = change->relation};
	penstock_status status;
	pen_span old_key;
	pen_span new_key;
	pen_span data;
	uint32_t row;

	if (!has_old && !change->heap->keyed)
		return no_identity(change, "an UPDATE");
	status = search_key(change, has_old ? &event->old_row : &event->new_row, &old_key);
	if (status < 0)
		return status;
	row = find_row(change, old_key, pen_rowkey_hash(old_key));
	if (!is_live(change->heap, row))
		return row_error(change, "an updated row is not there");
	status = complete_row(change, &event->new_row, row, &data);
	if (status < 0)
		return status;
	merged.data = data.data;
	merged.len = data.len;
	new_key = data;
	if (change->heap->keyed && has_old &&
		!pen_rowkey_of(&merged, &change->store->other_key_scratch, &new_key))
		return row_error(change, "an updated row has no whole key");
	if (change->heap->keyed && (!has_old || (new_key.len == old_key.len &&
											 memcmp(new_key.data, old_key.data, new_key.len) == 0)))
		return put_version(change, row, data, 0);
	status = delete_row(change, row, old_key);
	return status < 0 ? status : insert_row(change, data, new_key);
}

static penstock_status
apply_truncate(pen_change *change, const penstock_event *event)
{
	for (uint32_t i = 0; i < event->relation_count; i++)
	{
		penstock_status status;

		change->relation = event->relations[i];
		status = find_table(change);
		if (status == PENSTOCK_OK)
			status = empty_table(change);
		if (status < 0)
			return status;
	}
	return PENSTOCK_OK;
}

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
		return apply_truncate(&change, event);
	status = find_table(&change);
	if (status < 0)
		return status;
	switch (event->kind)
	{
		case PENSTOCK_INSERT:
			return apply_insert(&change, event);
		case PENSTOCK_UPDATE:
			return apply_update(&change, event);
		default:
			return apply_delete(&change, event);
	}
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
