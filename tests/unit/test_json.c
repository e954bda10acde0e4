/* test_json.c -- the one JSON form: what FORMAT.md shows, and refusal of what cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "json.h"

static void
describe(const void *columns, uint32_t index, pen_json_column *column)
{
	*column = ((const pen_json_column *) columns)[index];
}

static const pen_json_column columns[] = {{"id", PEN_ENCODING_INT, PEN_OID_INT8, true},
										  {"a\"\n", PEN_ENCODING_TEXT, PEN_OID_TEXT, false}};
static const pen_json_relation relation = {.schema = "public",
										   .name = "users",
										   .column_count = 2,
										   .columns = columns,
										   .describe = describe};
static const pen_json_head head = {.xid = 731,
								   .commit_lsn = UINT64_C(0x16B374D848),
								   .commit_time = 848579696789000,
								   .sequence = 2};

static void
assert_text(const pen_wire_buf *buf, const char *expected)
{
	assert_int_equal(buf->len, strlen(expected));
	assert_memory_equal(buf->data, expected, buf->len);
}

static void
assert_value(pen_encoding encoding, uint32_t oid, pen_value value, const char *expected)
{
	pen_wire_buf buf;

	pen_buffer_init(&buf);
	assert_null(pen_json_value(&buf, encoding, oid, &value));
	assert_text(&buf, expected);
	pen_buffer_reset(&buf);
}

static pen_value
string(const char *text)
{
	return (pen_value){PEN_VALUE_STRING, .data = (const uint8_t *) text, .len = strlen(text)};
}

static pen_value
bytes(const char *text)
{
	return (pen_value){PEN_VALUE_BYTES, .data = (const uint8_t *) text, .len = strlen(text)};
}

static void
test_values_have_the_specified_form(void **state)
{
	const pen_value nan = {PEN_VALUE_DOUBLE, .float8 = (double) __builtin_nan("")};

	(void) state;
	assert_value(PEN_ENCODING_INT, 20, (pen_value){PEN_VALUE_NULL, .integer = 0}, "null");
	assert_value(PEN_ENCODING_INT, 20, (pen_value){PEN_VALUE_INT, .integer = INT64_MIN},
				 "-9223372036854775808");
	assert_value(PEN_ENCODING_BOOL, 16, (pen_value){PEN_VALUE_BOOL, .boolean = true}, "true");
	assert_value(PEN_ENCODING_FLOAT8, 701, (pen_value){PEN_VALUE_DOUBLE, .float8 = 1e15}, "1e+15");
	assert_value(PEN_ENCODING_FLOAT8, 701, nan, "\"NaN\"");
	assert_value(PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC, string("-12.50"), "-12.50");
	assert_value(PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC, string("Infinity"), "\"Infinity\"");
	assert_value(PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC, string("01"), "\"01\"");
	assert_value(PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC, string("1,\"x\":2"), "\"1,\\\"x\\\":2\"");
	assert_value(PEN_ENCODING_OUTPUT, 3802, string("{\"a\": 1}"), "\"{\\\"a\\\": 1}\"");
	assert_value(PEN_ENCODING_BYTEA, 17, bytes("\x01\xff"), "\"\\\\x01ff\"");
	assert_value(PEN_ENCODING_TEXT, 25, bytes("\xff"), "{\"bytes\":\"\\\\xff\"}");
	assert_value(PEN_ENCODING_BINARY, 600, bytes("\x02"), "{\"binary\":\"\\\\x02\"}");
	assert_value(PEN_ENCODING_DATE, 1082, (pen_value){PEN_VALUE_INT, .integer = 9821},
				 "\"2026-11-21\"");
	assert_value(PEN_ENCODING_TIMESTAMPTZ, 1184,
				 (pen_value){PEN_VALUE_INT, .integer = 848579696789000},
				 "\"2026-11-21T12:34:56.789+00:00\"");
	assert_value(PEN_ENCODING_TEXT, 25, string("\x01\b\f\n\r\t\"\\/\x7f\xe2\x80\xa8plain and long"),
				 "\"\\u0001\\b\\f\\n\\r\\t\\\"\\\\/\x7f\xe2\x80\xa8plain and long\"");
}

static void
test_every_control_character_is_escaped_wherever_it_stands(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (int c = 0; c < 0x80; c++)
		for (int at = 0; at < 24; at++)
		{
			char text[24];
			size_t plain = 0;

			memset(text, 'x', sizeof(text));
			text[at] = (char) c;
			buf.len = 0;
			assert_null(pen_json_string(&buf, text, sizeof(text)));
			for (size_t i = 0; i < buf.len; i++)
			{
				assert_true(buf.data[i] >= 0x20);
				plain += buf.data[i] == (uint8_t) c;
			}
			if (c < 0x20)
				assert_int_equal(plain, 0);
			assert_true((buf.len > 26) == (c < 0x20 || c == '"' || c == '\\'));
		}
	pen_buffer_reset(&buf);
}

static void
test_invalid_utf8_is_refused_and_leaves_nothing(void **state)
{
	static const char *const cases[] = {
		"\xff",         "\xc0\x80",         "\xe0\x80\x80",
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "long plain text \xe2\x80",
		"\x80",         "\xf0\x80\x80\x80"};
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_non_null(pen_json_string(&buf, cases[i], strlen(cases[i])));
	assert_int_equal(buf.len, 0);
	pen_buffer_reset(&buf);
}

static pen_tuple
tuple_of(pen_wire_buf *buf, pen_tuple_field field, const pen_value *values, uint32_t count)
{
	buf->len = 0;
	for (uint32_t i = 0; i < count; i++)
		pen_wire_write_value(buf, field, &values[i]);
	return (pen_tuple){buf->data, buf->len, count};
}

static void
test_an_update_lists_unchanged_columns_apart(void **state)
{
	const pen_value new_values[] = {{PEN_VALUE_INT, .integer = 2}, {PEN_VALUE_UNCHANGED, .len = 0}};
	const pen_value key_values[] = {{PEN_VALUE_INT, .integer = 1}};
	pen_json_change change = {.kind = PEN_EVENT_UPDATE};
	pen_wire_buf row;
	pen_wire_buf key;
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&row);
	pen_buffer_init(&key);
	pen_buffer_init(&buf);
	change.new_tuple = tuple_of(&row, PEN_TUPLE_NEW, new_values, 2);
	change.key = tuple_of(&key, PEN_TUPLE_KEY, key_values, 1);
	assert_null(pen_json_write_change(&buf, &head, &relation, &change));
	assert_text(&buf, "{\"op\":\"update\",\"xid\":731,\"lsn\":\"16/B374D848\","
					  "\"time\":\"2026-11-21T12:34:56.789000Z\",\"seq\":2,\"schema\":\"public\","
					  "\"table\":\"users\",\"new\":{\"id\":2},\"unchanged\":[\"a\\\"\\n\"],"
					  "\"key\":{\"id\":1}}");
	buf.len = 0;
	change.kind = PEN_EVENT_INSERT; /* unchanged in an insert */
	assert_non_null(pen_json_write_change(&buf, &head, &relation, &change));
	assert_int_equal(buf.len, 0);
	pen_buffer_reset(&row);
	pen_buffer_reset(&key);
	pen_buffer_reset(&buf);
}

