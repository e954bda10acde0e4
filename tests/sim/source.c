/* source.c -- each step first in the model, which knows what can be done, then as SQL.
 * A table belongs to the transaction that has touched it until that ends, so that none waits for
 * another: all are sent by one thread. */
#include "source.h"

#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "servers.h"
#include "sql.h"

#define INSERT_ROWS_MAX 500

void
sim_source_init(sim_source *source, sim_model *model, sim_failure *failure, const char *database)
{
	memset(source, 0, sizeof(*source));
	source->model = model;
	source->failure = failure;
	source->database = database;
}

/* ---- statements ---- */

static bool
complain(sim_source *source, PGconn *conn, const char *sql)
{
	return sim_fail(source->failure, "the source rejects step %ld: %.200s: %s", source->step, sql,
					PQerrorMessage(conn));
}

static PGconn *
connection(sim_source *source, sim_session *session)
{
	if (session->conn == NULL)
		session->conn = sim_connect(SIM_SOURCE, source->database);
	return session->conn;
}

/* Frees sql. */
static bool
execute(sim_source *source, sim_session *session, char *sql)
{
	PGresult *result = PQexec(connection(source, session), sql);
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_COPY_IN;

	if (!ok)
		complain(source, session->conn, sql);
	PQclear(result);
	free(sql);
	return ok;
}

static bool
run(sim_source *source, sim_session *session, const char *format, int number)
{
	char *sql;

	if (asprintf(&sql, format, number) < 0)
		sim_die("out of memory");
	return execute(source, session, sql);
}

/* The position in the WAL before a statement that ends a transaction, and after it. */
static bool
run_between(sim_source *source, sim_session *session, const char *sql, uint64_t *before,
			uint64_t *after)
{
	static const char *const position = "SELECT pg_current_wal_insert_lsn()";
	PGconn *conn = connection(source, session);
	char *text = sim_value_of(conn, position);

	*before = sim_lsn_parse(text);
	free(text);
	if (!execute(source, session, strdup(sql)))
		return false;
	text = sim_value_of(conn, position);
	*after = sim_lsn_parse(text);
	free(text);
	return true;
}

/* ---- transactions ---- */

/* As in source->owner. */
static int
owner_of(const sim_source *source, const sim_session *session)
{
	return (int) (session - source->sessions) + 1;
}

static bool
begin(sim_source *source, sim_session *session)
{
	if (session->open)
		return true;
	session->open = true;
	return run(source, session, "BEGIN", 0);
}

/* A table of into is what it is in from. */
static void
share(sim_state *into, int table, const sim_state *from)
{
	sim_version *version = from->tables[table];

	if (version != NULL)
		version->references++;
	sim_state_put(into, table, version);
}

/* Make the table the session's own. False when it is somebody else's. */
static bool
claim(sim_source *source, sim_session *session, int64_t table)
{
	int owner = owner_of(source, session);
	const sim_state *committed = &sim_model_last(source->model)->state;

	if (table < 0 || table >= SIM_TABLES_MAX)
		sim_die("step %ld: there is no table of that number", source->step);
	if (source->owner[table] == 0)
	{
		source->owner[table] = owner;
		share(&session->state, (int) table, committed);
		/* What it goes back to at a savepoint that was set before. */
		for (int i = 0; i < session->depth; i++)
			share(&session->saved[i], (int) table, committed);
	}
	return source->owner[table] == owner;
}

/* What is the owner's becomes what is committed. */
static void
publish(sim_source *source, int owner, sim_state *state, uint64_t before, uint64_t after)
{
	sim_state next;

	sim_state_copy(&next, &sim_model_last(source->model)->state);
	for (int i = 0; i < SIM_TABLES_MAX; i++)
	{
		if (source->owner[i] == owner)
			share(&next, i, state);
	}
	sim_model_commit(source->model, &next, before, after, source->step, owner < 0);
	sim_state_reset(&next);
	source->transactions++;
}

static void
disown(sim_source *source, int owner, sim_state *state)
{
	for (int i = 0; i < SIM_TABLES_MAX; i++)
	{
		if (source->owner[i] == owner)
			source->owner[i] = 0;
	}
	sim_state_reset(state);
}

static void
forget_savepoints(sim_session *session, int depth)
{
	while (session->depth > depth)
		sim_state_reset(&session->saved[--session->depth]);
}

static void
close_session(sim_source *source, sim_session *session)
{
	forget_savepoints(session, 0);
	disown(source, owner_of(source, session), &session->state);
	session->open = false;
	session->exclusive = false;
}

