/* settings.c -- penstock.ini from anybody: every mistake is told and none does harm, and no problem
 * that is told shows a password. */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "config/file.h"
#include "destination/destination.h"
#include "pq/pq.h"
#include "route/mapping.h"

#define PASSWORD "sEcReTwOrD" /* the corpus has it as one */

static bool
has_secret(const char *text, size_t size)
{
	return memmem(text, size, PASSWORD, strlen(PASSWORD)) != NULL;
}

/* A line whose value is a connection string. */
static bool
is_connection(const char *line, size_t length)
{
	static const char *const keys[] = {"conninfo = ", "to = "};

	for (size_t i = 0; i < 2; i++)
	{
		if (length > strlen(keys[i]) && memcmp(line, keys[i], strlen(keys[i])) == 0)
			return true;
	}
	return false;
}

/* Names, patterns and the like are told: it is a secret where passwords may stand. */
static bool
is_secret(const char *text, size_t size)
{
	while (size > 0)
	{
		const char *end = memchr(text, '\n', size);
		size_t length = end != NULL ? (size_t) (end - text) : size;

		if (has_secret(text, length) && !is_connection(text, length))
			return false;
		text += length + (end != NULL);
		size -= length + (end != NULL);
	}
	return true;
}

static void
check_told(bool secret, const char *text)
{
	CHECK(!secret || strstr(text, PASSWORD) == NULL);
}

static void
report(void *context, penstock_log_level level, const char *text)
{
	(void) level;
	check_told(*(const bool *) context, text);
}

/* What would be done with settings that are right. */
static void
use(const pen_settings *settings)
{
	for (size_t i = 0; i < settings->destination_count; i++)
	{
		const pen_named_destination *destination = &settings->destinations[i];
		pen_error error;
		pen_mapping *mapping = pen_mapping_new(NULL, destination->options.tables, destination->name,
											   settings->rules, settings->rule_count, &error);
		char fingerprint[17];

		if (mapping != NULL)
		{
			pen_mapping_fingerprint(mapping, fingerprint);
			(void) pen_mapping_takes(mapping, "public", "t");
		}
		else
			check_status(error.status, &error);
		pen_mapping_free(mapping);
		if (destination->uri != NULL)
			(void) pen_destination_find(destination->uri);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool secret = is_secret((const char *) data, size);
	pen_settings settings;
	penstock_status status;
	pen_error error;

	CHECK(pen_settings_init(&settings, &error) >= 0);
	status = pen_file_load_text(&settings, "fuzz.ini", (const char *) data, size, report, &secret,
								&error);
	check_status(status, &error);
	if (status >= 0)
	{
		status = pen_settings_check(&settings, true, &error);
		check_status(status, &error);
	}
	if (status < 0)
		check_told(secret, error.text);
	if (status >= 0)
		use(&settings);
	pen_settings_reset(&settings);
	return 0;
}
