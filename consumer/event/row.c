/* row.c -- read the values of a row, one column at a time.
 * Values are variable in size, so a column is found by stepping over those before it. */
#include <stddef.h>
#include <string.h>

#include "base/buffer.h"
#include "event/row.h"
#include "print.h"
#include "types.h"

int
penstock_column_index(const penstock_relation *relation, const char *name)
{
	for (int i = 0; i < relation->column_count; i++)
		if (strcmp(relation->columns[i].name, name) == 0)
			return i;
	return -1;
}

penstock_status
pen_row_value(const penstock_row *row, int column, pen_value *value)
{
	const penstock_relation *relation = row->relation;
	pen_wire_reader reader;

	if (relation == NULL)
		return PENSTOCK_NOT_FOUND;
	if (column < 0 || column >= relation->column_count)
		return PENSTOCK_E_CONFIG;
	if (row->identity_only && relation->columns[column].identity == 0)
		return PENSTOCK_NOT_FOUND;
	pen_wire_reader_init(&reader, row->data, row->len);
	for (int i = 0; i <= column; i++)
	{
		if (row->identity_only && relation->columns[i].identity == 0)
			continue;
		if (!pen_wire_read_value(&reader, value))
			return PENSTOCK_E_DATA;
	}
	return value->kind == PEN_VALUE_NULL        ? PENSTOCK_NULL
		   : value->kind == PEN_VALUE_UNCHANGED ? PENSTOCK_UNCHANGED
												: PENSTOCK_OK;
}

/* What a column is read as, of a value that is there. */
static bool
value_is_text(const penstock_column *column, const pen_value *value)
{
	return value->kind == PEN_VALUE_STRING &&
		   (column->encoding == PEN_ENCODING_TEXT || column->encoding == PEN_ENCODING_OUTPUT);
}

penstock_status
penstock_get_bool(const penstock_row *row, int column, bool *value)
{
	pen_value found;
	penstock_status status = pen_row_value(row, column, &found);

	if (status != PENSTOCK_OK)
		return status;
	if (found.kind != PEN_VALUE_BOOL)
		return PENSTOCK_E_CONFIG;
	*value = found.boolean;
	return PENSTOCK_OK;
}

penstock_status
penstock_get_int(const penstock_row *row, int column, int64_t *value)
{
	pen_value found;
	penstock_status status = pen_row_value(row, column, &found);

	if (status != PENSTOCK_OK)
		return status;
	if (found.kind != PEN_VALUE_INT)
		return PENSTOCK_E_CONFIG;
	*value = found.integer;
	return PENSTOCK_OK;
}

penstock_status
penstock_get_double(const penstock_row *row, int column, double *value)
{
	pen_value found;
	penstock_status status = pen_row_value(row, column, &found);

	if (status != PENSTOCK_OK)
		return status;
	if (found.kind != PEN_VALUE_FLOAT && found.kind != PEN_VALUE_DOUBLE)
		return PENSTOCK_E_CONFIG;
	*value = found.kind == PEN_VALUE_FLOAT ? (double) found.float4 : found.float8;
	return PENSTOCK_OK;
}

penstock_status
penstock_get_text(const penstock_row *row, int column, const char **data, size_t *len)
{
	pen_value found;
	penstock_status status = pen_row_value(row, column, &found);

	if (status != PENSTOCK_OK)
		return status;
	if (!value_is_text(&row->relation->columns[column], &found))
		return PENSTOCK_E_CONFIG;
	*data = (const char *) found.data;
	*len = found.len;
	return PENSTOCK_OK;
}

penstock_status
penstock_get_bytes(const penstock_row *row, int column, const uint8_t **data, size_t *len)
{
	pen_value found;
	penstock_status status = pen_row_value(row, column, &found);

	if (status != PENSTOCK_OK)
		return status;
	if (found.kind != PEN_VALUE_STRING && found.kind != PEN_VALUE_BYTES)
		return PENSTOCK_E_CONFIG;
	*data = found.data;
	*len = found.len;
	return PENSTOCK_OK;
}

penstock_status
penstock_get_printed(const penstock_row *row, int column, char *buffer, size_t size, size_t *len)
{
	pen_value found;
	pen_wire_buf text;
	penstock_status status = pen_row_value(row, column, &found);

	*len = 0;
	if (size > 0)
		buffer[0] = '\0';
	if (status != PENSTOCK_OK)
		return status;
	pen_buffer_init(&text);
	if (pen_print_value(&text, (pen_encoding) row->relation->columns[column].encoding, &found) ==
		NULL)
	{
		*len = text.len;
		if (size > 0)
		{
			size_t fits = text.len < size ? text.len : size - 1;

			if (fits > 0)
				memcpy(buffer, text.data, fits);
			buffer[fits] = '\0';
		}
	}
	else
		status = text.failed ? PENSTOCK_E_RETRY : PENSTOCK_E_CONFIG;
	pen_buffer_reset(&text);
	return status;
}

