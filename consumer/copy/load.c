/* load.c -- all rows of the wanted tables as of the point where a temporary slot begins.
 * The tables are locked before the slot is made, so that none is rewritten between its snapshot and
 * its COPY; the list under the snapshot must be the locked one. */
#include "copy/load.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "copy/binary.h"
#include "copy/catalog.h"
#include "event/relation.h"
#include "pq/pq.h"

#define TRIES   5
#define POLL_MS 500
/* As the plugin has them while it prints values; and no limits of a role's own. */
#define SETTINGS                                                                                   \
	PEN_PQ_PINNED_SETTINGS                                                                         \
	"-c row_security=off "                                                                         \
	"-c quote_all_identifiers=off -c statement_timeout=0 "                                         \
	"-c idle_in_transaction_session_timeout=0"
/* Only for the locks: the slot waits for every running transaction, however long. */
#define LOCKER_SETTINGS SETTINGS " -c lock_timeout=30s"

typedef struct load
{
	const pen_load_options *options;
	const pen_load_sink *sink;
	PGconn *locker; /* holds the locks, in a transaction without xid */
	PGconn *copier; /* the replication connection: slot, snapshot, COPY */
	pen_catalog_list list;
	uint64_t consistent_point;
	pen_error *error;
} load;

static bool
is_interrupted(const load *l)
{
	return l->options->interrupted != NULL && atomic_load(l->options->interrupted);
}

static penstock_status
interrupted_error(load *l)
{
	return pen_error_set(l->error, PENSTOCK_E_RETRY, "loading was interrupted");
}

static bool
is_wanted(const load *l, const pen_catalog_table *table)
{
	return table->permanent && l->sink->takes(l->sink->context, table->schema, table->name);
}

/* Wait until something arrives on conn, or POLL_MS have passed. */
static penstock_status
wait_for_server(load *l, PGconn *conn)
{
	struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};

	if (is_interrupted(l))
		return interrupted_error(l);
	if (fd.fd < 0)
		return pen_error_set(l->error, PENSTOCK_E_RETRY, "the connection to the source was lost");
	if (poll(&fd, 1, POLL_MS) > 0 && !PQconsumeInput(conn))
		return pen_pq_error(l->error, conn, NULL);
	return PENSTOCK_OK;
}

/* ---- locks ---- */

static void
append_text(pen_wire_buf *sql, const char *text)
{
	pen_wire_append(sql, text, strlen(text));
}

static bool
append_identifier(pen_wire_buf *sql, PGconn *conn, const char *name)
{
	char *quoted = PQescapeIdentifier(conn, name, strlen(name));

	if (quoted == NULL)
		return false;
	append_text(sql, quoted);
	PQfreemem(quoted);
	return true;
}

static bool
append_table(pen_wire_buf *sql, PGconn *conn, const pen_catalog_table *table)
{
	if (!append_identifier(sql, conn, table->schema))
		return false;
	append_text(sql, ".");
	return append_identifier(sql, conn, table->name);
}

static penstock_status
lock_table(load *l, const pen_catalog_table *table)
{
	penstock_status status;
	pen_wire_buf sql;
	bool ok;

	pen_buffer_init(&sql);
	append_text(&sql, "LOCK TABLE ONLY ");
	ok = append_table(&sql, l->locker, table);
	append_text(&sql, " IN ACCESS SHARE MODE");
	pen_wire_append(&sql, "", 1);
	if (!ok || sql.failed)
		status = pen_error_set(l->error, PENSTOCK_E_RETRY, "out of memory");
	else
		status = pen_pq_execute(l->locker, (char *) sql.data, l->error);
	pen_buffer_reset(&sql);
	if (status >= 0)
		return status;
	/* Dropped, or its schema, since the list was read. */
	if (strcmp(l->error->sqlstate, "42P01") == 0 || strcmp(l->error->sqlstate, "3F000") == 0)
		return PENSTOCK_AGAIN;
	if (strcmp(l->error->sqlstate, "42501") == 0)
		return pen_error_set(l->error, PENSTOCK_E_CONFIG,
							 "table %s.%s may not be read; GRANT SELECT on it (and USAGE on its "
							 "schema) to the role of the source connection, or leave it out of "
							 "the tables",
							 table->schema, table->name);
	return pen_error_context(l->error, "locking table %s.%s", table->schema, table->name);
}

