/* catalog.c -- tables and columns from pg_class and pg_attribute.
 * Plain text queries only: a replication connection knows no parameters. */
#include "copy/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/relation.h"
#include "pq/pq.h"
#include "types.h"

static const char list_query[] =
	"SELECT c.oid, n.nspname, c.relname, c.relreplident, c.relpersistence"
	" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
	" WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u')"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'penstock')"
	" AND n.nspname !~ '^pg_(temp|toast_temp)_'"
	" ORDER BY c.oid";

/* %u: the table's oid. Keys are those that the plugin takes: valid, immediate, without predicate.
 * Virtual columns are not stored and do not travel. */
static const char column_query[] =
	"WITH RECURSIVE base AS ("
	" SELECT attnum, atttypid AS type, 0 AS depth FROM pg_catalog.pg_attribute"
	" WHERE attrelid = %u AND attnum > 0 AND NOT attisdropped"
	" UNION ALL SELECT b.attnum, t.typbasetype, b.depth + 1"
	" FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.type WHERE t.typtype = 'd'),"
	" keys AS ("
	" SELECT i.indisprimary, i.indisreplident, k.attnum, k.position"
	" FROM pg_catalog.pg_index i,"
	" unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)"
	" WHERE i.indrelid = %u AND i.indisvalid AND i.indimmediate AND i.indisunique"
	" AND i.indpred IS NULL AND k.position <= i.indnkeyatts)"
	" SELECT a.attnum, a.attname, a.atttypid, n.nspname, t.typname, a.atttypmod,"
	" (SELECT b.type FROM base b WHERE b.attnum = a.attnum ORDER BY b.depth DESC LIMIT 1),"
	" a.attnotnull,"
	" coalesce((SELECT k.position FROM keys k WHERE k.indisprimary AND k.attnum = a.attnum), 0),"
	" CASE c.relreplident"
	" WHEN 'd' THEN coalesce((SELECT k.position FROM keys k"
	" WHERE k.indisprimary AND k.attnum = a.attnum), 0)"
	" WHEN 'i' THEN coalesce((SELECT k.position FROM keys k"
	" WHERE k.indisreplident AND k.attnum = a.attnum), 0)"
	" WHEN 'f' THEN row_number() OVER (ORDER BY a.attnum) ELSE 0 END,"
	" a.attgenerated"
	" FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
	" JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
	" JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
	" WHERE a.attrelid = %u AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'"
	" ORDER BY a.attnum";

static uint32_t
oid_at(const PGresult *result, int row, int column)
{
	return (uint32_t) strtoul(PQgetvalue(result, row, column), NULL, 10);
}

penstock_status
pen_catalog_read_list(PGconn *conn, pen_catalog_list *list, pen_error *error)
{
	PGresult *result = pen_pq_query(conn, list_query, 0, NULL, error);
	int count;

	*list = (pen_catalog_list){0};
	if (result == NULL)
		return pen_error_context(error, "listing the source's tables");
	count = PQntuples(result);
	list->tables = calloc((size_t) count + 1, sizeof(*list->tables));
	for (int i = 0; list->tables != NULL && i < count; i++)
	{
		pen_catalog_table *table = &list->tables[list->count];

		table->oid = oid_at(result, i, 0);
		table->schema = strdup(PQgetvalue(result, i, 1));
		table->name = strdup(PQgetvalue(result, i, 2));
		table->replica_identity = PQgetvalue(result, i, 3)[0];
		table->permanent = PQgetvalue(result, i, 4)[0] == 'p';
		list->count++;
		if (table->schema == NULL || table->name == NULL)
			break;
	}
	PQclear(result);
	if (list->count != (size_t) count || (count > 0 && list->tables[count - 1].name == NULL))
	{
		pen_catalog_list_reset(list);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the list of tables");
	}
	return PENSTOCK_OK;
}

void
pen_catalog_list_reset(pen_catalog_list *list)
{
	for (size_t i = 0; i < list->count; i++)
	{
		free(list->tables[i].schema);
		free(list->tables[i].name);
	}
	free(list->tables);
	*list = (pen_catalog_list){0};
}

static void
read_column(const PGresult *result, int row, penstock_column *column)
{
	column->attnum = atoi(PQgetvalue(result, row, 0));
	column->name = PQgetvalue(result, row, 1);
	column->type_oid = oid_at(result, row, 2);
	column->type_schema = PQgetvalue(result, row, 3);
	column->type_name = PQgetvalue(result, row, 4);
	column->typmod = atoi(PQgetvalue(result, row, 5));
	column->base_type_oid = oid_at(result, row, 6);
	column->not_null = PQgetvalue(result, row, 7)[0] == 't';
	column->primary_key = atoi(PQgetvalue(result, row, 8));
	column->identity = atoi(PQgetvalue(result, row, 9));
	column->generated = PQgetvalue(result, row, 10)[0] != '\0';
	column->encoding = (int) pen_type_encoding(column->base_type_oid);
}

const penstock_relation *
pen_catalog_read_relation(PGconn *conn, const pen_catalog_table *table, pen_error *error)
{
	penstock_relation draft = {.oid = table->oid,
							   .schema = table->schema,
							   .name = table->name,
							   .replica_identity = table->replica_identity};
	const penstock_relation *relation = NULL;
	penstock_column *columns;
	PGresult *result;
	char sql[sizeof(column_query) + 40];

	snprintf(sql, sizeof(sql), column_query, table->oid, table->oid, table->oid);
	result = pen_pq_query(conn, sql, 0, NULL, error);
	if (result == NULL)
	{
		pen_error_context(error, "reading the columns of table %s.%s", table->schema, table->name);
		return NULL;
	}
	draft.column_count = PQntuples(result);
	columns = calloc((size_t) draft.column_count + 1, sizeof(*columns));
	if (columns == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the columns of table %s.%s",
					  table->schema, table->name);
	else
	{
		for (int i = 0; i < draft.column_count; i++)
			read_column(result, i, &columns[i]);
		draft.columns = columns;
		relation = pen_relation_new(&draft, error);
	}
	free(columns);
	PQclear(result);
	return relation;
}

const penstock_relation *
pen_catalog_describe(const char *conninfo, const char *schema, const char *name, pen_error *error)
{
	pen_pq_options options = {.connect_timeout_ms = 10000};
	PGconn *conn = pen_pq_connect(conninfo, &options, "source", error);
	const char *params[] = {schema, name};
	pen_catalog_table table = {.schema = (char *) schema, .name = (char *) name};
	const penstock_relation *relation = NULL;
	PGresult *result = NULL;

	if (conn != NULL)
		result =
			pen_pq_query(conn,
						 "SELECT c.oid, c.relreplident FROM pg_catalog.pg_class c"
						 " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
						 " WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
						 2, params, error);
	if (result != NULL && PQntuples(result) == 0)
		pen_error_set(error, PENSTOCK_E_CONFIG, "the source has no table %s.%s", schema, name);
	else if (result != NULL)
	{
		table.oid = oid_at(result, 0, 0);
		table.replica_identity = PQgetvalue(result, 0, 1)[0];
		relation = pen_catalog_read_relation(conn, &table, error);
	}
	PQclear(result);
	PQfinish(conn);
	return relation;
}
