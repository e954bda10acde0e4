/* statistics.h -- what has been received, counted once, for the summary and the live line. */
#ifndef PEN_STATISTICS_H
#define PEN_STATISTICS_H

#include "event/chunk.h"

typedef struct pen_table_statistics
{
	char *name;                    /* schema.table */
	const penstock_relation *last; /* the version counted last; only compared */
	uint64_t inserts;
	uint64_t updates;
	uint64_t deletes;
	uint64_t truncates;
} pen_table_statistics;

/* All zero is empty. One thread. */
typedef struct pen_statistics
{
	uint64_t transactions;
	pen_table_statistics *tables; /* in the order of their first change */
	size_t table_count;
	size_t table_capacity;
	size_t last_table;
	pen_table_statistics total; /* name is NULL */
} pen_statistics;

extern void pen_statistics_count(pen_statistics *statistics, const pen_chunk *chunk);
extern void pen_statistics_reset(pen_statistics *statistics);
/* Relations that were counted may be freed from here on. */
extern void pen_statistics_forget_relations(pen_statistics *statistics);

#endif
