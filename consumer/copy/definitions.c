/* definitions.c -- definitions by pg_dump and pg_restore.
 * Of the dump's table of contents only those entries are restored that the wanted tables need and
 * that the destination has not got: so it can be done again after it was broken off. */
#include "copy/definitions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/scratch.h"
#include "copy/tool.h"
#include "pq/pq.h"

#define EXCLUDES_BYTES_MAX (64 * 1024)

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* ---- the dump ---- */

/* Tables that nobody wants need not be locked, nor may we perhaps. For free(), each. */
static size_t
exclude_tables(const pen_snapshot *snapshot, char **into, size_t most)
{
	size_t count = 0;
	size_t bytes = 0;

	for (size_t i = 0; i < snapshot->list.count && count < most; i++)
	{
		const pen_catalog_table *table = &snapshot->list.tables[i];

		if (pen_snapshot_wants(snapshot, table) || strpbrk(table->schema, "\"") != NULL ||
			strpbrk(table->name, "\"") != NULL)
			continue;
		bytes += strlen(table->schema) + strlen(table->name) + 24;
		if (bytes > EXCLUDES_BYTES_MAX ||
			asprintf(&into[count], "--exclude-table=\"%s\".\"%s\"", table->schema, table->name) < 0)
			break;
		count++;
	}
	return count;
}

static penstock_status
run_dump(pen_definitions *definitions, const pen_copy_options *options,
		 const pen_snapshot *snapshot, const pen_tool_login *login, pen_error *error)
{
	const char *fixed[] = {"pg_dump",
						   "--format=custom",
						   "--schema-only",
						   "--no-owner",
						   "--no-privileges",
						   "--no-tablespaces",
						   "--no-publications",
						   "--no-subscriptions",
						   "--no-comments",
						   "--lock-wait-timeout=10s",
						   "--exclude-schema=penstock",
						   "--file",
						   definitions->archive,
						   "--dbname",
						   login->dbname,
						   "--snapshot",
						   snapshot->name};
	size_t count = sizeof(fixed) / sizeof(fixed[0]);
	char **excludes = calloc(snapshot->list.count + 1, sizeof(*excludes));
	const char **argv = calloc(count + snapshot->list.count + 1, sizeof(*argv));
	penstock_status status;
	size_t excluded = 0;

	if (argv == NULL || excludes == NULL)
		status = out_of_memory(error);
	else
	{
		memcpy(argv, fixed, sizeof(fixed));
		excluded = exclude_tables(snapshot, excludes, snapshot->list.count);
		for (size_t i = 0; i < excluded; i++)
			argv[count + i] = excludes[i];
		status = pen_tool_run(argv, login, NULL, options->interrupted, error);
	}
	for (size_t i = 0; i < excluded; i++)
		free(excludes[i]);
	free(excludes);
	free(argv);
	if (status == PENSTOCK_E_DATA)
		error->status = PENSTOCK_E_CONFIG;
	return error->status;
}

static char *
read_text(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	ssize_t length;

	if (in == NULL)
		return NULL;
	length = getdelim(&text, &size, '\0', in);
	fclose(in);
	if (length >= 0)
		return text;
	free(text);
	return strdup("");
}

static penstock_status
read_toc(pen_definitions *definitions, pen_error *error)
{
	const char *argv[] = {"pg_restore", "--list", definitions->archive, NULL};
	char *path = NULL;

	if (asprintf(&path, "%s/toc", definitions->folder) < 0)
		return out_of_memory(error);
	if (pen_tool_run(argv, NULL, path, NULL, error) >= 0 &&
		(definitions->toc = read_text(path)) == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "could not read %s", path);
	free(path);
	return error->status;
}

penstock_status
pen_definitions_dump(pen_definitions *definitions, const pen_copy_options *options,
					 const pen_snapshot *snapshot, pen_error *error)
{
	pen_tool_login login;
	penstock_status status;

	*definitions = (pen_definitions){0};
	definitions->folder = pen_scratch_directory("dump", error);
	if (definitions->folder == NULL)
		return error->status = PENSTOCK_E_CONFIG; /* nothing has begun yet */
	if (asprintf(&definitions->archive, "%s/dump", definitions->folder) < 0)
	{
		definitions->archive = NULL;
		return out_of_memory(error);
	}
	if (pen_tool_login_make(&login, options->source, error) < 0)
		return error->status;
	pen_error_clear(error);
	status = run_dump(definitions, options, snapshot, &login, error);
	pen_tool_login_reset(&login);
	if (status < 0 || read_toc(definitions, error) < 0)
		return pen_error_context(error, "source: dumping its definitions");
	return PENSTOCK_OK;
}

