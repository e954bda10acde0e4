/* snapshot.c -- tables as of the point where a temporary slot begins.
 * The tables are locked before the slot is made, so that none is rewritten between the snapshot and
 * its reading; the list under the snapshot must be the locked one. */
#include "copy/snapshot.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "copy/sql.h"
#include "copy/waiting.h"
#include "pq/pq.h"

#define TRIES    5
#define PAUSE_MS 500
/* As the plugin has them while it prints values; and no limits of a role's own. */
#define SETTINGS                                                                                   \
	PEN_PQ_PINNED_SETTINGS                                                                         \
	"-c row_security=off "                                                                         \
	"-c quote_all_identifiers=off -c statement_timeout=0 "                                         \
	"-c idle_in_transaction_session_timeout=0"
/* Who waits for a lock behind somebody who waits for ours would wait for ever. */
#define READER_SETTINGS SETTINGS " -c lock_timeout=10s"
/* Only for the locks: the slot waits for every running transaction, however long. */
#define LOCKER_SETTINGS SETTINGS " -c lock_timeout=30s"

bool
pen_snapshot_wants(const pen_snapshot *snapshot, const pen_catalog_table *table)
{
	const pen_snapshot_options *options = snapshot->options;

	return table->permanent && options->takes(options->context, table->schema, table->name);
}

/* ---- locks ---- */

static penstock_status
lock_table(pen_snapshot *snapshot, const pen_catalog_table *table, pen_error *error)
{
	penstock_status status;
	pen_wire_buf sql;
	bool ok;

	pen_buffer_init(&sql);
	pen_sql_text(&sql, "LOCK TABLE ONLY ");
	ok = pen_sql_table(&sql, snapshot->locker, table->schema, table->name);
	pen_sql_text(&sql, " IN ACCESS SHARE MODE");
	ok = pen_sql_end(&sql) && ok;
	status = !ok ? pen_error_set(error, PENSTOCK_E_RETRY, "out of memory")
				 : pen_pq_execute(snapshot->locker, (char *) sql.data, error);
	pen_buffer_reset(&sql);
	if (status >= 0)
		return status;
	/* Dropped, or its schema, since the list was read. */
	if (strcmp(error->sqlstate, "42P01") == 0 || strcmp(error->sqlstate, "3F000") == 0)
		return PENSTOCK_AGAIN;
	if (strcmp(error->sqlstate, "42501") == 0)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "table %s.%s may not be read; GRANT SELECT on it (and USAGE on its "
							 "schema) to the role of the source connection, or leave it out of "
							 "the tables",
							 table->schema, table->name);
	return pen_error_context(error, "locking table %s.%s", table->schema, table->name);
}

