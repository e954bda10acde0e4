/* describe.h -- a relation as the wire describes it, read from the catalogs. */
#ifndef PENSTOCK_DESCRIBE_H
#define PENSTOCK_DESCRIBE_H

#include "compat.h"

#include "filter.h"
#include "types.h"

typedef struct DescribedColumn
{
	int attribute; /* index in the relation's tuple descriptor */
	int identity;  /* position in the replica identity, or 0 */
	Oid type;
	Oid type_schema;
	Oid base_type;
	pen_encoding encoding;
} DescribedColumn;

/* All palloc'd in the current context. */
typedef struct RelationDescription
{
	uint8 *packed; /* a Relation message whose number is 0 */
	Size packed_len;
	int column_count;
	DescribedColumn *columns;
	int *source; /* for each attribute of the target, its index in the relation's, or -1 */
} RelationDescription;

/* target: as which the relation's rows are sent; most often the relation itself. */
extern void describe_relation(RelationDescription *described, const PenstockOptions *options,
							  const SentRelation *sent, Relation relation, Relation target);

/*
 * The name in UTF-8, palloc'd. In one that cannot be converted each byte beyond ASCII becomes \xHH,
 * so that different names stay different.
 */
extern char *describe_name(const char *name);

/* Any text, with \xHH for each byte beyond ASCII: needs no catalog. */
extern char *describe_ascii(const char *text);

#endif
