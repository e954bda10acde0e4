/* run.c -- penstock run: follow a database until told to stop.
 * Signal handlers only set flags; the loop reads them between steps. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/control.h"
#include "cli/copybar.h"
#include "cli/report.h"
#include "config/file.h"
#include "destination/memory/memory.h"
#include "follower.h"
#include "receiver.h"
#include "serve/server.h"

#define STEP_MS     250
#define LIVE_MS     250
#define INTERRUPTED 130

static penstock *running;
static volatile sig_atomic_t stops;
static volatile sig_atomic_t status_wanted;

/* The first stops at a transaction boundary, the second at once: nothing is confirmed that is not
 * durable, so there is nothing to clean up. */
static void
on_stop(int signal_number)
{
	(void) signal_number;
	if (stops++ > 0)
		_exit(INTERRUPTED);
	if (running != NULL)
		penstock_stop(running);
}

static void
on_status(int signal_number)
{
	int saved_errno = errno;

	(void) signal_number;
	status_wanted = 1;
	if (running != NULL)
		pen_receiver_wake(running);
	errno = saved_errno;
}

static void
handle_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_stop;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	action.sa_flags = SA_RESTART;
	action.sa_handler = on_status;
	sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static void
print_help(const void *context)
{
	(void) context;
	puts(
		"penstock run follows a PostgreSQL database and applies every committed transaction, once, "
		"in commit order.\n\n"
		"Usage: penstock run --source=CONNINFO [--slot=NAME] [--to=[NAME=]URI]... [OPTION]...\n");
	pen_cli_setting_help(NULL);
	puts("  -c FILE                         the same as --config=FILE\n"
		 "  --quiet                         only warnings and errors, no summary\n"
		 "  --verbose                       also how changes are applied\n"
		 "  --help                          this text\n\n"
		 "Without --to, tables are kept in memory. SIGINT and SIGTERM stop at a transaction\n"
		 "boundary, a second one at once; SIGUSR1 prints a line of status to standard error.\n"
		 "Exit codes: 0 done, 1 failed and another try may help, 2 usage or configuration,\n"
		 "4 refused: a person is needed.");
}

static void
print_problem(void *context, penstock_log_level level, const char *text)
{
	(void) context;
	fprintf(stderr, "penstock run: %s%s\n", level == PENSTOCK_LOG_WARNING ? "warning: " : "", text);
}

/* An option of the table, as given. */
typedef struct given
{
	const pen_setting *setting;
	const char *value;
} given;

typedef struct command_line
{
	given *options; /* has room for as many as there are arguments */
	int count;
	penstock_log_level *level;
} command_line;

/* Files first: what else is given counts more. 0, or the exit code plus one. */
static int
take_options(penstock *p, const given *options, int count)
{
	int failed = 0;

	for (int i = 0; i < count; i++)
	{
		if (options[i].setting->type == PEN_SETTING_FILE &&
			pen_file_load(&p->settings, options[i].value, print_problem, NULL, &p->error) < 0)
			failed = 3;
	}
	for (int i = 0; i < count; i++)
	{
		if (options[i].setting->type == PEN_SETTING_FILE ||
			penstock_set(p, options[i].setting->name, options[i].value) >= 0)
			continue;
		fprintf(stderr, "penstock run: %s\n", penstock_error(p));
		return 3;
	}
	return failed;
}

static int
take_option(const pen_cli_syntax *syntax, void *context, int option, const char *value)
{
	command_line *line = context;

	(void) syntax;
	if (option == 'q')
		*line->level = PENSTOCK_LOG_WARNING;
	else if (option == 'v')
		*line->level = PENSTOCK_LOG_DEBUG;
	else
		line->options[line->count++] =
			(given){option == 'c' ? pen_setting_find("config")
								  : &pen_setting_table[option - PEN_CLI_SETTING],
					value};
	return 0;
}

