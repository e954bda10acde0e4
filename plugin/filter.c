/* filter.c -- what is sent: all tables whose changes the WAL holds in full. */
#include "postgres.h"

#include "filter.h"

#include "catalog/pg_class.h"

bool
filter_relation(Relation relation)
{
	return relation->rd_rel->relkind == RELKIND_RELATION ||
		   relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
}
