/* values.c -- read the values of options.
 * A value that is refused leaves what was there before. */
#include "config/values.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "route/route.h"

#define KB       INT64_C(1024)
#define MB       (1024 * KB)
#define GB       (1024 * MB)
#define NAME_MAX 63

const char *
pen_setting_shown(const char *value)
{
	return strpbrk(value, "=:@") == NULL ? value : "…";
}

bool
pen_setting_is_name(const char *text, size_t length)
{
	return length > 0 && length <= NAME_MAX &&
		   strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") >= length;
}

static penstock_status
bad_value(const pen_setting *setting, const char *value, bool may_show, const char *allowed,
		  pen_error *error)
{
	if (!may_show)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "option %s: its value is not %s",
							 setting->name, allowed);
	return pen_error_set(error, PENSTOCK_E_CONFIG, "option %s: \"%.60s\" is not %s", setting->name,
						 pen_setting_shown(value), allowed);
}

static penstock_status
parse_flag(const pen_setting *setting, const char *value, bool may_show, int64_t *into,
		   pen_error *error)
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
	return bad_value(setting, value, may_show, "on or off", error);
}

static penstock_status
parse_choice(const pen_setting *setting, const char *value, bool may_show, int64_t *into,
			 pen_error *error)
{
	char allowed[256] = "one of: ";

	for (int i = 0; setting->words[i] != NULL; i++)
	{
		if (strcmp(value, setting->words[i]) == 0)
		{
			*into = i;
			return PENSTOCK_OK;
		}
		if (i > 0)
			strncat(allowed, ", ", sizeof(allowed) - strlen(allowed) - 1);
		strncat(allowed, setting->words[i], sizeof(allowed) - strlen(allowed) - 1);
	}
	return bad_value(setting, value, may_show, allowed, error);
}

typedef struct unit
{
	const char *name;
	int64_t factor;
} unit;

/* A type of number: its units, what is said of them, and how a limit is printed. */
typedef struct number_kind
{
	const unit *units;
	const char *allowed;
	const char *limit;
} number_kind;

static const number_kind *
kind_of(pen_setting_type type)
{
	static const unit plain[] = {{"", 1}, {NULL, 0}};
	static const unit bytes[] = {{"", 1}, {"B", 1}, {"kB", KB}, {"MB", MB}, {"GB", GB}, {NULL, 0}};
	static const unit ms[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {NULL, 0}};
	static const number_kind kinds[] = {
		{plain, "a number", ""},
		{bytes, "a number of bytes, with B, kB, MB or GB", " bytes"},
		{ms, "a time in ms, or with ms, s or min", " ms"},
	};

	return &kinds[type == PEN_SETTING_BYTES ? 1 : type == PEN_SETTING_MS ? 2 : 0];
}

static penstock_status
parse_number(const pen_setting *setting, const char *value, bool may_show, int64_t *into,
			 pen_error *error)
{
	const number_kind *kind = kind_of(setting->type);
	char *end;
	long long number;
	int64_t factor = 0;

	if (!isdigit((unsigned char) value[0]) || strlen(value) > 18)
		return bad_value(setting, value, may_show, kind->allowed, error);
	number = strtoll(value, &end, 10);
	while (*end == ' ')
		end++;
	for (const unit *u = kind->units; u->name != NULL; u++)
	{
		if (strcmp(u->name, end) == 0)
			factor = u->factor;
	}
	if (factor == 0)
		return bad_value(setting, value, may_show, kind->allowed, error);
	if (number > INT64_MAX / factor || number * factor < setting->min ||
		number * factor > setting->max)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "option %s: %s is out of range; %lld to %lld%s are allowed",
							 setting->name, may_show ? value : "its value",
							 (long long) setting->min, (long long) setting->max, kind->limit);
	*into = number * factor;
	return PENSTOCK_OK;
}

static penstock_status
replace_text(char **into, const char *value, pen_error *error)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	free(*into);
	*into = copy;
	return PENSTOCK_OK;
}

static penstock_status
parse_patterns(const char *value, char **into, pen_error *error)
{
	pen_route *route = pen_route_new(value, error);

	if (route == NULL)
		return error->status;
	pen_route_free(route);
	return replace_text(into, value, error);
}

static bool
is_text(const pen_setting *setting)
{
	return setting->type == PEN_SETTING_STRING || setting->type == PEN_SETTING_PATTERNS;
}

penstock_status
pen_setting_parse(const pen_setting *setting, const char *value, bool may_show, void *into,
				  pen_error *error)
{
	if (is_text(setting) && value[0] == '\0')
		return bad_value(setting, value, may_show, "a value", error);
	switch (setting->type)
	{
		case PEN_SETTING_STRING:
			return replace_text(into, value, error);
		case PEN_SETTING_PATTERNS:
			return parse_patterns(value, into, error);
		case PEN_SETTING_FLAG:
			return parse_flag(setting, value, may_show, into, error);
		case PEN_SETTING_CHOICE:
			return parse_choice(setting, value, may_show, into, error);
		case PEN_SETTING_NUMBER:
		case PEN_SETTING_BYTES:
		case PEN_SETTING_MS:
			return parse_number(setting, value, may_show, into, error);
		case PEN_SETTING_DESTINATION:
		case PEN_SETTING_FILE:
			break;
	}
	return pen_error_set(error, PENSTOCK_E_BUG, "option %s has no value of its own", setting->name);
}

penstock_status
pen_setting_copy(const pen_setting *setting, const void *from, void *into, pen_error *error)
{
	const char *text;

	if (!is_text(setting))
	{
		memcpy(into, from, sizeof(int64_t));
		return PENSTOCK_OK;
	}
	text = *(char *const *) from;
	return text == NULL ? PENSTOCK_OK : replace_text(into, text, error);
}

void
pen_setting_free(const pen_setting *setting, void *value)
{
	if (is_text(setting))
	{
		free(*(char **) value);
		*(char **) value = NULL;
	}
}