static penstock_status
lock_tables(pen_snapshot *snapshot, pen_error *error)
{
	penstock_status status =
		pen_pq_execute(snapshot->locker, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", error);

	if (status >= 0)
		status = pen_catalog_read_list(snapshot->locker, &snapshot->list, error);
	for (size_t i = 0; status == PENSTOCK_OK && i < snapshot->list.count; i++)
	{
		status = pen_waiting_check(snapshot->options->interrupted, error);
		if (status == PENSTOCK_OK && pen_snapshot_wants(snapshot, &snapshot->list.tables[i]))
			status = lock_table(snapshot, &snapshot->list.tables[i], error);
	}
	return status;
}

/* ---- the slot ---- */

static penstock_status
slot_error(pen_snapshot *snapshot, const PGresult *result, pen_error *error)
{
	const char *sqlstate;

	pen_pq_error(error, snapshot->exporter, result);
	sqlstate = error->sqlstate;
	if (strcmp(sqlstate, "58P01") == 0)
	{
		pen_error_context(error, "install the plugin penstock at the source");
		error->status = PENSTOCK_E_CONFIG;
	}
	else if (strcmp(sqlstate, "53400") == 0)
		pen_error_context(error, "raise max_replication_slots at the source");
	else if (strcmp(sqlstate, "55000") == 0)
		pen_error_context(error, "set wal_level = logical at the source and restart it");
	else if (strcmp(sqlstate, "42501") == 0)
		pen_error_context(error, "add penstock to output_plugin_libraries at the source, or give "
								 "the role REPLICATION");
	return pen_error_context(error, "could not create a temporary slot for loading");
}

/* Does somebody wait for the locks that we hold? He may be the one that the slot waits for, and
 * the server cannot see that circle. */
static bool
somebody_waits_for_us(pen_snapshot *snapshot)
{
	pen_error ignored;
	PGresult *result = pen_pq_query(
		snapshot->locker,
		"SELECT 1 FROM pg_catalog.pg_locks w WHERE NOT w.granted AND w.locktype = 'relation'"
		" AND pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(w.pid)) LIMIT 1",
		0, NULL, &ignored);
	bool waits = result != NULL && PQntuples(result) > 0;

	PQclear(result);
	return waits;
}

static penstock_status
await_slot(pen_snapshot *snapshot, bool *given_up, pen_error *error)
{
	while (PQisBusy(snapshot->exporter))
	{
		penstock_status status =
			pen_waiting_input(snapshot->exporter, snapshot->options->interrupted, error);

		if (status < 0)
		{
			pen_pq_cancel(snapshot->exporter);
			return status;
		}
		if (PQisBusy(snapshot->exporter) && !*given_up && somebody_waits_for_us(snapshot))
		{
			*given_up = true;
			pen_pq_cancel(snapshot->exporter);
		}
	}
	return PENSTOCK_OK;
}

static penstock_status
create_slot(pen_snapshot *snapshot, pen_error *error)
{
	static atomic_uint counter;
	const char *plugin = snapshot->options->plugin;
	bool given_up = false;
	char sql[200];
	PGresult *result;
	penstock_status status;

	snprintf(sql, sizeof(sql),
			 "CREATE_REPLICATION_SLOT \"penstock_load_%ld_%u\" TEMPORARY LOGICAL \"%s\" %s",
			 (long) getpid(), atomic_fetch_add(&counter, 1), plugin != NULL ? plugin : "penstock",
			 PQserverVersion(snapshot->exporter) >= 150000 ? "(SNAPSHOT 'export')"
														   : "EXPORT_SNAPSHOT");
	if (!PQsendQuery(snapshot->exporter, sql))
		return pen_pq_error(error, snapshot->exporter, NULL);
	status = await_slot(snapshot, &given_up, error);
	if (status < 0)
		return status;
	result = PQgetResult(snapshot->exporter);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		status = given_up ? PENSTOCK_AGAIN : slot_error(snapshot, result, error);
	else if (PQntuples(result) != 1 || PQgetisnull(result, 0, 2) ||
			 !pen_pq_parse_lsn(PQgetvalue(result, 0, 1), &snapshot->consistent_point))
		status = pen_error_set(error, PENSTOCK_E_DATA, "the source's slot has no LSN or snapshot");
	else
		snprintf(snapshot->name, sizeof(snapshot->name), "%s", PQgetvalue(result, 0, 2));
	PQclear(result);
	while ((result = PQgetResult(snapshot->exporter)) != NULL)
		PQclear(result);
	return status;
}

/* The same tables, under the same names, as were locked? */
static penstock_status
check_list(pen_snapshot *snapshot, pen_error *error)
{
	pen_catalog_list seen;
	penstock_status status = pen_catalog_read_list(snapshot->reader, &seen, error);

	if (status < 0)
		return status;
	if (seen.count != snapshot->list.count)
		status = PENSTOCK_AGAIN;
	for (size_t i = 0; status == PENSTOCK_OK && i < seen.count; i++)
	{
		const pen_catalog_table *a = &seen.tables[i];
		const pen_catalog_table *b = &snapshot->list.tables[i];

		if (a->oid != b->oid || a->permanent != b->permanent || strcmp(a->schema, b->schema) != 0 ||
			strcmp(a->name, b->name) != 0)
			status = PENSTOCK_AGAIN;
	}
	pen_catalog_list_reset(&seen);
	return status;
}

/* ---- all of it ---- */

static PGconn *
connect_source(const pen_snapshot *snapshot, bool replication, const char *settings,
			   pen_error *error)
{
	pen_pq_options options = {.connect_timeout_ms = snapshot->options->connect_timeout_ms,
							  .replication = replication,
							  .settings = settings};

	return pen_pq_connect(snapshot->options->conninfo, &options, "source", error);
}

PGconn *
pen_snapshot_join(const pen_snapshot *snapshot, pen_error *error)
{
	PGconn *conn = connect_source(snapshot, false, READER_SETTINGS, error);
	char sql[100];

	if (conn == NULL)
		return NULL;
	snprintf(sql, sizeof(sql), "SET TRANSACTION SNAPSHOT '%s'", snapshot->name);
	if (pen_pq_execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", error) >= 0 &&
		pen_pq_execute(conn, sql, error) >= 0)
		return conn;
	pen_error_context(error, "source: could not use the snapshot");
	PQfinish(conn);
	return NULL;
}

void
pen_snapshot_end(pen_snapshot *snapshot)
{
	PQfinish(snapshot->reader);
	PQfinish(snapshot->exporter);
	PQfinish(snapshot->locker);
	pen_catalog_list_reset(&snapshot->list);
	snapshot->reader = snapshot->exporter = snapshot->locker = NULL;
}

/* One try. PENSTOCK_AGAIN: tables changed in the meantime. */
static penstock_status
prepare(pen_snapshot *snapshot, pen_error *error)
{
	penstock_status status;

	snapshot->locker = connect_source(snapshot, false, LOCKER_SETTINGS, error);
	if (snapshot->locker != NULL)
		snapshot->exporter = connect_source(snapshot, true, SETTINGS, error);
	if (snapshot->exporter == NULL)
		return error->status;
	status = lock_tables(snapshot, error);
	if (status == PENSTOCK_OK)
		status = create_slot(snapshot, error);
	if (status != PENSTOCK_OK)
		return status;
	snapshot->reader = pen_snapshot_join(snapshot, error);
	return snapshot->reader == NULL ? error->status : check_list(snapshot, error);
}

penstock_status
pen_snapshot_take(pen_snapshot *snapshot, const pen_snapshot_options *options, pen_error *error)
{
	penstock_status status = PENSTOCK_AGAIN;

	*snapshot = (pen_snapshot){.options = options};
	for (int i = 0; status == PENSTOCK_AGAIN && i < TRIES; i++)
	{
		if (i > 0)
			poll(NULL, 0, PAUSE_MS);
		status = pen_waiting_check(options->interrupted, error);
		if (status == PENSTOCK_OK)
			status = prepare(snapshot, error);
		if (status != PENSTOCK_OK)
			pen_snapshot_end(snapshot);
	}
	if (status == PENSTOCK_AGAIN)
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "tables at the source are being created, altered or dropped all the "
							 "time; loading was tried %d times",
							 TRIES);
	return status;
}
