/* statistics.c -- counters by table. A failed allocation loses a table's name, never a count of
 * the total. */
#include "statistics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define PLACES_FIRST 64 /* at most half of the places are taken */

/* ---- tables by name ---- */

static size_t *
name_place(const pen_statistics *statistics, const char *name)
{
	size_t i = XXH3_64bits(name, strlen(name)) & (statistics->name_size - 1);

	while (statistics->names[i] != 0 &&
		   strcmp(statistics->tables[statistics->names[i] - 1].name, name) != 0)
		i = (i + 1) & (statistics->name_size - 1);
	return &statistics->names[i];
}

/* Room for one more table. */
static bool
reserve_table(pen_statistics *statistics)
{
	if (statistics->table_count == statistics->table_capacity)
	{
		size_t capacity = statistics->table_capacity == 0 ? 16 : statistics->table_capacity * 2;
		pen_table_statistics *tables = realloc(statistics->tables, capacity * sizeof(*tables));

		if (tables == NULL)
			return false;
		statistics->tables = tables;
		statistics->table_capacity = capacity;
	}
	if (statistics->table_count * 2 >= statistics->name_size)
	{
		size_t size = statistics->name_size == 0 ? PLACES_FIRST : statistics->name_size * 2;
		size_t *names = calloc(size, sizeof(*names));

		if (names == NULL)
			return false;
		free(statistics->names);
		statistics->names = names;
		statistics->name_size = size;
		for (size_t i = 0; i < statistics->table_count; i++)
			*name_place(statistics, statistics->tables[i].name) = i + 1;
	}
	return true;
}

/* False without memory. */
static bool
find_name(pen_statistics *statistics, const penstock_relation *relation, size_t *table)
{
	size_t *place;
	char *name;

	if (!reserve_table(statistics) ||
		asprintf(&name, "%s.%s", relation->schema, relation->name) < 0)
		return false;
	place = name_place(statistics, name);
	if (*place == 0)
	{
		statistics->tables[statistics->table_count++] = (pen_table_statistics){.name = name};
		*place = statistics->table_count;
	}
	else
		free(name);
	*table = *place - 1;
	return true;
}

/* ---- tables by the address of their description ---- */

static pen_counted_relation *
relation_place(const pen_statistics *statistics, const penstock_relation *relation)
{
	size_t mask = statistics->relation_size - 1;
	size_t i = (size_t) (((uint64_t) (uintptr_t) relation >> 4) * 0x9E3779B97F4A7C15u >> 20) & mask;

	while (statistics->relations[i].relation != NULL &&
		   statistics->relations[i].relation != relation)
		i = (i + 1) & mask;
	return &statistics->relations[i];
}

static bool
reserve_relation(pen_statistics *statistics)
{
	size_t size = statistics->relation_size == 0 ? PLACES_FIRST : statistics->relation_size * 2;
	pen_counted_relation *old = statistics->relations;
	size_t old_size = statistics->relation_size;
	pen_counted_relation *relations;

	if (statistics->relation_count * 2 < statistics->relation_size)
		return true;
	relations = calloc(size, sizeof(*relations));
	if (relations == NULL)
		return false;
	statistics->relations = relations;
	statistics->relation_size = size;
	for (size_t i = 0; i < old_size; i++)
	{
		if (old[i].relation != NULL)
			*relation_place(statistics, old[i].relation) = old[i];
	}
	free(old);
	return true;
}

/* Rows of one table come in runs; else by the relation's address, and only then by name. */
static pen_table_statistics *
find_table(pen_statistics *statistics, const penstock_relation *relation)
{
	if (statistics->latest.relation != relation)
	{
		pen_counted_relation *place;

		if (!reserve_relation(statistics))
			return NULL;
		place = relation_place(statistics, relation);
		if (place->relation == NULL)
		{
			if (!find_name(statistics, relation, &place->table))
				return NULL;
			place->relation = relation;
			statistics->relation_count++;
		}
		statistics->latest = *place;
	}
	return &statistics->tables[statistics->latest.table];
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

			if (table != NULL)
				count_change(table, event->kind);
		}
	}
}

void
pen_statistics_forget_relations(pen_statistics *statistics)
{
	if (statistics->relation_size > 0)
		memset(statistics->relations, 0,
			   statistics->relation_size * sizeof(*statistics->relations));
	statistics->relation_count = 0;
	statistics->latest.relation = NULL;
}

void
pen_statistics_reset(pen_statistics *statistics)
{
	for (size_t i = 0; i < statistics->table_count; i++)
		free(statistics->tables[i].name);
	free(statistics->tables);
	free(statistics->relations);
	free(statistics->names);
	*statistics = (pen_statistics){0};
}
