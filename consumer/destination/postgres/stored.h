/* stored.h -- the schema penstock at a destination: progress, in the same transactions as the data,
 * and what the tables looked like. */
#ifndef PEN_STORED_H
#define PEN_STORED_H

#include "destination/postgres/target.h"
#include "event/identity.h"

/* Create what is missing; refuse what a newer version has made. Plain connection, no pipeline. */
extern penstock_status pen_stored_prepare(PGconn *conn, pen_error *error);

/*
 * Read the slot's row, waiting for a transaction of an earlier session that is still at it, and
 * check that it was written for this source and filter: E_REFUSED otherwise. *lsn 0: no row.
 */
extern penstock_status pen_stored_load(PGconn *conn, const pen_source_identity *source,
									   uint64_t *lsn, pen_error *error);

/* The first row, at lsn. */
extern penstock_status pen_stored_begin(PGconn *conn, const pen_source_identity *source,
										uint64_t lsn, pen_error *error);

/*
 * Part of a transaction: move progress from old_lsn to new_lsn. It fails, and the transaction with
 * it, when somebody else has moved it: a COMMIT that was sent blindly cannot do harm.
 */
extern penstock_status pen_stored_advance(pen_pipeline *pipeline, const pen_source_identity *source,
										  uint64_t old_lsn, uint64_t new_lsn, pen_error *error);

/*
 * Part of a transaction: compare the table with what was recorded of it, and record it.
 * E_REFUSED when it was re-created or a column's type changed at the source while rows of before
 * are here.
 */
extern penstock_status pen_stored_table(pen_pipeline *pipeline, const pen_source_identity *source,
										const pen_target *target, pen_error *error);

#endif
