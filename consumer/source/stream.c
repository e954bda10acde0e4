/* stream.c -- the walsender's side of the conversation.
 * Nothing here decides what is durable: feedback says what it is told. */
#include "source/stream.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pq/pq.h"
#include "wire.h"

#define PLUGIN            "penstock"
#define STOP_POLL_MS      200
#define DATA_HEADER_BYTES 25 /* 'w', start, end, time */
#define KEEPALIVE_BYTES   18 /* 'k', end, time, reply */
#define FEEDBACK_BYTES    34 /* 'r', written, flushed, applied, time, reply */

struct pen_stream
{
	PGconn *conn;
	pen_stream_system system;
	bool want_write;
};

/* ---- connecting and slots ---- */

static penstock_status
identify(pen_stream *stream, pen_error *error)
{
	PGresult *result = pen_pq_query(stream->conn, "IDENTIFY_SYSTEM", 0, NULL, error);
	pen_stream_system *system = &stream->system;
	const char *encoding = PQparameterStatus(stream->conn, "server_encoding");

	if (result == NULL)
		return pen_error_context(error, "source: could not identify the system");
	if (PQntuples(result) != 1 || PQnfields(result) < 4 || PQgetisnull(result, 0, 3) ||
		!pen_pq_parse_lsn(PQgetvalue(result, 0, 2), &system->flush_lsn))
	{
		PQclear(result);
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"source: unexpected answer to IDENTIFY_SYSTEM; is this PostgreSQL, reached "
			"without a pooler?");
	}
	snprintf(system->identifier, sizeof(system->identifier), "%s", PQgetvalue(result, 0, 0));
	system->timeline = (uint32_t) strtoul(PQgetvalue(result, 0, 1), NULL, 10);
	snprintf(system->database, sizeof(system->database), "%s", PQgetvalue(result, 0, 3));
	system->server_version = PQserverVersion(stream->conn);
	system->utf8 = encoding != NULL && strcmp(encoding, "UTF8") == 0;
	PQclear(result);
	return PENSTOCK_OK;
}

pen_stream *
pen_stream_open(const char *conninfo, int connect_timeout_ms, pen_error *error)
{
	pen_pq_options options = {
		.replication = true,
		.connect_timeout_ms = connect_timeout_ms,
		.settings = PEN_PQ_PINNED_SETTINGS,
	};
	pen_stream *stream = calloc(1, sizeof(*stream));

	if (stream == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "source: out of memory");
		return NULL;
	}
	stream->conn = pen_pq_connect(conninfo, &options, "source", error);
	if (stream->conn == NULL || identify(stream, error) < 0)
	{
		pen_stream_close(stream);
		return NULL;
	}
	return stream;
}

void
pen_stream_close(pen_stream *stream)
{
	if (stream == NULL)
		return;
	PQfinish(stream->conn);
	free(stream);
}

const pen_stream_system *
pen_stream_identify(const pen_stream *stream)
{
	return &stream->system;
}

/* The faults that a new user meets, with what to do about them. */
static penstock_status
explain(pen_error *error, const char *slot)
{
	const char *remedy = NULL;
	penstock_status status = PENSTOCK_E_CONFIG;

	if (strstr(error->text, "wal_level") != NULL)
		remedy = "set wal_level = logical on the source and restart it";
	else if (strstr(error->text, "may not be used as an output plugin") != NULL)
		remedy =
			"add penstock to output_plugin_libraries in the source's postgresql.conf and reload";
	else if (strstr(error->text, "unrecognized option \"streaming\"") != NULL)
		remedy = "update the plugin on the source, or run with --streaming=off";
	else if (strcmp(error->sqlstate, "58P01") == 0)
		remedy = "install the plugin on the source server: make install-plugin";
	else if (strcmp(error->sqlstate, "42704") == 0)
		remedy = "create it with penstock slot create, or run with --create-slot";
	else if (strcmp(error->sqlstate, "42501") == 0)
		remedy = "the role needs REPLICATION: ALTER ROLE … REPLICATION";
	else if (strcmp(error->sqlstate, "53400") == 0)
		remedy = "drop a slot that nobody needs, or raise max_replication_slots";
	else if (strcmp(error->sqlstate, "42710") == 0)
		remedy = "choose another name, or drop it with penstock slot drop";
	else if (strcmp(error->sqlstate, "55006") == 0)
	{
		remedy = "another consumer reads it; stop that one, or use a slot of your own";
		status = PENSTOCK_E_RETRY;
	}
	if (remedy != NULL)
	{
		size_t used = strlen(error->text);

		snprintf(error->text + used, sizeof(error->text) - used, "; %s", remedy);
		error->status = status;
	}
	return pen_error_context(error, "source: slot \"%s\"", slot);
}

