/* listen.h -- the listening socket. */
#ifndef PEN_LISTEN_H
#define PEN_LISTEN_H

#include "base/error.h"

/* A socket that listens at name in the open directory, mode 0600 from its first moment on; path is
 * for errors. -1 and error: E_REFUSED when somebody listens there already. */
extern int pen_listen(int directory, const char *name, const char *path, pen_error *error);

#endif
