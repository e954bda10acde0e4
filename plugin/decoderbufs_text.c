/* decoderbufs_text.c -- what option debug-mode of format decoderbufs sends: messages as text.
 * It reads the message that was just encoded, so that it shows what a reader would get. */
#include "postgres.h"

#include "decoderbufs.h"

#include "lib/stringinfo.h"

/* A field: of a fixed or varint type in number, of a length-delimited one in data and len. */
typedef struct Field
{
	uint8 tag;
	uint64 number;
	const uint8 *data;
	Size len;
} Field;

static uint64
read_fixed(pen_wire_reader *reader, int len)
{
	uint64 value = 0;

	for (int i = 0; i < len; i++)
		value |= (uint64) *reader->pos++ << (8 * i);
	return value;
}

/* Our own bytes: what is wrong with them is a bug. */
static bool
read_field(pen_wire_reader *reader, Field *field)
{
	uint64_t number = 0;

	if (!pen_wire_more(reader))
		return false;
	field->tag = *reader->pos++;
	switch (field->tag & 7)
	{
		case 1:
			number = read_fixed(reader, 8);
			break;
		case 5:
			number = read_fixed(reader, 4);
			break;
		default:
			if (!pen_wire_read_varint(reader, &number))
				elog(ERROR, "could not read a decoderbufs message: %s", reader->error);
	}
	field->number = number;
	if ((field->tag & 7) == 2)
	{
		field->data = reader->pos;
		field->len = number;
		reader->pos += number;
	}
	return true;
}

static float8
as_double(uint64 bits)
{
	float8 value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float4
as_float(uint32 bits)
{
	float4 value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void
print_point(StringInfo out, const Field *field)
{
	pen_wire_reader reader;
	Field x = {0};
	Field y = {0};

	pen_wire_reader_init(&reader, field->data, field->len);
	(void) read_field(&reader, &x);
	(void) read_field(&reader, &y);
	appendStringInfo(out, ", datum[POINT(%f, %f)]", as_double(x.number), as_double(y.number));
}

/* The original prints nothing for bytes, and a missing datum as one that is not set. */
static void
print_datum(StringInfo out, const Field *field)
{
	switch (field->tag)
	{
		case TAG_DATUM_INT32:
		case TAG_DATUM_BOOL:
			appendStringInfo(out, ", datum[%d]", (int32) field->number);
			break;
		case TAG_DATUM_INT64:
			appendStringInfo(out, ", datum[" INT64_FORMAT "]", (int64) field->number);
			break;
		case TAG_DATUM_FLOAT:
			appendStringInfo(out, ", datum[%f]", as_float((uint32) field->number));
			break;
		case TAG_DATUM_DOUBLE:
			appendStringInfo(out, ", datum[%f]", as_double(field->number));
			break;
		case TAG_DATUM_STRING:
			appendStringInfoString(out, ", datum[");
			appendBinaryStringInfo(out, (const char *) field->data, (int) field->len);
			appendStringInfoChar(out, ']');
			break;
		case TAG_DATUM_BYTES:
			break;
		case TAG_DATUM_POINT:
			print_point(out, field);
			break;
		default:
			appendStringInfoString(out, ", datum[!NOT SET!]");
	}
}

static void
print_column(StringInfo out, const Field *message)
{
	pen_wire_reader reader;
	Field field;
	Field datum = {0};

	pen_wire_reader_init(&reader, message->data, message->len);
	while (read_field(&reader, &field))
	{
		if (field.tag == TAG_COLUMN_NAME)
		{
			appendStringInfoString(out, "column_name[");
			appendBinaryStringInfo(out, (const char *) field.data, (int) field.len);
			appendStringInfoChar(out, ']');
		}
		else if (field.tag == TAG_COLUMN_TYPE)
			appendStringInfo(out, ", column_type[" UINT64_FORMAT "]", field.number);
		else
			datum = field;
	}
	print_datum(out, &datum);
	appendStringInfoChar(out, '\n');
}

static void
print_tuple(StringInfo out, pen_wire_reader message, uint8 tag, const char *title)
{
	Field field;

	appendStringInfo(out, "\n%s TUPLE: \n", title);
	while (read_field(&message, &field))
	{
		if (field.tag == tag)
			print_column(out, &field);
	}
	appendStringInfoChar(out, '\n');
}

static void
print_head(StringInfo out, pen_wire_reader message)
{
	Field field;

	while (read_field(&message, &field))
	{
		if (field.tag == TAG_TRANSACTION_ID)
			appendStringInfo(out, "txid[%d]", (int32) field.number);
		else if (field.tag == TAG_COMMIT_TIME)
			appendStringInfo(out, ", commit_time[" INT64_FORMAT "]", (int64) field.number);
		else if (field.tag == TAG_TABLE)
		{
			appendStringInfoString(out, ", table[");
			appendBinaryStringInfo(out, (const char *) field.data, (int) field.len);
			appendStringInfoChar(out, ']');
		}
		else if (field.tag == TAG_OP)
			appendStringInfo(out, ", op[%d]", (int32) field.number);
	}
}

void
decoderbufs_to_text(Emitter *emitter, bool old_tuple, bool new_tuple)
{
	pen_wire_buf *wire = &emitter->wire;
	pen_wire_reader message;
	StringInfoData out;

	initStringInfo(&out);
	pen_wire_reader_init(&message, wire->data + emitter->complete, wire->len - emitter->complete);
	print_head(&out, message);
	if (old_tuple)
		print_tuple(&out, message, TAG_OLD_TUPLE, "OLD");
	if (new_tuple)
		print_tuple(&out, message, TAG_NEW_TUPLE, "NEW");
	wire->len = emitter->complete;
	pen_wire_append(wire, out.data, out.len);
	pfree(out.data);
}
