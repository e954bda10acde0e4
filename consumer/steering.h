/* steering.h -- what commands do to a follower, in the receiver's thread and between two steps. */
#ifndef PEN_STEERING_H
#define PEN_STEERING_H

#include "penstock/penstock.h"

/* Carry out what is asked for, and show a new status where one is due. */
extern void pen_steering_run(penstock *p);

/* See penstock_pause and penstock_resume. "" and NULL are all destinations. E_CONFIG and p->error
 * when there is no such destination. */
extern penstock_status pen_steering_pause(penstock *p, const char *destination);
extern penstock_status pen_steering_resume(penstock *p, const char *destination);

#endif
