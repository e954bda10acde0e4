/* where.c -- conditions: what is understood has one form, which means the same again, and says the
 * same of a row. The condition ends with a NUL; the bytes after it are the row's values. */
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "check.h"
#include "event/relation.h"
#include "print.h"
#include "route/where.h"
#include "types.h"

#define COLUMNS 10

static const struct
{
	const char *name;
	pen_encoding encoding;
	uint32_t oid;
} columns[COLUMNS] = {
	{"id", PEN_ENCODING_INT, PEN_OID_INT4},
	{"n", PEN_ENCODING_INT, PEN_OID_INT8},
	{"name", PEN_ENCODING_TEXT, PEN_OID_TEXT},
	{"flag", PEN_ENCODING_BOOL, PEN_OID_BOOL},
	{"f", PEN_ENCODING_FLOAT8, PEN_OID_FLOAT8},
	{"g", PEN_ENCODING_FLOAT4, PEN_OID_FLOAT4},
	{"at", PEN_ENCODING_TIMESTAMPTZ, PEN_OID_TIMESTAMPTZ},
	{"day", PEN_ENCODING_DATE, PEN_OID_DATE},
	{"num", PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC},
	{"padded", PEN_ENCODING_TEXT, PEN_OID_BPCHAR},
};

static const penstock_relation *
relation(void)
{
	static const penstock_relation *made;
	penstock_column list[COLUMNS];
	penstock_relation draft = {.schema = "public",
							   .name = "t",
							   .oid = 1,
							   .replica_identity = 'f',
							   .columns = list,
							   .column_count = COLUMNS};
	pen_error error;

	if (made != NULL)
		return made;
	memset(list, 0, sizeof(list));
	for (int i = 0; i < COLUMNS; i++)
		list[i] = (penstock_column){.name = columns[i].name,
									.type_schema = "pg_catalog",
									.type_name = "t",
									.type_oid = columns[i].oid,
									.base_type_oid = columns[i].oid,
									.encoding = columns[i].encoding,
									.typmod = -1,
									.attnum = i + 1,
									.identity = i + 1};
	made = pen_relation_new(&draft, &error);
	CHECK(made != NULL);
	return made;
}

/* As a decoder would let it through. */
static void
make_value(int column, const uint8_t *bytes, pen_value *value)
{
	static const char *const numbers[] = {"0", "1", "-12.50", "NaN", "1e10", "Infinity"};

	memset(value, 0, sizeof(*value));
	if (bytes[0] % 8 == 0)
		return;
	switch (columns[column].encoding)
	{
		case PEN_ENCODING_BOOL:
			value->kind = PEN_VALUE_BOOL;
			value->boolean = bytes[1] & 1;
			break;
		case PEN_ENCODING_FLOAT8:
			value->kind = PEN_VALUE_DOUBLE;
			memcpy(&value->float8, bytes, sizeof(double));
			break;
		case PEN_ENCODING_FLOAT4:
			value->kind = PEN_VALUE_FLOAT;
			memcpy(&value->float4, bytes, sizeof(float));
			break;
		case PEN_ENCODING_TEXT:
			value->kind = PEN_VALUE_STRING;
			value->data = bytes;
			value->len = 7;
			break;
		case PEN_ENCODING_OUTPUT:
			value->kind = PEN_VALUE_STRING;
			value->data = (const uint8_t *) numbers[bytes[1] % 6];
			value->len = strlen(numbers[bytes[1] % 6]);
			break;
		default:
			value->kind = PEN_VALUE_INT;
			memcpy(&value->integer, bytes, sizeof(int64_t));
	}
	if (pen_check_value(columns[column].encoding, columns[column].oid, value) != NULL)
		memset(value, 0, sizeof(*value));
}

static void
compare(const pen_where *first, const pen_where *second, const uint8_t *bytes, size_t size)
{
	pen_error error;
	pen_where_bound *one = pen_where_bind(first, relation(), &error);
	pen_where_bound *two = pen_where_bind(second, relation(), &error);
	pen_value values[COLUMNS];
	pen_truth truths[2] = {PEN_FALSE, PEN_FALSE};
	uint8_t row[COLUMNS][8];

	CHECK((one == NULL) == (two == NULL));
	if (one == NULL)
	{
		check_status(error.status, &error);
		return;
	}
	memset(row, 1, sizeof(row));
	memcpy(row, bytes, size < sizeof(row) ? size : sizeof(row));
	for (int i = 0; i < COLUMNS; i++)
		make_value(i, row[i], &values[i]);
	CHECK(pen_where_evaluate(one, values, &truths[0], &error) ==
		  pen_where_evaluate(two, values, &truths[1], &error));
	CHECK(truths[0] == truths[1]);
	pen_where_bound_free(one);
	pen_where_bound_free(two);
}

/* A text with a backslash is written as E'…', and AND upon AND with more parentheses, and so longer,
 * than we take ourselves. */
static bool
is_for_sql_alone(const char *canonical)
{
	return strchr(canonical, '\\') != NULL || strstr(canonical, "((((((((((") != NULL ||
		   strlen(canonical) > 2000;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\0', size);
	pen_where *again;
	pen_where *where;
	pen_error error;

	if (end == NULL)
		return 0;
	where = pen_where_parse((const char *) data, &error);
	if (where == NULL)
	{
		check_status(error.status, &error);
		return 0;
	}
	again = pen_where_parse(pen_where_canonical(where), &error);
	if (again != NULL)
	{
		CHECK(strcmp(pen_where_canonical(where), pen_where_canonical(again)) == 0);
		compare(where, again, end + 1, size - (size_t) (end + 1 - data));
	}
	else if (!is_for_sql_alone(pen_where_canonical(where)))
	{
		fprintf(stderr, "%s: %s\n", pen_where_canonical(where), error.text);
		abort();
	}
	pen_where_free(again);
	pen_where_free(where);
	return 0;
}
