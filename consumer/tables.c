/* tables.c -- add, copy again and remove tables of a running follower.
 * A command is checked whole before anything of it happens. What is added or removed is written to
 * a file first; then each destination is closed between two transactions, gets its new list, and is
 * opened, where it records what is new (stored.c). The stream begins anew in between: no stream
 * that lacks a table goes on once its rows are copied. */
#include "tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
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
	pen_amendments wanted; /* of the destination that is looked at */
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
	pen_amendments_reset(&r->wanted);
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

/* Records there, and what is shown, are by the name there. */
static penstock_status
check_name(penstock *p, size_t i, const named_table *table, pen_error *error)
{
	const pen_table_name here = {table->schema, table->name};
	pen_table_name there;

	if (pen_mapping_name(p->configs[i].mapping, &here, &there, error) < 0)
		return error->status;
	if (strcmp(there.schema, here.schema) == 0 && strcmp(there.name, here.name) == 0)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_CONFIG,
						 "destination %s: table %s.%s has another name there, which this command "
						 "cannot follow",
						 p->configs[i].name, here.schema, here.name);
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
		if (check_name(p, i, table, error) < 0)
			return error->status;
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

/* ---- add and remove ---- */

/* May it be added at, or removed from, this destination? */
static penstock_status
check_amendment(const request *r, size_t i, const named_table *table, pen_error *error)
{
	bool add = r->command->kind == PEN_COMMAND_TABLES_ADD;
	const char *name = r->p->configs[i].name;
	int said = pen_amendments_say(&r->wanted, table->schema, table->name);
	bool taken = said != 0
					 ? said > 0
					 : pen_mapping_takes(r->p->configs[i].mapping, table->schema, table->name);

	if (database_of(r->p, i) == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "destination %s is no database: start it with other --tables", name);
	if (add && pen_mapping_has_rules(r->p->configs[i].mapping))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "destination %s has [table] sections, which may give another table "
							 "this name: start it with other --tables",
							 name);
	if (check_name(r->p, i, table, error) < 0)
		return error->status;
	if (strcmp(table->schema, "penstock") == 0)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "the schema penstock, where progress is kept, is never taken");
	if (taken == add)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "destination %s %s table %s.%s%s", name,
							 add ? "takes" : "does not take", table->schema, table->name,
							 add ? " already; to have it copied again: resync" : "");
	return PENSTOCK_OK;
}

