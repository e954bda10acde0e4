/* settings.h -- the options of a run: one table of names, types, defaults and limits, for the
 * command line, the library and penstock.ini alike. */
#ifndef PEN_SETTINGS_H
#define PEN_SETTINGS_H

#include "base/error.h"

#define PEN_SETTINGS_DESTINATIONS_MAX 32
#define PEN_SETTINGS_MAX              64 /* lines of the table */

/* Who said it: a greater one wins, and the last one of equals. */
typedef enum pen_setting_origin
{
	PEN_FROM_DEFAULT,
	PEN_FROM_FILE,
	PEN_FROM_CALLER /* the command line, or penstock_set */
} pen_setting_origin;

/* What happens to a destination whose spool is full. */
typedef enum pen_on_full
{
	PEN_ON_FULL_HOLD,
	PEN_ON_FULL_DETACH
} pen_on_full;

/* What is asked of the source: all, or what began there. */
typedef enum pen_origin
{
	PEN_ORIGIN_ANY,
	PEN_ORIGIN_NONE
} pen_origin;

/* The options that each destination may have for itself. Strings are owned. */
typedef struct pen_destination_options
{
	char *tables; /* cuts down what the run takes */
	int64_t allow_triggers;
	int64_t apply_ahead;
	int64_t batch_bytes_max;
	int64_t batch_rows_max;
	int64_t batch_ms;
	int64_t connect_timeout_ms;
	int64_t spool_bytes_max;
	int64_t on_full;     /* pen_on_full */
	int64_t on_conflict; /* pen_conflict_policy of destination/destination.h */
} pen_destination_options;

/* A destination. Strings are owned. Its options are complete after pen_settings_check. */
typedef struct pen_named_destination
{
	char *name;
	char *uri; /* NULL: only named so far */
	pen_destination_options options;
	unsigned char uri_origin;
	unsigned char given[PEN_SETTINGS_MAX]; /* pen_setting_origin of each line of the table */
} pen_named_destination;

/* Strings are owned; NULL where nothing was said and there is no default. */
typedef struct pen_settings
{
	char *source;
	char *slot;
	char *state_dir;
	char *until;
	char *dump_tables;
	pen_destination_options each; /* for the destinations that say nothing else */
	pen_named_destination destinations[PEN_SETTINGS_DESTINATIONS_MAX];
	size_t destination_count;
	struct pen_rule **rules; /* owned; [table PATTERN]: route/rules.h */
	size_t rule_count;
	int64_t create_slot;
	int64_t copy;
	int64_t copy_mode; /* pen_copy_mode of copy/copy.h */
	int64_t copy_jobs;
	int64_t copy_split_bytes;
	int64_t create_tables;
	int64_t sequences;
	int64_t streaming;
	int64_t two_phase;
	int64_t origin; /* pen_origin */
	int64_t memory_limit;
	int64_t table_memory_limit;
	int64_t progress_interval_ms;
	int64_t status_interval_ms;
	int64_t heartbeat_interval_ms;
	int64_t retained_wal_max;
	unsigned char given[PEN_SETTINGS_MAX]; /* pen_setting_origin of each line of the table */
} pen_settings;

typedef enum pen_setting_type
{
	PEN_SETTING_STRING,
	PEN_SETTING_FLAG,        /* true, false, on, off, yes, no, 1, 0 */
	PEN_SETTING_NUMBER,      /* a number, as int64_t */
	PEN_SETTING_BYTES,       /* a number, with B, kB, MB or GB */
	PEN_SETTING_MS,          /* a number of milliseconds, or with ms, s, min; NAME-ms is NAME */
	PEN_SETTING_CHOICE,      /* one of words; its position among them, as int64_t */
	PEN_SETTING_PATTERNS,    /* of tables: route/route.h */
	PEN_SETTING_DESTINATION, /* [NAME=]URI, may be given several times */
	PEN_SETTING_FILE         /* penstock.ini, read where it is given: config/file.h */
} pen_setting_type;

/* Whose it is. */
typedef enum pen_setting_scope
{
	PEN_SCOPE_RUN,
	PEN_SCOPE_DESTINATION, /* each destination's; what the run says is for those that say nothing */
	PEN_SCOPE_BOTH         /* each destination may have one besides that of the run */
} pen_setting_scope;

/* A line of the table. */
typedef struct pen_setting
{
	const char *name; /* with - between words */
	pen_setting_type type;
	size_t offset; /* in pen_settings; other scopes than RUN: in pen_destination_options */
	const char *default_value;
	int64_t min;
	int64_t max;
	const char *argument; /* as in --help */
	const char *help;
	pen_setting_scope scope;
	const char *const *words; /* of a CHOICE, NULL at the end */
} pen_setting;

/* The table; it ends with a NULL name. */
extern const pen_setting pen_setting_table[];

/* The line of a name, in which _ counts as -, or NULL. */
extern const pen_setting *pen_setting_find(const char *name);

/* All defaults. E_RETRY without memory. */
extern penstock_status pen_settings_init(pen_settings *settings, pen_error *error);
extern void pen_settings_reset(pen_settings *settings);

/*
 * Set one by its name, for the run. What a greater origin has set stays. E_CONFIG, with what is
 * allowed, otherwise; values from a file are not repeated in errors.
 */
extern penstock_status pen_settings_set(pen_settings *settings, const char *name, const char *value,
										pen_setting_origin origin, pen_error *error);

/* The destination of a name, made if there is none yet; NULL and error. */
extern pen_named_destination *pen_settings_destination(pen_settings *settings, const char *name,
													   pen_error *error);
/* As pen_settings_set, for one destination; `to` is its URI. */
extern penstock_status pen_settings_set_for(pen_named_destination *destination, const char *name,
											const char *value, pen_setting_origin origin,
											pen_error *error);

/* Takes ownership of rule, also on failure: no memory. */
extern penstock_status pen_settings_add_rule(pen_settings *settings, struct pen_rule *rule,
											 pen_error *error);

/* What no single option can be blamed for: a source is missing, a name is used twice, … Adds
 * `memory:` where no destination is given and wants_memory, and completes what the destinations
 * do not say for themselves. */
extern penstock_status pen_settings_check(pen_settings *settings, bool wants_memory,
										  pen_error *error);

#endif