/* A slot's name as a quoted identifier; the caller frees it with PQfreemem. */
static char *
quote_slot(pen_stream *stream, const char *slot, pen_error *error)
{
	char *quoted = PQescapeIdentifier(stream->conn, slot, strlen(slot));

	if (quoted == NULL)
		pen_error_set(error, PENSTOCK_E_CONFIG, "source: slot name is not valid UTF-8");
	return quoted;
}

/* The command that creates a slot, whose second column is where it begins; for free(). Version 14
 * has two-phase in its SQL function only. */
static char *
create_command(pen_stream *stream, const pen_stream_slot *slot, pen_error *error)
{
	char *quoted = quote_slot(stream, slot->name, error);
	char *literal = PQescapeLiteral(stream->conn, slot->name, strlen(slot->name));
	int version = stream->system.server_version;
	char *sql = NULL;
	int length = -1;

	if (quoted != NULL && literal != NULL && slot->two_phase && version < 150000)
		length =
			asprintf(&sql,
					 "SELECT slot_name, lsn FROM pg_catalog.pg_create_logical_replication_slot("
					 "%s, '" PLUGIN "', %s, true)",
					 literal, slot->temporary ? "true" : "false");
	else if (quoted != NULL && literal != NULL)
		length = asprintf(&sql, "CREATE_REPLICATION_SLOT %s %s LOGICAL " PLUGIN " %s", quoted,
						  slot->temporary ? "TEMPORARY" : "",
						  version < 150000  ? "NOEXPORT_SNAPSHOT"
						  : slot->two_phase ? "(SNAPSHOT 'nothing', TWO_PHASE true)"
											: "(SNAPSHOT 'nothing')");
	PQfreemem(quoted);
	PQfreemem(literal);
	if (length >= 0)
		return sql;
	if (quoted != NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "source: out of memory");
	return NULL;
}

/* The answer to what has been sent, or NULL and error; stop as in pen_stream_slot. */
static PGresult *
await_answer(PGconn *conn, const volatile sig_atomic_t *stop, pen_error *error)
{
	PGresult *result;

	while (PQisBusy(conn))
	{
		struct pollfd fd = {.fd = PQsocket(conn), .events = POLLIN};

		if (stop != NULL && *stop)
		{
			pen_pq_cancel(conn); /* it would not notice by itself that nobody waits any more */
			stop = NULL;
		}
		if (poll(&fd, 1, STOP_POLL_MS) > 0 && !PQconsumeInput(conn))
			break;
	}
	result = PQgetResult(conn);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
	{
		PQclear(PQgetResult(conn)); /* the end of it, NULL */
		return result;
	}
	pen_pq_error(error, conn, result);
	PQclear(result);
	return NULL;
}

penstock_status
pen_stream_create_slot(pen_stream *stream, const pen_stream_slot *slot, uint64_t *consistent_lsn,
					   pen_error *error)
{
	char *sql = create_command(stream, slot, error);
	PGresult *result = NULL;
	bool parsed = true;

	if (sql == NULL)
		return error->status;
	if (PQsendQuery(stream->conn, sql))
		result = await_answer(stream->conn, slot->stop, error);
	else
		pen_pq_error(error, stream->conn, NULL);
	free(sql);
	if (result == NULL)
		return explain(error, slot->name);
	if (consistent_lsn != NULL)
		parsed =
			PQntuples(result) == 1 && pen_pq_parse_lsn(PQgetvalue(result, 0, 1), consistent_lsn);
	PQclear(result);
	return parsed ? PENSTOCK_OK
				  : pen_error_set(error, PENSTOCK_E_BUG,
								  "source: unexpected answer to CREATE_REPLICATION_SLOT");
}

