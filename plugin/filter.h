/* filter.h -- what is sent: of which tables, which changes, columns and rows.
 * Asked once a description, not once a row; row filters are evaluated in rowfilter.h. */
#ifndef PENSTOCK_FILTER_H
#define PENSTOCK_FILTER_H

#include "compat.h"
#include "nodes/bitmapset.h"

#include "options.h"

/* The actions that have rows, and so may have a row filter: insert, update, delete. */
#define ROW_ACTION_COUNT ACTION_TRUNCATE

/* What of a relation is sent. */
typedef struct SentRelation
{
	int actions; /* ACTION_BITs; 0: nothing is */
	Oid send_as; /* itself, or the ancestor of a partition as which its rows are sent */
	bool all_columns;
	Bitmapset *columns;                  /* else: attnums of send_as */
	Node *row_filters[ROW_ACTION_COUNT]; /* over columns of send_as; NULL: every row */
} SentRelation;

/* Everything palloc'd in the current context, but for what the options hold. */
extern void filter_relation(const PenstockOptions *options, Relation relation, SentRelation *sent);

/* Is this column of target, as which the rows are sent, among the sent ones? */
extern bool filter_column(const PenstockOptions *options, const SentRelation *sent, Relation target,
						  Form_pg_attribute attribute);

extern bool filter_message(const PenstockOptions *options, const char *prefix);

#endif
