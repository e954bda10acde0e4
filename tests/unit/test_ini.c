/* test_ini.c -- penstock.ini: what stands in it, what is said of what is wrong, and that no value
 * is repeated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/expand.h"
#include "config/file.h"
#include "config/ini.h"
#include "route/mapping.h"

/* ---- the text ---- */

static char told[8192];

static void
note_line(void *context, int line, const char *problem)
{
	size_t at = strlen(told);

	(void) context;
	snprintf(told + at, sizeof(told) - at, "%d: %s\n", line, problem);
}

/* Everything of the file on one line each. */
static const char *
parsed(const char *text, size_t length, penstock_status expected)
{
	static char found[8192];
	char *copy = malloc(length + 1); /* of its own size, so that a sanitizer sees */
	pen_ini ini;
	pen_error error;

	memcpy(copy, text, length);
	told[0] = '\0';
	found[0] = '\0';
	assert_int_equal(pen_ini_parse(copy, length, &ini, note_line, NULL, &error), expected);
	for (size_t i = 0; i < ini.count; i++)
	{
		size_t at = strlen(found);

		snprintf(found + at, sizeof(found) - at, "%d [%s]\n", ini.sections[i].line,
				 ini.sections[i].name != NULL ? ini.sections[i].name : "?");
		for (size_t j = 0; j < ini.sections[i].count; j++)
		{
			at = strlen(found);
			snprintf(found + at, sizeof(found) - at, "%d <%s>=<%s>\n",
					 ini.sections[i].entries[j].line, ini.sections[i].entries[j].key,
					 ini.sections[i].entries[j].value);
		}
	}
	pen_ini_reset(&ini);
	free(copy);
	return found;
}

#define PARSED(text, expected)                                                                     \
	assert_string_equal(parsed(text, sizeof(text) - 1, PENSTOCK_OK), expected)

static void
test_sections_keys_and_values_with_their_lines(void **state)
{
	(void) state;
	PARSED("", "");
	PARSED("\n; nothing\n# here\n", "");
	PARSED("[a]\nb = c\n\n;x\n[d e.*]\nf=g=h\ni =\n", "1 [a]\n2 <b>=<c>\n5 [d e.*]\n6 <f>=<g=h>\n"
													  "7 <i>=<>\n");
	PARSED("[a]\r\nb = c d \r\n", "1 [a]\n2 <b>=<c d>\n");
	PARSED("\xef\xbb\xbf[a]\nb=c", "1 [a]\n2 <b>=<c>\n");
	PARSED("  [ a ]  \n\t b = c\n  ; x\n", "1 [a]\n2 <b>=<c>\n");
	PARSED("[a]\nb = \"c d\" ; e # f\n", "1 [a]\n2 <b>=<\"c d\" ; e # f>\n");
	PARSED("[a]\nb = /* c */\n/* d */ = 1\n", "1 [a]\n2 <b>=</* c */>\n3 </* d */>=<1>\n");
	PARSED("[a\\,b]]\nx=1", "1 [a\\,b]]\n2 <x>=<1>\n");
}

/* libini-config alone merges, folds and refuses these. */
static void
test_names_are_kept_as_they_are(void **state)
{
	(void) state;
	PARSED("[t A]\nx=1\n[t a]\nx=2\n[t A]\nx=3\n",
		   "1 [t A]\n2 <x>=<1>\n3 [t a]\n4 <x>=<2>\n5 [t A]\n6 <x>=<3>\n");
	PARSED("[t]\nr.X=1\nr.x=2\nr.X=3\n", "1 [t]\n2 <r.X>=<1>\n3 <r.x>=<2>\n4 <r.X>=<3>\n");
	PARSED("[b\xc3\xbc]\nb\xc3\xbc = \xc3\xbc\n\"a b\" = 1\n%41 = 2\n[] x]\n",
		   "1 [b\xc3\xbc]\n2 <b\xc3\xbc>=<\xc3\xbc>\n3 <\"a b\">=<1>\n4 <%41>=<2>\n5 [] x]\n");
	PARSED("[a]\n[b]\n[a]\n", "1 [a]\n2 [b]\n3 [a]\n");
}