penstock_status
pen_stream_drop_slot(pen_stream *stream, const char *slot, pen_error *error)
{
	char *quoted = quote_slot(stream, slot, error);
	char sql[512];

	if (quoted == NULL)
		return error->status;
	snprintf(sql, sizeof(sql), "DROP_REPLICATION_SLOT %s", quoted);
	PQfreemem(quoted);
	if (pen_pq_execute(stream->conn, sql, error) < 0)
		return explain(error, slot);
	return PENSTOCK_OK;
}

/* ---- timelines ---- */

/* Lines of "timeline <tab> lsn <tab> reason"; others are comments. */
static size_t
parse_history(const char *text, size_t length, pen_timeline_switch *history, size_t most)
{
	const char *end = text + length;
	size_t count = 0;

	while (text < end && count < most)
	{
		const char *newline = memchr(text, '\n', (size_t) (end - text));
		size_t size = (size_t) ((newline != NULL ? newline : end) - text);
		char line[256];
		unsigned int timeline;
		unsigned int high;
		unsigned int low;

		snprintf(line, sizeof(line), "%.*s", (int) (size < 255 ? size : 255), text);
		if (sscanf(line, "%u\t%X/%X", &timeline, &high, &low) == 3)
			history[count++] = (pen_timeline_switch){timeline, (uint64_t) high << 32 | low};
		text += size + 1;
	}
	return count;
}

penstock_status
pen_stream_history(pen_stream *stream, pen_timeline_switch **history, size_t *count,
				   pen_error *error)
{
	char sql[64];
	PGresult *result;
	size_t most;

	*history = NULL;
	*count = 0;
	if (stream->system.timeline <= 1)
		return PENSTOCK_OK;
	snprintf(sql, sizeof(sql), "TIMELINE_HISTORY %u", stream->system.timeline);
	result = pen_pq_query(stream->conn, sql, 0, NULL, error);
	if (result == NULL)
		return pen_error_context(error, "source: could not read the history of timeline %u",
								 stream->system.timeline);
	if (PQntuples(result) == 1 && PQnfields(result) == 2)
	{
		most = (size_t) PQgetlength(result, 0, 1) / 6 + 1;
		*history = calloc(most, sizeof(**history));
		if (*history != NULL)
			*count = parse_history(PQgetvalue(result, 0, 1), (size_t) PQgetlength(result, 0, 1),
								   *history, most);
	}
	PQclear(result);
	return PENSTOCK_OK;
}

/* ---- streaming ---- */

/* Between single quotes, of which two stand for one: the replication protocol's grammar knows no
 * E'', so a backslash is plain. For free(), NULL without memory. */
static char *
quote_value(const char *value)
{
	char *quoted = malloc(2 * strlen(value) + 3);
	char *to = quoted;

	if (quoted == NULL)
		return NULL;
	*to++ = '\'';
	for (; *value != '\0'; value++)
	{
		if (*value == '\'')
			*to++ = '\'';
		*to++ = *value;
	}
	*to++ = '\'';
	*to = '\0';
	return quoted;
}

/* Append ", "name" 'value'" to *sql. False without memory. */
static bool
append_option(pen_stream *stream, char **sql, const pen_stream_option *option)
{
	char *name = PQescapeIdentifier(stream->conn, option->name, strlen(option->name));
	char *value = quote_value(option->value);
	char *longer = NULL;
	bool ok =
		name != NULL && value != NULL && asprintf(&longer, "%s, %s %s", *sql, name, value) >= 0;

	PQfreemem(name);
	free(value);
	if (!ok)
		return false;
	free(*sql);
	*sql = longer;
	return true;
}

