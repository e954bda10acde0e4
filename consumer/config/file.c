/* file.c -- what the sections of penstock.ini mean.
 * A problem is reported with its line and reading goes on, so that one run finds them all; values,
 * which may hold passwords, are in none of the texts. */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/expand.h"
#include "config/ini.h"
#include "config/values.h"
#include "route/rules.h"

#define DISTANCE_MAX 3
#define NAME_LENGTH  40 /* of a name that may be a misspelt one */

typedef struct loader
{
	pen_settings *settings;
	const char *path;
	pen_file_report report;
	void *context;
	const pen_ini *ini;
	size_t problems;
	bool no_memory;
	bool has_password;
	pen_error *error; /* the first problem */
} loader;

static void
report(loader *l, int line, const char *problem)
{
	char text[PEN_ERROR_MAX];

	snprintf(text, sizeof(text), "%s:%d: %s", l->path, line, problem);
	if (l->problems++ == 0)
		pen_error_set(l->error, PENSTOCK_E_CONFIG, "%s", text);
	if (l->report != NULL)
		l->report(l->context, PENSTOCK_LOG_ERROR, text);
}

static void
report_error(loader *l, int line, const pen_error *error)
{
	if (error->status == PENSTOCK_E_RETRY)
		l->no_memory = true;
	report(l, line, error->text);
}

/* ---- the name that was meant ---- */

/* How many letters must change, be added or left out; - and _ are the same. */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NAME_LENGTH + 1];
	size_t length = strlen(b);

	if (strlen(a) > NAME_LENGTH || length > NAME_LENGTH)
		return NAME_LENGTH;
	for (size_t j = 0; j <= length; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++)
	{
		size_t diagonal = row[0];
		char c = a[i - 1] == '-' ? '_' : a[i - 1];

		row[0] = i;
		for (size_t j = 1; j <= length; j++)
		{
			size_t best = diagonal + (c != (b[j - 1] == '-' ? '_' : b[j - 1]));

			diagonal = row[j];
			best = row[j] + 1 < best ? row[j] + 1 : best;
			row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
		}
	}
	return row[length];
}

const char *
pen_file_nearest(const char *name, const char *const *names)
{
	const char *nearest = NULL;
	size_t least = DISTANCE_MAX + 1;

	for (; *names != NULL; names++)
	{
		size_t d = distance(name, *names);

		if (d < least && d < strlen(*names))
		{
			least = d;
			nearest = *names;
		}
	}
	return nearest;
}

static void
report_unknown(loader *l, int line, const char *what, const char *name, const char *const *names)
{
	const char *meant = pen_file_nearest(name, names);
	char problem[300];

	/* A connection string where a key is meant. */
	if (strpbrk(name, ":/@") != NULL)
		name = "…";

	snprintf(problem, sizeof(problem), "there is no %s \"%.60s\"%s%s%s", what, name,
			 meant != NULL ? "; is " : "", meant != NULL ? meant : "",
			 meant != NULL ? " meant?" : "");
	for (char *c = meant != NULL ? strstr(problem, "; is ") : NULL; c != NULL && *c != '\0'; c++)
	{
		if (*c == '-')
			*c = '_';
	}
	report(l, line, problem);
}

/* ---- values ---- */

/* The value of an entry to be used, for free(), or NULL after a report. */
static char *
expand(loader *l, const pen_ini_entry *entry, bool *expanded)
{
	pen_error error;
	char *value;

	pen_error_clear(&error);
	value = pen_expand(entry->value, expanded, &error);
	if (value == NULL)
		report_error(l, entry->line, &error);
	return value;
}

/* A text about a value with variables in it could repeat what they hold. */
static void
report_value(loader *l, const pen_ini_entry *entry, bool expanded, const pen_error *error)
{
	char problem[200];

	if (!expanded)
	{
		report_error(l, entry->line, error);
		return;
	}
	snprintf(problem, sizeof(problem),
			 "%.60s: with what its variables hold, the value is malformed", entry->key);
	report(l, entry->line, problem);
}

/* ---- [source] and [destination NAME] ---- */

