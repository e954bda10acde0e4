/* settings.c -- the one table of options, and who has said what of them. */
#include "config/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/file.h"
#include "config/values.h"
#include "route/rules.h"

#define KB INT64_C(1024)
#define MB (1024 * KB)
#define GB (1024 * MB)

#define AT(member)      offsetof(pen_settings, member)
#define AT_EACH(member) offsetof(pen_destination_options, member)

static const char *const copy_mode_words[] = {"empty", "truncate", "append", NULL};
static const char *const origin_words[] = {"any", "none", NULL};
static const char *const on_conflict_words[] = {"error", "upsert", "skip", NULL};
static const char *const on_full_words[] = {"hold", "detach", NULL};

/* Scope and words are left out where the option is one of the run and no choice. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
const pen_setting pen_setting_table[] = {
	{"config", PEN_SETTING_FILE, 0, NULL, 0, 0, "FILE",
	 "read options, destinations and the mapping of tables from a file; other options win"},
	{"source", PEN_SETTING_STRING, AT(source), NULL, 0, 0, "CONNINFO",
	 "the database to follow, as a libpq connection string or URI"},
	{"slot", PEN_SETTING_STRING, AT(slot), NULL, 0, 0, "NAME",
	 "replication slot to read; without it a temporary one"},
	{"create-slot", PEN_SETTING_FLAG, AT(create_slot), "off", 0, 1, NULL,
	 "create the slot if it does not exist"},
	{"to", PEN_SETTING_DESTINATION, 0, NULL, 0, 0, "[NAME=]URI",
	 "where changes go: memory:, stdout:, postgresql://…; may be given several times"},
	{"tables", PEN_SETTING_PATTERNS, AT_EACH(tables), NULL, 0, 0, "PATTERN,…",
	 "only these tables: schema.table, * for any characters, \\ to quote", PEN_SCOPE_BOTH},
	{"copy", PEN_SETTING_FLAG, AT(copy), "off", 0, 1, NULL,
	 "first copy the rows that exist to databases that have no position yet"},
	{"copy-mode", PEN_SETTING_CHOICE, AT(copy_mode), "empty", 0, 0, "empty|truncate|append",
	 "rows that are there before: empty allows none, truncate, append keeps them and adds later "
	 "ones",
	 PEN_SCOPE_RUN, copy_mode_words},
	{"copy-jobs", PEN_SETTING_NUMBER, AT(copy_jobs), "4", 1, 64, "N", "how many COPYs at a time"},
	{"copy-split", PEN_SETTING_BYTES, AT(copy_split_bytes), "1GB", 64 * KB, 1024 * GB, "BYTES",
	 "larger tables are copied in parts, and seen in part until they are complete"},
	{"create-tables", PEN_SETTING_FLAG, AT(create_tables), "off", 0, 1, NULL,
	 "with --copy: create the tables that are missing, by pg_dump"},
	{"sequences", PEN_SETTING_FLAG, AT(sequences), "off", 0, 1, NULL,
	 "with --copy: set sequences at the end of it"},
	{"streaming", PEN_SETTING_FLAG, AT(streaming), "on", 0, 1, NULL,
	 "take large transactions while they are in progress; default: on"},
	{"two-phase", PEN_SETTING_FLAG, AT(two_phase), "off", 0, 1, NULL,
	 "prepare where the source prepares; the slot must have been created with it"},
	{"origin", PEN_SETTING_CHOICE, AT(origin), "any", 0, 0, "any|none",
	 "none: leave out what was replicated to the source", PEN_SCOPE_RUN, origin_words},
	{"state-dir", PEN_SETTING_STRING, AT(state_dir), NULL, 0, 0, "DIRECTORY",
	 "where what must outlive a restart is kept; default: $STATE_DIRECTORY"},
	{"until", PEN_SETTING_STRING, AT(until), NULL, 0, 0, "current|LSN",
	 "stop once everything committed before now, or before an LSN, is delivered"},
	{"dump-tables", PEN_SETTING_STRING, AT(dump_tables), NULL, 0, 0, "FILE",
	 "write the memory tables there at the end, as JSON lines in key order"},
	{"memory-limit", PEN_SETTING_BYTES, AT(memory_limit), "1GB", 16 * MB, 1024 * GB, "BYTES",
	 "for what is on its way to the destinations"},
	{"table-memory-limit", PEN_SETTING_BYTES, AT(table_memory_limit), "0", 0, 1024 * GB, "BYTES",
	 "for memory tables; 0: no limit"},
	{"spool-bytes-max", PEN_SETTING_BYTES, AT_EACH(spool_bytes_max), "8GB", 0, 1024 * GB, "BYTES",
	 "on disk for each database that is away or far behind; 0: the stream waits for it",
	 PEN_SCOPE_DESTINATION},
	{"on-full", PEN_SETTING_CHOICE, AT_EACH(on_full), "hold", 0, 0, "hold|detach",
	 "when that is full: the stream waits, or the destination needs a new copy",
	 PEN_SCOPE_DESTINATION, on_full_words},
	{"batch-bytes-max", PEN_SETTING_BYTES, AT_EACH(batch_bytes_max), "8MB", 0, GB, "BYTES",
	 "changes gathered in one destination transaction while behind; 0: one transaction each",
	 PEN_SCOPE_DESTINATION},
	{"batch-rows-max", PEN_SETTING_NUMBER, AT_EACH(batch_rows_max), "100000", 1, INT32_MAX, "N",
	 "the same in rows; also how many are sent in one go", PEN_SCOPE_DESTINATION},
	{"batch-ms", PEN_SETTING_MS, AT_EACH(batch_ms), "20ms", 0, 60000, "TIME",
	 "how long a destination transaction gathers at most while behind", PEN_SCOPE_DESTINATION},
	{"progress-interval", PEN_SETTING_MS, AT(progress_interval_ms), "10s", 100, 3600000, "TIME",
	 "how often progress moves when nothing happens"},
	{"status-interval", PEN_SETTING_MS, AT(status_interval_ms), "1s", 100, 30000, "TIME",
	 "how often the source is told what is durable"},
	{"connect-timeout", PEN_SETTING_MS, AT_EACH(connect_timeout_ms), "15s", 2000, 600000, "TIME",
	 "for each connection", PEN_SCOPE_DESTINATION},
	{"heartbeat-interval", PEN_SETTING_MS, AT(heartbeat_interval_ms), "0", 0, 3600000, "TIME",
	 "write a message into the source's WAL when nothing has arrived for so long; 0: never"},
	{"retained-wal-max", PEN_SETTING_BYTES, AT(retained_wal_max), "0", 0, 1024 * 1024 * GB, "BYTES",
	 "warn, and not be ready, when the slot holds back more WAL than this; 0: no limit"},
	{"on-conflict", PEN_SETTING_CHOICE, AT_EACH(on_conflict), "error", 0, 0, "error|upsert|skip",
	 "when a database rejects a row: stop there; put it over the one that is there; or leave it "
	 "out, and keep it in penstock.conflicts",
	 PEN_SCOPE_DESTINATION, on_conflict_words},
	{"apply-ahead", PEN_SETTING_FLAG, AT_EACH(apply_ahead), "on", 0, 1, NULL,
	 "apply what is streamed of a large transaction before it commits; default: on",
	 PEN_SCOPE_DESTINATION},
	{"allow-triggers", PEN_SETTING_FLAG, AT_EACH(allow_triggers), "off", 0, 1, NULL,
	 "apply to tables with triggers or cascades although the role may not disable them",
	 PEN_SCOPE_DESTINATION},
	{0},
};
#pragma GCC diagnostic pop

_Static_assert(sizeof(pen_setting_table) / sizeof(pen_setting_table[0]) <= PEN_SETTINGS_MAX,
			   "PEN_SETTINGS_MAX is too small");

/* Does name, in which _ counts as -, begin with the words of wanted? What follows, or NULL. */
static const char *
after_words(const char *name, const char *wanted)
{
	while (*wanted != '\0' && (*wanted == *name || (*wanted == '-' && *name == '_')))
		wanted++, name++;
	return *wanted == '\0' ? name : NULL;
}

