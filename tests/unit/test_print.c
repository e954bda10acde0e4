/* test_print.c -- values as PostgreSQL prints them, and back.
 * The texts in the tables are PostgreSQL 15's own output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "parse.h"
#include "print.h"
#include "shortest.h"

static void
assert_text(const char *text, size_t len, const char *expected)
{
	assert_int_equal(len, strlen(expected));
	assert_memory_equal(text, expected, len);
}

/* Both directions. */
static void
check(pen_encoding encoding, const pen_value *value, const char *expected)
{
	pen_wire_buf buf;
	pen_wire_buf space;
	pen_value parsed;

	pen_buffer_init(&buf);
	pen_buffer_init(&space);
	assert_null(pen_print_value(&buf, encoding, value));
	assert_text((const char *) buf.data, buf.len, expected);
	assert_null(pen_parse_value(encoding, 0, expected, strlen(expected), &space, &parsed));
	assert_int_equal(parsed.kind, value->kind);
	if (value->kind == PEN_VALUE_INT)
		assert_true(parsed.integer == value->integer);
	else if (value->kind == PEN_VALUE_DOUBLE)
		assert_memory_equal(&parsed.float8, &value->float8, sizeof(double));
	else if (value->kind == PEN_VALUE_FLOAT)
		assert_memory_equal(&parsed.float4, &value->float4, sizeof(float));
	else if (value->kind == PEN_VALUE_BOOL)
		assert_true(parsed.boolean == value->boolean);
	else
	{
		assert_int_equal(parsed.len, value->len);
		assert_memory_equal(parsed.data, value->data, value->len);
	}
	pen_buffer_reset(&buf);
	pen_buffer_reset(&space);
}

typedef struct int_case
{
	int64_t value;
	const char *text;
	const char *json; /* timestamps */
} int_case;

