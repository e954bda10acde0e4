/* bulk.h -- rows into a table by COPY, in binary where every column has a known form. */
#ifndef PEN_BULK_H
#define PEN_BULK_H

#include "destination/postgres/target.h"

struct postgres_destination;

/* A COPY that is under way. */
typedef struct pen_bulk
{
	struct postgres_destination *self;
	const pen_target *target;
	pen_expectation expected;
} pen_bulk;

/* Waits for what was sent before. After an error the pipeline must be recovered. */
extern penstock_status pen_bulk_begin(pen_bulk *bulk, struct postgres_destination *self,
									  const pen_target *target, pen_error *error);
/* Values by column. E_DATA for one that does not fit. */
extern penstock_status pen_bulk_add(pen_bulk *bulk, const pen_value *values, pen_error *error);
/* Waits for the answer, which must name as many rows as were added. */
extern penstock_status pen_bulk_end(pen_bulk *bulk, pen_error *error);

#endif
