/* relations.c -- which table a change is about, and what becomes of a table whose description has
 * changed. What cannot be told from the stream alone is loaded again. */
#include "destination/memory/change.h"

#include <stdlib.h>
#include <string.h>

#include "event/relation.h"

#define RELOADS_IN_ROW 3

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

/* An empty heap in front, as after TRUNCATE. */
static penstock_status
empty_table(pen_change *change)
{
	pen_memory_store *store = change->store;
	pen_heap *old = pen_table_heap(change->table);

	if (!pen_memory_reserve_undo(store) ||
		!pen_table_add_heap(change->table, store->transaction_lsn))
		return pen_memory_no_memory(change);
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
		return pen_memory_no_memory(change);
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
				return pen_memory_no_memory(change);
			return empty_table(change);
	}
	if (pen_table_schema(change->table)->number == UINT16_MAX)
		return reload(store, change->relation, "too often to remember", change->error);
	if (!pen_table_add_schema(change->table, change->relation, store->transaction_lsn))
		return pen_memory_no_memory(change);
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
		return pen_memory_no_memory(change);
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

penstock_status
pen_memory_find_table(pen_change *change)
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

penstock_status
pen_memory_truncate(pen_change *change, const penstock_event *event)
{
	for (uint32_t i = 0; i < event->relation_count; i++)
	{
		penstock_status status;

		change->relation = event->relations[i];
		status = pen_memory_find_table(change);
		if (status == PENSTOCK_OK)
			status = empty_table(change);
		if (status < 0)
			return status;
	}
	return PENSTOCK_OK;
}
