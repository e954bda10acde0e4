/* postgres.c -- a PostgreSQL database as destination: source order, whole transactions, and
 * progress moved in the same destination transaction.
 *
 * stored_lsn   what the progress row will hold once all that was sent is committed
 * applied_lsn  committed, as far as answers have come
 * durable_lsn  committed and flushed to the destination's WAL
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "destination/kinds.h"
#include "destination/postgres/ahead.h"
#include "destination/postgres/origin.h"
#include "destination/postgres/session.h"
#include "destination/postgres/stored.h"
#include "event/relation.h"
#include "pq/pq.h"

#define SYNC_POLL_MS     50
#define WAL_SHORT_HEADER 24  /* of a page of WAL */
#define WAL_LONG_HEADER  40  /* of the first page of a segment */
#define PARKED_POLL_MS   200 /* while a table is copied */
#define CHUNK_BYTES_MAX  ((size_t) 8 * 1024 * 1024)
#define ROW_BYTES        128 /* that a change takes besides its values */
#define BEGIN_STATEMENT  "penstock_begin"
#define COMMIT_STATEMENT "penstock_commit"
#define WAL_STATEMENT    "penstock_wal"
#define IDLE_SEND_BYTES  ((size_t) 256 * 1024) /* so much is sent when nothing else is to do */

/* Every statement of ours finds its rows by the key: whatever the statistics are, or before there
 * are any, a nested loop over the key's index is right for a set, and planned once. */
#define PLAN_SETTINGS                                                                              \
	"-c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off "                        \
	"-c enable_material=off -c plan_cache_mode=force_generic_plan -c jit=off"

/* And our own safety. */
#define SESSION_SETTINGS                                                                           \
	PEN_PQ_PINNED_SETTINGS                                                                         \
	"-c synchronous_commit=off -c lock_timeout=0 -c statement_timeout=0 "                          \
	"-c idle_in_transaction_session_timeout=0 " PLAN_SETTINGS

static postgres_destination *
self_of(pen_destination *destination)
{
	return (postgres_destination *) destination;
}

/* ---- life ---- */

