/* memory.h -- tables in the memory of this program, fed by a thread of their own. */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include "history.h"
#include "model.h"
#include "report.h"

typedef struct sim_memory sim_memory;

/* Start to follow the source's database. What is logged goes to a file. */
extern sim_memory *sim_memory_new(const char *database, const sim_history *history,
								  const char *log);
extern void sim_memory_free(sim_memory *memory);

/* Let go of the source, and begin anew. In between nothing else may be asked. */
extern void sim_memory_pause(sim_memory *memory);
extern void sim_memory_resume(sim_memory *memory);

/* Compare what is there now, if anything is yet. */
extern bool sim_memory_compare(sim_memory *memory, const sim_model *model, sim_failure *failure);

/* The last commit that is there, 0 before the tables are loaded. False: it has stopped. */
extern bool sim_memory_lsn(sim_memory *memory, uint64_t *lsn, sim_failure *failure);

#endif
