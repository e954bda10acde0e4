/* process.h -- a `penstock run` of its own, and what became of it. */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "history.h"
#include "servers.h"

typedef struct sim_process
{
	const char *slot;
	bool fed[SIM_SERVERS]; /* the destinations that it feeds */
	char log[600];
	char state_dir[600];
	pid_t pid; /* 0: it does not run */
	bool frozen;
	long watched_from; /* in the log: since something happened */
	int exit_code;     /* of the last one that ended; -1: by a signal */
} sim_process;

/* Start the program by the history's options. It appends to its log. */
extern void sim_process_start(sim_process *process, const char *database,
							  const sim_history *history);

/* Has it ended by itself? */
extern bool sim_process_has_ended(sim_process *process);

/* Send a signal, and wait for the end: exit_code then tells. A frozen one is thawed for SIGTERM. */
extern void sim_process_end(sim_process *process, int signal);
extern void sim_process_freeze(sim_process *process, bool frozen);

/* Does the log, from this offset, have the text? */
extern bool sim_process_said(const sim_process *process, const char *text, long from);
extern long sim_process_log_length(const sim_process *process);

/* The errors in the log, its last lines, for people. For free(). */
extern char *sim_process_tail(const sim_process *process);

#endif