static pen_destination *
postgres_create(const pen_destination_config *config, pen_error *error)
{
	char what[100];
	postgres_destination *self;

	snprintf(what, sizeof(what), "destination %.80s", config->name);
	if (pen_pq_check_conninfo(config->uri, what, error) < 0)
		return NULL;
	self = calloc(1, sizeof(*self));
	if (self == NULL || (self->board = pen_board_new()) == NULL)
	{
		free(self);
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	self->base.kind = &pen_destination_postgres;
	self->base.config = config;
	self->policy = config->on_conflict;
	pen_batch_init(&self->batch);
	return &self->base;
}

static void
log_counters(postgres_destination *self)
{
	char text[1000];

	if (self->counters.transactions == 0)
		return;
	pen_postgres_counters_print(&self->counters, text, sizeof(text));
	pen_log_write(self->base.config->log, PENSTOCK_LOG_DEBUG, self->base.config->name, "%s", text);
	self->counters = (pen_postgres_counters){0};
}

static void
postgres_close(pen_destination *destination)
{
	postgres_destination *self = self_of(destination);

	pen_postgres_forgo(destination);
	pen_parked_close(self);
	log_counters(self);
	pen_postgres_forget_targets(self);
	pen_sets_free(&self->sets);
	pen_pipeline_free(self->pipeline);
	self->pipeline = NULL;
	PQfinish(self->conn);
	self->conn = NULL;
	pen_row_free(&self->row);
	self->in_transaction = false;
	self->prepared = (pen_prepared){0};
	self->has_deferrable = false;
	self->commit_count = 0;
	self->batch_bytes = 0;
	self->batch_rows = 0;
}

static void
postgres_destroy(pen_destination *destination)
{
	postgres_destination *self = self_of(destination);

	postgres_close(destination);
	pen_board_free(self->board);
	pen_relation_unref(self->missing);
	free(self->new_values);
	free(self->old_values);
	free(self->left_out);
	free(self);
}

/* ---- opening ---- */

/* The lock that we hold here tells others that this database is taken; the locks that others hold
 * tell us what this database is. */
static penstock_status
check_siblings(postgres_destination *self, const pen_source_identity *source, pen_error *error)
{
	char own[32];
	const char *params[] = {own};
	PGresult *result;
	penstock_status status = PENSTOCK_OK;

	snprintf(own, sizeof(own), "%lld", (long long) self->base.config->advisory_key);
	result = pen_pq_query(
		self->conn,
		"SELECT ((l.classid::bigint << 32) | l.objid::bigint)::text FROM pg_locks l "
		"WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT oid "
		"FROM pg_database WHERE datname = current_database())",
		0, NULL, error);
	if (result == NULL)
		return error->status;
	for (int i = 0; i < PQntuples(result) && status >= 0; i++)
	{
		int64_t key = strtoll(PQgetvalue(result, i, 0), NULL, 10);

		if (key == source->advisory_key)
			status = pen_error_set(error, PENSTOCK_E_CONFIG,
								   "this is the source database itself; name another one");
		for (size_t s = 0; s < source->sibling_count && status >= 0; s++)
		{
			if (key == source->sibling_keys[s] && key != self->base.config->advisory_key)
				status = pen_error_set(
					error, PENSTOCK_E_CONFIG,
					"this database is a destination already, under another name; name "
					"it once");
		}
	}
	PQclear(result);
	if (status < 0)
		return status;
	result =
		pen_pq_query(self->conn, "SELECT pg_advisory_lock_shared($1::bigint)", 1, params, error);
	PQclear(result);
	return result != NULL ? PENSTOCK_OK : error->status;
}

penstock_status
pen_postgres_open_session(postgres_destination *self, const pen_source_identity *source,
						  pen_error *error)
{
	pen_pq_options options = {
		.connect_timeout_ms = self->base.config->connect_timeout_ms,
		.settings = SESSION_SETTINGS,
	};
	char what[100];
	pen_error ignored;

	snprintf(what, sizeof(what), "destination %.80s", self->base.config->name);
	self->conn = pen_pq_connect(self->base.config->uri, &options, what, error);
	if (self->conn == NULL)
		return error->status;
	if (PQserverVersion(self->conn) < 120000)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "the server is too old; PostgreSQL 12 or newer is needed");
	if (check_siblings(self, source, error) < 0)
		return error->status;
	/* Where the role may not, tables with triggers are refused one by one. */
	(void) pen_pq_execute(self->conn, "SET session_replication_role = replica", &ignored);
	return PENSTOCK_OK;
}

PGconn *
pen_postgres_connect(const pen_destination_config *config, const pen_source_identity *source,
					 pen_error *error)
{
	postgres_destination session = {.base.config = config};

	if (pen_postgres_open_session(&session, source, error) >= 0)
		return session.conn;
	if (session.conn != NULL)
		pen_error_context(error, "destination %s", config->name);
	PQfinish(session.conn);
	return NULL;
}

static penstock_status
read_wal_layout(postgres_destination *self, pen_error *error)
{
	PGresult *result = pen_pq_query(self->conn,
									"SELECT setting FROM pg_catalog.pg_settings WHERE name IN "
									"('wal_block_size', 'wal_segment_size') ORDER BY name",
									0, NULL, error);

	if (result == NULL)
		return error->status;
	self->wal_block_size = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
	self->wal_segment_size = strtoull(PQgetvalue(result, 1, 0), NULL, 10);
	PQclear(result);
	return self->wal_block_size > 0 && self->wal_segment_size > 0
			   ? PENSTOCK_OK
			   : pen_error_set(error, PENSTOCK_E_BUG, "unreadable WAL layout");
}

