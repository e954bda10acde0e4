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

/* The settings as getopt_long's options, terminated; val is PEN_CLI_SETTING plus the index in
 * pen_setting_table. At most most entries; only those named in names (NULL-terminated), or all. */
#define PEN_CLI_SETTING 1000
extern int pen_cli_setting_options(struct option *options, int most, const char *const *names);

/* A line of --help for each of them. */
extern void pen_cli_setting_help(const char *const *names);

#endif