/* The names that a section may have as keys, NULL at the end. */
static void
known_keys(bool for_destination, const char *names[PEN_SETTINGS_MAX + 2])
{
	size_t count = 0;

	for (const pen_setting *s = pen_setting_table; s->name != NULL; s++)
	{
		bool is_to = s->type == PEN_SETTING_DESTINATION;

		if (for_destination ? is_to || s->scope != PEN_SCOPE_RUN
							: !is_to && s->type != PEN_SETTING_FILE)
			names[count++] = s->name;
	}
	if (!for_destination)
		names[count++] = "conninfo";
	names[count] = NULL;
}

/* The option that a key means; conninfo is source where that is what the section is about. */
static const pen_setting *
setting_of(const char *key, bool for_destination)
{
	const pen_setting *setting;

	if (!for_destination && strcmp(key, "conninfo") == 0)
		key = "source";
	setting = pen_setting_find(key);
	if (setting == NULL || setting->type == PEN_SETTING_FILE)
		return NULL;
	if (for_destination && setting->type != PEN_SETTING_DESTINATION &&
		setting->scope == PEN_SCOPE_RUN)
		return NULL;
	return setting;
}

static void
load_option(loader *l, const pen_ini_entry *entry, const pen_setting *setting,
			pen_named_destination *destination)
{
	pen_error error;
	bool expanded;
	char *value = expand(l, entry, &expanded);
	penstock_status status;

	if (value == NULL)
		return;
	pen_error_clear(&error);
	if (pen_expand_has_password(entry->value))
		l->has_password = true;
	if (value[0] == '\0' && setting->type == PEN_SETTING_DESTINATION)
		status = pen_error_set(&error, PENSTOCK_E_CONFIG, "to: its value is not a URI");
	else if (destination != NULL)
		status = pen_settings_set_for(destination, setting->name, value, PEN_FROM_FILE, &error);
	else
		status = pen_settings_set(l->settings, setting->name, value, PEN_FROM_FILE, &error);
	if (status < 0)
		report_value(l, entry, expanded, &error);
	free(value);
}

/* destination NULL: [source]. */
static void
load_options(loader *l, const pen_ini_section *section, pen_named_destination *destination)
{
	bool for_destination = destination != NULL;
	int lines[PEN_SETTINGS_MAX] = {0};
	const char *names[PEN_SETTINGS_MAX + 2];
	char problem[200];

	known_keys(for_destination, names);
	for (size_t i = 0; i < section->count; i++)
	{
		const pen_ini_entry *entry = &section->entries[i];
		const pen_setting *setting = setting_of(entry->key, for_destination);
		int *line = setting != NULL ? &lines[setting - pen_setting_table] : NULL;

		if (setting == NULL && for_destination && setting_of(entry->key, false) != NULL)
		{
			snprintf(problem, sizeof(problem),
					 "%.60s is an option of the whole run: it belongs "
					 "in [source]",
					 entry->key);
			report(l, entry->line, problem);
		}
		else if (setting == NULL)
			report_unknown(l, entry->line, "key", entry->key, names);
		else if (setting->type == PEN_SETTING_DESTINATION && !for_destination)
			report(l, entry->line, "a destination has a section of its own: [destination NAME]");
		else if (*line != 0)
		{
			snprintf(problem, sizeof(problem),
					 "%.60s is given a second time; the first is in "
					 "line %d",
					 entry->key, *line);
			report(l, entry->line, problem);
		}
		else
		{
			*line = entry->line;
			load_option(l, entry, setting, destination);
		}
	}
}

/* What stands behind the first word of a section's name, if that is this word. */
static const char *
argument_of(const char *name, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(name, word, length) != 0 || (name[length] != ' ' && name[length] != '\t'))
		return NULL;
	return name + length + strspn(name + length, " \t");
}

/* The line of an earlier section of this name, or 0. */
static int
earlier_line(const loader *l, const pen_ini_section *section)
{
	for (const pen_ini_section *s = l->ini->sections; s < section; s++)
	{
		const char *one = s->name != NULL ? argument_of(s->name, "destination") : NULL;
		const char *other = argument_of(section->name, "destination");

		if (s->name != NULL && (strcmp(s->name, section->name) == 0 ||
								(one != NULL && other != NULL && strcmp(one, other) == 0)))
			return s->line;
	}
	return 0;
}

