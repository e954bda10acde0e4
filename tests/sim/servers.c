/* servers.c -- pg_ctl, and connections that must work. */
#include "servers.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

#define CONNECT_TRIES 300
#define CONNECT_MS    50
#define START_TRIES   100
#define FAST_STOP_S   "20"

const char *const sim_server_names[SIM_SERVERS] = {"source", "sets", "ordered"};

static char folders[SIM_SERVERS][512];

void
sim_servers_in(const char *folder)
{
	for (int i = 0; i < SIM_SERVERS; i++)
		snprintf(folders[i], sizeof(folders[i]), "%.480s/%s", folder, sim_server_names[i]);
}

const char *
sim_server_folder(sim_server server)
{
	return folders[server];
}

void
sim_server_conninfo(sim_server server, const char *database, char *into, size_t size)
{
	snprintf(into, size, "postgresql:///%s?host=%s&user=postgres", database, folders[server]);
}

PGconn *
sim_connect(sim_server server, const char *database)
{
	char conninfo[700];
	PGconn *conn = NULL;

	sim_server_conninfo(server, database, conninfo, sizeof(conninfo));
	for (int try = 0; try < CONNECT_TRIES; try++)
	{
		PQfinish(conn);
		conn = PQconnectdb(conninfo);
		if (PQstatus(conn) == CONNECTION_OK)
		{
			sim_execute(conn, "SET client_min_messages = error; SET lock_timeout = '30s'; "
							  "SET timezone = 'UTC'; SET extra_float_digits = 1");
			return conn;
		}
		usleep(CONNECT_MS * 1000);
	}
	sim_die("%s: %s", sim_server_names[server], PQerrorMessage(conn));
}

static char *
print_sql(const char *format, va_list args)
{
	char *sql;

	if (vasprintf(&sql, format, args) < 0)
		sim_die("out of memory");
	return sql;
}

void
sim_execute(PGconn *conn, const char *format, ...)
{
	va_list args;
	char *sql;
	PGresult *result;

	va_start(args, format);
	sql = print_sql(format, args);
	va_end(args);
	result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		sim_die("%.300s: %s", sql, PQerrorMessage(conn));
	PQclear(result);
	free(sql);
}

char *
sim_value_of(PGconn *conn, const char *format, ...)
{
	va_list args;
	char *sql;
	char *value;
	PGresult *result;

	va_start(args, format);
	sql = print_sql(format, args);
	va_end(args);
	result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		sim_die("%.300s: %s", sql, PQerrorMessage(conn));
	value = strdup(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	if (value == NULL)
		sim_die("out of memory");
	PQclear(result);
	free(sql);
	return value;
}

uint64_t
sim_lsn_parse(const char *text)
{
	unsigned int high = 0;
	unsigned int low = 0;

	if (sscanf(text, "%X/%X", &high, &low) != 2)
		sim_die("\"%s\" is no LSN", text);
	return (uint64_t) high << 32 | low;
}

/* ---- stopping and starting ---- */

static bool
pg_ctl(sim_server server, const char *arguments)
{
	char command[1200];

	snprintf(command, sizeof(command), "pg_ctl -D '%s' -l '%s.log' -w -s %s >'%s.ctl' 2>&1",
			 folders[server], folders[server], arguments, folders[server]);
	return system(command) == 0;
}

/* The processes of a cluster end with their postmaster when it is killed, but not at once: and
 * until all have, no other may start. */
static void
kill_server(sim_server server)
{
	char command[1200];

	snprintf(command, sizeof(command),
			 "pid=$(head -n 1 '%s/postmaster.pid') && pids=$(ps -o pid= --ppid $pid) && "
			 "kill -9 $pid $pids 2>/dev/null",
			 folders[server]);
	(void) !system(command); /* a child may have ended by itself */
}

bool
sim_server_stop(sim_server server, sim_stop how)
{
	if (how == SIM_STOP_FAST && pg_ctl(server, "stop -m fast -t " FAST_STOP_S))
		return true;
	if (how == SIM_STOP_KILL)
		kill_server(server);
	else if (!pg_ctl(server, "stop -m immediate"))
		sim_die("could not stop: see %s.ctl", folders[server]);
	return how != SIM_STOP_FAST;
}

/* After a kill the shared memory is in use until the last process has noticed. */
void
sim_server_start(sim_server server)
{
	for (int try = 0; try < START_TRIES; try++)
	{
		if (pg_ctl(server, "start"))
			return;
		usleep(CONNECT_MS * 1000);
	}
	sim_die("could not start: see %s.log", folders[server]);
}
