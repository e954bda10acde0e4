/* table.c -- tables as chains of descriptions and heaps, newest first.
 * A change of a table's columns is harmless only if every stored row can be mapped by attnum. */
#include "destination/memory/table.h"

#include <stdlib.h>
#include <string.h>

#include "event/relation.h"

pen_table *
pen_table_new(const penstock_relation *relation, uint64_t lsn)
{
	pen_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	atomic_init(&table->schema, NULL);
	atomic_init(&table->heap, NULL);
	table->schema_name = strdup(relation->schema);
	table->name = strdup(relation->name);
	if (table->schema_name == NULL || table->name == NULL ||
		!pen_table_add_schema(table, relation, lsn) || !pen_table_add_heap(table, lsn))
	{
		pen_table_free(table);
		return NULL;
	}
	return table;
}

void
pen_table_free(pen_table *table)
{
	pen_schema *schema;
	pen_heap *heap;

	if (table == NULL)
		return;
	schema = pen_table_schema(table);
	heap = pen_table_heap(table);
	while (schema != NULL)
	{
		pen_schema *older = schema->older;

		pen_relation_unref(schema->relation);
		free(schema);
		schema = older;
	}
	while (heap != NULL)
	{
		pen_heap *older = heap->older;

		pen_heap_free(heap);
		heap = older;
	}
	free(table->schema_name);
	free(table->name);
	free(table);
}

const penstock_relation *
pen_table_relation(const pen_table *table, uint16_t number)
{
	const pen_schema *schema = pen_table_schema(table);

	while (schema->number != number)
		schema = schema->older;
	return schema->relation;
}

bool
pen_table_add_schema(pen_table *table, const penstock_relation *relation, uint64_t lsn)
{
	pen_schema *older = pen_table_schema(table);
	pen_schema *schema;

	if (older != NULL && older->number == UINT16_MAX)
		return false;
	schema = malloc(sizeof(*schema));
	if (schema == NULL)
		return false;
	*schema = (pen_schema){.older = older,
						   .relation = pen_relation_ref(relation),
						   .lsn = lsn,
						   .number = older != NULL ? (uint16_t) (older->number + 1) : 0};
	atomic_store_explicit(&table->schema, schema, memory_order_release);
	return true;
}

bool
pen_table_add_heap(pen_table *table, uint64_t lsn)
{
	pen_heap *heap = pen_heap_new();

	if (heap == NULL)
		return false;
	heap->lsn = lsn;
	heap->keyed = pen_table_schema(table)->relation->key_count > 0;
	heap->older = pen_table_heap(table);
	atomic_store_explicit(&table->heap, heap, memory_order_release);
	return true;
}

static const penstock_column *
column_by_attnum(const penstock_relation *relation, int attnum)
{
	for (int i = 0; i < relation->column_count && relation->columns[i].attnum <= attnum; i++)
		if (relation->columns[i].attnum == attnum)
			return &relation->columns[i];
	return NULL;
}

static bool
same_key(const penstock_relation *a, const penstock_relation *b)
{
	if (a->key_count != b->key_count)
		return false;
	for (int i = 0; i < a->key_count; i++)
		if (a->columns[a->key_columns[i]].attnum != b->columns[b->key_columns[i]].attnum)
			return false;
	return true;
}

pen_schema_change
pen_table_compare(const penstock_relation *old_relation, const penstock_relation *relation,
				  const char **reason)
{
	bool mapped = old_relation->column_count != relation->column_count ||
				  old_relation->replica_identity != relation->replica_identity;

	*reason = NULL;
	if (old_relation->oid != relation->oid)
		*reason = "it is another table of the same name";
	else if (!same_key(old_relation, relation))
		*reason = "its key columns changed";
	for (int i = 0; i < relation->column_count && *reason == NULL; i++)
	{
		const penstock_column *column = &relation->columns[i];
		const penstock_column *old_column = column_by_attnum(old_relation, column->attnum);

		if (old_column == NULL)
			*reason = "a column was added";
		else if (old_column->type_oid != column->type_oid ||
				 old_column->base_type_oid != column->base_type_oid ||
				 old_column->typmod != column->typmod || old_column->encoding != column->encoding)
			*reason = "the type of a column changed";
		else if (strcmp(old_column->name, column->name) != 0 ||
				 strcmp(old_column->type_name, column->type_name) != 0 ||
				 strcmp(old_column->type_schema, column->type_schema) != 0 ||
				 old_column->not_null != column->not_null ||
				 old_column->generated != column->generated ||
				 old_column->primary_key != column->primary_key ||
				 old_column->identity != column->identity)
			mapped = true;
	}
	/* Without a key a row is found by all its bytes, so it must have the columns of today. */
	if (*reason == NULL && relation->key_count == 0 &&
		old_relation->column_count != relation->column_count)
		*reason = "a column was dropped and rows have no key";
	if (*reason != NULL)
		return PEN_SCHEMA_REWRITTEN;
	return mapped ? PEN_SCHEMA_MAPPABLE : PEN_SCHEMA_SAME;
}

static int
compare_names(const pen_table *table, const char *schema, const char *name)
{
	int order = strcmp(table->schema_name, schema);

	return order != 0 ? order : strcmp(table->name, name);
}

size_t
pen_tableset_search(const pen_tableset *set, const char *schema, const char *name, bool *found)
{
	size_t low = 0;
	size_t high = set != NULL ? set->count : 0;

	*found = false;
	while (low < high)
	{
		size_t middle = low + (high - low) / 2;
		int order = compare_names(set->tables[middle], schema, name);

		if (order < 0)
			low = middle + 1;
		else
		{
			high = middle;
			*found = *found || order == 0;
		}
	}
	return low;
}

pen_tableset *
pen_tableset_with(const pen_tableset *set, pen_table *table)
{
	size_t count = set != NULL ? set->count : 0;
	pen_tableset *bigger = malloc(sizeof(*bigger) + (count + 1) * sizeof(table));
	bool found;
	size_t at;

	if (bigger == NULL)
		return NULL;
	at = pen_tableset_search(set, table->schema_name, table->name, &found);
	bigger->count = count + 1;
	for (size_t i = 0; i < count; i++)
		bigger->tables[i + (i >= at)] = set->tables[i];
	bigger->tables[at] = table;
	return bigger;
}
