/* faults.h -- what may go wrong, and is made to. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>

struct sim_world;
struct sim_step;

typedef enum sim_fault
{
	SIM_FAULT_KILL,             /* kill -9 of the program, which is started again */
	SIM_FAULT_END,              /* an end in order, and a start */
	SIM_FAULT_POWER,            /* kill -9, and what it had on disk without a sync is gone */
	SIM_FAULT_SOURCE_DOWN,      /* stopped in one of three ways, and started */
	SIM_FAULT_DESTINATION_DOWN, /* as well; half of the time it stays down until it is mended */
	SIM_FAULT_CUT_SOURCE,       /* the program's connections are ended by the server */
	SIM_FAULT_CUT_DESTINATION,
	SIM_FAULT_LOCK,      /* another session locks a table against writing */
	SIM_FAULT_READ_ONLY, /* a destination */
	SIM_FAULT_CLOSED,    /* a destination takes no connections */
	SIM_FAULT_REJECT,    /* a destination rejects rows by a constraint */
	SIM_FAULT_BACKUP,    /* a destination is copied */
	SIM_FAULT_MEND,      /* whatever can be */
	/* After these the program may refuse to go on, and history ends soon. */
	SIM_FAULT_RESTORE, /* a destination is what it was at its backup */
	SIM_FAULT_SLOT_DROPPED,
	SIM_FAULT_SLOT_ADVANCED,
	SIM_FAULT_SLOT_AGAIN, /* dropped and created */
	SIM_FAULTS
} sim_fault;

#define SIM_FAULTS_MENDED SIM_FAULT_RESTORE /* those before it */

extern const char *const sim_fault_words[SIM_FAULTS + 1];

extern void sim_break(struct sim_world *world, const struct sim_step *step);

/* All is well again, but for what is lost. */
extern void sim_mend(struct sim_world *world);

/* Is there a constraint that rejects rows? */
extern bool sim_is_rejecting(const struct sim_world *world);

#endif
