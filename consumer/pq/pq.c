/* pq.c -- libpq with our errors.
 * What a server says is passed on only as far as it cannot hold row data: message and hint. */
#include "pq/pq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_KEYWORDS_MAX 16

penstock_status
pen_pq_sqlstate_status(const char *sqlstate)
{
	static const char *const retry[] = {"08", "40", "53", "57", "58", "55P03", "55006", "25006"};
	static const char *const config[] = {"28",    "3D",    "3F",    "42",    "0A",
										 "25P03", "22023", "55000", "42501", "F0"};

	if (sqlstate == NULL || sqlstate[0] == '\0')
		return PENSTOCK_E_RETRY;
	for (size_t i = 0; i < sizeof(retry) / sizeof(retry[0]); i++)
	{
		if (strncmp(sqlstate, retry[i], strlen(retry[i])) == 0)
			return PENSTOCK_E_RETRY;
	}
	for (size_t i = 0; i < sizeof(config) / sizeof(config[0]); i++)
	{
		if (strncmp(sqlstate, config[i], strlen(config[i])) == 0)
			return PENSTOCK_E_CONFIG;
	}
	return PENSTOCK_E_DATA;
}

/* One line, without the "ERROR:" and the newline that libpq puts around. */
static void
copy_line(char *into, size_t size, const char *text)
{
	size_t length;

	snprintf(into, size, "%s", text != NULL ? text : "");
	length = strlen(into);
	while (length > 0 && (into[length - 1] == '\n' || into[length - 1] == ' '))
		into[--length] = '\0';
	for (char *p = into; *p != '\0'; p++)
	{
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
}

/*
 * Errors about values quote the values, and those that people raise may say anything: what stands
 * in quotes is left out.
 */
static void
leave_out_quoted(char *message)
{
	char *into = message;
	bool quoted = false;

	for (const char *p = message; *p != '\0'; p++)
	{
		if (*p == '"')
			quoted = !quoted;
		if (!quoted || *p == '"')
			*into++ = *p;
	}
	*into = '\0';
}

penstock_status
pen_pq_error(pen_error *error, const PGconn *conn, const PGresult *result)
{
	const char *sqlstate = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *primary =
		result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *hint = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) : NULL;
	char message[1024];
	penstock_status status;

	if (primary == NULL)
		primary = result != NULL && PQresultErrorMessage(result)[0] != '\0'
					  ? PQresultErrorMessage(result)
					  : PQerrorMessage(conn);
	copy_line(message, sizeof(message), primary);
	if (sqlstate != NULL && (strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "P0", 2) == 0))
		leave_out_quoted(message);
	status = PQstatus(conn) == CONNECTION_BAD && sqlstate == NULL
				 ? PENSTOCK_E_RETRY
				 : pen_pq_sqlstate_status(sqlstate);
	pen_error_set(error, status, "%s%s%s", message[0] != '\0' ? message : "connection lost",
				  hint != NULL ? "; " : "", hint != NULL ? hint : "");
	if (error != NULL && sqlstate != NULL)
		snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
	return status;
}

/* libpq's parser quotes what it could not parse, which may be half a password: cut it there. */
static penstock_status
conninfo_error(const char *libpq_says, const char *what, pen_error *error)
{
	char message[200];
	size_t quote;

	copy_line(message, sizeof(message), libpq_says);
	/* 'missing "=" after …': neither of the two forms */
	if (strncmp(message, "missing \"=\"", 11) == 0)
		snprintf(message, sizeof(message), "neither a URI nor keyword=value");
	quote = strcspn(message, "\"");
	while (quote > 0 && message[quote - 1] == ' ')
		quote--;
	message[quote] = '\0';
	return pen_error_set(
		error, PENSTOCK_E_CONFIG,
		"%s: malformed connection string (%s); write postgresql://user@host:port/database "
		"or \"host=… dbname=…\"",
		what, message[0] != '\0' ? message : "unreadable");
}

/* What libpq would find when it connects, and then quote: after an @ in a password, the rest of
 * that password stands in host and port. */
static const char *
find_fault(const PQconninfoOption *option)
{
	for (; option->keyword != NULL; option++)
	{
		if (option->val == NULL)
			continue;
		if (strcmp(option->keyword, "host") == 0 && strchr(option->val, '@') > option->val)
			return "an @ in the host; in a password, write %40";
		if (strcmp(option->keyword, "port") == 0 &&
			option->val[strspn(option->val, "0123456789,")] != '\0')
			return "the port is not a number; in a password, write %40 for @ and %3A for :";
	}
	return NULL;
}

penstock_status
pen_pq_check_conninfo(const char *conninfo, const char *what, pen_error *error)
{
	char *libpq_says = NULL;
	PQconninfoOption *parsed = PQconninfoParse(conninfo, &libpq_says);
	const char *fault = parsed != NULL ? find_fault(parsed) : libpq_says;
	penstock_status status = PENSTOCK_OK;

	if (parsed == NULL || fault != NULL)
		status = conninfo_error(fault, what, error);
	PQconninfoFree(parsed);
	PQfreemem(libpq_says);
	return status;
}

/* The user's own -c options come first, so that ours win. */
static char *
join_options(const char *conninfo, const char *settings)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	const char *own = getenv("PGOPTIONS");
	char *joined = NULL;

	for (PQconninfoOption *o = parsed; o != NULL && o->keyword != NULL; o++)
	{
		if (strcmp(o->keyword, "options") == 0 && o->val != NULL)
			own = o->val;
	}
	if (asprintf(&joined, "%s %s", own != NULL ? own : "", settings != NULL ? settings : "") < 0)
		joined = NULL;
	PQconninfoFree(parsed);
	return joined;
}

