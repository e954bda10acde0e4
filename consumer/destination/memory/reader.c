/* reader.c -- snapshots: what other threads see of the memory tables.
 * A reader takes the newest version of a row that was committed before its snapshot, and never
 * looks behind it. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "destination/memory/store_private.h"
#include "parse.h"

struct pen_mapped_rows
{
	pen_mapped_rows *next;
	uint8_t data[];
};

static inline bool
is_seen(uint64_t lsn, const penstock_snapshot *snapshot)
{
	return lsn < snapshot->lsn || lsn == 0;
}

/* The version that the snapshot sees, or NULL. */
static inline const pen_version *
seen_version(const pen_version *version, const penstock_snapshot *snapshot)
{
	while (version != NULL && !is_seen(version->lsn, snapshot))
		version = version->older;
	if (version != NULL && (version->flags & PEN_VERSION_TOMBSTONE))
		return NULL;
	return version;
}

/* ---- snapshots ---- */

penstock_snapshot *
pen_memory_store_snapshot(pen_memory_store *store)
{
	penstock_snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (snapshot == NULL)
		return NULL;
	pthread_mutex_lock(&store->lock);
	snapshot->set = store->published;
	if (snapshot->set != NULL)
	{
		snapshot->store = store;
		snapshot->number = store->snapshot_counter++;
		snapshot->lsn = store->published_lsn;
		snapshot->prev = store->last_snapshot;
		if (snapshot->prev != NULL)
			snapshot->prev->next = snapshot;
		else
			store->first_snapshot = snapshot;
		store->last_snapshot = snapshot;
	}
	pthread_mutex_unlock(&store->lock);
	if (snapshot->set == NULL)
	{
		free(snapshot);
		return NULL;
	}
	pthread_mutex_init(&snapshot->lock, NULL);
	return snapshot;
}

void
penstock_snapshot_end(penstock_snapshot *snapshot)
{
	pen_memory_store *store;

	if (snapshot == NULL)
		return;
	for (size_t i = 0; snapshot->tables != NULL && i < snapshot->set->count; i++)
		free(snapshot->tables[i]);
	free(snapshot->tables);
	while (snapshot->mapped != NULL)
	{
		pen_mapped_rows *next = snapshot->mapped->next;

		free(snapshot->mapped);
		snapshot->mapped = next;
	}
	store = snapshot->store;
	pthread_mutex_lock(&store->lock);
	if (snapshot->prev != NULL)
		snapshot->prev->next = snapshot->next;
	else
		store->first_snapshot = snapshot->next;
	if (snapshot->next != NULL)
		snapshot->next->prev = snapshot->prev;
	else
		store->last_snapshot = snapshot->prev;
	pthread_mutex_unlock(&store->lock);
	pthread_mutex_destroy(&snapshot->lock);
	free(snapshot);
}

uint64_t
penstock_snapshot_lsn(const penstock_snapshot *snapshot)
{
	return snapshot->lsn;
}

/* ---- tables ---- */

static penstock_table *
resolve_table(const penstock_snapshot *snapshot, const pen_table *table)
{
	penstock_table *seen = malloc(sizeof(*seen));

	if (seen == NULL)
		return NULL;
	seen->table = table;
	seen->heap = pen_table_heap(table);
	while (seen->heap != NULL && !is_seen(seen->heap->lsn, snapshot))
		seen->heap = seen->heap->older;
	seen->schema = pen_table_schema(table);
	while (seen->schema->older != NULL && !is_seen(seen->schema->lsn, snapshot))
		seen->schema = seen->schema->older;
	return seen;
}