penstock_status
pen_postgres_prepare_frame(PGconn *conn, pen_error *error)
{
	if (pen_pq_prepare(conn, BEGIN_STATEMENT, "BEGIN", error) < 0 ||
		pen_pq_prepare(conn, COMMIT_STATEMENT, "COMMIT", error) < 0 ||
		pen_pq_prepare(conn, WAL_STATEMENT,
					   "SELECT pg_catalog.pg_current_wal_insert_lsn(), "
					   "pg_catalog.pg_current_wal_flush_lsn()",
					   error) < 0)
		return error->status;
	return pen_stored_prepare_advance(conn, error);
}

static penstock_status
open_progress(postgres_destination *self, const pen_source_identity *source, pen_position *position,
			  pen_error *error)
{
	uint64_t lsn = 0;

	/* What the last session committed may not be flushed yet: the lock that is taken to read progress
	 * is a commit too, and after it that is durable. */
	if (pen_pq_execute(self->conn, "SET lock_timeout = '10s'", error) < 0 ||
		pen_pq_execute(self->conn, "SET synchronous_commit = local", error) < 0 ||
		pen_stored_prepare(self->conn, error) < 0 ||
		pen_conflict_prepare(self->conn, self->policy, error) < 0 ||
		pen_stored_load(self->conn, source, &lsn, error) < 0 ||
		pen_postgres_prepare_frame(self->conn, error) < 0 ||
		pen_pq_execute(self->conn, "SET synchronous_commit = off", error) < 0 ||
		pen_pq_execute(self->conn, "SET lock_timeout = 0", error) < 0)
		return error->status;
	self->stored_lsn = self->applied_lsn = self->durable_lsn = self->gathered_lsn = lsn;
	if (pen_parked_open(self, error) < 0)
		return error->status;
	*position = (pen_position){.applied_lsn = lsn, .durable_lsn = lsn};
	return PENSTOCK_OK;
}

/* Without one, work goes on. */
static penstock_status
take_origin(postgres_destination *self, const pen_source_identity *source, pen_error *error)
{
	bool permitted;

	self->has_origin = false;
	if (pen_origin_take(self->conn, source->slot, &permitted, error) < 0)
		return error->status;
	if (!permitted && !self->origin_told)
		pen_log_write(self->base.config->log, PENSTOCK_LOG_INFO, self->base.config->name, "%s",
					  error->text);
	self->origin_told = true;
	self->has_origin = permitted;
	pen_error_clear(error);
	return PENSTOCK_OK;
}

static penstock_status
postgres_open(pen_destination *destination, const pen_source_identity *source,
			  pen_position *position, pen_error *error)
{
	postgres_destination *self = self_of(destination);

	self->source = source;
	if (pen_postgres_open_session(self, source, error) < 0)
		return self->conn == NULL
				   ? error->status
				   : pen_error_context(error, "destination %s", self->base.config->name);
	if (read_wal_layout(self, error) < 0 || open_progress(self, source, position, error) < 0 ||
		take_origin(self, source, error) < 0)
		return pen_error_context(error, "destination %s", self->base.config->name);
	return PENSTOCK_OK;
}