void
pen_definitions_reset(pen_definitions *definitions)
{
	static const char *const files[] = {"dump", "toc", "list"};

	for (size_t i = 0; definitions->folder != NULL && i < 3; i++)
	{
		char *path;

		if (asprintf(&path, "%s/%s", definitions->folder, files[i]) < 0)
			break;
		(void) unlink(path);
		free(path);
	}
	if (definitions->folder != NULL)
		(void) rmdir(definitions->folder);
	free(definitions->folder);
	free(definitions->archive);
	free(definitions->toc);
	*definitions = (pen_definitions){0};
}

/* ---- what is needed ---- */

#define ADDRESS_COLUMNS                                                                            \
	" SELECT DISTINCT o.classid, o.objid, a.type, a.object_names, a.object_args,"                  \
	" CASE WHEN o.classid = 'pg_class'::regclass THEN (SELECT n.nspname || ' ' || c.relname"       \
	" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"         \
	" WHERE c.oid = o.objid) END,"                                                                 \
	" CASE WHEN o.classid = 'pg_constraint'::regclass THEN (SELECT k.confrelid::regclass::text"    \
	" FROM pg_catalog.pg_constraint k WHERE k.oid = o.objid AND k.contype = 'f') END"              \
	" FROM objects o, LATERAL pg_catalog.pg_identify_object_as_address(o.classid, o.objid, 0) a"

/* $1: oids of tables. What follows the rows: of these, and of the partitioned tables above them. */
#define PARTS                                                                                      \
	"tables(oid) AS (SELECT pg_catalog.unnest($1::oid[])"                                          \
	" UNION SELECT r.relid FROM pg_catalog.unnest($1::oid[]) t(oid),"                              \
	" LATERAL pg_catalog.pg_partition_ancestors(t.oid) r(relid)), parts(classid, objid, extra) "   \
	"AS ("                                                                                         \
	" SELECT 'pg_class'::regclass::oid, i.indexrelid, false FROM pg_catalog.pg_index i"            \
	"  JOIN tables t ON t.oid = i.indrelid"                                                        \
	" UNION SELECT 'pg_constraint'::regclass, k.oid, k.contype = 'f'"                              \
	"  FROM pg_catalog.pg_constraint k JOIN tables t ON t.oid = k.conrelid"                        \
	" UNION SELECT 'pg_trigger'::regclass, g.oid, false FROM pg_catalog.pg_trigger g"              \
	"  JOIN tables t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal"                                \
	" UNION SELECT 'pg_rewrite'::regclass, w.oid, true FROM pg_catalog.pg_rewrite w"               \
	"  JOIN tables t ON t.oid = w.ev_class"                                                        \
	" UNION SELECT 'pg_policy'::regclass, y.oid, true FROM pg_catalog.pg_policy y"                 \
	"  JOIN tables t ON t.oid = y.polrelid"                                                        \
	" UNION SELECT 'pg_statistic_ext'::regclass, s.oid, false"                                     \
	"  FROM pg_catalog.pg_statistic_ext s JOIN tables t ON t.oid = s.stxrelid)"

/*
 * What the tables and their parts depend on, what that depends on, and so on; and of tables and
 * types, defaults, checks and the sequences that they own. Not what foreign keys, rules and
 * policies refer to: that would be other tables.
 */
static const char *const before_sql =
	"WITH RECURSIVE " PARTS ", objects(classid, objid) AS ("
	" (SELECT 'pg_class'::regclass::oid, oid FROM tables"
	"  UNION SELECT classid, objid FROM parts WHERE NOT extra)"
	" UNION SELECT x.classid, x.objid FROM objects o, LATERAL ("
	"  SELECT d.refclassid AS classid, d.refobjid AS objid FROM pg_catalog.pg_depend d"
	"  WHERE d.classid = o.classid AND d.objid = o.objid"
	"  UNION ALL SELECT d.classid, d.objid FROM pg_catalog.pg_depend d"
	"  WHERE d.refclassid = o.classid AND d.refobjid = o.objid"
	"  AND (d.classid = 'pg_attrdef'::regclass"
	"   OR (d.classid = 'pg_constraint'::regclass AND EXISTS (SELECT FROM pg_catalog.pg_constraint "
	"k"
	"    WHERE k.oid = d.objid AND k.contype = 'c'))"
	"   OR (d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND EXISTS (SELECT FROM"
	"    pg_catalog.pg_class s WHERE s.oid = d.objid AND s.relkind = 'S')))) x)" ADDRESS_COLUMNS;

static const char *const after_sql =
	"WITH " PARTS ", objects AS (SELECT classid, objid FROM parts)" ADDRESS_COLUMNS;

