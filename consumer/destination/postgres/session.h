/* session.h -- what a PostgreSQL destination consists of: shared by postgres.c, which opens and
 * commits, flush.c, which decides how what is gathered is applied, and sets.c, bulk.c and apply.c,
 * which send it. */
#ifndef PEN_POSTGRES_SESSION_H
#define PEN_POSTGRES_SESSION_H

#include "destination/destination.h"
#include "destination/postgres/batch.h"
#include "destination/postgres/board.h"
#include "destination/postgres/conflict.h"
#include "destination/postgres/counters.h"
#include "destination/postgres/parked.h"
#include "destination/postgres/pipeline.h"
#include "destination/postgres/prepared.h"
#include "destination/postgres/row.h"
#include "destination/postgres/sets.h"
#include "destination/postgres/statement.h"
#include "event/lsn.h"

#define COMMITS_MAX 4096 /* committed and not yet known to be flushed */

/* A commit whose place in the destination's WAL is known, and not whether it is flushed. */
typedef struct pending_commit
{
	uint64_t source_lsn;
	uint64_t wal_lsn;
} pending_commit;

/* A transaction in progress that is applied ahead of its commit: ahead.h. */
typedef struct postgres_ahead
{
	struct postgres_destination *session; /* its own; NULL: nothing is applied */
	uint32_t xid;                         /* whose, while there is a session */
	bool claimed;                         /* it has committed, and stands on what was applied */
	int64_t not_before_ms;                /* after a session could not be opened */
} postgres_ahead;

typedef struct postgres_destination
{
	pen_destination base;
	const pen_source_identity *source;
	PGconn *conn;
	pen_pipeline *pipeline;
	unsigned int serial;
	const penstock_relation *missing; /* what probe looks for; holds a reference */

	uint64_t stored_lsn;
	uint64_t applied_lsn;
	uint64_t durable_lsn;
	uint64_t gathered_lsn; /* end of the last source transaction in the open one */
	uint64_t commit_lsn;   /* of the source transaction that is being applied */
	bool in_source;        /* between BEGIN and COMMIT of a source transaction */
	pen_parked *parked;    /* tables under copy; NULL: not open */
	pen_board *board;      /* what is told of these; from creation on */
	bool in_transaction;   /* a BEGIN was sent */
	bool has_deferrable;   /* a table with a deferrable constraint was seen */
	bool deferred;         /* in the open transaction they are checked at its end */
	bool to_be_counted;    /* a statement in it does not fail where it finds no row */
	size_t batch_bytes;    /* in the open transaction, gathered or sent */
	size_t batch_rows;
	int64_t began_ms; /* when the open destination transaction did */

	pen_batch batch;        /* gathered and not yet sent; its tables have the targets */
	uint64_t batch_number;  /* how many were sent */
	int64_t gathered_ms;    /* when its first event came */
	bool sets_begun;        /* the savepoint of the batch that is being applied */
	bool sets_lost;         /* what failed was not the batch that is being applied */
	bool sets_sent;         /* those of batch.kept: nobody has judged their answers */
	pen_target *failed_set; /* whose set was answered with an error */
	pen_sets sets;
	pen_postgres_counters counters;

	pending_commit commits[COMMITS_MAX]; /* first..first+count: a ring */
	size_t first_commit;
	size_t commit_count;
	uint64_t wal_block_size;
	uint64_t wal_segment_size;
	int64_t asked_ms; /* when we last looked how far it is flushed */

	pen_row row;
	pen_value *new_values;
	pen_value *old_values;
	uint8_t *left_out;
	int value_capacity;
	pen_prepared prepared; /* the one that is open, or was last */
	pen_conflict_policy policy;
	penstock_transaction transaction; /* the newest that has begun */
	uint64_t careful_until; /* commits up to here: each source transaction by itself, in order */
	bool careful;           /* in such a one */
	bool upserting;         /* rows go over those that are there, or are missing */
	bool origin_told;
	bool has_origin;
	postgres_ahead ahead;
	bool is_ahead; /* the session of one, and not claimed: nothing is recorded of its tables */

	uint64_t moved; /* rows that the UPDATE before a MOVE found */
} postgres_destination;

/* ---- postgres.c ---- */

/* A session of a copy, as one that applies has it; NULL and error. The source itself, and a
 * database that is a destination under another name too, are refused. */
extern PGconn *pen_postgres_connect(const pen_destination_config *config,
									const pen_source_identity *source, pen_error *error);

/* Open self->conn with the settings of all our sessions, and check what database it is. */
extern penstock_status pen_postgres_open_session(postgres_destination *self,
												 const pen_source_identity *source,
												 pen_error *error);