static penstock_status
enter_pipeline(postgres_destination *self, pen_error *error)
{
	if (self->pipeline == NULL)
		self->pipeline = pen_pipeline_new(self->conn, self->base.config->pipeline_bytes_max,
										  &self->base.interrupted);
	return self->pipeline != NULL ? PENSTOCK_OK
								  : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* ---- committing ---- */

static void
report(const postgres_destination *self, pen_position *position)
{
	position->applied_lsn = self->applied_lsn;
	position->durable_lsn = self->durable_lsn;
}

/* Commits that the destination's WAL holds durably move the durable position. */
static void
flushed_up_to(postgres_destination *self, uint64_t wal_lsn)
{
	while (self->commit_count > 0 && self->commits[self->first_commit].wal_lsn <= wal_lsn)
	{
		self->durable_lsn = self->commits[self->first_commit].source_lsn;
		self->first_commit = (self->first_commit + 1) % COMMITS_MAX;
		self->commit_count--;
	}
}

static penstock_status
check_commit(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	postgres_destination *self = expected->context;

	if (strcmp(PQcmdStatus((PGresult *) result), "COMMIT") != 0)
		return pen_error_set(error, PENSTOCK_E_BUG, "COMMIT was answered with %s",
							 PQcmdStatus((PGresult *) result));
	PEN_FAILPOINT("committed");
	self->applied_lsn = expected->lsn;
	return PENSTOCK_OK;
}

/*
 * The end of what is written, for a position at which the next record would begin: behind a page's
 * header, which is not written before that record, the end is that of the page before. A segment's
 * first page has the longer header.
 */
static uint64_t
end_of_wal(const postgres_destination *self, uint64_t insert_lsn)
{
	if (insert_lsn % self->wal_segment_size == WAL_LONG_HEADER)
		return insert_lsn - WAL_LONG_HEADER;
	if (insert_lsn % self->wal_block_size == WAL_SHORT_HEADER)
		return insert_lsn - WAL_SHORT_HEADER;
	return insert_lsn;
}

/* insert and flush position, read after the commit of expected->lsn (0: only to look). */
static penstock_status
check_wal(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	postgres_destination *self = expected->context;
	uint64_t inserted;
	uint64_t flushed;
	size_t last = (self->first_commit + self->commit_count) % COMMITS_MAX;

	if (PQntuples(result) != 1 || !pen_pq_parse_lsn(PQgetvalue(result, 0, 0), &inserted) ||
		!pen_pq_parse_lsn(PQgetvalue(result, 0, 1), &flushed))
		return pen_error_set(error, PENSTOCK_E_BUG, "unreadable WAL position");
	inserted = end_of_wal(self, inserted);
	if (expected->lsn != 0 && self->commit_count == COMMITS_MAX)
		self->commits[(last + COMMITS_MAX - 1) % COMMITS_MAX] =
			(pending_commit){expected->lsn, inserted};
	else if (expected->lsn != 0)
	{
		self->commits[last] = (pending_commit){expected->lsn, inserted};
		self->commit_count++;
	}
	flushed_up_to(self, flushed);
	return PENSTOCK_OK;
}

/* One of the statements around a transaction's changes, prepared: an idle session has nothing of them
 * at hand, and a single change should not wait for the parser. */
static penstock_status
send_frame(postgres_destination *self, const char *statement, const pen_expectation *expected,
		   pen_error *error)
{
	return pen_pipeline_send_prepared(self->pipeline, statement, 0, NULL, NULL, NULL, expected,
									  error);
}

penstock_status
pen_postgres_look_at_wal(postgres_destination *self, uint64_t lsn, pen_error *error)
{
	pen_expectation wal = {.check = check_wal, .context = self, .lsn = lsn};

	return send_frame(self, WAL_STATEMENT, &wal, error);
}

penstock_status
pen_postgres_begin(postgres_destination *self, pen_error *error)
{
	if (self->in_transaction)
		return PENSTOCK_OK;
	if (send_frame(self, BEGIN_STATEMENT, NULL, error) < 0)
		return error->status;
	self->in_transaction = true;
	self->to_be_counted = false;
	self->deferred = false;
	return PENSTOCK_OK;
}

/* Something waits for a COMMIT. */
static bool
is_gathering(const postgres_destination *self)
{
	return self->in_transaction || self->batch.event_count > 0;
}

penstock_status
pen_postgres_send_gathered(postgres_destination *self, pen_error *error)
{
	if (pen_postgres_begin(self, error) < 0 || pen_postgres_flush_batch(self, error) < 0)
		return error->status;
	PEN_FAILPOINT("part-sent");
	return PENSTOCK_OK;
}

penstock_status
pen_postgres_commit(postgres_destination *self, uint64_t lsn, bool durable, pen_error *error)
{
	pen_expectation committed = {.check = check_commit, .context = self, .lsn = lsn};

	if ((self->batch.event_count > 0 && pen_postgres_send_gathered(self, error) < 0) ||
		pen_postgres_settle(self, error) < 0 ||
		(self->to_be_counted && pen_pipeline_drain(self->pipeline, error) < 0) ||
		pen_postgres_begin(self, error) < 0 ||
		(durable && pen_pipeline_send(self->pipeline, "SET LOCAL synchronous_commit = local", 0,
									  NULL, NULL, error) < 0) ||
		pen_stored_advance(self->pipeline, self->source, self->stored_lsn, lsn, error) < 0 ||
		send_frame(self, COMMIT_STATEMENT, &committed, error) < 0 ||
		pen_postgres_look_at_wal(self, lsn, error) < 0 ||
		pen_pipeline_sync(self->pipeline, error) < 0)
		return error->status;
	PEN_FAILPOINT("commit-sent");
	self->stored_lsn = self->gathered_lsn = lsn;
	self->in_transaction = false;
	self->to_be_counted = false;
	self->batch_bytes = 0;
	self->batch_rows = 0;
	self->counters.transactions++;
	return PENSTOCK_OK;
}

/* ---- the interface ---- */

static penstock_status
postgres_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
			   pen_error *error)
{
	postgres_destination *self = self_of(destination);

	pen_postgres_forgo(destination);
	if (self->pipeline != NULL)
	{
		/* What was sent of an unfinished transaction is rolled back; commits before it stand. */
		if (self->sets_sent && pen_postgres_recover(self, error) < 0)
			return error->status;
		if (self->in_transaction &&
			(pen_pipeline_send(self->pipeline, "ROLLBACK", 0, NULL, NULL, error) < 0 ||
			 pen_pipeline_sync(self->pipeline, error) < 0))
			return error->status;
		if (pen_pipeline_drain(self->pipeline, error) < 0)
			return error->status;
		if (self->in_transaction)
			pen_postgres_forget_targets(self);
		self->in_transaction = false;
		pen_batch_clear(&self->batch);
	}
	else if (self->stored_lsn == 0)
	{
		if (pen_stored_begin(self->conn, self->source, start_lsn, error) < 0)
			return pen_error_context(error, "destination %s", self->base.config->name);
		/* Durable too: should a crash take the row away, the slot begins there again. */
		self->stored_lsn = self->applied_lsn = self->durable_lsn = start_lsn;
	}
	pen_parked_start(self);
	self->gathered_lsn = self->stored_lsn;
	self->in_source = false;
	self->prepared.open = false;
	self->batch_bytes = 0;
	self->batch_rows = 0;
	report(self, position);
	return enter_pipeline(self, error);
}

