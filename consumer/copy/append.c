/* append.c -- what is there is kept only if it is the beginning of what the source has.
 * Orders are compared at one server only where both have the same idea of it: no texts. */
#include "copy/append.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "copy/sql.h"
#include "pq/pq.h"
#include "types.h"

int
pen_append_key(const penstock_relation *relation)
{
	static const uint32_t ordered[] = {PEN_OID_INT8,    PEN_OID_INT2, PEN_OID_INT4,
									   PEN_OID_OID,     PEN_OID_DATE, PEN_OID_TIMESTAMP,
									   PEN_OID_NUMERIC, PEN_OID_UUID, PEN_OID_TIMESTAMPTZ};
	int key = -1;

	for (int i = 0; i < relation->column_count; i++)
	{
		if (relation->columns[i].primary_key == 0)
			continue;
		if (key >= 0)
			return -1;
		key = i;
	}
	for (size_t i = 0; key >= 0 && i < sizeof(ordered) / sizeof(ordered[0]); i++)
	{
		if (relation->columns[key].base_type_oid == ordered[i])
			return key;
	}
	return -1;
}

/* ---- questions ---- */

/* One table at one server. */
typedef struct side
{
	PGconn *conn;
	const pen_plan_target *target;
	const penstock_relation *relation; /* of the source */
	const char *key;                   /* its name on this side */
	bool there;                        /* at the source */
	bool only;
	const char *up_to; /* NULL: all rows */
} side;

typedef enum question
{
	FIRST_ROW,
	LAST_KEY,
	COUNT,
	HAS_KEY
} question;

static bool
append_columns(pen_wire_buf *sql, const side *s)
{
	const char *join = "";

	for (int i = 0; i < s->relation->column_count; i++)
	{
		if (!s->target->columns[i])
			continue;
		pen_sql_text(sql, join);
		if (!pen_sql_identifier(sql, s->conn,
								s->there ? s->relation->columns[i].name
										 : pen_plan_column(s->target, i)))
			return false;
		join = ", ";
	}
	return true;
}

static bool
append_condition(pen_wire_buf *sql, const side *s, const char *comparison)
{
	const char *join = " WHERE ";

	if (s->there && s->target->where != NULL)
	{
		pen_sql_text(sql, " WHERE (");
		pen_sql_text(sql, s->target->where);
		pen_sql_text(sql, ")");
		join = " AND ";
	}
	if (s->up_to == NULL || comparison == NULL)
		return true;
	pen_sql_text(sql, join);
	if (!pen_sql_identifier(sql, s->conn, s->key))
		return false;
	pen_sql_text(sql, comparison);
	return pen_sql_literal(sql, s->conn, s->up_to);
}

static bool
write_question(pen_wire_buf *sql, const side *s, question what)
{
	const penstock_relation *relation = s->there ? s->relation : s->target->relation;
	bool ok = true;

	pen_sql_text(sql, "SELECT ");
	if (what == FIRST_ROW)
		ok = append_columns(sql, s);
	else if (what == LAST_KEY)
		ok = pen_sql_identifier(sql, s->conn, s->key);
	else
		pen_sql_text(sql, "count(*)");
	pen_sql_text(sql, s->only ? " FROM ONLY " : " FROM ");
	ok = ok && pen_sql_table(sql, s->conn, relation->schema, relation->name);
	if (what == COUNT || what == HAS_KEY)
		return ok && append_condition(sql, s, what == COUNT ? " <= " : " = ");
	ok = ok && append_condition(sql, s, NULL);
	pen_sql_text(sql, " ORDER BY ");
	ok = ok && pen_sql_identifier(sql, s->conn, s->key);
	pen_sql_text(sql, what == LAST_KEY ? " DESC LIMIT 1" : " LIMIT 1");
	return ok;
}

