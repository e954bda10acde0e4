/* scratch.c -- a place for files that need not outlive us.
 * Nobody else may read it: what is in it are rows. */
#include "base/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *
pen_scratch_directory(const char *name, pen_error *error)
{
	const char *parent = getenv("TMPDIR");
	char reason[128];
	char *path;

	if (parent == NULL || parent[0] == '\0')
		parent = "/tmp";
	if (asprintf(&path, "%s/penstock-%d-%s-XXXXXX", parent, (int) getpid(), name) < 0)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	if (mkdtemp(path) != NULL)
		return path;
	pen_error_set(
		error, PENSTOCK_E_RETRY,
		"could not make a directory for scratch files in %s: %s; make room, or set TMPDIR "
		"to another one",
		parent, strerror_r(errno, reason, sizeof(reason)));
	free(path);
	return NULL;
}
