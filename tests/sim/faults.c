/* faults.c -- each fault, and how it is mended.
 * A fault comes between two statements of the source, never within one: so nobody is in doubt
 * whether a transaction was committed there. */
#include "faults.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "destinations.h"
#include "power.h"
#include "world.h"

#define APART_MS 20

const char *const sim_fault_words[SIM_FAULTS + 1] = {
	[SIM_FAULT_KILL] = "kill",
	[SIM_FAULT_END] = "end",
	[SIM_FAULT_POWER] = "power",
	[SIM_FAULT_SOURCE_DOWN] = "source_down",
	[SIM_FAULT_DESTINATION_DOWN] = "destination_down",
	[SIM_FAULT_CUT_SOURCE] = "cut_source",
	[SIM_FAULT_CUT_DESTINATION] = "cut_destination",
	[SIM_FAULT_LOCK] = "lock",
	[SIM_FAULT_READ_ONLY] = "read_only",
	[SIM_FAULT_CLOSED] = "closed",
	[SIM_FAULT_REJECT] = "reject",
	[SIM_FAULT_BACKUP] = "backup",
	[SIM_FAULT_MEND] = "mend",
	[SIM_FAULT_RESTORE] = "restore",
	[SIM_FAULT_SLOT_DROPPED] = "slot_dropped",
	[SIM_FAULT_SLOT_ADVANCED] = "slot_advanced",
	[SIM_FAULT_SLOT_AGAIN] = "slot_again",
};

static sim_server
destination_of(int64_t where)
{
	return where % 2 == 0 ? SIM_SETS : SIM_ORDERED;
}

static bool
is_away(const sim_world *world, sim_server server)
{
	return world->down[server] || world->closed[server];
}

/* ---- the program ---- */

static void
start_again(sim_world *world, sim_process *process, int signal)
{
	sim_process_end(process, signal);
	sim_process_start(process, world->database, world->history);
}

/* ---- servers ---- */

static void
take_down(sim_world *world, sim_server server, int64_t how)
{
	if (world->down[server])
		return;
	sim_world_forget(world, server);
	world->down[server] = true;
	if (!sim_server_stop(server, (sim_stop) (how % 3)))
		sim_fail(world->failure, "%s cannot be stopped: somebody keeps it waiting",
				 sim_server_names[server]);
}

static void
bring_up(sim_world *world, sim_server server)
{
	if (!world->down[server])
		return;
	sim_server_start(server);
	world->down[server] = false;
}

/*
 * A server that is stopped in order waits until who follows has everything. Destinations are
 * mended for it; tables in memory, which take nothing while they are loaded again, are begun anew
 * after it.
 */
static void
restart_source(sim_world *world, sim_stop how)
{
	sim_mend(world);
	if (how == SIM_STOP_FAST)
		sim_memory_pause(world->memory);
	take_down(world, SIM_SOURCE, (int64_t) how);
	usleep(APART_MS * 1000);
	bring_up(world, SIM_SOURCE);
	if (how == SIM_STOP_FAST)
		sim_memory_resume(world->memory);
}

/* Whose application_name is the program's. */
static void
cut(sim_world *world, sim_server server)
{
	if (!is_away(world, server))
		sim_execute(sim_world_reader(world, server),
					"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
					"WHERE datname = current_database() AND application_name ~ 'penstock'");
}

static void
alter_database(sim_world *world, sim_server server, const char *what)
{
	PGconn *conn = sim_connect(server, "postgres");

	sim_execute(conn, "ALTER DATABASE %s %s", world->database, what);
	PQfinish(conn);
}

/* Everybody is sent away, and some may not come back. */
static void
expel(sim_world *world, sim_server server)
{
	PGconn *conn = sim_connect(server, "postgres");

	sim_world_forget(world, server);
	sim_execute(conn,
				"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
				"WHERE datname = '%s'",
				world->database);
	PQfinish(conn);
}

static void
set_closed(sim_world *world, sim_server server, bool closed)
{
	if (world->closed[server] == closed)
		return;
	alter_database(world, server, closed ? "ALLOW_CONNECTIONS false" : "ALLOW_CONNECTIONS true");
	if (closed)
		expel(world, server);
	world->closed[server] = closed;
}

static void
set_read_only(sim_world *world, sim_server server, bool read_only)
{
	if (world->read_only[server] == read_only)
		return;
	alter_database(world, server,
				   read_only ? "SET default_transaction_read_only = on"
							 : "RESET default_transaction_read_only");
	expel(world, server);
	world->read_only[server] = read_only;
}

