/* outtext.c -- the output text of numeric and jsonb.
 * Reads the types' storage formats, which cannot change without a pg_upgrade that converts them;
 * the tests compare every form with the output functions. */
#include "postgres.h"

#include "outtext.h"

#include "catalog/pg_type.h"
#include "compat.h"
#include "miscadmin.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

/* ---- numeric ---- */

/* Decimal digits come four at a time. */
#define GROUP_DIGITS 4

/* The first 16 bits: a long form has its weight in the next 16, a short one has all in it. */
#define FORM_MASK         0xC000
#define FORM_NEGATIVE     0x4000
#define FORM_SHORT        0x8000
#define FORM_SPECIAL      0xC000
#define SPECIAL_MASK      0xF000
#define SPECIAL_NAN       0xC000
#define SPECIAL_INFINITY  0xD000
#define LONG_SCALE        0x3FFF
#define SHORT_NEGATIVE    0x2000
#define SHORT_SCALE       0x1F80
#define SHORT_SCALE_SHIFT 7
#define SHORT_WEIGHT_SIGN 0x0040
#define SHORT_WEIGHT      0x003F

/* group[i] stands for group[i] * 10000^(weight - i); after the point come scale digits. */
typedef struct StoredNumeric
{
	bool negative;
	int weight;
	int scale;
	int count;
	const char *groups; /* int16 each, perhaps unaligned */
} StoredNumeric;

static int
group_at(const StoredNumeric *number, int i)
{
	int16 group;

	if (i < 0 || i >= number->count)
		return 0;
	memcpy(&group, number->groups + i * sizeof(group), sizeof(group));
	return group;
}

static char *
put_group(char *to, int group)
{
	to[0] = '0' + group / 1000;
	to[1] = '0' + group / 100 % 10;
	to[2] = '0' + group / 10 % 10;
	to[3] = '0' + group % 10;
	return to + GROUP_DIGITS;
}

static char *
put_first_group(char *to, int group)
{
	char digits[GROUP_DIGITS];
	int skip = 0;

	put_group(digits, group);
	while (skip < GROUP_DIGITS - 1 && digits[skip] == '0')
		skip++;
	memcpy(to, digits + skip, GROUP_DIGITS - skip);
	return to + GROUP_DIGITS - skip;
}

static void
put_number(pen_wire_buf *buf, const StoredNumeric *number)
{
	Size room = 8 + (Size) (Max(number->weight, 0) + 1) * GROUP_DIGITS + number->scale;
	char *to;

	if (!pen_wire_reserve(buf, room + GROUP_DIGITS))
		return;
	to = (char *) buf->data + buf->len;
	if (number->negative)
		*to++ = '-';
	if (number->weight < 0)
		*to++ = '0';
	else
		to = put_first_group(to, group_at(number, 0));
	for (int i = 1; i <= number->weight; i++)
		to = put_group(to, group_at(number, i));
	if (number->scale > 0)
	{
		char *end;

		*to++ = '.';
		end = to + number->scale;
		for (int i = number->weight + 1; to < end; i++)
			to = put_group(to, group_at(number, i));
		to = end;
	}
	buf->len = to - (char *) buf->data;
}

static void
put_literal(pen_wire_buf *buf, const char *text)
{
	pen_wire_append(buf, text, strlen(text));
}

/* What stands behind the varlena header. */
static void
put_numeric(pen_wire_buf *buf, const char *data, Size len)
{
	StoredNumeric number;
	uint16 header;
	int16 weight;
	Size header_len = sizeof(header);

	memcpy(&header, data, sizeof(header));
	if ((header & FORM_MASK) == FORM_SPECIAL)
	{
		uint16 special = header & SPECIAL_MASK;

		put_literal(buf, special == SPECIAL_NAN        ? "NaN"
						 : special == SPECIAL_INFINITY ? "Infinity"
													   : "-Infinity");
		return;
	}
	if ((header & FORM_MASK) == FORM_SHORT)
	{
		number.negative = (header & SHORT_NEGATIVE) != 0;
		number.scale = (header & SHORT_SCALE) >> SHORT_SCALE_SHIFT;
		number.weight = header & SHORT_WEIGHT;
		if (header & SHORT_WEIGHT_SIGN)
			number.weight -= SHORT_WEIGHT + 1;
	}
	else
	{
		number.negative = (header & FORM_MASK) == FORM_NEGATIVE;
		number.scale = header & LONG_SCALE;
		memcpy(&weight, data + sizeof(header), sizeof(weight));
		number.weight = weight;
		header_len += sizeof(weight);
	}
	number.groups = data + header_len;
	number.count = (len - header_len) / sizeof(int16);
	put_number(buf, &number);
}

