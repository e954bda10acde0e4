/* mapper.c -- events as one destination is to see them.
 * A `where` is decided as PostgreSQL decides row filters: of an update by the old and the new row,
 * so that rows enter and leave; what cannot be known is refused. */
#include "route/mapper.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/buffer.h"
#include "event/relation.h"

#define FIRST_BUCKETS 64

/* What a table that came has become; found by its oid, and by what it is called there. */
typedef struct entry
{
	struct entry *next;              /* of the same bucket by oid */
	struct entry *next_name;         /* of the same bucket by name */
	const penstock_relation *source; /* the last version, referenced */
	pen_mapped *target;              /* NULL: not taken */
	XXH64_hash_t name_hash;
} entry;

struct pen_mapper
{
	const pen_mapping *mapping;
	entry **by_oid;
	entry **by_name;
	size_t bucket_count; /* of each; a power of two */
	size_t entry_count;
	entry *last;

	/* Of the event that is being mapped. */
	penstock_event event;
	pen_wire_buf new_data;
	pen_wire_buf old_data;
	pen_value *new_values; /* value_count of each */
	pen_value *old_values;
	int value_count;
	const penstock_relation **relations;
	size_t relation_count;
};

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the mapping of tables");
}

/* ---- tables ---- */

pen_mapper *
pen_mapper_new(const pen_mapping *mapping)
{
	pen_mapper *mapper = calloc(1, sizeof(*mapper));

	if (mapper == NULL)
		return NULL;
	mapper->mapping = mapping;
	mapper->bucket_count = FIRST_BUCKETS;
	mapper->by_oid = calloc(FIRST_BUCKETS, sizeof(entry *));
	mapper->by_name = calloc(FIRST_BUCKETS, sizeof(entry *));
	pen_buffer_init(&mapper->new_data);
	pen_buffer_init(&mapper->old_data);
	if (mapper->by_oid != NULL && mapper->by_name != NULL)
		return mapper;
	pen_mapper_free(mapper);
	return NULL;
}

static void
free_entry(entry *e)
{
	pen_mapped_free(e->target);
	pen_relation_unref(e->source);
	free(e);
}

void
pen_mapper_free(pen_mapper *mapper)
{
	if (mapper == NULL)
		return;
	for (size_t i = 0; mapper->by_oid != NULL && i < mapper->bucket_count; i++)
	{
		while (mapper->by_oid[i] != NULL)
		{
			entry *next = mapper->by_oid[i]->next;

			free_entry(mapper->by_oid[i]);
			mapper->by_oid[i] = next;
		}
	}
	free(mapper->by_oid);
	free(mapper->by_name);
	pen_buffer_reset(&mapper->new_data);
	pen_buffer_reset(&mapper->old_data);
	free(mapper->new_values);
	free(mapper->old_values);
	free(mapper->relations);
	free(mapper);
}

static XXH64_hash_t
hash_name(const penstock_relation *relation)
{
	return XXH64(relation->name, strlen(relation->name),
				 XXH64(relation->schema, strlen(relation->schema), 0));
}

static bool
same_name(const penstock_relation *a, const penstock_relation *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->schema, b->schema) == 0;
}

static entry **
oid_bucket(const pen_mapper *mapper, uint32_t oid)
{
	return &mapper->by_oid[oid & (mapper->bucket_count - 1)];
}

static entry **
name_bucket(const pen_mapper *mapper, XXH64_hash_t hash)
{
	return &mapper->by_name[hash & (mapper->bucket_count - 1)];
}

static void
link_name(pen_mapper *mapper, entry *e)
{
	entry **bucket;

	if (e->target == NULL)
		return;
	e->name_hash = hash_name(e->target->relation);
	bucket = name_bucket(mapper, e->name_hash);
	e->next_name = *bucket;
	*bucket = e;
}

static void
unlink_entry(pen_mapper *mapper, entry *e)
{
	entry **at = oid_bucket(mapper, e->source->oid);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->target != NULL)
	{
		at = name_bucket(mapper, e->name_hash);
		while (*at != e)
			at = &(*at)->next_name;
		*at = e->next_name;
	}
	if (mapper->last == e)
		mapper->last = NULL;
	mapper->entry_count--;
	free_entry(e);
}

static entry *
find_oid(const pen_mapper *mapper, uint32_t oid)
{
	entry *e = *oid_bucket(mapper, oid);

	while (e != NULL && e->source->oid != oid)
		e = e->next;
	return e;
}

