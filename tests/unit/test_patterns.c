/* test_patterns.c -- plugin/patterns.c: what is parsed, and matching against the plainest matcher
 * that there is. Patterns are random from a fixed seed, so a failure repeats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../plugin/patterns.c"

static uint64_t seed = UINT64_C(88172645463325252);

static uint32_t
next_random(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t) ((seed >> 16) % below);
}

/* By definition: `*` is any number of characters. */
static bool
plain_match(const PatternPart *part, int at, const char *name)
{
	if (at == part->len)
		return *name == '\0';
	if (part->wild[at])
		return plain_match(part, at + 1, name) ||
			   (*name != '\0' && plain_match(part, at, name + 1));
	return *name == part->text[at] && plain_match(part, at + 1, name + 1);
}

static void
random_text(char *to, const char *alphabet, uint32_t len_max)
{
	uint32_t len = 1 + next_random(len_max);

	for (uint32_t i = 0; i < len; i++)
		to[i] = alphabet[next_random((uint32_t) strlen(alphabet))];
	to[len] = '\0';
}

static void
test_matching_is_what_its_definition_says(void **state)
{
	int matched = 0;

	(void) state;
	for (int round = 0; round < 200000; round++)
	{
		char pattern[40];
		char name[40];
		const char *problem;
		PatternList list;
		bool expected;

		random_text(pattern, round % 2 ? "aab**" : "ab*\\.,", 9);
		random_text(name, round % 2 ? "ab" : "ab*\\.,", 9);
		if (pattern[strlen(pattern) - 1] == '\\')
			strcat(pattern, "\\");
		shim_reset();
		if (!patterns_parse(&list, pattern, 1, &problem))
			continue;
		expected = false;
		for (int i = 0; i < list.count; i++)
			expected = expected || plain_match(&list.patterns[i].parts[0], 0, name);
		if (patterns_match(&list, (const char *const[]){name}) != expected)
			fail_msg("pattern %s and name %s", pattern, name);
		matched += expected;
	}
	shim_reset();
	assert_true(matched > 1000);
}

/* Any name is matched by itself with every character escaped, and by nothing else of its length. */
static void
test_an_escaped_name_matches_itself_only(void **state)
{
	(void) state;
	for (int round = 0; round < 20000; round++)
	{
		char names[2][40];
		char pattern[200];
		const char *problem;
		PatternList list;
		char *to = pattern;

		for (int i = 0; i < 2; i++)
			random_text(names[i], "ab*\\., \t\"\xc3\xbc", 12);
		for (int i = 0; i < 2; i++)
		{
			for (const char *from = names[i]; *from != '\0'; from++)
			{
				*to++ = '\\';
				*to++ = *from;
			}
			*to++ = i == 0 ? '.' : '\0';
		}
		assert_true(patterns_parse(&list, pattern, 2, &problem));
		assert_int_equal(list.count, 1);
		assert_true(patterns_match(&list, (const char *const[]){names[0], names[1]}));
		assert_true(patterns_match(&list, (const char *const[]){names[1], names[0]}) ==
					(strcmp(names[0], names[1]) == 0));
		names[1][next_random((uint32_t) strlen(names[1]))] ^= 1;
		assert_false(patterns_match(&list, (const char *const[]){names[0], names[1]}));
		assert_true(patterns_match_start(&list, (const char *const[]){names[0], names[1]}, 1));
		shim_reset();
	}
}

static void
test_lists_parse_as_documented(void **state)
{
	static const struct
	{
		const char *text;
		int parts;
		int count; /* 0: malformed */
	} cases[] = {
		{"a", 1, 1},       {"a,b", 1, 2},    {" a , b ", 1, 2}, {"a.b", 2, 1},   {"a.b,c.d", 2, 2},
		{"a.b.c", 3, 1},   {"a\\.b", 1, 1},  {"a\\,b", 1, 1},   {"\\ ", 1, 1},   {"a\\ ", 1, 1},
		{"*", 1, 1},       {"\\*", 1, 1},    {"\\\\", 1, 1},    {"a . b", 2, 1}, {"", 1, 0},
		{" ", 1, 0},       {",", 1, 0},      {"a,", 1, 0},      {",a", 1, 0},    {"a,,b", 1, 0},
		{"a\\", 1, 0},     {"\\", 1, 0},     {"a.b", 1, 0},     {"a", 2, 0},     {"a.b.c", 2, 0},
		{".a", 2, 0},      {"a.", 2, 0},     {"a.,b", 2, 0},    {"a.b,c", 2, 0}, {"a,b.c", 2, 0},
		{"a.b\\.c", 3, 0}, {"a.b.c.", 3, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *problem = NULL;
		PatternList list;
		bool parsed = patterns_parse(&list, cases[i].text, cases[i].parts, &problem);

		if (parsed != (cases[i].count > 0) || (parsed && list.count != cases[i].count) ||
			(!parsed && problem == NULL))
			fail_msg("list \"%s\"", cases[i].text);
		shim_reset();
	}
}

static void
test_the_longest_list_and_one_more(void **state)
{
	char text[2 * (PATTERNS_MAX + 1)];
	const char *problem;
	PatternList list;

	(void) state;
	for (int i = 0; i <= PATTERNS_MAX; i++)
		memcpy(text + 2 * (size_t) i, "a,", 2);
	text[2 * PATTERNS_MAX - 1] = '\0';
	assert_true(patterns_parse(&list, text, 1, &problem));
	assert_int_equal(list.count, PATTERNS_MAX);
	shim_reset();
	text[2 * PATTERNS_MAX - 1] = ',';
	text[2 * PATTERNS_MAX + 1] = '\0';
	assert_false(patterns_parse(&list, text, 1, &problem));
	shim_reset();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_matching_is_what_its_definition_says),
									   cmocka_unit_test(test_an_escaped_name_matches_itself_only),
									   cmocka_unit_test(test_lists_parse_as_documented),
									   cmocka_unit_test(test_the_longest_list_and_one_more)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
