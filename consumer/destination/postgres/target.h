/* target.h -- a table at the destination: which of its columns take what, and the SQL for it.
 * Made from a version of the source's relation and the destination's catalog. */
#ifndef PEN_TARGET_H
#define PEN_TARGET_H

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
} pen_target_column;

typedef enum pen_target_operation
{
	PEN_TARGET_INSERT,
	PEN_TARGET_UPDATE,
	PEN_TARGET_DELETE
} pen_target_operation;

/* One prepared statement: which value goes to which parameter. */
typedef struct pen_target_statement
{
	struct pen_target_statement *next;
	struct pen_target *target;
	pen_target_operation operation;
	char name[40];
	char *sql;
	uint8_t *left_out; /* update: a bit for each column that is not set */
	int *new_columns;  /* parameters 1..new_count: columns of the new row */
	int new_count;
	int *where_columns; /* the parameters after them: columns of the old row or key */
	int where_count;
	bool prepared;
} pen_target_statement;

typedef struct pen_target
{
	const penstock_relation *relation; /* holds a reference */
	char *quoted;                      /* schema.table */
	bool partitioned;
	bool has_identity;
	bool empty; /* when it was looked at */
	pen_target_column *columns;
	pen_target_statement *statements;
	unsigned int serial; /* of the target, and of its statements, in the session */
	unsigned int statement_count;
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

/*
 * The statement for an operation, made at first use. left_out (update only): a bit for each column
 * of the relation that keeps its value. NULL without memory.
 */
extern pen_target_statement *pen_target_statement_get(pen_target *target,
													  pen_target_operation operation,
													  const uint8_t *left_out, pen_error *error);

/* The columns by which an old row is found: the key, or all of them. */
extern bool pen_target_by_whole_row(const penstock_relation *relation);

#endif
