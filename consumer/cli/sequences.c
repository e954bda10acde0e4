/* sequences.c -- penstock sequences: before a destination takes over from the source. */
#include <stdio.h>

#include "cli/cli.h"
#include "follower.h"
#include "receiver.h"

static const char *const used_settings[] = {"source", "to", "tables", "connect-timeout", NULL};

static void
print_help(const void *context)
{
	(void) context;
	puts(
		"penstock sequences sets the sequences at databases to what they are at the source: those\n"
		"that wanted tables own or use. Run it when writers are about to change over.\n\n"
		"Usage: penstock sequences --source=CONNINFO --to=[NAME=]URI... [--tables=PATTERN,…]\n");
	pen_cli_setting_help(used_settings);
	puts("  --help                          this text");
}

/* 0: go on; else the exit code plus one. */
static int
parse_options(penstock *p, int argc, char **argv)
{
	static const pen_cli_syntax syntax = {
		.command = "sequences",
		.usage = "Usage: penstock sequences --source=CONNINFO --to=[NAME=]URI...\n",
		.settings = used_settings,
		.letters = "h",
		.help = print_help};
	int code = pen_cli_options(&syntax, &p->settings, NULL, argc, argv);

	return code == 0 && optind != argc ? pen_cli_make_no_sense(&syntax) : code;
}

static penstock_status
set_sequences(penstock *p)
{
	size_t set = 0;
	penstock_status status;

	if (pen_settings_check(&p->settings, false, &p->error) < 0 || pen_receiver_create_parts(p) < 0)
		return p->error.status;
	status = pen_receiver_set_sequences(p, &set);
	if (status >= 0)
		printf("%zu sequences set\n", set);
	return status;
}

int
pen_cli_sequences(int argc, char **argv)
{
	penstock_log_level level = PENSTOCK_LOG_WARNING;
	penstock *p = penstock_new();
	penstock_status status;
	int code;

	if (p == NULL)
	{
		fputs("penstock sequences: out of memory\n", stderr);
		return 1;
	}
	code = parse_options(p, argc, argv);
	if (code == 0)
	{
		penstock_on_log(p, pen_cli_log, &level);
		status = set_sequences(p);
		if (status < 0)
			fprintf(stderr, "penstock sequences: %s\n", penstock_error(p));
		code = pen_cli_exit_code(status) + 1;
	}
	penstock_free(p);
	return code - 1;
}
