/* tables.c -- have tables of a running follower copied again.
 * A command is checked whole before anything of it happens. */
#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination/postgres/session.h"
#include "follower.h"
#include "receiver.h"

/* ---- what is asked for ---- */

typedef struct named_table
{
	char *schema;
	char *name;
	bool exists; /* at the source */
} named_table;

typedef struct request
{
	penstock *p;
	const pen_command *command;
	named_table *tables;
	size_t count;
} request;

static void
reset_request(request *r)
{
	for (size_t i = 0; i < r->count; i++)
	{
		free(r->tables[i].schema);
		free(r->tables[i].name);
	}
	free(r->tables);
}

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* A table of public where no schema is said. */
static penstock_status
read_name(named_table *into, const char *text, pen_error *error)
{
	char *schema = NULL;
	char *name = NULL;

	if (pen_route_split_name(text, &schema, &name, error) < 0)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "\"%.135s\" is no name of a table: write schema.table, with \\ before "
							 "a special character that is part of one",
							 text);
	if (name == NULL || (schema == NULL && strchr(text, '.') != NULL))
	{
		free(schema);
		free(name);
		return pen_error_set(error, PENSTOCK_E_CONFIG, "\"%.135s\": name tables one by one", text);
	}
	into->schema = schema != NULL ? schema : strdup("public");
	into->name = name;
	return into->schema != NULL ? PENSTOCK_OK : out_of_memory(error);
}

static bool
note_existing(const char *schema, const char *name, void *context)
{
	request *r = context;

	for (size_t i = 0; i < r->count; i++)
	{
		named_table *table = &r->tables[i];

		table->exists =
			table->exists || (strcmp(table->name, name) == 0 && strcmp(table->schema, schema) == 0);
	}
	return true;
}

static penstock_status
read_request(request *r, pen_error *error)
{
	r->tables = calloc(r->command->table_count + 1, sizeof(*r->tables));
	if (r->tables == NULL)
		return out_of_memory(error);
	for (size_t i = 0; i < r->command->table_count; i++)
	{
		r->count++;
		if (read_name(&r->tables[i], r->command->tables[i], error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* By what the source has now. */
static penstock_status
check_source(request *r, pen_error *error)
{
	if (r->p->control == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "the source is not connected, so it cannot be asked for its tables; "
							 "try again");
	if (pen_control_each_table(r->p->control, note_existing, r, error) < 0)
		return error->status;
	for (size_t i = 0; i < r->count; i++)
	{
		if (!r->tables[i].exists)
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "the source has no table %s.%s (a partitioned one is named by its "
								 "partitions)",
								 r->tables[i].schema, r->tables[i].name);
	}
	return PENSTOCK_OK;
}

static postgres_destination *
database_of(penstock *p, size_t i)
{
	pen_destination *destination = pen_worker_destination(p->workers[i]);

	return destination->kind == &pen_destination_postgres ? (postgres_destination *) destination
														  : NULL;
}

static bool
is_named(const request *r, size_t i)
{
	return r->command->destination[0] != '\0' &&
		   strcmp(r->command->destination, r->p->configs[i].name) == 0;
}

/* Are a destination's tables changed by this? All databases' are, where none is named. */
static bool
is_meant(const request *r, size_t i)
{
	return is_named(r, i) || (r->command->destination[0] == '\0' && database_of(r->p, i) != NULL);
}

/* ---- resync ---- */

static penstock_status
check_resync(const request *r, const named_table *table, pen_error *error)
{
	penstock *p = r->p;
	size_t takers = 0;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		postgres_destination *database = database_of(p, i);

		if (!is_meant(r, i) ||
			!pen_mapping_takes(p->configs[i].mapping, table->schema, table->name))
			continue;
		if (database == NULL)
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "destination %s is no database: it loads its tables at each start",
								 p->configs[i].name);
		if (pen_mapping_has_rules(p->configs[i].mapping))
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "destination %s: its [table] sections rename or leave out, which "
								 "a copy cannot do yet",
								 p->configs[i].name);
		if (pen_board_is_copied(database->board, table->schema, table->name))
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "destination %s: table %s.%s is being copied already",
								 p->configs[i].name, table->schema, table->name);
		takers++;
	}
	if (takers > 0)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_CONFIG,
						 "%s%s takes no table %s.%s, which --tables and "
						 "[destination] decide",
						 r->command->destination[0] != '\0' ? "destination " : "no database",
						 r->command->destination, table->schema, table->name);
}

