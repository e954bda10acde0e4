/* run.c -- steps in their order, and at the end everybody has what the model has.
 * What the seed determines: the steps, the values, and at which step something goes wrong. What it
 * does not: how far a follower is when that happens, what the servers' processes do meanwhile, and
 * which commits it takes together. A failure that depends on those may not come again at once. */
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "compare.h"
#include "destinations.h"
#include "memory.h"
#include "model.h"
#include "process.h"
#include "servers.h"
#include "source.h"

#define SETTLE_MS     60000
#define POLL_MS       5
#define LOAD_TRIES    60
#define PROCESSES_MAX 2

typedef struct run
{
	const sim_history *history;
	sim_outcome *outcome;
	char database[32];
	sim_model model;
	sim_source source;
	sim_process processes[PROCESSES_MAX];
	int process_count;
	sim_memory *memory;
	PGconn *readers[SIM_SERVERS]; /* that compare */
	char memory_log[600];
	bool started;
} run;

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static PGconn *
reader(run *r, sim_server server)
{
	if (r->readers[server] == NULL)
		r->readers[server] = sim_connect(server, r->database);
	return r->readers[server];
}

/* ---- who follows ---- */

static sim_process *
feeder(run *r, sim_server server)
{
	int n = 0;

	while (!r->processes[n].fed[server])
		n++;
	return &r->processes[n];
}

static void
plan_processes(run *r, const char *scratch)
{
	static const char *const slots[PROCESSES_MAX] = {"sim", "sim_ordered"};

	r->process_count = sim_history_option(r->history, SIM_SEPARATE) != 0 ? 2 : 1;
	for (int i = 0; i < r->process_count; i++)
	{
		sim_process *process = &r->processes[i];

		process->slot = slots[i];
		snprintf(process->log, sizeof(process->log), "%.500s/%s.log", scratch, slots[i]);
		snprintf(process->state_dir, sizeof(process->state_dir), "%.500s/%s.%s", scratch,
				 r->database, slots[i]);
		remove(process->log);
		mkdir(process->state_dir, 0700);
	}
	r->processes[0].fed[SIM_SETS] = true;
	r->processes[r->process_count - 1].fed[SIM_ORDERED] = true;
	snprintf(r->memory_log, sizeof(r->memory_log), "%.500s/memory.log", scratch);
}

static void
create_slots(run *r)
{
	for (int i = 0; i < r->process_count; i++)
	{
		sim_execute(reader(r, SIM_SOURCE),
					"SELECT pg_create_logical_replication_slot('%s', 'penstock', false, %s)",
					r->processes[i].slot,
					sim_history_option(r->history, SIM_TWO_PHASE) != 0 ? "true" : "false");
	}
}

/* Tables in memory are loaded behind locks, and whoever defines a table in that moment keeps them
 * waiting for ten seconds: that may happen, but not in every run. */
static void
await_memory(run *r)
{
	sim_failure ignored = {0};
	uint64_t lsn = 0;

	for (int i = 0; i < LOAD_TRIES && lsn == 0; i++)
	{
		usleep(POLL_MS * 1000);
		(void) sim_memory_lsn(r->memory, &lsn, &ignored);
	}
}

static void
start_all(run *r)
{
	if (r->started)
		return;
	r->started = true;
	for (int i = 0; i < r->process_count; i++)
		sim_process_start(&r->processes[i], r->database, r->history);
	r->memory = sim_memory_new(r->database, r->history, r->memory_log);
	await_memory(r);
}

static void
freeze_all(run *r, bool frozen)
{
	for (int i = 0; i < r->process_count; i++)
		sim_process_freeze(&r->processes[i], frozen);
}

/* Definitions wait for locks, so that nobody may hold one in his sleep. */
static bool
define(void *context, const char *sql, const sim_schema *schema)
{
	run *r = context;

	freeze_all(r, false);
	return sim_destinations_define(r->database, sql, schema, &r->outcome->failure);
}

/* A program that has ended by itself has found something. */
static bool
all_live(run *r)
{
	for (int i = 0; i < r->process_count; i++)
	{
		sim_process *process = &r->processes[i];
		char *tail;

		if (!r->started || !sim_process_has_ended(process))
			continue;
		tail = sim_process_tail(process);
		sim_fail(&r->outcome->failure, "penstock has ended by itself, exit code %d:\n%s",
				 process->exit_code, tail);
		free(tail);
		return false;
	}
	return true;
}

/* ---- comparing ---- */

/* at_end: nobody may be in the way. */
static bool
compare_destination(run *r, sim_server server, bool at_end)
{
	sim_failure *failure = &r->outcome->failure;

	switch (sim_compare_destination(reader(r, server), sim_server_names[server],
									feeder(r, server)->slot, &r->model, failure))
	{
		case SIM_EQUAL:
			r->outcome->comparisons++;
			return true;
		case SIM_DIFFERENT:
			return false;
		case SIM_NOT_COMPARED:
			break;
	}
	return !at_end || sim_fail(failure, "%s: a table stays locked", sim_server_names[server]);
}

