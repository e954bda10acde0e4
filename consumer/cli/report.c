/* report.c -- numbers for people and scripts. Counts come from where they are counted; nothing is
 * estimated. */
#include "cli/report.h"

#include <inttypes.h>
#include <string.h>

#include "follower.h"

static uint64_t
total_changes(const pen_statistics *statistics)
{
	const pen_table_statistics *total = &statistics->total;

	return total->inserts + total->updates + total->deletes + total->truncates;
}

void
pen_cli_report_live(penstock *p, FILE *out, int64_t started_ms)
{
	double seconds = (double) (pen_clock_ms() - started_ms) / 1000;

	fprintf(out, "\r\033[K%" PRIu64 " transactions, %" PRIu64 " changes in %.0f s",
			p->statistics.transactions, total_changes(&p->statistics), seconds);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		fprintf(out, "  %s: %s", p->configs[i].name, pen_worker_state_name(status.state));
		if (status.state == PEN_WORKER_STREAMING && p->delivered_lsn > status.position.applied_lsn)
			fprintf(out, ", %" PRIu64 " kB behind",
					(p->delivered_lsn - status.position.applied_lsn + 1023) / 1024);
	}
	fflush(out);
}

void
pen_cli_report_live_end(FILE *out)
{
	fputs("\r\033[K", out);
	fflush(out);
}

/* A JSON string. Control characters cannot be in names that PostgreSQL lets one type, but in
 * hostile ones. */
static void
print_string(FILE *out, const char *text)
{
	putc('"', out);
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if (*c < 0x20)
			fprintf(out, "\\u%04x", *c);
		else
			putc(*c, out);
	}
	putc('"', out);
}

static void
print_memory_tables(penstock *p, FILE *out)
{
	penstock_snapshot *snapshot = penstock_snapshot_begin(p);
	penstock_table *table;

	if (snapshot == NULL)
		return;
	for (size_t i = 0; (table = penstock_snapshot_table_at(snapshot, i)) != NULL; i++)
	{
		const penstock_relation *relation = penstock_table_relation(table);
		char name[200];

		snprintf(name, sizeof(name), "%s.%s", relation->schema, relation->name);
		if (i > 0)
			putc(',', out);
		print_string(out, name);
		fprintf(out, ":%" PRIu64, penstock_table_count(snapshot, table));
	}
	penstock_snapshot_end(snapshot);
}

void
pen_cli_report_status(penstock *p, FILE *out)
{
	fputs("{\"tables\":{", out);
	print_memory_tables(p, out);
	fprintf(out, "},\"transactions\":%" PRIu64 ",\"changes\":%" PRIu64 ",\"destinations\":{",
			p->statistics.transactions, total_changes(&p->statistics));
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		if (i > 0)
			putc(',', out);
		print_string(out, p->configs[i].name);
		fprintf(out, ":{\"lsn\":\"%X/%X\",\"state\":\"%s\"}",
				(unsigned int) (status.position.applied_lsn >> 32),
				(unsigned int) status.position.applied_lsn, pen_worker_state_name(status.state));
	}
	fputs("}}\n", out);
	fflush(out);
}

static void
print_counts(FILE *out, const char *name, const pen_table_statistics *table)
{
	fprintf(out, "  %-32s %12" PRIu64 " inserts %12" PRIu64 " updates %12" PRIu64 " deletes", name,
			table->inserts, table->updates, table->deletes);
	if (table->truncates > 0)
		fprintf(out, " %6" PRIu64 " truncates", table->truncates);
	putc('\n', out);
}

void
pen_cli_report_summary(penstock *p, FILE *out, int64_t started_ms)
{
	const pen_statistics *statistics = &p->statistics;
	double seconds = (double) (pen_clock_ms() - started_ms) / 1000;
	uint64_t changes = total_changes(statistics);

	fprintf(
		out, "%" PRIu64 " transactions, %" PRIu64 " changes in %.1f s (%.0f changes a second)\n",
		statistics->transactions, changes, seconds, seconds > 0 ? (double) changes / seconds : 0.0);
	for (size_t i = 0; i < statistics->table_count; i++)
		print_counts(out, statistics->tables[i].name, &statistics->tables[i]);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		fprintf(out, "  destination %-20s %s at %X/%X\n", p->configs[i].name,
				pen_worker_state_name(status.state),
				(unsigned int) (status.position.applied_lsn >> 32),
				(unsigned int) status.position.applied_lsn);
	}
}
