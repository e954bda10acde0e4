/* waiting.h -- statements that may wait for others, and that an interrupt ends. */
#ifndef PEN_WAITING_H
#define PEN_WAITING_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "base/error.h"

#define PEN_WAITING_POLL_MS 500

/* E_RETRY once *interrupted (which may be NULL) is set. */
extern penstock_status pen_waiting_check(const atomic_bool *interrupted, pen_error *error);

/* Take what has arrived on conn, waiting at most PEN_WAITING_POLL_MS. E_RETRY: the connection is
 * lost, or *interrupted is set. */
extern penstock_status pen_waiting_input(PGconn *conn, const atomic_bool *interrupted,
										 pen_error *error);

/* pen_pq_query without parameters; an interrupt cancels it. */
extern PGresult *pen_waiting_query(PGconn *conn, const char *sql, const atomic_bool *interrupted,
								   pen_error *error);
extern penstock_status pen_waiting_execute(PGconn *conn, const char *sql,
										   const atomic_bool *interrupted, pen_error *error);

#endif
