/* ahead.c -- the session of a transaction that is applied ahead of its commit.
 * It lives for one transaction; to end the session is to undo what it did. */
#include "destination/postgres/ahead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "destination/postgres/origin.h"
#include "destination/postgres/stored.h"
#include "event/relation.h"
#include "pq/pq.h"

#define REOPEN_MS 10000 /* after a session could not be opened */

/* It waits for nobody for long, and does not outlive us by much where the network is cut. */
#define AHEAD_SETTINGS                                                                             \
	"SET lock_timeout = '500ms'; SET idle_in_transaction_session_timeout = '5min'"

static postgres_destination *
self_of(pen_destination *destination)
{
	return (postgres_destination *) destination;
}

/* ---- the session ---- */

static void
close_session(postgres_destination *session)
{
	pen_postgres_forget_targets(session);
	pen_sets_free(&session->sets);
	pen_pipeline_free(session->pipeline);
	PQfinish(session->conn);
	pen_row_free(&session->row);
	pen_relation_unref(session->missing);
	free(session->new_values);
	free(session->old_values);
	free(session->left_out);
	free(session);
}

/* The first session holds its lock there: what a string with several hosts leads to may be another
 * server than before. */
static penstock_status
check_database(postgres_destination *session, pen_error *error)
{
	char key[32];
	const char *params[] = {key};
	PGresult *result;
	bool same;

	snprintf(key, sizeof(key), "%lld", (long long) session->base.config->advisory_key);
	result = pen_pq_query(session->conn, "SELECT pg_catalog.pg_try_advisory_lock($1::bigint)", 1,
						  params, error);
	if (result == NULL)
		return error->status;
	same = PQgetvalue(result, 0, 0)[0] == 'f';
	PQclear(result);
	return same ? PENSTOCK_OK
				: pen_error_set(error, PENSTOCK_E_RETRY,
								"a second session is not at the same server");
}

