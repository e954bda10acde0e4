/* values.c -- values to text and back: what is printed is read as the same value, and what is read
 * is printed as a text that is read the same. A byte chooses the encoding, one the direction. */
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "check.h"
#include "json.h"
#include "parse.h"
#include "print.h"
#include "shortest.h"
#include "types.h"

static const struct
{
	pen_encoding encoding;
	uint32_t oid;
} types[] = {{PEN_ENCODING_BOOL, PEN_OID_BOOL},
			 {PEN_ENCODING_INT, PEN_OID_INT2},
			 {PEN_ENCODING_INT, PEN_OID_INT4},
			 {PEN_ENCODING_INT, PEN_OID_INT8},
			 {PEN_ENCODING_OID, PEN_OID_OID},
			 {PEN_ENCODING_FLOAT4, PEN_OID_FLOAT4},
			 {PEN_ENCODING_FLOAT8, PEN_OID_FLOAT8},
			 {PEN_ENCODING_TEXT, PEN_OID_TEXT},
			 {PEN_ENCODING_BYTEA, PEN_OID_BYTEA},
			 {PEN_ENCODING_DATE, PEN_OID_DATE},
			 {PEN_ENCODING_TIME, PEN_OID_TIME},
			 {PEN_ENCODING_TIMESTAMP, PEN_OID_TIMESTAMP},
			 {PEN_ENCODING_TIMESTAMPTZ, PEN_OID_TIMESTAMPTZ},
			 {PEN_ENCODING_UUID, PEN_OID_UUID},
			 {PEN_ENCODING_OUTPUT, PEN_OID_NUMERIC}};

#define TYPES (sizeof(types) / sizeof(types[0]))

static bool
is_bytes(const pen_value *value)
{
	return value->kind == PEN_VALUE_STRING || value->kind == PEN_VALUE_BYTES;
}

/* Text that is not valid UTF-8 travels as bytes. */
static bool
same(const pen_value *a, const pen_value *b)
{
	if (a->kind != b->kind && !(is_bytes(a) && is_bytes(b)))
		return false;
	switch (a->kind)
	{
		case PEN_VALUE_BOOL:
			return a->boolean == b->boolean;
		case PEN_VALUE_INT:
			return a->integer == b->integer;
		case PEN_VALUE_FLOAT: /* of NaN there are many, and one text */
			return a->float4 != a->float4 ? b->float4 != b->float4
										  : memcmp(&a->float4, &b->float4, sizeof(float)) == 0;
		case PEN_VALUE_DOUBLE:
			return a->float8 != a->float8 ? b->float8 != b->float8
										  : memcmp(&a->float8, &b->float8, sizeof(double)) == 0;
		case PEN_VALUE_STRING:
		case PEN_VALUE_BYTES:
			return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
		default:
			return true;
	}
}

static void
check_json(size_t type, const pen_value *value)
{
	pen_wire_buf json;

	pen_buffer_init(&json);
	if (pen_json_value(&json, types[type].encoding, types[type].oid, value) == NULL)
		check_is_json(json.data, json.len, JSON_DECODE_ANY);
	else
		CHECK(json.len == 0);
	pen_buffer_reset(&json);
}

/* The value is one that a decoder would let through. */
static void
check_round(size_t type, const pen_value *value)
{
	pen_value again = {.kind = PEN_VALUE_NULL};
	pen_wire_buf text;
	pen_wire_buf space;

	pen_buffer_init(&text);
	pen_buffer_init(&space);
	check_json(type, value);
	if (pen_print_value(&text, types[type].encoding, value) == NULL)
	{
		CHECK(pen_parse_value(types[type].encoding, types[type].oid, (const char *) text.data,
							  text.len, &space, &again) == NULL);
		CHECK(same(value, &again));
	}
	else
		CHECK(text.len == 0);
	pen_buffer_reset(&text);
	pen_buffer_reset(&space);
}

static void
from_text(size_t type, const uint8_t *data, size_t size)
{
	pen_value value = {.kind = PEN_VALUE_NULL};
	pen_wire_buf space;

	pen_buffer_init(&space);
	if (pen_parse_value(types[type].encoding, types[type].oid, (const char *) data, size, &space,
						&value) == NULL)
	{
		CHECK(pen_check_value(types[type].encoding, types[type].oid, &value) == NULL);
		check_round(type, &value);
	}
	pen_buffer_reset(&space);
}

static void
from_value(size_t type, pen_value_kind kind, const uint8_t *data, size_t size)
{
	pen_value value = {.kind = kind};
	uint8_t fixed[8] = {0};

	memcpy(fixed, data, size < sizeof(fixed) ? size : sizeof(fixed));
	switch (kind)
	{
		case PEN_VALUE_BOOL:
			value.boolean = fixed[0] & 1;
			break;
		case PEN_VALUE_INT:
			memcpy(&value.integer, fixed, sizeof(value.integer));
			break;
		case PEN_VALUE_FLOAT:
			memcpy(&value.float4, fixed, sizeof(value.float4));
			break;
		case PEN_VALUE_DOUBLE:
			memcpy(&value.float8, fixed, sizeof(value.float8));
			break;
		default:
			value.data = data;
			value.len = size;
	}
	if (pen_check_value(types[type].encoding, types[type].oid, &value) == NULL)
		check_round(type, &value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t type;

	if (size < 2)
		return 0;
	type = data[0] % TYPES;
	if (data[1] % 8 < PEN_VALUE_BOOL || data[1] % 8 > PEN_VALUE_BYTES)
		from_text(type, data + 2, size - 2);
	else
		from_value(type, (pen_value_kind) (data[1] % 8), data + 2, size - 2);
	return 0;
}