const pen_setting *
pen_setting_find(const char *name)
{
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		const char *rest = after_words(name, setting->name);

		if (rest != NULL && setting->type == PEN_SETTING_MS && rest[0] != '\0')
			rest = after_words(rest, "-ms");
		if (rest != NULL && rest[0] == '\0')
			return setting;
	}
	return NULL;
}

/* ---- destinations ---- */

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

static pen_named_destination *
find_destination(pen_settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		if (strcmp(settings->destinations[i].name, name) == 0)
			return &settings->destinations[i];
	}
	return NULL;
}

/* What a destination without a name is called: its scheme, or the first free scheme2, scheme3, …
 * NULL without memory. */
static char *
default_name(pen_settings *settings, const char *uri)
{
	size_t scheme = strspn(uri, "abcdefghijklmnopqrstuvwxyz");
	char *name;

	if (uri[scheme] != ':')
	{
		uri = "postgresql:";
		scheme = strlen(uri) - 1;
	}
	name = strndup(uri, scheme);
	for (int number = 2; name != NULL && find_destination(settings, name) != NULL; number++)
	{
		free(name);
		if (asprintf(&name, "%.*s%d", (int) scheme, uri, number) < 0)
			return NULL;
	}
	return name;
}

/* Takes ownership of name, NULL without memory, also on failure. */
static pen_named_destination *
append_destination(pen_settings *settings, char *name, pen_error *error)
{
	pen_named_destination *into = &settings->destinations[settings->destination_count];

	if (name == NULL || settings->destination_count == PEN_SETTINGS_DESTINATIONS_MAX)
	{
		if (name == NULL)
			pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		else
			pen_error_set(error, PENSTOCK_E_CONFIG, "more than %d destinations",
						  PEN_SETTINGS_DESTINATIONS_MAX);
		free(name);
		return NULL;
	}
	*into = (pen_named_destination){.name = name};
	settings->destination_count++;
	return into;
}

