/* cli.h -- the commands: one file each, called by main.c with argv[0] being the command's name.
 * They return the exit code (DESIGN.md): 0 done, 1 failed, 2 usage, 3 could not look, 4 refused. */
#ifndef PEN_CLI_H
#define PEN_CLI_H

extern int pen_cli_decode(int argc, char **argv);

#endif