/* Prepare what stands around the changes of each transaction. */
extern penstock_status pen_postgres_prepare_frame(PGconn *conn, pen_error *error);

/* Gather a change, and send what is gathered where it is enough. */
extern penstock_status pen_postgres_change(postgres_destination *self, const penstock_event *event,
										   pen_error *error);

/* Send what is gathered, so that work goes on. */
extern penstock_status pen_postgres_send_gathered(postgres_destination *self, pen_error *error);

/* The queue is drained, in the middle of a transaction: is what is gathered worth sending? Else when
 * it will be, in *poll_ms. */
extern penstock_status pen_postgres_send_idle(postgres_destination *self, int *poll_ms,
											  pen_error *error);

/*
 * Send progress up to lsn and COMMIT; do not wait for that. But for all before it, where a row that
 * is not there would be no error to the server, which would commit the others. durable: the server
 * is to flush at once, this and all before it, instead of when its WAL writer comes by.
 */
extern penstock_status pen_postgres_commit(postgres_destination *self, uint64_t lsn, bool durable,
										   pen_error *error);

/* Ask how far the destination's WAL is written and flushed: lsn, which is committed there, is
 * durable once what is written now is flushed; 0: only to look. */
extern penstock_status pen_postgres_look_at_wal(postgres_destination *self, uint64_t lsn,
												pen_error *error);

/* Begin a destination transaction where none is open. */
extern penstock_status pen_postgres_begin(postgres_destination *self, pen_error *error);

/* ---- flush.c ---- */

/* Gather a change or a truncate; what a copy has brought already is left out. */
extern penstock_status pen_postgres_gather(postgres_destination *self, const penstock_event *event,
										   pen_error *error);

/*
 * Send what is gathered, within the destination transaction, which is begun. Sets are at work when
 * this returns: see pen_postgres_settle. E_WAITING where the destination lacks what it needs, with
 * self->missing set for probe.
 */
extern penstock_status pen_postgres_flush_batch(postgres_destination *self, pen_error *error);

/* Send the events from..to of what is gathered in order, for this reason. */
extern penstock_status pen_postgres_replay(postgres_destination *self, size_t from, size_t to,
										   pen_reason reason, pen_error *error);

/* Send one of what is gathered in its turn. */
extern penstock_status pen_postgres_apply_event(postgres_destination *self,
												const pen_batch_event *event, pen_reason reason,
												pen_error *error);

/* Forget all targets: what was recorded of them has been rolled back, or the session ends. What is
 * gathered goes with them. */
extern void pen_postgres_forget_targets(postgres_destination *self);

/* ---- setwise.c ---- */

/* Apply what is gathered in sets, and leave these at work; in order, where they fail at once. */
extern penstock_status pen_postgres_apply_sets(postgres_destination *self, pen_error *error);

/* Before anything of a batch's sets is sent: judge those of the last one, and set a savepoint.
 * Once for a batch; new_values and the like do not outlive it. */
extern penstock_status pen_postgres_begin_sets(postgres_destination *self, pen_error *error);

/*
 * Wait for sets that are at work, and let them stand, or replay in order what they came from. The
 * pipeline takes nothing else before. Does nothing where there are none.
 */
extern penstock_status pen_postgres_settle(postgres_destination *self, pen_error *error);

/* After an error of a statement: take up sending again, beginning with a rollback to a savepoint. */
extern penstock_status pen_postgres_recover(postgres_destination *self, pen_error *error);

/* ---- apply.c ---- */

/* Send one change in its turn; do not wait for its answer. */
extern penstock_status pen_postgres_apply_row(postgres_destination *self, pen_target *target,
											  const penstock_event *event, pen_error *error);

/* Send what self->new_values and old_values hold. left_out as of pen_target_statement_get. */
extern penstock_status pen_postgres_send_row(postgres_destination *self, pen_target *target,
											 pen_target_operation operation,
											 const uint8_t *left_out, pen_error *error);

extern penstock_status pen_postgres_apply_truncate(postgres_destination *self,
												   const pen_batch_event *event, pen_error *error);

/* Room in new_values, old_values and left_out. */
extern penstock_status pen_postgres_reserve_values(postgres_destination *self, int columns,
												   pen_error *error);

/* The Values of a row into an array by column. decode/ has checked their number and form. */
extern void pen_postgres_spread(const penstock_row *row, pen_value *values);

/* Have the statement prepared under its name, at first use. */
extern penstock_status pen_postgres_prepare(postgres_destination *self,
											pen_target_statement *statement, pen_error *error);

/* Say which table and LSN an error is about; set values aside. */
extern void pen_postgres_explain_row(const pen_expectation *expected, pen_error *error);

#endif
