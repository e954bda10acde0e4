/* tool.h -- programs of PostgreSQL's, run without a shell. */
#ifndef PEN_TOOL_H
#define PEN_TOOL_H

#include <stdatomic.h>

#include "base/error.h"

/* A connection string without its passwords, for a command line, and the password apart. For
 * pen_tool_login_reset. */
typedef struct pen_tool_login
{
	char *dbname;
	char *password; /* NULL: none */
} pen_tool_login;

extern penstock_status pen_tool_login_make(pen_tool_login *login, const char *conninfo,
										   pen_error *error);
extern void pen_tool_login_reset(pen_tool_login *login);

/*
 * Run argv (NULL-terminated; argv[0] is looked up in PATH) to its end, with the login's password in
 * its environment where login is not NULL. Its standard output goes to the file output, or nowhere.
 * E_CONFIG: there is no such program. E_RETRY: interrupted. E_DATA: it failed, with the first error
 * that it told; never with what stands in a DETAIL.
 */
extern penstock_status pen_tool_run(const char *const *argv, const pen_tool_login *login,
									const char *output, const atomic_bool *interrupted,
									pen_error *error);

#endif
