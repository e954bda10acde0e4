/* pause.c -- penstock pause, resume and status: ask a running penstock.
 * Both verbs wait until what was asked for has come about, and say how each destination is. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/client.h"

#define LOOK_MS      50
#define WAIT_DEFAULT 30

static const char *const used_settings[] = {"state-dir", "slot", NULL};

/* One of the three. */
typedef struct command
{
	const char *name;
	const char *help;
	bool takes_name; /* pause and resume */
	const char *one; /* where to post, after the destination's name */
	const char *all;
} command;

static const command verbs[] = {
	{"pause",
	 "penstock pause lets a destination of a running penstock, or all of them, finish its\n"
	 "transaction and be closed. The slot keeps what it misses until it is resumed, or the\n"
	 "penstock is started anew.\n\n"
	 "Usage: penstock pause [NAME] [OPTION]...\n",
	 true, "/pause", "/v1/pause"},
	{"resume",
	 "penstock resume lets a destination go on, or all of them, after a pause or after it has\n"
	 "stopped because of an error; what it rejected is tried afresh.\n\n"
	 "Usage: penstock resume [NAME] [OPTION]...\n",
	 true, "/resume", "/v1/resume"},
	{"status",
	 "penstock status tells how a running penstock is.\n\n"
	 "Usage: penstock status [OPTION]...\n",
	 false, NULL, NULL},
};

typedef struct arguments
{
	pen_settings settings;
	const command *verb;
	const char *name;
	int wait_s;
	bool json;
} arguments;

static void
print_help(const void *context)
{
	const command *verb = ((const arguments *) context)->verb;

	puts(verb->help);
	pen_cli_setting_help(used_settings);
	if (verb->takes_name)
		puts("  --wait=SECONDS                  for it to come about; 0: do not wait (30)");
	else
		puts("  --json                          all there is to know");
	puts("  --help                          this text\n\n"
		 "Exit codes: 0 done, 1 it did not come about in time or failed, 2 usage, or there is no\n"
		 "such destination, 3 no penstock answered.");
}

/* ---- what is printed ---- */

static const char *
state_of(const json_t *destination)
{
	return json_is_true(json_object_get(destination, "pausing"))
			   ? "pausing"
			   : pen_client_text(destination, "state");
}

/* The last error concerns who still suffers from it. */
static void
print_destination(const json_t *destination)
{
	const char *state = state_of(destination);
	bool suffers = strcmp(state, "down") == 0 || strcmp(state, "stopped") == 0;
	const char *error = pen_client_text(destination, "last_error");

	printf("%-20s %-10s at %s", pen_client_text(destination, "name"), state,
		   pen_client_text(destination, "applied_lsn"));
	if (suffers && error[0] != '\0')
		printf(": %s", error);
	putchar('\n');
}

static void
print_status(const json_t *status)
{
	const json_t *source = json_object_get(status, "source");
	const json_t *retained = json_object_get(source, "retained_bytes");
	const json_t *element;
	size_t i;

	puts(json_is_true(json_object_get(status, "ready")) ? "ready" : "not ready");
	json_array_foreach(json_object_get(status, "reasons"), i, element)
		printf("  %s\n", json_string_value(element));
	printf("slot %s: received up to %s, confirmed up to %s", pen_client_text(source, "slot"),
		   pen_client_text(source, "received_lsn"), pen_client_text(source, "confirmed_lsn"));
	if (retained != NULL)
		printf(", holds back %" JSON_INTEGER_FORMAT " bytes of WAL", json_integer_value(retained));
	putchar('\n');
	json_array_foreach(json_object_get(status, "destinations"), i, element)
		print_destination(element);
}

static int
show_status(const void *context, pen_client *client, pen_error *error)
{
	const arguments *a = context;

	return pen_client_show(client, "/v1/status", a->json, print_status, error);
}

/* ---- pausing and resuming ---- */

/* Has what was asked for come about, or never will? A resumed one may stop again. */
static bool
is_settled(const arguments *a, const json_t *destination)
{
	const char *state = pen_client_text(destination, "state");

	if (strcmp(a->verb->name, "pause") == 0)
		return strcmp(state, "paused") == 0 || strcmp(state, "stopped") == 0;
	return strcmp(state, "streaming") == 0 || strcmp(state, "stopped") == 0;
}

