/* target.c -- a table at the destination, looked up once a session and version.
 * What does not fit is said here, before a row is sent. */
#include "destination/postgres/statement.h"

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
	COL_TYPE_NAME, /* as SQL, without a length: with -1, as "bit" alone is bit(1) */
	COL_RECEIVE,
	COL_CAST, /* a text is cast to it by a function, not read by its input function */
	COL_DETERMINISTIC,
	COL_EQUAL, /* the = of the type's indexes, qualified; NULL: it has none */
	COL_COUNT
};

static const char *const describe_sql =
	"WITH RECURSIVE base(oid, below) AS ("
	" SELECT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid"
	" UNION SELECT b.oid, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.below"
	" WHERE t.typtype = 'd') "
	"SELECT a.attname, t.oid, a.attgenerated <> '', a.attidentity, "
	"pg_catalog.format_type(t.oid, -1), "
	"(SELECT p.prosrc FROM pg_catalog.pg_proc p WHERE p.oid = t.typreceive AND p.prolang = 12), "
	"EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = 'text'::regtype"
	" AND k.casttarget = t.oid AND k.castmethod = 'f'), "
	"coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l"
	" WHERE l.oid = a.attcollation), true), "
	"(SELECT pg_catalog.format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_catalog.pg_opclass "
	"c"
	" JOIN pg_catalog.pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3"
	" AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype"
	" JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr"
	" JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace"
	" WHERE c.opcintype = t.oid AND c.opcdefault AND c.opcmethod ="
	" (SELECT h.oid FROM pg_catalog.pg_am h WHERE h.amname = 'btree')) "
	"FROM pg_catalog.pg_attribute a LEFT JOIN (base b JOIN pg_catalog.pg_type t ON t.oid = b.below"
	" AND t.typtype <> 'd') ON b.oid = a.atttypid "
	"WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/* What decides how far changes may leave their order: see choose_mode. A trigger counts when it
 * fires in this session; the one that looks again at a deferrable unique constraint changes
 * nothing. */
enum
{
	FACT_EFFECTS,
	FACT_EXCLUSION,
	FACT_DEFERRABLE,
	FACT_KEY_INDEX,
	FACT_COUNT
};

static const char *const facts_sql =
	"WITH own AS (SELECT CASE pg_catalog.current_setting('session_replication_role')"
	" WHEN 'replica' THEN 'R' ELSE 'O' END AS role),"
	" family AS (SELECT $1::oid AS oid UNION SELECT p.relid FROM"
	" pg_catalog.pg_partition_tree($1::oid::regclass) p) "
	"SELECT pg_catalog.row_security_active($1::oid) OR "
	"EXISTS (SELECT FROM pg_catalog.pg_trigger g, own"
	" WHERE g.tgrelid = ANY (ARRAY(SELECT f.oid FROM family f))"
	" AND (g.tgenabled = 'A' OR g.tgenabled::text = own.role) AND g.tgfoid <> 1250) OR "
	"EXISTS (SELECT FROM pg_catalog.pg_rewrite r, own WHERE r.ev_class = $1::oid"
	" AND (r.ev_enabled = 'A' OR r.ev_enabled::text = own.role)), "
	"EXISTS (SELECT FROM pg_catalog.pg_index i"
	" WHERE i.indrelid = ANY (ARRAY(SELECT f.oid FROM family f)) AND i.indisexclusion), "
	"EXISTS (SELECT FROM pg_catalog.pg_constraint k"
	" WHERE k.conrelid = ANY (ARRAY(SELECT f.oid FROM family f)) AND k.condeferrable), "
	"EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = $1::oid AND i.indisunique"
	" AND i.indimmediate AND i.indisvalid AND i.indisready AND i.indpred IS NULL"
	" AND i.indexprs IS NULL AND (SELECT pg_catalog.count(DISTINCT a.attname) = i.indnkeyatts"
	" AND pg_catalog.count(DISTINCT a.attname) = pg_catalog.cardinality($2::text[])"
	" AND pg_catalog.bool_and(a.attname::text = ANY ($2::text[])"
	" AND i.indcollation[k.n] = a.attcollation)"
	" FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k(n)"
	" JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n]))";

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