static penstock_status
resync(request *r, pen_error *error)
{
	const char *destination = r->command->destination;

	for (size_t i = 0; i < r->count; i++)
	{
		if (check_resync(r, &r->tables[i], error) < 0)
			return error->status;
	}
	for (size_t i = 0; i < r->count; i++)
	{
		if (pen_receiver_resync(r->p, destination[0] != '\0' ? destination : NULL,
								r->tables[i].schema, r->tables[i].name) < 0)
		{
			*error = r->p->error;
			return error->status;
		}
	}
	return PENSTOCK_OK;
}

static penstock_status
change(penstock *p, const pen_command *command, pen_error *error)
{
	request r = {.p = p, .command = command};
	penstock_status status = read_request(&r, error);

	if (status >= 0)
		status = check_source(&r, error);
	if (status >= 0)
		status = resync(&r, error);
	reset_request(&r);
	return status;
}

/* ---- telling ---- */

typedef struct listing
{
	pen_table_status *tables;
	size_t most;
	size_t count;
	size_t destination;
	pen_worker_status worker;
} listing;

static const char *
state_name(const listing *l, pen_board_state state)
{
	if (state != PEN_BOARD_READY && l->worker.state == PEN_WORKER_STOPPED)
		return "failed";
	switch (state)
	{
		case PEN_BOARD_ASKED:
		case PEN_BOARD_WAITING:
			return "waiting";
		case PEN_BOARD_COPYING:
			return "copying";
		case PEN_BOARD_CATCHING_UP:
		case PEN_BOARD_DONE:
			return "catching up";
		case PEN_BOARD_READY:
			return "ready";
	}
	return "?";
}

/* Why it does not go on. */
static const char *
reason(const listing *l, const pen_board_entry *entry)
{
	if (entry->state == PEN_BOARD_READY || l->worker.state == PEN_WORKER_STREAMING)
		return entry->reason;
	if (l->worker.state == PEN_WORKER_PAUSED)
		return "the destination is paused";
	return l->worker.state == PEN_WORKER_READY ? entry->reason : l->worker.error.text;
}

static void
list_entry(void *context, const pen_board_entry *entry)
{
	listing *l = context;
	pen_table_status *into;

	if (l->count++ >= l->most)
		return;
	into = &l->tables[l->count - 1];
	*into = (pen_table_status){.destination = l->destination,
							   .state = state_name(l, entry->state),
							   .lsn = entry->lsn,
							   .rows = entry->rows,
							   .rows_expected = entry->rows_expected,
							   .bytes = entry->bytes,
							   .bytes_expected = entry->bytes_expected};
	snprintf(into->name, sizeof(into->name), "%s.%s", entry->schema, entry->table);
	snprintf(into->error, sizeof(into->error), "%.255s", reason(l, entry));
}

static size_t
list(penstock *p, pen_table_status *tables, size_t most)
{
	listing l = {.tables = tables, .most = most};

	for (size_t i = 0; i < p->worker_count; i++)
	{
		postgres_destination *database = database_of(p, i);

		if (database == NULL)
			continue;
		l.destination = i;
		pen_worker_status_get(p->workers[i], &l.worker);
		pen_board_each(database->board, list_entry, &l);
	}
	return l.count;
}

const pen_tables_engine pen_tables = {.change = change, .list = list};
