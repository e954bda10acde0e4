/* world.h -- all that takes part in a run: source, model, those who follow, and what is broken. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "history.h"
#include "memory.h"
#include "model.h"
#include "process.h"
#include "report.h"
#include "servers.h"
#include "source.h"

#define SIM_PROCESSES_MAX   2
#define SIM_DEFINITIONS_MAX 500

/* What has been defined at the destinations, to be defined again where one is restored. */
typedef struct sim_definition
{
	char *sql;
	const sim_schema *schema;
} sim_definition;

typedef struct sim_world
{
	const sim_history *history;
	sim_failure *failure;
	char database[32];
	sim_model model;
	sim_source source;
	sim_process processes[SIM_PROCESSES_MAX];
	int process_count;
	sim_memory *memory;
	PGconn *readers[SIM_SERVERS]; /* that compare */
	char memory_log[600];
	bool started;
	sim_definition definitions[SIM_DEFINITIONS_MAX];
	int definition_count;

	/* What is broken, until it is mended. */
	bool down[SIM_SERVERS];
	bool closed[SIM_SERVERS]; /* nobody may connect */
	bool read_only[SIM_SERVERS];
	bool constrained[SIM_SERVERS];
	PGconn *lockers[SIM_SERVERS];

	int backed_up[SIM_SERVERS]; /* definitions there were, + 1; 0: no backup */
	bool may_refuse;            /* going on could lose or double rows */
	bool faulty;                /* something has been broken: an end may be followed by a start */
	int starts;
} sim_world;

extern void sim_world_init(sim_world *world, const sim_history *history, const char *scratch,
						   int number, sim_failure *failure);
extern void sim_world_reset(sim_world *world);

/* A connection that is kept, to the run's database. */
extern PGconn *sim_world_reader(sim_world *world, sim_server server);

/* Forget connections to a server that has closed them. */
extern void sim_world_forget(sim_world *world, sim_server server);

extern sim_process *sim_world_feeder(sim_world *world, sim_server server);
extern void sim_world_start(sim_world *world);
extern void sim_world_freeze(sim_world *world, bool frozen);

/*
 * Start again what has ended because something was broken. False: a program has ended, or stopped
 * feeding a destination, for no such reason.
 */
extern bool sim_world_revive(sim_world *world);

/* Is a destination refused, as it may be? */
extern bool sim_world_has_refused(sim_world *world, sim_server server);

#endif
