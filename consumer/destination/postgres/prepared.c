/* prepared.c -- PREPARE TRANSACTION and what becomes of it.
 * Nothing that a later transaction of ours needs is written in a prepared one: it would wait for
 * its end. */
#include "destination/postgres/prepared.h"

#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "destination/postgres/session.h"

/* done: written by the prepared transaction itself, so it is seen once that is committed. */
static const char *const create_sql = "CREATE TABLE penstock.prepared (slot text, name text, "
									  "done boolean, PRIMARY KEY (slot, name, done))";

/* A command that may stand in no transaction: alone between two syncs. */
static penstock_status
send_alone(postgres_destination *self, const char *sql, const pen_expectation *expected,
		   pen_error *error)
{
	if (pen_pipeline_sync(self->pipeline, error) < 0 ||
		pen_pipeline_send(self->pipeline, sql, 0, NULL, expected, error) < 0 ||
		pen_pipeline_sync(self->pipeline, error) < 0)
		return error->status;
	return pen_pipeline_drain(self->pipeline, error);
}

static penstock_status
make_ready(postgres_destination *self, pen_error *error)
{
	PGresult *result;
	bool missing;

	if (self->prepared.ready)
		return PENSTOCK_OK;
	result = pen_pipeline_query(self->pipeline,
								"SELECT pg_catalog.to_regclass('penstock.prepared') IS NULL, "
								"(SELECT oid FROM pg_catalog.pg_database WHERE datname = "
								"pg_catalog.current_database())",
								0, NULL, error);
	if (result == NULL)
		return error->status;
	missing = PQgetvalue(result, 0, 0)[0] == 't';
	snprintf(self->prepared.database, sizeof(self->prepared.database), "%s",
			 PQgetvalue(result, 0, 1));
	PQclear(result);
	if (missing && send_alone(self, create_sql, NULL, error) < 0)
		return pen_error_context(error, "could not create penstock.prepared");
	self->prepared.ready = true;
	return PENSTOCK_OK;
}

/* Names are the server's, of all its databases; the source's may be in use there. An xid is used
 * again only when nothing of before is open any more. */
static penstock_status
name_it(postgres_destination *self, const penstock_transaction *transaction, pen_error *error)
{
	if (make_ready(self, error) < 0)
		return error->status;
	snprintf(self->prepared.name, sizeof(self->prepared.name), "penstock_%s_%s_%u",
			 self->source->slot, self->prepared.database, transaction->xid);
	return PENSTOCK_OK;
}

typedef struct whereabouts
{
	bool open;      /* prepared, and not ended */
	bool known;     /* we have recorded that it was prepared */
	bool committed; /* what it wrote is seen */
} whereabouts;

static penstock_status
find(postgres_destination *self, whereabouts *found, pen_error *error)
{
	const char *params[] = {self->prepared.name, self->source->slot};
	PGresult *result = pen_pipeline_query(
		self->pipeline,
		"SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE gid = $1"
		" AND database = pg_catalog.current_database()), "
		"EXISTS (SELECT FROM penstock.prepared WHERE slot = $2 AND name = $1 AND NOT done), "
		"EXISTS (SELECT FROM penstock.prepared WHERE slot = $2 AND name = $1 AND done)",
		2, params, error);

	if (result == NULL)
		return error->status;
	found->open = PQgetvalue(result, 0, 0)[0] == 't';
	found->known = PQgetvalue(result, 0, 1)[0] == 't';
	found->committed = PQgetvalue(result, 0, 2)[0] == 't';
	PQclear(result);
	return PENSTOCK_OK;
}

static penstock_status
record(postgres_destination *self, const char *sql, pen_error *error)
{
	const char *params[] = {self->source->slot, self->prepared.name};

	return pen_pipeline_send(self->pipeline, sql, 2, params, NULL, error);
}

penstock_status
pen_prepared_begin(postgres_destination *self, const penstock_transaction *transaction,
				   pen_error *error)
{
	whereabouts found;

	if (name_it(self, transaction, error) < 0 || find(self, &found, error) < 0)
		return error->status;
	self->prepared.open = true;
	self->prepared.there = found.open;
	return PENSTOCK_OK;
}

