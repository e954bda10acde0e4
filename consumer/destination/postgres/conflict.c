/* conflict.c -- rows that are rejected, one by one.
 * Nothing is left out but what the server rejects for its values or does not find; values stand in
 * penstock.conflicts and nowhere else. */
#include "destination/postgres/conflict.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/failpoint.h"
#include "destination/postgres/session.h"
#include "event/line.h"
#include "pq/pq.h"

static const char *const create_sql =
	"BEGIN;"
	"SELECT pg_advisory_xact_lock(7310593858021290353);"
	"CREATE SCHEMA IF NOT EXISTS penstock;"
	"CREATE TABLE IF NOT EXISTS penstock.conflicts ("
	" slot text NOT NULL,"
	" at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),"
	" commit_lsn pg_lsn NOT NULL,"
	" xid bigint NOT NULL,"
	" schema_name text NOT NULL,"
	" table_name text NOT NULL,"
	" operation text NOT NULL,"
	" sqlstate text,"
	" message text NOT NULL,"
	" change jsonb);"
	"COMMIT";

penstock_status
pen_conflict_prepare(PGconn *conn, pen_conflict_policy policy, pen_error *error)
{
	PGresult *result;
	pen_error ignored;
	bool there;

	if (policy != PEN_CONFLICT_SKIP)
		return PENSTOCK_OK;
	result =
		pen_pq_query(conn, "SELECT to_regclass('penstock.conflicts') IS NOT NULL", 0, NULL, error);
	if (result == NULL)
		return error->status;
	there = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	if (there || pen_pq_execute(conn, create_sql, error) >= 0)
		return PENSTOCK_OK;
	(void) pen_pq_execute(conn, "ROLLBACK", &ignored);
	return pen_error_context(error, "could not create penstock.conflicts, which keeps rows that "
									"are left out (the role needs CREATE on the database)");
}

/* ---- skip ---- */

/* It is about the row: what the server says of its values or constraints, and what we found of its
 * count, which no server says. */
static bool
is_conflict(const pen_error *error)
{
	return error->status == PENSTOCK_E_DATA &&
		   (error->sqlstate[0] == '\0' || strncmp(error->sqlstate, "22", 2) == 0 ||
			strncmp(error->sqlstate, "23", 2) == 0);
}

static penstock_status
keep(postgres_destination *self, const pen_batch_event *event, const pen_error *why,
	 pen_error *error)
{
	static const char *const operations[] = {
		[PENSTOCK_INSERT] = "insert",
		[PENSTOCK_UPDATE] = "update",
		[PENSTOCK_DELETE] = "delete",
	};
	const penstock_relation *relation = event->table->relation;
	const pen_json_head head = {
		.xid = self->transaction.xid,
		.commit_lsn = self->transaction.commit_lsn,
		.commit_time = self->transaction.commit_time,
	};
	char lsn[20];
	char xid[16];
	penstock_event whole;
	pen_wire_buf json;
	penstock_status status;

	pen_batch_event_get(&self->batch, event, &whole);
	whole.transaction = &self->transaction;
	pen_pq_format_lsn(event->commit_lsn, lsn);
	snprintf(xid, sizeof(xid), "%u", self->transaction.xid);
	pen_buffer_init(&json);
	status = pen_event_json_under(&whole, &head, &json, error);
	pen_wire_append(&json, "", 1);
	if (status >= 0 && json.failed)
		status = pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	if (status >= 0)
	{
		const char *params[] = {self->source->slot,
								lsn,
								xid,
								relation->schema,
								relation->name,
								operations[event->kind],
								why->sqlstate[0] != '\0' ? why->sqlstate : NULL,
								why->text,
								(const char *) json.data};

		status = pen_pipeline_send(self->pipeline,
								   "INSERT INTO penstock.conflicts (slot, commit_lsn, xid, "
								   "schema_name, table_name, operation, sqlstate, message, change) "
								   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
								   9, params, NULL, error);
	}
	pen_buffer_reset(&json);
	return status;
}

/* Left out, and told: table, key and LSN stand in the error. */
static penstock_status
leave_out(postgres_destination *self, const pen_batch_event *event, const pen_error *why,
		  pen_error *error)
{
	pen_log_write(self->base.config->log, PENSTOCK_LOG_WARNING, self->base.config->name,
				  "%s; left out, and kept in penstock.conflicts", why->text);
	self->counters.conflicts++;
	if (keep(self, event, why, error) < 0)
		return error->status;
	PEN_FAILPOINT("conflict-kept");
	return PENSTOCK_OK;
}

static penstock_status
take_back(postgres_destination *self, pen_error *error)
{
	if (pen_postgres_recover(self, error) < 0 ||
		pen_pipeline_send(self->pipeline, "ROLLBACK TO part", 0, NULL, NULL, error) < 0)
		return error->status;
	return pen_pipeline_send(self->pipeline, "RELEASE part", 0, NULL, NULL, error);
}

/* Events from..to: together, or where one of them is rejected, each half by itself. */
static penstock_status
skip_in(postgres_destination *self, size_t from, size_t to, pen_error *error)
{
	size_t middle = from + (to - from) / 2;
	pen_error why;

	if (from == to)
		return PENSTOCK_OK;
	if (pen_pipeline_send(self->pipeline, "SAVEPOINT part", 0, NULL, NULL, error) < 0)
		return error->status;
	if (pen_postgres_replay(self, from, to, PEN_REASON_CONFLICT, error) >= 0 &&
		pen_pipeline_drain(self->pipeline, error) >= 0)
		return pen_pipeline_send(self->pipeline, "RELEASE part", 0, NULL, NULL, error);
	if (!is_conflict(error))
		return error->status;
	why = *error;
	pen_error_clear(error);
	if (take_back(self, error) < 0)
		return error->status;
	if (to - from > 1)
		return skip_in(self, from, middle, error) < 0 ? error->status
													  : skip_in(self, middle, to, error);
	return self->batch.events[from].table == NULL
			   ? (*error = why).status
			   : leave_out(self, &self->batch.events[from], &why, error);
}

penstock_status
pen_conflict_apply(postgres_destination *self, pen_error *error)
{
	penstock_status status;

	if (pen_pipeline_drain(self->pipeline, error) < 0)
		return error->status;
	if (self->policy == PEN_CONFLICT_SKIP)
		return skip_in(self, 0, self->batch.event_count, error);
	self->upserting = self->policy == PEN_CONFLICT_UPSERT;
	status = pen_postgres_replay(self, 0, self->batch.event_count, PEN_REASON_CONFLICT, error);
	if (status >= 0)
		status = pen_pipeline_drain(self->pipeline, error);
	self->upserting = false;
	return status;
}
