/* control.c -- questions to the source by SQL. */
#include "source/control.h"

#include <stdio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pq/pq.h"

#define SETTLE_MS 50 /* beyond the WAL writer's own time */

struct pen_control
{
	PGconn *conn;
	bool asked; /* something was sent whose answer has not been taken */
	bool answered;
	pen_control_reply reply;
	pen_error failure; /* of the question; status PENSTOCK_OK: none */
};

/* That it has nothing to do for long is no reason to end it: with it the stream would end. A server
 * that is too old knows no such setting, and is told so later. */
static const char *const stay_sql =
	"SELECT pg_catalog.set_config('idle_session_timeout', '0', false) "
	"WHERE pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL";

pen_control *
pen_control_open(const char *conninfo, int connect_timeout_ms, int64_t advisory_key,
				 pen_error *error)
{
	pen_pq_options options = {.connect_timeout_ms = connect_timeout_ms};
	pen_control *control = calloc(1, sizeof(*control));
	char sql[80];

	if (control == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "source: out of memory");
		return NULL;
	}
	control->conn = pen_pq_connect(conninfo, &options, "source", error);
	snprintf(sql, sizeof(sql), "SELECT pg_advisory_lock_shared(%lld)", (long long) advisory_key);
	if (control->conn == NULL || pen_pq_execute(control->conn, stay_sql, error) < 0 ||
		pen_pq_execute(control->conn, sql, error) < 0)
	{
		pen_control_close(control);
		return NULL;
	}
	return control;
}

void
pen_control_close(pen_control *control)
{
	if (control == NULL)
		return;
	PQfinish(control->conn);
	free(control);
}

penstock_status
pen_control_check_server(pen_control *control, pen_error *error)
{
	PGresult *result = pen_pq_query(control->conn,
									"SELECT current_setting('wal_level'), "
									"current_setting('server_version_num')::int >= 140000, "
									"current_setting('server_version')",
									0, NULL, error);
	penstock_status status = PENSTOCK_OK;

	if (result == NULL)
		return pen_error_context(error, "source");
	if (strcmp(PQgetvalue(result, 0, 1), "t") != 0)
		status = pen_error_set(error, PENSTOCK_E_CONFIG,
							   "source: PostgreSQL %s is too old; 14 or newer is needed",
							   PQgetvalue(result, 0, 2));
	else if (strcmp(PQgetvalue(result, 0, 0), "logical") != 0)
		status =
			pen_error_set(error, PENSTOCK_E_CONFIG,
						  "source: wal_level is %s; set wal_level = logical in postgresql.conf and "
						  "restart the server",
						  PQgetvalue(result, 0, 0));
	PQclear(result);
	return status;
}

penstock_status
pen_control_slot(pen_control *control, const char *slot, pen_slot_info *info, pen_error *error)
{
	const char *params[] = {slot};
	PGresult *result = pen_pq_query(
		control->conn,
		"SELECT slot_type = 'logical', coalesce(plugin, ''), coalesce(database, ''), active, "
		"coalesce(active_pid, 0), coalesce(confirmed_flush_lsn, '0/0'), "
		"coalesce(wal_status, ''), two_phase FROM pg_catalog.pg_replication_slots WHERE slot_name "
		"= $1",
		1, params, error);

	memset(info, 0, sizeof(*info));
	if (result == NULL)
		return pen_error_context(error, "source");
	if (PQntuples(result) == 1)
	{
		info->exists = true;
		info->logical = PQgetvalue(result, 0, 0)[0] == 't';
		snprintf(info->plugin, sizeof(info->plugin), "%s", PQgetvalue(result, 0, 1));
		snprintf(info->database, sizeof(info->database), "%s", PQgetvalue(result, 0, 2));
		info->active = PQgetvalue(result, 0, 3)[0] == 't';
		info->active_pid = atoi(PQgetvalue(result, 0, 4));
		(void) pen_pq_parse_lsn(PQgetvalue(result, 0, 5), &info->confirmed_lsn);
		snprintf(info->wal_status, sizeof(info->wal_status), "%s", PQgetvalue(result, 0, 6));
		info->two_phase = PQgetvalue(result, 0, 7)[0] == 't';
	}
	PQclear(result);
	return PENSTOCK_OK;
}

