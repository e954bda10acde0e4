/* batch.c -- gather changes and work out what they come to.
 * The net change is right only for keys whose equality is that of their bytes: the caller sees to
 * that. Keys are compared as Values without tags, which one writer has made. */
#include "destination/postgres/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "event/relation.h"

#define BYTES_MAX        ((size_t) UINT32_MAX / 2)
#define BYTES_KEPT_MAX   ((size_t) 32 * 1024 * 1024) /* more is given back when it is cleared */
#define MERGED_MAX       ((size_t) 16 * 1024 * 1024) /* a large value, updated again and again */
#define SLOTS_FIRST      1024
#define TABLES_FIRST     64
#define GROW_FIRST       256
#define SPARSE           16 /* slots for each entry, from which on they are cleared one by one */
#define ROOM_FOR(a, cap) ((a) < (cap))

void
pen_batch_init(pen_batch *batch)
{
	memset(batch, 0, sizeof(*batch));
	pen_buffer_init(&batch->bytes);
	pen_buffer_init(&batch->scratch);
	pen_buffer_init(&batch->kept.bytes);
}

static void
free_table(pen_batch_table *table)
{
	pen_relation_unref(table->relation);
	free(table);
}

void
pen_batch_free(pen_batch *batch)
{
	for (size_t i = 0; i < batch->table_capacity; i++)
	{
		if (batch->tables[i] != NULL)
			free_table(batch->tables[i]);
	}
	free(batch->tables);
	free(batch->events);
	free(batch->truncated);
	free(batch->entries);
	free(batch->slots);
	free(batch->touched);
	pen_buffer_reset(&batch->bytes);
	pen_buffer_reset(&batch->scratch);
	free(batch->kept.events);
	free(batch->kept.truncated);
	pen_buffer_reset(&batch->kept.bytes);
	pen_batch_init(batch);
}

/* Make room for one more element; false without memory. */
static bool
reserve(void **array, size_t *capacity, size_t count, size_t element)
{
	size_t wanted = *capacity == 0 ? GROW_FIRST : *capacity * 2;
	void *moved;

	if (ROOM_FOR(count, *capacity))
		return true;
	moved = realloc(*array, wanted * element);
	if (moved == NULL)
		return false;
	*array = moved;
	*capacity = wanted;
	return true;
}

/* ---- tables ---- */

static size_t
table_slot(const pen_batch *batch, const penstock_relation *relation)
{
	uint64_t mixed = (uint64_t) (uintptr_t) relation * UINT64_C(0x9E3779B97F4A7C15);
	size_t slot = (size_t) (mixed >> 32) & (batch->table_capacity - 1);

	while (batch->tables[slot] != NULL && batch->tables[slot]->relation != relation)
		slot = (slot + 1) & (batch->table_capacity - 1);
	return slot;
}

static bool
resize_tables(pen_batch *batch, size_t capacity)
{
	pen_batch_table **old = batch->tables;
	size_t old_capacity = batch->table_capacity;
	pen_batch_table **tables = calloc(capacity, sizeof(*tables));

	if (tables == NULL)
		return false;
	batch->tables = tables;
	batch->table_capacity = capacity;
	for (size_t i = 0; i < old_capacity; i++)
	{
		if (old[i] != NULL)
			batch->tables[table_slot(batch, old[i]->relation)] = old[i];
	}
	free(old);
	return true;
}

pen_batch_table *
pen_batch_table_older(const pen_batch *batch, const penstock_relation *relation)
{
	for (size_t i = 0; i < batch->table_capacity; i++)
	{
		const penstock_relation *other =
			batch->tables[i] != NULL ? batch->tables[i]->relation : NULL;

		if (other == NULL || other == relation)
			continue;
		if (other->oid == relation->oid || (strcmp(other->name, relation->name) == 0 &&
											strcmp(other->schema, relation->schema) == 0))
			return batch->tables[i];
	}
	return NULL;
}

pen_batch_table *
pen_batch_table_get(pen_batch *batch, const penstock_relation *relation, bool *added)
{
	pen_batch_table *table = batch->last_table;

	*added = false;
	if (table != NULL && table->relation == relation)
		return table;
	if (batch->table_count * 2 >= batch->table_capacity &&
		!resize_tables(batch,
					   batch->table_capacity == 0 ? TABLES_FIRST : batch->table_capacity * 2))
		return NULL;
	table = batch->tables[table_slot(batch, relation)];
	if (table == NULL)
	{
		*added = true;
		table = calloc(1, sizeof(*table));
		if (table == NULL)
			return NULL;
		table->relation = pen_relation_ref(relation);
		table->first = table->last = PEN_BATCH_NONE;
		batch->tables[table_slot(batch, relation)] = table;
		batch->table_count++;
	}
	return batch->last_table = table;
}

