/* publication.h -- which changes the publications of the option `publications` let through. */
#ifndef PENSTOCK_PUBLICATION_H
#define PENSTOCK_PUBLICATION_H

#include "filter.h"

/* The publications by name. What is remembered of them lives in context, and is forgotten with it. */
extern void publication_init(MemoryContext context, List *names);

/* Something about publications may have changed: read them anew when next asked. */
extern void publication_invalidate(void);

/*
 * Set all members of sent but those that are right already for a relation in no publication. The
 * rules are pgoutput's: what several publications say adds up; column lists that contradict each
 * other are an ERROR.
 */
extern void publication_filter(Relation relation, SentRelation *sent);

#endif