static penstock_status
query_lsn(pen_control *control, const char *sql, uint64_t *lsn, pen_error *error)
{
	PGresult *result = pen_pq_query(control->conn, sql, 0, NULL, error);
	bool parsed;

	if (result == NULL)
		return pen_error_context(error, "source");
	parsed = pen_pq_parse_lsn(PQgetvalue(result, 0, 0), lsn);
	PQclear(result);
	return parsed ? PENSTOCK_OK
				  : pen_error_set(error, PENSTOCK_E_BUG, "source: unreadable WAL position");
}

penstock_status
pen_control_current_lsn(pen_control *control, uint64_t *lsn, pen_error *error)
{
	return query_lsn(control,
					 "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
					 "ELSE pg_current_wal_insert_lsn() END",
					 lsn, error);
}

/* How long a commit with synchronous_commit=off may stay unflushed: the WAL writer takes three
 * rounds at most. */
static penstock_status
query_flush_delay(pen_control *control, int *delay_ms, pen_error *error)
{
	PGresult *result = pen_pq_query(
		control->conn,
		"SELECT 3 * setting::int FROM pg_catalog.pg_settings WHERE name = 'wal_writer_delay'", 0,
		NULL, error);

	if (result == NULL)
		return pen_error_context(error, "source");
	*delay_ms = atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	return PENSTOCK_OK;
}

/* Other records than commits may stay unflushed for long: they are not waited for. */
penstock_status
pen_control_settled_lsn(pen_control *control, uint64_t *lsn, pen_error *error)
{
	uint64_t inserted;
	int64_t deadline;
	int delay_ms = 0;

	if (pen_control_current_lsn(control, &inserted, error) < 0 ||
		query_flush_delay(control, &delay_ms, error) < 0)
		return error->status;
	deadline = pen_clock_ms() + delay_ms + SETTLE_MS;
	for (;;)
	{
		if (query_lsn(control,
					  "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "
					  "ELSE pg_current_wal_flush_lsn() END",
					  lsn, error) < 0)
			return error->status;
		if (*lsn >= inserted || pen_clock_ms() >= deadline)
			return PENSTOCK_OK;
		if (pen_pq_execute(control->conn, "SELECT pg_sleep(0.02)", error) < 0)
			return error->status;
	}
}

/* ---- questions that are not waited for ---- */

penstock_status
pen_control_send(pen_control *control, pen_control_question question, const char *slot,
				 pen_error *error)
{
	static const char *const questions[] = {
		[PEN_CONTROL_RETAINED] =
			"SELECT pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() "
			"THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, "
			"restart_lsn)::bigint, coalesce(safe_wal_size, -1), coalesce(wal_status, '') "
			"FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND restart_lsn IS NOT NULL",
		[PEN_CONTROL_HEARTBEAT] =
			"SELECT pg_catalog.pg_logical_emit_message(false, 'penstock.heartbeat', '') "
			"WHERE NOT pg_catalog.pg_is_in_recovery() AND $1::text IS NOT NULL",
	};

	if (PQsendQueryParams(control->conn, questions[question], 1, NULL, &slot, NULL, NULL, 0) == 0)
	{
		pen_pq_error(error, control->conn, NULL);
		error->status = PENSTOCK_E_RETRY;
		return pen_error_context(error, "source");
	}
	control->asked = true;
	control->answered = false;
	control->reply = (pen_control_reply){.question = question};
	pen_error_clear(&control->failure);
	return PENSTOCK_OK;
}

/* What the server says unasked is not for us; that it has ended the session is seen on the way. */
penstock_status
pen_control_look(pen_control *control, pen_error *error)
{
	struct pollfd fd = {.fd = PQsocket(control->conn), .events = POLLIN};

	if (poll(&fd, 1, 0) <= 0)
		return PENSTOCK_OK;
	if (PQconsumeInput(control->conn) != 0 && PQisBusy(control->conn) == 0 &&
		PQstatus(control->conn) == CONNECTION_OK)
		return PENSTOCK_OK;
	pen_pq_error(error, control->conn, NULL);
	error->status = PENSTOCK_E_RETRY;
	return pen_error_context(error, "source");
}

