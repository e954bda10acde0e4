/* copybar.c -- a line for each table under copy, rewritten in place on a terminal, else told every
 * few seconds. Expected rows are the source's own estimate, and only ever said to be about that. */
#include "cli/copybar.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TELL_MS    5000
#define BAR_WIDTH  20
#define LINES_MAX  12 /* tables shown at a time */
#define NAME_WIDTH 32

/* 0 to 1, or negative where nobody knows. */
static double
fraction(const pen_copy_table_progress *table)
{
	double done;

	if (table->done)
		return 1;
	if (table->rows_expected > 0)
		done = (double) table->rows / (double) table->rows_expected;
	else if (table->bytes_expected > 0)
		done = (double) table->bytes / (double) table->bytes_expected;
	else
		return -1;
	return done < 0.99 ? done : 0.99;
}

static void
print_bytes(FILE *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	double value = (double) bytes;
	int unit = 0;

	while (value >= 1000 && unit < 4)
		value /= 1024, unit++;
	fprintf(out, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* NAME [####    ] 40 % 1.2 GB, 400000 rows, 80000 rows/s, 7 s left */
static void
print_table(FILE *out, const pen_copy_table_progress *table, int64_t elapsed_ms, bool bar)
{
	double done = fraction(table);
	double seconds = elapsed_ms > 0 ? (double) elapsed_ms / 1000 : 0.001;
	char name[NAME_WIDTH * 2];

	snprintf(name, sizeof(name), "%s.%s", table->schema, table->name);
	fprintf(out, "%-*s ", NAME_WIDTH, name);
	if (bar)
	{
		fputc('[', out);
		for (int i = 0; i < BAR_WIDTH; i++)
			fputc(i < (int) (done * BAR_WIDTH) ? '#' : ' ', out);
		fputs("] ", out);
	}
	if (done >= 0)
		fprintf(out, "%3.0f %% ", done * 100);
	print_bytes(out, table->bytes);
	fprintf(out, ", %" PRIu64 " rows", table->rows);
	if (table->done)
		return;
	fprintf(out, ", %.0f rows/s", (double) table->rows / seconds);
	if (done > 0.01)
		fprintf(out, ", %.0f s left", seconds / done - seconds);
}

static void
print_total(FILE *out, const pen_copy_progress *progress)
{
	uint64_t bytes = 0;
	uint64_t rows = 0;

	for (size_t i = 0; i < progress->table_count; i++)
	{
		bytes += progress->tables[i].bytes;
		rows += progress->tables[i].rows;
	}
	fprintf(out, "copied %zu of %zu tables, ", progress->tables_done, progress->table_count);
	print_bytes(out, bytes);
	fprintf(out, ", %" PRIu64 " rows in %.1f s", rows, (double) progress->elapsed_ms / 1000);
}

static void
clear_lines(pen_copybar *bar)
{
	if (bar->lines > 0)
		fprintf(bar->out, "\033[%dA\r\033[J", bar->lines);
	bar->lines = 0;
}

/* A new copy, or one more try. */
static bool
prepare(pen_copybar *bar, const pen_copy_progress *progress)
{
	if (bar->told != NULL && bar->told_count == progress->table_count)
		return true;
	free(bar->told);
	bar->told = calloc(progress->table_count + 1, sizeof(*bar->told));
	bar->told_count = progress->table_count;
	return bar->told != NULL;
}

static void
show_running(pen_copybar *bar, const pen_copy_progress *progress)
{
	for (size_t i = 0; i < progress->table_count; i++)
	{
		const pen_copy_table_progress *table = &progress->tables[i];

		if (table->running && !table->done && bar->lines < LINES_MAX)
		{
			print_table(bar->out, table, progress->elapsed_ms - table->began_ms, bar->live);
			fputc('\n', bar->out);
			bar->lines++;
		}
	}
	print_total(bar->out, progress);
	fputc('\n', bar->out);
	bar->lines++;
}

void
pen_copybar_show(void *context, const pen_copy_progress *progress)
{
	pen_copybar *bar = context;
	bool tell;

	if (progress == NULL || progress->table_count == 0 || !prepare(bar, progress))
		return;
	tell = progress->finished || progress->elapsed_ms - bar->told_ms >= TELL_MS;
	if (!bar->live && !tell)
		return;
	if (bar->live)
		clear_lines(bar);
	for (size_t i = 0; i < progress->table_count; i++)
	{
		if (!progress->tables[i].done || bar->told[i])
			continue;
		bar->told[i] = true;
		print_table(bar->out, &progress->tables[i], 0, false);
		fputc('\n', bar->out);
	}
	show_running(bar, progress);
	if (!bar->live || progress->finished)
		bar->lines = 0;
	bar->told_ms = progress->finished ? 0 : progress->elapsed_ms;
	fflush(bar->out);
}

void
pen_copybar_reset(pen_copybar *bar)
{
	free(bar->told);
	bar->told = NULL;
}
