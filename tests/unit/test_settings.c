/* test_settings.c -- what the options of a run may say,
 * and what is said about those they may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/settings.h"
#include "config/values.h"

static int
set_up(void **state)
{
	static pen_settings settings;
	pen_error error;

	assert_int_equal(pen_settings_init(&settings, &error), PENSTOCK_OK);
	*state = &settings;
	return 0;
}

static int
tear_down(void **state)
{
	pen_settings_reset(*state);
	pen_settings_reset(*state); /* harmless */
	return 0;
}

static penstock_status
set(pen_settings *settings, const char *name, const char *value)
{
	pen_error error;

	return pen_settings_set(settings, name, value, PEN_FROM_CALLER, &error);
}

#define TAKEN(name, value) assert_int_equal(set(settings, name, value), PENSTOCK_OK)

/* Refused with a text that holds both, and nothing changed. */
static void
refused(pen_settings *settings, const char *name, const char *value, const char *text)
{
	pen_error error;

	pen_error_clear(&error);
	if (pen_settings_set(settings, name, value, PEN_FROM_CALLER, &error) != PENSTOCK_E_CONFIG)
		fail_msg("%s=%s was taken", name, value);
	if (strstr(error.text, text) == NULL || strstr(error.text, "option") == NULL)
		fail_msg("%s=%s: %s", name, value, error.text);
}

static void
test_defaults_are_those_of_the_table(void **state)
{
	const pen_settings *settings = *state;

	assert_null(settings->source);
	assert_null(settings->slot);
	assert_null(settings->until);
	assert_int_equal(settings->create_slot, 0);
	assert_int_equal(settings->destination_count, 0);
	assert_int_equal(settings->memory_limit, 1 << 30);
	assert_int_equal(settings->table_memory_limit, 0);
	assert_int_equal(settings->each.batch_bytes_max, 8 << 20);
	assert_int_equal(settings->progress_interval_ms, 10000);
	assert_int_equal(settings->status_interval_ms, 1000);
	assert_int_equal(settings->each.connect_timeout_ms, 15000);
}

static void
test_underscores_count_as_dashes(void **state)
{
	pen_settings *settings = *state;

	TAKEN("memory_limit", "32MB");
	TAKEN("memory-limit", "64MB");
	assert_int_equal(settings->memory_limit, 64 << 20);
	TAKEN("table_memory-limit", "1");
	assert_int_equal(settings->table_memory_limit, 1);
	refused(settings, "memory", "32MB", "there is no option \"memory\"");
	refused(settings, "memory-limits", "32MB", "no option");
	refused(settings, "memory.limit", "32MB", "no option");
	refused(settings, "", "32MB", "no option \"\"");
	refused(settings, "Source", "x", "no option");
}

static void
test_a_text_is_kept_and_the_last_one_counts(void **state)
{
	pen_settings *settings = *state;
	char value[] = "host=here";

	TAKEN("source", value);
	value[0] = 'x';
	assert_string_equal(settings->source, "host=here");
	TAKEN("source", "host=there");
	assert_string_equal(settings->source, "host=there");
	refused(settings, "source", "", "source");
	assert_string_equal(settings->source, "host=there");
}

static void
test_a_flag_is_on_or_off_in_several_words(void **state)
{
	static const char *const words[] = {"on", "off", "true", "false", "yes", "no", "1", "0"};
	static const char *const bad[] = {"", "On", "2", "-1", "on ", "offf", "t"};
	pen_settings *settings = *state;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		settings->create_slot = 7;
		TAKEN("create-slot", words[i]);
		assert_int_equal(settings->create_slot, i % 2 == 0);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(settings, "allow-triggers", bad[i], "on or off");
	assert_int_equal(settings->each.allow_triggers, 0);
}

