/* test_changes.c -- what a body of POST /v1/tables may be, and that nothing in it is passed by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/changes.c"

static pen_change change;
static pen_error error;

static penstock_status
parse(const char *body)
{
	return pen_change_parse(&change, body, strlen(body), &error);
}

static void
test_a_command_comes_out_as_it_was_asked_for(void **state)
{
	static const struct
	{
		const char *name;
		pen_command_kind kind;
	} actions[] = {{"add", PEN_COMMAND_TABLES_ADD},
				   {"resync", PEN_COMMAND_TABLES_RESYNC},
				   {"remove", PEN_COMMAND_TABLES_REMOVE}};
	char body[200];

	(void) state;
	for (size_t i = 0; i < 3; i++)
	{
		snprintf(body, sizeof(body),
				 "{\"action\":\"%s\",\"tables\":[\"public.a\",\"b\"],\"destination\":\"f1\"}",
				 actions[i].name);
		assert_int_equal(parse(body), PENSTOCK_OK);
		assert_int_equal(change.command.kind, actions[i].kind);
		assert_int_equal(change.command.table_count, 2);
		assert_string_equal(change.command.tables[0], "public.a");
		assert_string_equal(change.command.tables[1], "b");
		assert_string_equal(change.command.destination, "f1");
		pen_change_reset(&change);
	}
	assert_int_equal(parse("{\"action\":\"add\",\"tables\":[\"t\"]}"), PENSTOCK_OK);
	assert_string_equal(change.command.destination, "");
	pen_change_reset(&change);
}

static void
test_what_is_not_understood_is_refused(void **state)
{
	static const char *const bodies[] = {
		"",
		"[]",
		"null",
		"\"add\"",
		"{",
		"{}",
		"{\"action\":\"add\"}",
		"{\"tables\":[\"t\"]}",
		"{\"action\":\"drop\",\"tables\":[\"t\"]}",
		"{\"action\":1,\"tables\":[\"t\"]}",
		"{\"action\":\"add\",\"tables\":\"t\"}",
		"{\"action\":\"add\",\"tables\":[]}",
		"{\"action\":\"add\",\"tables\":[\"\"]}",
		"{\"action\":\"add\",\"tables\":[\"t\",7]}",
		"{\"action\":\"add\",\"tables\":[\"t\"],\"destination\":\"\"}",
		"{\"action\":\"add\",\"tables\":[\"t\"],\"destination\":7}",
		"{\"action\":\"add\",\"tables\":[\"t\"],\"destinaton\":\"f1\"}",
		"{\"action\":\"add\",\"action\":\"remove\",\"tables\":[\"t\"]}",
		"{\"action\":\"add\",\"tables\":[\"t\"]} {}",
		"{\"action\":\"add\",\"tables\":[\"t\\u0000x\"]}",
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		if (parse(bodies[i]) != PENSTOCK_E_CONFIG)
			fail_msg("taken: %s", bodies[i]);
		assert_string_not_equal(error.text, "");
		pen_change_reset(&change);
	}
}

/* A body with so many tables, whose names have so many bytes. */
static penstock_status
parse_sized(size_t count, int length, const char *destination)
{
	char *body = malloc(count * ((size_t) length + 3) + 300);
	size_t used = (size_t) sprintf(body, "{\"action\":\"add\",\"destination\":\"%s\",\"tables\":[",
								   destination);
	penstock_status status;

	for (size_t i = 0; i < count; i++)
		used += (size_t) sprintf(body + used, "%s\"%0*d\"", i > 0 ? "," : "", length, 1);
	strcpy(body + used, "]}");
	status = parse(body);
	pen_change_reset(&change);
	free(body);
	return status;
}

static void
test_limits_hold_to_one(void **state)
{
	char name[80];

	(void) state;
	assert_int_equal(parse_sized(PEN_CHANGES_TABLES_MAX, 10, "f"), PENSTOCK_OK);
	assert_int_equal(parse_sized(PEN_CHANGES_TABLES_MAX + 1, 10, "f"), PENSTOCK_E_CONFIG);
	assert_int_equal(parse_sized(1, NAME_BYTES_MAX, "f"), PENSTOCK_OK);
	assert_int_equal(parse_sized(1, NAME_BYTES_MAX + 1, "f"), PENSTOCK_E_CONFIG);
	snprintf(name, sizeof(name), "%063d", 1);
	assert_int_equal(parse_sized(1, 1, name), PENSTOCK_OK);
	snprintf(name, sizeof(name), "%064d", 1);
	assert_int_equal(parse_sized(1, 1, name), PENSTOCK_E_CONFIG);
}

static void
test_every_truncation_is_refused(void **state)
{
	const char *whole = "{\"action\":\"add\",\"tables\":[\"a\"],\"destination\":\"f\"}";

	(void) state;
	for (size_t size = 0; size < strlen(whole); size++)
	{
		assert_int_equal(pen_change_parse(&change, whole, size, &error), PENSTOCK_E_CONFIG);
		pen_change_reset(&change);
	}
	assert_int_equal(parse(whole), PENSTOCK_OK);
	pen_change_reset(&change);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_comes_out_as_it_was_asked_for),
		cmocka_unit_test(test_what_is_not_understood_is_refused),
		cmocka_unit_test(test_limits_hold_to_one),
		cmocka_unit_test(test_every_truncation_is_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
