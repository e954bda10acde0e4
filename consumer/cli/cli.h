/* cli.h -- the commands of the penstock program, one thin file each. */
#ifndef PEN_CLI_H
#define PEN_CLI_H

/* Each takes its own arguments, argv[0] being the command's name, and returns the exit code. */
extern int pen_cli_gen_struct(int argc, char **argv);

#endif