static void
test_bytes_have_units(void **state)
{
	static const struct
	{
		const char *text;
		int64_t bytes;
	} good[] = {{"20000000", 20000000}, {"20000000B", 20000000},      {"20000kB", 20480000},
				{"20 MB", 20971520},    {"2GB", INT64_C(2147483648)}, {"017MB", 17825792}};
	static const char *const bad[] = {"",      "MB",     "-20MB", "+20MB", "20mb",  "20KB",
									  "20MBx", "20M",    "20TB",  "1.5GB", "2e9",   " 20MB",
									  "20MB ", "0x20MB", "20s",   "20ms",  "20 M B"};
	pen_settings *settings = *state;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		TAKEN("memory-limit", good[i].text);
		assert_int_equal(settings->memory_limit, good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(settings, "memory-limit", bad[i], "B, kB, MB or GB");
	assert_int_equal(settings->memory_limit, 17825792);
}

static void
test_times_have_units(void **state)
{
	static const char *const bad[] = {"", "s", "-5s", "5S", "5m", "5h", "5 sec", "1.5s", "5MB"};
	pen_settings *settings = *state;

	TAKEN("connect-timeout", "5000");
	assert_int_equal(settings->each.connect_timeout_ms, 5000);
	TAKEN("connect-timeout", "6000ms");
	assert_int_equal(settings->each.connect_timeout_ms, 6000);
	TAKEN("connect-timeout", "7s");
	assert_int_equal(settings->each.connect_timeout_ms, 7000);
	TAKEN("connect-timeout", "2 min");
	assert_int_equal(settings->each.connect_timeout_ms, 120000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(settings, "connect-timeout", bad[i], "ms, s or min");
	assert_int_equal(settings->each.connect_timeout_ms, 120000);
}

/* Both ends of every number's range are taken, and one past each is not. */
static void
test_every_number_has_its_limits(void **state)
{
	pen_settings *settings = *state;
	int numbers = 0;

	for (const pen_setting *s = pen_setting_table; s->name != NULL; s++)
	{
		char *base = s->scope == PEN_SCOPE_RUN ? (char *) settings : (char *) &settings->each;
		const int64_t *at = (const int64_t *) (base + s->offset);
		char text[32];

		if (s->type != PEN_SETTING_BYTES && s->type != PEN_SETTING_MS &&
			s->type != PEN_SETTING_NUMBER)
			continue;
		numbers++;
		snprintf(text, sizeof(text), "%lld", (long long) s->min);
		TAKEN(s->name, text);
		assert_int_equal(*at, s->min);
		snprintf(text, sizeof(text), "%lld", (long long) s->max);
		TAKEN(s->name, text);
		assert_int_equal(*at, s->max);
		snprintf(text, sizeof(text), "%lld", (long long) s->max + 1);
		refused(settings, s->name, text, "out of range");
		if (s->type != PEN_SETTING_NUMBER)
			refused(settings, s->name, text, s->type == PEN_SETTING_MS ? " ms " : " bytes ");
		if (s->min > 0)
		{
			snprintf(text, sizeof(text), "%lld", (long long) s->min - 1);
			refused(settings, s->name, text, "out of range");
		}
		assert_int_equal(*at, s->max);
	}
	assert_true(numbers >= 6);
}

static void
test_numbers_that_overflow_are_out_of_range(void **state)
{
	pen_settings *settings = *state;

	refused(settings, "memory-limit", "999999999999999GB", "out of range");
	refused(settings, "memory-limit", "17179869184GB", "out of range"); /* 2^64 bytes */
	refused(settings, "memory-limit", "17179869201GB", "out of range"); /* and 17 GB */
	refused(settings, "memory-limit", "999999999999999999", "out of range");
	refused(settings, "memory-limit", "9999999999999999999", "memory-limit");
	refused(settings, "memory-limit", "18446744073709551616", "memory-limit");
	refused(settings, "connect-timeout", "99999999999999min", "out of range");
}

/* ---- destinations ---- */

static void
destination(const char *value, const char *name, const char *uri)
{
	pen_settings settings;
	pen_error error;

	assert_int_equal(pen_settings_init(&settings, &error), PENSTOCK_OK);
	assert_int_equal(pen_settings_set(&settings, "to", value, PEN_FROM_CALLER, &error),
					 PENSTOCK_OK);
	assert_int_equal(settings.destination_count, 1);
	assert_string_equal(settings.destinations[0].name, name);
	assert_string_equal(settings.destinations[0].uri, uri);
	pen_settings_reset(&settings);
}

static void
test_a_name_is_taken_only_before_a_scheme(void **state)
{
	(void) state;
	destination("memory:", "memory", "memory:");
	destination("cache=memory:", "cache", "memory:");
	destination("a_1=postgresql://h/d", "a_1", "postgresql://h/d");
	destination("postgresql://h/d", "postgresql", "postgresql://h/d");
	destination("postgres://h/d?user=x:y", "postgres", "postgres://h/d?user=x:y");
	destination("host=h dbname=d", "postgresql", "host=h dbname=d");
	destination("host=h", "postgresql", "host=h");
	/* Not [a-z0-9_]+, or nothing that is a scheme after it. */
	destination("One=x", "postgresql", "One=x");
	destination("=memory:", "postgresql", "=memory:");
	destination("one=:x", "postgresql", "one=:x");
	destination("one=Memory:", "postgresql", "one=Memory:");
	/* The first = only. */
	destination("one=stdout:a=b", "one", "stdout:a=b");
}

static void
test_destinations_without_a_name_are_numbered(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x");
	TAKEN("slot", "s");
	TAKEN("to", "postgresql://a/d");
	TAKEN("to", "postgresql://b/d");
	TAKEN("to", "memory:");
	TAKEN("to", "host=c");
	assert_string_equal(settings->destinations[0].name, "postgresql");
	assert_string_equal(settings->destinations[1].name, "postgresql2");
	assert_string_equal(settings->destinations[2].name, "memory");
	assert_string_equal(settings->destinations[3].name, "postgresql3");
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_OK);
}

static void
test_a_name_that_is_used_twice_is_refused(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x");
	TAKEN("slot", "s");
	TAKEN("to", "one=postgresql://a/d");
	TAKEN("to", "one=memory:");
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "two destinations are called one"));
}

