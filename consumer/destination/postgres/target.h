/* target.h -- a table at the destination: which of its columns take what, and how far its changes
 * may leave source order. Made from a version of the source's relation and the destination's
 * catalog. */
#ifndef PEN_TARGET_H
#define PEN_TARGET_H

#include "destination/postgres/form.h"
#include "destination/postgres/pipeline.h"
#include "penstock/event.h"

/* How a source column meets the destination's. */
typedef struct pen_target_column
{
	char *quoted;
	Oid type;       /* at the destination, below domains */
	Oid param_type; /* of our parameter; 0: as the destination's column */
	bool binary;    /* the parameter travels in binary */
	bool skip;      /* generated at the destination */
	bool identity_always;
	bool deterministic; /* its collation */
	char *equal;        /* the = of its indexes, as SQL */

	/* As an array: of elements in array_form, or, where that is NONE, of texts that are cast. */
	pen_form array_form;
	Oid element_type;
	char *array_type; /* SQL, without the [] */
	char *cast;       /* SQL; NULL: none */
	bool no_array;    /* the cast would not be the type's input function */
	pen_form copy_form;
	bool no_copy; /* the value must be converted by the server */
} pen_target_column;

/* What may be done with the table's changes. */
typedef enum pen_target_mode
{
	PEN_TARGET_SETS,    /* only the net change of each key counts */
	PEN_TARGET_APPEND,  /* inserts that follow one another go together, the rest in order */
	PEN_TARGET_ORDERED, /* everything in order, among the changes of all tables */
} pen_target_mode;

/* Why a change is not part of a set. */
typedef enum pen_reason
{
	PEN_REASON_SMALL,       /* few changes: not worth it */
	PEN_REASON_KEY_CHANGED, /* an update of the key */
	PEN_REASON_NO_KEY,      /* no replica identity, or whole rows */
	PEN_REASON_NO_INDEX,    /* none at the destination that is unique on the key */
	PEN_REASON_KEY_TYPE,    /* equal keys may differ in their bytes */
	PEN_REASON_TYPE,        /* a column's type takes no arrays of ours */
	PEN_REASON_DEFERRABLE,
	PEN_REASON_EXCLUSION,
	PEN_REASON_EFFECTS, /* triggers, foreign keys, rules, row security */
	PEN_REASON_TRUNCATE,
	PEN_REASON_FAILED,   /* the sets did, and were rolled back */
	PEN_REASON_CONFLICT, /* carefully, after a row was rejected */
	PEN_REASON_COUNT
} pen_reason;

/* "key_type", for messages. */
extern const char *pen_reason_name(pen_reason reason);

typedef struct pen_target
{
	const penstock_relation *relation; /* holds a reference */
	char *quoted;                      /* schema.table */
	bool partitioned;
	bool has_identity;
	bool has_always; /* an identity column GENERATED ALWAYS */
	bool deferrable; /* has a deferrable constraint */
	bool empty;      /* when it was looked at */
	pen_target_column *columns;
	char **own_columns; /* quoted: of the destination alone, and not generated */
	int own_count;
	bool has_key_index; /* immediate and unique, on the key's columns */
	bool arrays;        /* every column can be one */
	pen_target_mode mode;
	pen_reason reason; /* why not SETS */
	enum
	{
		PEN_COPY_NO,
		PEN_COPY_TEXT,
		PEN_COPY_BINARY
	} copy;
	struct pen_target_statement *statements; /* statement.h */
	unsigned int serial; /* of the target, and of its statements, in the session */
	unsigned int statement_count;

	/* A set that fails costs its work twice: the next ones are not tried. */
	unsigned int failures;
	uint64_t distrusted_until; /* the number of the batch that may try them again */
} pen_target;

/*
 * Look the table up at the destination. NULL and error: E_WAITING with the ALTER or CREATE TABLE
 * that is missing, E_REFUSED where triggers or cascades would apply effects twice (replica: the
 * session has session_replication_role=replica, which rules that out). look_if_empty fills empty.
 */
extern pen_target *pen_target_new(pen_pipeline *pipeline, PGconn *conn,
								  const penstock_relation *relation, bool allow_triggers,
								  unsigned int serial, pen_error *error);
extern void pen_target_free(pen_target *target);

/* The columns by which an old row is found: the key, or all of them. */
extern bool pen_target_by_whole_row(const penstock_relation *relation);

/* "ONLY ", where children of the table are tables of their own; "" for a partitioned one. */
extern const char *pen_target_only(const pen_target *target);

#endif
