/* scratch.h -- a place for files that need not outlive us. */
#ifndef PEN_SCRATCH_H
#define PEN_SCRATCH_H

#include "base/error.h"

/*
 * Make an empty directory that only this user may enter (0700), penstock-PID-NAME-XXXXXX in
 * $TMPDIR, or in /tmp where that is not set or empty. Its path, for free(); whoever asks removes
 * it. NULL and error: E_RETRY, no memory or the operating system's reason.
 */
extern char *pen_scratch_directory(const char *name, pen_error *error);

#endif
