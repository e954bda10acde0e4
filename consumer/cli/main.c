/* main.c -- the penstock program: find the command and call it. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const struct
{
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", pen_cli_run, "follow a database and apply its changes"},
	{"status", pen_cli_status, "tell how a running penstock is"},
	{"pause", pen_cli_pause, "let destinations of a running penstock pause"},
	{"resume", pen_cli_resume, "let paused or stopped destinations go on"},
	{"tables", pen_cli_tables, "tell about the tables of a running penstock"},
	{"sequences", pen_cli_sequences, "set sequences at destinations as they are at the source"},
	{"slot", pen_cli_slot, "create, drop or list replication slots"},
	{"decode", pen_cli_decode, "print a captured stream as JSON lines"},
	{"gen-struct", pen_cli_gen_struct, "print a C struct and binding for a table"},

};

static int
help(FILE *out)
{
	fputs("penstock carries the changes of a PostgreSQL database to memory tables, other databases "
		  "and programs.\n\nUsage: penstock COMMAND [OPTION]...\n\n",
		  out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].help);
	fputs("\n\"penstock COMMAND --help\" tells more; \"penstock --version\" the version.\n", out);
	return out == stdout ? 0 : 2;
}

int
main(int argc, char **argv)
{
	if (argc < 2)
		return help(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
		strcmp(argv[1], "help") == 0)
		return help(stdout);
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
	{
		printf("penstock %s\n", penstock_version());
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		char name[32];

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		snprintf(name, sizeof(name), "penstock %s", commands[i].name);
		argv[1] = name; /* what getopt begins its complaints with */
		return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "penstock: there is no command \"%s\"\n", argv[1]);
	return help(stderr);
}
