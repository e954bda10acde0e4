/* cli.h -- the commands: one file each, called by main.c with argv[0] being the command's name.
 * They return the exit code: 0 done, 1 failed, 2 usage, 3 could not look, 4 refused. */
#ifndef PEN_CLI_H
#define PEN_CLI_H

#include <getopt.h>

#include "config/settings.h"
#include "penstock/penstock.h"

extern int pen_cli_run(int argc, char **argv);
extern int pen_cli_sequences(int argc, char **argv);
extern int pen_cli_slot(int argc, char **argv);
extern int pen_cli_decode(int argc, char **argv);
extern int pen_cli_gen_struct(int argc, char **argv);
extern int pen_cli_pause(int argc, char **argv);
extern int pen_cli_resume(int argc, char **argv);
extern int pen_cli_status(int argc, char **argv);
extern int pen_cli_tables(int argc, char **argv);

/* ---- common.c: what the commands share ---- */

/* The exit code of a failure, or 0. */
extern int pen_cli_exit_code(penstock_status status);

/* A log sink that prints to stderr; context points to the lowest penstock_log_level to print. */
extern void pen_cli_log(penstock_log_level level, const char *component, const char *text,
						void *context);

/* The val of a setting's option is this plus its index in pen_setting_table. */
#define PEN_CLI_SETTING 1000
/* How many options a command may have beside the settings. */
#define PEN_CLI_OWN_MAX 8

/* What a command line may say. */
typedef struct pen_cli_syntax
{
	const char *command;               /* "slot" */
	const char *usage;                 /* lines for one that makes no sense; NULL: none */
	const char *const *settings;       /* which of pen_setting_table, NULL-terminated; NULL: all */
	const struct option *own;          /* options beside them, terminated; NULL: none */
	const char *letters;               /* options of one letter, as getopt has them, with h */
	void (*help)(const void *context); /* prints what --help is answered with */
	/* An option by its val; may be NULL where there is none. Returns as pen_cli_options does. */
	int (*take)(const struct pen_cli_syntax *syntax, void *context, int option, const char *value);
} pen_cli_syntax;

/*
 * Take the options of a command line: settings go to settings, or where that is NULL to take, as
 * all others do but --help. Returns 0 to go on, with optind at the first argument; else the exit
 * code plus one, and what is wrong was said.
 */
extern int pen_cli_options(const pen_cli_syntax *syntax, pen_settings *settings, void *context,
						   int argc, char **argv);

/* Say what is wrong with the command line, or without a word that it makes no sense. Both return
 * what pen_cli_options returns then. */
extern int pen_cli_complain(const pen_cli_syntax *syntax, const char *what);
extern int pen_cli_make_no_sense(const pen_cli_syntax *syntax);

/* The value of --wait=SECONDS. Returns as pen_cli_options does. */
extern int pen_cli_take_wait(const pen_cli_syntax *syntax, const char *value, int *seconds);

/* A line of --help for each setting of names (NULL-terminated), or for all where that is NULL. */
extern void pen_cli_setting_help(const char *const *names);

#endif
