/* row.h -- the values of one row as the parameters of a prepared statement. */
#ifndef PEN_ROW_H
#define PEN_ROW_H

#include "destination/postgres/statement.h"
#include "wire.h"

/* Scratch space for one statement's parameters, used again for the next. All zero is empty. */
typedef struct pen_row
{
	const char **values;
	int *lengths;
	int *formats;
	int count;
	int capacity;
	char *space; /* converted values */
	size_t space_used;
	size_t space_size;
} pen_row;

extern void pen_row_free(pen_row *row);

/*
 * Fill the parameters of a statement from an event: new columns from new_values, conditions from
 * old_values, each an array by column. E_DATA, naming the column, for a value that does not fit.
 */
extern penstock_status pen_row_bind(pen_row *row, const pen_target_statement *statement,
									const pen_value *new_values, const pen_value *old_values,
									pen_error *error);

#endif