/* Twice as many buckets. Without memory the chains become longer. */
static void
grow(pen_mapper *mapper)
{
	size_t count = mapper->bucket_count * 2;
	entry **by_oid = calloc(count, sizeof(*by_oid));
	entry **by_name = calloc(count, sizeof(*by_name));
	entry **old = mapper->by_oid;

	if (by_oid == NULL || by_name == NULL)
	{
		free(by_oid);
		free(by_name);
		return;
	}
	free(mapper->by_name);
	mapper->by_oid = by_oid;
	mapper->by_name = by_name;
	mapper->bucket_count = count;
	for (size_t i = 0; i < count / 2; i++)
	{
		while (old[i] != NULL)
		{
			entry *e = old[i];
			entry **bucket = oid_bucket(mapper, e->source->oid);

			old[i] = e->next;
			e->next = *bucket;
			*bucket = e;
			link_name(mapper, e);
		}
	}
	free(old);
}

/* Two tables of the source that are one at the destination. One that took the name of another,
 * which is gone or called something else now, is not a second one. */
static penstock_status
check_alone(pen_mapper *mapper, const pen_mapped *target, pen_error *error)
{
	XXH64_hash_t hash = hash_name(target->relation);
	entry *e = *name_bucket(mapper, hash);

	while (e != NULL && !same_name(e->target->relation, target->relation))
		e = e->next_name;
	if (e == NULL)
		return PENSTOCK_OK;
	if (same_name(e->source, target->source))
	{
		unlink_entry(mapper, e);
		return PENSTOCK_OK;
	}
	return pen_error_set(error, PENSTOCK_E_CONFIG,
						 "tables %s.%s and %s.%s would both be %s.%s there; a destination's table "
						 "takes the rows of one: change `to` of one of them",
						 e->source->schema, e->source->name, target->source->schema,
						 target->source->name, target->relation->schema, target->relation->name);
}

static penstock_status
add_entry(pen_mapper *mapper, const penstock_relation *source, entry **added, pen_error *error)
{
	entry *e = find_oid(mapper, source->oid);
	pen_mapped *target = NULL;

	if (e != NULL)
		unlink_entry(mapper, e);
	if (pen_mapping_takes(mapper->mapping, source->schema, source->name))
	{
		target = pen_mapping_resolve(mapper->mapping, source, error);
		if (target == NULL || check_alone(mapper, target, error) < 0)
		{
			pen_mapped_free(target);
			return error->status;
		}
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL)
	{
		pen_mapped_free(target);
		return no_memory(error);
	}
	if (mapper->entry_count >= mapper->bucket_count)
		grow(mapper);
	e->source = pen_relation_ref(source);
	e->target = target;
	e->next = *oid_bucket(mapper, source->oid);
	*oid_bucket(mapper, source->oid) = e;
	link_name(mapper, e);
	mapper->entry_count++;
	*added = e;
	return PENSTOCK_OK;
}

penstock_status
pen_mapper_table(pen_mapper *mapper, const penstock_relation *source, const pen_mapped **target,
				 pen_error *error)
{
	if (mapper->last == NULL || mapper->last->source != source)
	{
		entry *e = find_oid(mapper, source->oid);

		if ((e == NULL || e->source != source) && add_entry(mapper, source, &e, error) < 0)
			return error->status;
		mapper->last = e;
	}
	*target = mapper->last->target;
	return PENSTOCK_OK;
}

/* ---- rows ---- */

static penstock_status
damaged(const penstock_relation *relation, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_DATA, "a row of table %s.%s is damaged",
						 relation->schema, relation->name);
}

static bool
make_room(pen_mapper *mapper, int columns)
{
	pen_value *grown;

	if (columns <= mapper->value_count)
		return true;
	grown = realloc(mapper->new_values, (size_t) columns * sizeof(*grown));
	if (grown == NULL)
		return false;
	mapper->new_values = grown;
	grown = realloc(mapper->old_values, (size_t) columns * sizeof(*grown));
	if (grown == NULL)
		return false;
	mapper->old_values = grown;
	mapper->value_count = columns;
	return true;
}

/* All values of a row; those that it does not have become UNCHANGED. */
static penstock_status
read_values(const penstock_row *row, pen_value *values, pen_error *error)
{
	const penstock_relation *relation = row->relation;
	pen_wire_reader reader;

	pen_wire_reader_init(&reader, row->data, row->len);
	for (int i = 0; i < relation->column_count; i++)
	{
		if (row->identity_only && relation->columns[i].identity == 0)
			values[i].kind = PEN_VALUE_UNCHANGED;
		else if (!pen_wire_read_value(&reader, &values[i]))
			return damaged(relation, error);
	}
	return PENSTOCK_OK;
}

