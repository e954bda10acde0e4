/* expand.h -- ${VAR} in values. */
#ifndef PEN_EXPAND_H
#define PEN_EXPAND_H

#include "base/error.h"

/*
 * value with ${VAR} replaced by the environment's VAR and $${ by ${, for free(). *expanded: some
 * were. NULL and error: E_CONFIG when VAR is not set, or what stands there is malformed. Not
 * safe beside a thread that changes the environment.
 */
extern char *pen_expand(const char *value, bool *expanded, pen_error *error);

/* Does a connection string hold a password, as text that is in the value itself? */
extern bool pen_expand_has_password(const char *value);

#endif