penstock_table *
penstock_snapshot_table_at(penstock_snapshot *snapshot, size_t n)
{
	penstock_table *table = NULL;

	if (n >= snapshot->set->count)
		return NULL;
	pthread_mutex_lock(&snapshot->lock);
	if (snapshot->tables == NULL)
		snapshot->tables = calloc(snapshot->set->count, sizeof(*snapshot->tables));
	if (snapshot->tables != NULL)
	{
		if (snapshot->tables[n] == NULL)
			snapshot->tables[n] = resolve_table(snapshot, snapshot->set->tables[n]);
		table = snapshot->tables[n];
	}
	pthread_mutex_unlock(&snapshot->lock);
	return table;
}

penstock_table *
penstock_snapshot_table(penstock_snapshot *snapshot, const char *schema, const char *name)
{
	bool found;
	size_t at = pen_tableset_search(snapshot->set, schema, name, &found);

	return found ? penstock_snapshot_table_at(snapshot, at) : NULL;
}

const penstock_relation *
penstock_table_relation(const penstock_table *table)
{
	return table->schema->relation;
}

/* ---- rows ---- */

/* Were columns dropped between the two? Renaming them leaves the Values as they are. */
static bool
same_columns(const penstock_relation *a, const penstock_relation *b)
{
	if (a->column_count != b->column_count)
		return false;
	for (int i = 0; i < a->column_count; i++)
		if (a->columns[i].attnum != b->columns[i].attnum)
			return false;
	return true;
}

/* The row as the table's present description has it, kept until the snapshot ends. */
static bool
map_row(penstock_snapshot *snapshot, const penstock_relation *relation, const penstock_row *stored,
		penstock_row *row)
{
	pen_wire_buf scratch;
	pen_mapped_rows *copy = NULL;
	pen_span span;

	pen_buffer_init(&scratch);
	if (pen_rowkey_merge(relation, stored, NULL, &scratch, &span))
		copy = malloc(sizeof(*copy) + span.len);
	if (copy != NULL)
	{
		if (span.len > 0)
			memcpy(copy->data, span.data, span.len);
		*row = (penstock_row){relation, copy->data, span.len, false};
		pthread_mutex_lock(&snapshot->lock);
		copy->next = snapshot->mapped;
		snapshot->mapped = copy;
		pthread_mutex_unlock(&snapshot->lock);
	}
	pen_buffer_reset(&scratch);
	return copy != NULL;
}

/* Without memory for a mapped row the row is shown as it is stored, with its own relation. */
static void
show_row(penstock_snapshot *snapshot, const penstock_table *table, const pen_version *version,
		 penstock_row *row)
{
	const penstock_relation *relation = table->schema->relation;
	const penstock_relation *stored_relation;

	*row = (penstock_row){relation, version->data, version->len, false};
	if (version->schema == table->schema->number)
		return;
	stored_relation = pen_table_relation(table->table, version->schema);
	if (!same_columns(relation, stored_relation))
	{
		penstock_row stored = {stored_relation, version->data, version->len, false};

		if (!map_row(snapshot, relation, &stored, row))
			*row = stored;
	}
}

/* The next seen version from row number *position on. */
static inline const pen_version *
next_version(const penstock_snapshot *snapshot, const pen_heap *heap, uint64_t *position)
{
	uint32_t limit = atomic_load_explicit(&heap->limit, memory_order_acquire);

	while (*position < limit)
	{
		const pen_version *version =
			seen_version(pen_heap_newest(heap, (uint32_t) (*position)++), snapshot);

		if (version != NULL)
			return version;
	}
	return NULL;
}

bool
penstock_next_row(penstock_snapshot *snapshot, penstock_table *table, uint64_t *position,
				  penstock_row *row)
{
	const pen_version *version;

	if (table->heap == NULL)
		return false;
	version = next_version(snapshot, table->heap, position);
	if (version != NULL)
		show_row(snapshot, table, version, row);
	return version != NULL;
}

uint64_t
penstock_table_count(penstock_snapshot *snapshot, penstock_table *table)
{
	uint64_t position = 0;
	uint64_t count = 0;

	while (table->heap != NULL && next_version(snapshot, table->heap, &position) != NULL)
		count++;
	return count;
}

/* ---- look-up ---- */

