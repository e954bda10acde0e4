/* stored.c -- progress lives with the data.
 * The row is moved by compare-and-set only, never by what we believe it to hold. */
#include "destination/postgres/stored.h"
#include "event/lsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pq/pq.h"
#include "route/amendments.h"
#include "types.h"

#define SCHEMA_VERSION 2

/* What version 1 had, then what each later one added: the same statements create and migrate. */
static const char *const create_sql =
	"BEGIN;"
	"SET LOCAL client_min_messages = warning;" /* of what is there already */
	"SELECT pg_advisory_xact_lock(7310593858021290353);"
	"CREATE SCHEMA IF NOT EXISTS penstock;"
	"CREATE TABLE IF NOT EXISTS penstock.meta (version integer NOT NULL);"
	"INSERT INTO penstock.meta SELECT 1 WHERE NOT EXISTS (SELECT FROM penstock.meta);"
	"CREATE TABLE IF NOT EXISTS penstock.progress ("
	" slot text PRIMARY KEY,"
	" system_identifier text NOT NULL,"
	" source_database text NOT NULL,"
	" timeline bigint NOT NULL,"
	" fingerprint text NOT NULL,"
	" lsn pg_lsn NOT NULL,"
	" updated_at timestamptz NOT NULL DEFAULT now());"
	"CREATE TABLE IF NOT EXISTS penstock.tables ("
	" slot text NOT NULL,"
	" schema_name text NOT NULL,"
	" table_name text NOT NULL,"
	" source_oid bigint NOT NULL,"
	" columns text NOT NULL,"
	" PRIMARY KEY (slot, schema_name, table_name));"
	/* 2: tables under copy. What was committed before lsn is in the rows. */
	"ALTER TABLE penstock.tables"
	" ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'ready',"
	" ADD COLUMN IF NOT EXISTS created boolean NOT NULL DEFAULT false,"
	" ADD COLUMN IF NOT EXISTS lsn pg_lsn,"
	" ADD COLUMN IF NOT EXISTS rows bigint;"
	"UPDATE penstock.meta SET version = 2 WHERE version < 2;"
	"COMMIT";

/* ---- preparing ---- */

static penstock_status
check_version(PGconn *conn, bool *outdated, pen_error *error)
{
	PGresult *result =
		pen_pq_query(conn,
					 "SELECT to_regclass('penstock.meta') IS NOT NULL AND "
					 "to_regclass('penstock.progress') IS NOT NULL AND "
					 "to_regclass('penstock.tables') IS NOT NULL, pg_is_in_recovery()",
					 0, NULL, error);
	int version;

	if (result == NULL)
		return error->status;
	*outdated = PQgetvalue(result, 0, 0)[0] != 't';
	if (PQgetvalue(result, 0, 1)[0] == 't')
	{
		PQclear(result);
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "the server is a standby: it takes no writes");
	}
	PQclear(result);
	if (*outdated)
		return PENSTOCK_OK;
	result = pen_pq_query(conn, "SELECT max(version) FROM penstock.meta", 0, NULL, error);
	if (result == NULL)
		return error->status;
	version = atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	if (version > SCHEMA_VERSION)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"the schema penstock has version %d, made by a newer Penstock; this one knows "
			"version %d: upgrade the consumer",
			version, SCHEMA_VERSION);
	*outdated = version < SCHEMA_VERSION;
	return PENSTOCK_OK;
}

penstock_status
pen_stored_prepare(PGconn *conn, pen_error *error)
{
	bool outdated = false;
	pen_error ignored;

	if (check_version(conn, &outdated, error) < 0)
		return error->status;
	if (!outdated)
		return PENSTOCK_OK;
	if (pen_pq_execute(conn, create_sql, error) < 0)
	{
		(void) pen_pq_execute(conn, "ROLLBACK", &ignored);
		return pen_error_context(
			error, "could not create the schema penstock, which keeps progress (the role needs "
				   "CREATE on the database)");
	}
	return PENSTOCK_OK;
}

/* ---- the progress row ---- */

static penstock_status
refuse(pen_error *error, const pen_source_identity *source, const char *what, const char *recorded,
	   const char *found)
{
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"progress of slot \"%s\" was recorded for %s %s, but this is %s: rows could be lost "
		"or doubled; use another slot name, or bring the tables in step and DELETE FROM "
		"penstock.progress WHERE slot = '%s'",
		source->slot, what, recorded, found, source->slot);
}

