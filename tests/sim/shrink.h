/* shrink.h -- the least of a history that still fails. */
#ifndef SIM_SHRINK_H
#define SIM_SHRINK_H

#include "history.h"
#include "run.h"

/*
 * Take steps out of the history as long as it fails without them, for so many seconds. *outcome is
 * that of the last one that failed. A history that fails by chance may end larger than it need be.
 */
extern void sim_shrink(sim_history *history, const char *scratch, long seconds,
					   sim_outcome *outcome);

#endif
