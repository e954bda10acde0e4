/* top.h -- a directory of the test's own. */
#ifndef TOP_H
#define TOP_H

#include <stdio.h>
#include <stdlib.h>

static char top[64];

/* 0, or not when it cannot be made. */
static inline int
make_top(const char *name)
{
	snprintf(top, sizeof(top), "%.40s/%.15s.XXXXXX",
			 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", name);
	return mkdtemp(top) == NULL;
}

static inline int
remove_top(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

#endif