/* Is what was reached on the recorded timeline part of the source's history? */
static penstock_status
check_timeline(const pen_source_identity *source, uint32_t recorded, uint64_t lsn, pen_error *error)
{
	if (recorded == source->timeline)
		return PENSTOCK_OK;
	for (size_t i = 0; i < source->history_count; i++)
	{
		if (source->history[i].timeline != recorded)
			continue;
		if (lsn <= source->history[i].lsn)
			return PENSTOCK_OK;
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"the destination has transactions up to " LSN_FORMAT
			" of timeline %u, but the source left that timeline at " LSN_FORMAT
			": it was promoted before it had them; bring the tables in step and DELETE FROM "
			"penstock.progress WHERE slot = '%s'",
			LSN_ARGS(lsn), recorded, LSN_ARGS(source->history[i].lsn), source->slot);
	}
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"the destination was fed from timeline %u, which is no ancestor of the source's "
		"timeline %u; bring the tables in step and DELETE FROM penstock.progress WHERE "
		"slot = '%s'",
		recorded, source->timeline, source->slot);
}

/* Was it recorded when only the first *applied tables had been added and removed? */
static bool
is_behind(const pen_source_identity *source, const char *recorded, size_t *applied)
{
	for (*applied = 0; source->amendments != NULL && *applied < source->amendments->count;
		 ++*applied)
	{
		char fingerprint[17];

		pen_amendments_fingerprint(source->amendments, *applied, source->plain_fingerprint,
								   fingerprint);
		if (strcmp(fingerprint, recorded) == 0)
			return true;
	}
	return false;
}

static penstock_status
check_row(const pen_source_identity *source, const PGresult *row, uint64_t lsn, pen_error *error)
{
	const char *system = PQgetvalue(row, 0, 1);
	const char *database = PQgetvalue(row, 0, 2);
	const char *fingerprint = PQgetvalue(row, 0, 4);
	size_t applied;

	if (strcmp(system, source->system_identifier) != 0)
		return refuse(error, source, "system", system, source->system_identifier);
	if (strcmp(database, source->database) != 0)
		return refuse(error, source, "database", database, source->database);
	if (strcmp(fingerprint, source->fingerprint) != 0 && !is_behind(source, fingerprint, &applied))
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"the list of tables has changed, or --origin, since slot \"%s\" was last read for this "
			"destination: earlier changes of tables that are new in it were left out; go back "
			"to the old list, or bring the tables in step and UPDATE penstock.progress SET "
			"fingerprint = '%s' WHERE slot = '%s'",
			source->slot, source->fingerprint, source->slot);
	return check_timeline(source, (uint32_t) strtoul(PQgetvalue(row, 0, 3), NULL, 10), lsn, error);
}

static penstock_status
execute(PGconn *conn, const char *sql, int count, const char *const *params, pen_error *error)
{
	PGresult *result = pen_pq_query(conn, sql, count, params, error);

	PQclear(result);
	return result != NULL ? PENSTOCK_OK : error->status;
}

/* A table that was added is to be copied; what was recorded of one that was removed goes. */
static penstock_status
amend_table(PGconn *conn, const pen_source_identity *source, const pen_amendment *entry,
			pen_error *error)
{
	const char *params[] = {source->slot, entry->schema, entry->table};

	return execute(conn,
				   entry->added
					   ? "INSERT INTO penstock.tables (slot, schema_name, table_name, source_oid, "
						 "columns, state) VALUES ($1, $2, $3, 0, '', 'resync') ON CONFLICT (slot, "
						 "schema_name, table_name) DO UPDATE SET state = 'resync', lsn = NULL"
					   : "DELETE FROM penstock.tables WHERE slot = $1 AND schema_name = $2 AND "
						 "table_name = $3",
				   3, params, error);
}