/* 0, or the exit code plus one. */
static int
read_options(command_line *line, int argc, char **argv)
{
	static const struct option own[] = {
		{"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'}, {0}};
	static const pen_cli_syntax syntax = {
		.command = "run", .own = own, .letters = "c:qvh", .help = print_help, .take = take_option};
	char text[80];
	int code = pen_cli_options(&syntax, NULL, line, argc, argv);

	if (code != 0 || optind == argc)
		return code;
	snprintf(text, sizeof(text), "unexpected argument \"%.40s\"", argv[optind]);
	return pen_cli_complain(&syntax, text);
}

/* 0: go on; else the exit code plus one. */
static int
parse_options(penstock *p, int argc, char **argv, penstock_log_level *level)
{
	command_line line = {.options = calloc((size_t) argc + 1, sizeof(*line.options)),
						 .level = level};
	int failed;

	if (line.options == NULL)
	{
		fputs("penstock run: out of memory\n", stderr);
		return 2;
	}
	failed = read_options(&line, argc, argv);
	if (failed == 0)
		failed = take_options(p, line.options, line.count);
	free(line.options);
	return failed;
}

/* Before anything is followed; what is there stays until there is something to write. */
static penstock_status
check_dump(penstock *p)
{
	const char *path = p->settings.dump_tables;
	FILE *out = path != NULL ? fopen(path, "a") : NULL;

	if (out != NULL)
		fclose(out);
	else if (path != NULL)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG, "could not create %s: %s", path,
							 strerror(errno));
	return PENSTOCK_OK;
}

static penstock_status
dump_tables(penstock *p, pen_error *error)
{
	const char *path = p->settings.dump_tables;
	FILE *out = fopen(path, "w");
	penstock_status status = PENSTOCK_E_CONFIG;

	if (out == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "could not create %s: %s", path,
							 strerror(errno));
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_destination *destination = pen_worker_destination(p->workers[i]);

		if (destination->kind == &pen_destination_memory)
			status = pen_memory_dump(destination, out, error);
	}
	if (fclose(out) != 0 && status >= 0)
		status =
			pen_error_set(error, PENSTOCK_E_RETRY, "could not write %s: %s", path, strerror(errno));
	return status;
}

static penstock_status
follow(penstock *p, bool live, int64_t started_ms)
{
	penstock_status status = penstock_open(p);
	int64_t shown_ms = 0;

	if (status == PENSTOCK_OK)
		status = check_dump(p);
	while (status >= 0 && status != PENSTOCK_DONE)
	{
		int64_t now;

		status = penstock_step(p, STEP_MS);
		now = pen_clock_ms();
		if (status_wanted)
		{
			status_wanted = 0;
			pen_cli_report_status(p, stderr);
		}
		if (live && now - shown_ms >= LIVE_MS)
		{
			pen_cli_report_live(p, stderr, started_ms);
			shown_ms = now;
		}
	}
	if (live)
		pen_cli_report_live_end(stderr);
	return status;
}

int
pen_cli_run(int argc, char **argv)
{
	penstock_log_level level = PENSTOCK_LOG_INFO;
	penstock *p = penstock_new();
	pen_copybar bar = {.out = stderr, .live = isatty(STDERR_FILENO) != 0};
	int64_t started_ms = pen_clock_ms();
	bool quiet;
	pen_server *server = NULL;
	penstock_status status;
	pen_error error;
	int code;

	if (p == NULL)
	{
		fputs("penstock run: out of memory\n", stderr);
		return 1;
	}
	code = parse_options(p, argc, argv, &level);
	if (code != 0)
	{
		penstock_free(p);
		return code - 1;
	}
	quiet = level == PENSTOCK_LOG_WARNING;
	if (!quiet)
	{
		p->on_copy = pen_copybar_show;
		p->on_copy_context = &bar;
	}
	penstock_on_log(p, pen_cli_log, &level);
	running = p;
	handle_signals();
	status = pen_cli_control_start(p, &server);
	if (status >= 0)
		status = follow(p, !quiet && isatty(STDERR_FILENO), started_ms);
	if (status < 0)
		fprintf(stderr, "penstock run: %s\n", penstock_error(p));
	code = pen_cli_exit_code(status);
	pen_error_clear(&error);
	if (status >= 0 && p->epoch > 0 && p->settings.dump_tables != NULL &&
		dump_tables(p, &error) < 0)
	{
		fprintf(stderr, "penstock run: %s\n", error.text);
		code = pen_cli_exit_code(error.status);
	}
	if (!quiet && p->epoch > 0)
		pen_cli_report_summary(p, stderr, started_ms);
	running = NULL;
	pen_server_stop(server);
	penstock_free(p);
	pen_copybar_reset(&bar);
	return code;
}