static void
test_a_chosen_name_does_not_clash_with_a_number(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x");
	TAKEN("slot", "s");
	TAKEN("to", "postgresql2=postgresql://a/d");
	TAKEN("to", "postgresql://b/d");
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_OK);
}

static void
test_destinations_have_a_limit(void **state)
{
	pen_settings *settings = *state;
	char value[32];

	for (int i = 0; i < PEN_SETTINGS_DESTINATIONS_MAX; i++)
	{
		snprintf(value, sizeof(value), "n%d=memory:", i);
		TAKEN("to", value);
	}
	assert_int_equal(set(settings, "to", "more=memory:"), PENSTOCK_E_CONFIG);
	assert_int_equal(settings->destination_count, PEN_SETTINGS_DESTINATIONS_MAX);
}

/* ---- what destinations have for themselves ---- */

static pen_named_destination *
named(pen_settings *settings, const char *name)
{
	pen_error error;
	pen_named_destination *found = pen_settings_destination(settings, name, &error);

	assert_non_null(found);
	return found;
}

#define GIVEN(name, option, value, origin)                                                         \
	assert_int_equal(pen_settings_set_for(named(settings, name), option, value, origin, &error),   \
					 PENSTOCK_OK)

static void
test_a_destination_has_the_runs_value_or_its_own(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x");
	TAKEN("to", "one=memory:");
	TAKEN("to", "two=memory:");
	GIVEN("one", "batch_ms", "5", PEN_FROM_FILE);
	GIVEN("one", "batch-bytes-max", "7", PEN_FROM_FILE);
	assert_int_equal(pen_settings_set(settings, "batch-ms", "6", PEN_FROM_FILE, &error),
					 PENSTOCK_OK);
	TAKEN("batch-bytes-max", "8");
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_OK);
	/* Its own counts more than the file's for all, the caller's for all more than that. */
	assert_int_equal(settings->destinations[0].options.batch_ms, 5);
	assert_int_equal(settings->destinations[1].options.batch_ms, 6);
	assert_int_equal(settings->destinations[0].options.batch_bytes_max, 8);
	assert_int_equal(settings->destinations[1].options.batch_bytes_max, 8);
	assert_int_equal(settings->destinations[1].options.connect_timeout_ms, 15000);
}

