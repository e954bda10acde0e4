/* describe.h -- a relation as the wire describes it, read from the catalogs. */
#ifndef PENSTOCK_DESCRIBE_H
#define PENSTOCK_DESCRIBE_H

#include "compat.h"

/* All palloc'd in the current context. */
typedef struct RelationDescription
{
	uint8 *packed; /* a Relation message whose number is 0 */
	Size packed_len;
	int column_count;
	int *attributes; /* for each column, its index in the tuple descriptor */
	int *identity;   /* for each column, its position in the replica identity, or 0 */
} RelationDescription;

extern void describe_relation(RelationDescription *described, Relation relation);

/*
 * The name in UTF-8, palloc'd. In one that cannot be converted each byte beyond ASCII becomes \xHH,
 * so that different names stay different.
 */
extern char *describe_name(const char *name);

#endif
