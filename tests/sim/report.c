/* report.c -- one failure a run, the first. */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool
sim_fail(sim_failure *failure, const char *format, ...)
{
	va_list args;

	if (failure->is)
		return false;
	failure->is = true;
	va_start(args, format);
	vsnprintf(failure->text, sizeof(failure->text), format, args);
	va_end(args);
	return false;
}

void
sim_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("penstock-sim: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}