static bool
commit(sim_source *source, sim_session *session)
{
	uint64_t before;
	uint64_t after;

	if (!session->open)
		return true;
	if (!run_between(source, session, "COMMIT", &before, &after))
		return false;
	publish(source, owner_of(source, session), &session->state, before, after);
	close_session(source, session);
	return true;
}

static bool
roll_back(sim_source *source, sim_session *session)
{
	if (!session->open)
		return true;
	close_session(source, session);
	return run(source, session, "ROLLBACK", 0);
}

static bool
set_savepoint(sim_source *source, sim_session *session)
{
	if (session->depth == SIM_SAVEPOINTS_MAX)
		return true;
	sim_state_copy(&session->saved[session->depth], &session->state);
	return run(source, session, "SAVEPOINT s%d", session->depth++);
}

/* Tables touched since then stay the session's, as they were before. */
static bool
roll_back_to(sim_source *source, sim_session *session)
{
	int last = session->depth - 1;

	if (last < 0)
		return true;
	sim_state_reset(&session->state);
	sim_state_copy(&session->state, &session->saved[last]);
	forget_savepoints(session, last);
	return run(source, session, "ROLLBACK TO s%d", last) &&
		   run(source, session, "RELEASE s%d", last);
}

static bool
release(sim_source *source, sim_session *session)
{
	if (session->depth == 0)
		return true;
	forget_savepoints(session, session->depth - 1);
	return run(source, session, "RELEASE s%d", session->depth);
}

/* ---- prepared transactions ---- */

static sim_prepared *
free_prepared(sim_source *source)
{
	for (int i = 0; i < SIM_PREPARED_MAX; i++)
	{
		if (source->prepared[i].serial == 0)
			return &source->prepared[i];
	}
	return NULL;
}

/* One that would keep readers waiting is committed instead. */
static bool
prepare(sim_source *source, sim_session *session)
{
	sim_prepared *prepared = free_prepared(source);
	int owner = owner_of(source, session);

	if (!session->open)
		return true;
	if (prepared == NULL || session->exclusive)
		return commit(source, session);
	prepared->serial = ++source->serial;
	prepared->state = session->state;
	memset(&session->state, 0, sizeof(session->state));
	for (int i = 0; i < SIM_TABLES_MAX; i++)
	{
		if (source->owner[i] == owner)
			source->owner[i] = -(int) (prepared - source->prepared + 1);
	}
	close_session(source, session);
	return run(source, session, "PREPARE TRANSACTION 'sim %d'", prepared->serial);
}

/* The n-th of those that there are. */
static sim_prepared *
find_prepared(sim_source *source, int64_t n)
{
	int count = 0;

	for (int i = 0; i < SIM_PREPARED_MAX; i++)
		count += source->prepared[i].serial != 0;
	n = count > 0 ? n % count : 0;
	for (int i = 0; i < SIM_PREPARED_MAX && count > 0; i++)
	{
		if (source->prepared[i].serial != 0 && n-- == 0)
			return &source->prepared[i];
	}
	return NULL;
}

/* From a session that has none open. */
static sim_session *
idle_session(sim_source *source)
{
	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (!source->sessions[i].open)
			return &source->sessions[i];
	}
	return NULL;
}

static bool
finish(sim_source *source, sim_prepared *prepared, bool commits)
{
	sim_session *session = idle_session(source);
	char sql[60];
	uint64_t before;
	uint64_t after;
	int owner;

	if (session == NULL || prepared == NULL)
		return true;
	owner = -(int) (prepared - source->prepared + 1);
	snprintf(sql, sizeof(sql), "%s PREPARED 'sim %d'", commits ? "COMMIT" : "ROLLBACK",
			 prepared->serial);
	if (!run_between(source, session, sql, &before, &after))
		return false;
	if (commits)
		publish(source, owner, &prepared->state, before, after);
	disown(source, owner, &prepared->state);
	prepared->serial = 0;
	return true;
}

/* ---- definitions ---- */

/* sql is run at the destinations first where they need it, and freed. version: of the table from
 * now on. */
static bool
define(sim_source *source, sim_session *session, int64_t table, char *sql, bool everywhere,
	   const sim_schema *schema, sim_version *version)
{
	session->exclusive = true;
	if (everywhere && !source->define(source->context, sql, schema))
	{
		free(sql);
		sim_version_release(version);
		return false;
	}
	sim_state_put(&session->state, (int) table, version);
	return execute(source, session, sql);
}

