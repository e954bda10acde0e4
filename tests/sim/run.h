/* run.h -- a history from beginning to end: at the source, in the model, and wherever it is
 * followed to. */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "history.h"
#include "report.h"

typedef struct sim_outcome
{
	sim_failure failure;
	long failed_step; /* from 1; 0: at the end */
	long transactions;
	long rows;
	long comparisons;
	bool refused; /* a destination, as it may be after what has happened */
} sim_outcome;

/* scratch: a folder for logs and state. quiet: nothing is printed. */
extern void sim_run(const sim_history *history, const char *scratch, sim_outcome *outcome);

#endif