void
pen_batch_table_forget(pen_batch *batch, pen_batch_table *table)
{
	batch->tables[table_slot(batch, table->relation)] = NULL;
	batch->table_count--;
	if (batch->last_table == table)
		batch->last_table = NULL;
	free_table(table);
	/* A gap would hide what stands behind it. Without memory for that: put all in order in place. */
	for (size_t i = 0; i < batch->table_capacity; i++)
	{
		pen_batch_table *moved = batch->tables[i];

		if (moved == NULL)
			continue;
		batch->tables[i] = NULL;
		batch->tables[table_slot(batch, moved->relation)] = moved;
	}
}

/* ---- events ---- */

bool
pen_batch_is_full(const pen_batch *batch, const penstock_event *event)
{
	/* Merging may write each row once more. */
	return batch->event_count > 0 &&
		   (event->new_row.len > BYTES_MAX || event->old_row.len > BYTES_MAX ||
			batch->row_bytes + event->new_row.len + event->old_row.len > BYTES_MAX / 2);
}

static pen_batch_span
copy_row(pen_batch *batch, const penstock_row *row)
{
	pen_batch_span span = {(uint32_t) batch->bytes.len, (uint32_t) row->len};

	pen_wire_append(&batch->bytes, row->data, row->len);
	return span;
}

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a batch of changes");
}

static pen_batch_event *
new_event(pen_batch *batch, uint64_t commit_lsn)
{
	pen_batch_event *added;

	if (!reserve((void **) &batch->events, &batch->event_capacity, batch->event_count,
				 sizeof(*batch->events)))
		return NULL;
	added = &batch->events[batch->event_count];
	memset(added, 0, sizeof(*added));
	added->commit_lsn = commit_lsn;
	return added;
}

penstock_status
pen_batch_add(pen_batch *batch, pen_batch_table *table, const penstock_event *event,
			  uint64_t commit_lsn, pen_error *error)
{
	pen_batch_event *added = new_event(batch, commit_lsn);

	if (added == NULL || batch->bytes.len + event->new_row.len + event->old_row.len > UINT32_MAX)
		return no_memory(error);
	added->table = table;
	added->kind = (uint8_t) event->kind;
	if (event->new_row.relation != NULL)
		added->new_row = copy_row(batch, &event->new_row);
	if (event->old_row.relation != NULL)
	{
		added->old_row = copy_row(batch, &event->old_row);
		added->has_old = true;
		added->identity_only = event->old_row.identity_only;
	}
	if (batch->bytes.failed)
		return no_memory(error);
	batch->row_bytes += event->new_row.len + event->old_row.len;
	batch->event_count++;
	return PENSTOCK_OK;
}

penstock_status
pen_batch_add_truncate(pen_batch *batch, pen_batch_table *const *tables, uint32_t count,
					   bool restart_identity, uint64_t commit_lsn, pen_error *error)
{
	pen_batch_event *added = new_event(batch, commit_lsn);

	if (added == NULL)
		return no_memory(error);
	added->kind = PENSTOCK_TRUNCATE;
	added->restart_identity = restart_identity;
	added->old_row = (pen_batch_span){(uint32_t) batch->truncated_count, count};
	for (uint32_t i = 0; i < count; i++)
	{
		if (!reserve((void **) &batch->truncated, &batch->truncated_capacity,
					 batch->truncated_count, sizeof(*batch->truncated)))
			return no_memory(error);
		batch->truncated[batch->truncated_count++] = tables[i];
	}
	batch->event_count++;
	return PENSTOCK_OK;
}

static void
get_row(const pen_batch *batch, const penstock_relation *relation, pen_batch_span span,
		penstock_row *row)
{
	*row = (penstock_row){
		.relation = relation,
		.data = batch->bytes.data + span.at,
		.len = span.len,
	};
}

void
pen_batch_event_get(const pen_batch *batch, const pen_batch_event *event, penstock_event *into)
{
	const penstock_relation *relation = event->table->relation;

	*into = (penstock_event){.kind = (penstock_event_kind) event->kind, .relation = relation};
	if (event->kind != PENSTOCK_DELETE)
		get_row(batch, relation, event->new_row, &into->new_row);
	if (event->has_old)
	{
		get_row(batch, relation, event->old_row, &into->old_row);
		into->old_row.identity_only = event->identity_only;
	}
}

