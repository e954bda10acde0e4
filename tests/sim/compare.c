/* compare.c -- all tables of a state, row by row and text by text.
 * Where progress lies in the bracket of a commit, all tables must be as before it, or all as
 * after. */
#include "compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "servers.h"
#include "sql.h"

#define SHOWN_MAX    120 /* bytes of a value */
#define LOCK_TIMEOUT "1s"

/* Rows that were found, in the order of the model's. */
typedef struct found_rows
{
	sim_arena arena;
	const sim_row **rows;
	size_t count;
	size_t size;
} found_rows;

static void
found_reset(found_rows *found)
{
	free(found->rows);
	sim_arena_reset(&found->arena);
	memset(found, 0, sizeof(*found));
}

/* A row with room for the columns of a schema, all NULL. */
static sim_row *
found_add(found_rows *found, const sim_schema *schema)
{
	size_t size = sizeof(sim_row) + (size_t) schema->column_count * sizeof(const char *);
	sim_row *row = sim_arena_take(&found->arena, size);

	memset(row, 0, size);
	row->count = schema->column_count;
	if (found->count == found->size)
	{
		found->size = found->size * 2 + 64;
		found->rows = realloc(found->rows, found->size * sizeof(*found->rows));
		if (found->rows == NULL)
			sim_die("out of memory");
	}
	found->rows[found->count++] = row;
	return row;
}

static void
found_set(found_rows *found, const sim_schema *schema, sim_row *row, int column, const char *value)
{
	row->values[column] = value != NULL ? sim_arena_print(&found->arena, "%s", value) : NULL;
	if (schema->columns[column].role == SIM_ROLE_ID && value != NULL)
		row->id = strtoll(value, NULL, 10);
}

static int
compare_rows(const void *a, const void *b, void *schema)
{
	return sim_row_compare(schema, *(const sim_row *const *) a, *(const sim_row *const *) b);
}

/* ---- differences ---- */

static void
print_row(FILE *out, const sim_schema *schema, const sim_row *row)
{
	const char *join = "(";

	for (int i = 0; i < schema->column_count; i++)
	{
		const char *value = sim_row_value(schema, row, i);

		if (schema->columns[i].dropped)
			continue;
		fprintf(out, value != NULL ? "%s%s='%.*s'" : "%s%s=NULL", join, schema->columns[i].name,
				SHOWN_MAX, value);
		join = ", ";
	}
	fputs(")", out);
}

/* Into a text for free(). */
static char *
describe(const sim_version *version, const found_rows *found, size_t at)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		sim_die("out of memory");
	fprintf(out,
			"table %s: %zu rows, expected %zu; the first that differs: ", version->schema->name,
			found->count, version->count);
	if (at < found->count)
		print_row(out, version->schema, found->rows[at]);
	else
		fputs("none", out);
	fputs(", expected ", out);
	if (at < version->count)
		print_row(out, version->schema, version->rows[at]);
	else
		fputs("none", out);
	fclose(out);
	return text;
}

/* Sorted as the model's rows are, each must be the same. */
static bool
equal_rows(const sim_version *version, found_rows *found, const char *where, sim_failure *failure)
{
	size_t n = 0;
	const sim_schema *schema = version->schema;
	const sim_row **expected = NULL;
	bool equal;
	size_t size = version->count * sizeof(*expected);

	/* Equal ids have no order in a version. */
	expected = malloc(size + 1);
	if (expected == NULL)
		sim_die("out of memory");
	memcpy(expected, version->rows, size);
	qsort_r(expected, version->count, sizeof(*expected), compare_rows, (void *) schema);
	qsort_r(found->rows, found->count, sizeof(*found->rows), compare_rows, (void *) schema);
	while (n < version->count && n < found->count &&
		   sim_row_compare(schema, expected[n], found->rows[n]) == 0)
		n++;
	equal = n == version->count && n == found->count;
	if (!equal)
	{
		char *text = describe(version, found, n);

		sim_fail(failure, "%s: %s", where, text);
		free(text);
	}
	free(expected);
	return equal;
}

