/* binary.c -- from PostgreSQL's binary COPY to the Values that the plugin would send.
 * Types with a form of their own come in their send() form, all others as output text. */
#include "copy/binary.h"

#include <string.h>

#include "print.h"
#include "types.h"

#define COPY_SIGNATURE     "PGCOPY\n\377\r\n"
#define COPY_SIGNATURE_LEN 11

static uint64_t
big_endian(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++)
		value = value << 8 | bytes[i];
	return value;
}

void
pen_copy_feed(pen_copy_reader *reader, const void *data, size_t len)
{
	reader->pos = data;
	reader->end = reader->pos + len;
}

static void
append_text(pen_wire_buf *sql, const char *text)
{
	pen_wire_append(sql, text, strlen(text));
}

/*
 * IS NOT DISTINCT FROM NULL, as IS NULL is also true for a composite of nothing but NULLs. format
 * uses the type's output function, which a cast to text need not.
 */
void
pen_copy_append_expression(pen_wire_buf *sql, const penstock_column *column, const char *quoted)
{
	if (column->encoding != PEN_ENCODING_OUTPUT)
	{
		append_text(sql, quoted);
		return;
	}
	append_text(sql, "CASE WHEN ");
	append_text(sql, quoted);
	append_text(sql, " IS NOT DISTINCT FROM NULL THEN NULL ELSE pg_catalog.format('%s', ");
	append_text(sql, quoted);
	append_text(sql, ") END");
}

static void
write_text(pen_copy_reader *reader, const uint8_t *data, size_t len)
{
	if (reader->check_utf8 && !pen_utf8_valid(data, len))
		pen_wire_write_bytes(&reader->row, PEN_TUPLE_NEW, data, len);
	else
		pen_wire_write_string(&reader->row, PEN_TUPLE_NEW, data, len);
}

static bool
write_integer(pen_wire_buf *row, pen_encoding encoding, const uint8_t *data, size_t len)
{
	uint64_t bits;

	if (len != 2 && len != 4 && len != 8)
		return false;
	bits = big_endian(data, len);
	if (encoding != PEN_ENCODING_OID && len < 8)
		bits = (uint64_t) (len == 2 ? (int16_t) bits : (int32_t) bits);
	pen_wire_write_int(row, PEN_TUPLE_NEW, (int64_t) bits);
	return true;
}

static bool
write_value(pen_copy_reader *reader, pen_encoding encoding, const uint8_t *data, size_t len)
{
	uint64_t bits = len <= 8 ? big_endian(data, len) : 0;
	uint32_t bits4 = (uint32_t) bits;
	double float8;
	float float4;

	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			pen_wire_write_bool(&reader->row, PEN_TUPLE_NEW, bits != 0);
			return len == 1;
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
		case PEN_ENCODING_DATE:
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			return write_integer(&reader->row, encoding, data, len);
		case PEN_ENCODING_FLOAT4:
			memcpy(&float4, &bits4, sizeof(float4));
			pen_wire_write_float(&reader->row, PEN_TUPLE_NEW, float4);
			return len == 4;
		case PEN_ENCODING_FLOAT8:
			memcpy(&float8, &bits, sizeof(float8));
			pen_wire_write_double(&reader->row, PEN_TUPLE_NEW, float8);
			return len == 8;
		case PEN_ENCODING_TEXT:
		case PEN_ENCODING_OUTPUT:
			write_text(reader, data, len);
			return true;
		case PEN_ENCODING_BYTEA:
		case PEN_ENCODING_UUID:
			pen_wire_write_bytes(&reader->row, PEN_TUPLE_NEW, data, len);
			return encoding == PEN_ENCODING_BYTEA || len == 16;
		default:
			return false;
	}
}

/* Signature, flags and the length of an extension that nobody has defined. */
static bool
skip_header(pen_copy_reader *reader)
{
	size_t have = (size_t) (reader->end - reader->pos);
	uint64_t extension;

	if (have < COPY_SIGNATURE_LEN + 8 ||
		memcmp(reader->pos, COPY_SIGNATURE, COPY_SIGNATURE_LEN) != 0)
		return false;
	extension = big_endian(reader->pos + COPY_SIGNATURE_LEN + 4, 4);
	if (extension > have - COPY_SIGNATURE_LEN - 8)
		return false;
	reader->pos += COPY_SIGNATURE_LEN + 8 + extension;
	reader->header_seen = true;
	return true;
}

penstock_status
pen_copy_next_row(pen_copy_reader *reader)
{
	const penstock_relation *relation = reader->relation;
	uint64_t count;

	if (!reader->header_seen && reader->pos < reader->end && !skip_header(reader))
		return PENSTOCK_E_DATA;
	if (reader->pos == reader->end)
		return PENSTOCK_AGAIN;
	if (reader->end - reader->pos < 2 || reader->trailer_seen)
		return PENSTOCK_E_DATA;
	count = big_endian(reader->pos, 2);
	reader->pos += 2;
	if (count == 0xffff)
	{
		reader->trailer_seen = true;
		return reader->pos == reader->end ? PENSTOCK_AGAIN : PENSTOCK_E_DATA;
	}
	if (count != (uint64_t) relation->column_count)
		return PENSTOCK_E_DATA;
	reader->row.len = 0;
	for (int i = 0; i < relation->column_count; i++)
	{
		uint64_t len;

		if (reader->end - reader->pos < 4)
			return PENSTOCK_E_DATA;
		len = big_endian(reader->pos, 4);
		reader->pos += 4;
		if (len == UINT32_MAX)
		{
			pen_wire_write_null(&reader->row, PEN_TUPLE_NEW);
			continue;
		}
		if (len > (uint64_t) (reader->end - reader->pos) ||
			!write_value(reader, (pen_encoding) relation->columns[i].encoding, reader->pos,
						 (size_t) len))
			return PENSTOCK_E_DATA;
		reader->pos += len;
	}
	return reader->row.failed ? PENSTOCK_E_RETRY : PENSTOCK_OK;
}
