/* test_pushdown.c -- what the plugin is told of the tables that are wanted, against what the routes
 * take: the plugin's own code must give the same answer for every name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../plugin/patterns.c"
#include "route/route.h"

static uint64_t seed = UINT64_C(88172645463325252);

static uint32_t
next_random(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t) ((seed >> 16) % below);
}

/* Everything that means something to one of the two, and some that does not. */
static const char *const characters[] = {
	"a", "b", "A", "*",  ".",  ",", "\\",       "\"",           "'",
	" ", "%", "_", "\t", "\n", "$", "\xc3\xbc", "\xe2\x82\xac", "/"};

static void
random_name(char *to, uint32_t most)
{
	uint32_t count = 1 + next_random(most);

	*to = '\0';
	for (uint32_t i = 0; i < count; i++)
		strcat(to, characters[next_random(sizeof(characters) / sizeof(characters[0]))]);
}

/* As a part of a pattern: some of its characters become *, the others are quoted where they must
 * be, and sometimes where they need not be. */
static void
pattern_of(char *to, const char *name)
{
	for (; *name != '\0'; name++)
	{
		bool ascii = (unsigned char) *name < 0x80;

		if (ascii && next_random(5) == 0)
		{
			*to++ = '*';
			continue;
		}
		if (strchr("*.,\\ \t\n", *name) != NULL || (ascii && next_random(3) == 0))
			*to++ = '\\';
		*to++ = *name;
	}
	*to = '\0';
}

static bool
plugin_takes(const char *patterns, const char *schema, const char *table)
{
	const char *names[] = {schema, table};
	const char *problem;
	PatternList list;
	bool taken;

	if (!patterns_parse(&list, patterns, 2, &problem))
		fail_msg("%s: %s", patterns, problem);
	taken = patterns_match(&list, names);
	shim_reset();
	return taken;
}

static void
test_the_plugin_takes_what_the_routes_take(void **state)
{
	int taken = 0;
	int left = 0;

	(void) state;
	for (int round = 0; round < 20000; round++)
	{
		const pen_route *routes[2];
		char names[4][2][60];
		char *patterns;
		pen_error error;

		for (int r = 0; r < 2; r++)
		{
			char text[600] = "";

			for (int i = 0; i < 2; i++)
			{
				char *name = names[2 * r + i][0];

				random_name(name, 4);
				random_name(names[2 * r + i][1], 5);
				if (i > 0)
					strcat(text, next_random(2) ? "," : " , ");
				pattern_of(text + strlen(text), name);
				strcat(text, next_random(2) ? "." : " . ");
				pattern_of(text + strlen(text), names[2 * r + i][1]);
			}
			routes[r] = pen_route_new(text, &error);
			if (routes[r] == NULL)
				fail_msg("%s: %s", text, error.text);
		}
		patterns = pen_route_plugin_patterns(routes, 2);
		assert_non_null(patterns);
		for (int i = 0; i < 12; i++)
		{
			char schema[60];
			char table[60];
			bool expected;

			random_name(schema, 4);
			random_name(table, 5);
			if (i < 8)
				strcpy(schema, names[i % 4][0]);
			if (i < 4)
				strcpy(table, names[i % 4][1]);
			expected = pen_route_takes(routes[0], schema, table) ||
					   pen_route_takes(routes[1], schema, table);
			if (i < 4)
				assert_true(expected);
			if (plugin_takes(patterns, schema, table) != expected)
				fail_msg("%s: \"%s\".\"%s\"", patterns, schema, table);
			taken += expected;
			left += !expected;
		}
		free(patterns);
		pen_route_free((pen_route *) routes[0]);
		pen_route_free((pen_route *) routes[1]);
	}
	assert_true(taken > 80000 && left > 20000);
}

static char *
patterns_for(const char *text)
{
	pen_error error;
	pen_route *route = pen_route_new(text, &error);
	const pen_route *routes[] = {route};
	char *patterns = pen_route_plugin_patterns(routes, 1);

	pen_route_free(route);
	return patterns;
}

static void
test_what_takes_every_table_is_not_passed(void **state)
{
	const pen_route *routes[3] = {NULL, NULL, NULL};
	pen_error error;

	(void) state;
	assert_null(patterns_for(NULL));
	assert_null(pen_route_plugin_patterns(routes, 1));
	assert_null(pen_route_plugin_patterns(routes, 0));
	routes[0] = pen_route_new("a.b", &error);
	assert_null(pen_route_plugin_patterns(routes, 2));
	pen_route_free((pen_route *) routes[0]);
}

static void
test_what_the_plugin_would_refuse_is_not_passed(void **state)
{
	size_t size = 200000;
	char *text = malloc(size);
	char *patterns;
	const char *problem;
	PatternList list;
	size_t at = 0;

	(void) state;
	for (int i = 0; i < 1000; i++)
		at += (size_t) snprintf(text + at, size - at, "%ss.t%d", i > 0 ? "," : "", i);
	patterns = patterns_for(text);
	assert_non_null(patterns);
	assert_true(patterns_parse(&list, patterns, 2, &problem));
	assert_int_equal(list.count, 1000);
	shim_reset();
	free(patterns);
	strcat(text, ",one.more");
	assert_null(patterns_for(text));
	memset(text, 'x', size);
	text[50000] = '\0';
	assert_null(patterns_for(text));
	text[20000] = '\0';
	patterns = patterns_for(text);
	assert_int_equal(strlen(patterns), 20007);
	free(patterns);
	free(text);
}

static void
test_special_characters_are_quoted(void **state)
{
	static const struct
	{
		const char *route;
		const char *plugin;
	} cases[] = {{"users", "public.users"}, {" shop . users ", "shop.users"},
				 {"a\"b.*c", "a\\\"b.*c"},  {"a\\*.b\\\\", "a\\*.b\\\\"},
				 {"a.b\\ ", "a.b\\ "},      {"Sh\xc3\xb6p.x-y", "Sh\xc3\xb6p.x\\-y"},
				 {"b.c,a.b", "a.b,b.c"}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *patterns = patterns_for(cases[i].route);

		assert_string_equal(patterns, cases[i].plugin);
		free(patterns);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_plugin_takes_what_the_routes_take),
		cmocka_unit_test(test_what_takes_every_table_is_not_passed),
		cmocka_unit_test(test_what_the_plugin_would_refuse_is_not_passed),
		cmocka_unit_test(test_special_characters_are_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
