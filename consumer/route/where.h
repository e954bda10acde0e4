/* where.h -- conditions on rows: a subset of SQL, evaluated with SQL's three truths.
 *
 *   condition   and, or, not, parentheses over
 *               column <op> value, column <op> column    = <> != < <= > >=
 *               column IS [NOT] NULL, column [NOT] IN (value, …), a boolean column,
 *               true, false, null
 *   value       a number, 'text', true, false, null
 *   column      as in SQL: lower case is meant unless it stands between double quotes
 *
 * What a condition says here is what PostgreSQL says of it: where that is not certain (order of
 * texts, types with an equality of their own) it is refused. */
#ifndef PEN_WHERE_H
#define PEN_WHERE_H

#include "base/error.h"
#include "penstock/event.h"
#include "wire.h"

typedef enum pen_truth
{
	PEN_FALSE,
	PEN_TRUE,
	PEN_UNKNOWN /* NULL: does not pass */
} pen_truth;

typedef struct pen_where pen_where;
typedef struct pen_where_bound pen_where_bound;

/* NULL and E_CONFIG, with the position, when text is malformed. */
extern pen_where *pen_where_parse(const char *text, pen_error *error);
extern void pen_where_free(pen_where *where);

/* The condition in one form, whatever its white space, case and parentheses, as SQL.
 * Owned by it. */
extern const char *pen_where_canonical(const pen_where *where);

/*
 * The condition over the columns of relation; both must outlive it. NULL and E_CONFIG, naming table
 * and column, when a column does not exist or cannot be compared like that.
 */
extern pen_where_bound *pen_where_bind(const pen_where *where, const penstock_relation *relation,
									   pen_error *error);
extern void pen_where_bound_free(pen_where_bound *bound);

/* Does it depend on this column? */
extern bool pen_where_uses(const pen_where_bound *bound, int column);

/* As SQL for the server that has the table, which gives the same answer as pen_where_evaluate.
 * buf fails without memory. */
extern void pen_where_write_sql(const pen_where_bound *bound, pen_wire_buf *buf);

/*
 * values: one for each column of the relation, of which only those it uses are read; they must be
 * there, none UNCHANGED. E_DATA when a value is not of its column's type. Thread-safe.
 */
extern penstock_status pen_where_evaluate(const pen_where_bound *bound, const pen_value *values,
										  pen_truth *truth, pen_error *error);

#endif