/* The name of a type that has an encoding of its own. */
static const char *
native_name(uint32_t base_type_oid)
{
	switch (base_type_oid)
	{
		case PEN_OID_BOOL:
			return "pg_catalog.bool";
		case PEN_OID_BYTEA:
			return "pg_catalog.bytea";
		case PEN_OID_INT8:
			return "pg_catalog.int8";
		case PEN_OID_INT2:
			return "pg_catalog.int2";
		case PEN_OID_INT4:
			return "pg_catalog.int4";
		case PEN_OID_OID:
			return "pg_catalog.oid";
		case PEN_OID_FLOAT4:
			return "pg_catalog.float4";
		case PEN_OID_FLOAT8:
			return "pg_catalog.float8";
		case PEN_OID_DATE:
			return "pg_catalog.date";
		case PEN_OID_TIME:
			return "pg_catalog.time";
		case PEN_OID_TIMESTAMP:
			return "pg_catalog.timestamp";
		case PEN_OID_TIMESTAMPTZ:
			return "pg_catalog.timestamptz";
		case PEN_OID_UUID:
			return "pg_catalog.uuid";
		default:
			return NULL;
	}
}

/*
 * How values become arrays and fields of COPY. No length is ever put on a cast: an explicit one
 * cuts what is too long, while the assignment to the column complains as a single INSERT would.
 */
static bool
choose_forms(pen_target_column *into, const penstock_column *column, const char *type_name,
			 const char *receive, bool cast_by_function)
{
	pen_encoding encoding = (pen_encoding) column->encoding;
	bool native = encoding != PEN_ENCODING_TEXT && encoding != PEN_ENCODING_OUTPUT;
	const char *array_type = native ? native_name(column->base_type_oid) : type_name;

	into->copy_form = pen_form_of_receive(receive, encoding, column->base_type_oid);
	into->no_copy = native && into->copy_form == PEN_FORM_NONE;
	if (native)
	{
		into->array_form = pen_form_of_source(encoding, column->base_type_oid);
		into->element_type = column->base_type_oid;
		into->no_array = array_type == NULL || into->array_form == PEN_FORM_NONE;
	}
	else if (into->copy_form != PEN_FORM_NONE)
	{
		into->array_form = into->copy_form;
		into->element_type = into->type;
	}
	else
	{
		into->array_form = PEN_FORM_RAW;
		into->element_type = PEN_OID_TEXT;
		into->no_array = cast_by_function;
		into->cast = strdup(type_name);
		array_type = "pg_catalog.text";
		if (into->cast == NULL)
			return false;
	}
	into->array_type = array_type != NULL ? strdup(array_type) : NULL;
	return into->array_type != NULL || into->no_array;
}

static bool
add_own_column(pen_target *target, PGconn *conn, const char *name)
{
	char **columns =
		realloc(target->own_columns, ((size_t) target->own_count + 1) * sizeof(char *));

	if (columns == NULL)
		return false;
	target->own_columns = columns;
	columns[target->own_count] = quote(conn, name);
	return columns[target->own_count++] != NULL;
}

/* The destination's columns that the source does not have. */
static bool
find_own_columns(PGconn *conn, pen_target *target, const PGresult *result)
{
	for (int row = 0; row < PQntuples(result); row++)
	{
		const char *name = PQgetvalue(result, row, COL_NAME);

		if (PQgetvalue(result, row, COL_GENERATED)[0] == 'f' &&
			penstock_column_index(target->relation, name) < 0 &&
			!add_own_column(target, conn, name))
			return false;
	}
	return true;
}

