/* waiting.c -- never wait for a server without looking whether somebody wants us to stop. */
#include "copy/waiting.h"

#include <poll.h>

#include "pq/pq.h"

penstock_status
pen_waiting_check(const atomic_bool *interrupted, pen_error *error)
{
	if (interrupted != NULL && atomic_load(interrupted))
		return pen_error_set(error, PENSTOCK_E_RETRY, "loading was interrupted");
	return PENSTOCK_OK;
}

penstock_status
pen_waiting_input(PGconn *conn, const atomic_bool *interrupted, pen_error *error)
{
	struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};

	if (pen_waiting_check(interrupted, error) < 0)
		return error->status;
	if (fd.fd < 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "the connection was lost");
	if (poll(&fd, 1, PEN_WAITING_POLL_MS) > 0 && !PQconsumeInput(conn))
		return pen_pq_error(error, conn, NULL);
	return PENSTOCK_OK;
}

/* The last result, as PQexec would have it; those of a COPY end the wait. */
static PGresult *
last_result(PGconn *conn)
{
	PGresult *last = NULL;
	PGresult *result;

	while ((result = PQgetResult(conn)) != NULL)
	{
		PQclear(last);
		last = result;
		if (PQresultStatus(result) == PGRES_COPY_IN || PQresultStatus(result) == PGRES_COPY_OUT)
			break;
	}
	return last;
}

PGresult *
pen_waiting_query(PGconn *conn, const char *sql, const atomic_bool *interrupted, pen_error *error)
{
	PGresult *result;

	if (!PQsendQuery(conn, sql))
	{
		pen_pq_error(error, conn, NULL);
		return NULL;
	}
	while (PQisBusy(conn))
	{
		if (pen_waiting_input(conn, interrupted, error) < 0)
		{
			pen_pq_cancel(conn);
			return NULL;
		}
	}
	result = last_result(conn);
	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_COPY_OUT:
		case PGRES_COPY_IN:
			return result;
		default:
			pen_pq_error(error, conn, result);
			PQclear(result);
			return NULL;
	}
}

penstock_status
pen_waiting_execute(PGconn *conn, const char *sql, const atomic_bool *interrupted, pen_error *error)
{
	PGresult *result = pen_waiting_query(conn, sql, interrupted, error);

	if (result == NULL)
		return error->status;
	PQclear(result);
	return PENSTOCK_OK;
}