/* A part of a destination transaction that is sent in one go. */
static size_t
chunk_bytes(const postgres_destination *self)
{
	size_t bytes = self->base.config->pipeline_bytes_max;

	return bytes < CHUNK_BYTES_MAX ? bytes : CHUNK_BYTES_MAX;
}

penstock_status
pen_postgres_change(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	size_t bytes = event->new_row.len + event->old_row.len + ROW_BYTES;

	if (!is_gathering(self))
		self->began_ms = pen_clock_ms();
	if (pen_postgres_gather(self, event, error) < 0)
		return error->status;
	self->batch_bytes += bytes;
	self->batch_rows++;
	if (self->batch.row_bytes + self->batch.event_count * ROW_BYTES < chunk_bytes(self) &&
		self->batch.event_count < self->base.config->batch_rows_max)
		return PENSTOCK_OK;
	return pen_postgres_send_gathered(self, error);
}

/* Between two source transactions: tables under copy, in a destination transaction of their own. */
static penstock_status
look_at_parked(postgres_destination *self, pen_error *error)
{
	if (!pen_parked_due(self))
		return PENSTOCK_OK;
	/* A copy would wait for its locks. */
	pen_postgres_forgo(&self->base);
	if ((is_gathering(self) && pen_postgres_commit(self, self->gathered_lsn, false, error) < 0) ||
		pen_postgres_begin(self, error) < 0 ||
		pen_parked_step(self, pen_postgres_change, error) < 0 ||
		pen_postgres_commit(self, self->gathered_lsn, false, error) < 0)
		return error->status;
	return pen_parked_settle(self, error);
}

