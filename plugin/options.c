/* options.c -- the one table of options.
 * Every option is a line of it; nothing else in the plugin knows an option by its name. */
#include "options.h"

#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

#include "wire.h"

/* A client must not make the server work long over its options. */
#define TEXT_MAX         65536
#define PUBLICATIONS_MAX 1000

/* Bytes of a name or value in an error. */

typedef enum OptionType
{
	TYPE_INT,    /* a number, min..max */
	TYPE_CHOICE, /* one of words */
	TYPE_SET,    /* some of words, a bit each */
	TYPE_NAMES,  /* identifiers, quoted where they need it */
	TYPE_ORIGIN,
	TYPE_TABLES,  /* patterns of two names */
	TYPE_COLUMNS, /* of three */
	TYPE_PREFIXES /* of one */
} OptionType;

typedef struct OptionInfo
{
	const char *name;
	OptionType type;
	size_t offset; /* in PenstockOptions, of what type says */
	const char *default_text;
	const char *const *words; /* NULL at the end */
	int min;
	int max;
} OptionInfo;

#define AT(member)  offsetof(PenstockOptions, member)
#define VERSION_MIN CppAsString2(PEN_PROTOCOL_VERSION_MIN)
#define VERSION_MAX CppAsString2(PEN_PROTOCOL_VERSION_MAX)

static const char *const format_words[] = {"native", "json", "text", "decoderbufs", NULL};
static const char *const switch_words[] = {"off", "on", NULL};
static const char *const values_words[] = {"text", "binary", NULL};
static const char *const action_words[] = {"insert", "update", "delete", "truncate", NULL};

static const OptionInfo option_table[] = {
	{"format", TYPE_CHOICE, AT(format), "native", format_words},
	{"protocol_min", TYPE_INT, AT(protocol_min), VERSION_MIN, NULL, 1, 1000000},
	{"protocol_max", TYPE_INT, AT(protocol_max), VERSION_MAX, NULL, 1, 1000000},
	{"batch_bytes", TYPE_INT, AT(batch_bytes), "65536", NULL, 0, 16 * 1024 * 1024},
	{"values", TYPE_CHOICE, AT(binary_values), "text", values_words},
	{"publications", TYPE_NAMES, AT(publications), ""},
	{"include_tables", TYPE_TABLES, AT(include_tables), ""},
	{"exclude_tables", TYPE_TABLES, AT(exclude_tables), ""},
	{"include_columns", TYPE_COLUMNS, AT(include_columns), ""},
	{"exclude_columns", TYPE_COLUMNS, AT(exclude_columns), ""},
	{"include_generated", TYPE_CHOICE, AT(include_generated), "on", switch_words},
	{"actions", TYPE_SET, AT(actions), "insert,update,delete,truncate", action_words},
	{"origin", TYPE_ORIGIN, AT(origin), "any"},
	{"messages", TYPE_CHOICE, AT(messages), "off", switch_words},
	{"message_prefixes", TYPE_PREFIXES, AT(message_prefixes), ""},
	{"streaming", TYPE_CHOICE, AT(streaming), "off", switch_words},
	{"two_phase", TYPE_CHOICE, AT(two_phase), "off", switch_words},
	{"skip_empty", TYPE_CHOICE, AT(skip_empty), "on", switch_words},
	{"debug-mode", TYPE_CHOICE, AT(debug_mode), "off", switch_words},
};

StaticAssertDecl(lengthof(option_table) == OPTION_COUNT, "OPTION_COUNT is wrong");

static void *
value_of(PenstockOptions *options, const OptionInfo *info)
{
	return (char *) options + info->offset;
}

static char *
join_words(const char *const *words)
{
	StringInfoData joined;

	initStringInfo(&joined);
	for (int i = 0; words[i] != NULL; i++)
		appendStringInfo(&joined, "%s%s", i > 0 ? ", " : "", words[i]);
	return joined.data;
}

static const OptionInfo *
find_option(const char *name)
{
	for (int i = 0; i < lengthof(option_table); i++)
	{
		if (strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	}
	return NULL;
}

/* What of a client's text stands in a message: not all, and no half of a character. */
static const char *
shown(const char *text)
{
	return pnstrdup(text, pg_mbcliplen(text, (int) strlen(text), 100));
}

static void
unknown_option(const char *name, const char *value, bool as_decoderbufs)
{
	const char *names[lengthof(option_table) + 1] = {NULL};

	/* Clients of decoderbufs look for its words. */
	if (as_decoderbufs)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"%s\" = \"%s\" is unknown", shown(name), shown(value))));
	for (int i = 0; i < lengthof(option_table); i++)
		names[i] = option_table[i].name;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unrecognized option \"%s\" of output plugin penstock", shown(name)),
					errhint("Allowed are: %s.", join_words(names))));
}

