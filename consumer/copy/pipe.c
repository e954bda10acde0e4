/* pipe.c -- from one socket to several, nothing decoded and nothing stored.
 * At most one chunk waits in each connection: who reads faster than the slowest writes waits. */
#include "copy/pipe.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "copy/copy.h"
#include "copy/waiting.h"
#include "pq/pq.h"

#define CHUNK_BYTES (64 * 1024)

typedef struct pump
{
	pen_pipe *pipe;
	pen_error *error;
	char *chunk;
	size_t filled;
	uint64_t chunk_rows;
	size_t alive; /* ends */
} pump;

/* ---- ends ---- */

/* The result that ended the COPY says more than that the socket broke. */
static void
end_failed(pump *p, pen_pipe_end *end)
{
	PGresult *result;

	pen_error_clear(&end->error);
	(void) PQputCopyEnd(end->conn, "broken off");
	(void) PQsetnonblocking(end->conn, 0);
	while ((result = PQgetResult(end->conn)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK && end->error.status == PENSTOCK_OK)
			pen_pq_error(&end->error, end->conn, result);
		PQclear(result);
		if (PQstatus(end->conn) == CONNECTION_BAD)
			break;
	}
	if (end->error.status == PENSTOCK_OK)
		pen_pq_error(&end->error, end->conn, NULL);
	end->failed = true;
	end->unsent = false;
	p->alive--;
}

static void
flush_end(pump *p, pen_pipe_end *end)
{
	int left = PQflush(end->conn);

	end->unsent = left > 0;
	if (left < 0)
		end_failed(p, end);
}

/* Until all have taken the last chunk. Nothing arrives from an end before its COPY is over, unless
 * it has failed. */
static penstock_status
wait_for_ends(pump *p)
{
	struct pollfd fds[PEN_COPY_PLACES_MAX];
	pen_pipe_end *polled[PEN_COPY_PLACES_MAX];

	for (;;)
	{
		nfds_t count = 0;

		for (size_t i = 0; i < p->pipe->end_count; i++)
		{
			pen_pipe_end *end = &p->pipe->ends[i];

			if (end->failed || !end->unsent)
				continue;
			polled[count] = end;
			fds[count++] = (struct pollfd){.fd = PQsocket(end->conn), .events = POLLIN | POLLOUT};
		}
		if (count == 0)
			return PENSTOCK_OK;
		if (pen_waiting_check(p->pipe->interrupted, p->error) < 0)
			return p->error->status;
		if (poll(fds, count, PEN_WAITING_POLL_MS) <= 0)
			continue;
		for (nfds_t i = 0; i < count; i++)
		{
			if ((fds[i].revents & (POLLIN | POLLERR | POLLHUP)) != 0)
				end_failed(p, polled[i]);
			else if (fds[i].revents != 0)
				flush_end(p, polled[i]);
		}
	}
}

/* Has an end something to say? It can only be an error. */
static bool
has_failed(const pen_pipe_end *end)
{
	struct pollfd fd = {.fd = PQsocket(end->conn), .events = POLLIN};

	return poll(&fd, 1, 0) != 0;
}

static penstock_status
put(pump *p, const char *bytes, size_t size)
{
	if (wait_for_ends(p) < 0)
		return p->error->status;
	for (size_t i = 0; i < p->pipe->end_count; i++)
	{
		pen_pipe_end *end = &p->pipe->ends[i];

		if (end->failed)
			continue;
		if (has_failed(end) || PQputCopyData(end->conn, bytes, (int) size) <= 0)
			end_failed(p, end);
		else
			flush_end(p, end);
	}
	PEN_FAILPOINT("copy-rows");
	p->pipe->passed(p->pipe->context, p->chunk_rows, size);
	p->chunk_rows = 0;
	return PENSTOCK_OK;
}

static penstock_status
put_chunk(pump *p)
{
	size_t size = p->filled;

	p->filled = 0;
	return size == 0 ? PENSTOCK_OK : put(p, p->chunk, size);
}

/* A row is a message: many are sent on as one. */
static penstock_status
take_message(pump *p, const char *message, size_t size)
{
	if (p->filled + size > CHUNK_BYTES && put_chunk(p) < 0)
		return p->error->status;
	p->chunk_rows++;
	if (size > CHUNK_BYTES)
		return put(p, message, size);
	memcpy(p->chunk + p->filled, message, size);
	p->filled += size;
	return PENSTOCK_OK;
}

/* ---- the source ---- */

static penstock_status
source_error(pump *p, const PGresult *result)
{
	pen_pq_error(p->error, p->pipe->source, result);
	return pen_error_context(p->error, "source");
}

