/* faults.c -- each fault, and how it is mended. */
#include "faults.h"

const char *const sim_fault_words[SIM_FAULTS + 1] = {
	[SIM_FAULT_KILL] = "kill",
};
