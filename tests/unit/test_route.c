/* test_route.c -- which tables a list of patterns takes, and what it is known by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "route/route.h"

static bool
takes(const char *patterns, const char *schema, const char *table)
{
	pen_error error;
	pen_route *route = pen_route_new(patterns, &error);
	bool taken;

	if (route == NULL)
		fail_msg("%s", error.text);
	taken = pen_route_takes(route, schema, table);
	pen_route_free(route);
	return taken;
}

static void
test_no_pattern_takes_every_table(void **state)
{
	(void) state;
	assert_true(takes(NULL, "public", "users"));
	assert_true(takes("", "shop", "any.thing"));
	assert_true(pen_route_takes(NULL, "public", "users"));
}

static void
test_a_pattern_without_a_dot_means_the_schema_public(void **state)
{
	(void) state;
	assert_true(takes("users", "public", "users"));
	assert_false(takes("users", "shop", "users"));
	assert_true(takes("*", "public", "users"));
	assert_false(takes("*", "shop", "users"));
	assert_true(takes("*.*", "shop", "users"));
}

static void
test_names_are_matched_whole_and_by_case(void **state)
{
	(void) state;
	assert_false(takes("users", "public", "user"));
	assert_false(takes("users", "public", "users2"));
	assert_false(takes("users", "public", "Users"));
	assert_false(takes("users", "public", ""));
	assert_true(takes("b\xc3\xbc"
					  "cher",
					  "public",
					  "b\xc3\xbc"
					  "cher"));
}

static void
test_a_star_stands_for_any_run_of_characters(void **state)
{
	(void) state;
	assert_true(takes("user*", "public", "user"));
	assert_true(takes("user*", "public", "users"));
	assert_true(takes("*s", "public", "users"));
	assert_true(takes("u*r*", "public", "users"));
	assert_true(takes("**", "public", "users"));
	assert_true(takes("a*b*a", "public", "abababa"));
	assert_true(takes("*ab", "public", "aab"));
	assert_true(takes("*.*", "public", "with.dot"));
	assert_false(takes("u*x", "public", "users"));
	assert_false(takes("a*b*a", "public", "aba_"));
	assert_true(takes("tenant_*.orders", "tenant_7", "orders"));
	assert_false(takes("tenant_*.orders", "tenants", "orders"));
}

static void
test_a_backslash_takes_the_next_character_as_it_is(void **state)
{
	(void) state;
	assert_true(takes("a\\*b", "public", "a*b"));
	assert_false(takes("a\\*b", "public", "axb"));
	assert_true(takes("a\\.b", "public", "a.b"));
	assert_false(takes("a\\.b", "a", "b"));
	assert_true(takes("my\\.schema.t", "my.schema", "t"));
	assert_true(takes("a\\,b", "public", "a,b"));
	assert_true(takes("a\\\\b", "public", "a\\b"));
	assert_true(takes("a\\\\", "public", "a\\"));
	assert_true(takes("\\u\\s", "public", "us"));
	assert_true(takes("*\\*", "public", "ends in *"));
	assert_false(takes("*\\*", "public", "ends"));
}

static void
test_white_space_around_names_does_not_count(void **state)
{
	(void) state;
	assert_true(takes(" users , shop . orders\t,\n*.x ", "public", "users"));
	assert_true(takes(" users , shop . orders\t,\n*.x ", "shop", "orders"));
	assert_true(takes(" users , shop . orders\t,\n*.x ", "any", "x"));
	assert_true(takes("a b", "public", "a b"));
	assert_true(takes("\\ a\\ ", "public", " a "));
	assert_true(takes("a\\\\ ", "public", "a\\"));
}

static void
test_one_of_several_patterns_is_enough(void **state)
{
	(void) state;
	assert_true(takes("users,shop.*", "public", "users"));
	assert_true(takes("users,shop.*", "shop", "orders"));
	assert_false(takes("users,shop.*", "public", "orders"));
}

static void
test_malformed_patterns_are_refused_with_what_is_meant(void **state)
{
	static const char *const bad[] = {",",     "a,",  ",a",   "a,,b", ".a",      "a.",
									  "a.b.c", ".",   "\\",   "a\\",  "a\\\\\\", "shop.a\\",
									  "a\\,",  "a.,", "b,.a", "\\.",  "a.b\\"};
	static const bool fine[sizeof(bad) / sizeof(bad[0])] = {
		/* "a\," is a table whose name ends in a comma, "\." one that is called a dot. */
		[12] = true,
		[15] = true};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		pen_error error;
		pen_route *route;

		pen_error_clear(&error);
		route = pen_route_new(bad[i], &error);
		if ((route != NULL) != fine[i])
			fail_msg("\"%s\": %s", bad[i], route != NULL ? "taken" : error.text);
		if (route == NULL)
		{
			assert_int_equal(error.status, PENSTOCK_E_CONFIG);
			assert_non_null(strstr(error.text, "pattern"));
		}
		pen_route_free(route);
	}
}