static bool
match_column(pen_target *target, int i, const PGresult *result, int row)
{
	const penstock_column *column = &target->relation->columns[i];
	pen_target_column *into = &target->columns[i];
	char identity = PQgetvalue(result, row, COL_IDENTITY)[0];

	into->type = (Oid) strtoul(PQgetvalue(result, row, COL_TYPE), NULL, 10);
	into->skip = PQgetvalue(result, row, COL_GENERATED)[0] == 't';
	into->identity_always = identity == 'a';
	into->deterministic = PQgetvalue(result, row, COL_DETERMINISTIC)[0] == 't';
	into->equal =
		strdup(PQgetisnull(result, row, COL_EQUAL) ? "=" : PQgetvalue(result, row, COL_EQUAL));
	target->has_identity = target->has_identity || identity != '\0';
	target->has_always = target->has_always || into->identity_always;
	choose_parameter(into, column);
	return into->equal != NULL && choose_forms(into, column, PQgetvalue(result, row, COL_TYPE_NAME),
											   PQgetvalue(result, row, COL_RECEIVE),
											   PQgetvalue(result, row, COL_CAST)[0] == 't');
}

static penstock_status
match_columns(PGconn *conn, pen_target *target, const PGresult *result, pen_error *error)
{
	const penstock_relation *relation = target->relation;
	bool ok = find_own_columns(conn, target, result);

	for (int i = 0; ok && i < relation->column_count; i++)
	{
		const penstock_column *column = &relation->columns[i];
		int row = 0;

		target->columns[i].quoted = quote(conn, column->name);
		while (row < PQntuples(result) &&
			   strcmp(PQgetvalue(result, row, COL_NAME), column->name) != 0)
			row++;
		if (row < PQntuples(result))
			ok = match_column(target, i, result, row);
		else
			target->columns[i].skip = column->generated; /* what the source computes, the
															destination may do without */
		ok = ok && target->columns[i].quoted != NULL;
	}
	if (!ok)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	pen_error_clear(error);
	return columns_missing(conn, target, error);
}

/* ---- how far changes may leave their order ---- */

/* Equal values have equal bytes, at both ends. */
static bool
is_key_type(const penstock_column *column, const pen_target_column *to)
{
	if (to->skip)
		return false;
	switch (column->base_type_oid)
	{
		case PEN_OID_INT2:
		case PEN_OID_INT4:
		case PEN_OID_INT8:
			return to->copy_form == PEN_FORM_INT2 || to->copy_form == PEN_FORM_INT4 ||
				   to->copy_form == PEN_FORM_INT8;
		case PEN_OID_TEXT:
		case PEN_OID_VARCHAR:
			return (to->type == PEN_OID_TEXT || to->type == PEN_OID_VARCHAR) && to->deterministic;
		case PEN_OID_BOOL:
		case PEN_OID_OID:
		case PEN_OID_UUID:
		case PEN_OID_BYTEA:
		case PEN_OID_DATE:
		case PEN_OID_TIME:
		case PEN_OID_TIMESTAMP:
		case PEN_OID_TIMESTAMPTZ:
			return to->type == column->base_type_oid;
		default:
			return false;
	}
}

static void
choose_mode(pen_target *target, const PGresult *facts)
{
	const penstock_relation *relation = target->relation;
	bool arrays = true;
	bool key_types = true;
	int settable = 0;

	target->copy = PEN_COPY_BINARY;
	for (int i = 0; i < relation->column_count; i++)
	{
		const pen_target_column *column = &target->columns[i];

		if (column->skip)
			continue;
		settable++;
		arrays = arrays && !column->no_array;
		if (column->no_copy)
			target->copy = PEN_COPY_NO;
		else if (column->copy_form == PEN_FORM_NONE && target->copy == PEN_COPY_BINARY)
			target->copy = PEN_COPY_TEXT;
	}
	for (int k = 0; k < relation->key_count; k++)
		key_types = key_types && is_key_type(&relation->columns[relation->key_columns[k]],
											 &target->columns[relation->key_columns[k]]);
	if (settable == 0)
	{
		arrays = false;
		target->copy = PEN_COPY_NO;
	}
	target->arrays = arrays;
	target->mode = PEN_TARGET_APPEND;
	target->has_key_index =
		relation->key_count > 0 && PQgetvalue(facts, 0, FACT_KEY_INDEX)[0] == 't';
	target->deferrable = PQgetvalue(facts, 0, FACT_DEFERRABLE)[0] == 't';
	if (PQgetvalue(facts, 0, FACT_EFFECTS)[0] == 't')
	{
		target->mode = PEN_TARGET_ORDERED;
		target->reason = PEN_REASON_EFFECTS;
	}
	else if (PQgetvalue(facts, 0, FACT_EXCLUSION)[0] == 't')
		target->reason = PEN_REASON_EXCLUSION;
	else if (target->deferrable)
		target->reason = PEN_REASON_DEFERRABLE;
	else if (relation->key_count == 0)
		target->reason = PEN_REASON_NO_KEY;
	else if (!arrays)
		target->reason = PEN_REASON_TYPE;
	else if (!key_types)
		target->reason = PEN_REASON_KEY_TYPE;
	else if (!target->has_key_index)
		target->reason = PEN_REASON_NO_INDEX;
	else
		target->mode = PEN_TARGET_SETS;
}

