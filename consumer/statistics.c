/* statistics.c -- counters by table. A failed allocation loses a table's name, never a count of
 * the total. */
#include "statistics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pen_table_statistics *
add_table(pen_statistics *statistics, char *name)
{
	pen_table_statistics *table;

	if (statistics->table_count == statistics->table_capacity)
	{
		size_t capacity = statistics->table_capacity == 0 ? 16 : statistics->table_capacity * 2;
		pen_table_statistics *tables = realloc(statistics->tables, capacity * sizeof(*tables));

		if (tables == NULL)
		{
			free(name);
			return NULL;
		}
		statistics->tables = tables;
		statistics->table_capacity = capacity;
	}
	statistics->last_table = statistics->table_count++;
	table = &statistics->tables[statistics->last_table];
	*table = (pen_table_statistics){.name = name};
	return table;
}

/* Rows of one table come in runs; else by the relation's address, and only then by name. */
static pen_table_statistics *
find_table(pen_statistics *statistics, const penstock_relation *relation)
{
	char *name = NULL;

	if (statistics->table_count > 0 && statistics->tables[statistics->last_table].last == relation)
		return &statistics->tables[statistics->last_table];
	for (size_t i = 0; i < statistics->table_count; i++)
	{
		if (statistics->tables[i].last == relation)
		{
			statistics->last_table = i;
			return &statistics->tables[i];
		}
	}
	if (asprintf(&name, "%s.%s", relation->schema, relation->name) < 0)
		return NULL;
	for (size_t i = 0; i < statistics->table_count; i++)
	{
		if (strcmp(statistics->tables[i].name, name) == 0)
		{
			free(name);
			statistics->last_table = i;
			return &statistics->tables[i];
		}
	}
	return add_table(statistics, name);
}

static void
count_change(pen_table_statistics *table, penstock_event_kind kind)
{
	switch (kind)
	{
		case PENSTOCK_INSERT:
			table->inserts++;
			break;
		case PENSTOCK_UPDATE:
			table->updates++;
			break;
		case PENSTOCK_DELETE:
			table->deletes++;
			break;
		case PENSTOCK_TRUNCATE:
			table->truncates++;
			break;
		case PENSTOCK_BEGIN:
		case PENSTOCK_COMMIT:
		case PENSTOCK_PREPARE:
		case PENSTOCK_COMMIT_PREPARED:
		case PENSTOCK_ROLLBACK_PREPARED:
			break;
	}
}

void
pen_statistics_count(pen_statistics *statistics, const pen_chunk *chunk)
{
	for (size_t i = 0; i < chunk->count; i++)
	{
		const penstock_event *event = &chunk->events[i];
		uint32_t relations = event->kind == PENSTOCK_TRUNCATE ? event->relation_count
							 : event->relation != NULL        ? 1
															  : 0;

		count_change(&statistics->total, event->kind);
		statistics->transactions +=
			event->kind == PENSTOCK_COMMIT || event->kind == PENSTOCK_COMMIT_PREPARED;
		for (uint32_t r = 0; r < relations; r++)
		{
			const penstock_relation *relation =
				event->relation != NULL ? event->relation : event->relations[r];
			pen_table_statistics *table = find_table(statistics, relation);

			if (table == NULL)
				continue;
			table->last = relation;
			count_change(table, event->kind);
		}
	}
}

void
pen_statistics_forget_relations(pen_statistics *statistics)
{
	for (size_t i = 0; i < statistics->table_count; i++)
		statistics->tables[i].last = NULL;
}

void
pen_statistics_reset(pen_statistics *statistics)
{
	for (size_t i = 0; i < statistics->table_count; i++)
		free(statistics->tables[i].name);
	free(statistics->tables);
	*statistics = (pen_statistics){0};
}