static penstock_status
pump_rows(pump *p)
{
	for (;;)
	{
		char *message;
		int size = PQgetCopyData(p->pipe->source, &message, 1);
		penstock_status status;

		if (size == -1)
			return put_chunk(p);
		if (size == -2)
			return source_error(p, NULL);
		if (size > 0)
		{
			status = take_message(p, message, (size_t) size);
			PQfreemem(message);
			if (p->alive == 0)
				return PENSTOCK_AGAIN;
		}
		else
		{
			status = pen_waiting_input(p->pipe->source, p->pipe->interrupted, p->error);
			if (status < 0)
				pen_error_context(p->error, "source");
		}
		if (status < 0)
			return status;
	}
}

static penstock_status
end_source(pump *p)
{
	penstock_status status = PENSTOCK_OK;
	PGresult *result;

	while ((result = PQgetResult(p->pipe->source)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK && status == PENSTOCK_OK)
			status = source_error(p, result);
		else
			p->pipe->rows = strtoull(PQcmdTuples(result), NULL, 10);
		PQclear(result);
	}
	return status;
}

/* ---- beginning and end ---- */

static void
begin_ends(pump *p)
{
	for (size_t i = 0; i < p->pipe->end_count; i++)
	{
		pen_pipe_end *end = &p->pipe->ends[i];
		PGresult *result;

		pen_error_clear(&end->error);
		end->failed = end->unsent = false;
		result = pen_waiting_query(end->conn, end->sql, p->pipe->interrupted, &end->error);
		end->failed = result == NULL || PQsetnonblocking(end->conn, 1) != 0;
		if (end->failed && result != NULL)
			pen_error_set(&end->error, PENSTOCK_E_RETRY, "out of memory");
		p->alive += !end->failed;
		PQclear(result);
	}
}

static void
check_count(pump *p, pen_pipe_end *end, const PGresult *result)
{
	uint64_t rows = strtoull(PQcmdTuples((PGresult *) result), NULL, 10);

	if (rows != p->pipe->rows && end->error.status == PENSTOCK_OK)
		pen_error_set(&end->error, PENSTOCK_E_DATA,
					  "%llu rows arrived of %llu: a trigger or rule of the destination takes them",
					  (unsigned long long) rows, (unsigned long long) p->pipe->rows);
}

/* Indexes of a chunk and deferred checks may take a while: wait as for any answer. */
static penstock_status
finish_end(pump *p, pen_pipe_end *end)
{
	PGresult *result;

	while (PQisBusy(end->conn))
	{
		if (pen_waiting_check(p->pipe->interrupted, p->error) < 0)
			return p->error->status;
		if (pen_waiting_input(end->conn, NULL, &end->error) < 0)
			break;
	}
	(void) PQsetnonblocking(end->conn, 0);
	while (end->error.status == PENSTOCK_OK && (result = PQgetResult(end->conn)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			pen_pq_error(&end->error, end->conn, result);
		else
			check_count(p, end, result);
		PQclear(result);
	}
	while ((result = PQgetResult(end->conn)) != NULL)
		PQclear(result);
	end->failed = end->error.status != PENSTOCK_OK;
	return PENSTOCK_OK;
}

static penstock_status
finish_ends(pump *p)
{
	for (size_t i = 0; i < p->pipe->end_count; i++)
	{
		pen_pipe_end *end = &p->pipe->ends[i];

		if (end->failed)
			continue;
		if (PQputCopyEnd(end->conn, NULL) <= 0)
			end_failed(p, end);
		else
			flush_end(p, end);
	}
	if (wait_for_ends(p) < 0)
		return p->error->status;
	for (size_t i = 0; i < p->pipe->end_count; i++)
	{
		if (!p->pipe->ends[i].failed && finish_end(p, &p->pipe->ends[i]) < 0)
			return p->error->status;
	}
	return PENSTOCK_OK;
}

penstock_status
pen_pipe_run(pen_pipe *pipe, pen_error *error)
{
	pump p = {.pipe = pipe, .error = error, .chunk = malloc(CHUNK_BYTES)};
	penstock_status status = PENSTOCK_OK;
	PGresult *result;

	pipe->rows = 0;
	if (p.chunk == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	begin_ends(&p);
	if (p.alive > 0)
	{
		result = pen_waiting_query(pipe->source, pipe->sql, pipe->interrupted, error);
		status = result == NULL ? pen_error_context(error, "source") : pump_rows(&p);
		PQclear(result);
		if (status == PENSTOCK_OK)
			status = end_source(&p);
		if (status == PENSTOCK_OK)
			status = finish_ends(&p);
	}
	free(p.chunk);
	return status;
}