static void
test_every_malformed_line_is_told_and_the_others_are_there(void **state)
{
	static const char text[] =
		"early = 1\n[a]\nb = 1\nno equal sign\n[c\nd = 2\n[]\ne = 3\n[f]\n = "
		"4\ng = 5\n\xff = 6\nh = \xff\n[i] j\n";

	(void) state;
	assert_string_equal(parsed(text, sizeof(text) - 1, PENSTOCK_E_CONFIG),
						"2 [a]\n3 <b>=<1>\n5 [?]\n7 [?]\n9 [f]\n11 <g>=<5>\n14 [?]\n");
	for (int line = 1; line <= 14; line++)
	{
		static const int bad[] = {1, 4, 5, 7, 10, 12, 13, 14};
		char start[20];
		bool expected = false;

		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			expected = expected || bad[i] == line;
		snprintf(start, sizeof(start), "%s%d: ", "\n", line);
		if ((strstr(told, start) != NULL || strncmp(told, start + 1, strlen(start) - 1) == 0) !=
			expected)
			fail_msg("line %d: %s", line, told);
	}
	assert_non_null(strstr(told, "1: this stands before any [section]\n"));
	assert_non_null(strstr(told, "\n4: equal sign is missing\n"));
	assert_non_null(strstr(told, "\n13: this is not UTF-8\n"));
}

static void
test_nul_bytes_and_long_keys_are_told(void **state)
{
	char text[400];
	char key[301];

	(void) state;
	assert_string_equal(parsed("[a]\nb\0=1\nc=\0\nd=1", 16, PENSTOCK_E_CONFIG),
						"1 [a]\n4 <d>=<1>\n");
	assert_string_equal(told, "2: a NUL byte\n3: a NUL byte\n");
	memset(key, 'X', 300);
	key[300] = '\0';
	snprintf(text, sizeof(text), "[a]\n%s=1", key);
	assert_non_null(strstr(parsed(text, strlen(text), PENSTOCK_OK), key));
	snprintf(text, sizeof(text), "[a]\nX%s=1", key);
	assert_string_equal(parsed(text, strlen(text), PENSTOCK_E_CONFIG), "1 [a]\n");
	assert_string_equal(told, "2: the key is too long\n");
}

static void
test_hostile_files_do_no_harm(void **state)
{
	static const char *const pieces[] = {
		"[",        "]",    "=",   "\n",    "a",     " ",  ";",  "#",  "%",   "\"", "\r",  "\t",
		"\xc3\xbc", "\xff", "b.c", "[x]\n", "k=v\n", "/*", "*/", "\\", "%zz", "[",  "\n\n"};
	uint64_t seed = 7;

	(void) state;
	for (int round = 0; round < 20000; round++)
	{
		char text[300] = "";
		pen_ini ini;
		pen_error error;

		for (int i = 0; i < round % 40; i++)
		{
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			strcat(text, pieces[(seed >> 33) % (sizeof(pieces) / sizeof(pieces[0]))]);
		}
		told[0] = '\0';
		if (pen_ini_parse(text, strlen(text), &ini, note_line, NULL, &error) < 0)
		{
			if (error.status != PENSTOCK_E_CONFIG || told[0] == '\0')
				fail_msg("%s: %s", text, error.text);
		}
		else
			assert_string_equal(told, "");
		pen_ini_reset(&ini);
	}
}

/* ---- ${VAR} ---- */

static void
expands(const char *value, const char *expected, bool changed)
{
	bool expanded;
	pen_error error;
	char *result = pen_expand(value, &expanded, &error);

	if (result == NULL)
		fail_msg("%s: %s", value, error.text);
	assert_string_equal(result, expected);
	assert_int_equal(expanded, changed);
	free(result);
}

static void
does_not_expand(const char *value, const char *part)
{
	bool expanded;
	pen_error error;

	pen_error_clear(&error);
	assert_null(pen_expand(value, &expanded, &error));
	assert_int_equal(error.status, PENSTOCK_E_CONFIG);
	if (strstr(error.text, part) == NULL)
		fail_msg("%s: %s", value, error.text);
}