static void
test_a_schema_may_end_in_a_quoted_backslash_only(void **state)
{
	(void) state;
	assert_true(takes("a\\\\.b", "a\\", "b"));
	/* The dot is quoted: a table of the schema public. */
	assert_true(takes("a\\.b", "public", "a.b"));
	assert_true(takes("a\\.", "public", "a."));
}

static void
test_the_schema_of_progress_is_never_taken(void **state)
{
	(void) state;
	assert_false(takes(NULL, "penstock", "progress"));
	assert_false(takes("*.*", "penstock", "progress"));
	assert_false(takes("penstock.progress", "penstock", "progress"));
	assert_false(pen_route_takes(NULL, "penstock", "meta"));
	assert_true(takes("*.*", "penstock2", "progress"));
	assert_true(takes("penstock", "public", "penstock"));
}

/* ---- fingerprints ---- */

static const char *
fingerprint(const char *patterns, char into[17])
{
	pen_error error;
	pen_route *route = pen_route_new(patterns, &error);

	if (route == NULL)
		fail_msg("%s", error.text);
	memset(into, 'x', 17);
	pen_route_fingerprint(route, into);
	pen_route_free(route);
	assert_int_equal(into[16], '\0');
	assert_int_equal(strspn(into, "0123456789abcdef"), 16);
	return into;
}

static void
test_order_and_repetition_do_not_change_a_fingerprint(void **state)
{
	char a[17];
	char b[17];

	(void) state;
	assert_string_equal(fingerprint("a,b,c.d", a), fingerprint("c.d,a,b", b));
	assert_string_equal(fingerprint("a,b", a), fingerprint("b,a,b,a,a", b));
	assert_string_equal(fingerprint("a", a), fingerprint("public.a", b));
	assert_string_equal(fingerprint(NULL, a), fingerprint("", b));
	pen_route_fingerprint(NULL, b);
	assert_string_equal(a, b);
}

static void
test_other_patterns_have_other_fingerprints(void **state)
{
	static const char *const different[] = {"",     "a",    "b",     "a,b",    "a.b", "ab",
											"a.bc", "ab.c", "a*",    "a\\*",   "*",   "*.*",
											"A",    "a,bc", "a.b,c", "c.a,b.a"};
	char prints[16][17];

	(void) state;
	for (size_t i = 0; i < 16; i++)
	{
		fingerprint(different[i], prints[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(prints[i], prints[j]);
	}
}

/* ---- limits ---- */

static void
test_a_pathological_pattern_is_matched_at_once(void **state)
{
	char pattern[4096];
	char name[1 << 16];
	struct timespec before;
	struct timespec after;
	pen_error error;
	pen_route *route;

	(void) state;
	for (size_t i = 0; i + 3 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 3);
	strcpy(pattern + strlen(pattern) - 1, "b");
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	route = pen_route_new(pattern, &error);
	assert_non_null(route);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	assert_false(pen_route_takes(route, "public", name));
	name[sizeof(name) - 2] = 'b';
	assert_true(pen_route_takes(route, "public", name));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	/* Going back at each star would take longer than the universe has. */
	assert_true(after.tv_sec - before.tv_sec < 5);
	pen_route_free(route);
}

static void
test_many_patterns_are_fine(void **state)
{
	static char patterns[200000];
	char name[16];
	size_t used = 0;
	pen_error error;
	pen_route *route;

	(void) state;
	for (int i = 0; i < 10000; i++)
		used += (size_t) snprintf(patterns + used, sizeof(patterns) - used, "%st%d",
								  i > 0 ? "," : "", i);
	route = pen_route_new(patterns, &error);
	assert_non_null(route);
	for (int i = 0; i < 10001; i += 1111)
	{
		snprintf(name, sizeof(name), "t%d", i);
		assert_int_equal(pen_route_takes(route, "public", name), i < 10000);
	}
	assert_false(pen_route_takes(route, "public", "t10000"));
	pen_route_free(route);
	pen_route_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_pattern_takes_every_table),
		cmocka_unit_test(test_a_pattern_without_a_dot_means_the_schema_public),
		cmocka_unit_test(test_names_are_matched_whole_and_by_case),
		cmocka_unit_test(test_a_star_stands_for_any_run_of_characters),
		cmocka_unit_test(test_a_backslash_takes_the_next_character_as_it_is),
		cmocka_unit_test(test_white_space_around_names_does_not_count),
		cmocka_unit_test(test_one_of_several_patterns_is_enough),
		cmocka_unit_test(test_malformed_patterns_are_refused_with_what_is_meant),
		cmocka_unit_test(test_a_schema_may_end_in_a_quoted_backslash_only),
		cmocka_unit_test(test_the_schema_of_progress_is_never_taken),
		cmocka_unit_test(test_order_and_repetition_do_not_change_a_fingerprint),
		cmocka_unit_test(test_other_patterns_have_other_fingerprints),
		cmocka_unit_test(test_a_pathological_pattern_is_matched_at_once),
		cmocka_unit_test(test_many_patterns_are_fine)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