/* ---- tables ---- */

/* A table that is there, as SQL: for free(), or NULL. */
static char *
some_table(sim_world *world, sim_server server, int64_t which)
{
	char *name =
		sim_value_of(sim_world_reader(world, server),
					 "SELECT oid::regclass FROM (SELECT oid, row_number() OVER (ORDER BY relname) "
					 "- 1 AS n, count(*) OVER () FROM pg_class WHERE relnamespace = "
					 "'app'::regnamespace AND relkind = 'r' AND NOT relispartition AND relname <> "
					 "'beat') t WHERE n = %" PRId64 " %% count",
					 which);

	if (name[0] != '\0')
		return name;
	free(name);
	return NULL;
}

static void
unlock_table(sim_world *world, sim_server server)
{
	PQfinish(world->lockers[server]);
	world->lockers[server] = NULL;
}

/* Unless it is not to be had, as when the program has prepared a transaction. */
static void
lock_table(sim_world *world, sim_server server, int64_t which)
{
	char *table;
	char sql[200];
	PGresult *result;

	if (is_away(world, server) || world->lockers[server] != NULL)
		return;
	table = some_table(world, server, which);
	if (table == NULL)
		return;
	world->lockers[server] = sim_connect(server, world->database);
	sim_execute(world->lockers[server],
				"SET default_transaction_read_only = off; SET lock_timeout = '500ms'; BEGIN");
	snprintf(sql, sizeof(sql), "LOCK TABLE %s IN SHARE MODE", table);
	result = PQexec(world->lockers[server], sql);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		unlock_table(world, server);
	PQclear(result);
	free(table);
}

/* Every table, so that the next row is rejected. */
static void
reject_rows(sim_world *world, sim_server server, bool reject)
{
	static const char *const format =
		"DO $$ DECLARE name text; BEGIN FOR name IN SELECT oid::regclass FROM pg_class WHERE "
		"relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND "
		"relname <> 'beat' LOOP EXECUTE 'ALTER TABLE ' || name || '%s'; END LOOP; END $$";
	char sql[600];
	PGconn *conn;

	if (world->constrained[server] == reject)
		return;
	conn = sim_connect(server, world->database);
	snprintf(sql, sizeof(sql), format,
			 reject ? " ADD CONSTRAINT never CHECK (id < 0) NOT VALID"
					: " DROP CONSTRAINT IF EXISTS never");
	sim_execute(conn, "SET default_transaction_read_only = off");
	if (!sim_alter(conn, sql))
		sim_die("%s: %s", sim_server_names[server], PQerrorMessage(conn));
	PQfinish(conn);
	world->constrained[server] = reject;
}

bool
sim_is_rejecting(const sim_world *world)
{
	return world->constrained[SIM_SETS] || world->constrained[SIM_ORDERED];
}

/* ---- backups ---- */

/* Of a database that nobody is connected to. */
static void
copy_database(sim_world *world, sim_server server, const char *from, const char *to)
{
	PGconn *conn = sim_connect(server, "postgres");

	expel(world, server);
	sim_execute(conn, "DROP DATABASE IF EXISTS %s WITH (FORCE)", to);
	sim_execute(conn, "CREATE DATABASE %s TEMPLATE %s", to, from);
	sim_execute(conn, "ALTER DATABASE %s SET timezone = 'UTC'", to);
	PQfinish(conn);
}

static void
back_up(sim_world *world, sim_server server)
{
	sim_process *process = sim_world_feeder(world, server);
	char backup[40];

	/* What is prepared belongs to no copy. */
	if (is_away(world, server) || world->read_only[server] ||
		sim_history_option(world->history, SIM_TWO_PHASE) != 0)
		return;
	snprintf(backup, sizeof(backup), "%.30s_old", world->database);
	sim_process_end(process, SIGKILL);
	copy_database(world, server, world->database, backup);
	sim_process_start(process, world->database, world->history);
	world->backed_up[server] = world->definition_count + 1;
}

static void
restore(sim_world *world, sim_server server)
{
	sim_process *process = sim_world_feeder(world, server);
	char backup[40];

	if (world->backed_up[server] == 0)
		return;
	sim_mend(world);
	snprintf(backup, sizeof(backup), "%.30s_old", world->database);
	sim_process_end(process, SIGKILL);
	copy_database(world, server, backup, world->database);
	for (int i = world->backed_up[server] - 1; i < world->definition_count; i++)
		(void) sim_destination_define(server, world->database, world->definitions[i].sql,
									  world->definitions[i].schema, world->failure);
	sim_process_start(process, world->database, world->history);
}

