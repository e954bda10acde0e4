/* counters.c -- counters as a line for people.
 * What did not happen is left out. */
#include "destination/postgres/counters.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void __attribute__((format(printf, 4, 5)))
add(char *into, size_t size, size_t *used, const char *format, ...)
{
	va_list arguments;
	int length;

	if (*used >= size)
		return;
	va_start(arguments, format);
	length = vsnprintf(into + *used, size - *used, format, arguments);
	va_end(arguments);
	*used += length > 0 ? (size_t) length : 0;
}

void
pen_postgres_counters_print(const pen_postgres_counters *counters, char *into, size_t size)
{
	size_t used = 0;
	const char *join = "; in order: ";

	add(into, size, &used,
		"%" PRIu64 " batches in %" PRIu64 " transactions, sets of %" PRIu64 " rows in %" PRIu64
		" statements, %" PRIu64 " rows by %" PRIu64 " COPY, %" PRIu64 " replayed",
		counters->batches, counters->transactions, counters->set_rows, counters->set_statements,
		counters->copy_rows, counters->copies, counters->rollbacks);
	if (counters->conflicts > 0)
		add(into, size, &used, ", %" PRIu64 " conflicts", counters->conflicts);
	for (int i = 0; i < PEN_REASON_COUNT; i++)
	{
		if (counters->ordered[i] == 0)
			continue;
		add(into, size, &used, "%s%" PRIu64 " %s", join, counters->ordered[i],
			pen_reason_name((pen_reason) i));
		join = ", ";
	}
}
