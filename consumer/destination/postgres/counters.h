/* counters.h -- what a PostgreSQL destination did, and how.
 * Counted by its own thread; read them when it is closed, or as a rough guide. */
#ifndef PEN_POSTGRES_COUNTERS_H
#define PEN_POSTGRES_COUNTERS_H

#include "destination/postgres/target.h"

typedef struct pen_postgres_counters
{
	uint64_t batches;
	uint64_t transactions; /* of the destination */
	uint64_t set_rows;     /* in statements with arrays */
	uint64_t set_statements;
	uint64_t copy_rows;
	uint64_t copies;
	uint64_t netted;    /* changes that another one of the same batch made needless */
	uint64_t rollbacks; /* batches whose sets failed, and that were replayed in order */
	uint64_t conflicts; /* rows that a policy dealt with */
	uint64_t ordered[PEN_REASON_COUNT]; /* changes in source order, and why */
} pen_postgres_counters;

/* Add what another session has done. */
extern void pen_postgres_counters_add(pen_postgres_counters *to,
									  const pen_postgres_counters *other);

/* One line: "sets 1200 rows in 3 statements, …; in order: 2 small, 1 effects". */
extern void pen_postgres_counters_print(const pen_postgres_counters *counters, char *into,
										size_t size);

#endif
