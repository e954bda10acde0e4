/* test_where.c -- conditions: what is understood, what is refused and where, and that the answer is
 * SQL's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "event/relation.h"
#include "route/where.h"
#include "types.h"

enum
{
	ID,
	SMALL,
	NUM,
	F8,
	F4,
	NAME,
	CHARS,
	FLAG,
	DAY,
	AT,
	ATZ,
	UU,
	JS,
	BLOB,
	OIDS,
	ODD,
	BIG,
	COLUMNS
};

static penstock_column columns[COLUMNS] = {
	[ID] = {.name = "id", .base_type_oid = PEN_OID_INT4, .encoding = PEN_ENCODING_INT},
	[SMALL] = {.name = "small", .base_type_oid = PEN_OID_INT2, .encoding = PEN_ENCODING_INT},
	[NUM] = {.name = "num", .base_type_oid = PEN_OID_NUMERIC, .encoding = PEN_ENCODING_OUTPUT},
	[F8] = {.name = "f8", .base_type_oid = PEN_OID_FLOAT8, .encoding = PEN_ENCODING_FLOAT8},
	[F4] = {.name = "f4", .base_type_oid = PEN_OID_FLOAT4, .encoding = PEN_ENCODING_FLOAT4},
	[NAME] = {.name = "name", .base_type_oid = PEN_OID_TEXT, .encoding = PEN_ENCODING_TEXT},
	[CHARS] = {.name = "chars", .base_type_oid = PEN_OID_BPCHAR, .encoding = PEN_ENCODING_TEXT},
	[FLAG] = {.name = "flag", .base_type_oid = PEN_OID_BOOL, .encoding = PEN_ENCODING_BOOL},
	[DAY] = {.name = "day", .base_type_oid = PEN_OID_DATE, .encoding = PEN_ENCODING_DATE},
	[AT] = {.name = "at", .base_type_oid = PEN_OID_TIMESTAMP, .encoding = PEN_ENCODING_TIMESTAMP},
	[ATZ] = {.name = "atz",
			 .base_type_oid = PEN_OID_TIMESTAMPTZ,
			 .encoding = PEN_ENCODING_TIMESTAMPTZ},
	[UU] = {.name = "uu", .base_type_oid = PEN_OID_UUID, .encoding = PEN_ENCODING_UUID},
	[JS] = {.name = "js", .base_type_oid = PEN_OID_JSON, .encoding = PEN_ENCODING_TEXT},
	[BLOB] = {.name = "blob", .base_type_oid = PEN_OID_BYTEA, .encoding = PEN_ENCODING_BYTEA},
	[OIDS] = {.name = "oids", .base_type_oid = PEN_OID_OID, .encoding = PEN_ENCODING_OID},
	[ODD] = {.name = "Odd \"name\"", .base_type_oid = PEN_OID_INT4, .encoding = PEN_ENCODING_INT},
	[BIG] = {.name = "big", .base_type_oid = PEN_OID_INT8, .encoding = PEN_ENCODING_INT},
};

static const penstock_relation *relation;
static pen_value values[COLUMNS];

static int
set_up(void **state)
{
	penstock_relation draft = {.schema = "shop",
							   .name = "orders",
							   .replica_identity = 'd',
							   .columns = columns,
							   .column_count = COLUMNS};
	pen_error error;

	(void) state;
	for (int i = 0; i < COLUMNS; i++)
		columns[i].attnum = i + 1;
	relation = pen_relation_new(&draft, &error);
	assert_non_null(relation);
	memset(values, 0, sizeof(values)); /* all NULL */
	return 0;
}

static int
tear_down(void **state)
{
	(void) state;
	pen_relation_unref(relation);
	return 0;
}

static void
set_int(int column, int64_t value)
{
	values[column] = (pen_value){.kind = PEN_VALUE_INT, .integer = value};
}

static void
set_text(int column, const char *text)
{
	values[column] = (pen_value){.kind = PEN_VALUE_STRING};
	values[column].data = (const uint8_t *) text;
	values[column].len = strlen(text);
}

static void
set_double(int column, double value)
{
	values[column] = (pen_value){.kind = PEN_VALUE_DOUBLE, .float8 = value};
}