static void
test_a_list_of_tables_is_not_inherited(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x");
	TAKEN("tables", "public.*");
	TAKEN("to", "one=memory:");
	TAKEN("to", "two=memory:");
	GIVEN("two", "tables", "public.a*", PEN_FROM_FILE);
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_OK);
	assert_null(settings->destinations[0].options.tables);
	assert_string_equal(settings->destinations[1].options.tables, "public.a*");
	assert_string_equal(settings->each.tables, "public.*");
}

static void
test_a_destination_has_no_options_of_the_run(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	assert_int_equal(
		pen_settings_set_for(named(settings, "one"), "slot", "s", PEN_FROM_FILE, &error),
		PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "of the run"));
	assert_int_equal(
		pen_settings_set_for(named(settings, "one"), "slat", "s", PEN_FROM_FILE, &error),
		PENSTOCK_E_CONFIG);
	assert_null(pen_settings_destination(settings, "", &error));
	assert_null(pen_settings_destination(settings, "One", &error));
	assert_null(pen_settings_destination(settings, "a/b", &error));
	assert_null(pen_settings_destination(
		settings, "a23456789_123456789_123456789_123456789_123456789_123456789_1234", &error));
}

static void
test_the_caller_wins_whatever_the_order(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("slot", "mine");
	assert_int_equal(pen_settings_set(settings, "slot", "file's", PEN_FROM_FILE, &error),
					 PENSTOCK_OK);
	assert_string_equal(settings->slot, "mine");
	/* What is overruled is looked at all the same. */
	TAKEN("memory-limit", "16MB");
	assert_int_equal(pen_settings_set(settings, "memory-limit", "x", PEN_FROM_FILE, &error),
					 PENSTOCK_E_CONFIG);
	assert_int_equal(settings->memory_limit, 16 << 20);

	GIVEN("one", "to", "postgresql://a/d", PEN_FROM_FILE);
	GIVEN("one", "batch-ms", "9", PEN_FROM_FILE);
	TAKEN("to", "one=memory:");
	GIVEN("one", "to", "postgresql://b/d", PEN_FROM_FILE);
	TAKEN("source", "dbname=x");
	assert_int_equal(settings->destination_count, 1);
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_OK);
	assert_string_equal(settings->destinations[0].uri, "memory:");
	assert_int_equal(settings->destinations[0].options.batch_ms, 9);
}

static void
test_a_destination_that_is_only_named_is_refused(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x");
	GIVEN("one", "batch-ms", "9", PEN_FROM_FILE);
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "destination one"));
}

static void
test_times_may_be_named_with_their_unit(void **state)
{
	pen_settings *settings = *state;

	TAKEN("connect_timeout_ms", "16000");
	assert_int_equal(settings->each.connect_timeout_ms, 16000);
	TAKEN("progress-interval-ms", "1s");
	assert_int_equal(settings->progress_interval_ms, 1000);
	refused(settings, "memory-limit-ms", "16MB", "no option");
	refused(settings, "connect_timeout_m", "16000", "no option");
	refused(settings, "connect_timeout_msx", "16000", "no option");
}

static void
test_patterns_are_looked_at_where_they_are_given(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	assert_int_equal(pen_settings_set(settings, "tables", "a.b.c", PEN_FROM_CALLER, &error),
					 PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "a.b.c"));
	assert_null(settings->each.tables);
	refused(settings, "tables", "", "tables");
}

static void
test_values_of_a_file_are_not_repeated(void **state)
{
	pen_settings *settings = *state;
	pen_error error;

	for (const pen_setting *s = pen_setting_table; s->name != NULL; s++)
	{
		if (s->type == PEN_SETTING_STRING || s->type == PEN_SETTING_DESTINATION ||
			s->type == PEN_SETTING_FILE || s->type == PEN_SETTING_PATTERNS)
			continue;
		assert_int_equal(pen_settings_set(settings, s->name, "s3cret", PEN_FROM_FILE, &error),
						 PENSTOCK_E_CONFIG);
		assert_null(strstr(error.text, "s3cret"));
		assert_int_equal(
			pen_settings_set(settings, s->name, "99999999999999999", PEN_FROM_FILE, &error),
			PENSTOCK_E_CONFIG);
		assert_null(strstr(error.text, "99999999999999999"));
	}
}