static void
print_numeric(pen_wire_buf *buf, Datum value)
{
	struct varlena *packed = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

	put_numeric(buf, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
}

/* ---- jsonb ---- */

static void put_container(pen_wire_buf *buf, const char *container);

static bool
needs_escape(unsigned char c)
{
	return c < ' ' || c == '"' || c == '\\';
}

static void
put_escape(pen_wire_buf *buf, unsigned char c)
{
	char escape[8];

	switch (c)
	{
		case '"':
			put_literal(buf, "\\\"");
			break;
		case '\\':
			put_literal(buf, "\\\\");
			break;
		case '\b':
			put_literal(buf, "\\b");
			break;
		case '\f':
			put_literal(buf, "\\f");
			break;
		case '\n':
			put_literal(buf, "\\n");
			break;
		case '\r':
			put_literal(buf, "\\r");
			break;
		case '\t':
			put_literal(buf, "\\t");
			break;
		default:
			snprintf(escape, sizeof(escape), "\\u%04x", c);
			put_literal(buf, escape);
	}
}

static void
put_string(pen_wire_buf *buf, const char *text, Size len)
{
	Size start = 0;

	pen_wire_append(buf, "\"", 1);
	for (Size i = 0; i < len; i++)
	{
		if (!needs_escape(text[i]))
			continue;
		pen_wire_append(buf, text + start, i - start);
		put_escape(buf, text[i]);
		start = i + 1;
	}
	pen_wire_append(buf, text + start, len - start);
	pen_wire_append(buf, "\"", 1);
}

/*
 * A container is a header, an entry for each value (in an object first for the keys) and then the
 * values, whose places are aligned to where they begin. That may be anywhere: a short varlena is
 * not aligned, and is read where it stands.
 */
static uint32
load_uint32(const char *from)
{
	uint32 value;

	memcpy(&value, from, sizeof(value));
	return value;
}

static JEntry
entry_at(const char *container, uint32 i)
{
	return load_uint32(container + offsetof(JsonbContainer, children) + i * sizeof(JEntry));
}

/* Inside of a document a number has a header of its own. */
static void
put_number_value(pen_wire_buf *buf, const char *number)
{
	uint32 header;

	if (VARATT_IS_1B(number))
	{
		put_numeric(buf, VARDATA_1B(number), VARSIZE_1B(number) - VARHDRSZ_SHORT);
		return;
	}
	header = load_uint32(number);
	put_numeric(buf, number + VARHDRSZ, VARSIZE_4B(&header) - VARHDRSZ);
}

/* base: where the values begin; offset and next: where this one does and ends. */
static void
put_entry(pen_wire_buf *buf, JEntry entry, const char *base, uint32 offset, uint32 next)
{
	if (JBE_ISSTRING(entry))
		put_string(buf, base + offset, next - offset);
	else if (JBE_ISNUMERIC(entry))
		put_number_value(buf, base + INTALIGN(offset));
	else if (JBE_ISBOOL_TRUE(entry))
		put_literal(buf, "true");
	else if (JBE_ISBOOL_FALSE(entry))
		put_literal(buf, "false");
	else if (JBE_ISNULL(entry))
		put_literal(buf, "null");
	else
		put_container(buf, base + INTALIGN(offset));
}

static void
put_array(pen_wire_buf *buf, const char *container, uint32 count, bool scalar)
{
	const char *base = container + offsetof(JsonbContainer, children) + count * sizeof(JEntry);
	uint32 offset = 0;

	if (!scalar)
		pen_wire_append(buf, "[", 1);
	for (uint32 i = 0; i < count; i++)
	{
		JEntry entry = entry_at(container, i);
		uint32 next = offset;

		JBE_ADVANCE_OFFSET(next, entry);
		if (i > 0)
			pen_wire_append(buf, ", ", 2);
		put_entry(buf, entry, base, offset, next);
		offset = next;
	}
	if (!scalar)
		pen_wire_append(buf, "]", 1);
}

/* All keys come first, then all values. */
static void
put_object(pen_wire_buf *buf, const char *container, uint32 count)
{
	const char *base = container + offsetof(JsonbContainer, children) + 2 * count * sizeof(JEntry);
	uint32 key = 0;
	uint32 value = 0;

	for (uint32 i = 0; i < count; i++)
		JBE_ADVANCE_OFFSET(value, entry_at(container, i));
	pen_wire_append(buf, "{", 1);
	for (uint32 i = 0; i < count; i++)
	{
		JEntry entry = entry_at(container, count + i);
		uint32 next_key = key;
		uint32 next_value = value;

		JBE_ADVANCE_OFFSET(next_key, entry_at(container, i));
		JBE_ADVANCE_OFFSET(next_value, entry);
		if (i > 0)
			pen_wire_append(buf, ", ", 2);
		put_string(buf, base + key, next_key - key);
		pen_wire_append(buf, ": ", 2);
		put_entry(buf, entry, base, value, next_value);
		key = next_key;
		value = next_value;
	}
	pen_wire_append(buf, "}", 1);
}

static void
put_container(pen_wire_buf *buf, const char *container)
{
	uint32 header = load_uint32(container);
	uint32 count = header & JB_CMASK;

	check_stack_depth();
	if (header & JB_FOBJECT)
		put_object(buf, container, count);
	else
		put_array(buf, container, count, (header & JB_FSCALAR) != 0);
}

static void
print_jsonb(pen_wire_buf *buf, Datum value)
{
	struct varlena *packed = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

	put_container(buf, VARDATA_ANY(packed));
}

/* ---- any type ---- */

void
outtext_init(OutputText *how, Oid type)
{
	Oid base_type = getBaseType(type);
	Oid function;
	bool is_varlena;

	memset(how, 0, sizeof(*how));
	getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info_cxt(function, &how->function, CurrentMemoryContext);
	if (base_type == NUMERICOID)
		how->print = print_numeric;
	else if (base_type == JSONBOID)
		how->print = print_jsonb;
}

const char *
outtext_get(OutputText *how, Emitter *scratch, Datum value, Size *len)
{
	const char *text;

	if (how->print != NULL)
	{
		emit_discard(scratch);
		how->print(&scratch->wire, value);
		*len = scratch->wire.len;
		return (const char *) scratch->wire.data;
	}
	text = OutputFunctionCall(&how->function, value);
	*len = strlen(text);
	return text;
}