static void
clear_events(pen_batch *batch)
{
	batch->event_count = 0;
	batch->truncated_count = 0;
	batch->row_bytes = 0;
	batch->bytes.len = 0;
	if (batch->bytes.cap > BYTES_KEPT_MAX || batch->bytes.failed)
		pen_buffer_reset(&batch->bytes);
}

void
pen_batch_clear(pen_batch *batch)
{
	pen_batch_clear_net(batch);
	clear_events(batch);
}

void
pen_batch_exchange(pen_batch *batch)
{
	pen_batch_kept gathered = {
		.events = batch->events,
		.event_count = batch->event_count,
		.event_capacity = batch->event_capacity,
		.bytes = batch->bytes,
		.row_bytes = batch->row_bytes,
		.truncated = batch->truncated,
		.truncated_count = batch->truncated_count,
		.truncated_capacity = batch->truncated_capacity,
	};

	batch->events = batch->kept.events;
	batch->event_count = batch->kept.event_count;
	batch->event_capacity = batch->kept.event_capacity;
	batch->bytes = batch->kept.bytes;
	batch->row_bytes = batch->kept.row_bytes;
	batch->truncated = batch->kept.truncated;
	batch->truncated_count = batch->kept.truncated_count;
	batch->truncated_capacity = batch->kept.truncated_capacity;
	batch->kept = gathered;
}

void
pen_batch_keep(pen_batch *batch)
{
	pen_batch_clear_net(batch);
	pen_batch_exchange(batch);
	clear_events(batch);
}

void
pen_batch_forget_kept(pen_batch *batch)
{
	pen_batch_exchange(batch);
	clear_events(batch);
	pen_batch_exchange(batch);
}

/* ---- the net change ---- */

void
pen_batch_sent(pen_batch_table *table)
{
	table->first = table->last = PEN_BATCH_NONE;
	table->entry_count = 0;
	table->generation++;
}

/* The slot with an entry of this key, or the free one for it. */
static size_t
find_slot(const pen_batch *batch, const pen_batch_table *table, uint32_t hash, pen_span key)
{
	size_t mask = batch->slot_count - 1;
	size_t slot = hash & mask;

	for (; batch->slots[slot] != 0; slot = (slot + 1) & mask)
	{
		const pen_batch_entry *entry;

		if ((uint32_t) (batch->slots[slot] >> 32) != hash)
			continue;
		entry = &batch->entries[(uint32_t) batch->slots[slot] - 1];
		if (entry->table == table && entry->generation == table->generation &&
			entry->key.len == key.len &&
			memcmp(batch->bytes.data + entry->key.at, key.data, key.len) == 0)
			break;
	}
	return slot;
}

static void
clear_slots(pen_batch *batch)
{
	size_t mask = batch->slot_count - 1;

	if (batch->entry_count * (size_t) SPARSE > batch->slot_count)
	{
		memset(batch->slots, 0, batch->slot_count * sizeof(*batch->slots));
		return;
	}
	/* Every entry lies in the run that begins at its hash. */
	for (uint32_t i = 0; i < batch->entry_count; i++)
	{
		for (size_t slot = batch->entries[i].hash & mask; batch->slots[slot] != 0;
			 slot = (slot + 1) & mask)
			batch->slots[slot] = 0;
	}
}

void
pen_batch_clear_net(pen_batch *batch)
{
	if (batch->slot_count > 0)
		clear_slots(batch);
	for (size_t i = 0; i < batch->touched_count; i++)
	{
		pen_batch_sent(batch->touched[i]);
		batch->touched[i]->touched = false;
	}
	batch->touched_count = 0;
	batch->entry_count = 0;
	batch->merged_bytes = 0;
}

/* Twice as many slots as entries at least. */
static bool
reserve_slot(pen_batch *batch)
{
	size_t count = batch->slot_count == 0 ? SLOTS_FIRST : batch->slot_count * 2;
	uint64_t *slots;

	if ((size_t) batch->entry_count * 2 < batch->slot_count)
		return true;
	slots = calloc(count, sizeof(*slots));
	if (slots == NULL)
		return false;
	free(batch->slots);
	batch->slots = slots;
	batch->slot_count = count;
	for (uint32_t i = 0; i < batch->entry_count; i++)
	{
		const pen_batch_entry *entry = &batch->entries[i];
		size_t slot = entry->hash & (count - 1);

		if (entry->key.len == 0)
			continue; /* appended: nobody looks for it */
		while (slots[slot] != 0)
			slot = (slot + 1) & (count - 1);
		slots[slot] = (uint64_t) entry->hash << 32 | (i + 1);
	}
	return true;
}

