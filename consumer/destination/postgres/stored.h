/* stored.h -- the schema penstock at a destination: progress, in the same transactions as the data,
 * and what the tables looked like. */
#ifndef PEN_STORED_H
#define PEN_STORED_H

#include "copy/copy.h"
#include "destination/postgres/target.h"
#include "event/identity.h"

/* Create what is missing, bring what an older version has made up to date; refuse what a newer one
 * has made. Plain connection, no pipeline. */
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

/* In the open transaction: forget progress that stands at lsn, and what is recorded of tables, so
 * that it can begin anew. E_RETRY: somebody has moved it. */
extern penstock_status pen_stored_forget(PGconn *conn, const pen_source_identity *source,
										 uint64_t lsn, pen_error *error);

/* Once in a session, before the first pen_stored_advance. Plain connection, no pipeline. */
extern penstock_status pen_stored_prepare_advance(PGconn *conn, pen_error *error);

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

/* ---- tables under copy ---- */

/* Record how far a table's copy is; part of the transaction that is open on conn, if one is. */
extern penstock_status pen_stored_mark(PGconn *conn, const pen_source_identity *source,
									   const penstock_relation *relation, const pen_copy_mark *mark,
									   pen_error *error);

/* The same of one that is recorded: it is ready. Rows and LSN stay as they are. */
extern penstock_status pen_stored_complete(PGconn *conn, const pen_source_identity *source,
										   const penstock_relation *relation, pen_error *error);

/* Part of a transaction: a table is to be copied beside the stream; it is ready. */
extern penstock_status pen_stored_recopy(pen_pipeline *pipeline, const pen_source_identity *source,
										 const char *schema, const char *table, pen_error *error);
extern penstock_status pen_stored_ready(pen_pipeline *pipeline, const pen_source_identity *source,
										const char *schema, const char *table, pen_error *error);

/* Call each for the tables of the slot that are not ready. */
extern penstock_status pen_stored_unready(PGconn *conn, const pen_source_identity *source,
										  pen_copy_recall each, pen_copy_place *place,
										  pen_error *error);

/* Tables whose rows are newer than the destination's position. All zero: none. */
typedef struct pen_stored_copies
{
	struct pen_stored_copy *copies;
	size_t count;
	uint64_t max_lsn; /* a transaction that committed there or later is new to every table */
} pen_stored_copies;

/* Read them; lsn is the position. */
extern penstock_status pen_stored_load_copies(PGconn *conn, const pen_source_identity *source,
											  uint64_t lsn, pen_stored_copies *copies,
											  pen_error *error);
extern void pen_stored_copies_reset(pen_stored_copies *copies);

/* Has this table's copy brought what the transaction that committed at commit_lsn did? */
extern bool pen_stored_has(const pen_stored_copies *copies, const penstock_relation *relation,
						   uint64_t commit_lsn);

#endif