/* The lock keeps the index still; what is found stays valid without it. */
static const pen_version *
find_version(const penstock_snapshot *snapshot, const penstock_table *table, pen_span key)
{
	pen_heap *heap = (pen_heap *) table->heap;
	const pen_version *found = NULL;
	uint32_t row;

	if (heap == NULL)
		return NULL;
	pthread_mutex_lock(&heap->lock);
	for (row = pen_heap_first(heap, pen_rowkey_hash(key)); row != PEN_NO_ROW && found == NULL;
		 row = pen_heap_next(heap, row))
	{
		found = seen_version(pen_heap_newest(heap, row), snapshot);
		if (found != NULL && !pen_rowkey_matches(pen_table_relation(table->table, found->schema),
												 found->data, found->len, key))
			found = NULL;
	}
	pthread_mutex_unlock(&heap->lock);
	return found;
}

static penstock_status
look_up(penstock_snapshot *snapshot, const penstock_table *table, pen_wire_buf *key,
		penstock_row *row)
{
	const pen_version *version;

	if (key->failed)
		return PENSTOCK_E_RETRY;
	version = find_version(snapshot, table, (pen_span){key->data, key->len});
	if (version == NULL)
		return PENSTOCK_NOT_FOUND;
	show_row(snapshot, table, version, row);
	return PENSTOCK_OK;
}

/* A key is made of Values without their tags. */
static penstock_status
append_key(pen_wire_buf *key, const penstock_column *column, const char *text)
{
	penstock_status status = PENSTOCK_E_CONFIG;
	pen_wire_buf space;
	pen_wire_buf written;
	pen_value value;

	pen_buffer_init(&space);
	pen_buffer_init(&written);
	if (text != NULL && pen_parse_value((pen_encoding) column->encoding, column->base_type_oid,
										text, strlen(text), &space, &value) == NULL)
	{
		pen_wire_write_value(&written, PEN_TUPLE_NEW, &value);
		status = PENSTOCK_OK;
	}
	if (space.failed || written.failed)
		status = PENSTOCK_E_RETRY;
	if (status == PENSTOCK_OK)
		pen_wire_append(key, written.data + 1, written.len - 1);
	pen_buffer_reset(&space);
	pen_buffer_reset(&written);
	return status;
}

penstock_status
penstock_lookup(penstock_snapshot *snapshot, penstock_table *table, const char *const *keys,
				int key_count, penstock_row *row)
{
	const penstock_relation *relation = table->schema->relation;
	penstock_status status = PENSTOCK_OK;
	pen_wire_buf key;

	if (relation->key_count == 0 || key_count != relation->key_count)
		return PENSTOCK_E_CONFIG;
	pen_buffer_init(&key);
	for (int i = 0; i < key_count && status == PENSTOCK_OK; i++)
		status = append_key(&key, &relation->columns[relation->key_columns[i]], keys[i]);
	if (status == PENSTOCK_OK)
		status = look_up(snapshot, table, &key, row);
	pen_buffer_reset(&key);
	return status;
}

static bool
fixed_grow(pen_wire_buf *buf, size_t need)
{
	return need <= buf->cap;
}

penstock_status
penstock_lookup_int(penstock_snapshot *snapshot, penstock_table *table, int64_t key,
					penstock_row *row)
{
	const penstock_relation *relation = table->schema->relation;
	uint8_t space[32];
	pen_wire_buf value = {.data = space, .cap = sizeof(space), .grow = fixed_grow};

	if (relation->key_count != 1)
		return PENSTOCK_E_CONFIG;
	switch ((pen_encoding) relation->columns[relation->key_columns[0]].encoding)
	{
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
		case PEN_ENCODING_DATE:
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			break;
		default:
			return PENSTOCK_E_CONFIG;
	}
	pen_wire_write_int(&value, PEN_TUPLE_NEW, key);
	value.data++;
	value.len--;
	return look_up(snapshot, table, &value, row);
}