static pen_batch_entry *
new_entry(pen_batch *batch, const pen_batch_event *event, pen_net_state state)
{
	pen_batch_table *table = event->table;
	size_t capacity = batch->entry_capacity;
	uint32_t place = batch->entry_count;
	pen_batch_entry *entry;

	if (!reserve((void **) &batch->entries, &capacity, place, sizeof(*batch->entries)) ||
		!reserve((void **) &batch->touched, &batch->touched_capacity, batch->touched_count,
				 sizeof(pen_batch_table *)))
		return NULL;
	batch->entry_capacity = (uint32_t) capacity;
	entry = &batch->entries[batch->entry_count++];
	*entry = (pen_batch_entry){
		.table = table,
		.commit_lsn = event->commit_lsn,
		.row = state == PEN_NET_DELETE ? event->old_row : event->new_row,
		.next = PEN_BATCH_NONE,
		.generation = table->generation,
		.state = (uint8_t) state,
		.identity_only = state == PEN_NET_DELETE && event->identity_only,
	};
	if (table->last == PEN_BATCH_NONE)
		table->first = place;
	else
		batch->entries[table->last].next = place;
	table->last = place;
	table->entry_count++;
	if (!table->touched)
	{
		table->touched = true;
		batch->touched[batch->touched_count++] = table;
	}
	return entry;
}

pen_net_result
pen_batch_append(pen_batch *batch, const pen_batch_event *event)
{
	return new_entry(batch, event, PEN_NET_INSERT) != NULL ? PEN_NET_ADDED : PEN_NET_NO_MEMORY;
}

/* The new row with values that did not travel taken from the pending one, which has as many. */
static bool
merge_row(pen_batch *batch, pen_batch_entry *entry, const penstock_row *new_row)
{
	const uint8_t tag = PEN_WIRE_NEW_TAG;
	size_t start = batch->bytes.len;
	const uint8_t *new_pos;
	const uint8_t *old_pos;
	const uint8_t *new_end;
	const uint8_t *old_end;
	size_t new_at = (size_t) (new_row->data - batch->bytes.data);
	pen_span new_value;
	pen_span old_value;

	/* Reserved first: both are read from the buffer that is written to. */
	if (start + new_row->len + entry->row.len > UINT32_MAX ||
		!pen_wire_reserve(&batch->bytes, new_row->len + entry->row.len))
		return false;
	new_pos = batch->bytes.data + new_at;
	new_end = new_pos + new_row->len;
	old_pos = batch->bytes.data + entry->row.at;
	old_end = old_pos + entry->row.len;
	while (pen_rowkey_next_value(&new_pos, new_end, &new_value) &&
		   pen_rowkey_next_value(&old_pos, old_end, &old_value))
	{
		const pen_span *value = pen_rowkey_is_unchanged(new_value) ? &old_value : &new_value;

		pen_wire_append(&batch->bytes, &tag, 1);
		pen_wire_append(&batch->bytes, value->data, value->len);
	}
	entry->row = (pen_batch_span){(uint32_t) start, (uint32_t) (batch->bytes.len - start)};
	batch->merged_bytes += entry->row.len;
	return !batch->bytes.failed;
}

/* Take the event's new row for an entry that has one. */
static bool
take_row(pen_batch *batch, pen_batch_entry *entry, const pen_batch_event *event)
{
	penstock_row row;

	get_row(batch, entry->table->relation, event->new_row, &row);
	if (pen_rowkey_has_unchanged(&row))
		return merge_row(batch, entry, &row);
	entry->row = event->new_row;
	return true;
}

static void
take_key(pen_batch_entry *entry, const pen_batch_event *event)
{
	entry->row = event->old_row;
	entry->identity_only = event->identity_only;
}