static penstock_status
finish_transaction(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	const pen_destination_config *config = self->base.config;

	self->gathered_lsn = event->transaction->end_lsn;
	self->in_source = false;
	if (self->careful && is_gathering(self))
		return pen_postgres_commit(self, self->gathered_lsn, false, error) < 0
				   ? error->status
				   : pen_pipeline_drain(self->pipeline, error);
	if (pen_parked_due(self))
		return look_at_parked(self, error);
	if (!is_gathering(self) ||
		(self->batch_bytes < config->batch_bytes_max && self->batch_rows < config->batch_rows_max &&
		 pen_clock_ms() - self->began_ms < config->batch_ms))
		return PENSTOCK_OK;
	return pen_postgres_commit(self, self->gathered_lsn, false, error);
}

/* Everything before it is committed: a prepared transaction stands alone. */
static penstock_status
begin_source(postgres_destination *self, const penstock_transaction *transaction, pen_error *error)
{
	self->transaction = *transaction;
	self->transaction.gid = NULL; /* borrowed */
	self->commit_lsn = transaction->commit_lsn;
	self->careful = self->commit_lsn <= self->careful_until;
	self->in_source = true;
	if (transaction->gid == NULL)
		return PENSTOCK_OK;
	if (is_gathering(self) && pen_postgres_commit(self, self->gathered_lsn, false, error) < 0)
		return error->status;
	return pen_prepared_begin(self, transaction, error);
}

static penstock_status
finish_prepared(postgres_destination *self, const penstock_transaction *transaction,
				pen_error *error)
{
	self->in_source = false;
	if (pen_prepared_finish(self, error) < 0)
		return error->status;
	return pen_postgres_commit(self, transaction->end_lsn, false, error);
}

static penstock_status
end_prepared(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	if (is_gathering(self) && pen_postgres_commit(self, self->gathered_lsn, false, error) < 0)
		return error->status;
	self->commit_lsn = event->transaction->commit_lsn;
	if (pen_prepared_end(self, event->transaction, event->kind == PENSTOCK_COMMIT_PREPARED, error) <
		0)
		return error->status;
	return pen_postgres_commit(self, event->transaction->end_lsn, false, error);
}

/* A row was rejected: what was gathered with it comes again, and then each transaction alone, so
 * that only the one with this row is stopped, or is dealt with as the policy says. */
static penstock_status
look_at(postgres_destination *self, penstock_status status)
{
	if (status == PENSTOCK_E_DATA && self->careful_until < self->transaction.commit_lsn)
		self->careful_until = self->transaction.commit_lsn;
	return status;
}

static penstock_status
postgres_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
			   pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status = PENSTOCK_OK;

	if (self->ahead.claimed)
	{
		status = pen_postgres_apply_claimed(self, event, error);
		report(self, position);
		return status;
	}
	switch (event->kind)
	{
		case PENSTOCK_BEGIN:
			status = begin_source(self, event->transaction, error);
			break;
		case PENSTOCK_INSERT:
		case PENSTOCK_UPDATE:
		case PENSTOCK_DELETE:
		case PENSTOCK_TRUNCATE:
			if (!self->prepared.open || !self->prepared.there)
				status = pen_parked_filter(self, event, pen_postgres_change, error);
			break;
		case PENSTOCK_COMMIT:
			status = finish_transaction(self, event, error);
			break;
		case PENSTOCK_PREPARE:
			status = finish_prepared(self, event->transaction, error);
			break;
		case PENSTOCK_COMMIT_PREPARED:
		case PENSTOCK_ROLLBACK_PREPARED:
			status = end_prepared(self, event, error);
			break;
	}
	report(self, position);
	return look_at(self, status);
}

