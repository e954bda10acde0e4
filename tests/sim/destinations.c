/* destinations.c -- a database of the same name at each server. */
#include "destinations.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DEADLOCKS_MAX 10

/* Tables with such a trigger are fed in order, whatever it does. */
static const char *const trigger_sql =
	"CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS"
	" 'BEGIN RETURN NULL; END';";

static void
wait_for(PGconn *conn)
{
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			sim_die("could not create a database: %s", PQerrorMessage(conn));
		PQclear(result);
	}
}

/* All at the same time. */
static void
create(const char *database)
{
	PGconn *conns[SIM_SERVERS];
	char sql[200];

	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", database);
	for (int i = 0; i < SIM_SERVERS; i++)
	{
		conns[i] = sim_connect((sim_server) i, "postgres");
		if (PQsendQuery(conns[i], sql) == 0)
			sim_die("%s: %s", sim_server_names[i], PQerrorMessage(conns[i]));
	}
	for (int i = 0; i < SIM_SERVERS; i++)
	{
		wait_for(conns[i]);
		sim_execute(conns[i],
					"ALTER DATABASE %s SET timezone = 'UTC';"
					"ALTER DATABASE %s SET client_min_messages = error",
					database, database);
		PQfinish(conns[i]);
	}
}

void
sim_databases_create(const char *database, const sim_history *history)
{
	create(database);
	for (int i = 0; i < SIM_SERVERS; i++)
	{
		PGconn *conn = sim_connect((sim_server) i, database);

		sim_execute(conn, "%s%s", sim_types_sql, trigger_sql);
		if (i == SIM_SOURCE)
			sim_execute(conn, "ALTER DATABASE %s SET logical_decoding_work_mem = '%" PRId64 "kB'",
						database, sim_history_option(history, SIM_WORK_MEM));
		PQfinish(conn);
	}
}

/* What is prepared and nobody will end. */
static void
end_prepared(sim_server server, const char *database)
{
	PGconn *conn = sim_connect(server, database);
	PGresult *result =
		PQexec(conn, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");

	for (int i = 0; i < PQntuples(result); i++)
		sim_execute(conn, "ROLLBACK PREPARED '%s'", PQgetvalue(result, i, 0));
	PQclear(result);
	PQfinish(conn);
}

void
sim_databases_drop(const char *database)
{
	for (int i = 0; i < SIM_SERVERS; i++)
	{
		PGconn *conn;

		end_prepared((sim_server) i, database);
		conn = sim_connect((sim_server) i, "postgres");
		sim_execute(conn,
					"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
					"WHERE datname = '%s'",
					database);
		sim_execute(conn,
					"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
					"WHERE database = '%s'",
					database);
		sim_execute(conn, "DROP DATABASE IF EXISTS %s_old WITH (FORCE)", database);
		sim_execute(conn, "DROP DATABASE %s WITH (FORCE)", database);
		sim_execute(conn, "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin");
		PQfinish(conn);
	}
}

static void
add_trigger(PGconn *conn, const sim_schema *schema)
{
	char *name = NULL;
	size_t length;
	FILE *out = open_memstream(&name, &length);

	if (out == NULL)
		sim_die("out of memory");
	sim_schema_print_name(out, schema);
	fclose(out);
	sim_execute(conn,
				"CREATE TRIGGER nothing AFTER INSERT ON %s FOR EACH ROW "
				"EXECUTE FUNCTION app.nothing(); ALTER TABLE %s ENABLE REPLICA TRIGGER nothing",
				name, name);
	free(name);
}

bool
sim_alter(PGconn *conn, const char *sql)
{
	for (int try = 0;; try++)
	{
		PGresult *result = PQexec(conn, sql);
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		bool deadlock = sqlstate != NULL && strcmp(sqlstate, "40P01") == 0;

		PQclear(result);
		if (sqlstate == NULL)
			return true;
		if (!deadlock || try == DEADLOCKS_MAX)
			return false;
	}
}

bool
sim_destination_define(sim_server server, const char *database, const char *sql,
					   const sim_schema *schema, sim_failure *failure)
{
	PGconn *conn = sim_connect(server, database);
	bool ok = sim_alter(conn, sql);

	if (!ok)
		sim_fail(failure, "%s: %s: %s", sim_server_names[server], sql, PQerrorMessage(conn));
	else if (server == SIM_ORDERED && strncmp(sql, "CREATE TABLE", 12) == 0)
		add_trigger(conn, schema);
	PQfinish(conn);
	return ok;
}
