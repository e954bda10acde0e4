/* wanted.h -- which of the source's tables a run wants. */
#ifndef PEN_WANTED_H
#define PEN_WANTED_H

#include "follower.h"

/*
 * The mapping of each destination against the tables that there are now; of later ones it is seen
 * when they come. E_CONFIG: sections contradict each other, or two tables would be one.
 */
extern penstock_status pen_wanted_check(penstock *p);

/* Begin the stream at from, with the plugin told which tables are wanted. */
extern penstock_status pen_wanted_start(penstock *p, uint64_t from);

#endif
