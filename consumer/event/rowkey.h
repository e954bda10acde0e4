/* rowkey.h -- the key of a row, and rows from several descriptions: on encoded Values.
 * Values are compared as they stand on the wire, without their tags: the source's own row and key
 * have the same bytes. Pure functions. */
#ifndef PEN_ROWKEY_H
#define PEN_ROWKEY_H

#include "penstock/event.h"
#include "wire.h"

typedef struct pen_span
{
	const uint8_t *data;
	size_t len;
} pen_span;

#define PEN_WIRE_NEW_TAG ((uint8_t) (PEN_TUPLE_NEW << 3 | 2))

/* The next Value of a tuple without its tag (length and content), consumed from *pos. False at the
 * end and on damage. */
static inline bool
pen_rowkey_next_value(const uint8_t **pos, const uint8_t *end, pen_span *value)
{
	const uint8_t *p = *pos;
	uint64_t len = 0;

	if (p >= end)
		return false;
	value->data = ++p;
	for (int shift = 0; shift < 35; shift += 7)
	{
		if (p >= end)
			return false;
		len |= (uint64_t) (*p & 0x7f) << shift;
		if ((*p++ & 0x80) == 0)
		{
			if (len > (uint64_t) (end - p))
				return false;
			p += len;
			value->len = (size_t) (p - value->data);
			*pos = p;
			return true;
		}
	}
	return false;
}

/* The Value is `unchanged`: length 2, member 7. */
static inline bool
pen_rowkey_is_unchanged(pen_span value)
{
	return value.len == 3 && value.data[1] == PEN_VALUE_UNCHANGED << 3;
}

/*
 * The key of a row: the Values of its relation's key columns without tags, one after the other;
 * borrowed from the row or from *scratch, which is overwritten. False when a Value is missing, is
 * unchanged, or there is no memory.
 */
extern bool pen_rowkey_of(const penstock_row *row, pen_wire_buf *scratch, pen_span *key);

/* Does a stored row, which follows relation, have this key? */
extern bool pen_rowkey_matches(const penstock_relation *relation, const uint8_t *data, size_t len,
							   pen_span key);

extern uint32_t pen_rowkey_hash(pen_span key);

/* A whole row whose tags are all NEW: the row itself or a copy in *scratch. False: no memory. */
extern bool pen_rowkey_retag(const penstock_row *row, pen_wire_buf *scratch, pen_span *out);

/*
 * A row's Values for the columns of `relation`, found by attnum: those that are `unchanged` in row
 * come from stored, and those that row has not got (stored is then NULL) are NULL. The result is
 * in *scratch, with NEW tags. False when stored lacks a value, or without memory.
 */
extern bool pen_rowkey_merge(const penstock_relation *relation, const penstock_row *row,
							 const penstock_row *stored, pen_wire_buf *scratch, pen_span *out);

/* Does the row have a Value that is `unchanged`? */
extern bool pen_rowkey_has_unchanged(const penstock_row *row);

#endif