static void
explain_prepare(const pen_expectation *expected, pen_error *error)
{
	const postgres_destination *self = expected->context;

	pen_error_context(error,
					  "destination %s: could not prepare or end the transaction at LSN " LSN_FORMAT
					  " there, as \"%s\"",
					  self->base.config->name, LSN_ARGS(expected->lsn), self->prepared.name);
}

/* What has failed before is rolled back by it, without an error. */
static penstock_status
check_prepare(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	if (strncmp(PQcmdStatus((PGresult *) result), "ROLLBACK", 8) != 0)
		return PENSTOCK_OK;
	pen_error_set(error, PENSTOCK_E_BUG, "it was rolled back");
	explain_prepare(expected, error);
	return error->status;
}

/* PREPARE TRANSACTION, COMMIT PREPARED or ROLLBACK PREPARED. Names need no quoting but the slot's,
 * which has none of it either. */
static penstock_status
command(postgres_destination *self, const char *what, bool alone, pen_error *error)
{
	bool rolls_back = strncmp(what, "ROLLBACK", 8) == 0;
	const pen_expectation expected = {
		.check = rolls_back ? NULL : check_prepare,
		.explain = explain_prepare,
		.context = self,
		.lsn = self->commit_lsn,
	};
	char sql[PEN_PREPARED_NAME_MAX + 40];

	snprintf(sql, sizeof(sql), "%s '%s'", what, self->prepared.name);
	if (alone)
		return send_alone(self, sql, &expected, error);
	if (pen_pipeline_send(self->pipeline, sql, 0, NULL, &expected, error) < 0 ||
		pen_pipeline_sync(self->pipeline, error) < 0)
		return error->status;
	return pen_pipeline_drain(self->pipeline, error);
}

penstock_status
pen_prepared_finish(postgres_destination *self, pen_error *error)
{
	bool empty = self->batch.event_count == 0 && !self->in_transaction;

	/* Of a transaction without anything for this destination there is nothing to keep. */
	if (!self->prepared.there && !empty)
	{
		if (pen_postgres_begin(self, error) < 0 || pen_postgres_flush_batch(self, error) < 0 ||
			pen_postgres_settle(self, error) < 0 ||
			record(self, "INSERT INTO penstock.prepared VALUES ($1, $2, true)", error) < 0 ||
			pen_pipeline_drain(self->pipeline, error) < 0 ||
			command(self, "PREPARE TRANSACTION", false, error) < 0)
			return error->status;
		PEN_FAILPOINT("prepared");
		self->in_transaction = false;
	}
	self->prepared.open = false;
	if (pen_postgres_begin(self, error) < 0)
		return error->status;
	if (!self->prepared.there && empty)
		return PENSTOCK_OK;
	return record(
		self, "INSERT INTO penstock.prepared VALUES ($1, $2, false) ON CONFLICT DO NOTHING", error);
}

penstock_status
pen_prepared_end(postgres_destination *self, const penstock_transaction *transaction, bool commits,
				 pen_error *error)
{
	whereabouts found;

	if (name_it(self, transaction, error) < 0 || find(self, &found, error) < 0)
		return error->status;
	if (found.open &&
		command(self, commits ? "COMMIT PREPARED" : "ROLLBACK PREPARED", true, error) < 0)
		return error->status;
	PEN_FAILPOINT("prepared-ended");
	if (!found.open && commits && found.known && !found.committed)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"destination %s: the prepared transaction \"%s\" is not there any more, although it "
			"was not committed: somebody has rolled it back; bring its tables in step, then "
			"DELETE FROM penstock.prepared WHERE name = '%s'",
			self->base.config->name, self->prepared.name, self->prepared.name);
	if (pen_postgres_begin(self, error) < 0)
		return error->status;
	return found.known || found.committed || found.open
			   ? record(self, "DELETE FROM penstock.prepared WHERE slot = $1 AND name = $2", error)
			   : PENSTOCK_OK;
}
