/* client.h -- ask a running penstock, over the socket in its state directory. */
#ifndef PEN_CLIENT_H
#define PEN_CLIENT_H

#include <jansson.h>

#include "base/error.h"
#include "config/settings.h"

typedef struct pen_client pen_client;

/* The base of all state: directory, or where it is NULL the first of $STATE_DIRECTORY; NULL where
 * neither is set. For free(). */
extern char *pen_client_state_dir(const char *directory);

/*
 * Find the socket of the penstock that reads slot, or where slot is NULL of the only one that runs
 * with this state directory (see pen_client_state_dir). Does not connect to stay. NULL and error:
 * PENSTOCK_NOT_FOUND when none runs there, E_CONFIG when it is not clear which is meant.
 */
extern pen_client *pen_client_open(const char *directory, const char *slot, pen_error *error);
extern void pen_client_close(pen_client *client);

/*
 * One request; the answer's JSON, for json_decref. The path to post to is before, name (which may
 * be NULL) escaped, and after; body may be NULL. NULL and error: PENSTOCK_NOT_FOUND when nobody
 * answered, else what was answered: E_CONFIG for a request that is at fault, E_RETRY for one that
 * failed.
 */
extern json_t *pen_client_get(pen_client *client, const char *path, pen_error *error);
extern json_t *pen_client_post(pen_client *client, const char *before, const char *name,
							   const char *after, json_t *body, pen_error *error);

/* The exit code of such a failure: 3 could not look, 2 usage, 1 failed. */
extern int pen_client_exit_code(const pen_error *error);

/* The text of a member, or "". */
extern const char *pen_client_text(const json_t *object, const char *key);

/* Get path and print what is answered: as JSON, or by print. Returns the exit code. */
extern int pen_client_show(pen_client *client, const char *path, bool as_json,
						   void (*print)(const json_t *json), pen_error *error);

/* What a command asks of the penstock that settings name: by ask, which returns the exit code. What
 * went wrong is printed. */
extern int pen_client_run(const char *command, const pen_settings *settings,
						  int (*ask)(const void *context, pen_client *client, pen_error *error),
						  const void *context);

#endif
