/* generator.h -- a history from a seed. */
#ifndef SIM_GENERATOR_H
#define SIM_GENERATOR_H

#include "history.h"

/* steps: how many transactions and other happenings; the history has more lines. */
extern void sim_generate(sim_history *history, uint64_t seed, long steps, bool faults);

#endif
