/* memory.c -- libpenstock in a thread, read by another. */
#include "memory.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "compare.h"
#include "penstock/penstock.h"
#include "servers.h"

#define STEP_MS      50
#define RESTARTS_MAX 20

struct sim_memory
{
	penstock *p;
	char conninfo[700];
	bool streaming;
	FILE *log;
	pthread_t thread;
	pthread_mutex_t mutex;
	bool ended;
	penstock_status status; /* when it has */
	int restarts;
};

static void
write_log(penstock_log_level level, const char *component, const char *text, void *context)
{
	sim_memory *memory = context;

	fprintf(memory->log, "memory: %d: %s: %s\n", (int) level, component, text);
	fflush(memory->log);
}

static void *
follow(void *context)
{
	sim_memory *memory = context;
	penstock_status status = penstock_open(memory->p);

	while (status >= 0 && status != PENSTOCK_DONE)
		status = penstock_step(memory->p, STEP_MS);
	pthread_mutex_lock(&memory->mutex);
	memory->ended = true;
	memory->status = status;
	pthread_mutex_unlock(&memory->mutex);
	return NULL;
}

static void
set(sim_memory *memory, const char *name, const char *value)
{
	if (penstock_set(memory->p, name, value) < 0)
		sim_die("%s", penstock_error(memory->p));
}

static void
start(sim_memory *memory)
{
	memory->ended = false;
	memory->p = penstock_new();
	if (memory->p == NULL)
		sim_die("out of memory");
	penstock_on_log(memory->p, write_log, memory);
	set(memory, "source", memory->conninfo);
	set(memory, "to", "memory:");
	set(memory, "progress_interval", "100ms");
	set(memory, "status_interval", "100ms");
	set(memory, "streaming", memory->streaming ? "on" : "off");
	if (pthread_create(&memory->thread, NULL, follow, memory) != 0)
		sim_die("could not start a thread");
}

static void
stop(sim_memory *memory)
{
	penstock_stop(memory->p);
	pthread_join(memory->thread, NULL);
	penstock_free(memory->p);
}

sim_memory *
sim_memory_new(const char *database, const sim_history *history, const char *log)
{
	sim_memory *memory = calloc(1, sizeof(*memory));

	if (memory == NULL)
		sim_die("out of memory");
	memory->log = fopen(log, "w");
	if (memory->log == NULL)
		sim_die("could not write %s", log);
	pthread_mutex_init(&memory->mutex, NULL);
	sim_server_conninfo(SIM_SOURCE, database, memory->conninfo, sizeof(memory->conninfo));
	memory->streaming = sim_history_option(history, SIM_STREAMING) != 0;
	start(memory);
	return memory;
}

void
sim_memory_free(sim_memory *memory)
{
	if (memory == NULL)
		return;
	stop(memory);
	fclose(memory->log);
	pthread_mutex_destroy(&memory->mutex);
	free(memory);
}

void
sim_memory_pause(sim_memory *memory)
{
	stop(memory);
}

void
sim_memory_resume(sim_memory *memory)
{
	start(memory);
}

bool
sim_memory_compare(sim_memory *memory, const sim_model *model, sim_failure *failure)
{
	penstock_snapshot *snapshot = penstock_snapshot_begin(memory->p);
	bool equal = snapshot == NULL || sim_compare_memory(snapshot, model, failure);

	penstock_snapshot_end(snapshot);
	return equal;
}

/* Where another try may help, it is made, as a program that embeds the library would. */
static bool
keep_alive(sim_memory *memory, sim_failure *failure)
{
	penstock_status status;
	bool ended;

	pthread_mutex_lock(&memory->mutex);
	ended = memory->ended;
	status = memory->status;
	pthread_mutex_unlock(&memory->mutex);
	if (!ended)
		return true;
	if (status != PENSTOCK_E_RETRY || memory->restarts++ == RESTARTS_MAX)
		return sim_fail(failure, "the tables in memory have stopped: %s",
						penstock_error(memory->p));
	stop(memory);
	start(memory);
	return true;
}

bool
sim_memory_lsn(sim_memory *memory, uint64_t *lsn, sim_failure *failure)
{
	penstock_snapshot *snapshot;

	*lsn = 0;
	if (!keep_alive(memory, failure))
		return false;
	snapshot = penstock_snapshot_begin(memory->p);
	if (snapshot != NULL)
		*lsn = penstock_snapshot_lsn(snapshot);
	penstock_snapshot_end(snapshot);
	return true;
}