/* The row without what is left out, in buf where that is something else. */
static penstock_status
map_row(const pen_mapped *target, penstock_row *row, pen_wire_buf *buf, pen_error *error)
{
	const penstock_relation *source = target->source;
	pen_wire_reader reader;

	if (row->relation == NULL)
		return PENSTOCK_OK;
	row->relation = target->relation;
	if (target->all_columns)
		return PENSTOCK_OK;
	buf->len = 0;
	buf->failed = false;
	pen_wire_reader_init(&reader, row->data, row->len);
	for (int i = 0; i < source->column_count; i++)
	{
		const uint8_t *from = reader.pos;
		pen_value value;

		if (row->identity_only && source->columns[i].identity == 0)
			continue;
		if (!pen_wire_read_value(&reader, &value))
			return damaged(source, error);
		if (target->columns[i] >= 0)
			pen_wire_append(buf, from, (size_t) (reader.pos - from));
	}
	if (buf->failed)
		return no_memory(error);
	row->data = buf->data;
	row->len = buf->len;
	return PENSTOCK_OK;
}

/* ---- where ---- */

typedef enum passage
{
	PASSES,
	STAYS_OUT,
	ENTERS, /* an update that is an insert */
	LEAVES  /* and one that is a delete */
} passage;

static penstock_status
refuse(const penstock_relation *relation, int column, const char *why, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_REFUSED,
						 "table %s.%s: column \"%s\" %s; at the source: ALTER TABLE %s.%s REPLICA "
						 "IDENTITY FULL, for the changes that come after it",
						 relation->schema, relation->name, relation->columns[column].name, why,
						 relation->schema, relation->name);
}

/* PostgreSQL refuses such an UPDATE or DELETE where it is made; here it can only be done later. */
static penstock_status
check_identity(const pen_mapped *target, pen_error *error)
{
	for (int i = 0; i < target->source->column_count; i++)
	{
		if (pen_where_uses(target->where, i) && target->source->columns[i].identity == 0)
			return refuse(
				target->source, i,
				"is used in `where`, but not in the REPLICA IDENTITY: whether the old row "
				"of an UPDATE or DELETE was here is not known",
				error);
	}
	return PENSTOCK_OK;
}

/* The old and new values of an update, as far as they are known. */
static penstock_status
read_update(pen_mapper *mapper, const pen_mapped *target, const penstock_event *event,
			pen_error *error)
{
	bool has_old = event->old_row.relation != NULL;

	if (read_values(&event->new_row, mapper->new_values, error) < 0 ||
		(has_old && read_values(&event->old_row, mapper->old_values, error) < 0))
		return error->status;
	for (int i = 0; i < target->source->column_count; i++)
	{
		if (mapper->new_values[i].kind == PEN_VALUE_UNCHANGED && has_old)
			mapper->new_values[i] = mapper->old_values[i];
		if (mapper->new_values[i].kind == PEN_VALUE_UNCHANGED && pen_where_uses(target->where, i))
			return refuse(target->source, i,
						  "is used in `where`, but its value did not come with an UPDATE that left "
						  "it as it was",
						  error);
	}
	return PENSTOCK_OK;
}

static penstock_status
decide_update(pen_mapper *mapper, const pen_mapped *target, const penstock_event *event,
			  passage *chosen, pen_error *error)
{
	pen_truth before;
	pen_truth after;

	if (read_update(mapper, target, event, error) < 0 ||
		pen_where_evaluate(target->where, mapper->new_values, &after, error) < 0)
		return error->status;
	/* Without an old row its identity is as before, and with it all that `where` uses. */
	before = after;
	if (event->old_row.relation != NULL &&
		pen_where_evaluate(target->where, mapper->old_values, &before, error) < 0)
		return error->status;
	if (after == PEN_TRUE)
		*chosen = before == PEN_TRUE ? PASSES : ENTERS;
	else
		*chosen = before == PEN_TRUE ? LEAVES : STAYS_OUT;
	return PENSTOCK_OK;
}

static penstock_status
decide(pen_mapper *mapper, const pen_mapped *target, const penstock_event *event, passage *chosen,
	   pen_error *error)
{
	bool is_insert = event->kind == PENSTOCK_INSERT;
	const penstock_row *row = is_insert ? &event->new_row : &event->old_row;
	pen_truth truth;

	*chosen = PASSES;
	if (target->where == NULL)
		return PENSTOCK_OK;
	if (!make_room(mapper, target->source->column_count))
		return no_memory(error);
	if (!is_insert && check_identity(target, error) < 0)
		return error->status;
	if (event->kind == PENSTOCK_UPDATE)
		return decide_update(mapper, target, event, chosen, error);
	if (row->relation != NULL && read_values(row, mapper->new_values, error) < 0)
		return error->status;
	if (pen_where_evaluate(target->where, mapper->new_values, &truth, error) < 0)
		return error->status;
	*chosen = truth == PEN_TRUE ? PASSES : STAYS_OUT;
	return PENSTOCK_OK;
}

