/* test_amendments.c -- what was added and removed comes out of its file as it was put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "route/amendments.h"
#include "route/route.h"

static pen_amendments list;
static pen_error error;

static void
add(char *destination, char *schema, char *table, bool added)
{
	const pen_amendment entry = {
		.destination = destination, .schema = schema, .table = table, .added = added};

	assert_int_equal(pen_amendments_add(&list, &entry, &error), PENSTOCK_OK);
}

static void
make_path(char *path)
{
	int fd = mkstemp(strcpy(path, "/tmp/test_amendments.XXXXXX"));

	assert_true(fd >= 0);
	close(fd);
}

static int
teardown(void **state)
{
	(void) state;
	pen_amendments_reset(&list);
	return 0;
}

static void
test_the_last_word_on_a_table_counts(void **state)
{
	(void) state;
	assert_int_equal(pen_amendments_say(&list, "s", "t"), 0);
	assert_int_equal(pen_amendments_say(NULL, "s", "t"), 0);
	add("f", "s", "t", true);
	assert_int_equal(pen_amendments_say(&list, "s", "t"), 1);
	add("f", "s", "t", false);
	assert_int_equal(pen_amendments_say(&list, "s", "t"), -1);
	assert_int_equal(pen_amendments_say(&list, "s", "T"), 0);
	assert_true(pen_amendments_mention(&list, "s", "t"));
	assert_false(pen_amendments_mention(&list, "t", "s"));
}

static void
test_a_file_gives_back_what_was_written(void **state)
{
	static char *const names[][2] = {{"public", "t"},
									 {"s.x", "T, *t*"},
									 {"a\\b", " blank "},
									 {"tab\t", "\\"},
									 {"\xc3\xa4", "x\"y'z"}};
	pen_amendments again = {0};
	char path[60];

	(void) state;
	make_path(path);
	for (size_t i = 0; i < 5; i++)
		add("f1", names[i][0], names[i][1], i % 2 == 0);
	assert_int_equal(pen_amendments_write(&list, path, &error), PENSTOCK_OK);
	assert_int_equal(pen_amendments_read(&again, path, &error), PENSTOCK_OK);
	assert_int_equal(again.count, 5);
	for (size_t i = 0; i < 5; i++)
	{
		assert_string_equal(again.entries[i].destination, "f1");
		assert_string_equal(again.entries[i].schema, names[i][0]);
		assert_string_equal(again.entries[i].table, names[i][1]);
		assert_int_equal(again.entries[i].added, i % 2 == 0);
	}
	pen_amendments_reset(&again);
	unlink(path);
	assert_int_equal(pen_amendments_read(&again, path, &error), PENSTOCK_OK);
	assert_int_equal(again.count, 0);
}

static void
test_a_damaged_file_is_refused(void **state)
{
	static const char *const texts[] = {"+",           "+ f s.t",  "+ f\n",   "* f s.t\n",
										"+f s.t\n",    "+ f s.\n", "+ f *\n", "+ f s.t\n\n",
										"+ f a.b.c\n", "+ f s\n"};
	char path[60];

	(void) state;
	make_path(path);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		FILE *out = fopen(path, "w");

		assert_non_null(out);
		fputs(texts[i], out);
		fclose(out);
		if (pen_amendments_read(&list, path, &error) != PENSTOCK_E_CONFIG)
			fail_msg("taken: %s", texts[i]);
		assert_int_equal(list.count, 0);
	}
	unlink(path);
}

static void
test_names_that_a_line_cannot_hold_are_refused(void **state)
{
	const pen_amendment entry = {.destination = "f", .schema = "s", .table = "a\nb"};

	(void) state;
	assert_int_equal(pen_amendments_add(&list, &entry, &error), PENSTOCK_E_CONFIG);
	assert_int_equal(list.count, 0);
}

static void
test_every_step_has_its_own_fingerprint(void **state)
{
	char seen[4][17];

	(void) state;
	add("f", "s", "t", true);
	add("f", "s", "t", false);
	add("f", "s", "t", true);
	for (size_t i = 0; i < 4; i++)
	{
		pen_amendments_fingerprint(&list, i, "0123456789abcdef", seen[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(seen[i], seen[j]);
	}
	assert_string_equal(seen[0], "0123456789abcdef");
}

static void
test_patterns_take_what_was_added(void **state)
{
	pen_route *route;
	char *patterns;

	(void) state;
	add("f", "s.x", "T, *t", true);
	add("f", "s", "gone", false);
	add("g", "public", "u", true);
	patterns = pen_amendments_patterns(&list);
	route = pen_route_new(patterns, &error);
	assert_non_null(route);
	assert_true(pen_route_takes(route, "s.x", "T, *t"));
	assert_true(pen_route_takes(route, "public", "u"));
	assert_false(pen_route_takes(route, "s.x", "T, xt"));
	assert_false(pen_route_takes(route, "s", "gone"));
	pen_route_free(route);
	free(patterns);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_last_word_on_a_table_counts, teardown),
		cmocka_unit_test_teardown(test_a_file_gives_back_what_was_written, teardown),
		cmocka_unit_test_teardown(test_a_damaged_file_is_refused, teardown),
		cmocka_unit_test_teardown(test_names_that_a_line_cannot_hold_are_refused, teardown),
		cmocka_unit_test_teardown(test_every_step_has_its_own_fingerprint, teardown),
		cmocka_unit_test_teardown(test_patterns_take_what_was_added, teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