/* The command that begins the stream, for free(). */
static char *
start_command(pen_stream *stream, const char *slot, uint64_t lsn, const pen_stream_option *options,
			  size_t count, pen_error *error)
{
	char *quoted = quote_slot(stream, slot, error);
	char position[20];
	char *sql = NULL;
	char *whole = NULL;
	bool ok;

	if (quoted == NULL)
		return NULL;
	pen_pq_format_lsn(lsn, position);
	ok = asprintf(&sql,
				  "START_REPLICATION SLOT %s LOGICAL %s (\"protocol_min\" '%d', "
				  "\"protocol_max\" '%d'",
				  quoted, position, PEN_PROTOCOL_VERSION_MIN, PEN_PROTOCOL_VERSION_MAX) >= 0;
	PQfreemem(quoted);
	for (size_t i = 0; ok && i < count; i++)
		ok = append_option(stream, &sql, &options[i]);
	if (!ok || asprintf(&whole, "%s)", sql) < 0)
	{
		whole = NULL;
		pen_error_set(error, PENSTOCK_E_RETRY, "source: out of memory");
	}
	free(sql);
	return whole;
}

penstock_status
pen_stream_start(pen_stream *stream, const char *slot, uint64_t lsn,
				 const pen_stream_option *options, size_t count, pen_error *error)
{
	char *sql = start_command(stream, slot, lsn, options, count, error);
	PGresult *result;

	if (sql == NULL)
		return error->status;
	result = pen_pq_query(stream->conn, sql, 0, NULL, error);
	free(sql);
	if (result == NULL)
		return explain(error, slot);
	if (PQresultStatus(result) != PGRES_COPY_BOTH || PQsetnonblocking(stream->conn, 1) != 0)
		pen_error_set(error, PENSTOCK_E_RETRY, "source: could not begin streaming");
	else
		error->status = PENSTOCK_OK;
	PQclear(result);
	return error->status;
}

static uint64_t
read_be64(const uint8_t *p)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | p[i];
	return value;
}

static uint8_t *
put_be64(uint8_t *p, uint64_t value)
{
	for (int i = 7; i >= 0; i--)
		*p++ = (uint8_t) (value >> (8 * i));
	return p;
}

static penstock_status
flush(pen_stream *stream, pen_error *error)
{
	int left = PQflush(stream->conn);

	stream->want_write = left > 0;
	return left < 0 ? pen_pq_error(error, stream->conn, NULL) : PENSTOCK_OK;
}

/* One CopyData message: who owns bytes is the caller's. */
static penstock_status
parse_message(pen_stream_message *message, uint8_t *bytes, size_t size, pen_error *error)
{
	*message = (pen_stream_message){0};
	if (size >= DATA_HEADER_BYTES && bytes[0] == 'w')
	{
		message->kind = PEN_STREAM_DATA;
		message->bytes = bytes;
		message->payload = bytes + DATA_HEADER_BYTES;
		message->payload_size = size - DATA_HEADER_BYTES;
		message->wal_end = read_be64(bytes + 1);
		return PENSTOCK_OK;
	}
	if (size >= KEEPALIVE_BYTES && bytes[0] == 'k')
	{
		message->kind = PEN_STREAM_KEEPALIVE;
		message->wal_end = read_be64(bytes + 1);
		message->reply_requested = bytes[17] != 0;
		PQfreemem(bytes);
		return PENSTOCK_OK;
	}
	PQfreemem(bytes);
	return pen_error_set(error, PENSTOCK_E_DATA,
						 "source: unknown message in the replication stream");
}

/* The stream ended: find out why. */
static penstock_status
end_of_stream(pen_stream *stream, pen_error *error)
{
	PGresult *result = PQgetResult(stream->conn);

	if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
		pen_pq_error(error, stream->conn, result);
	else
		pen_error_set(error, PENSTOCK_E_RETRY, "the server ended the stream");
	PQclear(result);
	return pen_error_context(error, "source");
}

