/* table.h -- one memory table: its descriptions over time and its heap.
 * Written by one thread; descriptions and heaps are only added in front, so that readers can walk
 * from the newest to theirs. */
#ifndef PEN_MEMORY_TABLE_H
#define PEN_MEMORY_TABLE_H

#include "base/error.h"
#include "destination/memory/heap.h"
#include "penstock/event.h"

/* A description of the table, in force for commits from lsn on. */
typedef struct pen_schema pen_schema;
struct pen_schema
{
	pen_schema *older;
	const penstock_relation *relation; /* one reference is ours */
	uint64_t lsn;
	uint16_t number; /* what versions of rows refer to */
};

typedef struct pen_table
{
	_Atomic(pen_schema *) schema;
	_Atomic(pen_heap *) heap;
	char *schema_name;
	char *name;
} pen_table;

/* Tables ordered by schema and name. The set holds no reference on them. */
typedef struct pen_tableset
{
	size_t count;
	pen_table *tables[];
} pen_tableset;

/* An empty table. Takes a reference on relation. NULL without memory. */
extern pen_table *pen_table_new(const penstock_relation *relation, uint64_t lsn);
/* With all heaps and descriptions. */
extern void pen_table_free(pen_table *table);

static inline pen_heap *
pen_table_heap(const pen_table *table)
{
	return atomic_load_explicit(&table->heap, memory_order_acquire);
}

static inline pen_schema *
pen_table_schema(const pen_table *table)
{
	return atomic_load_explicit(&table->schema, memory_order_acquire);
}

/* The relation that versions with this schema number follow. */
extern const penstock_relation *pen_table_relation(const pen_table *table, uint16_t number);

/* Put a newer description in front. False without memory or numbers. */
extern bool pen_table_add_schema(pen_table *table, const penstock_relation *relation, uint64_t lsn);
/* Put an empty heap in front of the present one, as of lsn. False without memory. */
extern bool pen_table_add_heap(pen_table *table, uint64_t lsn);

/* What a new description means for the rows that are there. */
typedef enum pen_schema_change
{
	PEN_SCHEMA_SAME,      /* nothing that matters here */
	PEN_SCHEMA_MAPPABLE,  /* columns renamed or dropped: old rows can be read by attnum */
	PEN_SCHEMA_REWRITTEN, /* rows may have changed at the source without an event */
} pen_schema_change;

/* *reason, for REWRITTEN, is a few words to end "because …" with. */
extern pen_schema_change pen_table_compare(const penstock_relation *old_relation,
										   const penstock_relation *relation, const char **reason);

/* The position of a table in a set, or where it would stand; *found says which. */
extern size_t pen_tableset_search(const pen_tableset *set, const char *schema, const char *name,
								  bool *found);
/* A copy of set (NULL: empty) with one more table. NULL without memory. */
extern pen_tableset *pen_tableset_with(const pen_tableset *set, pen_table *table);

#endif
