/* giving.h -- which destinations are given the transaction that goes ahead of its commit, and
 * whether the stream waits for them. Private to the receiver's thread. */
#ifndef PEN_GIVING_H
#define PEN_GIVING_H

#include "penstock/penstock.h"

/* The parts are made: have transactions go ahead, where a destination takes them. */
extern void pen_giving_begin(penstock *p);

/* Hand on what the last message brought of the transaction that goes ahead. After what else it
 * brought, and before any of a transaction that is pending. */
extern void pen_giving_run(penstock *p);

/* Read no more for now: those who are given it have enough, and nobody else waits. */
extern bool pen_giving_holds(penstock *p, int64_t now_ms);

#endif
