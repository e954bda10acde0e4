/* test_row.c -- reading the values of a row, and rows as C structs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "penstock/penstock.h"
#include "types.h"
#include "wire.h"

static const penstock_column columns[] = {
	{.name = "id", .attnum = 1, .identity = 1, .encoding = PEN_ENCODING_INT},
	{.name = "name", .attnum = 2, .encoding = PEN_ENCODING_TEXT},
	{.name = "ok", .attnum = 3, .encoding = PEN_ENCODING_BOOL},
	{.name = "ratio", .attnum = 4, .encoding = PEN_ENCODING_FLOAT8},
	{.name = "region", .attnum = 5, .identity = 2, .encoding = PEN_ENCODING_TEXT},
	{.name = "day", .attnum = 6, .encoding = PEN_ENCODING_DATE}};
static const penstock_relation relation = {
	.schema = "public", .name = "t", .column_count = 6, .columns = columns};

/* (70000, 'Ada', true, unchanged, 'eu', null) */
static penstock_row
full_row(pen_wire_buf *buf)
{
	pen_buffer_init(buf);
	pen_wire_write_int(buf, PEN_TUPLE_NEW, 70000);
	pen_wire_write_string(buf, PEN_TUPLE_NEW, "Ada", 3);
	pen_wire_write_bool(buf, PEN_TUPLE_NEW, true);
	pen_wire_write_unchanged(buf, PEN_TUPLE_NEW);
	pen_wire_write_string(buf, PEN_TUPLE_NEW, "eu", 2);
	pen_wire_write_null(buf, PEN_TUPLE_NEW);
	return (penstock_row){&relation, buf->data, buf->len, false};
}

static void
test_columns_are_read_as_what_they_are_and_nothing_else(void **state)
{
	pen_wire_buf buf;
	penstock_row row = full_row(&buf);
	int64_t integer = 0;
	double number;
	bool truth = false;
	const char *text = NULL;
	size_t len = 0;

	(void) state;
	assert_int_equal(penstock_column_index(&relation, "region"), 4);
	assert_int_equal(penstock_column_index(&relation, "Region"), -1);
	assert_int_equal(penstock_get_int(&row, 0, &integer), PENSTOCK_OK);
	assert_int_equal(integer, 70000);
	assert_int_equal(penstock_get_text(&row, 1, &text, &len), PENSTOCK_OK);
	assert_int_equal(len, 3);
	assert_memory_equal(text, "Ada", 3);
	assert_int_equal(penstock_get_bool(&row, 2, &truth), PENSTOCK_OK);
	assert_true(truth);
	assert_int_equal(penstock_get_double(&row, 3, &number), PENSTOCK_UNCHANGED);
	assert_int_equal(penstock_get_int(&row, 5, &integer), PENSTOCK_NULL);
	assert_int_equal(penstock_get_text(&row, 0, &text, &len), PENSTOCK_E_CONFIG);
	assert_int_equal(penstock_get_int(&row, 1, &integer), PENSTOCK_E_CONFIG);
	assert_int_equal(penstock_get_int(&row, 6, &integer), PENSTOCK_E_CONFIG);
	assert_int_equal(penstock_get_int(&row, -1, &integer), PENSTOCK_E_CONFIG);
	pen_buffer_reset(&buf);
}

static void
test_a_key_has_its_identity_columns_only(void **state)
{
	pen_wire_buf buf;
	penstock_row row = {.relation = &relation, .identity_only = true};
	penstock_row none = {0};
	int64_t integer;
	const char *text;
	size_t len;

	(void) state;
	pen_buffer_init(&buf);
	pen_wire_write_int(&buf, PEN_TUPLE_KEY, 5);
	pen_wire_write_string(&buf, PEN_TUPLE_KEY, "eu", 2);
	row.data = buf.data;
	row.len = buf.len;
	assert_int_equal(penstock_get_int(&row, 0, &integer), PENSTOCK_OK);
	assert_int_equal(penstock_get_text(&row, 1, &text, &len), PENSTOCK_NOT_FOUND);
	assert_int_equal(penstock_get_text(&row, 4, &text, &len), PENSTOCK_OK);
	assert_int_equal(len, 2);
	assert_int_equal(penstock_get_int(&none, 0, &integer), PENSTOCK_NOT_FOUND);
	pen_buffer_reset(&buf);
}

