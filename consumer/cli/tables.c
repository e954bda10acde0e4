/* tables.c -- penstock tables list, add, resync and remove: what a running penstock does with each
 * table, and telling it to do otherwise. Who asks for a copy may stop watching: it goes on. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/client.h"

#define LOOK_MS 200

static const char *const used_settings[] = {"state-dir", "slot", NULL};

typedef struct arguments
{
	pen_settings settings;
	const char *action; /* list, add, resync, remove */
	char **tables;
	int table_count;
	const char *destination; /* NULL: all */
	int wait_s;              /* -1: as long as it takes */
	bool json;
} arguments;

static void
print_help(const void *context)
{
	(void) context;
	puts("penstock tables tells about the tables of a running penstock, and changes them while it\n"
		 "runs: one is copied, or copied again, and no other waits; or followed no more.\n\n"
		 "Usage: penstock tables list [OPTION]...\n"
		 "       penstock tables add TABLE... [--to=NAME] [OPTION]...\n"
		 "       penstock tables remove TABLE... [--to=NAME] [OPTION]...\n"
		 "       penstock tables resync TABLE... [--to=NAME] [OPTION]...\n");
	pen_cli_setting_help(used_settings);
	puts("  --to=NAME                       at this destination only\n"
		 "  --wait=SECONDS                  for it to come about; 0: do not wait (as long as it "
		 "takes)\n"
		 "  --json                          list as JSON\n"
		 "  --help                          this text\n\n"
		 "A table is listed from its first change on. Exit codes: 0 done, 1 failed or not done in\n"
		 "time, 2 usage, or there is no such table or destination, 3 no penstock answered.");
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
	{
		printf("%-32s %-16s %-10s %12" JSON_INTEGER_FORMAT " %12" JSON_INTEGER_FORMAT
			   " %12" JSON_INTEGER_FORMAT "  %s\n",
			   pen_client_text(table, "table"), pen_client_text(table, "destination"),
			   pen_client_text(table, "state"), count_of(table, "inserts"),
			   count_of(table, "updates"), count_of(table, "deletes"),
			   pen_client_text(table, "lsn"));
	}
}

/* ---- listing ---- */

static int
list_tables(const void *context, pen_client *client, pen_error *error)
{
	const arguments *a = context;

	return pen_client_show(client, "/v1/tables", a->json, print_tables, error);
}

/* ---- changing ---- */

static json_t *
change_body(const arguments *a)
{
	json_t *body = json_object();
	json_t *tables = json_array();

	for (int i = 0; i < a->table_count; i++)
		json_array_append_new(tables, json_string(a->tables[i]));
	json_object_set_new(body, "action", json_string(a->action));
	json_object_set_new(body, "tables", tables);
	if (a->destination != NULL)
		json_object_set_new(body, "destination", json_string(a->destination));
	return body;
}

/* Is this the name that is listed, with \ as in patterns? Without a schema it is one of public. */
static bool
is_name(const char *asked, const char *name)
{
	bool has_schema = false;
	const char *c;

	for (c = asked; *c != '\0' && !has_schema; c++)
	{
		has_schema = *c == '.';
		c += *c == '\\' && c[1] != '\0';
	}
	if (!has_schema && strncmp(name, "public.", 7) != 0)
		return false;
	for (name += has_schema ? 0 : 7; *asked != '\0'; asked++, name++)
	{
		asked += *asked == '\\' && asked[1] != '\0';
		if (*asked != *name)
			return false;
	}
	return *name == '\0';
}

/* Is it one of those that were asked for? */
static bool
is_asked_for(const arguments *a, const json_t *table)
{
	const char *name = pen_client_text(table, "table");

	if (a->destination != NULL &&
		strcmp(a->destination, pen_client_text(table, "destination")) != 0)
		return false;
	for (int i = 0; i < a->table_count; i++)
	{
		if (is_name(a->tables[i], name))
			return true;
	}
	return false;
}

typedef struct tally
{
	size_t going_on;
	size_t failed;
	json_int_t rows;
	json_int_t rows_expected;
	json_int_t bytes;
} tally;

/* How those that were asked for are: what goes on has rows,
 * as a table that only streams has not. */
