/* parse.h -- a value from the text that PostgreSQL prints for it: what somebody looks up. */
#ifndef PEN_PARSE_H
#define PEN_PARSE_H

#include "types.h"
#include "wire.h"

/*
 * The value that a column of this encoding has when PostgreSQL prints it as text: the reverse of
 * pen_print_value, with 'T' for the blank in timestamps, zones other than UTC and the long forms
 * of booleans taken too. Strings stand for themselves, byte for byte: for types without a form of
 * their own text has to be exactly as PostgreSQL prints it.
 * value borrows from text or from space, to which bytes are appended (bytea, uuid); both must live
 * as long as it. NULL, or what is wrong, in static text.
 */
extern const char *pen_parse_value(pen_encoding encoding, uint32_t base_type_oid, const char *text,
								   size_t len, pen_wire_buf *space, pen_value *value);

#endif