/* ---- numbers and choices, on a line of the test's own ---- */

static void
test_a_choice_is_one_of_its_words(void **state)
{
	static const char *const words[] = {"error", "upsert", "skip", NULL};
	static const pen_setting choice = {
		.name = "on-conflict", .type = PEN_SETTING_CHOICE, .words = words};
	int64_t value = 7;
	pen_error error;

	(void) state;
	for (int i = 0; i < 3; i++)
	{
		assert_int_equal(pen_setting_parse(&choice, words[i], true, &value, &error), PENSTOCK_OK);
		assert_int_equal(value, i);
	}
	assert_int_equal(pen_setting_parse(&choice, "Error", true, &value, &error), PENSTOCK_E_CONFIG);
	assert_string_equal(error.text,
						"option on-conflict: \"Error\" is not one of: error, upsert, skip");
	assert_int_equal(pen_setting_parse(&choice, "", false, &value, &error), PENSTOCK_E_CONFIG);
	assert_int_equal(value, 2);
}

static void
test_a_number_has_no_unit(void **state)
{
	static const pen_setting number = {
		.name = "jobs", .type = PEN_SETTING_NUMBER, .min = 1, .max = 64};
	static const char *const bad[] = {"", "0", "65", "-1", "1kB", "1ms", "1.0", " 1", "x"};
	int64_t value = 7;
	pen_error error;

	(void) state;
	assert_int_equal(pen_setting_parse(&number, "64", true, &value, &error), PENSTOCK_OK);
	assert_int_equal(value, 64);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		if (pen_setting_parse(&number, bad[i], true, &value, &error) != PENSTOCK_E_CONFIG)
			fail_msg("%s was taken", bad[i]);
	}
	assert_int_equal(value, 64);
}

/* ---- the settings as a whole ---- */

static penstock_status
check(pen_settings *settings, bool wants_memory, const char *text)
{
	pen_error error;
	penstock_status status;

	pen_error_clear(&error);
	status = pen_settings_check(settings, wants_memory, &error);
	if (strstr(error.text, text) == NULL)
		fail_msg("%s", error.text);
	return status;
}

static void
test_a_source_is_needed_and_memory_is_the_default(void **state)
{
	pen_settings *settings = *state;

	assert_int_equal(check(settings, true, "--source"), PENSTOCK_E_CONFIG);
	TAKEN("source", "dbname=x");
	assert_int_equal(check(settings, false, ""), PENSTOCK_OK);
	assert_int_equal(settings->destination_count, 0);
	assert_int_equal(check(settings, true, ""), PENSTOCK_OK);
	assert_int_equal(settings->destination_count, 1);
	assert_string_equal(settings->destinations[0].uri, "memory:");
}

static void
test_a_slot_cannot_be_created_without_a_name(void **state)
{
	pen_settings *settings = *state;

	TAKEN("source", "dbname=x");
	TAKEN("create-slot", "on");
	assert_int_equal(check(settings, true, "--create-slot needs --slot"), PENSTOCK_E_CONFIG);
}

static void
test_until_is_current_or_an_lsn(void **state)
{
	static const char *const good[] = {"current", "0/1", "0/16B3748", "FFFFFFFF/FFFFFFFF", "a/b"};
	static const char *const bad[] = {
		"now",         "Current", "0",    "0/",   "/1",          "0/1 ",  " 0/1", "0/g",   "0/1/2",
		"100000000/0", "-1/0",    "0/-1", "+1/0", "0/123456789", "0x1/1", "0/ 1", "0/0x1", "0 /1"};
	pen_settings *settings = *state;

	TAKEN("source", "dbname=x");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		TAKEN("until", good[i]);
		assert_int_equal(check(settings, true, ""), PENSTOCK_OK);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		TAKEN("until", bad[i]);
		if (check(settings, true, "") != PENSTOCK_E_CONFIG)
			fail_msg("until %s was taken", bad[i]);
		assert_int_equal(check(settings, true, "option until"), PENSTOCK_E_CONFIG);
	}
}