static bool
is_second(loader *l, const pen_ini_section *section)
{
	int line = earlier_line(l, section);
	char problem[200];

	if (line == 0)
		return false;
	snprintf(problem, sizeof(problem),
			 "section [%.60s] is there a second time; the first is in "
			 "line %d",
			 section->name, line);
	report(l, section->line, problem);
	return true;
}

/* Two names for one database would be fed the same rows twice. */
static void
check_uri(loader *l, const pen_ini_section *section, const pen_named_destination *destination)
{
	char problem[200];

	for (size_t i = 0; i < l->settings->destination_count; i++)
	{
		const pen_named_destination *other = &l->settings->destinations[i];

		if (other == destination || other->uri == NULL || destination->uri == NULL ||
			strcmp(other->uri, destination->uri) != 0)
			continue;
		snprintf(problem, sizeof(problem), "destination %.63s is the same as destination %.63s",
				 destination->name, other->name);
		report(l, section->line, problem);
	}
}

static void
load_destination(loader *l, const pen_ini_section *section, const char *name)
{
	pen_named_destination *destination;
	pen_error error;

	if (is_second(l, section))
		return;
	pen_error_clear(&error);
	destination = pen_settings_destination(l->settings, name, &error);
	if (destination == NULL)
	{
		report_error(l, section->line, &error);
		return;
	}
	load_options(l, section, destination);
	check_uri(l, section, destination);
}

/* ---- [table PATTERN] ---- */

static void
load_table_key(loader *l, const pen_ini_entry *entry, pen_rule *rule)
{
	bool known = strncmp(entry->key, "rename.", 7) == 0;
	pen_error error;
	bool expanded;
	char *value;

	for (const char *const *key = pen_rule_keys; *key != NULL; key++)
		known = known || strcmp(*key, entry->key) == 0;
	if (!known)
	{
		report_unknown(l, entry->line, "key", entry->key, pen_rule_keys);
		return;
	}
	value = expand(l, entry, &expanded);
	if (value == NULL)
		return;
	pen_error_clear(&error);
	if (pen_rule_set(rule, entry->key, value, &error) < 0)
		report_value(l, entry, expanded, &error);
	free(value);
}

static void
load_table(loader *l, const pen_ini_section *section, const char *patterns)
{
	char stands_at[PEN_ERROR_MAX / 4];
	pen_rule *rule;
	pen_error error;

	pen_error_clear(&error);
	snprintf(stands_at, sizeof(stands_at), "%s:%d", l->path, section->line);
	rule = pen_rule_new(patterns, stands_at, &error);
	if (rule == NULL)
	{
		report_error(l, section->line, &error);
		return;
	}
	for (size_t i = 0; i < section->count; i++)
		load_table_key(l, &section->entries[i], rule);
	for (size_t i = 0; i < l->settings->rule_count; i++)
	{
		pen_error_clear(&error);
		if (pen_rules_compare(l->settings->rules[i], rule, &error) < 0)
			report_error(l, section->line, &error);
	}
	if (pen_settings_add_rule(l->settings, rule, &error) < 0)
		report_error(l, section->line, &error);
}

/* ---- the file ---- */

static void
load_section(loader *l, const pen_ini_section *section)
{
	static const char *const words[] = {"source", "destination", "table", NULL};
	const char *argument;
	char word[NAME_LENGTH + 1];

	if (section->name == NULL)
		return;
	if (strcmp(section->name, "source") == 0)
	{
		if (!is_second(l, section))
			load_options(l, section, NULL);
	}
	else if ((argument = argument_of(section->name, "destination")) != NULL)
		load_destination(l, section, argument);
	else if ((argument = argument_of(section->name, "table")) != NULL)
		load_table(l, section, argument);
	else if (strcmp(section->name, "destination") == 0)
		report(l, section->line, "a destination has a name: [destination NAME]");
	else if (strcmp(section->name, "table") == 0)
		report(l, section->line, "which tables are meant is not said: [table SCHEMA.TABLE]");
	else
	{
		snprintf(word, sizeof(word), "%.*s", (int) strcspn(section->name, " \t"), section->name);
		report_unknown(l, section->line, "kind of section", word, words);
	}
}

