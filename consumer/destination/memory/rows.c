/* rows.c -- changes of rows: a new version in front of the old one, noted so that it can be undone.
 * A change that does not fit the rows is an error, with the table and its key's names. */
#include "destination/memory/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/lsn.h"

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

penstock_status
pen_memory_no_memory(const pen_change *change)
{
	return pen_error_set(change->error, PENSTOCK_E_RETRY, "out of memory for table %s.%s",
						 change->relation->schema, change->relation->name);
}

/* ---- finding ---- */

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

/* ---- versions ---- */

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

bool
pen_memory_reserve_undo(pen_memory_store *store)
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

	if (!pen_memory_reserve_undo(store))
		return pen_memory_no_memory(change);
	version = make_version(change, data);
	if (version == NULL)
		return pen_memory_no_memory(change);
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

	if (!pen_memory_reserve_undo(store) || (version = make_version(change, data)) == NULL)
		return pen_memory_no_memory(change);
	row = pen_heap_add_row(change->heap, hash, version);
	if (row == PEN_NO_ROW)
	{
		pen_heap_free_version(change->heap, version);
		return pen_memory_no_memory(change);
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

/* ---- changes ---- */

static penstock_status
apply_insert(pen_change *change, const penstock_event *event)
{
	pen_span data;
	pen_span key;

	if (!pen_rowkey_retag(&event->new_row, &change->store->row_scratch, &data))
		return pen_memory_no_memory(change);
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
		return pen_rowkey_retag(new_row, &change->store->row_scratch, data)
				   ? PENSTOCK_OK
				   : pen_memory_no_memory(change);
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

penstock_status
pen_memory_change_row(pen_change *change, const penstock_event *event)
{
	switch (event->kind)
	{
		case PENSTOCK_INSERT:
			return apply_insert(change, event);
		case PENSTOCK_UPDATE:
			return apply_update(change, event);
		default:
			return apply_delete(change, event);
	}
}
