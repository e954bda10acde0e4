/* settings.c -- the one table of options, and what reads their values. */
#include "config/settings.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KB INT64_C(1024)
#define MB (1024 * KB)
#define GB (1024 * MB)

#define AT(member) offsetof(pen_settings, member)

const pen_setting pen_setting_table[] = {
	{"source", PEN_SETTING_STRING, AT(source), NULL, 0, 0, "CONNINFO",
	 "the database to follow, as a libpq connection string or URI"},
	{"slot", PEN_SETTING_STRING, AT(slot), NULL, 0, 0, "NAME",
	 "replication slot to read; without it a temporary one"},
	{"create-slot", PEN_SETTING_FLAG, AT(create_slot), "off", 0, 1, NULL,
	 "create the slot if it does not exist"},
	{"to", PEN_SETTING_DESTINATION, 0, NULL, 0, 0, "[NAME=]URI",
	 "where changes go: memory:, stdout:, postgresql://…; may be given several times"},
	{"tables", PEN_SETTING_STRING, AT(tables), NULL, 0, 0, "PATTERN,…",
	 "only these tables: schema.table, * for any characters, \\ to quote"},
	{"until", PEN_SETTING_STRING, AT(until), NULL, 0, 0, "current|LSN",
	 "stop once everything committed before now, or before an LSN, is delivered"},
	{"dump-tables", PEN_SETTING_STRING, AT(dump_tables), NULL, 0, 0, "FILE",
	 "write the memory tables there at the end, as JSON lines in key order"},
	{"memory-limit", PEN_SETTING_BYTES, AT(memory_limit), "1GB", 16 * MB, 1024 * GB, "BYTES",
	 "for what is on its way to the destinations"},
	{"table-memory-limit", PEN_SETTING_BYTES, AT(table_memory_limit), "0", 0, 1024 * GB, "BYTES",
	 "for memory tables; 0: no limit"},
	{"batch-bytes-max", PEN_SETTING_BYTES, AT(batch_bytes_max), "8MB", 0, GB, "BYTES",
	 "changes gathered in one destination transaction while behind; 0: one transaction each"},
	{"batch-rows-max", PEN_SETTING_NUMBER, AT(batch_rows_max), "100000", 1, INT32_MAX, "N",
	 "the same in rows; also how many are sent in one go"},
	{"batch-ms", PEN_SETTING_MS, AT(batch_ms), "20ms", 0, 60000, "TIME",
	 "how long a destination transaction gathers at most while behind"},
	{"progress-interval", PEN_SETTING_MS, AT(progress_interval_ms), "10s", 100, 3600000, "TIME",
	 "how often progress moves when nothing happens"},
	{"status-interval", PEN_SETTING_MS, AT(status_interval_ms), "1s", 100, 30000, "TIME",
	 "how often the source is told what is durable"},
	{"connect-timeout", PEN_SETTING_MS, AT(connect_timeout_ms), "15s", 2000, 600000, "TIME",
	 "for each connection"},
	{"on-conflict", PEN_SETTING_STRING, AT(on_conflict), "error", 0, 0, "error|upsert|skip",
	 "when a database rejects a row: stop there; put it over the one that is there; or leave it "
	 "out, and keep it in penstock.conflicts"},
	{"allow-triggers", PEN_SETTING_FLAG, AT(allow_triggers), "off", 0, 1, NULL,
	 "apply to tables with triggers or cascades although the role may not disable them"},
	{0},
};

static const pen_setting *
find_setting(const char *name)
{
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		const char *a = setting->name;
		const char *b = name;

		while (*a != '\0' && (*a == *b || (*a == '-' && *b == '_')))
			a++, b++;
		if (*a == '\0' && *b == '\0')
			return setting;
	}
	return NULL;
}

/* ---- values ---- */

/* What may be repeated in an error: a connection string, which has one of these characters, may
 * hold a password. */
static const char *
printable(const char *value)
{
	return strpbrk(value, "=:@") == NULL ? value : "…";
}

