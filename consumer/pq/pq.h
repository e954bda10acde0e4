/* pq.h -- libpq with our errors: connecting within limits, one-shot queries, and what an SQLSTATE
 * means for going on. Used by the rooms that talk to servers; nothing here logs. */
#ifndef PEN_PQ_H
#define PEN_PQ_H

#include <libpq-fe.h>

#include "base/error.h"

/* Settings that values' texts follow, pinned as the plugin pins them, so that what one server
 * prints another reads, and rows compare as text. */
#define PEN_PQ_PINNED_SETTINGS                                                                     \
	"-c datestyle=ISO,YMD -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex "  \
	"-c timezone=UTC -c lc_monetary=C -c array_nulls=on -c xmloption=content "                     \
	"-c quote_all_identifiers=off -c search_path=pg_catalog "

/* How to connect, beyond what the connection string says. */
typedef struct pen_pq_options
{
	bool replication;       /* a walsender connected to the database */
	int connect_timeout_ms; /* rounded up to libpq's whole seconds, at least 2 */
	const char *settings;   /* "-c name=value …" put after the user's own options, or NULL */
} pen_pq_options;

/*
 * Connect, with UTF8 as client encoding and application_name penstock unless conninfo has another.
 * what names the server in errors ("source", "destination f1"). NULL and error: E_CONFIG for a
 * malformed string, a wrong password, a missing database or role; E_RETRY for everything that
 * may pass. No error repeats the connection string.
 */
extern PGconn *pen_pq_connect(const char *conninfo, const pen_pq_options *options, const char *what,
							  pen_error *error);

/* E_CONFIG unless the string can be parsed. Connects nowhere. */
extern penstock_status pen_pq_check_conninfo(const char *conninfo, const char *what,
											 pen_error *error);

/* Whether trying again may help (E_RETRY), or what else it is. "" is a lost connection. */
extern penstock_status pen_pq_sqlstate_status(const char *sqlstate);

/* Fill error from a failed result, or from the connection where result is NULL: the server's
 * primary message and hint, never its detail, which may hold row data. Returns the status. */
extern penstock_status pen_pq_error(pen_error *error, const PGconn *conn, const PGresult *result);

/*
 * Run one command with text parameters (count may be 0) and wait. The result, for the caller to
 * clear, or NULL and error. Parameters: count texts or NULLs.
 */
extern PGresult *pen_pq_query(PGconn *conn, const char *sql, int count, const char *const *params,
							  pen_error *error);

/* pen_pq_query for commands whose result does not matter. */
extern penstock_status pen_pq_execute(PGconn *conn, const char *sql, pen_error *error);

/* Have one statement prepared under a name. */
extern penstock_status pen_pq_prepare(PGconn *conn, const char *name, const char *sql,
									  pen_error *error);

/* End the command that runs on conn, whose result is then an error. */
extern void pen_pq_cancel(PGconn *conn);

/* "%X/%X". */
extern bool pen_pq_parse_lsn(const char *text, uint64_t *lsn);
extern void pen_pq_format_lsn(uint64_t lsn, char text[20]);

#endif
