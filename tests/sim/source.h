/* source.h -- steps done at the source, and by the model.
 * One statement at a time, whatever the number of sessions: so the order of commits is known, and
 * each lies between two positions in the WAL that nothing else lies between. */
#ifndef SIM_SOURCE_H
#define SIM_SOURCE_H

#include <libpq-fe.h>

#include "history.h"
#include "model.h"
#include "report.h"

#define SIM_SAVEPOINTS_MAX 8
#define SIM_PREPARED_MAX   6

typedef struct sim_session
{
	PGconn *conn;
	bool open;
	bool exclusive;  /* it holds locks that readers would wait for */
	sim_state state; /* of the tables that are its own */
	int depth;
	sim_state saved[SIM_SAVEPOINTS_MAX];
} sim_session;

typedef struct sim_prepared
{
	int serial; /* in its gid; 0: none here */
	sim_state state;
} sim_prepared;

typedef struct sim_source
{
	sim_model *model;
	sim_failure *failure;
	const char *database;
	sim_session sessions[SIM_SESSIONS];
	sim_prepared prepared[SIM_PREPARED_MAX];
	int serial;
	int owner[SIM_TABLES_MAX]; /* a session + 1, or - (a prepared + 1); 0: nobody */
	long step;                 /* that is being done */
	/* Run a table's definition at the destinations, before it is run here. */
	bool (*define)(void *context, const char *sql, const sim_schema *schema);
	void *context;
	long transactions;
	long rows;
} sim_source;

extern void sim_source_init(sim_source *source, sim_model *model, sim_failure *failure,
							const char *database);
extern void sim_source_reset(sim_source *source);

/* A step of a session, or one that ends a prepared transaction. False: source->failure. */
extern bool sim_source_do(sim_source *source, const sim_step *step);

/* Commit what holds locks that those who load tables would wait for. */
extern bool sim_source_unlock(sim_source *source);

/* Roll back what is open; with prepared, commit what is prepared. */
extern bool sim_source_end_all(sim_source *source, bool prepared);

/* Nothing is open or prepared. */
extern bool sim_source_is_idle(const sim_source *source);

/* The server is gone, and with it what was open; connections are made anew. */
extern void sim_source_lost(sim_source *source);

#endif
