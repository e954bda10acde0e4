/* common.c -- what the commands share: exit codes, messages, options from the one table. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

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

int
pen_cli_setting_options(struct option *options, int most, const char *const *names)
{
	int count = 0;

	for (int i = 0; pen_setting_table[i].name != NULL && count < most - 1; i++)
	{
		const pen_setting *setting = &pen_setting_table[i];

		if (!is_named(setting->name, names))
			continue;
		options[count++] = (struct option){
			.name = setting->name,
			.has_arg = setting->type == PEN_SETTING_FLAG ? optional_argument : required_argument,
			.val = PEN_CLI_SETTING + i,
		};
		if (setting->type == PEN_SETTING_MS && count < most - 1)
			options[count++] = (struct option){
				.name = name_with_unit(i),
				.has_arg = required_argument,
				.val = PEN_CLI_SETTING + i,
			};
	}
	options[count] = (struct option){0};
	return count;
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
