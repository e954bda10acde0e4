/* where_value.h -- values that a condition compares, and how PostgreSQL compares them. */
#ifndef PEN_WHERE_VALUE_H
#define PEN_WHERE_VALUE_H

#include "base/error.h"
#include "penstock/event.h"
#include "wire.h"

/* What a column is compared as. */
typedef enum pen_comparison
{
	PEN_AS_NOTHING, /* only IS NULL */
	PEN_AS_BOOL,
	PEN_AS_OID,
	PEN_AS_EXACT, /* integers and numeric */
	PEN_AS_FLOAT,
	PEN_AS_TEXT, /* by bytes; = and <> only */
	PEN_AS_UUID,
	PEN_AS_DATE,
	PEN_AS_TIMESTAMP,
	PEN_AS_TIMESTAMPTZ
} pen_comparison;

extern pen_comparison pen_comparison_of(const penstock_column *column);

typedef enum pen_operand_kind
{
	PEN_OPERAND_NULL,
	PEN_OPERAND_INTEGER, /* also booleans, dates, timestamps */
	PEN_OPERAND_DOUBLE,
	PEN_OPERAND_BYTES,  /* text, uuid */
	PEN_OPERAND_DECIMAL /* what numeric prints */
} pen_operand_kind;

/* Borrows its bytes. */
typedef struct pen_operand
{
	pen_operand_kind kind;
	int64_t integer;
	double number;
	const char *bytes;
	size_t length;
	char uuid[16];
} pen_operand;

/* A number, or what stood between quotes, as something to be compared as `as`. False: it is none.
 * text must live as long as *operand. */
extern bool pen_operand_from_number(pen_comparison as, const char *text, pen_operand *operand);
extern bool pen_operand_from_string(pen_comparison as, const char *text, pen_operand *operand);

/* How a string must look for that, for an error. */
extern const char *pen_operand_form(pen_comparison as);

/* A value of a column that is compared as `as`; bpchar without the blanks at its end. False: it is
 * not of its column's type. */
extern bool pen_operand_from_value(pen_comparison as, const penstock_column *column,
								   const pen_value *value, pen_operand *operand);

/* The length of a bpchar without the blanks at its end. */
extern size_t pen_operand_unpadded(const char *text, size_t length);

/* Below, at or above zero, in PostgreSQL's order. Neither is NULL. */
extern int pen_operand_compare(pen_comparison as, const pen_operand *left,
							   const pen_operand *right);

#endif
