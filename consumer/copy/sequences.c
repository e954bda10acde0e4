/* sequences.c -- read at the source once, set everywhere.
 * A value that is set is never behind what the rows that have been copied used. */
#include "copy/sequences.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "copy/place.h"
#include "copy/sql.h"
#include "pq/pq.h"

#define SETTINGS PEN_PQ_PINNED_SETTINGS "-c statement_timeout=0"

typedef struct sequence
{
	char *schema;
	char *name;
	char last_value[24];
	char is_called[2];
	uint32_t wanted; /* a bit for each place */
} sequence;

typedef struct sequences
{
	sequence *all;
	size_t count;
} sequences;

/* Each sequence with the tables that own or use it, by its name. */
static const char *const list_sql =
	"SELECT n.nspname, s.relname, tn.nspname, t.relname FROM pg_catalog.pg_class s"
	" JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace"
	" LEFT JOIN (SELECT d.objid AS sequence, d.refobjid AS relation FROM pg_catalog.pg_depend d"
	"  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass"
	"  AND d.deptype IN ('a', 'i')"
	"  UNION SELECT d.refobjid, a.adrelid FROM pg_catalog.pg_depend d"
	"  JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid WHERE d.classid = 'pg_attrdef'::regclass"
	"  AND d.refclassid = 'pg_class'::regclass) u ON u.sequence = s.oid"
	" LEFT JOIN pg_catalog.pg_class t ON t.oid = u.relation AND t.relkind IN ('r', 'p')"
	" LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace"
	" WHERE s.relkind = 'S' AND s.relpersistence <> 't'"
	" AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'penstock') ORDER BY 1, 2";

static void
free_sequences(sequences *s)
{
	for (size_t i = 0; i < s->count; i++)
	{
		free(s->all[i].schema);
		free(s->all[i].name);
	}
	free(s->all);
}

static uint32_t
who_wants(const PGresult *result, int row, pen_copy_place *places, size_t count)
{
	uint32_t wanted = 0;

	for (size_t i = 0; i < count; i++)
	{
		const pen_copy_place *place = &places[i];

		if (place->kind->takes(place->context, PQgetvalue(result, row, 0),
							   PQgetvalue(result, row, 1)) ||
			(!PQgetisnull(result, row, 3) &&
			 place->kind->takes(place->context, PQgetvalue(result, row, 2),
								PQgetvalue(result, row, 3))))
			wanted |= UINT32_C(1) << i;
	}
	return wanted;
}

static penstock_status
list_sequences(sequences *s, PGconn *source, pen_copy_place *places, size_t count, pen_error *error)
{
	PGresult *result = pen_pq_query(source, list_sql, 0, NULL, error);
	bool whole = true;

	if (result == NULL)
		return pen_error_context(error, "source: listing sequences");
	s->all = calloc((size_t) PQntuples(result) + 1, sizeof(*s->all));
	for (int i = 0; s->all != NULL && i < PQntuples(result); i++)
	{
		sequence *last = s->count > 0 ? &s->all[s->count - 1] : NULL;

		if (last == NULL || !whole || strcmp(last->schema, PQgetvalue(result, i, 0)) != 0 ||
			strcmp(last->name, PQgetvalue(result, i, 1)) != 0)
		{
			last = &s->all[s->count++];
			last->schema = strdup(PQgetvalue(result, i, 0));
			last->name = strdup(PQgetvalue(result, i, 1));
			whole = whole && last->schema != NULL && last->name != NULL;
		}
		last->wanted |= who_wants(result, i, places, count);
	}
	PQclear(result);
	return s->all != NULL && whole ? PENSTOCK_OK
								   : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

static penstock_status
read_value(sequence *s, PGconn *source, pen_error *error)
{
	PGresult *result = NULL;
	pen_wire_buf sql;

	pen_buffer_init(&sql);
	pen_sql_text(&sql, "SELECT last_value, is_called FROM ");
	if (!pen_sql_table(&sql, source, s->schema, s->name) || !pen_sql_end(&sql))
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	else
		result = pen_pq_query(source, (char *) sql.data, 0, NULL, error);
	pen_buffer_reset(&sql);
	if (result == NULL)
		return pen_error_context(error, "source: reading sequence %s.%s", s->schema, s->name);
	memcpy(s->is_called, PQgetvalue(result, 0, 1), 1);
	strncpy(s->last_value, PQgetvalue(result, 0, 0), sizeof(s->last_value) - 1);
	PQclear(result);
	return PENSTOCK_OK;
}

/* PENSTOCK_NOT_FOUND: it is not there. */
static penstock_status
set_value(const sequence *s, PGconn *conn, pen_error *error)
{
	const char *params[] = {s->schema, s->name, s->last_value, s->is_called};
	PGresult *result =
		pen_pq_query(conn,
					 "SELECT pg_catalog.setval(c.oid::regclass, $3::bigint, $4::bool) FROM "
					 "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = "
					 "c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'S'",
					 4, params, error);
	penstock_status status;

	if (result == NULL)
		return pen_error_context(error, "setting sequence %s.%s", s->schema, s->name);
	status = PQntuples(result) > 0 ? PENSTOCK_OK : PENSTOCK_NOT_FOUND;
	PQclear(result);
	return status;
}

static void
set_at_place(const pen_copy_options *options, const sequences *s, pen_copy_place *place,
			 size_t number, size_t *set)
{
	pen_error error;

	pen_error_clear(&error);
	if (place->conn == NULL)
		place->conn = place->kind->connect(place->context, &error);
	for (size_t i = 0; error.status == PENSTOCK_OK && i < s->count; i++)
	{
		penstock_status status;

		if ((s->all[i].wanted >> number & 1) == 0)
			continue;
		status = set_value(&s->all[i], place->conn, &error);
		*set += status == PENSTOCK_OK;
		if (status == PENSTOCK_NOT_FOUND)
			pen_log_write(options->log, PENSTOCK_LOG_WARNING, place->name,
						  "there is no sequence %s.%s here; it is left out", s->all[i].schema,
						  s->all[i].name);
	}
	if (error.status < 0)
		pen_place_fail(place, &error);
}

penstock_status
pen_sequences_set(const pen_copy_options *options, pen_copy_place *places, size_t count,
				  size_t *set, pen_error *error)
{
	pen_pq_options connect = {.connect_timeout_ms = options->connect_timeout_ms,
							  .settings = SETTINGS};
	PGconn *source = pen_pq_connect(options->source, &connect, "source", error);
	sequences s = {0};
	penstock_status status;

	*set = 0;
	if (source == NULL)
		return error->status;
	status = list_sequences(&s, source, places, count, error);
	for (size_t i = 0; status >= 0 && i < s.count; i++)
	{
		if (s.all[i].wanted != 0)
			status = read_value(&s.all[i], source, error);
	}
	PQfinish(source);
	for (size_t i = 0; status >= 0 && i < count; i++)
	{
		if (!atomic_load(&places[i].failed))
			set_at_place(options, &s, &places[i], i, set);
	}
	free_sequences(&s);
	return status;
}
