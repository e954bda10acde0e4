/* publication.h -- which changes the publications of the option `publications` let through. */
#ifndef PENSTOCK_PUBLICATION_H
#define PENSTOCK_PUBLICATION_H

#include "filter.h"

/* The publications by name.
 * What is remembered of them lives in context, and is forgotten with it. */
extern void publication_init(MemoryContext context, List *names);

/* Something about publications may have changed: read them anew when next asked. */
extern void publication_invalidate(void);

/*
 * The publications that a relation is in, to be merged, or NIL. Sets actions and send_as. The rules
 * are pgoutput's: what several publications say adds up.
 */
extern List *publication_find(Relation relation, SentRelation *sent);

/* Sets columns and row filters. Column lists that contradict each other are an ERROR. */
extern void publication_merge(List *published_by, SentRelation *sent);

#endif