enum
{
	OBJ_CLASS,
	OBJ_OID,
	OBJ_TYPE,
	OBJ_NAMES,
	OBJ_ARGS,
	OBJ_RELATION,  /* "schema name" of a table, index or sequence */
	OBJ_REFERENCED /* of a foreign key: the other table */
};

static char *
print_oids(const pen_definitions_tables *tables)
{
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL)
		return NULL;
	fputc('{', out);
	for (size_t i = 0; i < tables->count; i++)
		fprintf(out, "%s%u", i > 0 ? "," : "", tables->oids[i]);
	fputc('}', out);
	return fclose(out) == 0 ? text : NULL;
}

static PGresult *
find_objects(const pen_snapshot *snapshot, const char *sql, const pen_definitions_tables *tables,
			 pen_error *error)
{
	char *oids = print_oids(tables);
	const char *params[] = {oids};
	PGresult *result = NULL;

	if (oids == NULL)
		out_of_memory(error);
	else
		result = pen_pq_query(snapshot->reader, sql, 1, params, error);
	free(oids);
	if (result == NULL && error->status < 0)
		pen_error_context(error, "source: what its tables depend on");
	return result;
}

/* An error says that it is missing. */
static bool
is_there(PGconn *conn, const PGresult *objects, int row)
{
	const char *params[] = {PQgetvalue(objects, row, OBJ_TYPE), PQgetvalue(objects, row, OBJ_NAMES),
							PQgetvalue(objects, row, OBJ_ARGS)};
	pen_error ignored;
	PGresult *result =
		pen_pq_query(conn, "SELECT pg_catalog.pg_get_object_address($1, $2::text[], $3::text[])", 3,
					 params, &ignored);
	bool there = result != NULL;

	PQclear(result);
	return there;
}

static bool
relation_is_there(PGconn *conn, const char *quoted)
{
	const char *params[] = {quoted};
	pen_error ignored;
	PGresult *result = pen_pq_query(conn, "SELECT 1 WHERE pg_catalog.to_regclass($1) IS NOT NULL",
									1, params, &ignored);
	bool there = result != NULL && PQntuples(result) > 0;

	PQclear(result);
	return there;
}

/* ---- the list of what to restore ---- */

typedef enum part
{
	BEFORE,
	AFTER,
	EXTRAS /* what rows do not need: it is tried */
} part;

typedef struct selection
{
	const PGresult *objects;
	bool *missing;
	part what;
} selection;

/* "SEQUENCE OWNED BY schema name owner" and such have no oid of their own. */
static bool
names_relation(const char *rest, const char *relation)
{
	static const char *const kinds[] = {"TABLE ATTACH ", "INDEX ATTACH ", "SEQUENCE OWNED BY "};
	size_t length = strlen(relation);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		size_t kind = strlen(kinds[i]);

		if (strncmp(rest, kinds[i], kind) == 0 && strncmp(rest + kind, relation, length) == 0 &&
			rest[kind + length] == ' ')
			return true;
	}
	return false;
}

static bool
is_extra(const char *rest)
{
	static const char *const kinds[] = {"FK CONSTRAINT ", "RULE ", "POLICY "};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strncmp(rest, kinds[i], strlen(kinds[i])) == 0)
			return true;
	}
	return false;
}

static bool
is_selected(const selection *s, const char *line)
{
	unsigned int class_oid;
	unsigned int oid;
	int rest = 0;

	if (sscanf(line, "%*d; %u %u %n", &class_oid, &oid, &rest) < 2 || rest == 0)
		return false;
	if (is_extra(line + rest) != (s->what == EXTRAS))
		return false;
	for (int i = 0; i < PQntuples(s->objects); i++)
	{
		if (!s->missing[i])
			continue;
		if (class_oid != 0 && strtoul(PQgetvalue(s->objects, i, OBJ_OID), NULL, 10) == oid &&
			strtoul(PQgetvalue(s->objects, i, OBJ_CLASS), NULL, 10) == class_oid)
			return true;
		if (class_oid == 0 && !PQgetisnull(s->objects, i, OBJ_RELATION) &&
			names_relation(line + rest, PQgetvalue(s->objects, i, OBJ_RELATION)))
			return true;
	}
	return false;
}

/* The lines of the table of contents that are selected; how many, or -1. */
static int
write_list(const pen_definitions *definitions, const selection *s, const char *path)
{
	FILE *out = fopen(path, "w");
	const char *line = definitions->toc;
	int count = 0;

	if (out == NULL)
		return -1;
	while (*line != '\0')
	{
		size_t length = strcspn(line, "\n");

		if (line[0] != ';' && is_selected(s, line))
		{
			fprintf(out, "%.*s\n", (int) length, line);
			count++;
		}
		line += length + (line[length] != '\0');
	}
	return fclose(out) == 0 ? count : -1;
}

