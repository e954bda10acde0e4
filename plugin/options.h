/* options.h -- what a client may ask for at START_REPLICATION, one table of it. */
#ifndef PENSTOCK_OPTIONS_H
#define PENSTOCK_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "patterns.h"

typedef enum OutputFormat
{
	OUTPUT_NATIVE,
	OUTPUT_JSON,
	OUTPUT_TEXT,
	OUTPUT_DECODERBUFS
} OutputFormat;

/* Bits of `actions`, by the bit's number. */
typedef enum ChangeAction
{
	ACTION_INSERT,
	ACTION_UPDATE,
	ACTION_DELETE,
	ACTION_TRUNCATE
} ChangeAction;

#define ACTION_BIT(action) (1 << (action))

/* Numbers of the lines of the table in options.c, which asserts it. */
#define OPTION_COUNT 19

typedef struct PenstockOptions
{
	int format; /* OutputFormat */
	int protocol_min;
	int protocol_max;
	int protocol;    /* agreed on */
	int batch_bytes; /* flush when the buffer is larger; 0: after each event */
	int binary_values;
	int messages;
	int streaming;
	int two_phase;
	int skip_empty;
	int include_generated;
	int debug_mode;
	int actions;        /* ACTION_BITs */
	List *publications; /* of names, char *; NIL: not given */
	bool all_origins;   /* origin: any */
	const char *origin; /* NULL: none but local changes */
	PatternList include_tables;
	PatternList exclude_tables;
	PatternList include_columns;
	PatternList exclude_columns;
	PatternList message_prefixes;
	const char *text[OPTION_COUNT]; /* in force; "" for what is not given */
} PenstockOptions;

/*
 * Defaults, then what the client gave, a List of DefElem. Any mistake is an ERROR that names the
 * option, the value and what is allowed. plugin is the name by which the slot knows the library:
 * "decoderbufs" changes the default of `format`. Everything is palloc'd in the current context.
 */
extern void options_parse(PenstockOptions *options, List *given, const char *plugin);

/* Is the library in use under the name of that plugin? */
extern bool options_as_decoderbufs(const char *plugin);

/* The options in force, one by one: false when there is no n-th. */
extern bool options_nth(const PenstockOptions *options, int n, const char **name,
						const char **value);

#endif