static void
test_variables_are_those_of_the_environment(void **state)
{
	(void) state;
	setenv("PEN_ONE", "1", 1);
	setenv("PEN_EMPTY", "", 1);
	setenv("PEN_NEST", "${PEN_ONE}$${", 1);
	unsetenv("PEN_NONE");
	expands("", "", false);
	expands("plain", "plain", false);
	expands("${PEN_ONE}", "1", true);
	expands("a${PEN_ONE}b${PEN_ONE}", "a1b1", true);
	expands("${PEN_EMPTY}", "", true);
	expands("${PEN_NEST}", "${PEN_ONE}$${", true); /* not looked at again */
	expands("$PEN_ONE $ {} $", "$PEN_ONE $ {} $", false);
	expands("$${PEN_ONE}", "${PEN_ONE}", false);
	expands("$$${PEN_ONE}", "$${PEN_ONE}", false);
	expands("$$", "$$", false);
	does_not_expand("x${PEN_NONE}", "PEN_NONE is not set");
	does_not_expand("${", "name of an environment variable");
	does_not_expand("${}", "name of an environment variable");
	does_not_expand("${PEN_ONE", "name of an environment variable");
	does_not_expand("${PEN ONE}", "name of an environment variable");
	does_not_expand("${1X}", "name of an environment variable");
	does_not_expand("${PEN_ONE:-x}", "name of an environment variable");
}

static void
test_a_password_is_seen_where_it_stands(void **state)
{
	static const char *const with[] = {"password=x", "host=h password = 'x'",
									   "postgresql://u:p@h/d", "postgresql:///d?password=x",
									   "password=${X} password=y"};
	static const char *const without[] = {"",
										  "host=h",
										  "password=${X}",
										  "password = '${X}'",
										  "password=",
										  "postgresql://u:${X}@h/d",
										  "postgresql://u@h:5432/d",
										  "postgresql://h/d?x=a:b@c",
										  "host=password"};

	(void) state;
	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++)
		if (!pen_expand_has_password(with[i]))
			fail_msg("%s", with[i]);
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		if (pen_expand_has_password(without[i]))
			fail_msg("%s", without[i]);
}

/* ---- the file ---- */

static void
note(void *context, penstock_log_level level, const char *text)
{
	size_t at = strlen(told);

	(void) context;
	snprintf(told + at, sizeof(told) - at, "%s%s\n",
			 level == PENSTOCK_LOG_ERROR ? "" : "warning: ", text);
}

static int
set_up(void **state)
{
	static pen_settings settings;
	pen_error error;

	assert_int_equal(pen_settings_init(&settings, &error), PENSTOCK_OK);
	*state = &settings;
	told[0] = '\0';
	return 0;
}

static int
tear_down(void **state)
{
	pen_settings_reset(*state);
	return 0;
}

static penstock_status
load(pen_settings *settings, const char *text)
{
	pen_error error;
	penstock_status status;

	told[0] = '\0';
	status = pen_file_load_text(settings, "p.ini", text, strlen(text), note, NULL, &error);
	assert_int_equal(status, error.status);
	if ((status < 0) != (told[0] != '\0'))
		fail_msg("%d: %s", status, told);
	return status;
}

static void
test_a_file_with_everything(void **state)
{
	pen_settings *settings = *state;
	pen_error error;
	pen_mapping *mapping;

	setenv("PEN_HOST", "db1", 1);
	if (load(settings, "[source]\n"
					   "conninfo = host=${PEN_HOST} dbname=shop\n"
					   "slot = s\n"
					   "create_slot = on\n"
					   "progress-interval = 1s\n"
					   "batch_ms = 5\n"
					   "tables = shop.*, crm.*\n"
					   "[destination crm]\n"
					   "to = postgresql://db2/crm\n"
					   "connect_timeout_ms = 5000\n"
					   "tables = shop.users\n"
					   "[destination cache]\n"
					   "to = memory:\n"
					   "batch_bytes_max = 2MB\n"
					   "[table shop.users]\n"
					   "to = crm.people\n"
					   "columns = id, name\n"
					   "rename.name = full_name\n"
					   "where = id > 5\n"
					   "destination = crm\n") < 0)
		fail_msg("%s", told);
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_OK);
	assert_string_equal(settings->source, "host=db1 dbname=shop");
	assert_string_equal(settings->slot, "s");
	assert_int_equal(settings->create_slot, 1);
	assert_int_equal(settings->progress_interval_ms, 1000);
	assert_string_equal(settings->each.tables, "shop.*, crm.*");
	assert_int_equal(settings->destination_count, 2);
	assert_string_equal(settings->destinations[0].name, "crm");
	assert_string_equal(settings->destinations[0].uri, "postgresql://db2/crm");
	assert_string_equal(settings->destinations[0].options.tables, "shop.users");
	assert_int_equal(settings->destinations[0].options.connect_timeout_ms, 5000);
	assert_int_equal(settings->destinations[0].options.batch_ms, 5);
	assert_int_equal(settings->destinations[1].options.batch_bytes_max, 2 << 20);
	assert_int_equal(settings->destinations[1].options.connect_timeout_ms, 15000);
	assert_int_equal(settings->rule_count, 1);
	assert_string_equal(pen_rule_stands_at(settings->rules[0]), "p.ini:15");
	assert_string_equal(pen_rule_destination(settings->rules[0]), "crm");
	mapping = pen_mapping_new(NULL, settings->destinations[0].options.tables, "crm",
							  settings->rules, settings->rule_count, &error);
	assert_true(pen_mapping_takes(mapping, "shop", "users"));
	assert_false(pen_mapping_takes(mapping, "shop", "orders"));
	pen_mapping_free(mapping);
}

