/* form.c -- values as PostgreSQL's receive functions read them.
 * What a form cannot hold is told, never bent: the caller then sends the value as text. */
#include "destination/postgres/form.h"

#include <string.h>

#define LENGTH_MAX      ((size_t) INT32_MAX / 2)
#define NUMERIC_GROUP   4 /* decimal digits in one of numeric's */
#define NUMERIC_NEG     0x4000
#define NUMERIC_NAN     0xC000
#define NUMERIC_PINF    0xD000
#define NUMERIC_NINF    0xF000
#define NUMERIC_SCALE   0x3FFF
#define NUMERIC_DIGITS  (131072 + 16383)
#define FIXED_FIELD_MAX 12

pen_form
pen_form_of_source(pen_encoding encoding, uint32_t base_type_oid)
{
	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			return PEN_FORM_BOOL;
		case PEN_ENCODING_INT:
			return base_type_oid == PEN_OID_INT2   ? PEN_FORM_INT2
				   : base_type_oid == PEN_OID_INT4 ? PEN_FORM_INT4
												   : PEN_FORM_INT8;
		case PEN_ENCODING_OID:
			return PEN_FORM_UINT4;
		case PEN_ENCODING_DATE:
			return PEN_FORM_INT4;
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			return PEN_FORM_INT8;
		case PEN_ENCODING_FLOAT4:
			return PEN_FORM_FLOAT4;
		case PEN_ENCODING_FLOAT8:
			return PEN_FORM_FLOAT8;
		case PEN_ENCODING_TEXT:
		case PEN_ENCODING_BYTEA:
		case PEN_ENCODING_UUID:
			return PEN_FORM_RAW;
		default:
			return PEN_FORM_NONE;
	}
}

/* A receive function, what it takes, and the encodings that may go there as they are. */
typedef struct receiver
{
	const char *name;
	pen_form form;
	uint32_t encodings; /* a bit for each pen_encoding */
} receiver;

#define BIT(encoding) (1u << (encoding))
#define TEXTS         (BIT(PEN_ENCODING_TEXT) | BIT(PEN_ENCODING_OUTPUT))

static const receiver receivers[] = {
	{"boolrecv", PEN_FORM_BOOL, BIT(PEN_ENCODING_BOOL)},
	{"int2recv", PEN_FORM_INT2, BIT(PEN_ENCODING_INT)},
	{"int4recv", PEN_FORM_INT4, BIT(PEN_ENCODING_INT)},
	{"int8recv", PEN_FORM_INT8, BIT(PEN_ENCODING_INT)},
	{"oidrecv", PEN_FORM_UINT4, BIT(PEN_ENCODING_OID)},
	{"float4recv", PEN_FORM_FLOAT4, BIT(PEN_ENCODING_FLOAT4)},
	{"float8recv", PEN_FORM_FLOAT8, BIT(PEN_ENCODING_FLOAT8)},
	{"date_recv", PEN_FORM_INT4, BIT(PEN_ENCODING_DATE)},
	{"time_recv", PEN_FORM_INT8, BIT(PEN_ENCODING_TIME)},
	{"timestamp_recv", PEN_FORM_INT8, BIT(PEN_ENCODING_TIMESTAMP)},
	{"timestamptz_recv", PEN_FORM_INT8, BIT(PEN_ENCODING_TIMESTAMPTZ)},
	{"bytearecv", PEN_FORM_RAW, BIT(PEN_ENCODING_BYTEA)},
	{"uuid_recv", PEN_FORM_RAW, BIT(PEN_ENCODING_UUID)},
	{"textrecv", PEN_FORM_RAW, TEXTS},
	{"varcharrecv", PEN_FORM_RAW, TEXTS},
	{"bpcharrecv", PEN_FORM_RAW, TEXTS},
	{"namerecv", PEN_FORM_RAW, TEXTS},
	{"json_recv", PEN_FORM_RAW, TEXTS},
	{"enum_recv", PEN_FORM_RAW, TEXTS},
	{"jsonb_recv", PEN_FORM_JSONB, TEXTS},
	{"numeric_recv", PEN_FORM_NUMERIC, TEXTS},
};