/* A connection that failed: no SQLSTATE is to be had before libpq 16, so known words decide. */
static penstock_status
connect_error(PGconn *conn, const char *what, pen_error *error)
{
	static const char *const hopeless[] = {"password authentication failed",
										   "no password supplied",
										   "does not exist",
										   "no pg_hba.conf entry",
										   "pg_hba.conf rejects",
										   "authentication failed",
										   "permission denied",
										   "must be superuser"};
	penstock_status status = PENSTOCK_E_RETRY;
	const char *remedy = "";
	char message[512];

	copy_line(message, sizeof(message), PQerrorMessage(conn));
	for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++)
	{
		/* a missing socket is a server that is not up yet */
		if (strstr(message, hopeless[i]) != NULL && strstr(message, "FATAL") != NULL)
			status = PENSTOCK_E_CONFIG;
	}
	/* "start walsender" until PostgreSQL 15, then "start WAL sender" */
	if (strstr(message, "to start wal") != NULL || strstr(message, "to start WAL") != NULL)
		remedy = "; the role needs REPLICATION: ALTER ROLE … REPLICATION";
	return pen_error_set(error, status, "%s: could not connect: %s%s", what, message, remedy);
}

/* Notices may quote rows, and the library does not print: libpq would, to standard error. */
static void
ignore_notice(void *context, const char *message)
{
	(void) context;
	(void) message;
}

PGconn *
pen_pq_connect(const char *conninfo, const pen_pq_options *options, const char *what,
			   pen_error *error)
{
	const char *keywords[CONNECT_KEYWORDS_MAX];
	const char *values[CONNECT_KEYWORDS_MAX];
	char timeout[16];
	char *settings;
	PGconn *conn;
	int n = 0;

	if (pen_pq_check_conninfo(conninfo, what, error) < 0)
		return NULL;
	settings = join_options(conninfo, options->settings);
	snprintf(timeout, sizeof(timeout), "%d",
			 options->connect_timeout_ms <= 2000 ? 2 : (options->connect_timeout_ms + 999) / 1000);
	/* What stands before the connection string is only a default: notice a dead network. */
	keywords[n] = "keepalives_idle", values[n++] = "30";
	keywords[n] = "keepalives_interval", values[n++] = "10";
	keywords[n] = "keepalives_count", values[n++] = "3";
	keywords[n] = "tcp_user_timeout", values[n++] = "60000";
	keywords[n] = "dbname", values[n++] = conninfo;
	keywords[n] = "fallback_application_name", values[n++] = "penstock";
	keywords[n] = "client_encoding", values[n++] = "UTF8";
	keywords[n] = "connect_timeout", values[n++] = timeout;
	keywords[n] = "options", values[n++] = settings != NULL ? settings : "";
	if (options->replication)
		keywords[n] = "replication", values[n++] = "database";
	keywords[n] = NULL, values[n] = NULL;
	conn = PQconnectdbParams(keywords, values, 1);
	free(settings);
	if (conn == NULL || PQstatus(conn) != CONNECTION_OK)
	{
		if (conn == NULL)
			pen_error_set(error, PENSTOCK_E_RETRY, "%s: out of memory", what);
		else
			connect_error(conn, what, error);
		PQfinish(conn);
		return NULL;
	}
	(void) PQsetNoticeProcessor(conn, ignore_notice, NULL);
	return conn;
}

PGresult *
pen_pq_query(PGconn *conn, const char *sql, int count, const char *const *params, pen_error *error)
{
	PGresult *result =
		count > 0 ? PQexecParams(conn, sql, count, NULL, params, NULL, NULL, 0) : PQexec(conn, sql);

	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
		case PGRES_COPY_OUT:
		case PGRES_COPY_IN:
		case PGRES_COPY_BOTH:
			return result;
		default:
			pen_pq_error(error, conn, result);
			PQclear(result);
			return NULL;
	}
}

penstock_status
pen_pq_execute(PGconn *conn, const char *sql, pen_error *error)
{
	PGresult *result = pen_pq_query(conn, sql, 0, NULL, error);

	if (result == NULL)
		return error->status;
	PQclear(result);
	return PENSTOCK_OK;
}

penstock_status
pen_pq_prepare(PGconn *conn, const char *name, const char *sql, pen_error *error)
{
	PGresult *result = PQprepare(conn, name, sql, 0, NULL);
	bool prepared = PQresultStatus(result) == PGRES_COMMAND_OK;

	if (!prepared)
		pen_pq_error(error, conn, result);
	PQclear(result);
	return prepared ? PENSTOCK_OK : error->status;
}

void
pen_pq_cancel(PGconn *conn)
{
	PGcancel *handle = PQgetCancel(conn);
	char message[256];

	if (handle != NULL)
		PQcancel(handle, message, sizeof(message));
	PQfreeCancel(handle);
}

bool
pen_pq_parse_lsn(const char *text, uint64_t *lsn)
{
	unsigned int high;
	unsigned int low;
	int end = 0;

	if (sscanf(text, "%8X/%8X%n", &high, &low, &end) != 2 || text[end] != '\0')
		return false;
	*lsn = (uint64_t) high << 32 | low;
	return true;
}

void
pen_pq_format_lsn(uint64_t lsn, char text[20])
{
	snprintf(text, 20, "%X/%X", (unsigned int) (lsn >> 32), (unsigned int) lsn);
}
