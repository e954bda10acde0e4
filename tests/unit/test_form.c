/* test_form.c -- values in binary, byte for byte as a server's send functions write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "destination/postgres/form.h"

static void
expect(pen_form form, const pen_value *value, const char *hex)
{
	pen_wire_buf buf;
	char got[200] = "";

	pen_buffer_init(&buf);
	assert_true(pen_form_write(&buf, form, value));
	assert_true(buf.len < sizeof(got) / 2);
	for (size_t i = 0; i < buf.len; i++)
		snprintf(got + 2 * i, 3, "%02x", buf.data[i]);
	assert_string_equal(got, hex);
	pen_buffer_reset(&buf);
}

static void
reject(pen_form form, const pen_value *value)
{
	pen_wire_buf buf;

	pen_buffer_init(&buf);
	assert_false(pen_form_write(&buf, form, value));
	assert_false(buf.failed);
	pen_buffer_reset(&buf);
}

static pen_value
text(const char *string)
{
	return (pen_value){
		.kind = PEN_VALUE_STRING, .data = (const uint8_t *) string, .len = strlen(string)};
}

static pen_value
integer(int64_t number)
{
	return (pen_value){.kind = PEN_VALUE_INT, .integer = number};
}

/* SELECT encode(numeric_send(…), 'hex') */
static void
test_numeric_is_as_numeric_send_writes_it_but_for_groups_of_zeros(void **state)
{
	static const char *const cases[][2] = {
		{"1", "0000000a00010000000000000001"},
		{"-1", "0000000a00010000400000000001"},
		{"10000", "0000000c000200010000000000010000"},
		{"123456.789", "0000000e0003000100000003000c0d801ed2"},
		{"1.50", "0000000c000200000000000200011388"},
		{"0.0001", "0000000c000200000000000400000001"},
		{"0.00010", "0000000e0003000000000005000000010000"},
		{"NaN", "000000080000"
				"0000c0000000"},
		{"Infinity", "000000080000"
					 "0000d0000000"},
		{"-Infinity", "000000080000"
					  "0000f0000000"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		pen_value value = text(cases[i][0]);

		expect(PEN_FORM_NUMERIC, &value, cases[i][1]);
	}
}

static void
test_what_is_no_numeric_is_not_written(void **state)
{
	static const char *const cases[] = {"",      "-", ".5", "5.",  "1e5",
										"1.2.3", "x", "1 ", "--1", "+1"};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		pen_value value = text(cases[i]);

		reject(PEN_FORM_NUMERIC, &value);
	}
}

static void
test_integers_keep_to_their_range(void **state)
{
	static const struct
	{
		pen_form form;
		int64_t min;
		int64_t max;
	} limits[] = {
		{PEN_FORM_INT2, INT16_MIN, INT16_MAX},
		{PEN_FORM_INT4, INT32_MIN, INT32_MAX},
		{PEN_FORM_UINT4, 0, UINT32_MAX},
	};
	pen_value value;

	(void) state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		value = integer(limits[i].max + 1);
		reject(limits[i].form, &value);
		value = integer(limits[i].min - 1);
		reject(limits[i].form, &value);
	}
	value = integer(-2);
	expect(PEN_FORM_INT2, &value, "00000002fffe");
	expect(PEN_FORM_INT4, &value, "00000004fffffffe");
	expect(PEN_FORM_INT8, &value, "00000008fffffffffffffffe");
	value = integer(UINT32_MAX);
	expect(PEN_FORM_UINT4, &value, "00000004ffffffff");
}

static void
test_the_others_are_their_bytes(void **state)
{
	pen_value value = {.kind = PEN_VALUE_BOOL, .boolean = true};

	(void) state;
	expect(PEN_FORM_BOOL, &value, "0000000101");
	value = (pen_value){.kind = PEN_VALUE_FLOAT, .float4 = 1.5f};
	expect(PEN_FORM_FLOAT4, &value, "000000043fc00000");
	value = (pen_value){.kind = PEN_VALUE_DOUBLE, .float8 = -2.0};
	expect(PEN_FORM_FLOAT8, &value, "00000008c000000000000000");
	value = text("{}");
	expect(PEN_FORM_RAW, &value, "000000027b7d");
	expect(PEN_FORM_JSONB, &value, "00000003017b7d");
	value = (pen_value){.kind = PEN_VALUE_NULL};
	expect(PEN_FORM_NUMERIC, &value, "ffffffff");
	expect(PEN_FORM_INT4, &value, "ffffffff");
}

static void
test_a_value_of_another_kind_is_not_written(void **state)
{
	pen_value number = integer(1);
	pen_value word = text("1");
	pen_value unchanged = {.kind = PEN_VALUE_UNCHANGED};

	(void) state;
	reject(PEN_FORM_RAW, &number);
	reject(PEN_FORM_NUMERIC, &number);
	reject(PEN_FORM_BOOL, &number);
	reject(PEN_FORM_INT4, &word);
	reject(PEN_FORM_FLOAT8, &word);
	for (int form = PEN_FORM_NONE; form <= PEN_FORM_JSONB; form++)
		reject((pen_form) form, &unchanged);
}

static void
test_only_what_needs_no_cast_goes_to_a_type(void **state)
{
	(void) state;
	assert_int_equal(pen_form_of_receive("int8recv", PEN_ENCODING_INT, PEN_OID_INT2),
					 PEN_FORM_INT8);
	assert_int_equal(pen_form_of_receive("int2recv", PEN_ENCODING_INT, PEN_OID_INT4),
					 PEN_FORM_NONE);
	assert_int_equal(pen_form_of_receive("int4recv", PEN_ENCODING_INT, PEN_OID_INT4),
					 PEN_FORM_INT4);
	assert_int_equal(pen_form_of_receive("int4recv", PEN_ENCODING_DATE, PEN_OID_DATE),
					 PEN_FORM_NONE);
	assert_int_equal(pen_form_of_receive("timestamp_recv", PEN_ENCODING_DATE, PEN_OID_DATE),
					 PEN_FORM_NONE);
	assert_int_equal(pen_form_of_receive("float8recv", PEN_ENCODING_FLOAT4, PEN_OID_FLOAT4),
					 PEN_FORM_NONE);
	assert_int_equal(pen_form_of_receive("enum_recv", PEN_ENCODING_OUTPUT, 99999), PEN_FORM_RAW);
	assert_int_equal(pen_form_of_receive("numeric_recv", PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC),
					 PEN_FORM_NUMERIC);
	assert_int_equal(pen_form_of_receive("numeric_recv", PEN_ENCODING_INT, PEN_OID_INT4),
					 PEN_FORM_NONE);
	assert_int_equal(pen_form_of_receive("inet_recv", PEN_ENCODING_OUTPUT, 869), PEN_FORM_NONE);
	assert_int_equal(pen_form_of_receive("textrecv", PEN_ENCODING_BINARY, 25), PEN_FORM_NONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numeric_is_as_numeric_send_writes_it_but_for_groups_of_zeros),
		cmocka_unit_test(test_what_is_no_numeric_is_not_written),
		cmocka_unit_test(test_integers_keep_to_their_range),
		cmocka_unit_test(test_the_others_are_their_bytes),
		cmocka_unit_test(test_a_value_of_another_kind_is_not_written),
		cmocka_unit_test(test_only_what_needs_no_cast_goes_to_a_type),
	};

	return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