/* ---- what errors say ---- */

static void
test_errors_do_not_repeat_passwords(void **state)
{
	static const char *const secrets[] = {"postgresql://me:s3cret@h/d", "host=h password=s3cret"};
	pen_settings *settings = *state;
	pen_error error;

	TAKEN("source", "dbname=x password=s3cret");
	TAKEN("until", "whenever");
	for (size_t i = 0; i < 2; i++)
	{
		TAKEN("to", secrets[i]);
		pen_error_clear(&error);
		assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_E_CONFIG);
		assert_null(strstr(error.text, "s3cret"));
		/* Put where something else belongs. */
		for (const pen_setting *s = pen_setting_table; s->name != NULL; s++)
		{
			if (s->type == PEN_SETTING_STRING || s->type == PEN_SETTING_DESTINATION ||
				s->type == PEN_SETTING_PATTERNS)
				continue;
			assert_int_equal(
				pen_settings_set(settings, s->name, secrets[i], PEN_FROM_CALLER, &error),
				PENSTOCK_E_CONFIG);
			assert_null(strstr(error.text, "s3cret"));
		}
		assert_int_equal(pen_settings_set(settings, secrets[i], "on", PEN_FROM_CALLER, &error),
						 PENSTOCK_E_CONFIG);
		assert_null(strstr(error.text, "s3cret"));
	}
	TAKEN("slot", "s");
	TAKEN("to", "two=postgresql://me:s3cret@h/d");
	TAKEN("to", "two=postgresql://me:s3cret@h/e");
	assert_int_equal(pen_settings_check(settings, true, &error), PENSTOCK_E_CONFIG);
	assert_null(strstr(error.text, "s3cret"));
}

static void
test_long_values_are_cut_in_errors(void **state)
{
	pen_settings *settings = *state;
	char value[5000];
	pen_error error;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	assert_int_equal(pen_settings_set(settings, "create-slot", value, PEN_FROM_CALLER, &error),
					 PENSTOCK_E_CONFIG);
	assert_true(strlen(error.text) < 200);
	assert_int_equal(pen_settings_set(settings, value, "on", PEN_FROM_CALLER, &error),
					 PENSTOCK_E_CONFIG);
	assert_true(strlen(error.text) < 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_defaults_are_those_of_the_table),
									   TEST(test_underscores_count_as_dashes),
									   TEST(test_a_text_is_kept_and_the_last_one_counts),
									   TEST(test_a_flag_is_on_or_off_in_several_words),
									   TEST(test_bytes_have_units),
									   TEST(test_times_have_units),
									   TEST(test_every_number_has_its_limits),
									   TEST(test_numbers_that_overflow_are_out_of_range),
									   TEST(test_a_name_is_taken_only_before_a_scheme),
									   TEST(test_destinations_without_a_name_are_numbered),
									   TEST(test_a_name_that_is_used_twice_is_refused),
									   TEST(test_a_chosen_name_does_not_clash_with_a_number),
									   TEST(test_destinations_have_a_limit),
									   TEST(test_a_destination_has_the_runs_value_or_its_own),
									   TEST(test_a_list_of_tables_is_not_inherited),
									   TEST(test_a_destination_has_no_options_of_the_run),
									   TEST(test_the_caller_wins_whatever_the_order),
									   TEST(test_a_destination_that_is_only_named_is_refused),
									   TEST(test_times_may_be_named_with_their_unit),
									   TEST(test_patterns_are_looked_at_where_they_are_given),
									   TEST(test_values_of_a_file_are_not_repeated),
									   TEST(test_a_choice_is_one_of_its_words),
									   TEST(test_a_number_has_no_unit),
									   TEST(test_a_source_is_needed_and_memory_is_the_default),
									   TEST(test_a_slot_cannot_be_created_without_a_name),
									   TEST(test_until_is_current_or_an_lsn),
									   TEST(test_errors_do_not_repeat_passwords),
									   TEST(test_long_values_are_cut_in_errors)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
