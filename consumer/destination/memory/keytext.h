/* keytext.h -- a key as a person types it, as a Value. */
#ifndef PEN_MEMORY_KEYTEXT_H
#define PEN_MEMORY_KEYTEXT_H

#include "penstock/penstock.h"
#include "types.h"
#include "wire.h"

/*
 * Write the Value, with its NEW tag, that the column would have for a text in the form in which
 * PostgreSQL prints it. E_CONFIG when it does not parse, or for types that cannot be keys here
 * (NULL is none either). What is wrong with value's memory stands in value->failed.
 */
extern penstock_status pen_keytext_write(pen_wire_buf *value, const penstock_column *column,
										 const char *text);

#endif