/* ---- databases ---- */

static bool
read_table(PGconn *conn, const sim_schema *schema, found_rows *found)
{
	char *sql = sim_sql_select(schema);
	PGresult *result = PQexec(conn, sql);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;

	for (int n = 0; ok && n < PQntuples(result); n++)
	{
		sim_row *row = found_add(found, schema);
		int field = 0;

		for (int i = 0; i < schema->column_count; i++)
		{
			if (schema->columns[i].dropped)
				continue;
			found_set(found, schema, row, i,
					  PQgetisnull(result, n, field) ? NULL : PQgetvalue(result, n, field));
			field++;
		}
	}
	PQclear(result);
	free(sql);
	return ok;
}

static bool
compare_state(PGconn *conn, const sim_state *state, const char *where, sim_failure *failure)
{
	bool equal = true;

	for (int i = 0; i < SIM_TABLES_MAX && equal; i++)
	{
		const sim_version *version = state->tables[i];
		found_rows found = {0};

		if (version == NULL)
			continue;
		equal = read_table(conn, version->schema, &found)
					? equal_rows(version, &found, where, failure)
					: sim_fail(failure, "%s: table %s: %s", where, version->schema->name,
							   PQerrorMessage(conn));
		found_reset(&found);
	}
	return equal;
}

bool
sim_compare_source(PGconn *conn, const sim_model *model, sim_failure *failure)
{
	return compare_state(conn, &sim_model_last(model)->state,
						 "THE MODEL IS WRONG, or the source: source", failure);
}

static void
print_where(char *into, size_t size, const char *name, uint64_t lsn, const sim_commit *commit)
{
	snprintf(into, size,
			 "%s, whose progress is " SIM_LSN_FORMAT
			 ", beside the commit of step %ld (" SIM_LSN_FORMAT " to " SIM_LSN_FORMAT ")",
			 name, SIM_LSN_ARGS(lsn), commit->step, SIM_LSN_ARGS(commit->before),
			 SIM_LSN_ARGS(commit->after));
}

static bool
compare_at(PGconn *conn, const char *name, uint64_t lsn, const sim_model *model,
		   sim_failure *failure)
{
	size_t first;
	size_t last;

	sim_model_at(model, lsn, &first, &last);
	for (size_t n = last;; n--)
	{
		sim_failure this_one = {0};
		char where[300];

		print_where(where, sizeof(where), name, lsn, &model->commits[n]);
		if (compare_state(conn, &model->commits[n].state, where, &this_one))
			return true;
		if (n == first)
			return sim_fail(failure, "%s", this_one.text);
	}
}

uint64_t
sim_progress(PGconn *conn, const char *slot)
{
	char *text;
	uint64_t lsn;

	/* The table is made when Penstock first comes. */
	text = sim_value_of(conn, "SELECT to_regclass('penstock.progress')");
	if (text[0] != '\0')
	{
		free(text);
		text = sim_value_of(conn, "SELECT lsn FROM penstock.progress WHERE slot = '%s'", slot);
	}
	lsn = text[0] != '\0' ? sim_lsn_parse(text) : 0;
	free(text);
	return lsn;
}

/*
 * TRUNCATE empties a table for snapshots that are older than it, too, here as everywhere in
 * PostgreSQL: who wants one state of several tables locks them before the snapshot is taken. False
 * when a lock is not to be had, as a follower that is frozen may have them.
 */