static pen_truth
truth_of(const char *text)
{
	pen_error error;
	pen_where *where = pen_where_parse(text, &error);
	pen_where_bound *bound;
	pen_truth truth = PEN_UNKNOWN;

	if (where == NULL)
		fail_msg("%s: %s", text, error.text);
	bound = pen_where_bind(where, relation, &error);
	if (bound == NULL)
		fail_msg("%s: %s", text, error.text);
	if (pen_where_evaluate(bound, values, &truth, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	pen_where_bound_free(bound);
	pen_where_free(where);
	return truth;
}

#define IS(text, truth)                                                                            \
	do                                                                                             \
	{                                                                                              \
		if (truth_of(text) != (truth))                                                             \
			fail_msg("%s", text);                                                                  \
	} while (0)

/* Malformed, at this character (0: anywhere), with a text that holds part. */
static void
malformed(const char *text, int character, const char *part)
{
	char position[32];
	pen_error error;
	pen_where *where = pen_where_parse(text, &error);

	if (where != NULL)
		fail_msg("%s was taken as %s", text, pen_where_canonical(where));
	assert_int_equal(error.status, PENSTOCK_E_CONFIG);
	snprintf(position, sizeof(position), "at character %d:", character);
	if (strstr(error.text, part) == NULL || (character > 0 && strstr(error.text, position) == NULL))
		fail_msg("%s: %s", text, error.text);
}

/* Well formed, but not for this table. */
static void
unfit(const char *text, const char *part)
{
	pen_error error;
	pen_where *where = pen_where_parse(text, &error);

	if (where == NULL)
		fail_msg("%s: %s", text, error.text);
	pen_error_clear(&error);
	if (pen_where_bind(where, relation, &error) != NULL)
		fail_msg("%s was taken", text);
	assert_int_equal(error.status, PENSTOCK_E_CONFIG);
	if (strstr(error.text, part) == NULL || strstr(error.text, "table shop.orders") == NULL)
		fail_msg("%s: %s", text, error.text);
	pen_where_free(where);
}

static void
canonical(const char *text, const char *expected)
{
	pen_error error;
	pen_where *where = pen_where_parse(text, &error);

	if (where == NULL)
		fail_msg("%s: %s", text, error.text);
	assert_string_equal(pen_where_canonical(where), expected);
	pen_where_free(where);
}

/* ---- truth ---- */

static void
test_integers_are_compared_as_such(void **state)
{
	(void) state;
	set_int(ID, 7);
	IS("id = 7", PEN_TRUE);
	IS("id=7", PEN_TRUE);
	IS("7 = id", PEN_TRUE);
	IS("id <> 7", PEN_FALSE);
	IS("id != 8", PEN_TRUE);
	IS("id < 8", PEN_TRUE);
	IS("8 > id", PEN_TRUE);
	IS("8 < id", PEN_FALSE);
	IS("id <= 7", PEN_TRUE);
	IS("id > 7", PEN_FALSE);
	IS("id >= 7", PEN_TRUE);
	IS("id > -1", PEN_TRUE);
	IS("id>-1", PEN_TRUE);
	IS("id > - 1", PEN_TRUE);
	IS("id = +7", PEN_TRUE);
	IS("id = 7.0", PEN_TRUE);
	IS("id = 07", PEN_TRUE);
	IS("id < 7.0000000001", PEN_TRUE);
	IS("id = 70e-1", PEN_TRUE);
	IS("id = 0.7E1", PEN_TRUE);
	IS("id < 1e300", PEN_TRUE);
	set_int(BIG, INT64_MAX);
	IS("big = 9223372036854775807", PEN_TRUE);
	IS("big < 9223372036854775808", PEN_TRUE);
	IS("big > 9223372036854775806", PEN_TRUE);
	IS("big > -99999999999999999999999999", PEN_TRUE);
	set_int(BIG, INT64_MIN);
	IS("big = -9223372036854775808", PEN_TRUE);
	IS("big < -9223372036854775807", PEN_TRUE);
	IS("big > -9223372036854775808.1", PEN_TRUE);
	set_int(OIDS, UINT32_MAX);
	IS("oids = 4294967295", PEN_TRUE);
}

static void
test_numerics_are_compared_digit_by_digit(void **state)
{
	static const char *const ascending[] = {"-Infinity",
											"-12345678901234567890.5",
											"-12345678901234567890",
											"-2",
											"-1.5",
											"-0.0001",
											"0.000",
											"0.00001",
											"0.0001",
											"1",
											"1.05",
											"1.5",
											"9.99",
											"10",
											"12345678901234567890",
											"12345678901234567890.000000000000000000001",
											"Infinity",
											"NaN"};
	int count = sizeof(ascending) / sizeof(ascending[0]);

	(void) state;
	for (int i = 0; i < count; i++)
	{
		set_text(NUM, ascending[i]);
		for (int j = 1; j < count - 2; j++)
		{
			char text[100];

			snprintf(text, sizeof(text), "num < %s", ascending[j]);
			IS(text, i < j ? PEN_TRUE : PEN_FALSE);
			snprintf(text, sizeof(text), "num = %s00", ascending[j]);
			if (strchr(ascending[j], '.') != NULL)
				IS(text, i == j ? PEN_TRUE : PEN_FALSE);
			snprintf(text, sizeof(text), "%s <= num", ascending[j]);
			IS(text, i >= j ? PEN_TRUE : PEN_FALSE);
		}
	}
	set_text(NUM, "7.00");
	set_int(ID, 7);
	IS("num = id", PEN_TRUE);
	IS("id < num", PEN_FALSE);
	set_text(NUM, "-0.0");
	IS("num = 0", PEN_TRUE);
	IS("num = -0", PEN_TRUE);
}

static void
test_floats_are_compared_as_doubles(void **state)
{
	(void) state;
	set_double(F8, 0.1);
	IS("f8 = 0.1", PEN_TRUE);
	IS("f8 = 1e-1", PEN_TRUE);
	/* What PostgreSQL says of real and 0.1, too. */
	values[F4] = (pen_value){.kind = PEN_VALUE_FLOAT, .float4 = 0.1f};
	IS("f4 = 0.1", PEN_FALSE);
	IS("f4 > 0.1", PEN_TRUE);
	IS("f4 <> f8", PEN_TRUE);
	values[F4].float4 = 0.5f;
	IS("f4 = 0.5", PEN_TRUE);
	set_double(F8, __builtin_nan(""));
	IS("f8 > 1e308", PEN_TRUE);
	IS("f8 = f8", PEN_TRUE);
	IS("f8 = 1", PEN_FALSE);
	set_double(F8, -0.0);
	IS("f8 = 0", PEN_TRUE);
	set_double(F8, __builtin_inf());
	IS("f8 > 1.7e308", PEN_TRUE);
}

static void
test_texts_are_compared_by_bytes(void **state)
{
	(void) state;
	set_text(NAME, "it's");
	IS("name = 'it''s'", PEN_TRUE);
	IS("name <> 'it''s'", PEN_FALSE);
	IS("name = 'It''s'", PEN_FALSE);
	IS("name = 'it''s '", PEN_FALSE);
	IS("name = 'it'", PEN_FALSE);
	set_text(NAME, "");
	IS("name = ''", PEN_TRUE);
	IS("name IS NULL", PEN_FALSE);
	set_text(NAME, "a\\'b");
	IS("name = 'a\\''b'", PEN_TRUE);
	set_text(NAME, "b\xc3\xbc");
	IS("name = 'b\xc3\xbc'", PEN_TRUE);
	/* char(n): without the blanks at the end of either. */
	set_text(CHARS, "ab   ");
	IS("chars = 'ab'", PEN_TRUE);
	IS("chars = 'ab       '", PEN_TRUE);
	IS("chars = ' ab'", PEN_FALSE);
	IS("chars IN ('x', 'ab ')", PEN_TRUE);
	set_text(NAME, "ab");
	IS("chars = name", PEN_TRUE);
	set_text(NAME, "ab ");
	IS("chars = name", PEN_FALSE);
}

static void
test_dates_are_those_of_the_calendar(void **state)
{
	(void) state;
	set_int(DAY, 0);
	IS("day = '2000-01-01'", PEN_TRUE);
	set_int(DAY, 59);
	IS("day = '2000-02-29'", PEN_TRUE);
	set_int(DAY, 9821);
	IS("day = '2026-11-21'", PEN_TRUE);
	IS("day > '2026-11-20' AND day < '2026-11-22'", PEN_TRUE);
	set_int(DAY, -730119);
	IS("day = '0001-01-01'", PEN_TRUE);
	set_int(DAY, INT32_MAX);
	IS("day > '9999-12-31'", PEN_TRUE);
	IS("day = 'infinity'", PEN_TRUE);
	set_int(DAY, INT32_MIN);
	IS("day = '-infinity'", PEN_TRUE);
	set_int(AT, INT64_C(86400000000) + 3661000001);
	IS("at = '2000-01-02 01:01:01.000001'", PEN_TRUE);
	IS("at = '2000-01-02T01:01:01.000001'", PEN_TRUE);
	IS("at > '2000-01-02'", PEN_TRUE);
	IS("at < '2000-01-02 01:01:01.1'", PEN_TRUE);
	set_int(ATZ, 0);
	IS("atz = '2000-01-01 00:00:00Z'", PEN_TRUE);
	IS("atz = '2000-01-01 00:00:00+00'", PEN_TRUE);
	IS("atz = '2000-01-01 02:00:00+02:00'", PEN_TRUE);
	IS("atz = '1999-12-31 18:30:00-05:30'", PEN_TRUE);
	IS("atz < 'infinity'", PEN_TRUE);
	set_int(ATZ, INT64_MIN);
	IS("atz = '-infinity'", PEN_TRUE);
	for (int i = 0; i < 6; i++)
	{
		static const char *const bad[] = {"2026-02-29", "2026-13-01", "2026-00-01",
										  "2026-1-1",   "26-01-01",   "2026-01-01 "};
		char text[60];

		snprintf(text, sizeof(text), "day = '%s'", bad[i]);
		unfit(text, "a date such as");
	}
	unfit("day = '2026-01-01 00:00:00'", "a date such as");
	unfit("at = '2026-01-01 24:00:00'", "a timestamp such as");
	unfit("at = '2026-01-01 23:60:00'", "a timestamp such as");
	unfit("at = '2026-01-01 00:00:00Z'", "a timestamp such as");
	unfit("at = '2026-01-01 00:00:00.1234567'", "a timestamp such as");
	unfit("atz = '2026-01-01 00:00:00'", "with its zone");
	unfit("atz = '2026-01-01'", "with its zone");
}

static void
test_uuids_in_any_case(void **state)
{
	static const uint8_t uuid[16] = {0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
									 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11};

	(void) state;
	values[UU] = (pen_value){.kind = PEN_VALUE_BYTES};
	values[UU].data = uuid;
	values[UU].len = 16;
	IS("uu = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", PEN_TRUE);
	IS("uu = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", PEN_TRUE);
	IS("uu > 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a10'", PEN_TRUE);
	IS("uu < 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a10'", PEN_FALSE);
	unfit("uu = 'a0eebc99'", "a uuid");
	unfit("uu = 'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "a uuid");
}

/* The three truths, by table. */
static void
test_null_is_neither_true_nor_false(void **state)
{
	static const char *const words[] = {"false", "true", "null"};
	/* [a][b], in the order of pen_truth. */
	static const pen_truth both[3][3] = {{PEN_FALSE, PEN_FALSE, PEN_FALSE},
										 {PEN_FALSE, PEN_TRUE, PEN_UNKNOWN},
										 {PEN_FALSE, PEN_UNKNOWN, PEN_UNKNOWN}};
	static const pen_truth either[3][3] = {{PEN_FALSE, PEN_TRUE, PEN_UNKNOWN},
										   {PEN_TRUE, PEN_TRUE, PEN_TRUE},
										   {PEN_UNKNOWN, PEN_TRUE, PEN_UNKNOWN}};
	static const pen_truth inverse[3] = {PEN_TRUE, PEN_FALSE, PEN_UNKNOWN};
	char text[60];

	(void) state;
	for (int a = 0; a < 3; a++)
	{
		snprintf(text, sizeof(text), "NOT %s", words[a]);
		IS(text, inverse[a]);
		for (int b = 0; b < 3; b++)
		{
			snprintf(text, sizeof(text), "%s AND %s", words[a], words[b]);
			IS(text, both[a][b]);
			snprintf(text, sizeof(text), "%s OR %s", words[a], words[b]);
			IS(text, either[a][b]);
		}
	}
	IS("id = 1", PEN_UNKNOWN);
	IS("id <> 1", PEN_UNKNOWN);
	IS("id = null", PEN_UNKNOWN);
	IS("flag", PEN_UNKNOWN);
	IS("id IS NULL", PEN_TRUE);
	IS("id is not null", PEN_FALSE);
	IS("id IN (1, 2)", PEN_UNKNOWN);
	set_int(ID, 1);
	IS("id = null", PEN_UNKNOWN);
	IS("id IN (1, 2)", PEN_TRUE);
	IS("id IN (2, null)", PEN_UNKNOWN);
	IS("id IN (null, 1)", PEN_TRUE);
	IS("id NOT IN (2, 3)", PEN_TRUE);
	IS("id NOT IN (2, null)", PEN_UNKNOWN);
	IS("id NOT IN (1, null)", PEN_FALSE);
	IS("id = small", PEN_UNKNOWN);
	values[FLAG] = (pen_value){.kind = PEN_VALUE_BOOL, .boolean = true};
	IS("flag", PEN_TRUE);
	IS("(flag)", PEN_TRUE);
	IS("NOT flag", PEN_FALSE);
	IS("flag = true", PEN_TRUE);
	IS("flag = false", PEN_FALSE);
	IS("flag > false", PEN_TRUE);
	IS("flag IN (true)", PEN_TRUE);
	/* Of any type. */
	IS("js IS NULL AND blob IS NULL", PEN_TRUE);
	set_text(JS, "null");
	IS("js IS NULL", PEN_FALSE);
}

static void
test_precedence_is_that_of_sql(void **state)
{
	(void) state;
	IS("true OR true AND false", PEN_TRUE);
	IS("(true OR true) AND false", PEN_FALSE);
	IS("NOT true OR true", PEN_TRUE);
	IS("NOT (true OR true)", PEN_FALSE);
	IS("NOT false AND false", PEN_FALSE);
	IS("NOT NOT true", PEN_TRUE);
	set_int(ID, 1);
	IS("NOT id = 2 AND id = 1", PEN_TRUE);
	IS("NOT id IS NULL", PEN_TRUE);
	IS("NOT id IN (2)", PEN_TRUE);
}

/* ---- one form ---- */

static void
test_what_means_the_same_looks_the_same(void **state)
{
	(void) state;
	canonical("id=7", "\"id\" = 7");
	canonical(" ID  !=\t7 ", "\"id\" <> 7");
	canonical("((id is  NOT null))", "\"id\" IS NOT NULL");
	canonical("a AND b and C", "((\"a\" AND \"b\") AND \"c\")");
	canonical("a or (b And c)", "(\"a\" OR (\"b\" AND \"c\"))");
	canonical("\"A\"\"b\" not in ('x','it''s',NULL,-1.50,tRue)",
			  "\"A\"\"b\" NOT IN ('x', 'it''s', NULL, -1.50, true)");
	canonical("x='a\\b'", "\"x\" = E'a\\\\b'");
	canonical("x > 1.5e3", "\"x\" > 1500");
	canonical("x > 1.5e-3", "\"x\" > 0.0015");
	canonical("x > .5", "\"x\" > 0.5");
	canonical("x > 5.", "\"x\" > 5");
	canonical("x > 12.34e1", "\"x\" > 123.4");
	canonical("not not a", "(NOT (NOT \"a\"))");
}

static void
test_sql_says_what_depends_on_types(void **state)
{
	static const char text[] = "name = 'x' AND chars IN ('y') AND id IS NULL AND id > 1";
	pen_error error;
	pen_where *where = pen_where_parse(text, &error);
	pen_where_bound *bound = pen_where_bind(where, relation, &error);
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	pen_where_write_sql(bound, &buf);
	pen_wire_append(&buf, "", 1);
	assert_string_equal((char *) buf.data,
						"(((\"name\" COLLATE \"C\" = 'x' AND \"chars\" COLLATE \"C\" IN ('y')) AND "
						"\"id\" IS NOT DISTINCT FROM NULL) AND \"id\" > 1)");
	assert_true(pen_where_uses(bound, NAME) && pen_where_uses(bound, ID));
	assert_false(pen_where_uses(bound, NUM));
	pen_buffer_reset(&buf);
	pen_where_bound_free(bound);
	pen_where_free(where);
}

/* ---- what is refused ---- */

static void
test_malformed_conditions_are_refused_with_their_position(void **state)
{
	char deep[400];

	(void) state;
	malformed("", 1, "a column or a value is expected");
	malformed("   ", 4, "a column or a value is expected");
	malformed("id =", 5, "a column or a value");
	malformed("id = 1 id", 8, "AND, OR or the end");
	malformed("id = 1)", 7, "AND, OR or the end");
	malformed("(id = 1", 8, "closing parenthesis");
	malformed("(id) = 1", 6, "AND, OR or the end");
	malformed("id == 1", 4, "no operator");
	malformed("id =< 1", 4, "no operator");
	malformed("id <=> 1", 4, "no operator");
	malformed("id ~ 1", 4, "no operator");
	malformed("id + 1 = 2", 4, "");
	malformed("id = 1 = 1", 8, "AND, OR or the end");
	malformed("id = 1 IS NULL", 8, "AND, OR or the end");
	malformed("id LIKE 'x'", 4, "AND, OR or the end");
	malformed("id BETWEEN 1 AND 2", 4, "AND, OR or the end");
	malformed("id IS 1", 7, "IS is followed by");
	malformed("id IS NOT 1", 11, "IS is followed by");
	malformed("id NOT 1", 8, "IN is expected after NOT");
	malformed("id IN 1", 7, "values in parentheses");
	malformed("id IN ()", 8, "a value is expected");
	malformed("id IN (1,)", 10, "a value is expected");
	malformed("id IN (1 2)", 10, "a comma or");
	malformed("id IN (name)", 8, "a value is expected");
	malformed("name = 'x", 8, "quote is not closed");
	malformed("\"name = 'x'", 1, "quote is not closed");
	malformed("\"\" = 1", 1, "empty");
	malformed("t.id = 1", 2, "without their table");
	malformed("\"t\".id = 1", 4, "white space");
	malformed("lower(name) = 'x'", 1, "functions");
	malformed("name = E'x'", 9, "white space");
	malformed("id = $1", 6, "no operator");
	malformed("id = 1e", 6, "malformed");
	malformed("id = 1e+", 6, "malformed");
	malformed("id = 1.2.3", 6, "malformed");
	malformed("id = 1_000", 6, "malformed");
	malformed("id = 0x1F", 6, "malformed");
	malformed("id = .", 6, "malformed");
	malformed("id = --1", 6, "malformed");
	malformed("id = 1 -- x", 8, "malformed");
	malformed("id = 1 /* x */", 8, "no operator");
	malformed("id = 1e999", 6, "exponent");
	malformed("id = 1; DROP", 7, "no operator");
	malformed("b\xc3\xbc\xc3\xbc = = 1", 7, "a column or a value");
	memset(deep, '(', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	malformed(deep, 0, "nested too deeply");
}

static void
test_what_postgresql_might_see_differently_is_refused(void **state)
{
	(void) state;
	unfit("nosuch = 1", "\"nosuch\" does not exist");
	unfit("\"ID\" = 1", "\"ID\" does not exist");
	unfit("name < 'x'", "collation");
	unfit("name < chars", "collation");
	unfit("js = '{}'", "cannot be compared");
	unfit("blob = 'x'", "cannot be compared");
	unfit("js = null", "cannot be compared");
	unfit("id = '7'", "a number, without quotes");
	unfit("name = 7", "a text between single quotes");
	unfit("id = true", "a number");
	unfit("flag = 1", "true or false");
	unfit("flag = 't'", "true or false");
	unfit("oids = -1", "a whole number");
	unfit("oids = 1.5", "a whole number");
	unfit("oids = 4294967296", "a whole number");
	unfit("f8 = 1e309", "a number");
	unfit("f8 = 1e-350", "a number");
	unfit("id = name", "another kind");
	unfit("id = f8", "another kind");
	unfit("id = oids", "another kind");
	unfit("id", "not boolean");
	unfit("id AND true", "not boolean");
	unfit("1 = 1", "two values");
	unfit("'x'", "a value stands");
	unfit("1 IN (1)", "not a column");
	unfit("1 IS NULL", "a value stands");
	unfit("id IN (1, 'x')", "a number");
	unfit("f4 IN (0.5)", "use = and OR");
	unfit("NOT (flag OR 5)", "a value stands");
}

/* No cut of a good text is a crash, and no cut that is taken means something that cannot be. */
static void
test_every_truncation_is_handled(void **state)
{
	static const char text[] = "(id = -1.5e3 OR \"Odd \"\"name\"\"\" NOT IN (1, 2)) AND NOT name "
							   "<> 'it''s' AND day IS NOT "
							   "NULL AND atz >= '2026-01-01 00:00:00+00' AND b\xc3\xbc = true";

	(void) state;
	for (size_t length = 0; length < sizeof(text); length++)
	{
		char *cut = strndup(text, length); /* of its own size, so that a sanitizer sees */
		pen_error error;
		pen_where *where = pen_where_parse(cut, &error);

		if (where != NULL)
		{
			pen_where_bound *bound = pen_where_bind(where, relation, &error);

			pen_where_bound_free(bound);
		}
		else
			assert_int_equal(error.status, PENSTOCK_E_CONFIG);
		pen_where_free(where);
		free(cut);
	}
}

/* What is parsed is parsed again from its own form, to the same. */
static void
test_hostile_texts_do_no_harm(void **state)
{
	static const char *const pieces[] = {
		"id", "=",    "<",     "(",    ")",    "'x'",  "1",    "-",    " ",   "AND",
		"OR", "NOT",  "IN",    ",",    "'",    "\"",   "IS",   "NULL", "1e5", ".",
		"\\", "$",    "\xff",  "\xc3", "name", "true", "!",    "*",    "/",   "flag",
		"\t", "0.10", "\"x\"", "e",    "''",   "<>",   "\x01", "1.",   ">="};
	uint64_t seed = 42;
	int parsed = 0;

	(void) state;
	for (int round = 0; round < 200000; round++)
	{
		char text[200] = "";
		pen_error error;
		pen_where *where;

		for (int i = 0; i < 1 + round % 9; i++)
		{
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			strcat(text, pieces[(seed >> 33) % (sizeof(pieces) / sizeof(pieces[0]))]);
			if (seed >> 63)
				strcat(text, " ");
		}
		where = pen_where_parse(text, &error);
		if (where != NULL && strchr(text, '\\') == NULL)
		{
			pen_where *again = pen_where_parse(pen_where_canonical(where), &error);

			if (again == NULL)
				fail_msg("%s, as %s: %s", text, pen_where_canonical(where), error.text);
			assert_string_equal(pen_where_canonical(again), pen_where_canonical(where));
			pen_where_free(again);
			parsed++;
		}
		pen_where_free(where);
	}
	assert_true(parsed > 1000);
}

static void
test_a_value_of_another_type_is_damage(void **state)
{
	static const char *const texts[] = {
		"id = 1", "flag",    "name = 'x'",
		"f8 = 1", "num = 1", "uu = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"};
	static const int used[] = {ID, FLAG, NAME, F8, NUM, UU};

	(void) state;
	for (int i = 0; i < 6; i++)
	{
		pen_error error;
		pen_where *where = pen_where_parse(texts[i], &error);
		pen_where_bound *bound = pen_where_bind(where, relation, &error);
		pen_truth truth;

		values[used[i]] = (pen_value){.kind = PEN_VALUE_UNCHANGED};
		assert_int_equal(pen_where_evaluate(bound, values, &truth, &error), PENSTOCK_E_DATA);
		pen_where_bound_free(bound);
		pen_where_free(where);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_integers_are_compared_as_such),
		TEST(test_numerics_are_compared_digit_by_digit),
		TEST(test_floats_are_compared_as_doubles),
		TEST(test_texts_are_compared_by_bytes),
		TEST(test_dates_are_those_of_the_calendar),
		TEST(test_uuids_in_any_case),
		TEST(test_null_is_neither_true_nor_false),
		TEST(test_precedence_is_that_of_sql),
		TEST(test_what_means_the_same_looks_the_same),
		TEST(test_sql_says_what_depends_on_types),
		TEST(test_malformed_conditions_are_refused_with_their_position),
		TEST(test_what_postgresql_might_see_differently_is_refused),
		TEST(test_every_truncation_is_handled),
		TEST(test_hostile_texts_do_no_harm),
		TEST(test_a_value_of_another_type_is_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
