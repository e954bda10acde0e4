/* origin.c -- a replication origin for the session.
 * It is a mark and nothing more: progress is never read from it. */
#include "destination/postgres/origin.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "pq/pq.h"

#define ENDING_TRIES 20 /* for a session that is about to end, */
#define ENDING_MS    50 /* with as much in between */

static const char *const permitted_sql =
	"SELECT pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_create(text)',"
	" 'EXECUTE') AND pg_catalog.has_function_privilege("
	"'pg_catalog.pg_replication_origin_session_setup(text)', 'EXECUTE') AND "
	"pg_catalog.has_function_privilege('pg_catalog.pg_replication_origin_oid(text)', 'EXECUTE'), "
	"(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

static const char *const create_sql = "SELECT pg_catalog.pg_replication_origin_create($1) "
									  "WHERE pg_catalog.pg_replication_origin_oid($1) IS NULL";

/* Two sessions may see that it is missing; one of them then finds it made. */
static penstock_status
set_up(PGconn *conn, const char *name, pen_error *error)
{
	const char *params[] = {name};
	PGresult *result = pen_pq_query(conn, create_sql, 1, params, error);

	if (result == NULL && strcmp(error->sqlstate, "23505") != 0)
		return error->status;
	PQclear(result);
	pen_error_clear(error);
	result = pen_pq_query(conn, "SELECT pg_catalog.pg_replication_origin_session_setup($1)", 1,
						  params, error);
	if (result == NULL)
		return error->status;
	PQclear(result);
	return PENSTOCK_OK;
}

static bool
is_held(const pen_error *error)
{
	return strcmp(error->sqlstate, "55006") == 0;
}

/* As many origins as max_replication_slots are under way. */
static bool
is_full(const pen_error *error)
{
	return strncmp(error->sqlstate, "53", 2) == 0 || strncmp(error->sqlstate, "55000", 5) == 0;
}

penstock_status
pen_origin_take(PGconn *conn, const char *slot, bool *permitted, pen_error *error)
{
	PGresult *result = pen_pq_query(conn, permitted_sql, 0, NULL, error);
	char database[16];
	char name[200];

	if (result == NULL)
		return error->status;
	*permitted = PQgetvalue(result, 0, 0)[0] == 't';
	snprintf(database, sizeof(database), "%s", PQgetvalue(result, 0, 1));
	PQclear(result);
	if (!*permitted)
	{
		pen_error_set(error, PENSTOCK_OK,
					  "the role may not set up a replication origin: changes applied here look "
					  "like local ones to who replicates from here; GRANT EXECUTE ON FUNCTION "
					  "pg_replication_origin_create, pg_replication_origin_oid, "
					  "pg_replication_origin_session_setup to it where that matters");
		return PENSTOCK_OK;
	}
	snprintf(name, sizeof(name), "penstock_%.100s", slot);
	if (set_up(conn, name, error) >= 0)
		return PENSTOCK_OK;
	if (is_held(error))
	{
		snprintf(name, sizeof(name), "penstock_%.100s_%s", slot, database);
		if (set_up(conn, name, error) >= 0)
			return PENSTOCK_OK;
	}
	if (is_held(error))
		return error->status = PENSTOCK_E_RETRY;
	if (!is_full(error))
		return error->status;
	*permitted = false;
	error->status = PENSTOCK_OK;
	return PENSTOCK_OK;
}

penstock_status
pen_origin_take_ahead(PGconn *conn, const char *slot, pen_error *error)
{
	PGresult *result = pen_pq_query(conn,
									"SELECT oid FROM pg_catalog.pg_database WHERE datname = "
									"pg_catalog.current_database()",
									0, NULL, error);
	penstock_status status;
	char name[200];

	if (result == NULL)
		return error->status;
	snprintf(name, sizeof(name), "penstock_%.100s_%s_ahead", slot, PQgetvalue(result, 0, 0));
	PQclear(result);
	status = set_up(conn, name, error);
	for (int i = 1; i < ENDING_TRIES && status < 0 && is_held(error); i++)
	{
		(void) poll(NULL, 0, ENDING_MS);
		status = set_up(conn, name, error);
	}
	return status < 0 ? error->status = PENSTOCK_E_RETRY : PENSTOCK_OK;
}
