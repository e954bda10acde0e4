/* common.c -- what the commands share: exit codes, messages, options from the one table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define SETTING_OPTIONS_MAX (2 * PEN_SETTINGS_MAX)
#define WAIT_MAX            86400
#define USAGE               3 /* the exit code plus one */

int
pen_cli_exit_code(penstock_status status)
{
	switch (status)
	{
		case PENSTOCK_E_RETRY:
		case PENSTOCK_E_BUG:
			return 1;
		case PENSTOCK_E_CONFIG:
			return 2;
		case PENSTOCK_E_REFUSED:
		case PENSTOCK_E_DATA:
		case PENSTOCK_E_WAITING:
			return 4;
		default:
			return 0;
	}
}

void
pen_cli_log(penstock_log_level level, const char *component, const char *text, void *context)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};

	if (level < *(const penstock_log_level *) context)
		return;
	/* Texts about a component mostly begin with it. */
	if (strncmp(text, component, strlen(component)) == 0 ||
		(strncmp(text, "destination ", 12) == 0 &&
		 strncmp(text + 12, component, strlen(component)) == 0))
		fprintf(stderr, "penstock: %s: %s\n", names[level], text);
	else
		fprintf(stderr, "penstock: %s: %s: %s\n", names[level], component, text);
}

static bool
is_named(const char *name, const char *const *names)
{
	if (names == NULL)
		return true;
	for (; *names != NULL; names++)
	{
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

/* Of a time: the name with its unit, as penstock.ini may have it. */
static const char *
name_with_unit(int n)
{
	static char texts[PEN_SETTINGS_MAX][48];

	snprintf(texts[n], sizeof(texts[n]), "%s-ms", pen_setting_table[n].name);
	return texts[n];
}

/* The settings that names has, as getopt_long's options. Returns how many. */
static int
setting_options(struct option *options, const char *const *names)
{
	int count = 0;

	for (int i = 0; pen_setting_table[i].name != NULL && count < SETTING_OPTIONS_MAX - 1; i++)
	{
		const pen_setting *setting = &pen_setting_table[i];

		if (!is_named(setting->name, names))
			continue;
		options[count++] = (struct option){
			.name = setting->name,
			.has_arg = setting->type == PEN_SETTING_FLAG ? optional_argument : required_argument,
			.val = PEN_CLI_SETTING + i,
		};
		if (setting->type == PEN_SETTING_MS)
			options[count++] = (struct option){
				.name = name_with_unit(i),
				.has_arg = required_argument,
				.val = PEN_CLI_SETTING + i,
			};
	}
	return count;
}

int
pen_cli_make_no_sense(const pen_cli_syntax *syntax)
{
	fprintf(stderr, "%sTry \"penstock %s --help\".\n", syntax->usage != NULL ? syntax->usage : "",
			syntax->command);
	return USAGE;
}

int
pen_cli_complain(const pen_cli_syntax *syntax, const char *what)
{
	fprintf(stderr, "penstock %s: %s\n", syntax->command, what);
	return syntax->usage == NULL ? pen_cli_make_no_sense(syntax) : USAGE;
}

int
pen_cli_take_wait(const pen_cli_syntax *syntax, const char *value, int *seconds)
{
	char *end;
	long number = strtol(value, &end, 10);

	if (end == value || *end != '\0' || number < 0 || number > WAIT_MAX)
		return pen_cli_complain(syntax, "--wait takes a number of seconds");
	*seconds = (int) number;
	return 0;
}

static int
take_setting(const pen_cli_syntax *syntax, pen_settings *settings, int option, const char *value)
{
	pen_error error;

	if (pen_settings_set(settings, pen_setting_table[option - PEN_CLI_SETTING].name, value,
						 PEN_FROM_CALLER, &error) < 0)
		return pen_cli_complain(syntax, error.text);
	return 0;
}

int
pen_cli_options(const pen_cli_syntax *syntax, pen_settings *settings, void *context, int argc,
				char **argv)
{
	struct option options[SETTING_OPTIONS_MAX + PEN_CLI_OWN_MAX + 2];
	int count = setting_options(options, syntax->settings);
	int code = 0;
	int c;

	for (int i = 0; syntax->own != NULL && syntax->own[i].name != NULL && i < PEN_CLI_OWN_MAX; i++)
		options[count++] = syntax->own[i];
	options[count++] = (struct option){"help", no_argument, NULL, 'h'};
	options[count] = (struct option){0};
	while (code == 0 && (c = getopt_long(argc, argv, syntax->letters, options, NULL)) != -1)
	{
		const char *value = optarg != NULL ? optarg : "on";

		if (c == 'h')
		{
			syntax->help(context);
			code = 1;
		}
		else if (c == '?')
			code = pen_cli_make_no_sense(syntax);
		else if (c >= PEN_CLI_SETTING && settings != NULL)
			code = take_setting(syntax, settings, c, value);
		else
			code = syntax->take(syntax, context, c, value);
	}
	return code;
}

void
pen_cli_setting_help(const char *const *names)
{
	for (const pen_setting *setting = pen_setting_table; setting->name != NULL; setting++)
	{
		char left[64];

		if (!is_named(setting->name, names))
			continue;
		snprintf(left, sizeof(left), "--%s%s%s", setting->name,
				 setting->argument != NULL ? "=" : "",
				 setting->argument != NULL ? setting->argument : "");
		printf("  %-31s %s", left, setting->help);
		if (setting->default_value != NULL && setting->type != PEN_SETTING_FLAG)
			printf(" (%s)", setting->default_value);
		putchar('\n');
	}
}
