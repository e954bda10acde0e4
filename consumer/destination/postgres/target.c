/* target.c -- a table at the destination, looked up once a session and version.
 * What does not fit is said here, before a row is sent. */
#include "destination/postgres/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/relation.h"
#include "types.h"

/* Columns of the catalog query. */
enum
{
	COL_NAME,
	COL_TYPE,
	COL_GENERATED,
	COL_IDENTITY,
	COL_COUNT
};

static const char *const describe_sql =
	"WITH RECURSIVE base(oid, below) AS ("
	" SELECT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid"
	" UNION SELECT b.oid, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.below"
	" WHERE t.typtype = 'd') "
	"SELECT a.attname, (SELECT b.below FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.below"
	" WHERE b.oid = a.atttypid AND t.typtype <> 'd'), a.attgenerated <> '', a.attidentity "
	"FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid AND a.attnum > 0 "
	"AND NOT a.attisdropped ORDER BY a.attnum";

/* oid, partitioned, effects: what would run a second time in a session without the replica role. */
static const char *const find_sql =
	"SELECT c.oid, c.relkind = 'p', current_setting('session_replication_role') <> 'replica' AND ("
	"EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal"
	" AND g.tgenabled IN ('O', 'A')) OR "
	"EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f'"
	" AND (k.confupdtype IN ('c', 'n', 'd') OR k.confdeltype IN ('c', 'n', 'd')))), c.relkind "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/* ---- what is missing, as SQL ---- */

static char *
quote(PGconn *conn, const char *name)
{
	char *libpq_owned = PQescapeIdentifier(conn, name, strlen(name));
	char *copy = libpq_owned != NULL ? strdup(libpq_owned) : NULL;

	PQfreemem(libpq_owned);
	return copy;
}

/* How built-in types, and arrays of them, write their typmod: "" without one. */
static void
print_modifier(const char *type, int typmod, char *into, size_t size)
{
	static const char *const by_itself[] = {"bit",    "varbit",    "time",
											"timetz", "timestamp", "timestamptz"};

	into[0] = '\0';
	if (typmod < 0)
		return;
	if (strcmp(type, "varchar") == 0 || strcmp(type, "bpchar") == 0)
		snprintf(into, size, "(%d)", typmod - 4);
	else if (strcmp(type, "numeric") == 0)
		snprintf(into, size, "(%d,%d)", ((typmod - 4) >> 16) & 0xffff,
				 (((typmod - 4) & 0x7ff) ^ 1024) - 1024);
	else if (strcmp(type, "interval") == 0 && (typmod & 0xffff) != 0xffff)
		snprintf(into, size, "(%d)", typmod & 0xffff);
	for (size_t i = 0; i < sizeof(by_itself) / sizeof(by_itself[0]); i++)
	{
		if (strcmp(type, by_itself[i]) == 0)
			snprintf(into, size, "(%d)", typmod);
	}
}

/* A source type as one would write it: built-in types without schema, arrays with []. */
static void
print_type(FILE *out, PGconn *conn, const penstock_column *column)
{
	bool array = column->type_name[0] == '_';
	const char *name = column->type_name + (array ? 1 : 0);
	bool built_in = strcmp(column->type_schema, "pg_catalog") == 0;
	char *schema = quote(conn, column->type_schema);
	char *quoted = quote(conn, name);
	char modifier[40];

	if (built_in)
		print_modifier(name, column->typmod, modifier, sizeof(modifier));
	if (built_in && strcmp(name, "char") != 0) /* "char" is not char */
		fprintf(out, "%s%s", name, modifier);
	else if (built_in)
		fputs("\"char\"", out);
	else
		fprintf(out, "%s.%s", schema != NULL ? schema : "?", quoted != NULL ? quoted : "?");
	if (array)
		fputs("[]", out);
	free(schema);
	free(quoted);
}

static bool
is_missing(const pen_target *target, int column)
{
	return !target->columns[column].skip && target->columns[column].type == 0;
}

