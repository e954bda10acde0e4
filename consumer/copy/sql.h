/* sql.h -- statements put together in a buffer. */
#ifndef PEN_SQL_H
#define PEN_SQL_H

#include <libpq-fe.h>

#include "wire.h"

extern void pen_sql_text(pen_wire_buf *sql, const char *text);
/* A quoted identifier, schema.table, or literal. False without memory or for bad UTF-8. */
extern bool pen_sql_identifier(pen_wire_buf *sql, PGconn *conn, const char *name);
extern bool pen_sql_table(pen_wire_buf *sql, PGconn *conn, const char *schema, const char *name);
extern bool pen_sql_literal(pen_wire_buf *sql, PGconn *conn, const char *value);
/* The terminating NUL. False if anything did not fit in memory. */
extern bool pen_sql_end(pen_wire_buf *sql);

#endif