/* One file, everything that is wrong in it, and not a word of the values. */
static void
test_everything_that_is_wrong_is_told_with_its_line(void **state)
{
	static const struct
	{
		const char *line;
		const char *told; /* NULL: nothing */
	} lines[] = {
		{"[source]", NULL},
		{"slot = s3cret", NULL},
		{"slat = s3cret", "there is no key \"slat\"; is slot meant?"},
		{"batch_ms = s3cret", "option batch-ms: its value is not a time in ms"},
		{"to = s3cret", "a destination has a section of its own: [destination NAME]"},
		{"slot = s3cret", "slot is given a second time; the first is in line 2"},
		{"config = s3cret", "there is no key \"config\""},
		{"memory-limit = ${PEN_SECRET}", "memory-limit: with what its variables hold"},
		{"[destination one]", "destination one is the same as destination zero"},
		{"to = postgresql://u:s3cret@h/d", NULL},
		{"slot = s3cret", "slot is an option of the whole run: it belongs in [source]"},
		{"batch_byte_max = s3cret",
		 "there is no key \"batch_byte_max\"; is batch_bytes_max meant?"},
		{"batch_bytes_max = 99999999999", "its value is out of range; 0 to 1073741824 bytes"},
		{"tables = ${PEN_NONE}", "the environment variable PEN_NONE is not set"},
		{"s3cret", "equal sign is missing"},
		{"[destination  one]", "is there a second time; the first is in line 9"},
		{"to = s3cret", NULL},
		{"[destination Two]", "a destination's name is made of at most 63 of"},
		{"[tabel x]", "there is no kind of section \"tabel\"; is table meant?"},
		{"s3cret = s3cret", NULL},
		{"[table]", "which tables are meant is not said"},
		{"[destination]", "a destination has a name"},
		{"[table a.b]", NULL},
		{"colums = s3cret", "there is no key \"colums\"; is columns meant?"},
		{"where = id s3cret", "where: at character 4: AND, OR or the end is expected"},
		{"to = x.y", NULL},
		{"[table a.b.c]", "table pattern \"a.b.c\" is not schema.table"},
		{"[table a.*]", "to is something else at p.ini:23"},
		{"to = c.d", NULL},
		{"[source]", "section [source] is there a second time; the first is in line 1"},
		{"[table e.f]", NULL},
		{"where = ${PEN_SECRET}", "where: with what its variables hold, the value is malformed"},
		{"quite.different = s3cret", "there is no key \"quite.different\"\n"},
		{"[", "no closing bracket"},
		{"k = s3cret", NULL},
		{"[postgresql://me:s3cret@h/d]", "there is no kind of section \"…\""},
		{"[source ]", "section [source] is there a second time"},
		{"[destination three]", NULL},
		{"postgresql://me:s3cret@h/d?x=1", "there is no key \"…\""},
	};
	pen_settings *settings = *state;
	const size_t count = sizeof(lines) / sizeof(lines[0]);
	char file[4096] = "";
	size_t problems = 0;
	size_t lines_told = 0;
	char more[40];
	pen_error error;

	unsetenv("PEN_NONE");
	setenv("PEN_SECRET", "s3cret s3cret", 1);
	assert_int_equal(
		pen_settings_set(settings, "to", "zero=postgresql://u:s3cret@h/d", PEN_FROM_CALLER, &error),
		PENSTOCK_OK);
	for (size_t i = 0; i < count; i++)
	{
		strcat(file, lines[i].line);
		strcat(file, "\n");
		problems += lines[i].told != NULL;
	}
	assert_int_equal(pen_file_load_text(settings, "p.ini", file, strlen(file), note, NULL, &error),
					 PENSTOCK_E_CONFIG);
	for (size_t i = 0; i < count; i++)
	{
		char start[20];
		const char *at;

		snprintf(start, sizeof(start), "p.ini:%zu: ", i + 1);
		at = strstr(told, start);
		if ((at != NULL) != (lines[i].told != NULL))
			fail_msg("line %zu, %s: %s", i + 1, lines[i].line, told);
		if (at != NULL && strstr(at, lines[i].told) == NULL)
			fail_msg("line %zu: %.200s", i + 1, at);
	}
	for (const char *c = told; *c != '\0'; c++)
		lines_told += *c == '\n';
	assert_int_equal(lines_told, problems);
	assert_null(strstr(told, "s3cret"));
	/* The error is the first that was found. */
	assert_null(strstr(error.text, "s3cret"));
	snprintf(more, sizeof(more), "(and %zu more)", problems - 1);
	assert_non_null(strstr(error.text, more));
}