static penstock_status
postgres_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status = PENSTOCK_OK;

	if (is_gathering(self))
		status = pen_postgres_commit(self, self->gathered_lsn, false, error);
	if (status >= 0 && self->pipeline != NULL)
		status = pen_pipeline_drain(self->pipeline, error);
	report(self, position);
	return look_at(self, status);
}

static penstock_status
postgres_advance(pen_destination *destination, uint64_t lsn, pen_position *position,
				 pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status = PENSTOCK_OK;

	if (lsn > self->stored_lsn)
		status = pen_postgres_commit(self, lsn, true, error);
	if (status >= 0)
		status = pen_pipeline_drain(self->pipeline, error);
	report(self, position);
	return status;
}

penstock_status
pen_postgres_send_idle(postgres_destination *self, int *poll_ms, pen_error *error)
{
	int64_t left_ms = self->gathered_ms + self->base.config->batch_ms - pen_clock_ms();

	if (self->batch.event_count == 0)
		return PENSTOCK_OK;
	if (self->batch.row_bytes >= IDLE_SEND_BYTES || left_ms <= 0)
		return pen_postgres_send_gathered(self, error);
	if (*poll_ms < 0 || left_ms < *poll_ms)
		*poll_ms = (int) left_ms;
	return PENSTOCK_OK;
}

static penstock_status
postgres_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status;

	if (!self->in_source && look_at_parked(self, error) < 0)
		return error->status;
	if (self->commit_count > 0 && !is_gathering(self) &&
		pen_clock_ms() - self->asked_ms >= SYNC_POLL_MS)
	{
		self->asked_ms = pen_clock_ms();
		if (pen_postgres_look_at_wal(self, 0, error) < 0 ||
			pen_pipeline_sync(self->pipeline, error) < 0 ||
			pen_pipeline_drain(self->pipeline, error) < 0)
			return error->status;
	}
	*poll_ms = self->commit_count > 0    ? SYNC_POLL_MS
			   : pen_parked_active(self) ? PARKED_POLL_MS
										 : -1;
	status = pen_postgres_send_idle(self, poll_ms, error);
	if (status >= 0)
		status = pen_postgres_ahead_idle(self, poll_ms, error);
	report(self, position);
	return look_at(self, status);
}

/* Is what was missing there now? A session of its own, which changes nothing. */
static penstock_status
postgres_probe(pen_destination *destination, const pen_source_identity *source, pen_error *error)
{
	postgres_destination *self = self_of(destination);
	pen_target *target = NULL;

	if (self->missing == NULL)
		return PENSTOCK_OK;
	if (pen_postgres_open_session(self, source, error) >= 0 && enter_pipeline(self, error) >= 0)
		target = pen_target_new(self->pipeline, self->conn, self->missing,
								self->base.config->allow_triggers, 0, error);
	if (target != NULL)
	{
		pen_relation_unref(self->missing);
		self->missing = NULL;
		pen_error_clear(error);
	}
	pen_target_free(target);
	postgres_close(destination);
	return error->status;
}

const pen_destination_kind pen_destination_postgres = {
	.scheme = "postgresql",
	.keeps_position = true,
	.prepares = true,
	.create = postgres_create,
	.destroy = postgres_destroy,
	.open = postgres_open,
	.close = postgres_close,
	.start = postgres_start,
	.apply = postgres_apply,
	.flush = postgres_flush,
	.advance = postgres_advance,
	.sync = postgres_sync,
	.probe = postgres_probe,
	.ahead = pen_postgres_ahead,
	.claim = pen_postgres_claim,
	.forgo = pen_postgres_forgo,
};