static penstock_status
lock_tables(load *l)
{
	penstock_status status =
		pen_pq_execute(l->locker, "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", l->error);

	if (status >= 0)
		status = pen_catalog_read_list(l->locker, &l->list, l->error);
	for (size_t i = 0; status == PENSTOCK_OK && i < l->list.count; i++)
	{
		if (is_interrupted(l))
			return interrupted_error(l);
		if (is_wanted(l, &l->list.tables[i]))
			status = lock_table(l, &l->list.tables[i]);
	}
	return status;
}

/* ---- the slot ---- */

static penstock_status
slot_error(load *l, const PGresult *result)
{
	const char *sqlstate;

	pen_pq_error(l->error, l->copier, result);
	sqlstate = l->error->sqlstate;
	if (strcmp(sqlstate, "58P01") == 0)
	{
		pen_error_context(l->error, "install the plugin penstock at the source");
		l->error->status = PENSTOCK_E_CONFIG;
	}
	else if (strcmp(sqlstate, "53400") == 0)
		pen_error_context(l->error, "raise max_replication_slots at the source");
	else if (strcmp(sqlstate, "55000") == 0)
		pen_error_context(l->error, "set wal_level = logical at the source and restart it");
	else if (strcmp(sqlstate, "42501") == 0)
		pen_error_context(l->error, "add penstock to output_plugin_libraries at the source, or "
									"give the role REPLICATION");
	return pen_error_context(l->error, "could not create a temporary slot for loading");
}

/* Does somebody wait for the locks that we hold? He may be the one that the slot waits for, and
 * the server cannot see that circle. */
static bool
somebody_waits_for_us(load *l)
{
	pen_error ignored;
	PGresult *result = pen_pq_query(
		l->locker,
		"SELECT 1 FROM pg_catalog.pg_locks w WHERE NOT w.granted AND w.locktype = 'relation'"
		" AND pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(w.pid)) LIMIT 1",
		0, NULL, &ignored);
	bool waits = result != NULL && PQntuples(result) > 0;

	PQclear(result);
	return waits;
}

/* Ends the command on conn, whose result is then an error. */
static void
cancel(PGconn *conn)
{
	PGcancel *handle = PQgetCancel(conn);
	char message[256];

	if (handle != NULL)
		PQcancel(handle, message, sizeof(message));
	PQfreeCancel(handle);
}

static penstock_status
await_slot(load *l, bool *given_up)
{
	while (PQisBusy(l->copier))
	{
		penstock_status status = wait_for_server(l, l->copier);

		if (status < 0)
		{
			cancel(l->copier);
			return status;
		}
		if (PQisBusy(l->copier) && !*given_up && somebody_waits_for_us(l))
		{
			*given_up = true;
			cancel(l->copier);
		}
	}
	return PENSTOCK_OK;
}