static bool
is_success(const arguments *a, const json_t *destination)
{
	return is_settled(a, destination) &&
		   (strcmp(a->verb->name, "pause") == 0 ||
			strcmp(pen_client_text(destination, "state"), "stopped") != 0);
}

/* One answer's destinations: print those that matter and count those that are not there yet. */
static size_t
look(const arguments *a, const json_t *answer, bool print, bool *success)
{
	const json_t *destination;
	size_t unsettled = 0;
	size_t i;

	*success = true;
	json_array_foreach(json_object_get(answer, "destinations"), i, destination)
	{
		if (a->name != NULL && strcmp(a->name, pen_client_text(destination, "name")) != 0)
			continue;
		unsettled += !is_settled(a, destination);
		*success = *success && is_success(a, destination);
		if (print)
			print_destination(destination);
	}
	return unsettled;
}

static int
change(const void *context, pen_client *client, pen_error *error)
{
	const arguments *a = context;
	int64_t deadline = pen_clock_ms() + a->wait_s * INT64_C(1000);
	json_t *answer = a->name != NULL ? pen_client_post(client, "/v1/destinations/", a->name,
													   a->verb->one, NULL, error)
									 : pen_client_post(client, a->verb->all, NULL, "", NULL, error);
	bool success;

	while (answer != NULL && look(a, answer, false, &success) > 0 && pen_clock_ms() < deadline)
	{
		json_decref(answer);
		(void) poll(NULL, 0, LOOK_MS);
		answer = pen_client_get(client, "/v1/status", error);
	}
	if (answer == NULL)
		return pen_client_exit_code(error);
	(void) look(a, answer, true, &success);
	json_decref(answer);
	return success || a->wait_s == 0 ? 0 : 1;
}

/* ---- the command line ---- */

static int
take_option(const pen_cli_syntax *syntax, void *context, int option, const char *value)
{
	arguments *a = context;

	if (option == 'w')
		return pen_cli_take_wait(syntax, value, &a->wait_s);
	a->json = true;
	return 0;
}

/* 0: go on; else the exit code plus one. */
static int
parse_options(arguments *a, int argc, char **argv)
{
	static const struct option wait_option[] = {{"wait", required_argument, NULL, 'w'}, {0}};
	static const struct option json_option[] = {{"json", no_argument, NULL, 'j'}, {0}};
	const pen_cli_syntax syntax = {.command = a->verb->name,
								   .settings = used_settings,
								   .own = a->verb->takes_name ? wait_option : json_option,
								   .letters = "h",
								   .help = print_help,
								   .take = take_option};
	int code = pen_cli_options(&syntax, &a->settings, a, argc, argv);

	if (code != 0)
		return code;
	if (argc - optind > (a->verb->takes_name ? 1 : 0))
		return pen_cli_complain(&syntax, a->verb->takes_name
											 ? "one destination, or none for all of them"
											 : "it takes no argument");
	a->name = argv[optind];
	return a->name != NULL && a->name[0] == '\0'
			   ? pen_cli_complain(&syntax, "a destination has a name")
			   : 0;
}

static int
run(const command *verb, int argc, char **argv)
{
	arguments a = {.verb = verb, .wait_s = WAIT_DEFAULT};
	pen_error error;
	int code;

	if (pen_settings_init(&a.settings, &error) < 0)
		return 1;
	code = parse_options(&a, argc, argv) - 1;
	if (code == -1)
		code = pen_client_run(verb->name, &a.settings, verb->takes_name ? change : show_status, &a);
	pen_settings_reset(&a.settings);
	return code;
}

int
pen_cli_pause(int argc, char **argv)
{
	return run(&verbs[0], argc, argv);
}

int
pen_cli_resume(int argc, char **argv)
{
	return run(&verbs[1], argc, argv);
}

int
pen_cli_status(int argc, char **argv)
{
	return run(&verbs[2], argc, argv);
}