static penstock_status
bad_value(const pen_setting *setting, const char *value, const char *allowed, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_CONFIG, "option %s: \"%.60s\" is not %s", setting->name,
						 printable(value), allowed);
}

static penstock_status
parse_flag(const pen_setting *setting, const char *value, int64_t *into, pen_error *error)
{
	static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};

	for (int i = 0; i < 8; i++)
	{
		if (strcmp(value, words[i]) == 0)
		{
			*into = i % 2;
			return PENSTOCK_OK;
		}
	}
	return bad_value(setting, value, "on or off", error);
}

typedef struct unit
{
	const char *name;
	int64_t factor;
} unit;

static penstock_status
parse_number(const pen_setting *setting, const char *value, const unit *units, const char *allowed,
			 int64_t *into, pen_error *error)
{
	char *end;
	long long number;
	int64_t factor = 0;

	if (!isdigit((unsigned char) value[0]) || strlen(value) > 18)
		return bad_value(setting, value, allowed, error);
	number = strtoll(value, &end, 10);
	while (*end == ' ')
		end++;
	for (const unit *u = units; u->name != NULL; u++)
	{
		if (strcmp(u->name, end) == 0)
			factor = u->factor;
	}
	if (factor == 0)
		return bad_value(setting, value, allowed, error);
	if (number > INT64_MAX / factor || number * factor < setting->min ||
		number * factor > setting->max)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG, "option %s: %s is out of range; %lld to %lld%s are allowed",
			setting->name, value, (long long) setting->min, (long long) setting->max,
			setting->type == PEN_SETTING_MS      ? " ms"
			: setting->type == PEN_SETTING_BYTES ? " bytes"
												 : "");
	*into = number * factor;
	return PENSTOCK_OK;
}

static penstock_status
parse_bytes(const pen_setting *setting, const char *value, int64_t *into, pen_error *error)
{
	static const unit units[] = {{"", 1}, {"B", 1}, {"kB", KB}, {"MB", MB}, {"GB", GB}, {NULL, 0}};

	return parse_number(setting, value, units, "a number of bytes, with B, kB, MB or GB", into,
						error);
}

static penstock_status
parse_count(const pen_setting *setting, const char *value, int64_t *into, pen_error *error)
{
	static const unit units[] = {{"", 1}, {NULL, 0}};

	return parse_number(setting, value, units, "a number", into, error);
}

static penstock_status
parse_ms(const pen_setting *setting, const char *value, int64_t *into, pen_error *error)
{
	static const unit units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {NULL, 0}};

	return parse_number(setting, value, units, "a time in ms, or with ms, s or min", into, error);
}

/* The length of NAME in NAME=URI, or 0: only where [a-z0-9_]+= precedes a scheme. */
static size_t
name_length(const char *value)
{
	size_t n = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_");
	size_t scheme;

	if (n == 0 || value[n] != '=')
		return 0;
	scheme = strspn(value + n + 1, "abcdefghijklmnopqrstuvwxyz");
	return scheme > 0 && value[n + 1 + scheme] == ':' ? n : 0;
}

static bool
is_taken(const pen_settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		if (strcmp(settings->destinations[i].name, name) == 0)
			return true;
	}
	return false;
}

/* What a destination without a name is called: its scheme, or the first free scheme2, scheme3, …
 * NULL without memory. */
static char *
default_name(const pen_settings *settings, const char *uri)
{
	size_t scheme = strspn(uri, "abcdefghijklmnopqrstuvwxyz");
	char *name;

	if (uri[scheme] != ':')
	{
		uri = "postgresql:";
		scheme = strlen(uri) - 1;
	}
	name = strndup(uri, scheme);
	for (int number = 2; name != NULL && is_taken(settings, name); number++)
	{
		free(name);
		if (asprintf(&name, "%.*s%d", (int) scheme, uri, number) < 0)
			return NULL;
	}
	return name;
}