static bool
compare_all(run *r, bool at_end)
{
	for (int i = SIM_DESTINATIONS_FROM; i < SIM_SERVERS; i++)
	{
		if (!compare_destination(r, (sim_server) i, at_end))
			return false;
	}
	return r->memory == NULL || sim_memory_compare(r->memory, &r->model, &r->outcome->failure);
}

/* Has everybody all that was committed before lsn? */
static bool
all_have(run *r, uint64_t lsn, char *missing, size_t size)
{
	uint64_t in_memory;

	for (int i = SIM_DESTINATIONS_FROM; i < SIM_SERVERS; i++)
	{
		uint64_t progress =
			sim_progress(reader(r, (sim_server) i), feeder(r, (sim_server) i)->slot);

		snprintf(missing, size, "%s is at " SIM_LSN_FORMAT, sim_server_names[i],
				 SIM_LSN_ARGS(progress));
		if (progress < lsn)
			return false;
	}
	if (!sim_memory_lsn(r->memory, &in_memory, &r->outcome->failure))
		return false;
	/* Loading again waits for every transaction, also for those that are prepared. */
	if (!sim_source_is_idle(&r->source))
		return true;
	snprintf(missing, size, "memory is at " SIM_LSN_FORMAT, SIM_LSN_ARGS(in_memory));
	return in_memory > lsn;
}

/* Wait until everybody has everything: a row that the model does not know comes behind it. */
static bool
settle(run *r)
{
	long until = now_ms() + SETTLE_MS;
	char missing[100] = "";
	char *tail;
	char *text;
	uint64_t lsn;

	start_all(r);
	freeze_all(r, false);
	if (!sim_source_unlock(&r->source))
		return false;
	text = sim_value_of(reader(r, SIM_SOURCE), "SELECT pg_current_wal_insert_lsn()");
	lsn = sim_lsn_parse(text);
	free(text);
	sim_execute(reader(r, SIM_SOURCE), "INSERT INTO app.beat VALUES (1)");
	while (!r->outcome->failure.is && all_live(r))
	{
		if (all_have(r, lsn, missing, sizeof(missing)))
			return true;
		if (now_ms() > until)
			break;
		usleep(POLL_MS * 1000);
	}
	tail = sim_process_tail(&r->processes[0]);
	sim_fail(&r->outcome->failure, "not everybody has got to " SIM_LSN_FORMAT ": %s\n%s",
			 SIM_LSN_ARGS(lsn), missing, tail);
	free(tail);
	return false;
}

/* ---- steps ---- */

static bool
do_step(run *r, const sim_step *step)
{
	switch (step->kind)
	{
		case SIM_OPTION:
			return true;
		case SIM_START:
			start_all(r);
			return true;
		case SIM_COMPARE:
			return all_live(r) && compare_all(r, false);
		case SIM_SETTLE:
			return settle(r) && compare_all(r, true);
		case SIM_FREEZE:
			freeze_all(r, true);
			return true;
		case SIM_THAW:
			freeze_all(r, false);
			return true;
		default:
			return sim_source_do(&r->source, step);
	}
}

static bool
do_steps(run *r)
{
	for (size_t i = 0; i < r->history->count; i++)
	{
		r->outcome->failed_step = r->source.step = (long) i + 1;
		if (!do_step(r, &r->history->steps[i]))
			return false;
	}
	r->outcome->failed_step = 0;
	return true;
}

/* First with what is prepared, which is no part of any state, then without. */
static bool
finish(run *r)
{
	return sim_source_end_all(&r->source, false) && settle(r) && compare_all(r, true) &&
		   sim_source_end_all(&r->source, true) && settle(r) &&
		   sim_compare_source(reader(r, SIM_SOURCE), &r->model, &r->outcome->failure) &&
		   compare_all(r, true);
}

/* An end in good order is part of what is tested. */
static void
end_processes(run *r)
{
	for (int i = 0; i < r->process_count; i++)
	{
		sim_process *process = &r->processes[i];

		if (process->pid == 0)
			continue;
		sim_process_end(process, r->outcome->failure.is ? SIGKILL : SIGTERM);
		if (!r->outcome->failure.is && process->exit_code != 0)
			sim_fail(&r->outcome->failure, "penstock does not end in order: exit code %d",
					 process->exit_code);
	}
}

static void
clean_up(run *r)
{
	end_processes(r);
	sim_memory_free(r->memory);
	sim_source_reset(&r->source);
	for (int i = 0; i < SIM_SERVERS; i++)
		PQfinish(r->readers[i]);
	sim_model_reset(&r->model);
	sim_databases_drop(r->database);
}

void
sim_run(const sim_history *history, const char *scratch, sim_outcome *outcome)
{
	static int number;
	run r = {.history = history, .outcome = outcome};

	memset(outcome, 0, sizeof(*outcome));
	snprintf(r.database, sizeof(r.database), "sim_%d", ++number);
	sim_model_init(&r.model);
	sim_source_init(&r.source, &r.model, &outcome->failure, r.database);
	r.source.define = define;
	r.source.context = &r;
	plan_processes(&r, scratch);
	sim_databases_create(r.database, history);
	create_slots(&r);
	if (do_steps(&r))
		(void) finish(&r);
	outcome->transactions = r.source.transactions;
	outcome->rows = r.source.rows;
	clean_up(&r);
}