/* All of them at once, so that one statement mends it. */
static penstock_status
columns_missing(PGconn *conn, const pen_target *target, pen_error *error)
{
	const penstock_relation *relation = target->relation;
	char *alter = NULL;
	size_t length;
	FILE *out = open_memstream(&alter, &length);
	const char *join = "";
	int first = -1;

	if (out == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	for (int i = 0; i < relation->column_count; i++)
	{
		if (!is_missing(target, i))
			continue;
		first = first < 0 ? i : first;
		fprintf(out, "%sADD COLUMN %s ", join, target->columns[i].quoted);
		print_type(out, conn, &relation->columns[i]);
		join = ", ";
	}
	if (fclose(out) != 0)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	else if (first >= 0)
		pen_error_set(error, PENSTOCK_E_WAITING,
					  "table %s has no column %s here; run: ALTER TABLE %s %s", target->quoted,
					  target->columns[first].quoted, target->quoted, alter);
	free(alter);
	return error->status;
}

/* ---- looking up ---- */

static char *
quote_table(PGconn *conn, const penstock_relation *relation)
{
	char *schema = quote(conn, relation->schema);
	char *name = quote(conn, relation->name);
	char *both = NULL;

	if (schema == NULL || name == NULL || asprintf(&both, "%s.%s", schema, name) < 0)
		both = NULL;
	free(schema);
	free(name);
	return both;
}

/* The table's oid as text, for free(), or NULL and error. */
static char *
find_table(pen_pipeline *pipeline, pen_target *target, bool allow_triggers, pen_error *error)
{
	const char *params[] = {target->relation->schema, target->relation->name};
	PGresult *result = pen_pipeline_query(pipeline, find_sql, 2, params, error);
	char *oid = NULL;
	char relkind;

	if (result == NULL)
		return NULL;
	relkind = PQntuples(result) == 1 ? PQgetvalue(result, 0, 3)[0] : '\0';
	if (relkind == '\0')
		pen_error_set(
			error, PENSTOCK_E_WAITING,
			"there is no table %s here; create it as it is at the source, for example with "
			"pg_dump --schema-only --table '%s'",
			target->quoted, target->quoted);
	else if (relkind != 'r' && relkind != 'p')
		pen_error_set(error, PENSTOCK_E_REFUSED, "%s is not a table here", target->quoted);
	else if (PQgetvalue(result, 0, 2)[0] == 't' && !allow_triggers)
		pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"table %s has triggers or cascading foreign keys, whose effects arrive as rows too "
			"and would be applied twice; GRANT SET ON PARAMETER session_replication_role to the "
			"role (PostgreSQL 15 and newer), or pass --allow-triggers",
			target->quoted);
	else
	{
		target->partitioned = PQgetvalue(result, 0, 1)[0] == 't';
		oid = strdup(PQgetvalue(result, 0, 0));
	}
	PQclear(result);
	return oid;
}

/* Which form our parameter has: binary with a type of its own where the wire has the value in
 * binary, else text for the destination's type to read. */
static void
choose_parameter(pen_target_column *into, const penstock_column *column)
{
	switch ((pen_encoding) column->encoding)
	{
		case PEN_ENCODING_BOOL:
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
		case PEN_ENCODING_FLOAT4:
		case PEN_ENCODING_FLOAT8:
		case PEN_ENCODING_BYTEA:
		case PEN_ENCODING_DATE:
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
		case PEN_ENCODING_UUID:
			into->param_type = column->base_type_oid;
			into->binary = true;
			break;
		case PEN_ENCODING_TEXT:
			/* The binary form of these is their text, without a terminator. */
			into->binary = into->type == PEN_OID_TEXT || into->type == PEN_OID_VARCHAR ||
						   into->type == PEN_OID_BPCHAR || into->type == PEN_OID_JSON;
			into->param_type = into->binary ? into->type : 0;
			break;
		default:
			break;
	}
}