static bool
do_table(sim_source *source, sim_session *session, const int64_t *args)
{
	const sim_schema *schema;

	if (args[2] < 0 || args[2] >= sim_key_count || args[4] > 9 ||
		(args[3] == 'i' && !sim_keys[args[2]].unique))
		sim_die("step %ld: there is no such table", source->step);
	if (session->state.tables[args[1]] != NULL)
		return true;
	schema = sim_schema_new(source->model, (int) args[1], (int) args[2], (char) args[3],
							sim_keys[args[2]].part_count == 0 ? (int) args[4] : 0);
	return define(source, session, args[1], sim_sql_create(schema), true, schema,
				  sim_version_new(schema));
}

static bool
add_column(sim_source *source, sim_session *session, const int64_t *args)
{
	const sim_version *version = session->state.tables[args[1]];
	const char *initial = NULL;
	const sim_schema *schema;

	if (args[2] < 0 || args[2] >= sim_type_count)
		sim_die("step %ld: there is no type of that number", source->step);
	if (args[3] % 3 == 0)
		initial = sim_value(&source->model->arena, (int) args[2], (uint64_t) args[3]);
	schema = sim_schema_add(source->model, version->schema, (int) args[2], initial);
	if (schema == NULL)
		return true;
	return define(source, session, args[1], sim_sql_add_column(schema, schema->column_count - 1),
				  true, schema, sim_version_alter(version, schema));
}

/* The n-th of the columns that a table can do without, or -1. */
static int
find_column(const sim_schema *schema, int64_t n)
{
	int count = 0;

	for (int i = 0; i < schema->column_count; i++)
		count += schema->columns[i].role == SIM_ROLE_VALUE && !schema->columns[i].dropped;
	if (count == 0)
		return -1;
	n %= count;
	for (int i = 0;; i++)
	{
		if (schema->columns[i].role == SIM_ROLE_VALUE && !schema->columns[i].dropped && n-- == 0)
			return i;
	}
}

/* Only here: the destinations keep what they have. */
static bool
drop_column(sim_source *source, sim_session *session, const int64_t *args)
{
	const sim_version *version = session->state.tables[args[1]];
	int column = find_column(version->schema, args[2]);
	const sim_schema *schema;

	if (column < 0)
		return true;
	schema = sim_schema_drop(source->model, version->schema, column);
	return define(source, session, args[1], sim_sql_drop_column(schema, column), false, schema,
				  sim_version_alter(version, schema));
}

/* A table that has none stays so: who follows may already have been told of a row without a key. */
static bool
change_identity(sim_source *source, sim_session *session, const int64_t *args)
{
	const sim_version *version = session->state.tables[args[1]];
	const sim_schema *schema = sim_schema_identify(source->model, version->schema, (char) args[2]);

	if (args[2] == 'i' || !sim_schema_has_identity(schema) ||
		!sim_schema_has_identity(version->schema))
		return true;
	return define(source, session, args[1], sim_sql_identity(schema), false, schema,
				  sim_version_alter(version, schema));
}

/* ---- rows ---- */

static bool
send_rows(sim_source *source, sim_session *session, const sim_schema *schema, const sim_row **rows,
		  size_t count)
{
	while (count > 0)
	{
		size_t some = count < INSERT_ROWS_MAX ? count : INSERT_ROWS_MAX;

		if (!execute(source, session, sim_sql_insert(schema, rows, some)))
			return false;
		rows += some;
		count -= some;
	}
	return true;
}

static bool
copy_rows(sim_source *source, sim_session *session, const sim_schema *schema, const sim_row **rows,
		  size_t count)
{
	char *data;
	PGresult *result;
	bool ok;

	if (!execute(source, session, sim_sql_copy(schema)))
		return false;
	data = sim_sql_copy_data(schema, rows, count);
	ok = PQputCopyData(session->conn, data, (int) strlen(data)) == 1 &&
		 PQputCopyEnd(session->conn, NULL) == 1;
	while ((result = PQgetResult(session->conn)) != NULL)
	{
		ok = ok && PQresultStatus(result) == PGRES_COMMAND_OK;
		PQclear(result);
	}
	free(data);
	return ok || complain(source, session->conn, "COPY");
}

