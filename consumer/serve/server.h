/* server.h -- HTTP on a Unix socket in the state directory: how a running penstock is asked and
 * told. Whoever may open the socket, its owner alone, may use all of it. */
#ifndef PEN_SERVER_H
#define PEN_SERVER_H

#include "base/error.h"
#include "commands.h"

#define PEN_SERVER_SOCKET "control.sock"

typedef struct pen_server pen_server;

/*
 * Listen at PEN_SERVER_SOCKET (mode 0600) in directory, which is there, and answer from threads of
 * its own. commands is borrowed until the stop. A socket that nobody listens to any more is
 * replaced. NULL and error: E_REFUSED when somebody does.
 */
extern pen_server *pen_server_start(const char *directory, pen_commands *commands,
									pen_error *error);

/* Closes commands, so that nobody waits in them, ends all connections and removes the socket. */
extern void pen_server_stop(pen_server *server);

#endif
