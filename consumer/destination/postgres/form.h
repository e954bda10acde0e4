/* form.h -- values in the binary form of a type: as elements of an array and as fields of COPY,
 * which look alike: four bytes of length, or -1 for NULL, and the value. */
#ifndef PEN_FORM_H
#define PEN_FORM_H

#include "types.h"
#include "wire.h"

typedef enum pen_form
{
	PEN_FORM_NONE, /* has none that we know */
	PEN_FORM_BOOL,
	PEN_FORM_INT2,
	PEN_FORM_INT4,
	PEN_FORM_UINT4,
	PEN_FORM_INT8,
	PEN_FORM_FLOAT4,
	PEN_FORM_FLOAT8,
	PEN_FORM_RAW,     /* the bytes themselves: text, bytea, uuid, enum, json */
	PEN_FORM_NUMERIC, /* from its text */
	PEN_FORM_JSONB    /* from its text */
} pen_form;

/* The form in which a value of this encoding and base type travels natively; RAW for text. */
extern pen_form pen_form_of_source(pen_encoding encoding, uint32_t base_type_oid);

/*
 * The form that a type's receive function takes, by that function's name, for values of this
 * encoding; NONE where it is not known, or the two do not go together without a cast.
 */
extern pen_form pen_form_of_receive(const char *receive, pen_encoding encoding,
									uint32_t base_type_oid);

/* Append a value, its length in front. False: it does not fit the form, or no memory. */
extern bool pen_form_write(pen_wire_buf *buf, pen_form form, const pen_value *value);

/* Append big-endian numbers. */
extern void pen_form_write_uint32(pen_wire_buf *buf, uint32_t value);
extern void pen_form_write_uint16(pen_wire_buf *buf, uint16_t value);

#endif
