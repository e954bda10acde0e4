/* statedir.h -- where a run keeps what is local: a directory of its slot, and scratch files.
 * One consumer a slot: it holds the directory's lock. What others may write is not trusted. */
#ifndef PEN_STATEDIR_H
#define PEN_STATEDIR_H

#include "base/error.h"

/* Scratch files of this name, which a consumer that was killed has left, are removed at open. */
#define PEN_STATEDIR_STREAMS "streams"

typedef struct pen_statedir pen_statedir;

/*
 * Open the state directory of a slot: DIRECTORY/SLOT, made (0700) if it is not there, and locked.
 * directory NULL: the first of $STATE_DIRECTORY, as systemd sets it. Without that, or without a
 * slot (NULL), there is none: pen_statedir_path is NULL then, and only scratch files are possible.
 * NULL and error: E_CONFIG (not a directory, of somebody else, others may write to it), E_RETRY
 * (another consumer has it, the operating system's reason).
 */
extern pen_statedir *pen_statedir_open(const char *directory, const char *slot, pen_error *error);
/* Remove the scratch files and let go of the lock. NULL is harmless. */
extern void pen_statedir_close(pen_statedir *state);

/* DIRECTORY/SLOT, or NULL: there is none. */
extern const char *pen_statedir_path(const pen_statedir *state);

/* The path of a sub-directory ("spool/crm"), made if it is not there; for free(). NULL and error;
 * also where there is no state directory (E_CONFIG). */
extern char *pen_statedir_make(pen_statedir *state, const char *name, pen_error *error);

/*
 * The path of an empty directory for scratch files, for free(): the sub-directory of that name,
 * or where there is no state directory a private one in $TMPDIR or /tmp. Removed with what is in
 * it at close. Once for a name.
 */
extern char *pen_statedir_scratch(pen_statedir *state, const char *name, pen_error *error);

#endif