penstock_status
pen_stream_receive(pen_stream *stream, pen_stream_message *message, pen_error *error)
{
	char *bytes = NULL;
	int size = PQgetCopyData(stream->conn, &bytes, 1);

	if (size == 0)
	{
		if (stream->want_write && flush(stream, error) < 0)
			return pen_error_context(error, "source");
		if (PQconsumeInput(stream->conn) == 0)
		{
			pen_pq_error(error, stream->conn, NULL);
			return pen_error_context(error, "source");
		}
		size = PQgetCopyData(stream->conn, &bytes, 1);
	}
	if (size > 0)
		return parse_message(message, (uint8_t *) bytes, (size_t) size, error);
	if (size == 0)
		return PENSTOCK_AGAIN;
	if (size == -1)
		return end_of_stream(stream, error);
	pen_pq_error(error, stream->conn, NULL);
	return pen_error_context(error, "source");
}

void
pen_stream_free_bytes(void *bytes)
{
	PQfreemem(bytes);
}

penstock_status
pen_stream_feedback(pen_stream *stream, uint64_t received_lsn, uint64_t durable_lsn,
					bool request_reply, pen_error *error)
{
	uint8_t message[FEEDBACK_BYTES];
	uint8_t *p = message;

	*p++ = 'r';
	p = put_be64(p, received_lsn);
	p = put_be64(p, durable_lsn);
	p = put_be64(p, durable_lsn);
	p = put_be64(p, (uint64_t) pen_clock_postgres_us());
	*p = request_reply;
	if (PQputCopyData(stream->conn, (const char *) message, FEEDBACK_BYTES) < 0)
		pen_pq_error(error, stream->conn, NULL);
	else if (flush(stream, error) >= 0)
		return PENSTOCK_OK;
	return pen_error_context(error, "source: could not send feedback");
}

static void
wait_socket(pen_stream *stream, int timeout_ms)
{
	struct pollfd fd = {
		.fd = PQsocket(stream->conn),
		.events = (short) (POLLIN | (stream->want_write ? POLLOUT : 0)),
	};

	(void) poll(&fd, 1, timeout_ms);
}

/* What the server says when COPY has ended; after it the connection takes commands again. */
static penstock_status
take_results(pen_stream *stream, pen_error *error)
{
	PGresult *result;
	penstock_status status = PENSTOCK_OK;

	PQsetnonblocking(stream->conn, 0);
	while ((result = PQgetResult(stream->conn)) != NULL)
	{
		if (PQresultStatus(result) == PGRES_FATAL_ERROR)
			status = pen_pq_error(error, stream->conn, result);
		PQclear(result);
		if (PQstatus(stream->conn) == CONNECTION_BAD)
			break;
	}
	return status;
}

penstock_status
pen_stream_finish(pen_stream *stream, int timeout_ms, pen_error *error)
{
	int64_t deadline = pen_clock_ms() + timeout_ms;

	if (PQputCopyEnd(stream->conn, NULL) < 0 || flush(stream, error) < 0)
	{
		pen_pq_error(error, stream->conn, NULL);
		return pen_error_context(error, "source");
	}
	for (;;)
	{
		char *bytes = NULL;
		int size = PQgetCopyData(stream->conn, &bytes, 1);
		int64_t left_ms = deadline - pen_clock_ms();

		PQfreemem(bytes);
		if (size == -1)
			return take_results(stream, error);
		if (size < 0)
		{
			pen_pq_error(error, stream->conn, NULL);
			return pen_error_context(error, "source");
		}
		if (left_ms <= 0)
			return pen_error_set(error, PENSTOCK_E_RETRY,
								 "source: no answer to the end of the stream");
		if (size > 0)
			continue;
		wait_socket(stream, (int) left_ms);
		if (flush(stream, error) < 0 || PQconsumeInput(stream->conn) == 0)
		{
			pen_pq_error(error, stream->conn, NULL);
			return pen_error_context(error, "source");
		}
	}
}

int
pen_stream_socket(const pen_stream *stream, bool *want_write)
{
	*want_write = stream->want_write;
	return PQsocket(stream->conn);
}
