/* failpoint.h -- places where a test has the program die, as by kill -9: between two changes of
 * state that must come about together, or be put right at the next start.
 *
 * They are there only when built with -DPENSTOCK_FAILPOINTS. PENSTOCK_FAILPOINT=NAME in the
 * environment, or NAME:COUNT, is the place, and which time it is passed. */
#ifndef PEN_FAILPOINT_H
#define PEN_FAILPOINT_H

#ifdef PENSTOCK_FAILPOINTS
#define PEN_FAILPOINT(name) pen_failpoint(name)
/* Thread-safe. */
extern void pen_failpoint(const char *name);
#else
#define PEN_FAILPOINT(name) ((void) 0)
#endif

#endif