static bool
insert(sim_source *source, sim_session *session, const int64_t *args, bool copy)
{
	const sim_version *version = session->state.tables[args[1]];
	const sim_schema *schema = version->schema;
	const sim_row **rows;
	size_t count;
	sim_version *after = sim_version_insert(source->model, version, args[2], args[3],
											(uint64_t) args[4], &rows, &count);

	sim_state_put(&session->state, (int) args[1], after);
	source->rows += (long) count;
	return copy ? copy_rows(source, session, schema, rows, count)
				: send_rows(source, session, schema, rows, count);
}

static bool
update(sim_source *source, sim_session *session, const int64_t *args)
{
	const sim_version *version = session->state.tables[args[1]];
	sim_assignment assignment;
	char *sql;

	sim_assignment_make(source->model, version->schema, (uint64_t) args[4], &assignment);
	sql = sim_sql_update(version->schema, args[2], args[3], &assignment);
	sim_state_put(&session->state, (int) args[1],
				  sim_version_update(source->model, version, args[2], args[3], &assignment));
	return execute(source, session, sql);
}

static bool
rekey(sim_source *source, sim_session *session, int64_t table, int64_t id, int64_t new_id,
	  int variant)
{
	const sim_version *version = session->state.tables[table];
	const sim_row *moved = NULL;
	sim_version *after = sim_version_rekey(source->model, version, id, new_id, variant, &moved);
	char *sql;

	if (after == NULL)
		return true;
	sql = sim_sql_rekey(version->schema, id, moved);
	sim_state_put(&session->state, (int) table, after);
	return execute(source, session, sql);
}

/* By way of an id that no other step uses. */
static bool
swap(sim_source *source, sim_session *session, const int64_t *args)
{
	const int64_t nowhere = 900000 + args[2];

	return rekey(source, session, args[1], args[2], nowhere, 1) &&
		   rekey(source, session, args[1], args[3], args[2], 2) &&
		   rekey(source, session, args[1], nowhere, args[3], 3);
}

static bool
delete_rows(sim_source *source, sim_session *session, int64_t table, int64_t first, int64_t last)
{
	const sim_version *version = session->state.tables[table];
	char *sql = sim_sql_delete(version->schema, first, last);

	sim_state_put(&session->state, (int) table, sim_version_delete(version, first, last));
	return execute(source, session, sql);
}

/* Of rows that may be equal but for where they lie. */
static bool
delete_one(sim_source *source, sim_session *session, int64_t table, int64_t id)
{
	sim_version *version = session->state.tables[table];
	sim_version *after;
	size_t count;
	size_t at = sim_version_find(version, id, id, &count);
	char *sql;

	if (count == 0 || sim_keys[version->schema->key].unique)
		return delete_rows(source, session, table, id, id);
	after = sim_version_delete_one(version, id);
	/* The row that is gone: the first that the two do not share. */
	while (at < after->count && after->rows[at] == version->rows[at])
		at++;
	sql = sim_sql_delete_row(version->schema, version->rows[at]);
	sim_state_put(&session->state, (int) table, after);
	return execute(source, session, sql);
}

static bool
truncate_tables(sim_source *source, sim_session *session, int64_t table, int64_t other)
{
	const sim_schema *schema = session->state.tables[table]->schema;
	bool both =
		other != table && claim(source, session, other) && session->state.tables[other] != NULL;
	char *sql = sim_sql_truncate(schema, both ? session->state.tables[other]->schema : NULL);

	session->exclusive = true;
	sim_state_put(&session->state, (int) table, sim_version_new(schema));
	if (both)
		sim_state_put(&session->state, (int) other,
					  sim_version_new(session->state.tables[other]->schema));
	return execute(source, session, sql);
}

static bool
drop_table(sim_source *source, sim_session *session, int64_t table)
{
	char *sql = sim_sql_drop(session->state.tables[table]->schema);

	session->exclusive = true;
	sim_state_put(&session->state, (int) table, NULL);
	return execute(source, session, sql);
}

/* ---- steps ---- */

/* What needs rows to be found again by those who follow. */
static bool
needs_identity(sim_step_kind kind)
{
	return kind == SIM_UPDATE || kind == SIM_REKEY || kind == SIM_SWAP || kind == SIM_DELETE ||
		   kind == SIM_DELETE_ONE;
}