/* ---- rows as C structs ---- */

static const size_t field_sizes[] = {
	[PENSTOCK_FIELD_BOOL] = sizeof(bool),          [PENSTOCK_FIELD_INT16] = sizeof(int16_t),
	[PENSTOCK_FIELD_INT32] = sizeof(int32_t),      [PENSTOCK_FIELD_INT64] = sizeof(int64_t),
	[PENSTOCK_FIELD_FLOAT] = sizeof(float),        [PENSTOCK_FIELD_DOUBLE] = sizeof(double),
	[PENSTOCK_FIELD_TEXT] = sizeof(penstock_text), [PENSTOCK_FIELD_BYTES] = sizeof(penstock_text),
};

/* The value as it stands in the field, or false where it does not fit. */
static bool
convert(const penstock_column *column, const pen_value *value, penstock_field_type type, void *to)
{
	penstock_text text = {(const char *) value->data, value->len};

	switch (type)
	{
		case PENSTOCK_FIELD_BOOL:
			memcpy(to, &value->boolean, sizeof(bool));
			return value->kind == PEN_VALUE_BOOL;
		case PENSTOCK_FIELD_INT16:
			memcpy(to, &(int16_t){(int16_t) value->integer}, sizeof(int16_t));
			return value->kind == PEN_VALUE_INT && value->integer >= INT16_MIN &&
				   value->integer <= INT16_MAX;
		case PENSTOCK_FIELD_INT32:
			memcpy(to, &(int32_t){(int32_t) value->integer}, sizeof(int32_t));
			return value->kind == PEN_VALUE_INT && value->integer >= INT32_MIN &&
				   value->integer <= INT32_MAX;
		case PENSTOCK_FIELD_INT64:
			memcpy(to, &value->integer, sizeof(int64_t));
			return value->kind == PEN_VALUE_INT;
		case PENSTOCK_FIELD_FLOAT:
			memcpy(to, &value->float4, sizeof(float));
			return value->kind == PEN_VALUE_FLOAT;
		case PENSTOCK_FIELD_DOUBLE:
			if (value->kind == PEN_VALUE_FLOAT)
				memcpy(to, &(double){(double) value->float4}, sizeof(double));
			else
				memcpy(to, &value->float8, sizeof(double));
			return value->kind == PEN_VALUE_FLOAT || value->kind == PEN_VALUE_DOUBLE;
		case PENSTOCK_FIELD_TEXT:
			memcpy(to, &text, sizeof(text));
			return value_is_text(column, value);
		case PENSTOCK_FIELD_BYTES:
			memcpy(to, &text, sizeof(text));
			return value->kind == PEN_VALUE_STRING || value->kind == PEN_VALUE_BYTES;
	}
	return false;
}

static penstock_status
fill_field(const penstock_row *row, const penstock_field *field, char *target)
{
	/* As large and as aligned as the largest field. */
	union
	{
		int64_t integer;
		double number;
		penstock_text text;
	} converted = {0};
	int column = penstock_column_index(row->relation, field->column);
	pen_value value;
	penstock_status status;
	bool is_null;

	if (column < 0 || (size_t) field->type >= sizeof(field_sizes) / sizeof(field_sizes[0]))
		return PENSTOCK_E_DATA;
	status = pen_row_value(row, column, &value);
	if (status == PENSTOCK_UNCHANGED || status == PENSTOCK_NOT_FOUND)
		return PENSTOCK_OK;
	if (status < 0)
		return PENSTOCK_E_DATA;
	is_null = status == PENSTOCK_NULL;
	if (!is_null && !convert(&row->relation->columns[column], &value, field->type, &converted))
		return PENSTOCK_E_DATA;
	memcpy(target + field->offset, &converted, field_sizes[field->type]);
	if (field->null_offset >= 0)
		memcpy(target + field->null_offset, &is_null, sizeof(is_null));
	return is_null && field->null_offset < 0 ? PENSTOCK_E_DATA : PENSTOCK_OK;
}

penstock_status
penstock_row_to_struct(const penstock_row *row, const penstock_field *fields, size_t field_count,
					   void *target, size_t *bad_field)
{
	if (row->relation == NULL)
		return PENSTOCK_NOT_FOUND;
	for (size_t i = 0; i < field_count; i++)
		if (fill_field(row, &fields[i], target) != PENSTOCK_OK)
		{
			if (bad_field != NULL)
				*bad_field = i;
			return PENSTOCK_E_DATA;
		}
	return PENSTOCK_OK;
}