/* One more change to a key that has one. */
static pen_net_result
combine(pen_batch *batch, pen_batch_entry *entry, const pen_batch_event *event)
{
	bool updates = event->kind == PENSTOCK_UPDATE;

	if (event->kind == PENSTOCK_INSERT)
	{
		if (entry->state != PEN_NET_DELETE && entry->state != PEN_NET_NOTHING)
			return PEN_NET_DISAGREES;
		entry->state = entry->state == PEN_NET_DELETE ? PEN_NET_REPLACE : PEN_NET_INSERT;
		entry->row = event->new_row;
		entry->identity_only = false;
	}
	else if (entry->state == PEN_NET_NOTHING || entry->state == PEN_NET_DELETE)
		return PEN_NET_DISAGREES;
	else if (updates && batch->merged_bytes > MERGED_MAX)
		return PEN_NET_FULL;
	else if (updates && !take_row(batch, entry, event))
		return PEN_NET_NO_MEMORY;
	else if (!updates && entry->state == PEN_NET_INSERT)
		entry->state = PEN_NET_NOTHING;
	else if (!updates)
	{
		entry->state = PEN_NET_DELETE;
		take_key(entry, event);
	}
	entry->commit_lsn = event->commit_lsn;
	return PEN_NET_ADDED;
}

/* The key of the row that the event is about, and whether an update gives it another one. */
static pen_net_result
find_key(pen_batch *batch, const pen_batch_event *event, pen_batch_span *key)
{
	const penstock_relation *relation = event->table->relation;
	penstock_event whole;
	pen_span found;
	pen_span old;

	pen_batch_event_get(batch, event, &whole);
	if (event->kind == PENSTOCK_DELETE)
	{
		if (!event->has_old || !pen_rowkey_of(&whole.old_row, &batch->scratch, &found))
			return PEN_NET_NO_KEY;
	}
	else if (!pen_rowkey_of(&whole.new_row, &batch->scratch, &found))
		return PEN_NET_NO_KEY;
	if (relation->key_count == 1)
		*key = (pen_batch_span){(uint32_t) (found.data - batch->bytes.data), (uint32_t) found.len};
	else
	{
		*key = (pen_batch_span){(uint32_t) batch->bytes.len, (uint32_t) found.len};
		if (batch->bytes.len + found.len > UINT32_MAX)
			return PEN_NET_NO_MEMORY;
		pen_wire_append(&batch->bytes, found.data, found.len);
		if (batch->bytes.failed)
			return PEN_NET_NO_MEMORY;
	}
	if (event->kind != PENSTOCK_UPDATE || !event->has_old)
		return PEN_NET_ADDED;
	pen_batch_event_get(batch, event, &whole);
	if (!pen_rowkey_of(&whole.old_row, &batch->scratch, &old))
		return PEN_NET_NO_KEY;
	return old.len == key->len && memcmp(old.data, batch->bytes.data + key->at, old.len) == 0
			   ? PEN_NET_ADDED
			   : PEN_NET_KEY_CHANGED;
}

pen_net_result
pen_batch_net(pen_batch *batch, const pen_batch_event *event)
{
	static const pen_net_state first[] = {
		[PENSTOCK_INSERT] = PEN_NET_INSERT,
		[PENSTOCK_UPDATE] = PEN_NET_UPDATE,
		[PENSTOCK_DELETE] = PEN_NET_DELETE,
	};
	pen_batch_span key;
	pen_net_result result = find_key(batch, event, &key);
	pen_batch_entry *entry;
	pen_span found;
	uint32_t hash;
	size_t slot;

	if (result != PEN_NET_ADDED)
		return result;
	if (!reserve_slot(batch))
		return PEN_NET_NO_MEMORY;
	found = (pen_span){batch->bytes.data + key.at, key.len};
	hash = pen_rowkey_hash(found);
	slot = find_slot(batch, event->table, hash, found);
	if (batch->slots[slot] != 0)
	{
		if (event->table->relation->key_count > 1)
			batch->bytes.len = key.at; /* the entry has it already */
		return combine(batch, &batch->entries[(uint32_t) batch->slots[slot] - 1], event);
	}
	entry = new_entry(batch, event, first[event->kind]);
	if (entry == NULL)
		return PEN_NET_NO_MEMORY;
	entry->hash = hash;
	entry->key = key;
	batch->slots[slot] = (uint64_t) hash << 32 | batch->entry_count;
	return PEN_NET_ADDED;
}

void
pen_batch_entry_row(const pen_batch *batch, const pen_batch_entry *entry, penstock_row *row)
{
	get_row(batch, entry->table->relation, entry->row, row);
	row->identity_only = entry->identity_only;
}
