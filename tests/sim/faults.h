/* faults.h -- what may go wrong, and is made to. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

typedef enum sim_fault
{
	SIM_FAULT_KILL, /* the program, by kill -9, and started again */
	SIM_FAULTS
} sim_fault;

extern const char *const sim_fault_words[SIM_FAULTS + 1];

#endif