/* An update of which only the new row passes: all of that, from mapper->new_values. */
static penstock_status
make_insert(pen_mapper *mapper, const pen_mapped *target, pen_error *error)
{
	penstock_event *event = &mapper->event;
	pen_wire_buf *buf = &mapper->new_data;

	buf->len = 0;
	buf->failed = false;
	for (int i = 0; i < target->source->column_count; i++)
	{
		if (target->columns[i] < 0)
			continue;
		if (mapper->new_values[i].kind == PEN_VALUE_UNCHANGED)
			return refuse(
				target->source, i,
				"did not come with an UPDATE that makes a row pass the `where`, because it "
				"is stored apart and was not touched: the row is not known whole",
				error);
		pen_wire_write_value(buf, PEN_TUPLE_NEW, &mapper->new_values[i]);
	}
	if (buf->failed)
		return no_memory(error);
	event->kind = PENSTOCK_INSERT;
	event->new_row.relation = target->relation;
	event->new_row.data = buf->data;
	event->new_row.len = buf->len;
	event->old_row = (penstock_row){0};
	return PENSTOCK_OK;
}

/* ---- events ---- */

static penstock_status
map_change(pen_mapper *mapper, const penstock_event *event, const penstock_event **mapped,
		   pen_error *error)
{
	const pen_mapped *target;
	passage chosen;

	*mapped = NULL;
	if (pen_mapper_table(mapper, event->relation, &target, error) < 0)
		return error->status;
	if (target == NULL)
		return PENSTOCK_OK;
	if (decide(mapper, target, event, &chosen, error) < 0)
		return error->status;
	if (chosen == STAYS_OUT)
		return PENSTOCK_OK;
	*mapped = event;
	if (chosen == PASSES && target->relation == target->source)
		return PENSTOCK_OK;
	mapper->event = *event;
	mapper->event.relation = target->relation;
	*mapped = &mapper->event;
	if (chosen == ENTERS)
		return make_insert(mapper, target, error);
	if (chosen == LEAVES)
	{
		mapper->event.kind = PENSTOCK_DELETE;
		mapper->event.new_row = (penstock_row){0};
	}
	if (map_row(target, &mapper->event.new_row, &mapper->new_data, error) < 0)
		return error->status;
	return map_row(target, &mapper->event.old_row, &mapper->old_data, error);
}

/* With those of its tables that are taken. */
static penstock_status
map_truncate(pen_mapper *mapper, const penstock_event *event, const penstock_event **mapped,
			 pen_error *error)
{
	uint32_t count = 0;

	*mapped = NULL;
	if (event->relation_count > mapper->relation_count)
	{
		const penstock_relation **grown =
			realloc(mapper->relations, event->relation_count * sizeof(*grown));

		if (grown == NULL)
			return no_memory(error);
		mapper->relations = grown;
		mapper->relation_count = event->relation_count;
	}
	for (uint32_t i = 0; i < event->relation_count; i++)
	{
		const pen_mapped *target;

		if (pen_mapper_table(mapper, event->relations[i], &target, error) < 0)
			return error->status;
		if (target != NULL)
			mapper->relations[count++] = target->relation;
	}
	if (count == 0)
		return PENSTOCK_OK;
	mapper->event = *event;
	mapper->event.relations = mapper->relations;
	mapper->event.relation_count = count;
	*mapped = &mapper->event;
	return PENSTOCK_OK;
}

penstock_status
pen_mapper_map(pen_mapper *mapper, const penstock_event *event, const penstock_event **mapped,
			   pen_error *error)
{
	switch (event->kind)
	{
		case PENSTOCK_INSERT:
		case PENSTOCK_UPDATE:
		case PENSTOCK_DELETE:
			return map_change(mapper, event, mapped, error);
		case PENSTOCK_TRUNCATE:
			return map_truncate(mapper, event, mapped, error);
		default:
			*mapped = event;
			return PENSTOCK_OK;
	}
}

penstock_status
pen_mapper_map_row(pen_mapper *mapper, const pen_mapped *target, const uint8_t **data, size_t *len,
				   pen_error *error)
{
	penstock_row row = {.relation = target->source, .data = *data, .len = *len};
	pen_truth truth = PEN_TRUE;

	if (target->where != NULL)
	{
		if (!make_room(mapper, target->source->column_count))
			return no_memory(error);
		if (read_values(&row, mapper->new_values, error) < 0 ||
			pen_where_evaluate(target->where, mapper->new_values, &truth, error) < 0)
			return error->status;
	}
	if (map_row(target, &row, &mapper->new_data, error) < 0)
		return error->status;
	*data = truth == PEN_TRUE ? row.data : NULL;
	*len = row.len;
	return PENSTOCK_OK;
}
