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

/* Run a definition of a table at both destinations; in the one that is fed in order a table gets
 * a trigger. */
extern bool sim_destinations_define(const char *database, const char *sql, const sim_schema *schema,
									sim_failure *failure);

#endif
