/* options.c -- the one table of options.
 * Every option is a line of it; nothing else in the plugin knows an option by its name. */
#include "options.h"

#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

#include "wire.h"

typedef struct OptionInfo
{
	const char *name;
	size_t offset; /* of an int in PenstockOptions */
	int default_value;
	int min;
	int max;
} OptionInfo;

#define AT(member) offsetof(PenstockOptions, member)

static const OptionInfo option_table[] = {
	{"protocol_min", AT(protocol_min), PEN_PROTOCOL_VERSION_MIN, 1, 1000000},
	{"protocol_max", AT(protocol_max), PEN_PROTOCOL_VERSION_MAX, 1, 1000000},
	{"batch_bytes", AT(batch_bytes), 65536, 0, 16 * 1024 * 1024},
};

static int *
value_of(const PenstockOptions *options, const OptionInfo *info)
{
	return (int *) ((char *) options + info->offset);
}

static char *
allowed_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(option_table); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", option_table[i].name);
	return names.data;
}

static const OptionInfo *
find_option(const char *name)
{
	for (int i = 0; i < lengthof(option_table); i++)
	{
		if (strcmp(option_table[i].name, name) == 0)
			return &option_table[i];
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("unrecognized option \"%.100s\" of output plugin penstock", name),
					errhint("Allowed are: %s.", allowed_names())));
}

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
set_option(PenstockOptions *options, const DefElem *given, bool *already)
{
	const OptionInfo *info = find_option(given->defname);
	const char *text = given->arg != NULL ? strVal(given->arg) : "";
	int value;

	if (already[info - option_table])
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("option \"%s\" of output plugin penstock is given twice", info->name)));
	already[info - option_table] = true;
	if (!parse_number(text, &value) || value < info->min || value > info->max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value \"%.100s\" for option \"%s\" of output plugin penstock",
						text, info->name),
				 errhint("Allowed is a number from %d to %d.", info->min, info->max)));
	*value_of(options, info) = value;
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

void
options_parse(PenstockOptions *options, List *given)
{
	bool already[lengthof(option_table)] = {false};
	ListCell *cell;

	for (int i = 0; i < lengthof(option_table); i++)
		*value_of(options, &option_table[i]) = option_table[i].default_value;
	foreach (cell, given)
		set_option(options, (DefElem *) lfirst(cell), already);
	agree_on_protocol(options);
}

bool
options_nth(const PenstockOptions *options, int n, const char **name, char **value)
{
	if (n >= lengthof(option_table))
		return false;
	*name = option_table[n].name;
	*value = psprintf("%d", *value_of(options, &option_table[n]));
	return true;
}
