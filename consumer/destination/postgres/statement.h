/* statement.h -- the SQL for a table's changes: one row at a time, or in sets.
 * Every statement is made once and then prepared under its name. */
#ifndef PEN_STATEMENT_H
#define PEN_STATEMENT_H

#include "destination/postgres/target.h"

typedef enum pen_target_operation
{
	PEN_TARGET_INSERT,
	PEN_TARGET_UPDATE,
	PEN_TARGET_DELETE,
	PEN_TARGET_UPSERT,
	PEN_TARGET_MOVE, /* what an UPDATE of a GENERATED ALWAYS column cannot do */
	PEN_TARGET_SET_INSERT,
	PEN_TARGET_SET_UPDATE,
	PEN_TARGET_SET_DELETE
} pen_target_operation;

/*
 * One prepared statement: which value goes to which parameter. Parameters of a SET are arrays.
 */
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
	bool guarded;  /* an UPDATE that a MOVE must follow: one of the two finds the row */
	bool prepared; /* was sent */
	bool there;    /* and has been answered */
} pen_target_statement;

/* Give it a name that no statement of the session has had. */
extern void pen_target_statement_rename(pen_target_statement *statement);

/*
 * The statement for an operation, made at first use. left_out (updates only): a bit for each column
 * of the relation that keeps its value. NULL without memory.
 */
extern pen_target_statement *pen_target_statement_get(pen_target *target,
													  pen_target_operation operation,
													  const uint8_t *left_out, pen_error *error);

/* COPY … FROM STDIN, for free(), or NULL. */
extern char *pen_target_copy_sql(const pen_target *target);

/* "INSERT into", for messages. */
extern const char *pen_target_operation_name(pen_target_operation operation);

extern void pen_target_statements_free(pen_target_statement *statement);

#endif
