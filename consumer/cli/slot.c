/* slot.c -- penstock slot create|drop|list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "source/control.h"
#include "source/stream.h"

static const char *const used_settings[] = {"source", "slot", "connect-timeout", "two-phase", NULL};

static void
print_help(const void *context)
{
	(void) context;
	puts("penstock slot manages the replication slots of a source. A slot keeps WAL until its\n"
		 "consumer has confirmed it: drop what nobody reads.\n\n"
		 "Usage: penstock slot create --source=CONNINFO --slot=NAME [--two-phase]\n"
		 "       penstock slot drop   --source=CONNINFO --slot=NAME\n"
		 "       penstock slot list   --source=CONNINFO\n");
	pen_cli_setting_help(used_settings);
	puts("  --help                          this text");
}

static penstock_status
with_stream(const pen_settings *settings, bool create, pen_error *error)
{
	const pen_stream_slot slot = {.name = settings->slot, .two_phase = settings->two_phase != 0};
	pen_stream *stream;
	uint64_t lsn = 0;
	penstock_status status;

	if (settings->slot == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "which slot? Say --slot=NAME");
	stream = pen_stream_open(settings->source, (int) settings->each.connect_timeout_ms, error);
	if (stream == NULL)
		return error->status;
	status = create ? pen_stream_create_slot(stream, &slot, &lsn, error)
					: pen_stream_drop_slot(stream, settings->slot, error);
	pen_stream_close(stream);
	if (status >= 0 && create)
		printf("slot \"%s\" created; it streams what commits from %X/%X on\n", settings->slot,
			   (unsigned int) (lsn >> 32), (unsigned int) lsn);
	else if (status >= 0)
		printf("slot \"%s\" dropped\n", settings->slot);
	return status;
}

static void
print_slot(const char *const *columns, void *context)
{
	(void) context;
	printf("%-24s %-14s %-16s %-9s %-14s %-10s %s\n", columns[0], columns[1], columns[2],
		   columns[3], columns[4], columns[5], columns[6]);
}

static penstock_status
list_slots(const pen_settings *settings, pen_error *error)
{
	static const char *const head[] = {"SLOT",      "PLUGIN",   "DATABASE", "STATE",
									   "CONFIRMED", "RETAINED", "WAL"};
	pen_control *control =
		pen_control_open(settings->source, (int) settings->each.connect_timeout_ms, 0, error);
	penstock_status status;

	if (control == NULL)
		return error->status;
	print_slot(head, NULL);
	status = pen_control_list_slots(control, print_slot, NULL, error);
	pen_control_close(control);
	return status;
}

static penstock_status
carry_out(const char *verb, const pen_settings *settings, pen_error *error)
{
	if (settings->source == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "which database? Say --source=CONNINFO");
	if (strcmp(verb, "create") == 0 || strcmp(verb, "drop") == 0)
		return with_stream(settings, verb[0] == 'c', error);
	if (strcmp(verb, "list") == 0)
		return list_slots(settings, error);
	return pen_error_set(error, PENSTOCK_E_CONFIG, "\"%.40s\" is not create, drop or list", verb);
}

/* 0: go on; else the exit code plus one. */
static int
parse_options(pen_settings *settings, int argc, char **argv)
{
	static const pen_cli_syntax syntax = {
		.command = "slot",
		.usage = "Usage: penstock slot create|drop|list --source=CONNINFO [--slot=NAME]\n",
		.settings = used_settings,
		.letters = "h",
		.help = print_help};
	int code = pen_cli_options(&syntax, settings, NULL, argc, argv);

	return code == 0 && optind != argc - 1 ? pen_cli_make_no_sense(&syntax) : code;
}

int
pen_cli_slot(int argc, char **argv)
{
	pen_settings settings;
	pen_error error;
	penstock_status status;
	int code;

	pen_error_clear(&error);
	if (pen_settings_init(&settings, &error) < 0)
		return 1;
	code = parse_options(&settings, argc, argv);
	if (code != 0)
	{
		pen_settings_reset(&settings);
		return code - 1;
	}
	status = carry_out(argv[optind], &settings, &error);
	if (status < 0)
		fprintf(stderr, "penstock slot: %s\n", error.text);
	pen_settings_reset(&settings);
	return pen_cli_exit_code(status);
}