bool
pen_control_is_asked(const pen_control *control)
{
	return control->asked;
}

static void
read_reply(const PGresult *result, pen_control_reply *reply)
{
	reply->found = PQntuples(result) == 1;
	if (!reply->found || reply->question != PEN_CONTROL_RETAINED)
		return;
	reply->retained.bytes = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	reply->retained.safe_bytes = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
	snprintf(reply->retained.wal_status, sizeof(reply->retained.wal_status), "%s",
			 PQgetvalue(result, 0, 2));
}

static const char *
what_failed(pen_control_question question)
{
	return question == PEN_CONTROL_HEARTBEAT ? "source: could not write a heartbeat"
											 : "source: could not see what the slot holds back";
}

static void
fail_reply(pen_control *control, const PGresult *result)
{
	pen_error *failure = &control->failure;

	pen_pq_error(failure, control->conn, result);
	failure->status =
		PQstatus(control->conn) == CONNECTION_BAD ? PENSTOCK_E_RETRY : PENSTOCK_E_CONFIG;
	pen_error_context(failure, "%s", what_failed(control->reply.question));
}

/* All of the answer has arrived, unless a question that was waited for has swept it away. */
static penstock_status
take_reply(pen_control *control, pen_control_reply *reply, pen_error *error)
{
	control->asked = false;
	*reply = control->reply;
	if (!control->answered)
		return PENSTOCK_AGAIN;
	if (control->failure.status < 0)
		*error = control->failure;
	return control->failure.status;
}

penstock_status
pen_control_receive(pen_control *control, pen_control_reply *reply, pen_error *error)
{
	PGresult *result;

	*reply = control->reply;
	if (PQconsumeInput(control->conn) == 0)
	{
		pen_pq_error(error, control->conn, NULL);
		error->status = PENSTOCK_E_RETRY;
		return pen_error_context(error, "source");
	}
	while (PQisBusy(control->conn) == 0)
	{
		result = PQgetResult(control->conn);
		if (result == NULL)
			return take_reply(control, reply, error);
		control->answered = true;
		if (PQresultStatus(result) == PGRES_TUPLES_OK)
			read_reply(result, &control->reply);
		else
			fail_reply(control, result);
		PQclear(result);
	}
	return PENSTOCK_AGAIN;
}

penstock_status
pen_control_each_table(pen_control *control,
					   bool (*take)(const char *schema, const char *name, void *context),
					   void *context, pen_error *error)
{
	PGresult *result = pen_pq_query(
		control->conn,
		"SELECT n.nspname, c.relname FROM pg_catalog.pg_class c "
		"JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
		"WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname "
		"<> 'information_schema' ORDER BY 1, 2",
		0, NULL, error);
	bool taken = true;

	if (result == NULL)
		return pen_error_context(error, "source: listing its tables");
	for (int row = 0; taken && row < PQntuples(result); row++)
		taken = take(PQgetvalue(result, row, 0), PQgetvalue(result, row, 1), context);
	PQclear(result);
	return taken ? PENSTOCK_OK
				 : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the source's tables");
}

penstock_status
pen_control_list_slots(pen_control *control,
					   void (*print)(const char *const *columns, void *context), void *context,
					   pen_error *error)
{
	PGresult *result =
		pen_pq_query(control->conn,
					 "SELECT slot_name, coalesce(plugin, ''), coalesce(database, ''), "
					 "CASE WHEN active THEN 'active' ELSE 'inactive' END, "
					 "coalesce(confirmed_flush_lsn::text, ''), "
					 "CASE WHEN restart_lsn IS NULL OR pg_is_in_recovery() THEN '' ELSE "
					 "pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) END, "
					 "coalesce(wal_status, '') FROM pg_catalog.pg_replication_slots "
					 "WHERE slot_type = 'logical' ORDER BY slot_name",
					 0, NULL, error);

	if (result == NULL)
		return pen_error_context(error, "source");
	for (int row = 0; row < PQntuples(result); row++)
	{
		const char *columns[7];

		for (int i = 0; i < 7; i++)
			columns[i] = PQgetvalue(result, row, i);
		print(columns, context);
	}
	PQclear(result);
	return PENSTOCK_OK;
}
