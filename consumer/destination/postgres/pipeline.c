/* pipeline.c -- a ring of what is expected, in the order sent.
 * head..head+count: sent and not yet answered. A SYNC stands in the ring like a statement. */
#include "destination/postgres/pipeline.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pq/pq.h"

#define WAIT_MS           200 /* between looks at whether we are to stop */
#define SILENCE_MS        1000
#define STATEMENT_BYTES   64 /* of overhead, in both directions */
#define FLUSH_AFTER_BYTES 16384

typedef struct entry
{
	pen_expectation expected;
	size_t bytes;
	bool sync;
	bool keep; /* hand the result to pen_pipeline_query */
} entry;

struct pen_pipeline
{
	PGconn *conn;
	const _Atomic bool *interrupted;
	size_t bytes_max;
	size_t bytes; /* under way */
	size_t unflushed;
	bool held;
	entry *ring;
	size_t capacity;
	size_t head;
	size_t count;
	PGresult *kept;
	void (*silent)(void *context);
	void *silent_context;
	int silent_ms;
};

pen_pipeline *
pen_pipeline_new(PGconn *conn, size_t bytes_max, const _Atomic bool *interrupted)
{
	pen_pipeline *pipeline = calloc(1, sizeof(*pipeline));

	if (pipeline == NULL || PQenterPipelineMode(conn) != 1 || PQsetnonblocking(conn, 1) != 0)
	{
		free(pipeline);
		return NULL;
	}
	pipeline->conn = conn;
	pipeline->bytes_max = bytes_max;
	pipeline->interrupted = interrupted;
	return pipeline;
}

void
pen_pipeline_free(pen_pipeline *pipeline)
{
	if (pipeline == NULL)
		return;
	PQclear(pipeline->kept);
	free(pipeline->ring);
	free(pipeline);
}

void
pen_pipeline_on_silence(pen_pipeline *pipeline, void (*silent)(void *context), void *context)
{
	pipeline->silent = silent;
	pipeline->silent_context = context;
	pipeline->silent_ms = 0;
}