pen_form
pen_form_of_receive(const char *receive, pen_encoding encoding, uint32_t base_type_oid)
{
	for (size_t i = 0; i < sizeof(receivers) / sizeof(receivers[0]); i++)
	{
		const receiver *r = &receivers[i];
		pen_form from;

		if (strcmp(r->name, receive) != 0)
			continue;
		if ((r->encodings & BIT(encoding)) == 0)
			return PEN_FORM_NONE;
		/* An integer may get wider; whether it fits a narrower one is the server's to say. */
		from = pen_form_of_source(encoding, base_type_oid);
		if (encoding == PEN_ENCODING_INT && from > r->form)
			return PEN_FORM_NONE;
		return r->form;
	}
	return PEN_FORM_NONE;
}

/* ---- writing ---- */

static uint8_t *
put_big_endian(uint8_t *to, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t) (value >> (8 * (size - 1 - i)));
	return to + size;
}

void
pen_form_write_uint32(pen_wire_buf *buf, uint32_t value)
{
	if (!pen_wire_reserve(buf, 4))
		return;
	put_big_endian(buf->data + buf->len, value, 4);
	buf->len += 4;
}

void
pen_form_write_uint16(pen_wire_buf *buf, uint16_t value)
{
	if (!pen_wire_reserve(buf, 2))
		return;
	put_big_endian(buf->data + buf->len, value, 2);
	buf->len += 2;
}

static bool
write_fixed(pen_wire_buf *buf, uint64_t value, size_t size)
{
	uint8_t *to;

	if (!pen_wire_reserve(buf, FIXED_FIELD_MAX))
		return false;
	to = put_big_endian(buf->data + buf->len, size, 4);
	to = put_big_endian(to, value, size);
	buf->len = (size_t) (to - buf->data);
	return true;
}

static bool
write_int(pen_wire_buf *buf, int64_t value, int64_t min, int64_t max, size_t size)
{
	return value >= min && value <= max && write_fixed(buf, (uint64_t) value, size);
}

static bool
write_bytes(pen_wire_buf *buf, const char *prefix, size_t prefix_len, const pen_value *value)
{
	if (value->len > LENGTH_MAX)
		return false;
	pen_form_write_uint32(buf, (uint32_t) (prefix_len + value->len));
	pen_wire_append(buf, prefix, prefix_len);
	pen_wire_append(buf, value->data, value->len);
	return !buf->failed;
}

/* ---- numeric ---- */

/* sign, count and weight of the digits, scale: the four numbers in front of them. */
static void
put_numeric_header(uint8_t *to, int count, int weight, uint32_t sign, int scale)
{
	to = put_big_endian(to, (uint64_t) count, 2);
	to = put_big_endian(to, (uint64_t) (int64_t) weight, 2);
	to = put_big_endian(to, sign, 2);
	(void) put_big_endian(to, (uint64_t) scale, 2);
}

static bool
write_special_numeric(pen_wire_buf *buf, uint32_t sign)
{
	pen_form_write_uint32(buf, 8);
	if (!pen_wire_reserve(buf, 8))
		return false;
	put_numeric_header(buf->data + buf->len, 0, 0, sign, 0);
	buf->len += 8;
	return true;
}

