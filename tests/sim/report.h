/* report.h -- what is said: the failure of a run, and the end of the program for what is no fault
 * of Penstock's. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include <stdbool.h>

/* The first thing that went wrong in a run; later ones are its consequences. */
typedef struct sim_failure
{
	bool is;
	char text[4000];
} sim_failure;

/* Always false, so that it can be returned. */
extern bool sim_fail(sim_failure *failure, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The simulation itself cannot go on: exit code 2. */
extern void sim_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