pen_named_destination *
pen_settings_destination(pen_settings *settings, const char *name, pen_error *error)
{
	pen_named_destination *found = find_destination(settings, name);

	if (!pen_setting_is_name(name, strlen(name)))
	{
		pen_error_set(error, PENSTOCK_E_CONFIG,
					  "a destination's name is made of at most 63 of a to z, 0 to 9 and _");
		return NULL;
	}
	return found != NULL ? found : append_destination(settings, strdup(name), error);
}

static penstock_status
set_uri(pen_named_destination *destination, const char *uri, pen_setting_origin origin,
		pen_error *error)
{
	char *copy;

	if (origin < destination->uri_origin)
		return PENSTOCK_OK;
	copy = strdup(uri);
	if (copy == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	free(destination->uri);
	destination->uri = copy;
	destination->uri_origin = (unsigned char) origin;
	return PENSTOCK_OK;
}

/* `[NAME=]URI`. It takes the place of one of this name in the file; what is given twice by the
 * same is for pen_settings_check to find. */
static penstock_status
add_destination(pen_settings *settings, const char *value, pen_setting_origin origin,
				pen_error *error)
{
	size_t length = name_length(value);
	const char *uri = length > 0 ? value + length + 1 : value;
	char *name = length > 0 ? strndup(value, length) : default_name(settings, uri);
	pen_named_destination *into = name != NULL ? find_destination(settings, name) : NULL;

	if (into != NULL && into->uri_origin < origin)
		free(name);
	else
		into = append_destination(settings, name, error);
	return into != NULL ? set_uri(into, uri, origin, error) : error->status;
}

/* ---- the settings as a whole ---- */

static void *
place_of(pen_settings *settings, const pen_setting *setting)
{
	char *base = setting->scope == PEN_SCOPE_RUN ? (char *) settings : (char *) &settings->each;

	return base + setting->offset;
}

static void *
place_in(pen_named_destination *destination, const pen_setting *setting)
{
	return (char *) &destination->options + setting->offset;
}

static bool
has_value(const pen_setting *setting)
{
	return setting->type != PEN_SETTING_DESTINATION && setting->type != PEN_SETTING_FILE;
}

static penstock_status
no_option(const char *name, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_CONFIG, "there is no option \"%.60s\"",
						 pen_setting_shown(name));
}

/* given: that of whose value it is. */
static penstock_status
set_value(const pen_setting *setting, const char *value, pen_setting_origin origin, void *into,
		  unsigned char *given, pen_error *error)
{
	unsigned char *last = &given[setting - pen_setting_table];
	union
	{
		char *text;
		int64_t number;
	} overruled = {0};
	bool counts = origin >= *last;

	/* What is overruled must be right all the same. */
	if (pen_setting_parse(setting, value, origin != PEN_FROM_FILE, counts ? into : &overruled,
						  error) < 0)
		return error->status;
	if (counts)
		*last = (unsigned char) origin;
	else
		pen_setting_free(setting, &overruled);
	return PENSTOCK_OK;
}

