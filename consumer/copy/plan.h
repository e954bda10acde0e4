/* plan.h -- which rows of which tables go to which places, in what form, and in what order. */
#ifndef PEN_PLAN_H
#define PEN_PLAN_H

#include "copy/copy.h"
#include "copy/snapshot.h"

/* A table at one place. */
typedef struct pen_plan_target
{
	pen_copy_place *place;
	pen_copy_state state;              /* when the plan was made */
	bool resumed;                      /* recorded by an earlier try, which may have left rows */
	bool created;                      /* by us */
	pen_mapped *mapped;                /* NULL: the place has no mapping */
	const penstock_relation *relation; /* as the place has it; borrowed */
	char *where;                       /* for the source, or NULL: all rows */
	char *quoted;                      /* its name there */
	bool partitioned;
	bool referenced;  /* by foreign keys of other tables: it cannot be truncated alone */
	bool text;        /* the rows travel as text, not in binary */
	uint8_t *columns; /* by column of the relation: 1 if it is copied */
	char *after;      /* append: the greatest key that is there, or NULL */
	bool key_differs; /* append: the key is of another type there */
	bool done;        /* all its items are, under the jobs' lock */
	size_t items_left;
	uint64_t rows;
} pen_plan_target;

typedef struct pen_plan_table
{
	const penstock_relation *relation;
	uint64_t bytes;
	uint64_t blocks; /* of its heap; 0: no ctid ranges */
	uint64_t rows_expected;
	pen_plan_target *targets;
	size_t target_count;
	size_t items_left;
	size_t number; /* in the plan, and in what is shown */
} pen_plan_table;

/* What one COPY does. */
typedef struct pen_plan_item
{
	pen_plan_table *table;
	uint32_t targets; /* a bit for each of table->targets */
	uint64_t first_block;
	uint64_t end_block; /* 0: to the end */
	uint64_t bytes;
	bool whole; /* all rows of the table that are to go there */
} pen_plan_item;

typedef struct pen_plan
{
	pen_plan_table *tables;
	size_t table_count;
	pen_plan_item *items; /* the largest first */
	size_t item_count;
	size_t item_capacity;
	/* Types of the source, sorted by oid. */
	uint32_t *portable;
	size_t portable_count;
	uint32_t *enums;
	size_t enum_count;
} pen_plan;

/*
 * Make the plan for the places that take part and have not failed. What does not fit at a place
 * goes to its error, and it takes no part. Negative: the source failed. Everything that can be
 * refused is refused here, before a row is copied.
 */
extern penstock_status pen_plan_make(pen_plan *plan, const pen_copy_options *options,
									 const pen_snapshot *snapshot, pen_copy_place *places,
									 size_t count, pen_error *error);
extern void pen_plan_reset(pen_plan *plan);

/* What a column that is copied is called at the target; column: its index at the source. */
extern const char *pen_plan_column(const pen_plan_target *target, int column);

/* COPY … TO STDOUT at the source, for item; COPY … FROM STDIN for a target of it. For free(); NULL
 * without memory. */
extern char *pen_plan_source_sql(const pen_plan_item *item, PGconn *conn);
extern char *pen_plan_target_sql(const pen_plan_item *item, const pen_plan_target *target,
								 PGconn *conn);

/* What empties the target: TRUNCATE, or DELETE where it is referenced, or readers are not to wait.
 * For free(). */
extern char *pen_plan_empty_sql(const pen_plan_target *target, bool for_readers);

#endif
