/* conflict.h -- what becomes of a row that the destination rejects.
 * Decided in source order only, each source transaction in a destination transaction of its own. */
#ifndef PEN_CONFLICT_H
#define PEN_CONFLICT_H

#include <libpq-fe.h>

#include "base/error.h"
#include "destination/postgres/batch.h"

struct postgres_destination;

typedef enum pen_conflict_policy
{
	PEN_CONFLICT_ERROR,  /* the destination stops there */
	PEN_CONFLICT_UPSERT, /* an insert goes over what is there; what is missing stays so */
	PEN_CONFLICT_SKIP    /* the row is left out, and kept in penstock.conflicts */
} pen_conflict_policy;

/* By its name; NULL is "error". E_CONFIG for another one. */
extern penstock_status pen_conflict_policy_parse(const char *name, pen_conflict_policy *policy,
												 pen_error *error);

/* Create penstock.conflicts where the policy needs it. Plain connection, no pipeline. */
extern penstock_status pen_conflict_prepare(PGconn *conn, pen_conflict_policy policy,
											pen_error *error);

/* Apply what is gathered, which is all of one source transaction, by the policy. */
extern penstock_status pen_conflict_apply(struct postgres_destination *self, pen_error *error);

#endif