static bool
lock_tables(PGconn *conn)
{
	char *tables = sim_value_of(conn, "SELECT string_agg(oid::regclass::text, ', ') FROM pg_class "
									  "WHERE relnamespace = 'app'::regnamespace AND "
									  "relkind IN ('r', 'p')");
	char *sql;
	PGresult *result;
	bool locked;

	if (asprintf(&sql, "LOCK TABLE %s IN ACCESS SHARE MODE", tables) < 0)
		sim_die("out of memory");
	sim_execute(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	sim_execute(conn, "SET LOCAL lock_timeout = '" LOCK_TIMEOUT "'");
	result = PQexec(conn, sql);
	locked = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	free(sql);
	free(tables);
	return locked;
}

sim_comparison
sim_compare_destination(PGconn *conn, const char *name, const char *slot, const sim_model *model,
						sim_failure *failure)
{
	sim_comparison comparison = SIM_NOT_COMPARED;

	if (lock_tables(conn))
		comparison = compare_at(conn, name, sim_progress(conn, slot), model, failure)
						 ? SIM_EQUAL
						 : SIM_DIFFERENT;
	sim_execute(conn, "ROLLBACK");
	return comparison;
}

/* ---- memory ---- */

static const char *
printed_value(found_rows *found, const penstock_row *row, int column)
{
	char small[256];
	size_t length = 0;
	char *text;
	penstock_status status = penstock_get_printed(row, column, small, sizeof(small), &length);

	if (status == PENSTOCK_NULL)
		return NULL;
	if (status != PENSTOCK_OK)
		return "(cannot be read)";
	text = sim_arena_take(&found->arena, length + 1);
	if (length < sizeof(small))
		memcpy(text, small, length + 1);
	else if (penstock_get_printed(row, column, text, length + 1, &length) != PENSTOCK_OK)
		return "(cannot be read twice)";
	return text;
}

static void
read_memory_table(penstock_snapshot *snapshot, penstock_table *table, const sim_schema *schema,
				  found_rows *found)
{
	uint64_t position = 0;
	penstock_row from;

	while (penstock_next_row(snapshot, table, &position, &from))
	{
		sim_row *row = found_add(found, schema);

		for (int i = 0; i < schema->column_count; i++)
		{
			int column = penstock_column_index(from.relation, schema->columns[i].name);

			if (schema->columns[i].dropped)
				continue;
			/* Added since this version of the row's table was described. */
			row->values[i] =
				column < 0 ? schema->columns[i].initial : printed_value(found, &from, column);
			if (schema->columns[i].role == SIM_ROLE_ID && row->values[i] != NULL)
				row->id = strtoll(row->values[i], NULL, 10);
		}
	}
}

/* The rows of a table that is in parts lie in those. A table without rows need not be there. */
static void
read_memory(penstock_snapshot *snapshot, const sim_schema *schema, found_rows *found)
{
	for (int part = schema->parts > 0 ? 0 : -1; part < schema->parts; part++)
	{
		char name[64];
		penstock_table *table;

		if (part < 0)
			snprintf(name, sizeof(name), "%s", schema->name);
		else
			snprintf(name, sizeof(name), "t%d_part%d", schema->number, part);
		table = penstock_snapshot_table(snapshot, "app", name);
		if (table != NULL)
			read_memory_table(snapshot, table, schema, found);
		if (part < 0)
			break;
	}
}

static bool
compare_memory_state(penstock_snapshot *snapshot, const sim_state *state, const char *where,
					 sim_failure *failure)
{
	bool equal = true;

	for (int i = 0; i < SIM_TABLES_MAX && equal; i++)
	{
		const sim_version *version = state->tables[i];
		found_rows found = {0};

		if (version == NULL)
			continue;
		read_memory(snapshot, version->schema, &found);
		equal = equal_rows(version, &found, where, failure);
		found_reset(&found);
	}
	return equal;
}

bool
sim_compare_memory(penstock_snapshot *snapshot, const sim_model *model, sim_failure *failure)
{
	uint64_t lsn = penstock_snapshot_lsn(snapshot);
	size_t first;
	size_t last;

	sim_model_at(model, lsn, &first, &last);
	for (size_t n = last;; n--)
	{
		sim_failure this_one = {0};
		char where[300];

		print_where(where, sizeof(where), "memory", lsn, &model->commits[n]);
		if (compare_memory_state(snapshot, &model->commits[n].state, where, &this_one))
			return true;
		if (n == first)
			return sim_fail(failure, "%s", this_one.text);
	}
}