/* ---- slots ---- */

/* With the program out of the way. */
static void
change_slot(sim_world *world, sim_process *process, sim_fault fault)
{
	PGconn *conn = sim_world_reader(world, SIM_SOURCE);

	sim_process_end(process, SIGKILL);
	sim_execute(conn,
				"SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
				"WHERE slot_name = '%s' AND active_pid IS NOT NULL",
				process->slot);
	if (fault == SIM_FAULT_SLOT_ADVANCED)
		sim_execute(conn, "SELECT pg_replication_slot_advance('%s', pg_current_wal_flush_lsn())",
					process->slot);
	else
		sim_execute(conn, "SELECT pg_drop_replication_slot('%s')", process->slot);
	if (fault == SIM_FAULT_SLOT_AGAIN && sim_source_is_idle(&world->source))
		sim_execute(conn, "SELECT pg_create_logical_replication_slot('%s', 'penstock', false, %s)",
					process->slot,
					sim_history_option(world->history, SIM_TWO_PHASE) != 0 ? "true" : "false");
	sim_process_start(process, world->database, world->history);
}

/* ---- all of them ---- */

static void
may_refuse(sim_world *world)
{
	world->may_refuse = true;
	for (int i = 0; i < world->process_count; i++)
		world->processes[i].watched_from = sim_process_log_length(&world->processes[i]);
}

void
sim_mend(sim_world *world)
{
	bool rejecting = sim_is_rejecting(world);

	for (int i = 0; i < SIM_SERVERS; i++)
	{
		sim_server server = (sim_server) i;

		bring_up(world, server);
		set_closed(world, server, false);
		set_read_only(world, server, false);
		unlock_table(world, server);
		reject_rows(world, server, false);
	}
	/* What was rejected is tried again by who starts again. */
	for (int i = 0; rejecting && !world->failure->is && i < world->process_count; i++)
		start_again(world, &world->processes[i], SIGTERM);
}

static void
break_destination(sim_world *world, const sim_step *step)
{
	sim_server server = destination_of(step->args[1]);

	switch ((sim_fault) step->args[0])
	{
		case SIM_FAULT_DESTINATION_DOWN:
			if (world->closed[server])
				break;
			take_down(world, server, step->args[2]);
			if (step->args[2] % 2 == 0)
				bring_up(world, server);
			break;
		case SIM_FAULT_CUT_DESTINATION:
			cut(world, server);
			break;
		case SIM_FAULT_LOCK:
			lock_table(world, server, step->args[2]);
			break;
		case SIM_FAULT_READ_ONLY:
			if (!is_away(world, server))
				set_read_only(world, server, true);
			break;
		case SIM_FAULT_CLOSED:
			if (!world->down[server])
				set_closed(world, server, true);
			break;
		case SIM_FAULT_REJECT:
			unlock_table(world, server);
			/* What is prepared there holds locks, and constraints need more of them. */
			if (!is_away(world, server) && sim_history_option(world->history, SIM_TWO_PHASE) == 0)
				reject_rows(world, server, true);
			break;
		case SIM_FAULT_BACKUP:
			back_up(world, server);
			break;
		default:
			may_refuse(world);
			restore(world, server);
	}
}

void
sim_break(sim_world *world, const sim_step *step)
{
	sim_process *process = &world->processes[step->args[1] % world->process_count];

	sim_world_start(world);
	world->faulty = true;
	sim_world_freeze(world, false);
	switch ((sim_fault) step->args[0])
	{
		case SIM_FAULT_KILL:
			start_again(world, process, SIGKILL);
			break;
		case SIM_FAULT_END:
			start_again(world, process, SIGTERM);
			break;
		case SIM_FAULT_POWER:
			sim_process_end(process, SIGKILL);
			sim_lose_power(process->state_dir);
			sim_process_start(process, world->database, world->history);
			break;
		case SIM_FAULT_SOURCE_DOWN:
			restart_source(world, (sim_stop) (step->args[2] % 3));
			break;
		case SIM_FAULT_CUT_SOURCE:
			cut(world, SIM_SOURCE);
			break;
		case SIM_FAULT_MEND:
			sim_mend(world);
			break;
		case SIM_FAULT_SLOT_DROPPED:
		case SIM_FAULT_SLOT_ADVANCED:
		case SIM_FAULT_SLOT_AGAIN:
			may_refuse(world);
			change_slot(world, process, (sim_fault) step->args[0]);
			break;
		default:
			break_destination(world, step);
	}
}