/* Bring it up to the list: all that it is behind, with the fingerprint, or nothing. */
static penstock_status
amend(PGconn *conn, const pen_source_identity *source, const char *recorded, pen_error *error)
{
	const char *params[] = {source->slot, source->fingerprint, recorded};
	penstock_status status = PENSTOCK_OK;
	pen_error ignored;
	size_t i;

	if (strcmp(recorded, source->fingerprint) == 0 || !is_behind(source, recorded, &i))
		return PENSTOCK_OK;
	if (pen_pq_execute(conn, "BEGIN", error) < 0)
		return error->status;
	/* 1/0: somebody else has done it. */
	status = execute(conn,
					 "WITH moved AS (UPDATE penstock.progress SET fingerprint = $2 WHERE slot = $1 "
					 "AND fingerprint = $3 RETURNING 1) SELECT 1 / count(*) FROM moved",
					 3, params, error);
	for (; status >= 0 && i < source->amendments->count; i++)
		status = amend_table(conn, source, &source->amendments->entries[i], error);
	if (status >= 0)
		status = pen_pq_execute(conn, "COMMIT", error);
	if (status >= 0)
		return PENSTOCK_OK;
	(void) pen_pq_execute(conn, "ROLLBACK", &ignored);
	return pen_error_context(error, "could not record which tables were added and removed");
}

penstock_status
pen_stored_load(PGconn *conn, const pen_source_identity *source, uint64_t *lsn, pen_error *error)
{
	const char *params[] = {source->slot};
	PGresult *result;
	penstock_status status = PENSTOCK_OK;

	*lsn = 0;
	/* FOR UPDATE: behind a session of ours that the server has not seen die yet. */
	result = pen_pq_query(conn,
						  "SELECT lsn, system_identifier, source_database, timeline, fingerprint "
						  "FROM penstock.progress WHERE slot = $1 FOR UPDATE",
						  1, params, error);
	if (result == NULL)
		return pen_error_context(error, "could not read penstock.progress");
	if (PQntuples(result) == 1)
	{
		if (!pen_pq_parse_lsn(PQgetvalue(result, 0, 0), lsn))
			status = pen_error_set(error, PENSTOCK_E_BUG, "unreadable LSN in penstock.progress");
		else
			status = check_row(source, result, *lsn, error);
		if (status >= 0)
			status = amend(conn, source, PQgetvalue(result, 0, 4), error);
	}
	PQclear(result);
	return status;
}

penstock_status
pen_stored_begin(PGconn *conn, const pen_source_identity *source, uint64_t lsn, pen_error *error)
{
	char position[20];
	char timeline[16];
	const char *params[] = {source->slot, source->system_identifier, source->database,
							timeline,     source->fingerprint,       position};
	PGresult *result;

	pen_pq_format_lsn(lsn, position);
	snprintf(timeline, sizeof(timeline), "%u", source->timeline);
	/* What was noted of an earlier life of the slot may be of another WAL. */
	result =
		pen_pq_query(conn,
					 "WITH forgotten AS (UPDATE penstock.tables SET lsn = NULL WHERE slot = $1 "
					 "AND state = 'ready'), dropped AS (DELETE FROM penstock.tables WHERE "
					 "slot = $1 AND state <> 'ready') "
					 "INSERT INTO penstock.progress "
					 "(slot, system_identifier, source_database, timeline, fingerprint, lsn) "
					 "VALUES ($1, $2, $3, $4, $5, $6)",
					 6, params, error);
	if (result == NULL)
		return pen_error_context(error, "could not record progress");
	PQclear(result);
	return PENSTOCK_OK;
}

penstock_status
pen_stored_forget(PGconn *conn, const pen_source_identity *source, uint64_t lsn, pen_error *error)
{
	char position[20];
	const char *params[] = {source->slot, position};
	PGresult *result;
	bool found;

	pen_pq_format_lsn(lsn, position);
	result = pen_pq_query(conn,
						  "WITH tables AS (DELETE FROM penstock.tables WHERE slot = $1) "
						  "DELETE FROM penstock.progress WHERE slot = $1 AND lsn = $2",
						  2, params, error);
	if (result == NULL)
		return pen_error_context(error, "could not forget progress");
	found = strcmp(PQcmdTuples(result), "1") == 0;
	PQclear(result);
	return found ? PENSTOCK_OK
				 : pen_error_set(error, PENSTOCK_E_RETRY,
								 "progress was moved by another session while it was looked at");
}

#define ADVANCE_STATEMENT "penstock_advance"

/* 1/0 where no row matched: the transaction fails even if nobody reads this answer. */
static const char *const advance_sql =
	"WITH moved AS (UPDATE penstock.progress SET lsn = $3, timeline = $4, updated_at = "
	"pg_catalog.clock_timestamp() WHERE slot = $1 AND lsn = $2 RETURNING 1) "
	"SELECT 1 / pg_catalog.count(*) FROM moved";

