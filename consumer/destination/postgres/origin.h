/* origin.h -- what the destination applies carries a replication origin, so that a stream from it
 * back to the source can leave that out. */
#ifndef PEN_ORIGIN_H
#define PEN_ORIGIN_H

#include <libpq-fe.h>

#include "base/error.h"

/*
 * Give the session the origin penstock_<slot>, made where it is missing; another session of this
 * server, in another database, may hold it: then penstock_<slot>_<database's oid>. *permitted false
 * where the role may not, or the server has no room for it, with *error saying why: that is not a
 * failure. E_RETRY when both are held. Plain connection, no pipeline, no transaction.
 */
extern penstock_status pen_origin_take(PGconn *conn, const char *slot, bool *permitted,
									   pen_error *error);

/* For a second session of the same destination: penstock_<slot>_<database's oid>_ahead. E_RETRY where
 * it cannot be had; an earlier session that is about to end is waited for. */
extern penstock_status pen_origin_take_ahead(PGconn *conn, const char *slot, pen_error *error);

#endif
