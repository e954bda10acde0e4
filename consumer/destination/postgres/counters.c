/* counters.c -- counters as a line for people.
 * What did not happen is left out. */
#include "destination/postgres/counters.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void
pen_postgres_counters_add(pen_postgres_counters *to, const pen_postgres_counters *other)
{
	to->batches += other->batches;
	to->transactions += other->transactions;
	to->set_rows += other->set_rows;
	to->set_statements += other->set_statements;
	to->copy_rows += other->copy_rows;
	to->copies += other->copies;
	to->netted += other->netted;
	to->rollbacks += other->rollbacks;
	to->conflicts += other->conflicts;
	for (int i = 0; i < PEN_REASON_COUNT; i++)
		to->ordered[i] += other->ordered[i];
}

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
