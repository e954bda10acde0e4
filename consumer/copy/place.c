/* place.c -- a destination of the copy: which tables it still needs. */
#include "copy/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pq/pq.h"

static penstock_status
remember(pen_copy_place *place, const char *schema, const char *table, const pen_copy_mark *mark,
		 pen_error *error)
{
	pen_copy_pending *pending;

	if (mark->state == PEN_COPY_RESYNC)
		return PENSTOCK_OK;
	if (place->pending_count == place->pending_capacity)
	{
		size_t capacity = place->pending_capacity == 0 ? 32 : place->pending_capacity * 2;
		pen_copy_pending *all = realloc(place->pending, capacity * sizeof(*all));

		if (all == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		place->pending = all;
		place->pending_capacity = capacity;
	}
	pending = &place->pending[place->pending_count++];
	*pending = (pen_copy_pending){.schema = strdup(schema), .table = strdup(table), .mark = *mark};
	if (pending->schema == NULL || pending->table == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	return PENSTOCK_OK;
}

static int
compare_pending(const void *a, const void *b)
{
	const pen_copy_pending *left = a;
	const pen_copy_pending *right = b;
	int order = strcmp(left->schema, right->schema);

	return order != 0 ? order : strcmp(left->table, right->table);
}

penstock_status
pen_place_open(pen_copy_place *place, bool fresh, pen_error *error)
{
	pen_place_close(place);
	place->takes_part = false;
	place->begun = false;
	atomic_store(&place->failed, false);
	pen_error_clear(&place->error);
	place->conn = place->kind->connect(place->context, error);
	if (place->conn == NULL)
		return error->status;
	if (place->kind->recall(place->context, place->conn, &place->begun, remember, place, error) < 0)
		return pen_error_context(error, "destination %s", place->name);
	if (place->pending_count > 0)
		qsort(place->pending, place->pending_count, sizeof(*place->pending), compare_pending);
	place->takes_part = place->begun ? place->pending_count > 0 : fresh;
	return PENSTOCK_OK;
}

void
pen_place_close(pen_copy_place *place)
{
	PQfinish(place->conn);
	place->conn = NULL;
	for (size_t i = 0; i < place->pending_count; i++)
	{
		free(place->pending[i].schema);
		free(place->pending[i].table);
	}
	free(place->pending);
	place->pending = NULL;
	place->pending_count = place->pending_capacity = 0;
}

static pen_copy_pending *
find_pending(pen_copy_place *place, const char *schema, const char *table)
{
	pen_copy_pending key = {.schema = (char *) schema, .table = (char *) table};

	if (place->pending_count == 0)
		return NULL;
	return bsearch(&key, place->pending, place->pending_count, sizeof(key), compare_pending);
}

/* What a table of the source is called there. Sections that contradict each other are refused where
 * the table is resolved. */
static pen_table_name
called(const pen_copy_place *place, const char *schema, const char *table)
{
	const pen_table_name here = {schema, table};
	pen_table_name there;
	pen_error ignored;

	if (place->mapping == NULL || pen_mapping_name(place->mapping, &here, &there, &ignored) < 0)
		return here;
	return there;
}

/* By its name at the source: of what is called the same there, only the one that is taken. */
static pen_copy_pending *
find_taken(pen_copy_place *place, const char *schema, const char *table)
{
	pen_table_name there = called(place, schema, table);

	if (place->mapping != NULL && !pen_mapping_takes(place->mapping, schema, table))
		return NULL;
	return find_pending(place, there.schema, there.name);
}

pen_copy_state
pen_place_state(pen_copy_place *place, const char *schema, const char *table, pen_copy_mode mode)
{
	pen_copy_pending *found;

	if (!place->takes_part)
		return PEN_COPY_NONE;
	if (!place->begun)
	{
		if (!place->kind->takes(place->context, schema, table))
			return PEN_COPY_NONE;
		return mode == PEN_COPY_APPEND ? PEN_COPY_APPENDING : PEN_COPY_COPYING;
	}
	found = find_taken(place, schema, table);
	if (found == NULL)
		return PEN_COPY_NONE;
	found->seen = true;
	return found->mark.state;
}

bool
pen_place_created(pen_copy_place *place, const char *schema, const char *table)
{
	const pen_copy_pending *found = find_taken(place, schema, table);

	return found != NULL && found->mark.created;
}

penstock_status
pen_place_add_created(pen_copy_place *place, const char *schema, const char *table,
					  pen_error *error)
{
	pen_copy_mark mark = {.state = PEN_COPY_CREATING, .created = true};

	pen_table_name there = called(place, schema, table);

	if (find_pending(place, there.schema, there.name) != NULL)
		return PENSTOCK_OK;
	if (remember(place, there.schema, there.name, &mark, error) < 0)
		return error->status;
	qsort(place->pending, place->pending_count, sizeof(*place->pending), compare_pending);
	return PENSTOCK_OK;
}

penstock_status
pen_place_check_seen(pen_copy_place *place, pen_error *error)
{
	for (size_t i = 0; place->begun && i < place->pending_count; i++)
	{
		const pen_copy_pending *pending = &place->pending[i];

		if (!pending->seen)
			return pen_error_set(
				error, PENSTOCK_E_REFUSED,
				"table %s.%s, of which a copy was broken off, is no longer at the source; if it is "
				"not to come back, DELETE FROM penstock.tables WHERE schema_name = '%s' AND "
				"table_name = '%s'",
				pending->schema, pending->table, pending->schema, pending->table);
	}
	return PENSTOCK_OK;
}

void
pen_place_fail(pen_copy_place *place, const pen_error *error)
{
	if (atomic_load(&place->failed))
		return;
	place->error = *error;
	pen_error_context(&place->error, "destination %s", place->name);
	atomic_store(&place->failed, true);
}

penstock_status
pen_place_is_empty(PGconn *conn, const char *quoted, bool partitioned, pen_error *error)
{
	char *sql = NULL;
	PGresult *result;
	bool empty;

	if (asprintf(&sql, "SELECT NOT EXISTS (SELECT FROM %s%s)", partitioned ? "" : "ONLY ", quoted) <
		0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	result = pen_pq_query(conn, sql, 0, NULL, error);
	free(sql);
	if (result == NULL)
		return pen_error_context(error, "table %s", quoted);
	empty = PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	return empty ? PENSTOCK_OK : PENSTOCK_AGAIN;
}

penstock_status
pen_place_has_table(pen_copy_place *place, const char *schema, const char *table, pen_error *error)
{
	pen_table_name there = called(place, schema, table);
	const char *params[] = {there.schema, there.name};
	PGresult *result = pen_pq_query(place->conn,
									"SELECT 1 FROM pg_catalog.pg_class c JOIN "
									"pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
									"WHERE n.nspname = $1 AND c.relname = $2",
									2, params, error);
	bool found = result != NULL && PQntuples(result) > 0;

	PQclear(result);
	return result == NULL ? error->status : found ? PENSTOCK_OK : PENSTOCK_NOT_FOUND;
}