static penstock_status
open_session(postgres_destination *self, postgres_destination *session, pen_error *error)
{
	session->base.kind = self->base.kind;
	session->base.config = self->base.config;
	session->policy = self->policy;
	session->source = self->source;
	session->wal_block_size = self->wal_block_size;
	session->wal_segment_size = self->wal_segment_size;
	session->is_ahead = true;
	pen_batch_init(&session->batch);
	if (pen_postgres_open_session(session, self->source, error) < 0 ||
		check_database(session, error) < 0 ||
		pen_postgres_prepare_frame(session->conn, error) < 0 ||
		pen_pq_execute(session->conn, AHEAD_SETTINGS, error) < 0 ||
		(self->has_origin && pen_origin_take_ahead(session->conn, self->source->slot, error) < 0))
		return error->status;
	session->pipeline = pen_pipeline_new(session->conn, self->base.config->pipeline_bytes_max,
										 &self->base.interrupted);
	return session->pipeline != NULL ? PENSTOCK_OK
									 : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

static void
end(postgres_destination *self)
{
	if (self->ahead.session == NULL)
		return;
	if (self->pipeline != NULL)
		pen_pipeline_on_silence(self->pipeline, NULL, NULL);
	close_session(self->ahead.session);
	self->ahead.session = NULL;
	self->ahead.claimed = false;
}

static void
give_up(postgres_destination *self, const pen_error *why)
{
	pen_log_write(self->base.config->log, PENSTOCK_LOG_DEBUG, self->base.config->name,
				  "transaction %u is applied at its commit, not ahead of it: %s", self->ahead.xid,
				  why->text);
	end(self);
}

/* Does a session of ours wait for a lock, other than the second one, which is asked? Whoever holds
 * that may wait for the second one in turn. */
static const char *const waits_sql =
	"SELECT EXISTS (SELECT FROM pg_catalog.pg_locks ours JOIN pg_catalog.pg_locks wanted "
	"ON wanted.pid = ours.pid WHERE NOT wanted.granted AND ours.locktype = 'advisory' AND "
	"ours.objsubid = 1 AND ((ours.classid::bigint << 32) | ours.objid::bigint) = $1::bigint)";

static bool
waits(postgres_destination *session, pen_error *error)
{
	char key[32];
	const char *params[] = {key};
	PGresult *result;
	bool found;

	snprintf(key, sizeof(key), "%lld", (long long) session->base.config->advisory_key);
	if (pen_postgres_settle(session, error) < 0)
		return true;
	result = pen_pipeline_query(session->pipeline, waits_sql, 1, params, error);
	if (result == NULL)
		return true;
	found = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	if (found)
		pen_error_set(error, PENSTOCK_E_RETRY, "what commits meanwhile waits for a lock");
	return found;
}

/* The first session has waited for the server for a while. */
static void
look_at_silence(void *context)
{
	postgres_destination *self = context;
	pen_error error;

	pen_error_clear(&error);
	if (self->ahead.session != NULL && waits(self->ahead.session, &error))
		give_up(self, &error);
}

/* Not beside tables that are copied, or whose copy is ahead of the stream, nor where a row was
 * rejected: the changes of the transaction are not all for the destination then, or not as they
 * are. */
static bool
is_plain(const postgres_destination *self)
{
	return self->policy == PEN_CONFLICT_ERROR && self->careful_until <= self->stored_lsn &&
		   pen_parked_is_idle(self);
}

static penstock_status
begin(postgres_destination *self, uint32_t xid, pen_error *error)
{
	postgres_destination *session;

	self->ahead.xid = xid;
	if (!is_plain(self) || pen_clock_ms() < self->ahead.not_before_ms)
		return pen_error_set(error, PENSTOCK_E_RETRY, "not now");
	session = calloc(1, sizeof(*session));
	if (session == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	if (open_session(self, session, error) < 0)
	{
		close_session(session);
		self->ahead.not_before_ms = pen_clock_ms() + REOPEN_MS;
		return error->status;
	}
	self->ahead.session = session;
	pen_pipeline_on_silence(self->pipeline, look_at_silence, self);
	return PENSTOCK_OK;
}

/* ---- taking changes ---- */

penstock_status
pen_postgres_check_ahead(const pen_target *target, pen_error *error)
{
	if (target->mode != PEN_TARGET_ORDERED || target->reason != PEN_REASON_EFFECTS)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_RETRY,
						 "table %s has triggers, rules or the like, which would see earlier rows",
						 target->quoted);
}

bool
pen_postgres_ahead(pen_destination *destination, const penstock_event *event, bool first)
{
	postgres_destination *self = self_of(destination);
	pen_error error;

	pen_error_clear(&error);
	if (first)
		end(self);
	else if (self->ahead.session == NULL)
		return false; /* undone in between */
	if ((!first || begin(self, event->transaction->xid, &error) >= 0) &&
		pen_postgres_change(self->ahead.session, event, &error) >= 0)
		return true;
	give_up(self, &error);
	return false;
}

void
pen_postgres_forgo(pen_destination *destination)
{
	end(self_of(destination));
}

penstock_status
pen_postgres_ahead_idle(postgres_destination *self, int *poll_ms, pen_error *error)
{
	if (self->ahead.session == NULL ||
		pen_postgres_send_idle(self->ahead.session, poll_ms, error) >= 0)
		return PENSTOCK_OK;
	if (self->ahead.claimed)
		return error->status = PENSTOCK_E_RETRY;
	give_up(self, error);
	pen_error_clear(error);
	return PENSTOCK_OK;
}

/* ---- at its commit ---- */

/* What the first session says of a table when it is first changed. */
static penstock_status
record_tables(postgres_destination *session, pen_error *error)
{
	const pen_batch *batch = &session->batch;

	session->is_ahead = false;
	for (size_t i = 0; i < batch->table_capacity; i++)
	{
		const pen_batch_table *table = batch->tables[i];

		if (table != NULL && table->target != NULL &&
			pen_stored_table(session->pipeline, session->source, table->target, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* All that was taken has been applied, or this fails. From here on it may wait, for locks and for
 * what is passed over: nobody is held up by it any more who would not be otherwise. */
static penstock_status
settle(postgres_destination *session, pen_error *error)
{
	if (pen_postgres_send_gathered(session, error) < 0 || pen_postgres_settle(session, error) < 0 ||
		record_tables(session, error) < 0 ||
		pen_pipeline_send(session->pipeline, "SET LOCAL lock_timeout = 0", 0, NULL, NULL, error) <
			0 ||
		pen_pipeline_send(session->pipeline, "SET LOCAL idle_in_transaction_session_timeout = 0", 0,
						  NULL, NULL, error) < 0)
		return error->status;
	return pen_pipeline_drain(session->pipeline, error);
}

bool
pen_postgres_claim(pen_destination *destination, const penstock_transaction *transaction)
{
	postgres_destination *self = self_of(destination);
	postgres_destination *session = self->ahead.session;
	pen_error error;

	pen_error_clear(&error);
	if (session == NULL || self->ahead.xid != transaction->xid)
		return false;
	session->commit_lsn = transaction->commit_lsn;
	session->stored_lsn = self->stored_lsn;
	if (!is_plain(self))
		pen_error_set(&error, PENSTOCK_E_RETRY, "not any more");
	else if (settle(session, &error) >= 0)
	{
		pen_pipeline_on_silence(self->pipeline, NULL, NULL);
		self->ahead.claimed = true;
		PEN_FAILPOINT("ahead-claimed");
		return true;
	}
	give_up(self, &error);
	return false;
}

/* Its answer is waited for: what the first session sends next stands on it. */
static penstock_status
commit(postgres_destination *self, uint64_t lsn, pen_error *error)
{
	postgres_destination *session = self->ahead.session;

	if (pen_postgres_commit(session, lsn, false, error) < 0 ||
		pen_pipeline_drain(session->pipeline, error) < 0)
		return error->status;
	PEN_FAILPOINT("ahead-committed");
	self->stored_lsn = self->applied_lsn = self->gathered_lsn = lsn;
	self->in_source = false;
	pen_postgres_counters_add(&self->counters, &session->counters);
	pen_postgres_forgo(&self->base);
	if (pen_postgres_look_at_wal(self, lsn, error) < 0 ||
		pen_pipeline_sync(self->pipeline, error) < 0)
		return error->status;
	return PENSTOCK_OK;
}

penstock_status
pen_postgres_apply_claimed(postgres_destination *self, const penstock_event *event,
						   pen_error *error)
{
	penstock_status status;

	if (event->kind == PENSTOCK_BEGIN)
	{
		self->in_source = true;
		return PENSTOCK_OK;
	}
	status = event->kind == PENSTOCK_COMMIT
				 ? commit(self, event->transaction->end_lsn, error)
				 : pen_postgres_change(self->ahead.session, event, error);
	if (status >= 0)
		return status;
	pen_error_context(error, "applying the rest of a transaction that was applied ahead");
	return error->status = PENSTOCK_E_RETRY;
}
