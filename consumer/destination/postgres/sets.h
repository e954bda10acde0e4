/* sets.h -- the net changes of a table, sent as few statements.
 * Each set is expected to affect as many rows as it has. */
#ifndef PEN_SETS_H
#define PEN_SETS_H

#include "base/error.h"
#include "destination/postgres/batch.h"

struct postgres_destination;

/* Scratch space: the arrays of a statement that is being filled. All zero is empty. */
typedef struct pen_sets
{
	pen_wire_buf *arrays; /* by parameter */
	const char **values;
	int *lengths;
	int *formats;
	int capacity;
	uint64_t rows;
	size_t bytes;
	pen_wire_buf copy; /* rows for COPY */
} pen_sets;

extern void pen_sets_free(pen_sets *sets);

/*
 * Send a table's deletes, updates and inserts; a table with many inserts has the last of them
 * COPYed, which waits for all that was sent. Afterwards its entries count as sent. E_DATA for a
 * value that does not fit in a set: replay in order tells more.
 */
extern penstock_status pen_postgres_send_sets(struct postgres_destination *self,
											  pen_batch_table *table, pen_error *error);

/* The same for all tables that have entries; those that end in a COPY come last. */
extern penstock_status pen_postgres_send_all_sets(struct postgres_destination *self,
												  pen_error *error);

#endif
