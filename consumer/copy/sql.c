/* sql.c -- names and values get into statements only quoted. */
#include "copy/sql.h"

#include <string.h>

void
pen_sql_text(pen_wire_buf *sql, const char *text)
{
	pen_wire_append(sql, text, strlen(text));
}

static bool
append_quoted(pen_wire_buf *sql, char *quoted)
{
	if (quoted == NULL)
		return false;
	pen_sql_text(sql, quoted);
	PQfreemem(quoted);
	return true;
}

bool
pen_sql_identifier(pen_wire_buf *sql, PGconn *conn, const char *name)
{
	return append_quoted(sql, PQescapeIdentifier(conn, name, strlen(name)));
}

bool
pen_sql_literal(pen_wire_buf *sql, PGconn *conn, const char *value)
{
	return append_quoted(sql, PQescapeLiteral(conn, value, strlen(value)));
}

bool
pen_sql_table(pen_wire_buf *sql, PGconn *conn, const char *schema, const char *name)
{
	if (!pen_sql_identifier(sql, conn, schema))
		return false;
	pen_sql_text(sql, ".");
	return pen_sql_identifier(sql, conn, name);
}

bool
pen_sql_end(pen_wire_buf *sql)
{
	pen_wire_append(sql, "", 1);
	return !sql->failed;
}
