/* conflict.h -- what becomes of a row that the destination rejects.
 * Decided in source order only, each source transaction in a destination transaction of its own. */
#ifndef PEN_CONFLICT_H
#define PEN_CONFLICT_H

#include <libpq-fe.h>

#include "base/error.h"
#include "destination/destination.h"
#include "destination/postgres/batch.h"

struct postgres_destination;

/* Create penstock.conflicts where the policy needs it. Plain connection, no pipeline. */
extern penstock_status pen_conflict_prepare(PGconn *conn, pen_conflict_policy policy,
											pen_error *error);

/* Apply what is gathered, which is all of one source transaction, by the policy. */
extern penstock_status pen_conflict_apply(struct postgres_destination *self, pen_error *error);

#endif
