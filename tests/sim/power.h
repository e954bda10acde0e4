/* power.h -- what the power's failure takes from a state directory. */
#ifndef SIM_POWER_H
#define SIM_POWER_H

/* Cut each log below the directory to what it says that it has synced: nothing else is certain to
 * be there. While nobody has it open. */
extern void sim_lose_power(const char *state_dir);

#endif