static void
test_what_is_near_is_offered(void **state)
{
	static const char *const names[] = {"batch-bytes-max", "slot", "to", NULL};

	(void) state;
	assert_string_equal(pen_file_nearest("batch_byte_max", names), "batch-bytes-max");
	assert_string_equal(pen_file_nearest("batch-bytes-max", names), "batch-bytes-max");
	assert_string_equal(pen_file_nearest("slots", names), "slot");
	assert_null(pen_file_nearest("entirely", names));
	assert_null(pen_file_nearest("ab", names)); /* as far away as it is long */
	assert_null(pen_file_nearest("", names));
	assert_null(pen_file_nearest("a-name-that-is-much-longer-than-any-option-will-be", names));
}

/* ---- on disk ---- */

static void
write_file(const char *path, const char *text, mode_t mode)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
}

static void
test_a_password_for_everybody_is_warned_of(void **state)
{
	static const char with[] = "[source]\nsource = host=h password=s3cret\n";
	static const char without[] = "[source]\nsource = host=h password=${PEN_PASSWORD}\n";
	pen_settings *settings = *state;
	char path[] = "/tmp/test_ini_XXXXXX";
	int fd = mkstemp(path);
	pen_error error;

	assert_true(fd >= 0);
	close(fd);
	setenv("PEN_PASSWORD", "s3cret", 1);
	write_file(path, with, 0600);
	assert_int_equal(pen_file_load(settings, path, note, NULL, &error), PENSTOCK_OK);
	assert_string_equal(told, "");
	write_file(path, without, 0644);
	assert_int_equal(pen_file_load(settings, path, note, NULL, &error), PENSTOCK_OK);
	assert_string_equal(told, "");
	write_file(path, with, 0644);
	assert_int_equal(pen_file_load(settings, path, NULL, NULL, &error), PENSTOCK_OK);
	assert_int_equal(pen_file_load(settings, path, note, NULL, &error), PENSTOCK_OK);
	assert_non_null(strstr(told, "warning: "));
	assert_non_null(strstr(told, "everybody may read it"));
	assert_null(strstr(told, "s3cret"));
	unlink(path);
}

static void
test_files_that_cannot_be_read_are_told(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	assert_int_equal(
		pen_settings_set(settings, "config", "/nonexistent/x", PEN_FROM_CALLER, &error),
		PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "/nonexistent/x: No such file"));
	assert_int_equal(pen_file_load(settings, "/tmp", note, NULL, &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(told, "could not read /tmp"));
	assert_int_equal(pen_file_load(settings, "/dev/zero", NULL, NULL, &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "larger than"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sections_keys_and_values_with_their_lines),
		TEST(test_names_are_kept_as_they_are),
		TEST(test_every_malformed_line_is_told_and_the_others_are_there),
		TEST(test_nul_bytes_and_long_keys_are_told),
		TEST(test_hostile_files_do_no_harm),
		TEST(test_variables_are_those_of_the_environment),
		TEST(test_a_password_is_seen_where_it_stands),
		TEST(test_a_file_with_everything),
		TEST(test_everything_that_is_wrong_is_told_with_its_line),
		TEST(test_what_is_near_is_offered),
		TEST(test_a_password_for_everybody_is_warned_of),
		TEST(test_files_that_cannot_be_read_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
