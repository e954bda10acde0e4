/* compare.h -- a database, or tables in memory, and the model. */
#ifndef SIM_COMPARE_H
#define SIM_COMPARE_H

#include <libpq-fe.h>

#include "model.h"
#include "penstock/penstock.h"
#include "report.h"

/* How far a destination is with a slot; 0 where nothing is recorded yet. */
extern uint64_t sim_progress(PGconn *conn, const char *slot);

/* The source, which has everything that is committed. */
extern bool sim_compare_source(PGconn *conn, const sim_model *model, sim_failure *failure);

typedef enum sim_comparison
{
	SIM_EQUAL,
	SIM_DIFFERENT,
	SIM_NOT_COMPARED /* who follows has locked a table */
} sim_comparison;

/* A destination in one snapshot: its progress for a slot, and all tables as of it. */
extern sim_comparison sim_compare_destination(PGconn *conn, const char *name, const char *slot,
											  const sim_model *model, sim_failure *failure);

/* What a snapshot sees of the tables in memory. */
extern bool sim_compare_memory(penstock_snapshot *snapshot, const sim_model *model,
							   sim_failure *failure);

#endif