static PGresult *
ask(const side *s, question what, pen_error *error)
{
	PGresult *result = NULL;
	pen_wire_buf sql;

	pen_buffer_init(&sql);
	if (!write_question(&sql, s, what) || !pen_sql_end(&sql))
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	else
		result = pen_pq_query(s->conn, (char *) sql.data, 0, NULL, error);
	pen_buffer_reset(&sql);
	if (result == NULL)
		pen_error_context(error, "table %s", s->target->quoted);
	return result;
}

/* UINT64_MAX and error when it could not be asked. */
static uint64_t
ask_count(const side *s, question what, pen_error *error)
{
	PGresult *result = ask(s, what, error);
	uint64_t count = result != NULL ? strtoull(PQgetvalue(result, 0, 0), NULL, 10) : UINT64_MAX;

	PQclear(result);
	return count;
}

/* ---- checks ---- */

static bool
same_row(const PGresult *a, const PGresult *b)
{
	if (PQntuples(a) != 1 || PQntuples(b) != 1)
		return false;
	for (int i = 0; i < PQnfields(a); i++)
	{
		if (PQgetisnull(a, 0, i) != PQgetisnull(b, 0, i) ||
			strcmp(PQgetvalue(a, 0, i), PQgetvalue(b, 0, i)) != 0)
			return false;
	}
	return true;
}

static penstock_status
check_first_row(const side *here, const side *there, pen_error *error, pen_error *source_error)
{
	PGresult *ours = ask(here, FIRST_ROW, error);
	PGresult *theirs = ours != NULL ? ask(there, FIRST_ROW, source_error) : NULL;

	if (theirs != NULL && !same_row(ours, theirs))
		pen_error_set(error, PENSTOCK_E_REFUSED,
					  "table %s cannot be appended to: its first row (by %s) is not the source's",
					  here->target->quoted, here->key);
	PQclear(ours);
	PQclear(theirs);
	return source_error->status < 0 ? source_error->status : error->status;
}

static penstock_status
check_counts(const side *here, const side *there, pen_error *error, pen_error *source_error)
{
	uint64_t ours = ask_count(here, COUNT, error);
	uint64_t theirs;
	uint64_t last;

	if (ours == UINT64_MAX)
		return error->status;
	last = ask_count(there, HAS_KEY, source_error);
	theirs = last != UINT64_MAX ? ask_count(there, COUNT, source_error) : UINT64_MAX;
	if (theirs == UINT64_MAX)
		return source_error->status;
	if (last != 1)
		return pen_error_set(error, PENSTOCK_E_REFUSED,
							 "table %s cannot be appended to: the source has no row with its "
							 "greatest %s",
							 here->target->quoted, here->key);
	if (ours != theirs)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"table %s cannot be appended to: it has %llu rows, and the source %llu "
			"up to the same %s",
			here->target->quoted, (unsigned long long) ours, (unsigned long long) theirs,
			here->key);
	return PENSTOCK_OK;
}

penstock_status
pen_append_check(pen_plan_target *target, const penstock_relation *relation, PGconn *source,
				 pen_error *error, pen_error *source_error)
{
	int key = pen_append_key(relation);
	side here = {.conn = target->place->conn, .target = target, .relation = relation};
	side there = {
		.conn = source, .target = target, .relation = relation, .there = true, .only = true};
	PGresult *last;

	if (key < 0 || !target->columns[key] || target->key_differs)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"table %s cannot be appended to: it needs a primary key of one column, of the same "
			"type at both ends: an integer, numeric, date, timestamp or uuid",
			target->quoted);
	there.key = relation->columns[key].name;
	here.key = pen_plan_column(target, key);
	here.only = !target->partitioned;
	last = ask(&here, LAST_KEY, error);
	if (last == NULL)
		return error->status;
	if (PQntuples(last) == 1 && (target->after = strdup(PQgetvalue(last, 0, 0))) == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	PQclear(last);
	if (error->status < 0 || target->after == NULL)
		return error->status;
	there.up_to = target->after;
	if (check_first_row(&here, &there, error, source_error) < 0 ||
		check_counts(&here, &there, error, source_error) < 0)
		return source_error->status < 0 ? source_error->status : error->status;
	return PENSTOCK_OK;
}
