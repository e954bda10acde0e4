/* cache.c -- a local cache of one table, always as of some commit at the source.
 * Keys typed on stdin are answered from memory; what changes is printed as it comes: who, what,
 * when. Build: cc cache.c $(pkg-config --cflags --libs penstock) */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <penstock/penstock.h>

#define KEY_COLUMNS_MAX 32
#define VALUE_BYTES_MAX 256
#define SECONDS_TO_2000 946684800 /* from the Unix epoch to PostgreSQL's */
#define STEP_MS         50

static volatile sig_atomic_t stop_requested;

static void
request_stop(int signal_number)
{
	(void) signal_number;
	stop_requested = 1;
}

static void
print_value(const penstock_row *row, int column)
{
	char text[VALUE_BYTES_MAX];
	size_t len;
	penstock_status status = penstock_get_printed(row, column, text, sizeof(text), &len);

	if (status == PENSTOCK_OK)
		printf("%s%s", text, len >= sizeof(text) ? "..." : "");
	else
		printf(status == PENSTOCK_NULL ? "NULL" : "?");
}

/* ---- what changes ---- */

/* The key stands in the old row where the change moved or removed it. */
static void
print_key(const penstock_event *event)
{
	const penstock_relation *relation = event->relation;
	const penstock_row *row = event->old_row.relation != NULL ? &event->old_row : &event->new_row;

	for (int i = 0; i < relation->key_count; i++)
	{
		int column = relation->key_columns[i];

		printf(" %s=", relation->columns[column].name);
		print_value(row, column);
	}
	putchar('\n');
}

static penstock_status
print_change(penstock *p, const penstock_event *event, void *context)
{
	static const char *const verbs[] = {[PENSTOCK_INSERT] = "insert",
										[PENSTOCK_UPDATE] = "update",
										[PENSTOCK_DELETE] = "delete",
										[PENSTOCK_TRUNCATE] = "truncate"};
	time_t when = (time_t) (event->transaction->commit_time / 1000000 + SECONDS_TO_2000);
	char time_text[32] = "";
	struct tm utc;

	(void) p;
	(void) context;
	if (gmtime_r(&when, &utc) != NULL)
		strftime(time_text, sizeof(time_text), "%Y-%m-%d %H:%M:%S", &utc);
	printf("%s xid %lu: %s", time_text, (unsigned long) event->transaction->xid,
		   verbs[event->kind]);
	if (event->kind == PENSTOCK_TRUNCATE)
		putchar('\n');
	else
		print_key(event);
	return PENSTOCK_OK;
}

/* ---- look-ups ---- */

/* The key of several columns is typed with tabs between them. */
static void
answer(penstock *p, const char *schema, const char *name, char *line)
{
	const char *keys[KEY_COLUMNS_MAX];
	int key_count = 0;
	penstock_snapshot *snapshot = penstock_snapshot_begin(p);
	penstock_table *table;
	penstock_status status = PENSTOCK_NOT_FOUND;
	penstock_row row;

	for (char *key; key_count < KEY_COLUMNS_MAX && (key = strsep(&line, "\t")) != NULL;)
		keys[key_count++] = key;
	table = snapshot != NULL ? penstock_snapshot_table(snapshot, schema, name) : NULL;
	if (table != NULL)
		status = penstock_lookup(snapshot, table, keys, key_count, &row);
	if (status == PENSTOCK_OK)
		for (int i = 0; i < row.relation->column_count; i++)
		{
			printf("%s%s=", i > 0 ? ", " : "", row.relation->columns[i].name);
			print_value(&row, i);
		}
	else
		printf(status == PENSTOCK_NOT_FOUND ? "no such row" : "this is no key of the table");
	putchar('\n');
	penstock_snapshot_end(snapshot);
}

/* Answer the lines that are there, without waiting. False at the end of stdin. */
static bool
answer_stdin(penstock *p, const char *schema, const char *name)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
	static char line[4096];
	static size_t used;

	while (poll(&fd, 1, 0) > 0)
	{
		ssize_t got = read(STDIN_FILENO, line + used, sizeof(line) - 1 - used);
		char *newline;

		if (got <= 0)
			return false;
		used += (size_t) got;
		line[used] = '\0';
		while ((newline = strchr(line, '\n')) != NULL)
		{
			*newline = '\0';
			answer(p, schema, name, line);
			used -= (size_t) (newline + 1 - line);
			memmove(line, newline + 1, used + 1);
		}
		if (used == sizeof(line) - 1)
			used = 0; /* no key is as long as that */
	}
	return true;
}

/* ---- the program ---- */

static penstock_status
run(penstock *p, const char *source, const char *slot, const char *table)
{
	char *schema = strdup(table);
	char *name = schema != NULL ? strchr(schema, '.') : NULL;
	penstock_status status = PENSTOCK_E_CONFIG;

	if (name != NULL)
	{
		*name++ = '\0';
		if ((status = penstock_set(p, "source", source)) == PENSTOCK_OK &&
			(slot == NULL || (status = penstock_set(p, "slot", slot)) == PENSTOCK_OK) &&
			(status = penstock_set(p, "tables", table)) == PENSTOCK_OK &&
			(status = penstock_set(p, "to", "memory:")) == PENSTOCK_OK &&
			(status = penstock_on_change(p, table, print_change, NULL)) == PENSTOCK_OK)
			status = penstock_open(p);
		while (!stop_requested && status >= 0 && status != PENSTOCK_DONE &&
			   answer_stdin(p, schema, name))
		{
			fflush(stdout);
			status = penstock_step(p, STEP_MS);
		}
	}
	if (status < 0)
		fprintf(stderr, "cache: %s\n", name != NULL ? penstock_error(p) : "write schema.table");
	free(schema);
	return status;
}

int
main(int argc, char **argv)
{
	const char *slot = NULL;
	penstock_status status;
	penstock *p;
	int option;

	while ((option = getopt(argc, argv, "s:")) == 's')
		slot = optarg;
	if (option != -1 || argc - optind != 2)
	{
		fprintf(stderr, "usage: %s [-s SLOT] CONNINFO SCHEMA.TABLE\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0); /* also when a program reads it */
	signal(SIGINT, request_stop);
	signal(SIGTERM, request_stop);
	p = penstock_new();
	if (p == NULL)
		return 1;
	status = run(p, argv[optind], slot, argv[optind + 1]);
	penstock_free(p);
	return status < 0 ? 1 : 0;
}
