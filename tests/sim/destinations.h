/* destinations.h -- the databases of a run, at all servers, and definitions that reach them. */
#ifndef SIM_DESTINATIONS_H
#define SIM_DESTINATIONS_H

#include "history.h"
#include "model.h"
#include "report.h"
#include "servers.h"

/* Create the databases anew, with what tables need; drop them. */
extern void sim_databases_create(const char *database, const sim_history *history);
extern void sim_databases_drop(const char *database);

/* Run a statement that locks tables. The program has locks of its own, so that a deadlock is part
 * of life: it is tried again. False: another error. */
extern bool sim_alter(PGconn *conn, const char *sql);

/* Run a definition of a table at a destination; in the one that is fed in order a table gets a
 * trigger. */
extern bool sim_destination_define(sim_server server, const char *database, const char *sql,
								   const sim_schema *schema, sim_failure *failure);

#endif