static penstock_status
add_destination(pen_settings *settings, const char *value, pen_error *error)
{
	size_t length = name_length(value);
	const char *uri = length > 0 ? value + length + 1 : value;
	pen_named_uri *into = &settings->destinations[settings->destination_count];

	if (settings->destination_count == PEN_SETTINGS_DESTINATIONS_MAX)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "more than %d destinations",
							 PEN_SETTINGS_DESTINATIONS_MAX);
	into->name = length > 0 ? strndup(value, length) : default_name(settings, uri);
	into->uri = strdup(uri);
	if (into->name == NULL || into->uri == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	settings->destination_count++;
	return PENSTOCK_OK;
}

/* ---- the settings as a whole ---- */

static penstock_status
store(pen_settings *settings, const pen_setting *setting, const char *value, pen_error *error)
{
	void *at = (char *) settings + setting->offset;
	char *copy;

	switch (setting->type)
	{
		case PEN_SETTING_STRING:
			if (value[0] == '\0')
				return bad_value(setting, value, "a value", error);
			copy = strdup(value);
			if (copy == NULL)
				return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
			free(*(char **) at);
			*(char **) at = copy;
			return PENSTOCK_OK;
		case PEN_SETTING_FLAG:
			return parse_flag(setting, value, at, error);
		case PEN_SETTING_NUMBER:
			return parse_count(setting, value, at, error);
		case PEN_SETTING_BYTES:
			return parse_bytes(setting, value, at, error);
		case PEN_SETTING_MS:
			return parse_ms(setting, value, at, error);
		case PEN_SETTING_DESTINATION:
			return add_destination(settings, value, error);
	}
	return pen_error_set(error, PENSTOCK_E_BUG, "option %s has no type", setting->name);
}

penstock_status
pen_settings_init(pen_settings *settings, pen_error *error)
{
	memset(settings, 0, sizeof(*settings));
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		if (setting->default_value != NULL &&
			store(settings, setting, setting->default_value, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

void
pen_settings_reset(pen_settings *settings)
{
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		if (setting->type == PEN_SETTING_STRING)
			free(*(char **) ((char *) settings + setting->offset));
	}
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		free(settings->destinations[i].name);
		free(settings->destinations[i].uri);
	}
	memset(settings, 0, sizeof(*settings));
}

penstock_status
pen_settings_set(pen_settings *settings, const char *name, const char *value, pen_error *error)
{
	const pen_setting *setting = find_setting(name);

	if (setting == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "there is no option \"%.60s\"",
							 printable(name));
	return store(settings, setting, value, error);
}

/* The length of a half of an LSN at text, or 0. */
static size_t
lsn_half(const char *text)
{
	size_t length = strspn(text, "0123456789abcdefABCDEF");

	return length <= 8 ? length : 0;
}

static penstock_status
check_until(const pen_settings *settings, pen_error *error)
{
	const char *until = settings->until;
	size_t high;
	size_t low;

	if (until == NULL || strcmp(until, "current") == 0)
		return PENSTOCK_OK;
	high = lsn_half(until);
	low = high > 0 && until[high] == '/' ? lsn_half(until + high + 1) : 0;
	if (low > 0 && until[high + 1 + low] == '\0')
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_CONFIG,
						 "option until: \"%.60s\" is neither current nor an LSN such as 0/16B3748",
						 printable(until));
}

penstock_status
pen_settings_check(pen_settings *settings, bool wants_memory, pen_error *error)
{
	if (settings->source == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "no source: say which database to follow with --source");
	if (settings->destination_count == 0 && wants_memory &&
		add_destination(settings, "memory:", error) < 0)
		return error->status;
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		for (size_t j = 0; j < i; j++)
		{
			if (strcmp(settings->destinations[i].name, settings->destinations[j].name) == 0)
				return pen_error_set(
					error, PENSTOCK_E_CONFIG,
					"two destinations are called %s; name them: --to one=… --to two=…",
					settings->destinations[i].name);
		}
	}
	if (settings->create_slot && settings->slot == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "--create-slot needs --slot NAME");
	return check_until(settings, error);
}
