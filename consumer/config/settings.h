/* settings.h -- the options of a run: one table of names, types, defaults and limits, for the
 * command line and the library alike. */
#ifndef PEN_SETTINGS_H
#define PEN_SETTINGS_H

#include "base/error.h"

#define PEN_SETTINGS_DESTINATIONS_MAX 32

/* A destination as given: `[NAME=]URI`. Both are owned by the settings. */
typedef struct pen_named_uri
{
	char *name;
	char *uri;
} pen_named_uri;

/* Strings are owned; NULL where nothing was said and there is no default. */
typedef struct pen_settings
{
	char *source;
	char *slot;
	char *tables;
	char *until;
	char *dump_tables;
	char *on_conflict;
	pen_named_uri destinations[PEN_SETTINGS_DESTINATIONS_MAX];
	size_t destination_count;
	int64_t create_slot;
	int64_t allow_triggers;
	int64_t memory_limit;
	int64_t table_memory_limit;
	int64_t batch_bytes_max;
	int64_t batch_rows_max;
	int64_t batch_ms;
	int64_t progress_interval_ms;
	int64_t status_interval_ms;
	int64_t connect_timeout_ms;
} pen_settings;

typedef enum pen_setting_type
{
	PEN_SETTING_STRING,
	PEN_SETTING_FLAG, /* true, false, on, off, yes, no, 1, 0 */
	PEN_SETTING_NUMBER,
	PEN_SETTING_BYTES,      /* a number, with B, kB, MB or GB */
	PEN_SETTING_MS,         /* a number of milliseconds, or with ms, s, min */
	PEN_SETTING_DESTINATION /* [NAME=]URI, may be given several times */
} pen_setting_type;

/* A line of the table. */
typedef struct pen_setting
{
	const char *name; /* with - between words */
	pen_setting_type type;
	size_t offset; /* in pen_settings */
	const char *default_value;
	int64_t min;
	int64_t max;
	const char *argument; /* as in --help */
	const char *help;
} pen_setting;

/* The table; it ends with a NULL name. */
extern const pen_setting pen_setting_table[];

/* All defaults. E_RETRY without memory. */
extern penstock_status pen_settings_init(pen_settings *settings, pen_error *error);
extern void pen_settings_reset(pen_settings *settings);

/* Set one by its name, in which _ counts as -. E_CONFIG, with what is allowed, otherwise. */
extern penstock_status pen_settings_set(pen_settings *settings, const char *name, const char *value,
										pen_error *error);

/* What no single option can be blamed for: a source is missing, a name is used twice, … Adds
 * `memory:` where no destination is given and wants_memory. */
extern penstock_status pen_settings_check(pen_settings *settings, bool wants_memory,
										  pen_error *error);

#endif