penstock_status
pen_stored_prepare_advance(PGconn *conn, pen_error *error)
{
	return pen_pq_prepare(conn, ADVANCE_STATEMENT, advance_sql, error) < 0
			   ? pen_error_context(error, "could not prepare to move progress")
			   : PENSTOCK_OK;
}

static void
explain_advance(const pen_expectation *expected, pen_error *error)
{
	(void) expected;
	if (strcmp(error->sqlstate, "22012") == 0)
		pen_error_set(
			error, PENSTOCK_E_RETRY,
			"progress was moved by another session: an earlier one of ours that committed "
			"late, or a second consumer of the same slot name");
	else
		pen_error_context(error, "could not move progress");
}

penstock_status
pen_stored_advance(pen_pipeline *pipeline, const pen_source_identity *source, uint64_t old_lsn,
				   uint64_t new_lsn, pen_error *error)
{
	pen_expectation expected = {.explain = explain_advance};
	char old_position[20];
	char new_position[20];
	char timeline[16];
	const char *params[] = {source->slot, old_position, new_position, timeline};
	const int formats[] = {0, 0, 0, 0};
	int lengths[4];

	pen_pq_format_lsn(old_lsn, old_position);
	pen_pq_format_lsn(new_lsn, new_position);
	snprintf(timeline, sizeof(timeline), "%u", source->timeline);
	for (int i = 0; i < 4; i++)
		lengths[i] = (int) strlen(params[i]);
	return pen_pipeline_send_prepared(pipeline, ADVANCE_STATEMENT, 4, params, lengths, formats,
									  &expected, error);
}

/* ---- tables ---- */

/* "attnum:type:typmod", by commas, for free(). */
static char *
describe_columns(const penstock_relation *relation)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	for (int i = 0; i < relation->column_count; i++)
		fprintf(out, "%s%d:%u:%d", i > 0 ? "," : "", relation->columns[i].attnum,
				relation->columns[i].type_oid, relation->columns[i].typmod);
	if (fclose(out) != 0)
	{
		free(text);
		return NULL;
	}
	return text;
}

/* Can every value of the old type have stayed as it was? Only what PostgreSQL changes without
 * rewriting the table. */
static bool
keeps_values(uint32_t old_type, int32_t old_typmod, const penstock_column *now)
{
	bool old_text = old_type == PEN_OID_TEXT || old_type == PEN_OID_VARCHAR;
	bool now_text = now->type_oid == PEN_OID_TEXT || now->type_oid == PEN_OID_VARCHAR;

	if (old_type == now->type_oid && old_typmod == now->typmod)
		return true;
	if (!old_text || !now_text)
		return false;
	return now->typmod < 0 || (old_typmod >= 0 && now->typmod >= old_typmod);
}

/* The first column whose type has changed, or NULL. */
static const penstock_column *
retyped_column(const penstock_relation *relation, const char *recorded)
{
	int attnum;
	unsigned int type;
	int typmod;
	int length;

	while (sscanf(recorded, "%d:%u:%d%n", &attnum, &type, &typmod, &length) == 3)
	{
		for (int i = 0; i < relation->column_count; i++)
		{
			if (relation->columns[i].attnum == attnum &&
				!keeps_values(type, typmod, &relation->columns[i]))
				return &relation->columns[i];
		}
		recorded += length;
		if (*recorded != ',')
			break;
		recorded++;
	}
	return NULL;
}

static penstock_status
compare_table(const pen_source_identity *source, const pen_target *target, const PGresult *row,
			  pen_error *error)
{
	const penstock_relation *relation = target->relation;
	const penstock_column *column = retyped_column(relation, PQgetvalue(row, 0, 1));
	unsigned long oid = strtoul(PQgetvalue(row, 0, 0), NULL, 10);
	char what[300] = "";

	if (target->empty)
		return PENSTOCK_OK;
	if (oid != relation->oid)
		snprintf(what, sizeof(what), "was dropped and created again (oid %lu, now %u)", oid,
				 relation->oid);
	else if (column != NULL)
		snprintf(what, sizeof(what), "has column %.100s in another type now (%.100s)", column->name,
				 column->type_name);
	if (what[0] == '\0')
		return PENSTOCK_OK;
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"table %s %s at the source: rows changed there without coming through the stream; "
		"bring the table in step (or TRUNCATE it), then DELETE FROM penstock.tables WHERE "
		"slot = '%s' AND schema_name = '%s' AND table_name = '%s'",
		target->quoted, what, source->slot, relation->schema, relation->name);
}