/* hint: what is allowed, palloc'd or static. */
static void
bad_value(const OptionInfo *info, const char *text, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid value \"%s\" for option \"%s\" of output plugin penstock",
						   shown(text), info->name),
					errhint("%s", hint)));
}

/* ---- values by type ---- */

/* Digits only: no sign, no white space, no more than an int holds. */
static bool
parse_number(const char *text, int *value)
{
	int64 number = 0;

	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text < '0' || *text > '9')
			return false;
		number = number * 10 + (*text - '0');
		if (number > PG_INT32_MAX)
			return false;
	}
	*value = (int) number;
	return true;
}

static void
set_number(int *value, const OptionInfo *info, const char *text)
{
	if (!parse_number(text, value) || *value < info->min || *value > info->max)
		bad_value(info, text, psprintf("Allowed is a number from %d to %d.", info->min, info->max));
}

/* The word's number, or -1. len: text need not end there. */
static int
word_number(const char *const *words, const char *text, size_t len)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strlen(words[i]) == len && strncmp(words[i], text, len) == 0)
			return i;
	}
	return -1;
}

static void
set_choice(int *value, const OptionInfo *info, const char *text)
{
	*value = word_number(info->words, text, strlen(text));
	/* A switch may be named without a value, and takes the usual words for true and false. */
	if (*value < 0 && info->words == switch_words)
	{
		bool on = true;

		if (*text == '\0' || parse_bool(text, &on))
			*value = on;
	}
	if (*value < 0)
		bad_value(info, text, psprintf("Allowed are: %s.", join_words(info->words)));
}

static void
set_words(int *bits, const OptionInfo *info, const char *text)
{
	const char *word = text;

	*bits = 0;
	for (;;)
	{
		size_t len;
		int number;

		word += strspn(word, " ");
		len = strcspn(word, ", ");
		number = word_number(info->words, word, len);
		word += len + strspn(word + len, " ");
		if (number < 0 || (*word != '\0' && *word != ','))
			bad_value(info, text,
					  psprintf("Allowed are, separated by commas: %s.", join_words(info->words)));
		*bits |= 1 << number;
		if (*word == '\0')
			return;
		word++;
	}
}

static void
set_names(List **names, const OptionInfo *info, const char *text)
{
	if (!SplitIdentifierString(pstrdup(text), ',', names) || *names == NIL)
		bad_value(info, text,
				  "Allowed are names, separated by commas; one with capitals, spaces "
				  "or other special characters stands between double quotes.");
	if (list_length(*names) > PUBLICATIONS_MAX)
		bad_value(info, text, psprintf("Allowed are at most %d names.", PUBLICATIONS_MAX));
}

static void
set_origin(PenstockOptions *options, const OptionInfo *info, const char *text)
{
	options->all_origins = strcmp(text, "any") == 0;
	options->origin = NULL;
	if (*text == '\0')
		bad_value(info, text, "Allowed are: any, none, or the name of a replication origin.");
	if (!options->all_origins && strcmp(text, "none") != 0)
		options->origin = pstrdup(text);
}

static void
set_patterns(PatternList *list, const OptionInfo *info, const char *text, int parts)
{
	static const char *const shapes[] = {"name", "schema.table", "schema.table.column"};
	const char *problem;

	if (!patterns_parse(list, text, parts, &problem))
		bad_value(info, text,
				  psprintf("The list is malformed: %s. Allowed are patterns %s, separated by "
						   "commas, in which * stands for anything and \\ makes the next "
						   "character plain.",
						   problem, shapes[parts - 1]));
}

static void
set_value(PenstockOptions *options, const OptionInfo *info, const char *text)
{
	void *value = value_of(options, info);
	const char **in_force = &options->text[info - option_table];

	*in_force = NULL;
	switch (info->type)
	{
		case TYPE_INT:
			set_number(value, info, text);
			*in_force = psprintf("%d", *(int *) value);
			break;
		case TYPE_CHOICE:
			set_choice(value, info, text);
			*in_force = info->words[*(int *) value];
			break;
		case TYPE_SET:
			set_words(value, info, text);
			break;
		case TYPE_NAMES:
			set_names(value, info, text);
			break;
		case TYPE_ORIGIN:
			set_origin(options, info, text);
			break;
		case TYPE_PREFIXES:
			set_patterns(value, info, text, 1);
			break;
		case TYPE_TABLES:
			set_patterns(value, info, text, 2);
			break;
		case TYPE_COLUMNS:
			set_patterns(value, info, text, 3);
			break;
	}
	if (*in_force == NULL)
		*in_force = pstrdup(text);
}