static tally
count_tables(const arguments *a, const json_t *answer, bool print)
{
	const json_t *table;
	tally found = {0};
	size_t i;

	json_array_foreach(json_object_get(answer, "tables"), i, table)
	{
		const char *state = pen_client_text(table, "state");

		if (!is_asked_for(a, table) || json_object_get(table, "rows") == NULL)
			continue;
		found.failed += strcmp(state, "failed") == 0;
		found.going_on += strcmp(state, "failed") != 0 && strcmp(state, "ready") != 0 &&
						  strcmp(state, "removed") != 0;
		found.rows += count_of(table, "rows");
		found.rows_expected += count_of(table, "rows_expected");
		found.bytes += count_of(table, "bytes");
		if (print)
			printf("%-32s %-16s %-12s %12" JSON_INTEGER_FORMAT " rows%s%s\n",
				   pen_client_text(table, "table"), pen_client_text(table, "destination"), state,
				   count_of(table, "rows"), pen_client_text(table, "error")[0] != '\0' ? ": " : "",
				   pen_client_text(table, "error"));
	}
	return found;
}

static void
show_progress(const tally *now, int64_t began_ms)
{
	double seconds = (double) (pen_clock_ms() - began_ms) / 1000;

	fprintf(stderr, "\r\033[K%zu going on, %" JSON_INTEGER_FORMAT " rows", now->going_on,
			now->rows);
	if (now->rows_expected > 0)
		fprintf(stderr, " of about %" JSON_INTEGER_FORMAT, now->rows_expected);
	fprintf(stderr, ", %" JSON_INTEGER_FORMAT " MB in %.0f s", now->bytes / (1024 * 1024), seconds);
	fflush(stderr);
}

static int
change_tables(const void *context, pen_client *client, pen_error *error)
{
	const arguments *a = context;
	int64_t began_ms = pen_clock_ms();
	bool live = isatty(STDERR_FILENO);
	json_t *body = change_body(a);
	json_t *answer = pen_client_post(client, "/v1/tables", NULL, "", body, error);
	tally now = {0};

	json_decref(body);
	while (answer != NULL && (now = count_tables(a, answer, false)).going_on > 0 &&
		   (a->wait_s < 0 || pen_clock_ms() - began_ms < a->wait_s * INT64_C(1000)))
	{
		if (live)
			show_progress(&now, began_ms);
		json_decref(answer);
		(void) poll(NULL, 0, LOOK_MS);
		answer = pen_client_get(client, "/v1/tables", error);
	}
	if (live)
		fputs("\r\033[K", stderr);
	if (answer == NULL)
		return pen_client_exit_code(error);
	(void) count_tables(a, answer, true);
	json_decref(answer);
	return now.failed > 0 || (now.going_on > 0 && a->wait_s != 0) ? 1 : 0;
}

/* ---- the command line ---- */

static int
take_option(const pen_cli_syntax *syntax, void *context, int option, const char *value)
{
	arguments *a = context;

	if (option == 'w')
		return pen_cli_take_wait(syntax, value, &a->wait_s);
	if (option == 't')
		a->destination = value;
	else
		a->json = true;
	return 0;
}

static const struct option own_options[] = {{"to", required_argument, NULL, 't'},
											{"wait", required_argument, NULL, 'w'},
											{"json", no_argument, NULL, 'j'},
											{0}};

static const pen_cli_syntax syntax = {.command = "tables",
									  .settings = used_settings,
									  .own = own_options,
									  .letters = "h",
									  .help = print_help,
									  .take = take_option};

static int
parse_arguments(arguments *a, int argc, char **argv)
{
	static const char *const actions[] = {"list", "add", "resync", "remove"};

	for (size_t i = 0; optind < argc && i < 4; i++)
	{
		if (strcmp(argv[optind], actions[i]) == 0)
			a->action = actions[i];
	}
	if (a->action == NULL)
		return pen_cli_complain(&syntax, "say list, add, resync or remove");
	a->tables = argv + optind + 1;
	a->table_count = argc - optind - 1;
	if ((a->action == actions[0]) != (a->table_count == 0))
		return pen_cli_complain(&syntax,
								a->table_count == 0 ? "which tables?" : "list takes no tables");
	return 0;
}

int
pen_cli_tables(int argc, char **argv)
{
	arguments a = {.wait_s = -1};
	pen_error error;
	int code;

	if (pen_settings_init(&a.settings, &error) < 0)
		return 1;
	code = pen_cli_options(&syntax, &a.settings, &a, argc, argv);
	if (code == 0)
		code = parse_arguments(&a, argc, argv);
	code--;
	if (code == -1)
		code = pen_client_run("tables", &a.settings,
							  a.table_count == 0 ? list_tables : change_tables, &a);
	pen_settings_reset(&a.settings);
	return code;
}