/* The names of the key's columns as an array's text, for free(), or NULL. */
static char *
key_names(const penstock_relation *relation)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	fputc('{', out);
	for (int k = 0; k < relation->key_count; k++)
	{
		fputs(k > 0 ? ",\"" : "\"", out);
		for (const char *p = relation->columns[relation->key_columns[k]].name; *p != '\0'; p++)
			fprintf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
		fputc('"', out);
	}
	fputc('}', out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

static penstock_status
find_facts(pen_pipeline *pipeline, pen_target *target, const char *oid, pen_error *error)
{
	char *names = key_names(target->relation);
	const char *params[] = {oid, names};
	PGresult *result;

	if (names == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	result = pen_pipeline_query(pipeline, facts_sql, 2, params, error);
	free(names);
	if (result == NULL)
		return pen_error_context(error, "table %s", target->quoted);
	if (PQntuples(result) == 1 && PQnfields(result) == FACT_COUNT)
		choose_mode(target, result);
	else
		pen_error_set(error, PENSTOCK_E_BUG, "catalog query");
	PQclear(result);
	return error->status;
}

static penstock_status
look_if_empty(pen_pipeline *pipeline, pen_target *target, pen_error *error)
{
	char *sql = NULL;
	PGresult *result;

	if (asprintf(&sql, "SELECT NOT EXISTS (SELECT FROM %s%s)", pen_target_only(target),
				 target->quoted) < 0)
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
	status = result == NULL ? error->status
			 : PQnfields(result) == COL_COUNT
				 ? match_columns(conn, target, result, error)
				 : pen_error_set(error, PENSTOCK_E_BUG, "catalog query");
	PQclear(result);
	if (status >= 0)
		status = find_facts(pipeline, target, oid, error);
	free(oid);
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

void
pen_target_free(pen_target *target)
{
	if (target == NULL)
		return;
	pen_target_statements_free(target->statements);
	for (int i = 0; target->columns != NULL && i < target->relation->column_count; i++)
	{
		free(target->columns[i].quoted);
		free(target->columns[i].equal);
		free(target->columns[i].array_type);
		free(target->columns[i].cast);
	}
	for (int i = 0; i < target->own_count; i++)
		free(target->own_columns[i]);
	free(target->own_columns);
	free(target->columns);
	free(target->quoted);
	pen_relation_unref(target->relation);
	free(target);
}

bool
pen_target_by_whole_row(const penstock_relation *relation)
{
	return relation->key_count == 0 && relation->replica_identity == 'f';
}

const char *
pen_target_only(const pen_target *target)
{
	return target->partitioned ? "" : "ONLY ";
}

const char *
pen_reason_name(pen_reason reason)
{
	static const char *const names[] = {
		[PEN_REASON_SMALL] = "small",           [PEN_REASON_KEY_CHANGED] = "key_changed",
		[PEN_REASON_NO_KEY] = "no_key",         [PEN_REASON_NO_INDEX] = "no_index",
		[PEN_REASON_KEY_TYPE] = "key_type",     [PEN_REASON_TYPE] = "type",
		[PEN_REASON_DEFERRABLE] = "deferrable", [PEN_REASON_EXCLUSION] = "exclusion",
		[PEN_REASON_EFFECTS] = "effects",       [PEN_REASON_TRUNCATE] = "truncate",
		[PEN_REASON_FAILED] = "failed",         [PEN_REASON_CONFLICT] = "conflict",
	};

	return names[reason];
}