/* In a transaction that is open, with the table the session's own. */
static bool
do_change(sim_source *source, sim_session *session, const sim_step *step)
{
	const int64_t *args = step->args;

	switch (step->kind)
	{
		case SIM_COLUMN:
			return add_column(source, session, args);
		case SIM_DROP_COLUMN:
			return drop_column(source, session, args);
		case SIM_DROP_TABLE:
			return drop_table(source, session, args[1]);
		case SIM_IDENTITY:
			return change_identity(source, session, args);
		case SIM_INSERT:
			return insert(source, session, args, false);
		case SIM_COPY:
			return insert(source, session, args, true);
		case SIM_UPDATE:
			return update(source, session, args);
		case SIM_REKEY:
			return rekey(source, session, args[1], args[2], args[3], (int) args[4]);
		case SIM_SWAP:
			return swap(source, session, args);
		case SIM_DELETE:
			return delete_rows(source, session, args[1], args[2], args[3]);
		case SIM_DELETE_ONE:
			return delete_one(source, session, args[1], args[2]);
		default:
			return truncate_tables(source, session, args[1], args[2]);
	}
}

/* A step outside of a transaction is one. */
static bool
do_table_step(sim_source *source, sim_session *session, const sim_step *step)
{
	bool alone = !session->open;
	bool ok = true;

	if (!begin(source, session))
		return false;
	if (claim(source, session, step->args[1]))
	{
		const sim_version *version = session->state.tables[step->args[1]];

		if (step->kind == SIM_TABLE)
			ok = do_table(source, session, step->args);
		else if (version != NULL &&
				 (!needs_identity(step->kind) || sim_schema_has_identity(version->schema)))
			ok = do_change(source, session, step);
	}
	return ok && (!alone || commit(source, session));
}

static bool
emit_message(sim_source *source, sim_session *session, bool transactional)
{
	return run(source, session,
			   transactional ? "SELECT pg_logical_emit_message(true, 'sim', 'in %d')"
							 : "SELECT pg_logical_emit_message(false, 'sim', 'beside %d')",
			   (int) source->step);
}

bool
sim_source_do(sim_source *source, const sim_step *step)
{
	sim_session *session = &source->sessions[0];

	if (step->kind == SIM_COMMIT_PREPARED || step->kind == SIM_ROLLBACK_PREPARED)
		return finish(source, find_prepared(source, step->args[0]),
					  step->kind == SIM_COMMIT_PREPARED);
	if (step->args[0] < 0 || step->args[0] >= SIM_SESSIONS)
		sim_die("step %ld: there is no session of that number", source->step);
	session = &source->sessions[step->args[0]];
	switch (step->kind)
	{
		case SIM_BEGIN:
			return begin(source, session);
		case SIM_SAVEPOINT:
			return !session->open || set_savepoint(source, session);
		case SIM_ROLLBACK_TO:
			return roll_back_to(source, session);
		case SIM_RELEASE:
			return release(source, session);
		case SIM_COMMIT:
			return commit(source, session);
		case SIM_ROLLBACK:
			return roll_back(source, session);
		case SIM_PREPARE:
			return prepare(source, session);
		case SIM_MESSAGE:
			return emit_message(source, session, step->args[1] != 0);
		default:
			return do_table_step(source, session, step);
	}
}

bool
sim_source_unlock(sim_source *source)
{
	bool ok = true;

	for (int i = 0; i < SIM_SESSIONS; i++)
		ok = (!source->sessions[i].exclusive || commit(source, &source->sessions[i])) && ok;
	return ok;
}

bool
sim_source_end_all(sim_source *source, bool prepared)
{
	bool ok = true;

	for (int i = 0; i < SIM_SESSIONS; i++)
		ok = roll_back(source, &source->sessions[i]) && ok;
	for (int i = 0; i < SIM_PREPARED_MAX && prepared; i++)
	{
		if (source->prepared[i].serial != 0)
			ok = finish(source, &source->prepared[i], true) && ok;
	}
	return ok;
}

bool
sim_source_is_idle(const sim_source *source)
{
	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (source->sessions[i].open)
			return false;
	}
	for (int i = 0; i < SIM_PREPARED_MAX; i++)
	{
		if (source->prepared[i].serial != 0)
			return false;
	}
	return true;
}

void
sim_source_lost(sim_source *source)
{
	for (int i = 0; i < SIM_SESSIONS; i++)
	{
		if (source->sessions[i].open)
			close_session(source, &source->sessions[i]);
		PQfinish(source->sessions[i].conn);
		source->sessions[i].conn = NULL;
	}
}

void
sim_source_reset(sim_source *source)
{
	sim_source_lost(source);
	for (int i = 0; i < SIM_PREPARED_MAX; i++)
		sim_state_reset(&source->prepared[i].state);
}
