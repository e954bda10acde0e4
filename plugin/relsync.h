/* relsync.h -- what has been sent of each relation, and how its columns are encoded. */
#ifndef PENSTOCK_RELSYNC_H
#define PENSTOCK_RELSYNC_H

#include "compat.h"
#include "fmgr.h"

#include "options.h"
#include "outtext.h"
#include "penstock.pb-c.h"
#include "rowfilter.h"
#include "types.h"
#include "wire.h"

/* How one column is written. */
typedef struct ColumnEncoder
{
	int attribute; /* index in the deformed tuple */
	pen_encoding encoding;
	bool varlena; /* may be toasted */
	bool key;     /* in the replica identity */
	bool int2;    /* INT: which integer */
	bool int4;
	OutputText text; /* OUTPUT */
	FmgrInfo send;   /* BINARY */
} ColumnEncoder;

/*
 * A relation whose rows are sent as those of an ancestor shares that one's description and number
 * where the two agree, which is but for odd replica identities; else it has its own.
 */
typedef struct RelationEntry
{
	Oid relid;    /* hash key */
	bool valid;   /* nothing has changed since it was built */
	bool touched; /* the relation itself has changed, or is gone */
	bool sent;    /* the description below has been sent as number */
	bool full;    /* REPLICA IDENTITY FULL */
	int actions;  /* ACTION_BITs that are sent */
	Oid send_as;  /* relid, or the ancestor's */
	uint32 number;
	uint32 build; /* of all builds, which one made it */
	uint32 send_as_build;
	int column_count;
	ColumnEncoder *columns;
	TupleDesc key_desc;    /* of old rows that are but a key, up to its last column; or NULL */
	RowFilter *row_filter; /* NULL: every row */
	uint8 *description;    /* packed Relation without its number */
	Size description_len;
	Penstock__V1__Relation *message; /* the same, unpacked when first asked for */
	uint32 *catalog_hashes;          /* of the rows of other catalogs that it was built from */
	int catalog_hash_count;
	Size row_guess;        /* bytes of the last row */
	void *format_data;     /* a format's own; NULL when the entry is new */
	MemoryContext context; /* of all of the above */
} RelationEntry;

/* A cache that lives as long as context. One a process at a time. */
extern void relsync_init(MemoryContext context, const PenstockOptions *options);

/*
 * Let go of what may be of dropped relations, when there is much of it. No entry is to be held over
 * this. A relation that is not gone is described anew, under a new number.
 */
extern void relsync_trim(void);

/* The entry of a relation, rebuilt if something may have changed. A real change clears sent and
 * gives the next number. */
extern RelationEntry *relsync_get(Relation relation);

/* The entry under whose number the rows of this one are sent: most often itself. */
extern RelationEntry *relsync_described_by(RelationEntry *entry);

/* entry->message; lives as long as the entry's context. */
extern const Penstock__V1__Relation *relsync_message(RelationEntry *entry);

#endif