static penstock_status
run_restore(const pen_definitions *definitions, const pen_copy_options *options,
			pen_copy_place *place, const selection *s, pen_error *error)
{
	char jobs[32];
	char *list = NULL;
	pen_tool_login login;
	int count;

	if (asprintf(&list, "%s/list", definitions->folder) < 0)
		return out_of_memory(error);
	count = write_list(definitions, s, list);
	snprintf(jobs, sizeof(jobs), "--jobs=%d", s->what == BEFORE ? 1 : options->jobs);
	if (count < 0)
		pen_error_set(error, PENSTOCK_E_RETRY, "could not write %s", list);
	else if (count > 0 &&
			 pen_tool_login_make(&login, place->kind->conninfo(place->context), error) >= 0)
	{
		/* One extra that cannot be is no reason to leave out the others. */
		const char *argv[] = {"pg_restore",
							  "--no-owner",
							  "--no-privileges",
							  "--no-tablespaces",
							  s->what == BEFORE ? "--section=pre-data" : "--section=post-data",
							  jobs,
							  "--use-list",
							  list,
							  "--dbname",
							  login.dbname,
							  definitions->archive,
							  s->what == EXTRAS ? NULL : "--exit-on-error",
							  NULL};

		(void) pen_tool_run(argv, &login, NULL, options->interrupted, error);
		pen_tool_login_reset(&login);
	}
	free(list);
	if (error->status == PENSTOCK_E_DATA)
		error->status = PENSTOCK_E_CONFIG;
	return error->status;
}

static penstock_status
select_missing(selection *s, const pen_copy_options *options, pen_copy_place *place,
			   pen_error *error)
{
	int count = PQntuples(s->objects);

	s->missing = calloc((size_t) count + 1, sizeof(*s->missing));
	if (s->missing == NULL)
		return out_of_memory(error);
	for (int i = 0; i < count; i++)
	{
		s->missing[i] = !is_there(place->conn, s->objects, i);
		if (!s->missing[i] || PQgetisnull(s->objects, i, OBJ_REFERENCED) ||
			relation_is_there(place->conn, PQgetvalue(s->objects, i, OBJ_REFERENCED)))
			continue;
		s->missing[i] = false;
		pen_log_write(options->log, PENSTOCK_LOG_WARNING, place->name,
					  "a foreign key to table %s is left out: that table is not here",
					  PQgetvalue(s->objects, i, OBJ_REFERENCED));
	}
	return PENSTOCK_OK;
}

penstock_status
pen_definitions_create(const pen_definitions *definitions, const pen_copy_options *options,
					   const pen_snapshot *snapshot, pen_copy_place *place,
					   const pen_definitions_tables *tables, pen_error *error)
{
	PGresult *objects = find_objects(snapshot, before_sql, tables, error);
	selection s = {.objects = objects, .what = BEFORE};

	if (objects == NULL)
		return error->status;
	pen_error_clear(error);
	if (select_missing(&s, options, place, error) >= 0 &&
		run_restore(definitions, options, place, &s, error) < 0)
		pen_error_context(error, "creating tables");
	free(s.missing);
	PQclear(objects);
	return error->status;
}

/* Rows that foreign keys point to may still be on their way in the stream. */
static void
restore_extras(const pen_definitions *definitions, const pen_copy_options *options,
			   pen_copy_place *place, selection *s)
{
	pen_error error;

	s->what = EXTRAS;
	pen_error_clear(&error);
	if (run_restore(definitions, options, place, s, &error) < 0)
		pen_log_write(options->log, PENSTOCK_LOG_WARNING, place->name,
					  "not all foreign keys, rules and policies could be created: %s; create them "
					  "once the destination has caught up",
					  error.text);
}

penstock_status
pen_definitions_complete(const pen_definitions *definitions, const pen_copy_options *options,
						 const pen_snapshot *snapshot, pen_copy_place *place,
						 const pen_definitions_tables *tables, pen_error *error)
{
	PGresult *objects = find_objects(snapshot, after_sql, tables, error);
	selection s = {.objects = objects, .what = AFTER};

	if (objects == NULL)
		return error->status;
	pen_error_clear(error);
	if (select_missing(&s, options, place, error) >= 0)
	{
		if (run_restore(definitions, options, place, &s, error) >= 0)
			restore_extras(definitions, options, place, &s);
		else
			pen_error_context(error, "creating indexes and constraints");
	}
	free(s.missing);
	PQclear(objects);
	return error->status;
}
