/* session.h -- what a PostgreSQL destination consists of: shared by postgres.c, which opens and
 * commits, and apply.c, which sends the changes in between. */
#ifndef PEN_POSTGRES_SESSION_H
#define PEN_POSTGRES_SESSION_H

#include "destination/destination.h"
#include "destination/postgres/parked.h"
#include "destination/postgres/pipeline.h"
#include "destination/postgres/row.h"
#include "destination/postgres/target.h"
#include "event/lsn.h"

#define COMMITS_MAX 4096 /* committed and not yet known to be flushed */

/* A commit whose place in the destination's WAL is known, and not whether it is flushed. */
typedef struct pending_commit
{
	uint64_t source_lsn;
	uint64_t wal_lsn;
} pending_commit;

typedef struct postgres_destination
{
	pen_destination base;
	const pen_source_identity *source;
	PGconn *conn;
	pen_pipeline *pipeline;
	pen_target **targets;
	size_t target_count;
	size_t target_capacity;
	unsigned int serial;
	const penstock_relation *missing; /* what probe looks for; holds a reference */

	pen_position *position; /* of the call that runs */
	uint64_t stored_lsn;
	uint64_t applied_lsn;
	uint64_t durable_lsn;
	uint64_t gathered_lsn; /* end of the last source transaction in the open one */
	uint64_t commit_lsn;   /* of the source transaction that is being applied */
	bool in_transaction;   /* a BEGIN was sent */
	bool in_source;        /* between BEGIN and COMMIT of a source transaction */

	pen_parked *parked; /* tables under copy; NULL: not open */
	_Atomic(pen_parked_request *) requests;

	size_t batch_bytes;
	int64_t began_ms; /* when the open destination transaction did */

	pending_commit commits[COMMITS_MAX]; /* first..first+count: a ring */
	size_t first_commit;
	size_t commit_count;
	int64_t asked_ms; /* when we last looked how far it is flushed */

	pen_row row;
	pen_value *new_values;
	pen_value *old_values;
	uint8_t *left_out;
	int value_capacity;
} postgres_destination;

/*
 * Send a change, within the open destination transaction; do not wait for its answer. E_WAITING
 * where the destination lacks what it needs, with self->missing set for probe.
 */
extern penstock_status pen_postgres_apply_row(postgres_destination *self,
											  const penstock_event *event, pen_error *error);
extern penstock_status pen_postgres_apply_truncate(postgres_destination *self,
												   const penstock_event *event, pen_error *error);

/* A session of a copy, as one that applies has it; NULL and error. The source itself, and a database
 * that is a destination under another name too, are refused. */
extern PGconn *pen_postgres_connect(const pen_destination_config *config,
									const pen_source_identity *source, pen_error *error);

/* Forget all targets: what was recorded of them has been rolled back, or the session ends. */
extern void pen_postgres_forget_targets(postgres_destination *self);

#endif
