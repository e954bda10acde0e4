/* tables.c -- penstock tables list: what a running penstock does with each table. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"

static const char *const used_settings[] = {"state-dir", "slot", NULL};

static void
print_help(void)
{
	puts("penstock tables tells about the tables of a running penstock.\n\n"
		 "Usage: penstock tables list [OPTION]...\n");
	pen_cli_setting_help(used_settings);
	puts("  --json                          as JSON\n"
		 "  --help                          this text\n\n"
		 "A table is listed from its first change on. Exit codes: 0 done, 2 usage, 3 no penstock\n"
		 "answered.");
}

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static json_int_t
count_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void
print_tables(const json_t *answer)
{
	const json_t *table;
	size_t i;

	printf("%-32s %-16s %-10s %12s %12s %12s  %s\n", "TABLE", "DESTINATION", "STATE", "INSERTS",
		   "UPDATES", "DELETES", "LSN");
	json_array_foreach(json_object_get(answer, "tables"), i, table)
		printf("%-32s %-16s %-10s %12" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
			   " %12" JSON_INTEGER_FORMAT "  %s\n",
			   text_of(table, "table"), text_of(table, "destination"), text_of(table, "state"),
			   count_of(table, "inserts"), count_of(table, "updates"), count_of(table, "deletes"),
			   text_of(table, "lsn"));
}

static int
list_tables(const pen_settings *settings, bool as_json, pen_error *error)
{
	pen_client *client = pen_client_open(settings->state_dir, settings->slot, error);
	json_t *answer = client != NULL ? pen_client_get(client, "/v1/tables", error) : NULL;

	pen_client_close(client);
	if (answer == NULL)
		return pen_client_exit_code(error);
	if (as_json)
	{
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	else
		print_tables(answer);
	json_decref(answer);
	return 0;
}

/* 0: go on; else the exit code plus one. */
static int
parse_options(pen_settings *settings, int argc, char **argv, bool *as_json)
{
	struct option options[8];
	int count = pen_cli_setting_options(options, 6, used_settings);
	pen_error error;
	int c;

	options[count++] = (struct option){"json", no_argument, NULL, 'j'};
	options[count++] = (struct option){"help", no_argument, NULL, 'h'};
	options[count] = (struct option){0};
	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1)
	{
		if (c == 'h')
		{
			print_help();
			return 1;
		}
		if (c == 'j')
			*as_json = true;
		else if (c < PEN_CLI_SETTING)
			break;
		else if (pen_settings_set(settings, pen_setting_table[c - PEN_CLI_SETTING].name, optarg,
								  PEN_FROM_CALLER, &error) < 0)
		{
			fprintf(stderr, "penstock tables: %s\n", error.text);
			return 3;
		}
	}
	if (c == -1 && optind == argc - 1 && strcmp(argv[optind], "list") == 0)
		return 0;
	fputs("Usage: penstock tables list [--state-dir=DIR] [--slot=NAME]\n"
		  "Try \"penstock tables --help\".\n",
		  stderr);
	return 3;
}

int
pen_cli_tables(int argc, char **argv)
{
	pen_settings settings;
	pen_error error;
	bool as_json = false;
	int code;

	pen_error_clear(&error);
	if (pen_settings_init(&settings, &error) < 0)
		return 1;
	code = parse_options(&settings, argc, argv, &as_json) - 1;
	if (code == -1)
	{
		code = list_tables(&settings, as_json, &error);
		if (error.status != PENSTOCK_OK)
			fprintf(stderr, "penstock tables: %s\n", error.text);
	}
	pen_settings_reset(&settings);
	return code;
}