static penstock_status
create_slot(load *l)
{
	static atomic_uint counter;
	bool given_up = false;
	char sql[200];
	PGresult *result;
	penstock_status status =
		pen_pq_execute(l->copier, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", l->error);

	if (status < 0)
		return status;
	snprintf(sql, sizeof(sql),
			 "CREATE_REPLICATION_SLOT \"penstock_load_%ld_%u\" TEMPORARY LOGICAL \"%s\" %s",
			 (long) getpid(), atomic_fetch_add(&counter, 1),
			 l->options->plugin != NULL ? l->options->plugin : "penstock",
			 PQserverVersion(l->copier) >= 150000 ? "(SNAPSHOT 'use')" : "USE_SNAPSHOT");
	if (!PQsendQuery(l->copier, sql))
		return pen_pq_error(l->error, l->copier, NULL);
	status = await_slot(l, &given_up);
	if (status < 0)
		return status;
	result = PQgetResult(l->copier);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		status = given_up ? PENSTOCK_AGAIN : slot_error(l, result);
	else if (PQntuples(result) != 1 ||
			 !pen_pq_parse_lsn(PQgetvalue(result, 0, 1), &l->consistent_point))
		status = pen_error_set(l->error, PENSTOCK_E_DATA, "the source's slot has no LSN");
	PQclear(result);
	while ((result = PQgetResult(l->copier)) != NULL)
		PQclear(result);
	return status;
}

/* The same tables, under the same names, as were locked? */
static penstock_status
check_list(load *l)
{
	pen_catalog_list seen;
	penstock_status status = pen_catalog_read_list(l->copier, &seen, l->error);

	if (status < 0)
		return status;
	if (seen.count != l->list.count)
		status = PENSTOCK_AGAIN;
	for (size_t i = 0; status == PENSTOCK_OK && i < seen.count; i++)
	{
		const pen_catalog_table *a = &seen.tables[i];
		const pen_catalog_table *b = &l->list.tables[i];

		if (a->oid != b->oid || a->permanent != b->permanent || strcmp(a->schema, b->schema) != 0 ||
			strcmp(a->name, b->name) != 0)
			status = PENSTOCK_AGAIN;
	}
	pen_catalog_list_reset(&seen);
	return status;
}

/* ---- rows ---- */

/* The next message of the COPY: its length, 0 at the end, or a negative status. */
static int
next_message(load *l, char **message)
{
	for (;;)
	{
		int len = PQgetCopyData(l->copier, message, 1);
		penstock_status status;

		if (len > 0)
			return len;
		if (len == -1)
			return 0;
		if (len == -2)
			return pen_pq_error(l->error, l->copier, NULL);
		status = wait_for_server(l, l->copier);
		if (status < 0)
			return status;
	}
}

static penstock_status
read_message(load *l, pen_copy_reader *reader, const char *message, int len)
{
	penstock_status status;

	pen_copy_feed(reader, message, (size_t) len);
	while ((status = pen_copy_next_row(reader)) == PENSTOCK_OK)
	{
		status = l->sink->row(l->sink->context, reader->row.data, reader->row.len, l->error);
		if (status < 0)
			return status;
	}
	if (status == PENSTOCK_AGAIN)
		return PENSTOCK_OK;
	return pen_error_set(l->error, status,
						 status == PENSTOCK_E_DATA ? "the source sent a row that is malformed"
												   : "out of memory for a row");
}

static penstock_status
read_rows(load *l, const penstock_relation *relation)
{
	const char *encoding = PQparameterStatus(l->copier, "server_encoding");
	pen_copy_reader reader = {.relation = relation,
							  .check_utf8 = encoding == NULL || strcmp(encoding, "SQL_ASCII") == 0};
	penstock_status status = PENSTOCK_OK;
	PGresult *result;
	char *message;
	int len;

	pen_buffer_init(&reader.row);
	while (status == PENSTOCK_OK && (len = next_message(l, &message)) != 0)
	{
		status = len < 0 ? (penstock_status) len : read_message(l, &reader, message, len);
		if (len > 0)
			PQfreemem(message);
	}
	pen_buffer_reset(&reader.row);
	if (status < 0)
		return status;
	while ((result = PQgetResult(l->copier)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK && status == PENSTOCK_OK)
			status = pen_pq_error(l->error, l->copier, result);
		PQclear(result);
	}
	if (status == PENSTOCK_OK && !reader.trailer_seen)
		status = pen_error_set(l->error, PENSTOCK_E_RETRY, "the source's rows ended too early");
	return status;
}

/* COPY (SELECT …) TO STDOUT, NUL-terminated. */
static bool
write_copy(const load *l, const pen_catalog_table *table, const penstock_relation *relation,
		   pen_wire_buf *sql)
{
	bool ok = true;

	append_text(sql, "COPY (SELECT ");
	for (int i = 0; ok && i < relation->column_count; i++)
	{
		const char *name = relation->columns[i].name;
		char *quoted = PQescapeIdentifier(l->copier, name, strlen(name));

		ok = quoted != NULL;
		if (i > 0)
			append_text(sql, ", ");
		if (ok)
			pen_copy_append_expression(sql, &relation->columns[i], quoted);
		PQfreemem(quoted);
	}
	append_text(sql, " FROM ONLY ");
	ok = ok && append_table(sql, l->copier, table);
	append_text(sql, ") TO STDOUT (FORMAT binary)");
	pen_wire_append(sql, "", 1);
	return ok && !sql->failed;
}

static penstock_status
load_table(load *l, const pen_catalog_table *table)
{
	const penstock_relation *relation = pen_catalog_read_relation(l->copier, table, l->error);
	penstock_status status;
	PGresult *result;
	pen_wire_buf sql;

	if (relation == NULL)
		return l->error->status;
	pen_buffer_init(&sql);
	status = l->sink->table(l->sink->context, relation, l->error);
	if (status >= 0 && !write_copy(l, table, relation, &sql))
		status = pen_error_set(l->error, PENSTOCK_E_RETRY, "out of memory");
	if (status >= 0)
	{
		result = pen_pq_query(l->copier, (char *) sql.data, 0, NULL, l->error);
		status = result != NULL ? read_rows(l, relation) : l->error->status;
		PQclear(result);
	}
	pen_buffer_reset(&sql);
	pen_relation_unref(relation);
	if (status < 0)
		return pen_error_context(l->error, "loading table %s.%s", table->schema, table->name);
	return PENSTOCK_OK;
}

static penstock_status
load_all(load *l)
{
	penstock_status status = PENSTOCK_OK;

	for (size_t i = 0; status >= 0 && i < l->list.count; i++)
	{
		if (is_wanted(l, &l->list.tables[i]))
			status = load_table(l, &l->list.tables[i]);
		else if (l->sink->other != NULL)
			status = l->sink->other(l->sink->context, l->list.tables[i].oid, l->error);
	}
	return status;
}

/* ---- all of it ---- */

/* Closing the connections ends locks, snapshot and the temporary slot. */
static void
close_connections(load *l)
{
	PQfinish(l->copier);
	PQfinish(l->locker);
	l->copier = l->locker = NULL;
	pen_catalog_list_reset(&l->list);
}

/* One try. PENSTOCK_AGAIN: tables changed in the meantime. */
static penstock_status
prepare(load *l)
{
	pen_pq_options options = {.connect_timeout_ms = l->options->connect_timeout_ms,
							  .settings = LOCKER_SETTINGS};
	penstock_status status;

	l->locker = pen_pq_connect(l->options->conninfo, &options, "source", l->error);
	options.replication = true;
	options.settings = SETTINGS;
	if (l->locker != NULL)
		l->copier = pen_pq_connect(l->options->conninfo, &options, "source", l->error);
	if (l->copier == NULL)
		return l->error->status;
	status = lock_tables(l);
	if (status == PENSTOCK_OK)
		status = create_slot(l);
	if (status == PENSTOCK_OK)
		status = check_list(l);
	return status;
}

penstock_status
pen_load_run(const pen_load_options *options, const pen_load_sink *sink, uint64_t *consistent_point,
			 pen_error *error)
{
	load l = {.options = options, .sink = sink, .error = error};
	penstock_status status = PENSTOCK_AGAIN;

	for (int i = 0; status == PENSTOCK_AGAIN && i < TRIES; i++)
	{
		if (i > 0)
			poll(NULL, 0, POLL_MS);
		status = is_interrupted(&l) ? interrupted_error(&l) : prepare(&l);
		if (status != PENSTOCK_OK)
			close_connections(&l);
	}
	if (status == PENSTOCK_AGAIN)
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "tables at the source are being created, altered or dropped all the "
							 "time; loading was tried %d times",
							 TRIES);
	if (status == PENSTOCK_OK)
		status = load_all(&l);
	*consistent_point = l.consistent_point;
	close_connections(&l);
	return status;
}
