/* filter.h -- what is sent. */
#ifndef PENSTOCK_FILTER_H
#define PENSTOCK_FILTER_H

#include "compat.h"

/* Is the relation replicated at all? Asked once a description, not once a row. */
extern bool filter_relation(Relation relation);

#endif