static void
test_dates_are_as_postgres_prints_them(void **state)
{
	static const int_case cases[] = {
		{0, "2000-01-01", NULL},          {-1, "1999-12-31", NULL},
		{9821, "2026-11-21", NULL},       {-730119, "0001-01-01", NULL},
		{59, "2000-02-29", NULL},         {-36466, "1900-02-28", NULL},
		{2921940, "10000-01-01", NULL},   {2145031948, "5874897-12-31", NULL},
		{-730120, "0001-12-31 BC", NULL}, {-2451545, "4714-11-24 BC", NULL},
		{-746117, "0044-03-15 BC", NULL}, {INT32_MAX, "infinity", NULL},
		{INT32_MIN, "-infinity", NULL}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(PEN_ENCODING_DATE, &(pen_value){.kind = PEN_VALUE_INT, .integer = cases[i].value},
			  cases[i].text);
}

static void
test_every_day_of_the_calendar_comes_back(void **state)
{
	char text[PEN_PRINT_MAX];
	pen_value value;

	(void) state;
	for (int64_t day = -2451545; day < 3000000; day++)
	{
		size_t len = pen_print_date(text, day);

		assert_null(pen_parse_value(PEN_ENCODING_DATE, 0, text, len, NULL, &value));
		assert_true(value.integer == day);
	}
}

static void
test_times_are_as_postgres_prints_them(void **state)
{
	static const int_case cases[] = {
		{0, "00:00:00", NULL},           {45296789000, "12:34:56.789", NULL},
		{1, "00:00:00.000001", NULL},    {86399999999, "23:59:59.999999", NULL},
		{86400000000, "24:00:00", NULL}, {3723100000, "01:02:03.1", NULL}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(PEN_ENCODING_TIME, &(pen_value){.kind = PEN_VALUE_INT, .integer = cases[i].value},
			  cases[i].text);
}

static void
test_timestamps_are_as_postgres_prints_them(void **state)
{
	static const int_case cases[] = {
		{0, "2000-01-01 00:00:00+00", "2000-01-01T00:00:00+00:00"},
		{-1, "1999-12-31 23:59:59.999999+00", "1999-12-31T23:59:59.999999+00:00"},
		{848579696789000, "2026-11-21 12:34:56.789+00", "2026-11-21T12:34:56.789+00:00"},
		{-63082281600000000, "0001-01-01 00:00:00+00", "0001-01-01T00:00:00+00:00"},
		{-63082281600500000, "0001-12-31 23:59:59.5+00 BC", "0001-12-31T23:59:59.5+00:00 BC"},
		{-211813488000000000, "4714-11-24 00:00:00+00 BC", "4714-11-24T00:00:00+00:00 BC"},
		{9223371331199999999, "294276-12-31 23:59:59.999999+00",
		 "294276-12-31T23:59:59.999999+00:00"},
		{252455616000100000, "10000-01-01 00:00:00.1+00", "10000-01-01T00:00:00.1+00:00"},
		{INT64_MAX, "infinity", "infinity"},
		{INT64_MIN, "-infinity", "-infinity"}};
	char json[PEN_PRINT_MAX];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		check(PEN_ENCODING_TIMESTAMPTZ,
			  &(pen_value){.kind = PEN_VALUE_INT, .integer = cases[i].value}, cases[i].text);
		assert_text(json, pen_print_timestamp(json, cases[i].value, PEN_TIME_JSON, true),
					cases[i].json);
	}
	check(PEN_ENCODING_TIMESTAMP, &(pen_value){.kind = PEN_VALUE_INT, .integer = 848579696789000},
		  "2026-11-21 12:34:56.789");
}

static void
test_float8_is_the_shortest_in_postgres_form(void **state)
{
	static const char *const texts[] = {"0",
										"-0",
										"0.1",
										"0.30000000000000004",
										"1",
										"123456789012345",
										"1e+15",
										"1.234567890123456e+15",
										"0.0001",
										"1e-05",
										"-1.5",
										"9.999999999999999e+22",
										"5e-324",
										"2.2250738585072014e-308",
										"1.7976931348623157e+308",
										"9.007199254740992e+15",
										"1e+100",
										"NaN",
										"Infinity",
										"-Infinity"};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check(PEN_ENCODING_FLOAT8,
			  &(pen_value){.kind = PEN_VALUE_DOUBLE,
						   .float8 = texts[i][0] == 'N' ? (double) __builtin_nan("")
														: strtod(texts[i], NULL)},
			  texts[i]);
}

static void
test_float4_is_the_shortest_in_postgres_form(void **state)
{
	static const char *const texts[] = {
		"0",     "0.1",    "3.1415927",     "100000",   "1e+06", "1.2345678e+06",
		"1e-05", "0.0001", "3.4028235e+38", "1e-45",    "-1.5",  "1.1754944e-38",
		"NaN",   "16.75",  "Infinity",      "-Infinity"};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check(PEN_ENCODING_FLOAT4,
			  &(pen_value){.kind = PEN_VALUE_FLOAT,
						   .float4 =
							   texts[i][0] == 'N' ? __builtin_nanf("") : strtof(texts[i], NULL)},
			  texts[i]);
}

static void
test_floats_read_back_as_the_same_value(void **state)
{
	uint64_t seed = UINT64_C(88172645463325252);

	(void) state;
	for (int i = 0; i < 200000; i++)
	{
		char text[PEN_FLOAT_TEXT_MAX + 1];
		double value;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		memcpy(&value, &seed, sizeof(value));
		if (value != value)
			continue;
		text[pen_float8_text(text, value)] = '\0';
		assert_true(strtod(text, NULL) == value);
	}
}

static void
test_other_types_are_as_postgres_prints_them(void **state)
{
	static const uint8_t uuid[] = {0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
								   0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11};

	(void) state;
	check(PEN_ENCODING_BOOL, &(pen_value){.kind = PEN_VALUE_BOOL, .boolean = true}, "t");
	check(PEN_ENCODING_BOOL, &(pen_value){.kind = PEN_VALUE_BOOL}, "f");
	check(PEN_ENCODING_INT, &(pen_value){.kind = PEN_VALUE_INT, .integer = INT64_MIN},
		  "-9223372036854775808");
	check(PEN_ENCODING_INT, &(pen_value){.kind = PEN_VALUE_INT, .integer = INT64_MAX},
		  "9223372036854775807");
	check(PEN_ENCODING_OID, &(pen_value){.kind = PEN_VALUE_INT, .integer = UINT32_MAX},
		  "4294967295");
	check(PEN_ENCODING_UUID, &(pen_value){.kind = PEN_VALUE_BYTES, .data = uuid, .len = 16},
		  "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
	check(PEN_ENCODING_BYTEA, &(pen_value){.kind = PEN_VALUE_BYTES, .data = uuid, .len = 2},
		  "\\xa0ee");
	check(PEN_ENCODING_BYTEA, &(pen_value){.kind = PEN_VALUE_BYTES, .data = uuid}, "\\x");
	check(PEN_ENCODING_TEXT,
		  &(pen_value){.kind = PEN_VALUE_STRING, .data = (const uint8_t *) "x", .len = 1}, "x");
}

static void
test_what_postgres_cannot_have_is_refused(void **state)
{
	static const struct
	{
		pen_encoding encoding;
		int64_t value;
	} cases[] = {{PEN_ENCODING_DATE, -2451546},
				 {PEN_ENCODING_DATE, 2145031949},
				 {PEN_ENCODING_DATE, INT64_MAX},
				 {PEN_ENCODING_TIME, -1},
				 {PEN_ENCODING_TIME, 86400000001},
				 {PEN_ENCODING_TIMESTAMP, -211813488000000001},
				 {PEN_ENCODING_TIMESTAMPTZ, 9223371331200000000},
				 {PEN_ENCODING_OID, -1},
				 {PEN_ENCODING_OID, INT64_C(1) << 32},
				 {PEN_ENCODING_TEXT, 1},
				 {PEN_ENCODING_UUID, 1}};
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_non_null(
			pen_print_value(&buf, cases[i].encoding,
							&(pen_value){.kind = PEN_VALUE_INT, .integer = cases[i].value}));
	assert_int_equal(buf.len, 0);
	pen_buffer_reset(&buf);
}

static void
test_malformed_texts_do_not_parse(void **state)
{
	static const struct
	{
		pen_encoding encoding;
		const char *text;
	} cases[] = {{PEN_ENCODING_INT, ""},
				 {PEN_ENCODING_INT, "-"},
				 {PEN_ENCODING_INT, "1 "},
				 {PEN_ENCODING_INT, "9223372036854775808"},
				 {PEN_ENCODING_INT, "-9223372036854775809"},
				 {PEN_ENCODING_OID, "4294967296"},
				 {PEN_ENCODING_BOOL, "yes"},
				 {PEN_ENCODING_DATE, "2023-02-29"},
				 {PEN_ENCODING_DATE, "1900-02-29"},
				 {PEN_ENCODING_DATE, "0000-01-01"},
				 {PEN_ENCODING_DATE, "2023-1-1"},
				 {PEN_ENCODING_DATE, "9999999-12-31"},
				 {PEN_ENCODING_DATE, " BC"},
				 {PEN_ENCODING_TIME, "24:00:00.1"},
				 {PEN_ENCODING_TIME, "12:34:56."},
				 {PEN_ENCODING_TIME, "12:60:00"},
				 {PEN_ENCODING_TIMESTAMP, "2026-11-21"},
				 {PEN_ENCODING_TIMESTAMP, "2026-11-21 12:34:56+00"},
				 {PEN_ENCODING_TIMESTAMP, "9999999-01-01 00:00:00"},
				 {PEN_ENCODING_TIMESTAMP, "9999999-01-01 00:00:00 BC"},
				 {PEN_ENCODING_TIMESTAMPTZ, "2026-11-21 12:34:56"},
				 {PEN_ENCODING_FLOAT8, ""},
				 {PEN_ENCODING_FLOAT8, "0x10"},
				 {PEN_ENCODING_FLOAT8, "1e999"},
				 {PEN_ENCODING_FLOAT8, "inf"},
				 {PEN_ENCODING_FLOAT4, "1e39"},
				 {PEN_ENCODING_UUID, "a0eebc99"},
				 {PEN_ENCODING_UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1-1"},
				 {PEN_ENCODING_BYTEA, "\\x1"},
				 {PEN_ENCODING_BYTEA, "1234"}};
	pen_wire_buf space;
	pen_value value;

	(void) state;
	pen_buffer_init(&space);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_non_null(pen_parse_value(cases[i].encoding, 0, cases[i].text, strlen(cases[i].text),
										&space, &value));
	assert_non_null(pen_parse_value(PEN_ENCODING_INT, PEN_OID_INT2, "32768", 5, &space, &value));
	assert_null(
		pen_parse_value(PEN_ENCODING_TIMESTAMPTZ, 0, "2000-01-01T02:00:00+02", 22, &space, &value));
	assert_true(value.integer == 0);
	pen_buffer_reset(&space);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates_are_as_postgres_prints_them),
		cmocka_unit_test(test_every_day_of_the_calendar_comes_back),
		cmocka_unit_test(test_times_are_as_postgres_prints_them),
		cmocka_unit_test(test_timestamps_are_as_postgres_prints_them),
		cmocka_unit_test(test_float8_is_the_shortest_in_postgres_form),
		cmocka_unit_test(test_float4_is_the_shortest_in_postgres_form),
		cmocka_unit_test(test_floats_read_back_as_the_same_value),
		cmocka_unit_test(test_other_types_are_as_postgres_prints_them),
		cmocka_unit_test(test_what_postgres_cannot_have_is_refused),
		cmocka_unit_test(test_malformed_texts_do_not_parse)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