static bool
is_word(const uint8_t *text, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

/*
 * "-123.4500", as numeric prints itself: digits in groups of four to either side of the point.
 * The first group may have fewer before the point, the last fewer behind it.
 */
static bool
write_numeric(pen_wire_buf *buf, const uint8_t *text, size_t len)
{
	uint32_t sign = len > 0 && text[0] == '-' ? NUMERIC_NEG : 0;
	size_t digits = 0; /* before the point */
	size_t scale = 0;
	size_t lead;
	size_t groups;
	uint8_t *to;
	uint32_t group = 0;
	size_t in_group;

	if (is_word(text, len, "NaN"))
		return write_special_numeric(buf, NUMERIC_NAN);
	if (is_word(text, len, "Infinity"))
		return write_special_numeric(buf, NUMERIC_PINF);
	if (is_word(text, len, "-Infinity"))
		return write_special_numeric(buf, NUMERIC_NINF);
	if (sign != 0)
		text++, len--;
	while (digits < len && text[digits] >= '0' && text[digits] <= '9')
		digits++;
	if (digits == 0 || len > NUMERIC_DIGITS || (digits < len && text[digits] != '.'))
		return false;
	scale = digits < len ? len - digits - 1 : 0;
	if (scale > NUMERIC_SCALE || (digits < len && scale == 0))
		return false;
	lead = (digits + NUMERIC_GROUP - 1) / NUMERIC_GROUP;
	groups = lead + (scale + NUMERIC_GROUP - 1) / NUMERIC_GROUP;
	pen_form_write_uint32(buf, (uint32_t) (8 + groups * 2));
	if (!pen_wire_reserve(buf, 8 + groups * 2))
		return false;
	to = buf->data + buf->len;
	put_numeric_header(to, (int) groups, (int) lead - 1, sign, (int) scale);
	to += 8;
	in_group = lead * NUMERIC_GROUP - digits; /* zeros that are not written */
	for (size_t i = 0; i < len; i++)
	{
		if (i == digits)
			continue;
		if (text[i] < '0' || text[i] > '9')
			return false;
		group = group * 10 + (uint32_t) (text[i] - '0');
		if (++in_group == NUMERIC_GROUP)
		{
			to = put_big_endian(to, group, 2);
			group = 0;
			in_group = 0;
		}
	}
	if (in_group > 0)
	{
		for (; in_group < NUMERIC_GROUP; in_group++)
			group *= 10;
		to = put_big_endian(to, group, 2);
	}
	buf->len = (size_t) (to - buf->data);
	return true;
}

bool
pen_form_write(pen_wire_buf *buf, pen_form form, const pen_value *value)
{
	uint32_t bits32;
	uint64_t bits64;
	bool is_text = value->kind == PEN_VALUE_STRING || value->kind == PEN_VALUE_BYTES;

	if (value->kind == PEN_VALUE_NULL)
	{
		pen_form_write_uint32(buf, UINT32_MAX);
		return !buf->failed;
	}
	switch (form)
	{
		case PEN_FORM_BOOL:
			return value->kind == PEN_VALUE_BOOL && write_fixed(buf, value->boolean, 1);
		case PEN_FORM_INT2:
			return value->kind == PEN_VALUE_INT &&
				   write_int(buf, value->integer, INT16_MIN, INT16_MAX, 2);
		case PEN_FORM_INT4:
			return value->kind == PEN_VALUE_INT &&
				   write_int(buf, value->integer, INT32_MIN, INT32_MAX, 4);
		case PEN_FORM_UINT4:
			return value->kind == PEN_VALUE_INT && write_int(buf, value->integer, 0, UINT32_MAX, 4);
		case PEN_FORM_INT8:
			return value->kind == PEN_VALUE_INT &&
				   write_int(buf, value->integer, INT64_MIN, INT64_MAX, 8);
		case PEN_FORM_FLOAT4:
			memcpy(&bits32, &value->float4, sizeof(bits32));
			return value->kind == PEN_VALUE_FLOAT && write_fixed(buf, bits32, 4);
		case PEN_FORM_FLOAT8:
			memcpy(&bits64, &value->float8, sizeof(bits64));
			return value->kind == PEN_VALUE_DOUBLE && write_fixed(buf, bits64, 8);
		case PEN_FORM_RAW:
			return is_text && write_bytes(buf, "", 0, value);
		case PEN_FORM_NUMERIC:
			return is_text && write_numeric(buf, value->data, value->len);
		case PEN_FORM_JSONB:
			return is_text && write_bytes(buf, "\1", 1, value);
		case PEN_FORM_NONE:
			break;
	}
	return false;
}