/* The file's list as it is to be; checks every table. */
static penstock_status
amend_list(request *r, size_t i, pen_amendments *all, pen_error *error)
{
	pen_amendments_reset(&r->wanted);
	if (pen_amendments_pick(all, r->p->configs[i].name, &r->wanted, error) < 0)
		return error->status;
	for (size_t t = 0; t < r->count; t++)
	{
		const pen_amendment entry = {.destination = (char *) r->p->configs[i].name,
									 .schema = r->tables[t].schema,
									 .table = r->tables[t].name,
									 .added = r->command->kind == PEN_COMMAND_TABLES_ADD};

		if (check_amendment(r, i, &r->tables[t], error) < 0 ||
			pen_amendments_add(&r->wanted, &entry, error) < 0 ||
			pen_amendments_add(all, &entry, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

static penstock_status
write_list(penstock *p, const pen_amendments *all, pen_error *error)
{
	const char *directory = pen_statedir_path(p->state);
	char *path = NULL;
	penstock_status status;

	if (directory == NULL)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"tables are added and removed only with --state-dir, where it is kept");
	if (asprintf(&path, "%s/" PEN_TABLES_FILE, directory) < 0)
		return out_of_memory(error);
	status = pen_amendments_write(all, path, error);
	free(path);
	return status;
}

/* From here on it will come about, also after a crash. */
static void
begin_amending(const request *r, size_t i)
{
	penstock *p = r->p;
	pen_worker_status status;

	pen_worker_status_get(p->workers[i], &status);
	for (size_t t = 0; t < r->count; t++)
		pen_board_set(database_of(p, i)->board, r->tables[t].schema, r->tables[t].name,
					  r->command->kind == PEN_COMMAND_TABLES_ADD ? PEN_BOARD_PLANNED
																 : PEN_BOARD_LEAVING,
					  0, NULL);
	if (!p->amending[i])
		p->amend_resume[i] = !status.pausing && status.state != PEN_WORKER_PAUSED &&
							 status.state != PEN_WORKER_STOPPED;
	p->amending[i] = true;
}

static penstock_status
amend(request *r, pen_error *error)
{
	penstock *p = r->p;
	pen_amendments all = {0};
	penstock_status status = PENSTOCK_OK;
	size_t meant = 0;

	for (size_t i = 0; status >= 0 && i < p->amendments.count; i++)
		status = pen_amendments_add(&all, &p->amendments.entries[i], error);
	for (size_t i = 0; status >= 0 && i < p->worker_count; i++)
	{
		meant += is_meant(r, i);
		if (is_meant(r, i))
			status = amend_list(r, i, &all, error);
	}
	if (status >= 0 && meant == 0)
		status = pen_error_set(error, PENSTOCK_E_CONFIG, "no destination is a database");
	if (status >= 0)
		status = write_list(p, &all, error);
	if (status < 0)
	{
		pen_amendments_reset(&all);
		return status;
	}
	PEN_FAILPOINT("tables-written");
	pen_amendments_reset(&p->amendments);
	p->amendments = all;
	pen_assembler_amend(p->assembler, &p->amendments);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (is_meant(r, i))
			begin_amending(r, i);
	}
	return PENSTOCK_OK;
}

void
pen_tables_identify(penstock *p, size_t i)
{
	pen_source_identity *identity = &p->identities[i];

	identity->amendments = &p->amended[i];
	pen_amendments_fingerprint(&p->amended[i], p->amended[i].count, identity->plain_fingerprint,
							   identity->fingerprint);
}

/* The destination is closed, and nothing reads its list:
 * false, to be tried again, without memory. */
static bool
take_list(penstock *p, size_t i)
{
	pen_amendments own = {0};
	pen_error ignored;

	if (pen_amendments_pick(&p->amendments, p->configs[i].name, &own, &ignored) < 0)
		return false;
	if (!pen_worker_remap(p->workers[i]))
	{
		pen_amendments_reset(&own);
		return false;
	}
	pen_amendments_reset(&p->amended[i]);
	p->amended[i] = own;
	pen_tables_identify(p, i);
	pen_board_amend(database_of(p, i)->board);
	return true;
}

bool
pen_tables_amend(penstock *p)
{
	bool changed = false;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;
		bool closed;

		if (!p->amending[i])
			continue;
		pen_worker_status_get(p->workers[i], &status);
		closed = status.state == PEN_WORKER_PAUSED || status.state == PEN_WORKER_STOPPED;
		if (!closed && !status.pausing)
			pen_worker_pause(p->workers[i]);
		if (!closed || !take_list(p, i))
			continue;
		changed = true;
		p->amending[i] = false;
		if (p->amend_resume[i] && !p->refused[i])
			pen_worker_resume(p->workers[i]);
	}
	return changed;
}

static penstock_status
change(penstock *p, const pen_command *command, pen_error *error)
{
	request r = {.p = p, .command = command};
	penstock_status status = read_request(&r, error);

	/* One that was dropped at the source can still be removed. */
	if (status >= 0 && command->kind != PEN_COMMAND_TABLES_REMOVE)
		status = check_source(&r, error);
	if (status >= 0)
		status = command->kind == PEN_COMMAND_TABLES_RESYNC ? resync(&r, error) : amend(&r, error);
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

/* Does it need a destination that is not stopped? To be taken out it does not. */
static bool
needs_destination(pen_board_state state)
{
	return state < PEN_BOARD_READY && state != PEN_BOARD_LEAVING;
}

static const char *
state_name(const listing *l, pen_board_state state)
{
	if (needs_destination(state) && l->worker.state == PEN_WORKER_STOPPED)
		return "failed";
	switch (state)
	{
		case PEN_BOARD_PLANNED:
		case PEN_BOARD_LEAVING:
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
		case PEN_BOARD_REMOVED:
			return "removed";
	}
	return "?";
}

/* Why it does not go on. */
static const char *
reason(const listing *l, const pen_board_entry *entry)
{
	if (!needs_destination(entry->state) || l->worker.state == PEN_WORKER_STREAMING)
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