static penstock_status
match_columns(PGconn *conn, pen_target *target, const PGresult *result, pen_error *error)
{
	const penstock_relation *relation = target->relation;

	for (int i = 0; i < relation->column_count; i++)
	{
		const penstock_column *column = &relation->columns[i];
		pen_target_column *into = &target->columns[i];
		int row = 0;

		into->quoted = quote(conn, column->name);
		if (into->quoted == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		while (row < PQntuples(result) &&
			   strcmp(PQgetvalue(result, row, COL_NAME), column->name) != 0)
			row++;
		if (row == PQntuples(result))
		{
			/* What the source computes, the destination may do without. */
			into->skip = column->generated;
			continue;
		}
		into->type = (Oid) strtoul(PQgetvalue(result, row, COL_TYPE), NULL, 10);
		into->skip = PQgetvalue(result, row, COL_GENERATED)[0] == 't';
		into->identity_always = PQgetvalue(result, row, COL_IDENTITY)[0] == 'a';
		target->has_identity = target->has_identity || PQgetvalue(result, row, COL_IDENTITY)[0];
		choose_parameter(into, column);
	}
	pen_error_clear(error);
	return columns_missing(conn, target, error);
}

static penstock_status
look_if_empty(pen_pipeline *pipeline, pen_target *target, pen_error *error)
{
	char *sql = NULL;
	PGresult *result;

	if (asprintf(&sql, "SELECT NOT EXISTS (SELECT FROM %s)", target->quoted) < 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	result = pen_pipeline_query(pipeline, sql, 0, NULL, error);
	free(sql);
	if (result == NULL)
		return pen_error_context(error, "table %s", target->quoted);
	target->empty = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return PENSTOCK_OK;
}

static penstock_status
describe(pen_pipeline *pipeline, PGconn *conn, pen_target *target, bool allow_triggers,
		 pen_error *error)
{
	char *oid = find_table(pipeline, target, allow_triggers, error);
	const char *params[1];
	PGresult *result;
	penstock_status status;

	if (oid == NULL)
		return error->status;
	params[0] = oid;
	result = pen_pipeline_query(pipeline, describe_sql, 1, params, error);
	free(oid);
	if (result == NULL)
		return error->status;
	status = PQnfields(result) == COL_COUNT ? match_columns(conn, target, result, error)
											: pen_error_set(error, PENSTOCK_E_BUG, "catalog query");
	PQclear(result);
	return status < 0 ? status : look_if_empty(pipeline, target, error);
}

pen_target *
pen_target_new(pen_pipeline *pipeline, PGconn *conn, const penstock_relation *relation,
			   bool allow_triggers, unsigned int serial, pen_error *error)
{
	pen_target *target = calloc(1, sizeof(*target));

	if (target != NULL)
	{
		target->relation = pen_relation_ref(relation);
		target->serial = serial;
		target->quoted = quote_table(conn, relation);
		target->columns = calloc((size_t) relation->column_count + 1, sizeof(*target->columns));
	}
	if (target == NULL || target->quoted == NULL || target->columns == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	else if (describe(pipeline, conn, target, allow_triggers, error) >= 0)
		return target;
	pen_target_free(target);
	return NULL;
}

static void
free_statement(pen_target_statement *statement)
{
	free(statement->sql);
	free(statement->left_out);
	free(statement->new_columns);
	free(statement->where_columns);
	free(statement);
}

void
pen_target_free(pen_target *target)
{
	if (target == NULL)
		return;
	while (target->statements != NULL)
	{
		pen_target_statement *next = target->statements->next;

		free_statement(target->statements);
		target->statements = next;
	}
	for (int i = 0; target->columns != NULL && i < target->relation->column_count; i++)
		free(target->columns[i].quoted);
	free(target->columns);
	free(target->quoted);
	pen_relation_unref(target->relation);
	free(target);
}

/* ---- statements ---- */

bool
pen_target_by_whole_row(const penstock_relation *relation)
{
	return relation->key_count == 0 && relation->replica_identity == 'f';
}

static bool
is_left_out(const uint8_t *left_out, int column)
{
	return left_out != NULL && (left_out[column / 8] >> (column % 8) & 1) != 0;
}

/*
 * One condition on an old value. A key is compared by its type's =, for its index; whole rows by
 * what exactly they hold: types that travel as output text by that text, so that 1.0 is not 1.00
 * and types without an = can be found.
 */
static void
write_condition(FILE *out, const pen_target *target, int column, int param, bool whole_row)
{
	const pen_target_column *to = &target->columns[column];
	const penstock_column *from = &target->relation->columns[column];

	if (!whole_row)
		fprintf(out, "%s = $%d", to->quoted, param);
	else if (from->encoding == PEN_ENCODING_OUTPUT || from->base_type_oid == PEN_OID_JSON)
		fprintf(out,
				"CASE WHEN $%d::text IS NULL THEN %s IS NULL ELSE %s IS NOT NULL AND "
				"pg_catalog.format('%%s', %s) = $%d::text END",
				param, to->quoted, to->quoted, to->quoted, param);
	else if (from->base_type_oid == PEN_OID_TEXT || from->base_type_oid == PEN_OID_VARCHAR)
		fprintf(out, "%s COLLATE \"C\" IS NOT DISTINCT FROM $%d", to->quoted, param);
	else
		fprintf(out, "%s IS NOT DISTINCT FROM $%d", to->quoted, param);
}

/* Appends the old row's parameters to the statement. */
static void
write_where(FILE *out, pen_target *target, pen_target_statement *statement)
{
	const penstock_relation *relation = target->relation;
	bool whole_row = pen_target_by_whole_row(relation);
	int count = whole_row ? relation->column_count : relation->key_count;
	const char *join = "";

	if (whole_row && target->partitioned)
		fprintf(out, "(tableoid, ctid) IN (SELECT tableoid, ctid FROM %s WHERE ", target->quoted);
	else if (whole_row)
		fprintf(out, "ctid = (SELECT ctid FROM %s WHERE ", target->quoted);
	for (int i = 0; i < count; i++)
	{
		int column = whole_row ? i : relation->key_columns[i];

		if (target->columns[column].skip)
			continue;
		statement->where_columns[statement->where_count++] = column;
		fputs(join, out);
		write_condition(out, target, column, statement->new_count + statement->where_count,
						whole_row);
		join = " AND ";
	}
	if (statement->where_count == 0)
		fputs("true", out);
	if (whole_row)
		fputs(" LIMIT 1)", out);
}

static void
write_insert(FILE *out, pen_target *target, pen_target_statement *statement)
{
	fprintf(out, "INSERT INTO %s (", target->quoted);
	for (int i = 0; i < target->relation->column_count; i++)
	{
		if (target->columns[i].skip)
			continue;
		fprintf(out, "%s%s", statement->new_count > 0 ? ", " : "", target->columns[i].quoted);
		statement->new_columns[statement->new_count++] = i;
	}
	if (statement->new_count == 0)
	{
		rewind(out);
		fprintf(out, "INSERT INTO %s DEFAULT VALUES", target->quoted);
		return;
	}
	fprintf(out, ")%s VALUES (", target->has_identity ? " OVERRIDING SYSTEM VALUE" : "");
	for (int i = 1; i <= statement->new_count; i++)
		fprintf(out, "%s$%d", i > 1 ? ", " : "", i);
	fputc(')', out);
}

/* A GENERATED ALWAYS column cannot be set: it becomes a condition, so that a change of it is
 * noticed as a missing row. */
static void
write_update(FILE *out, pen_target *target, pen_target_statement *statement,
			 const uint8_t *left_out)
{
	int count = target->relation->column_count;
	int set = 0;
	int guards = 0;
	int *guard = calloc((size_t) count + 1, sizeof(*guard));

	fprintf(out, "UPDATE %s SET ", target->quoted);
	for (int i = 0; i < count; i++)
	{
		if (target->columns[i].skip || is_left_out(left_out, i))
			continue;
		statement->new_columns[statement->new_count++] = i;
		if (target->columns[i].identity_always && guard != NULL)
			guard[guards++] = statement->new_count;
		else
			fprintf(out, "%s%s = $%d", set++ > 0 ? ", " : "", target->columns[i].quoted,
					statement->new_count);
	}
	if (set == 0 && count > 0)
	{
		/* Nothing to set: still look that the row is there. */
		fprintf(out, "%s = %s", target->columns[0].quoted, target->columns[0].quoted);
	}
	fputs(" WHERE ", out);
	write_where(out, target, statement);
	for (int i = 0; i < guards; i++)
		fprintf(out, " AND %s = $%d", target->columns[statement->new_columns[guard[i] - 1]].quoted,
				guard[i]);
	free(guard);
}

static void
write_statement(FILE *out, pen_target *target, pen_target_statement *statement,
				const uint8_t *left_out)
{
	switch (statement->operation)
	{
		case PEN_TARGET_INSERT:
			write_insert(out, target, statement);
			break;
		case PEN_TARGET_UPDATE:
			write_update(out, target, statement, left_out);
			break;
		case PEN_TARGET_DELETE:
			fprintf(out, "DELETE FROM %s WHERE ", target->quoted);
			write_where(out, target, statement);
			break;
	}
}

static pen_target_statement *
new_statement(pen_target *target, pen_target_operation operation, const uint8_t *left_out,
			  size_t mask_bytes)
{
	pen_target_statement *statement = calloc(1, sizeof(*statement));
	size_t columns = (size_t) target->relation->column_count + 1;
	size_t length;
	FILE *out;

	if (statement == NULL)
		return NULL;
	statement->target = target;
	statement->operation = operation;
	snprintf(statement->name, sizeof(statement->name), "p%u_%u", target->serial,
			 target->statement_count++);
	statement->new_columns = calloc(columns, sizeof(int));
	statement->where_columns = calloc(columns, sizeof(int));
	statement->left_out = calloc(1, mask_bytes);
	out = open_memstream(&statement->sql, &length);
	if (statement->new_columns != NULL && statement->where_columns != NULL &&
		statement->left_out != NULL && out != NULL)
	{
		if (left_out != NULL)
			memcpy(statement->left_out, left_out, mask_bytes);
		write_statement(out, target, statement, left_out);
		if (fclose(out) == 0)
			return statement;
	}
	else if (out != NULL)
		fclose(out);
	free_statement(statement);
	return NULL;
}

pen_target_statement *
pen_target_statement_get(pen_target *target, pen_target_operation operation,
						 const uint8_t *left_out, pen_error *error)
{
	size_t mask_bytes = (size_t) target->relation->column_count / 8 + 1;
	pen_target_statement *statement = target->statements;

	while (statement != NULL &&
		   (statement->operation != operation ||
			(left_out != NULL && memcmp(statement->left_out, left_out, mask_bytes) != 0)))
		statement = statement->next;
	if (statement == NULL)
	{
		statement = new_statement(target, operation, left_out, mask_bytes);
		if (statement == NULL)
		{
			pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
			return NULL;
		}
		statement->next = target->statements;
		target->statements = statement;
	}
	return statement;
}