penstock_status
pen_settings_init(pen_settings *settings, pen_error *error)
{
	memset(settings, 0, sizeof(*settings));
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		if (setting->default_value != NULL &&
			set_value(setting, setting->default_value, PEN_FROM_DEFAULT,
					  place_of(settings, setting), settings->given, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

void
pen_settings_reset(pen_settings *settings)
{
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		if (!has_value(setting))
			continue;
		pen_setting_free(setting, place_of(settings, setting));
		for (size_t i = 0; setting->scope != PEN_SCOPE_RUN && i < settings->destination_count; i++)
			pen_setting_free(setting, place_in(&settings->destinations[i], setting));
	}
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		free(settings->destinations[i].name);
		free(settings->destinations[i].uri);
	}
	for (size_t i = 0; i < settings->rule_count; i++)
		pen_rule_free(settings->rules[i]);
	free(settings->rules);
	memset(settings, 0, sizeof(*settings));
}

penstock_status
pen_settings_set(pen_settings *settings, const char *name, const char *value,
				 pen_setting_origin origin, pen_error *error)
{
	const pen_setting *setting = pen_setting_find(name);

	if (setting == NULL)
		return no_option(name, error);
	if (setting->type == PEN_SETTING_DESTINATION)
		return add_destination(settings, value, origin, error);
	if (setting->type == PEN_SETTING_FILE)
		return pen_file_load(settings, value, NULL, NULL, error);
	return set_value(setting, value, origin, place_of(settings, setting), settings->given, error);
}

penstock_status
pen_settings_set_for(pen_named_destination *destination, const char *name, const char *value,
					 pen_setting_origin origin, pen_error *error)
{
	const pen_setting *setting = pen_setting_find(name);

	if (setting == NULL)
		return no_option(name, error);
	if (setting->type == PEN_SETTING_DESTINATION)
		return set_uri(destination, value, origin, error);
	if (setting->scope == PEN_SCOPE_RUN)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "option %s is one of the run; a destination has none of its own",
							 setting->name);
	return set_value(setting, value, origin, place_in(destination, setting), destination->given,
					 error);
}

penstock_status
pen_settings_add_rule(pen_settings *settings, struct pen_rule *rule, pen_error *error)
{
	pen_rule **rules = realloc(settings->rules, (settings->rule_count + 1) * sizeof(*rules));

	if (rules == NULL)
	{
		pen_rule_free(rule);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	}
	settings->rules = rules;
	rules[settings->rule_count++] = rule;
	return PENSTOCK_OK;
}

/* ---- checks ---- */

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
						 pen_setting_shown(until));
}

/* What a destination does not say for itself, or the caller says for all, is that of the run. */
static penstock_status
complete_options(pen_settings *settings, pen_named_destination *destination, pen_error *error)
{
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		size_t n = (size_t) (setting - pen_setting_table);

		if (setting->scope != PEN_SCOPE_DESTINATION ||
			(destination->given[n] != PEN_FROM_DEFAULT &&
			 destination->given[n] >= settings->given[n]))
			continue;
		if (pen_setting_copy(setting, place_of(settings, setting), place_in(destination, setting),
							 error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

static penstock_status
check_destinations(pen_settings *settings, pen_error *error)
{
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		pen_named_destination *destination = &settings->destinations[i];

		if (find_destination(settings, destination->name) != destination)
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "two destinations are called %s; name them: --to one=… --to two=…",
								 destination->name);
		if (destination->uri == NULL)
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "destination %s: where it is does not stand anywhere; give it a "
								 "`to`",
								 destination->name);
		if (complete_options(settings, destination, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

static penstock_status
check_rules(pen_settings *settings, pen_error *error)
{
	for (size_t i = 0; i < settings->rule_count; i++)
	{
		const char *name = pen_rule_destination(settings->rules[i]);

		if (name != NULL && find_destination(settings, name) == NULL)
			return pen_error_set(error, PENSTOCK_E_CONFIG, "%s: there is no destination %.63s",
								 pen_rule_stands_at(settings->rules[i]), name);
	}
	return PENSTOCK_OK;
}

static penstock_status
check_copy(const pen_settings *settings, pen_error *error)
{
	if (!settings->copy && (settings->create_tables || settings->sequences))
		return pen_error_set(error, PENSTOCK_E_CONFIG, "--%s is part of a copy: add --copy",
							 settings->create_tables ? "create-tables" : "sequences");
	return PENSTOCK_OK;
}

penstock_status
pen_settings_check(pen_settings *settings, bool wants_memory, pen_error *error)
{
	if (settings->source == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "no source: say which database to follow with --source");
	if (settings->destination_count == 0 && wants_memory &&
		add_destination(settings, "memory:", PEN_FROM_DEFAULT, error) < 0)
		return error->status;
	if (check_destinations(settings, error) < 0 || check_rules(settings, error) < 0)
		return error->status;
	if (settings->create_slot && settings->slot == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "--create-slot needs --slot NAME");
	return check_copy(settings, error) < 0 ? error->status : check_until(settings, error);
}
