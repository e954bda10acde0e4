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
#include "faults.h"
#include "destinations.h"
#include "memory.h"
#include "model.h"
#include "process.h"
#include "servers.h"
#include "source.h"
#include "world.h"

#define SETTLE_MS 60000
#define HANG_S    600
#define POLL_MS   5

typedef struct run
{
	sim_world world;
	sim_outcome *outcome;
} run;

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- comparing ---- */

/* at_end: nobody may be in the way. */
static bool
compare_destination(run *r, sim_server server, bool at_end)
{
	sim_failure *failure = &r->outcome->failure;

	if (r->world.down[server] || r->world.closed[server])
		return true;
	switch (sim_compare_destination(sim_world_reader(&r->world, server), sim_server_names[server],
									sim_world_feeder(&r->world, server)->slot, &r->world.model,
									failure))
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
	return r->world.memory == NULL ||
		   sim_memory_compare(r->world.memory, &r->world.model, &r->outcome->failure);
}

/* Has everybody all that was committed before lsn? */
static bool
all_have(run *r, uint64_t lsn, char *missing, size_t size)
{
	uint64_t in_memory;

	for (int i = SIM_DESTINATIONS_FROM; i < SIM_SERVERS; i++)
	{
		uint64_t progress = sim_progress(sim_world_reader(&r->world, (sim_server) i),
										 sim_world_feeder(&r->world, (sim_server) i)->slot);

		snprintf(missing, size, "%s is at " SIM_LSN_FORMAT, sim_server_names[i],
				 SIM_LSN_ARGS(progress));
		if (progress < lsn && !sim_world_has_refused(&r->world, (sim_server) i))
			return false;
	}
	if (!sim_memory_lsn(r->world.memory, &in_memory, &r->outcome->failure))
		return false;
	/* Loading again waits for every transaction, also for those that are prepared. */
	if (!sim_source_is_idle(&r->world.source))
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

	sim_world_start(&r->world);
	sim_world_freeze(&r->world, false);
	sim_mend(&r->world);
	if (!sim_source_unlock(&r->world.source))
		return false;
	text =
		sim_value_of(sim_world_reader(&r->world, SIM_SOURCE), "SELECT pg_current_wal_insert_lsn()");
	lsn = sim_lsn_parse(text);
	free(text);
	sim_execute(sim_world_reader(&r->world, SIM_SOURCE), "INSERT INTO app.beat VALUES (1)");
	while (!r->outcome->failure.is && sim_world_revive(&r->world))
	{
		if (all_have(r, lsn, missing, sizeof(missing)))
			return true;
		if (now_ms() > until)
			break;
		usleep(POLL_MS * 1000);
	}
	tail = sim_process_tail(&r->world.processes[0]);
	sim_fail(&r->outcome->failure, "not everybody has got to " SIM_LSN_FORMAT ": %s\n%s",
			 SIM_LSN_ARGS(lsn), missing, tail);
	free(tail);
	return false;
}

/* The source, too, once nobody is behind. */
static bool
compare_everything(run *r)
{
	return sim_compare_source(sim_world_reader(&r->world, SIM_SOURCE), &r->world.model,
							  &r->outcome->failure) &&
		   compare_all(r, true);
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
			sim_world_start(&r->world);
			return true;
		case SIM_COMPARE:
			return sim_world_revive(&r->world) && compare_all(r, false);
		case SIM_SETTLE:
			return settle(r) && compare_everything(r);
		case SIM_FREEZE:
			sim_world_freeze(&r->world, true);
			return true;
		case SIM_THAW:
			sim_world_freeze(&r->world, false);
			return true;
		case SIM_FAULT:
			sim_break(&r->world, step);
			return !r->outcome->failure.is;
		default:
			return sim_source_do(&r->world.source, step);
	}
}

static bool
do_steps(run *r)
{
	for (size_t i = 0; i < r->world.history->count; i++)
	{
		r->outcome->failed_step = r->world.source.step = (long) i + 1;
		if (!do_step(r, &r->world.history->steps[i]))
			return false;
	}
	r->outcome->failed_step = 0;
	return true;
}

/* First with what is prepared, which is no part of any state, then without. */
static bool
finish(run *r)
{
	return sim_source_end_all(&r->world.source, false) && settle(r) && compare_everything(r) &&
		   sim_source_end_all(&r->world.source, true) && settle(r) && compare_everything(r);
}

void
sim_run(const sim_history *history, const char *scratch, sim_outcome *outcome)
{
	static int number;
	static run r; /* large */

	memset(outcome, 0, sizeof(*outcome));
	r.outcome = outcome;
	/* Whoever hangs is ended, and with it the program, by SIGALRM. */
	alarm(HANG_S);
	sim_world_init(&r.world, history, scratch, ++number, &outcome->failure);
	if (do_steps(&r))
		(void) finish(&r);
	outcome->transactions = r.world.source.transactions;
	outcome->rows = r.world.source.rows;
	outcome->refused =
		sim_world_has_refused(&r.world, SIM_SETS) || sim_world_has_refused(&r.world, SIM_ORDERED);
	sim_world_reset(&r.world);
	alarm(0);
}