static void
report_malformed(void *context, int line, const char *problem)
{
	report(context, line, problem);
}

/* The first problem, and how many there are. */
static penstock_status
sum_up(loader *l)
{
	char first[PEN_ERROR_MAX];

	if (l->no_memory)
		l->error->status = PENSTOCK_E_RETRY;
	if (l->problems < 2)
		return l->error->status;
	snprintf(first, sizeof(first), "%s", l->error->text);
	return pen_error_set(l->error, l->error->status, "%.1900s (and %zu more)", first,
						 l->problems - 1);
}

static penstock_status
load_text(loader *l, const char *text, size_t length)
{
	pen_ini ini;
	pen_error parsing;

	pen_error_clear(l->error);
	l->ini = &ini;
	if (pen_ini_parse(text, length, &ini, report_malformed, l, &parsing) == PENSTOCK_E_RETRY)
	{
		pen_ini_reset(&ini);
		*l->error = parsing;
		return parsing.status;
	}
	for (size_t i = 0; i < ini.count; i++)
		load_section(l, &ini.sections[i]);
	pen_ini_reset(&ini);
	return sum_up(l);
}

penstock_status
pen_file_load_text(pen_settings *settings, const char *path, const char *text, size_t length,
				   pen_file_report reporter, void *context, pen_error *error)
{
	loader l = {
		.settings = settings, .path = path, .report = reporter, .context = context, .error = error};

	return load_text(&l, text, length);
}

/* All of an open file, for free(), or NULL and error. */
static char *
read_all(int fd, const char *path, size_t *length, pen_error *error)
{
	char *text = malloc(PEN_FILE_BYTES_MAX + 1);
	ssize_t got = 1;

	*length = 0;
	if (text == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a configuration file");
		return NULL;
	}
	while (got > 0 && *length <= PEN_FILE_BYTES_MAX)
	{
		got = read(fd, text + *length, PEN_FILE_BYTES_MAX + 1 - *length);
		if (got > 0)
			*length += (size_t) got;
	}
	if (got == 0 && *length <= PEN_FILE_BYTES_MAX)
		return text;
	if (got < 0)
		pen_error_set(error, PENSTOCK_E_CONFIG, "could not read %s: %s", path, strerror(errno));
	else
		pen_error_set(error, PENSTOCK_E_CONFIG, "%s is larger than %d bytes", path,
					  PEN_FILE_BYTES_MAX);
	free(text);
	return NULL;
}

static void
warn_of_readers(const loader *l, int fd)
{
	struct stat status;
	char text[PEN_ERROR_MAX];

	if (!l->has_password || l->report == NULL || fstat(fd, &status) != 0 ||
		(status.st_mode & S_IROTH) == 0)
		return;
	snprintf(text, sizeof(text),
			 "%s holds a password and everybody may read it: chmod 600, or take the password from "
			 "the environment: ${VAR}",
			 l->path);
	l->report(l->context, PENSTOCK_LOG_WARNING, text);
}

penstock_status
pen_file_load(pen_settings *settings, const char *path, pen_file_report reporter, void *context,
			  pen_error *error)
{
	loader l = {
		.settings = settings, .path = path, .report = reporter, .context = context, .error = error};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t length;
	penstock_status status;

	if (fd < 0)
		pen_error_set(error, PENSTOCK_E_CONFIG, "option config: could not open %s: %s",
					  pen_setting_shown(path), strerror(errno));
	else
		text = read_all(fd, path, &length, error);
	if (text == NULL)
	{
		if (reporter != NULL)
			reporter(context, PENSTOCK_LOG_ERROR, error->text);
		if (fd >= 0)
			close(fd);
		return error->status;
	}
	status = load_text(&l, text, length);
	warn_of_readers(&l, fd);
	close(fd);
	free(text);
	return status;
}