/* ---- all of them together ---- */

static void
set_given(PenstockOptions *options, const DefElem *given, bool *already, bool as_decoderbufs)
{
	const OptionInfo *info = find_option(given->defname);
	const char *text = given->arg != NULL ? strVal(given->arg) : "";

	if (info == NULL)
	{
		unknown_option(given->defname, text, as_decoderbufs);
		return;
	}
	if (already[info - option_table])
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("option \"%s\" of output plugin penstock is given twice", info->name)));
	already[info - option_table] = true;
	if (strlen(text) > TEXT_MAX)
		bad_value(info, text, psprintf("Allowed are at most %d bytes.", TEXT_MAX));
	set_value(options, info, text);
}

static void
set_defaults(PenstockOptions *options, bool as_decoderbufs)
{
	for (int i = 0; i < lengthof(option_table); i++)
	{
		const OptionInfo *info = &option_table[i];

		if (*info->default_text != '\0')
			set_value(options, info, info->default_text);
		else
			options->text[i] = "";
	}
	if (as_decoderbufs)
		set_value(options, find_option("format"), "decoderbufs");
}

/* Readers of texts, and of decoderbufs, expect a message an event; the latter also empty ones. */
static void
set_format_defaults(PenstockOptions *options, const bool *already)
{
	const OptionInfo *batch_bytes = find_option("batch_bytes");
	const OptionInfo *skip_empty = find_option("skip_empty");

	if (options->format != OUTPUT_NATIVE && !already[batch_bytes - option_table])
		set_value(options, batch_bytes, "0");
	if (options->format == OUTPUT_DECODERBUFS && !already[skip_empty - option_table])
		set_value(options, skip_empty, "off");
}

/* The newest version that both sides know. */
static void
agree_on_protocol(PenstockOptions *options)
{
	if (options->protocol_min > options->protocol_max)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"protocol_min\" (%d) is greater than \"protocol_max\" (%d)",
							   options->protocol_min, options->protocol_max)));
	options->protocol = Min(options->protocol_max, PEN_PROTOCOL_VERSION_MAX);
	if (options->protocol < Max(options->protocol_min, PEN_PROTOCOL_VERSION_MIN))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("client reads protocol versions %d to %d, but this plugin writes %d to %d",
						options->protocol_min, options->protocol_max, PEN_PROTOCOL_VERSION_MIN,
						PEN_PROTOCOL_VERSION_MAX),
				 errhint("Upgrade the older of the two.")));
}

/* Options that bring events which an older protocol or another format has no form for. */
static void
check_together(const PenstockOptions *options)
{
	const struct
	{
		const char *name;
		bool on;
		bool extended;
	} asked[] = {
		{"messages", options->messages, true},
		{"streaming", options->streaming, true},
		{"two_phase", options->two_phase, true},
		{"values", options->binary_values, false},
		{"batch_bytes", options->batch_bytes > 0, false},
	};

	for (int i = 0; i < lengthof(asked); i++)
	{
		if (!asked[i].on)
			continue;
		if (options->format == OUTPUT_DECODERBUFS)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("option \"%s\" cannot be used with format decoderbufs", asked[i].name),
					 errhint("That format has no form for it.")));
		if (asked[i].extended && options->format == OUTPUT_NATIVE &&
			options->protocol < PEN_PROTOCOL_VERSION_EXTENDED)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" needs protocol version %d, but %d is agreed on",
								   asked[i].name, PEN_PROTOCOL_VERSION_EXTENDED, options->protocol),
							errhint("Upgrade the client, or leave the option out.")));
	}
	if (options->debug_mode && options->format != OUTPUT_DECODERBUFS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"debug-mode\" can only be used with format decoderbufs"),
						errhint("Use format text.")));
	if (options->message_prefixes.count > 0 && !options->messages)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"message_prefixes\" is given, but \"messages\" is not on")));
}

bool
options_as_decoderbufs(const char *plugin)
{
	return strcmp(plugin, "decoderbufs") == 0;
}

void
options_parse(PenstockOptions *options, List *given, const char *plugin)
{
	bool already[lengthof(option_table)] = {false};
	bool as_decoderbufs = options_as_decoderbufs(plugin);
	ListCell *cell;

	set_defaults(options, as_decoderbufs);
	foreach (cell, given)
		set_given(options, (DefElem *) lfirst(cell), already, as_decoderbufs);
	set_format_defaults(options, already);
	agree_on_protocol(options);
	check_together(options);
}

bool
options_nth(const PenstockOptions *options, int n, const char **name, const char **value)
{
	if (n >= lengthof(option_table))
		return false;
	*name = option_table[n].name;
	*value = options->text[n];
	return true;
}
