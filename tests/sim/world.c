/* world.c -- who takes part, and how they begin and end. */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destinations.h"
#include "faults.h"

#define LOAD_TRIES 60
#define LOAD_MS    5
#define STARTS_MAX 200

static void
plan_processes(sim_world *world, const char *scratch)
{
	static const char *const slots[SIM_PROCESSES_MAX] = {"sim", "sim_ordered"};

	world->process_count = sim_history_option(world->history, SIM_SEPARATE) != 0 ? 2 : 1;
	for (int i = 0; i < world->process_count; i++)
	{
		sim_process *process = &world->processes[i];

		process->slot = slots[i];
		snprintf(process->log, sizeof(process->log), "%.500s/%s.log", scratch, slots[i]);
		snprintf(process->state_dir, sizeof(process->state_dir), "%.500s/%s.%s", scratch,
				 world->database, slots[i]);
		remove(process->log);
		mkdir(process->state_dir, 0700);
	}
	world->processes[0].fed[SIM_SETS] = true;
	world->processes[world->process_count - 1].fed[SIM_ORDERED] = true;
	snprintf(world->memory_log, sizeof(world->memory_log), "%.500s/memory.log", scratch);
}

static void
create_slots(sim_world *world)
{
	for (int i = 0; i < world->process_count; i++)
	{
		sim_execute(sim_world_reader(world, SIM_SOURCE),
					"SELECT pg_create_logical_replication_slot('%s', 'penstock', false, %s)",
					world->processes[i].slot,
					sim_history_option(world->history, SIM_TWO_PHASE) != 0 ? "true" : "false");
	}
}

/* Definitions wait for locks, so that nobody may hold one in his sleep. */
static bool
define(void *context, const char *sql, const sim_schema *schema)
{
	sim_world *world = context;
	sim_definition *definition = &world->definitions[world->definition_count];

	if (world->definition_count == SIM_DEFINITIONS_MAX)
		sim_die("more definitions than %d", SIM_DEFINITIONS_MAX);
	definition->sql = strdup(sql);
	definition->schema = schema;
	world->definition_count++;
	sim_world_freeze(world, false);
	sim_mend(world);
	for (int i = SIM_DESTINATIONS_FROM; i < SIM_SERVERS; i++)
	{
		if (!sim_destination_define((sim_server) i, world->database, sql, schema, world->failure))
			return false;
	}
	return true;
}

void
sim_world_init(sim_world *world, const sim_history *history, const char *scratch, int number,
			   sim_failure *failure)
{
	memset(world, 0, sizeof(*world));
	world->history = history;
	world->failure = failure;
	snprintf(world->database, sizeof(world->database), "sim_%d", number);
	sim_model_init(&world->model);
	sim_source_init(&world->source, &world->model, failure, world->database);
	world->source.define = define;
	world->source.context = world;
	plan_processes(world, scratch);
	sim_databases_create(world->database, history);
	create_slots(world);
}

/* An end in good order is part of what is tested. */
static void
end_processes(sim_world *world)
{
	for (int i = 0; i < world->process_count; i++)
	{
		sim_process *process = &world->processes[i];

		if (process->pid == 0)
			continue;
		sim_process_end(process, world->failure->is ? SIGKILL : SIGTERM);
		if (process->exit_code != 0 && !world->may_refuse)
			sim_fail(world->failure, "penstock does not end in order: exit code %d",
					 process->exit_code);
	}
}

void
sim_world_reset(sim_world *world)
{
	end_processes(world);
	sim_mend(world);
	sim_source_reset(&world->source);
	sim_memory_free(world->memory);
	for (int i = 0; i < SIM_SERVERS; i++)
		PQfinish(world->readers[i]);
	for (int i = 0; i < world->definition_count; i++)
		free(world->definitions[i].sql);
	sim_model_reset(&world->model);
	sim_databases_drop(world->database);
}

PGconn *
sim_world_reader(sim_world *world, sim_server server)
{
	if (world->readers[server] == NULL)
		world->readers[server] = sim_connect(server, world->database);
	return world->readers[server];
}

void
sim_world_forget(sim_world *world, sim_server server)
{
	PQfinish(world->readers[server]);
	world->readers[server] = NULL;
	PQfinish(world->lockers[server]);
	world->lockers[server] = NULL;
	if (server == SIM_SOURCE)
		sim_source_lost(&world->source);
}

sim_process *
sim_world_feeder(sim_world *world, sim_server server)
{
	int n = 0;

	while (!world->processes[n].fed[server])
		n++;
	return &world->processes[n];
}

/* Tables in memory are loaded behind locks, and whoever defines a table in that moment keeps them
 * waiting for ten seconds: that may happen, but not in every run. */
static void
await_memory(sim_world *world)
{
	sim_failure ignored = {0};
	uint64_t lsn = 0;

	for (int i = 0; i < LOAD_TRIES && lsn == 0; i++)
	{
		usleep(LOAD_MS * 1000);
		(void) sim_memory_lsn(world->memory, &lsn, &ignored);
	}
}

void
sim_world_start(sim_world *world)
{
	if (world->started)
		return;
	world->started = true;
	for (int i = 0; i < world->process_count; i++)
		sim_process_start(&world->processes[i], world->database, world->history);
	world->memory = sim_memory_new(world->database, world->history, world->memory_log);
	await_memory(world);
}

void
sim_world_freeze(sim_world *world, bool frozen)
{
	for (int i = 0; i < world->process_count; i++)
		sim_process_freeze(&world->processes[i], frozen);
}

/* ---- ends ---- */

static bool
unexpected(sim_world *world, sim_process *process)
{
	char *tail = sim_process_tail(process);

	if (process->pid == 0)
		sim_fail(world->failure, "penstock has ended by itself, exit code %d:\n%s",
				 process->exit_code, tail);
	else
		sim_fail(world->failure, "penstock has stopped feeding a destination:\n%s", tail);
	free(tail);
	return false;
}

/* Its exit code says whether another try may help. */
static bool
revive(sim_world *world, sim_process *process)
{
	if (!sim_process_has_ended(process))
		return world->faulty || !sim_process_said(process, "this destination is stopped", 0) ||
			   unexpected(world, process);
	if (process->exit_code == 4 && (world->may_refuse || sim_is_rejecting(world)))
		return true;
	if (process->exit_code != 1 || !world->faulty || ++world->starts > STARTS_MAX)
		return unexpected(world, process);
	sim_process_start(process, world->database, world->history);
	return true;
}

bool
sim_world_revive(sim_world *world)
{
	for (int i = 0; i < world->process_count && world->started; i++)
	{
		if (!revive(world, &world->processes[i]))
			return false;
	}
	return true;
}

bool
sim_world_has_refused(sim_world *world, sim_server server)
{
	sim_process *process = sim_world_feeder(world, server);
	char text[80];

	snprintf(text, sizeof(text), "destination %s:", sim_server_names[server]);
	return world->may_refuse &&
		   ((process->pid == 0 && process->exit_code == 4) ||
			(sim_process_said(process, text, process->watched_from) &&
			 sim_process_said(process, "this destination is stopped", process->watched_from)));
}
