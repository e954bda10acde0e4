/* statistics.h -- what has been received, counted once, for the summary and the live line. */
#ifndef PEN_STATISTICS_H
#define PEN_STATISTICS_H

#include "event/chunk.h"

typedef struct pen_table_statistics
{
	char *name; /* schema.table */
	uint64_t inserts;
	uint64_t updates;
	uint64_t deletes;
	uint64_t truncates;
} pen_table_statistics;

/* A version of a table's description that was counted, and as which table. */
typedef struct pen_counted_relation
{
	const penstock_relation *relation; /* only compared; NULL: a free place */
	size_t table;
} pen_counted_relation;

/* All zero is empty. One thread. */
typedef struct pen_statistics
{
	uint64_t transactions;
	pen_table_statistics *tables; /* in the order of their first change */
	size_t table_count;
	size_t table_capacity;
	pen_table_statistics total; /* name is NULL */

	/* Private. Open addressing; the sizes are powers of two. */
	pen_counted_relation *relations;
	size_t relation_count;
	size_t relation_size;
	size_t *names; /* positions in tables plus one; 0: a free place */
	size_t name_size;
	pen_counted_relation latest;
} pen_statistics;

extern void pen_statistics_count(pen_statistics *statistics, const pen_chunk *chunk);
extern void pen_statistics_reset(pen_statistics *statistics);
/* Relations that were counted may be freed from here on. */
extern void pen_statistics_forget_relations(pen_statistics *statistics);

#endif
