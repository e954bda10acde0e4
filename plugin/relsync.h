/* relsync.h -- what has been sent of each relation, and how its columns are encoded. */
#ifndef PENSTOCK_RELSYNC_H
#define PENSTOCK_RELSYNC_H

#include "compat.h"
#include "fmgr.h"

#include "types.h"

/* How one column is written. */
typedef struct ColumnEncoder
{
	int attribute; /* index in the deformed tuple */
	pen_encoding encoding;
	bool varlena; /* may be toasted */
	bool key;     /* in the replica identity */
	bool int2;    /* INT: which integer */
	bool int4;
	FmgrInfo output; /* OUTPUT */
} ColumnEncoder;

typedef struct RelationEntry
{
	Oid relid;     /* hash key */
	bool valid;    /* nothing has changed since it was built */
	bool touched;  /* the relation itself has changed, or is gone */
	bool sent;     /* the description below has been sent as number */
	bool filtered; /* not replicated */
	bool full;     /* REPLICA IDENTITY FULL */
	uint32 number;
	int column_count;
	ColumnEncoder *columns;
	uint8 *description; /* packed Relation without its number */
	Size description_len;
	Size row_guess;        /* bytes of the last row */
	void *format_data;     /* a format's own, or NULL */
	MemoryContext context; /* of all of the above */
} RelationEntry;

/* A cache that lives as long as context. One a process at a time. */
extern void relsync_init(MemoryContext context);

/*
 * Let go of what may be of dropped relations, when there is much of it. No entry is to be held over
 * this. A relation that is not gone is described anew, under a new number.
 */
extern void relsync_trim(void);

/* The entry of a relation, rebuilt if something may have changed. A real change clears sent and
 * gives the next number. */
extern RelationEntry *relsync_get(Relation relation);

#endif
