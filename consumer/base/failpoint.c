/* failpoint.c -- count the passes, and die at the one that is meant. */
#include "base/failpoint.h"

#ifdef PENSTOCK_FAILPOINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void
pen_failpoint(const char *name)
{
	static atomic_ulong passed;
	const char *wanted = getenv("PENSTOCK_FAILPOINT");
	size_t length = strlen(name);
	unsigned long count = 1;

	if (wanted == NULL || strncmp(wanted, name, length) != 0)
		return;
	if (wanted[length] == ':')
		count = strtoul(wanted + length + 1, NULL, 10);
	else if (wanted[length] != '\0')
		return;
	if (atomic_fetch_add(&passed, 1) + 1 == count)
		(void) raise(SIGKILL);
}
#else
/* A translation unit is never empty. */
typedef int nothing;
#endif