static void
test_rows_that_do_not_fit_write_nothing(void **state)
{
	const pen_value values[] = {{PEN_VALUE_INT, .integer = 2}, string("a"), string("b")};
	const pen_value swapped[] = {string("a"), {PEN_VALUE_INT, .integer = 2}};
	const pen_json_head bad_head = {
		.xid = 1, .commit_lsn = 1, .commit_time = INT64_MIN, .sequence = 1};
	pen_json_change change = {.kind = PEN_EVENT_INSERT};
	pen_wire_buf row;
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&row);
	pen_buffer_init(&buf);
	pen_wire_append(&buf, "before", 6);
	for (uint32_t count = 0; count <= 3; count++)
	{
		change.new_tuple = tuple_of(&row, PEN_TUPLE_NEW, values, count);
		if (count != 2)
			assert_non_null(pen_json_write_change(&buf, &head, &relation, &change));
	}
	change.new_tuple = tuple_of(&row, PEN_TUPLE_NEW, swapped, 2);
	assert_non_null(pen_json_write_change(&buf, &head, &relation, &change));
	assert_non_null(pen_json_begin(&buf, &bad_head));
	assert_text(&buf, "before");
	pen_buffer_reset(&row);
	pen_buffer_reset(&buf);
}

static void
test_begin_commit_and_truncate_have_the_specified_form(void **state)
{
	pen_wire_buf buf;

	(void) state;
	pen_buffer_init(&buf);
	assert_null(pen_json_begin(&buf, &head));
	assert_text(&buf, "{\"op\":\"begin\",\"xid\":731,\"lsn\":\"16/B374D848\","
					  "\"time\":\"2026-11-21T12:34:56.789000Z\"}");
	buf.len = 0;
	assert_null(pen_json_commit(&buf, &head, 0x20));
	assert_text(&buf, "{\"op\":\"commit\",\"xid\":731,\"lsn\":\"16/B374D848\","
					  "\"time\":\"2026-11-21T12:34:56.789000Z\",\"end_lsn\":\"0/20\"}");
	buf.len = 0;
	assert_null(pen_json_truncate_begin(&buf, &head));
	assert_null(pen_json_truncate_table(&buf, "s", "a"));
	assert_null(pen_json_truncate_table(&buf, "s", "b"));
	assert_null(pen_json_truncate_end(&buf, true, false));
	assert_text(&buf, "{\"op\":\"truncate\",\"xid\":731,\"lsn\":\"16/B374D848\","
					  "\"time\":\"2026-11-21T12:34:56.789000Z\",\"seq\":2,\"tables\":["
					  "{\"schema\":\"s\",\"table\":\"a\"},{\"schema\":\"s\",\"table\":\"b\"}],"
					  "\"cascade\":true,\"restart_identity\":false}");
	pen_buffer_reset(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_have_the_specified_form),
		cmocka_unit_test(test_every_control_character_is_escaped_wherever_it_stands),
		cmocka_unit_test(test_invalid_utf8_is_refused_and_leaves_nothing),
		cmocka_unit_test(test_an_update_lists_unchanged_columns_apart),
		cmocka_unit_test(test_rows_that_do_not_fit_write_nothing),
		cmocka_unit_test(test_begin_commit_and_truncate_have_the_specified_form)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