static penstock_status
remember(pen_pipeline *pipeline, const entry *sent, pen_error *error)
{
	if (pipeline->count == pipeline->capacity)
	{
		size_t capacity = pipeline->capacity == 0 ? 256 : pipeline->capacity * 2;
		entry *ring = malloc(capacity * sizeof(*ring));

		if (ring == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		for (size_t i = 0; i < pipeline->count; i++)
			ring[i] = pipeline->ring[(pipeline->head + i) % pipeline->capacity];
		free(pipeline->ring);
		pipeline->ring = ring;
		pipeline->capacity = capacity;
		pipeline->head = 0;
	}
	pipeline->ring[(pipeline->head + pipeline->count++) % pipeline->capacity] = *sent;
	pipeline->bytes += sent->bytes;
	pipeline->unflushed += sent->bytes;
	return PENSTOCK_OK;
}

/* ---- answers ---- */

static penstock_status
failed(pen_pipeline *pipeline, const entry *answered, const PGresult *result, pen_error *error)
{
	pen_pq_error(error, pipeline->conn, result);
	if (answered->expected.explain != NULL)
		answered->expected.explain(&answered->expected, error);
	return error->status;
}

/* One result that belongs to the entry at the head. */
static penstock_status
take_result(pen_pipeline *pipeline, entry *answered, PGresult **result, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	switch (PQresultStatus(*result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			if (answered->expected.check != NULL)
				status = answered->expected.check(&answered->expected, *result, error);
			if (answered->keep)
			{
				PQclear(pipeline->kept);
				pipeline->kept = *result;
				*result = NULL;
			}
			return status;
		case PGRES_PIPELINE_SYNC:
			return PENSTOCK_OK;
		default:
			return failed(pipeline, answered, *result, error);
	}
}

/* Take answers while there are any; leaves at most `until` entries, waiting for them if asked. */
static penstock_status
take_answers(pen_pipeline *pipeline, pen_error *error)
{
	while (pipeline->count > 0)
	{
		entry *answered = &pipeline->ring[pipeline->head];
		PGresult *result;
		penstock_status status;

		if (PQisBusy(pipeline->conn))
			return PENSTOCK_AGAIN;
		result = PQgetResult(pipeline->conn);
		if (result == NULL && PQstatus(pipeline->conn) == CONNECTION_BAD)
			return failed(pipeline, answered, NULL, error);
		if (result != NULL)
		{
			status = take_result(pipeline, answered, &result, error);
			PQclear(result);
			if (status < 0)
				return status;
			if (!answered->sync)
				continue; /* a NULL follows */
		}
		pipeline->bytes -= answered->bytes;
		pipeline->head = (pipeline->head + 1) % pipeline->capacity;
		pipeline->count--;
	}
	return PENSTOCK_OK;
}

static penstock_status
connection_failed(pen_pipeline *pipeline, pen_error *error)
{
	/* The server may have said why before it went. */
	while (pipeline->count > 0 && !PQisBusy(pipeline->conn))
	{
		PGresult *result = PQgetResult(pipeline->conn);

		if (result == NULL)
			break;
		if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		{
			failed(pipeline, &pipeline->ring[pipeline->head], result, error);
			PQclear(result);
			return error->status;
		}
		PQclear(result);
		break;
	}
	return pen_pq_error(error, pipeline->conn, NULL);
}

/* Take the answers that are there; do not wait. */
static penstock_status
look_for_answers(pen_pipeline *pipeline, pen_error *error)
{
	penstock_status status;

	if (PQflush(pipeline->conn) < 0 || PQconsumeInput(pipeline->conn) == 0)
		return connection_failed(pipeline, error);
	status = take_answers(pipeline, error);
	return status == PENSTOCK_AGAIN ? PENSTOCK_OK : status;
}

/* Send what is to be sent, wait for the socket, and take in what came. */
static penstock_status
wait_for_socket(pen_pipeline *pipeline, int left, pen_error *error)
{
	struct pollfd fd = {.fd = PQsocket(pipeline->conn), .events = POLLIN};

	if (atomic_load(pipeline->interrupted))
		return pen_error_set(error, PENSTOCK_E_RETRY, "interrupted");
	if (left > 0)
		fd.events |= POLLOUT;
	if (poll(&fd, 1, WAIT_MS) != 0)
		pipeline->silent_ms = 0;
	else if (pipeline->silent != NULL && (pipeline->silent_ms += WAIT_MS) >= SILENCE_MS)
	{
		pipeline->silent_ms = 0;
		pipeline->silent(pipeline->silent_context);
	}
	return PENSTOCK_OK;
}

/* Before anything is sent, or waited for. */
static penstock_status
check_held(pen_pipeline *pipeline, pen_error *error)
{
	return !pipeline->held ? PENSTOCK_OK
						   : pen_error_set(error, PENSTOCK_E_BUG,
										   "a statement before the answers of a set were judged");
}

/* Wait until at most bytes are under way. */
static penstock_status
wait_until(pen_pipeline *pipeline, size_t bytes, pen_error *error)
{
	for (;;)
	{
		int left = PQflush(pipeline->conn);
		penstock_status status;

		if (left < 0 || PQconsumeInput(pipeline->conn) == 0)
			return connection_failed(pipeline, error);
		status = take_answers(pipeline, error);
		if (status < 0)
			return status;
		if (pipeline->count == 0 || (pipeline->bytes <= bytes && bytes > 0))
			return PENSTOCK_OK;
		if (wait_for_socket(pipeline, left, error) < 0)
			return error->status;
	}
}

/* Have the server send the answers to all that was sent. */
static penstock_status
ask_for_answers(pen_pipeline *pipeline, pen_error *error)
{
	if (check_held(pipeline, error) < 0)
		return error->status;
	if (pipeline->count > 0 &&
		!pipeline->ring[(pipeline->head + pipeline->count - 1) % pipeline->capacity].sync &&
		PQsendFlushRequest(pipeline->conn) == 0)
		return connection_failed(pipeline, error);
	pipeline->unflushed = 0;
	return PENSTOCK_OK;
}

penstock_status
pen_pipeline_drain(pen_pipeline *pipeline, pen_error *error)
{
	return ask_for_answers(pipeline, error) < 0 ? error->status : wait_until(pipeline, 0, error);
}

/* All of what libpq holds; it moves what it has not sent with every send. */
static penstock_status
send_all(pen_pipeline *pipeline, pen_error *error)
{
	int left;

	while ((left = PQflush(pipeline->conn)) > 0)
	{
		if (PQconsumeInput(pipeline->conn) == 0)
			return connection_failed(pipeline, error);
		if (wait_for_socket(pipeline, left, error) < 0)
			return error->status;
	}
	return left < 0 ? connection_failed(pipeline, error) : PENSTOCK_OK;
}

penstock_status
pen_pipeline_hold(pen_pipeline *pipeline, pen_error *error)
{
	if (ask_for_answers(pipeline, error) < 0 || send_all(pipeline, error) < 0)
		return error->status;
	pipeline->held = true;
	return PENSTOCK_OK;
}

void
pen_pipeline_release(pen_pipeline *pipeline)
{
	pipeline->held = false;
}

/* ---- sending ---- */

/* After a send: ask for answers now and then, and stop to read them when too much is under way. */
static penstock_status
sent(pen_pipeline *pipeline, int ok, size_t bytes, const pen_expectation *expected, bool keep,
	 pen_error *error)
{
	entry added = {.bytes = bytes + STATEMENT_BYTES, .keep = keep};

	if (expected != NULL)
		added.expected = *expected;
	if (!ok)
		return connection_failed(pipeline, error);
	if (remember(pipeline, &added, error) < 0)
		return error->status;
	if (pipeline->unflushed < FLUSH_AFTER_BYTES)
		return PENSTOCK_OK;
	pipeline->unflushed = 0;
	if (PQsendFlushRequest(pipeline->conn) == 0)
		return connection_failed(pipeline, error);
	if (pipeline->bytes > pipeline->bytes_max)
		return wait_until(pipeline, pipeline->bytes_max / 2, error);
	return look_for_answers(pipeline, error);
}

penstock_status
pen_pipeline_send(pen_pipeline *pipeline, const char *sql, int count, const char *const *params,
				  const pen_expectation *expected, pen_error *error)
{
	if (check_held(pipeline, error) < 0)
		return error->status;
	return sent(pipeline,
				PQsendQueryParams(pipeline->conn, sql, count, NULL, params, NULL, NULL, 0),
				strlen(sql), expected, false, error);
}

penstock_status
pen_pipeline_prepare(pen_pipeline *pipeline, const char *name, const char *sql, int count,
					 const Oid *types, const pen_expectation *expected, pen_error *error)
{
	if (check_held(pipeline, error) < 0)
		return error->status;
	return sent(pipeline, PQsendPrepare(pipeline->conn, name, sql, count, types), strlen(sql),
				expected, false, error);
}

penstock_status
pen_pipeline_send_prepared(pen_pipeline *pipeline, const char *name, int count,
						   const char *const *values, const int *lengths, const int *formats,
						   const pen_expectation *expected, pen_error *error)
{
	size_t bytes = 0;
	int ok;

	if (check_held(pipeline, error) < 0)
		return error->status;
	for (int i = 0; i < count; i++)
		bytes += (size_t) lengths[i];
	ok = PQsendQueryPrepared(pipeline->conn, name, count, values, lengths, formats, 0);
	return sent(pipeline, ok, bytes, expected, false, error);
}

penstock_status
pen_pipeline_sync(pen_pipeline *pipeline, pen_error *error)
{
	entry added = {.bytes = STATEMENT_BYTES, .sync = true};

	if (check_held(pipeline, error) < 0)
		return error->status;
	if (PQpipelineSync(pipeline->conn) == 0)
		return connection_failed(pipeline, error);
	pipeline->unflushed = 0;
	if (remember(pipeline, &added, error) < 0)
		return error->status;
	if (pipeline->bytes > pipeline->bytes_max)
		return wait_until(pipeline, pipeline->bytes_max / 2, error);
	return look_for_answers(pipeline, error);
}

PGresult *
pen_pipeline_query(pen_pipeline *pipeline, const char *sql, int count, const char *const *params,
				   pen_error *error)
{
	PGresult *result;
	int ok;

	if (check_held(pipeline, error) < 0)
		return NULL;
	ok = PQsendQueryParams(pipeline->conn, sql, count, NULL, params, NULL, NULL, 0);
	if (sent(pipeline, ok, strlen(sql), NULL, true, error) < 0 ||
		pen_pipeline_drain(pipeline, error) < 0)
		return NULL;
	result = pipeline->kept;
	pipeline->kept = NULL;
	return result;
}

/* ---- after an error ---- */

/* The next result, waited for; NULL also where there is none. */
static penstock_status
next_result(pen_pipeline *pipeline, PGresult **result, pen_error *error)
{
	for (;;)
	{
		int left = PQflush(pipeline->conn);

		if (left < 0 || PQconsumeInput(pipeline->conn) == 0)
			return connection_failed(pipeline, error);
		if (!PQisBusy(pipeline->conn))
			break;
		if (wait_for_socket(pipeline, left, error) < 0)
			return error->status;
	}
	*result = PQgetResult(pipeline->conn);
	return *result == NULL && PQstatus(pipeline->conn) == CONNECTION_BAD
			   ? connection_failed(pipeline, error)
			   : PENSTOCK_OK;
}

static void
forget_sent(pen_pipeline *pipeline)
{
	pipeline->head = 0;
	pipeline->count = 0;
	pipeline->bytes = 0;
	pipeline->unflushed = 0;
	pipeline->held = false;
}

/* Out of a COPY, or of its error, into pipeline mode again. */
static penstock_status
end_copy(pen_pipeline *pipeline, pen_error *error)
{
	PGresult *result;

	do
	{
		if (next_result(pipeline, &result, error) < 0)
			return error->status;
		if (PQresultStatus(result) == PGRES_COPY_IN && PQputCopyEnd(pipeline->conn, "given up") < 0)
		{
			PQclear(result);
			return connection_failed(pipeline, error);
		}
		PQclear(result);
	} while (result != NULL);
	return PQenterPipelineMode(pipeline->conn) == 1 ? PENSTOCK_OK
													: connection_failed(pipeline, error);
}

penstock_status
pen_pipeline_recover(pen_pipeline *pipeline, pen_error *error)
{
	size_t syncs = 1;
	PGresult *result;

	if (PQpipelineStatus(pipeline->conn) == PQ_PIPELINE_OFF)
	{
		forget_sent(pipeline);
		return end_copy(pipeline, error);
	}
	for (size_t i = 0; i < pipeline->count; i++)
		syncs += pipeline->ring[(pipeline->head + i) % pipeline->capacity].sync;
	if (PQpipelineSync(pipeline->conn) == 0)
		return connection_failed(pipeline, error);
	while (syncs > 0)
	{
		if (next_result(pipeline, &result, error) < 0)
			return error->status;
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
			syncs--;
		PQclear(result);
	}
	forget_sent(pipeline);
	return PENSTOCK_OK;
}

/* ---- COPY ---- */

static penstock_status
copy_failed(pen_pipeline *pipeline, const pen_expectation *expected, const PGresult *result,
			pen_error *error)
{
	pen_pq_error(error, pipeline->conn, result);
	if (expected->explain != NULL)
		expected->explain(expected, error);
	return error->status;
}

penstock_status
pen_pipeline_copy_begin(pen_pipeline *pipeline, const char *sql, const pen_expectation *expected,
						pen_error *error)
{
	PGresult *result = NULL;
	penstock_status status = PENSTOCK_OK;

	if (pen_pipeline_drain(pipeline, error) < 0)
		return error->status;
	if (PQexitPipelineMode(pipeline->conn) == 0 || PQsendQuery(pipeline->conn, sql) == 0)
		return connection_failed(pipeline, error);
	if (next_result(pipeline, &result, error) < 0)
		return error->status;
	if (PQresultStatus(result) != PGRES_COPY_IN)
		status = copy_failed(pipeline, expected, result, error);
	PQclear(result);
	return status;
}

penstock_status
pen_pipeline_copy_data(pen_pipeline *pipeline, const void *data, size_t size, pen_error *error)
{
	return PQputCopyData(pipeline->conn, data, (int) size) != 1 ? connection_failed(pipeline, error)
																: send_all(pipeline, error);
}

penstock_status
pen_pipeline_copy_end(pen_pipeline *pipeline, const pen_expectation *expected, pen_error *error)
{
	PGresult *result;
	penstock_status status = PENSTOCK_OK;

	if (PQputCopyEnd(pipeline->conn, NULL) < 0)
		return connection_failed(pipeline, error);
	if (next_result(pipeline, &result, error) < 0)
		return error->status;
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		status = copy_failed(pipeline, expected, result, error);
	else if (expected->check != NULL)
		status = expected->check(expected, result, error);
	PQclear(result);
	return status < 0 ? status : end_copy(pipeline, error);
}
