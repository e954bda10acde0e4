/* row.c -- wire values to libpq parameters.
 * Space is reserved for the whole row before the first pointer into it is taken. */
#include "destination/postgres/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"

#define FIXED_BYTES    8             /* the largest converted number */
#define SPACE_KEPT_MAX (1024 * 1024) /* more is given back after the row that needed it */

void
pen_row_free(pen_row *row)
{
	free(row->values);
	free(row->lengths);
	free(row->formats);
	free(row->space);
	*row = (pen_row){0};
}

static bool
reserve(pen_row *row, int parameters, size_t bytes)
{
	if (parameters > row->capacity)
	{
		size_t n = (size_t) parameters;

		free(row->values);
		free(row->lengths);
		free(row->formats);
		row->values = calloc(n, sizeof(*row->values));
		row->lengths = calloc(n, sizeof(*row->lengths));
		row->formats = calloc(n, sizeof(*row->formats));
		row->capacity = parameters;
		if (row->values == NULL || row->lengths == NULL || row->formats == NULL)
		{
			row->capacity = 0;
			return false;
		}
	}
	if (bytes > row->space_size || row->space_size > SPACE_KEPT_MAX)
	{
		free(row->space);
		row->space = malloc(bytes);
		row->space_size = row->space != NULL ? bytes : 0;
	}
	row->count = 0;
	row->space_used = 0;
	return row->space != NULL || bytes == 0;
}

static void
add(pen_row *row, const void *value, size_t length, int format)
{
	row->values[row->count] = value;
	row->lengths[row->count] = (int) length;
	row->formats[row->count] = format;
	row->count++;
}

static void
add_number(pen_row *row, uint64_t value, size_t size)
{
	char *into = row->space + row->space_used;

	for (size_t i = 0; i < size; i++)
		into[i] = (char) (value >> (8 * (size - 1 - i)));
	row->space_used += size;
	add(row, into, size, 1);
}

static void
add_text(pen_row *row, const pen_value *value)
{
	char *into = row->space + row->space_used;

	memcpy(into, value->data, value->len);
	into[value->len] = '\0';
	row->space_used += value->len + 1;
	add(row, into, value->len, 0);
}

/* Bytes in the binary form of an integer-like type; 0: not one. */
static size_t
integer_size(const penstock_column *column)
{
	switch (column->base_type_oid)
	{
		case PEN_OID_INT2:
			return 2;
		case PEN_OID_INT4:
		case PEN_OID_OID:
		case PEN_OID_DATE:
			return 4;
		default:
			return 8;
	}
}

static bool
integer_fits(const penstock_column *column, int64_t value)
{
	switch (column->base_type_oid)
	{
		case PEN_OID_INT2:
			return value >= INT16_MIN && value <= INT16_MAX;
		case PEN_OID_INT4:
		case PEN_OID_DATE:
			return value >= INT32_MIN && value <= INT32_MAX;
		case PEN_OID_OID:
			return value >= 0 && value <= UINT32_MAX;
		default:
			return true;
	}
}

static penstock_status
bind_value(pen_row *row, const penstock_column *column, const pen_target_column *to,
		   const pen_value *value, pen_error *error)
{
	uint32_t bits32;
	uint64_t bits64;

	switch (value->kind)
	{
		case PEN_VALUE_NULL:
			add(row, NULL, 0, to->binary);
			return PENSTOCK_OK;
		case PEN_VALUE_BOOL:
			add_number(row, value->boolean, 1);
			return PENSTOCK_OK;
		case PEN_VALUE_INT:
			if (!integer_fits(column, value->integer))
				break;
			add_number(row, (uint64_t) value->integer, integer_size(column));
			return PENSTOCK_OK;
		case PEN_VALUE_FLOAT:
			memcpy(&bits32, &value->float4, sizeof(bits32));
			add_number(row, bits32, 4);
			return PENSTOCK_OK;
		case PEN_VALUE_DOUBLE:
			memcpy(&bits64, &value->float8, sizeof(bits64));
			add_number(row, bits64, 8);
			return PENSTOCK_OK;
		case PEN_VALUE_STRING:
		case PEN_VALUE_BYTES:
			if (value->len > INT32_MAX / 2)
				break;
			if (to->binary)
				add(row, value->data, value->len, 1);
			else if (memchr(value->data, '\0', value->len) != NULL)
				break;
			else
				add_text(row, value);
			return PENSTOCK_OK;
		case PEN_VALUE_UNCHANGED:
			break;
	}
	return pen_error_set(error, PENSTOCK_E_DATA, "a value of column %s cannot be sent",
						 column->name);
}

/* Bytes that converted values of these columns may need. */
static size_t
space_for(const pen_target *target, const int *columns, int count, const pen_value *values)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
	{
		const pen_value *value = &values[columns[i]];
		bool text = (value->kind == PEN_VALUE_STRING || value->kind == PEN_VALUE_BYTES) &&
					!target->columns[columns[i]].binary;

		bytes += text ? value->len + 1 : FIXED_BYTES;
	}
	return bytes;
}

penstock_status
pen_row_bind(pen_row *row, const pen_target_statement *statement, const pen_value *new_values,
			 const pen_value *old_values, pen_error *error)
{
	const pen_target *target = statement->target;
	const penstock_column *columns = target->relation->columns;
	size_t bytes = space_for(target, statement->new_columns, statement->new_count, new_values) +
				   space_for(target, statement->where_columns, statement->where_count, old_values);

	if (!reserve(row, statement->new_count + statement->where_count + 1, bytes))
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a row");
	for (int i = 0; i < statement->new_count; i++)
	{
		int column = statement->new_columns[i];

		if (bind_value(row, &columns[column], &target->columns[column], &new_values[column],
					   error) < 0)
			return error->status;
	}
	for (int i = 0; i < statement->where_count; i++)
	{
		int column = statement->where_columns[i];

		if (bind_value(row, &columns[column], &target->columns[column], &old_values[column],
					   error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}