static void
test_a_printed_value_is_cut_to_the_buffer_and_says_so(void **state)
{
	pen_wire_buf buf;
	penstock_row row = full_row(&buf);
	char text[6];
	size_t len;

	(void) state;
	assert_int_equal(penstock_get_printed(&row, 0, text, 6, &len), PENSTOCK_OK);
	assert_string_equal(text, "70000");
	assert_int_equal(len, 5);
	assert_int_equal(penstock_get_printed(&row, 0, text, 5, &len), PENSTOCK_OK);
	assert_string_equal(text, "7000");
	assert_int_equal(len, 5);
	assert_int_equal(penstock_get_printed(&row, 0, NULL, 0, &len), PENSTOCK_OK);
	assert_int_equal(len, 5);
	assert_int_equal(penstock_get_printed(&row, 5, text, 6, &len), PENSTOCK_NULL);
	assert_string_equal(text, "");
	pen_buffer_reset(&buf);
}

typedef struct user
{
	int32_t id;
	penstock_text name;
	double ratio;
	int64_t day;
	bool day_is_null;
} user;

static void
test_a_struct_is_filled_and_what_did_not_travel_is_left(void **state)
{
	static const penstock_field fields[] = {
		{"id", PENSTOCK_FIELD_INT32, offsetof(user, id), -1},
		{"name", PENSTOCK_FIELD_TEXT, offsetof(user, name), -1},
		{"ratio", PENSTOCK_FIELD_DOUBLE, offsetof(user, ratio), -1},
		{"day", PENSTOCK_FIELD_INT64, offsetof(user, day), offsetof(user, day_is_null)}};
	pen_wire_buf buf;
	penstock_row row = full_row(&buf);
	user u = {.ratio = 2.5, .day = 9};
	size_t bad = 99;

	(void) state;
	assert_int_equal(penstock_row_to_struct(&row, fields, 4, &u, &bad), PENSTOCK_OK);
	assert_int_equal(u.id, 70000);
	assert_memory_equal(u.name.data, "Ada", 3);
	assert_true(u.ratio == 2.5);
	assert_true(u.day == 0 && u.day_is_null);
	pen_buffer_reset(&buf);
}

static void
test_a_field_that_does_not_fit_is_named(void **state)
{
	static const penstock_field wrong[] = {
		{"id", PENSTOCK_FIELD_INT16, 0, -1},   /* 70000 */
		{"gone", PENSTOCK_FIELD_INT64, 0, -1}, /* no such column */
		{"name", PENSTOCK_FIELD_BOOL, 0, -1},  /* another type */
		{"day", PENSTOCK_FIELD_INT32, 0, -1},  /* null without a flag */
	};
	pen_wire_buf buf;
	penstock_row row = full_row(&buf);
	int64_t target[4];

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
	{
		const penstock_field fields[] = {{"id", PENSTOCK_FIELD_INT64, 0, -1}, wrong[i]};
		size_t bad = 99;

		assert_int_equal(penstock_row_to_struct(&row, fields, 2, target, &bad), PENSTOCK_E_DATA);
		assert_int_equal(bad, 1);
	}
	pen_buffer_reset(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_read_as_what_they_are_and_nothing_else),
		cmocka_unit_test(test_a_key_has_its_identity_columns_only),
		cmocka_unit_test(test_a_printed_value_is_cut_to_the_buffer_and_says_so),
		cmocka_unit_test(test_a_struct_is_filled_and_what_did_not_travel_is_left),
		cmocka_unit_test(test_a_field_that_does_not_fit_is_named)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