penstock_status
pen_stored_table(pen_pipeline *pipeline, const pen_source_identity *source,
				 const pen_target *target, pen_error *error)
{
	char *columns = describe_columns(target->relation);
	char oid[16];
	const char *params[] = {source->slot, target->relation->schema, target->relation->name, oid,
							columns};
	PGresult *result;
	penstock_status status;

	if (columns == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	snprintf(oid, sizeof(oid), "%u", target->relation->oid);
	result =
		pen_pipeline_query(pipeline,
						   "SELECT source_oid, columns FROM penstock.tables WHERE slot = $1 AND "
						   "schema_name = $2 AND table_name = $3",
						   3, params, error);
	status = result == NULL           ? error->status
			 : PQntuples(result) == 0 ? PENSTOCK_OK
									  : compare_table(source, target, result, error);
	PQclear(result);
	if (status >= 0)
		status = pen_pipeline_send(pipeline,
								   "INSERT INTO penstock.tables (slot, schema_name, table_name, "
								   "source_oid, columns) VALUES ($1, $2, $3, $4, $5) ON CONFLICT "
								   "(slot, schema_name, table_name) DO UPDATE SET source_oid = "
								   "excluded.source_oid, columns = excluded.columns",
								   5, params, NULL, error);
	free(columns);
	return status;
}

/* ---- tables under copy ---- */

/* By pen_copy_state. */
static const char *const state_names[] = {"",       "creating", "copying", "appending",
										  "copied", "resync",   "ready"};

static pen_copy_state
state_of(const char *name)
{
	pen_copy_state state = PEN_COPY_CREATING;

	while (state < PEN_COPY_READY && strcmp(state_names[state], name) != 0)
		state++;
	return state;
}

penstock_status
pen_stored_mark(PGconn *conn, const pen_source_identity *source, const penstock_relation *relation,
				const pen_copy_mark *mark, pen_error *error)
{
	char *columns = describe_columns(relation);
	char oid[16];
	char position[20];
	char count[24];
	const char *params[] = {source->slot,
							relation->schema,
							relation->name,
							oid,
							columns,
							state_names[mark->state],
							position,
							count,
							mark->created ? "t" : "f"};
	PGresult *result;

	if (columns == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	snprintf(oid, sizeof(oid), "%u", relation->oid);
	snprintf(count, sizeof(count), "%llu", (unsigned long long) mark->rows);
	pen_pq_format_lsn(mark->lsn, position);
	result = pen_pq_query(
		conn,
		"INSERT INTO penstock.tables (slot, schema_name, table_name, source_oid, columns, state, "
		"lsn, rows, created) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (slot, "
		"schema_name, table_name) DO UPDATE SET source_oid = excluded.source_oid, columns = "
		"excluded.columns, state = excluded.state, lsn = excluded.lsn, rows = excluded.rows, "
		"created = excluded.created",
		9, params, error);
	free(columns);
	PQclear(result);
	return result != NULL ? PENSTOCK_OK
						  : pen_error_context(error, "recording the copy of table %s.%s",
											  relation->schema, relation->name);
}

penstock_status
pen_stored_complete(PGconn *conn, const pen_source_identity *source,
					const penstock_relation *relation, pen_error *error)
{
	const char *params[] = {source->slot, relation->schema, relation->name};
	PGresult *result = pen_pq_query(conn,
									"UPDATE penstock.tables SET state = 'ready', created = false "
									"WHERE slot = $1 AND schema_name = $2 AND table_name = $3",
									3, params, error);

	PQclear(result);
	return result != NULL ? PENSTOCK_OK
						  : pen_error_context(error, "recording the copy of table %s.%s",
											  relation->schema, relation->name);
}

penstock_status
pen_stored_recopy(pen_pipeline *pipeline, const pen_source_identity *source, const char *schema,
				  const char *table, pen_error *error)
{
	const char *params[] = {source->slot, schema, table};

	return pen_pipeline_send(pipeline,
							 "INSERT INTO penstock.tables (slot, schema_name, table_name, "
							 "source_oid, columns, state) VALUES ($1, $2, $3, 0, '', 'resync') ON "
							 "CONFLICT (slot, schema_name, table_name) DO UPDATE SET state = "
							 "'resync', lsn = NULL",
							 3, params, NULL, error);
}

penstock_status
pen_stored_ready(pen_pipeline *pipeline, const pen_source_identity *source, const char *schema,
				 const char *table, pen_error *error)
{
	const char *params[] = {source->slot, schema, table};

	return pen_pipeline_send(pipeline,
							 "UPDATE penstock.tables SET state = 'ready' WHERE slot = $1 AND "
							 "schema_name = $2 AND table_name = $3",
							 3, params, NULL, error);
}

penstock_status
pen_stored_unready(PGconn *conn, const pen_source_identity *source, pen_copy_recall each,
				   pen_copy_place *place, pen_error *error)
{
	const char *params[] = {source->slot};
	PGresult *result = pen_pq_query(conn,
									"SELECT schema_name, table_name, state, created FROM "
									"penstock.tables WHERE slot = $1 AND state <> 'ready'",
									1, params, error);
	penstock_status status = PENSTOCK_OK;

	if (result == NULL)
		return pen_error_context(error, "could not read penstock.tables");
	for (int i = 0; status >= 0 && i < PQntuples(result); i++)
	{
		pen_copy_mark mark = {.state = state_of(PQgetvalue(result, i, 2)),
							  .created = PQgetvalue(result, i, 3)[0] == 't'};

		status = each(place, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1), &mark, error);
	}
	PQclear(result);
	return status;
}

/* A line of penstock.tables. */
struct pen_stored_copy
{
	char *schema;
	char *name;
	uint64_t lsn;
};

static penstock_status
read_copy(pen_stored_copies *copies, const PGresult *result, int row, pen_error *error)
{
	struct pen_stored_copy *copy = &copies->copies[copies->count];

	copies->count++;
	copy->schema = strdup(PQgetvalue(result, row, 0));
	copy->name = strdup(PQgetvalue(result, row, 1));
	if (copy->schema == NULL || copy->name == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	if (!pen_pq_parse_lsn(PQgetvalue(result, row, 2), &copy->lsn))
		return pen_error_set(error, PENSTOCK_E_BUG, "unreadable LSN in penstock.tables");
	if (copy->lsn > copies->max_lsn)
		copies->max_lsn = copy->lsn;
	return PENSTOCK_OK;
}

penstock_status
pen_stored_load_copies(PGconn *conn, const pen_source_identity *source, uint64_t lsn,
					   pen_stored_copies *copies, pen_error *error)
{
	char position[20];
	const char *params[] = {source->slot, position};
	penstock_status status = PENSTOCK_OK;
	PGresult *result;

	pen_stored_copies_reset(copies);
	pen_pq_format_lsn(lsn, position);
	result = pen_pq_query(conn,
						  "SELECT schema_name, table_name, lsn FROM penstock.tables "
						  "WHERE slot = $1 AND state = 'ready' AND lsn > $2",
						  2, params, error);
	if (result == NULL)
		return pen_error_context(error, "could not read penstock.tables");
	copies->copies = calloc((size_t) PQntuples(result) + 1, sizeof(*copies->copies));
	if (copies->copies == NULL)
		status = pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	for (int i = 0; status >= 0 && i < PQntuples(result); i++)
		status = read_copy(copies, result, i, error);
	PQclear(result);
	return status;
}

void
pen_stored_copies_reset(pen_stored_copies *copies)
{
	for (size_t i = 0; i < copies->count; i++)
	{
		free(copies->copies[i].schema);
		free(copies->copies[i].name);
	}
	free(copies->copies);
	*copies = (pen_stored_copies){0};
}

bool
pen_stored_has(const pen_stored_copies *copies, const penstock_relation *relation,
			   uint64_t commit_lsn)
{
	if (commit_lsn >= copies->max_lsn)
		return false;
	for (size_t i = 0; i < copies->count; i++)
	{
		const struct pen_stored_copy *copy = &copies->copies[i];

		if (commit_lsn < copy->lsn && strcmp(copy->name, relation->name) == 0 &&
			strcmp(copy->schema, relation->schema) == 0)
			return true;
	}
	return false;
}
