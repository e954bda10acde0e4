/* decoderbufs.c -- the format of the plugin of that name, for those who have its readers: one
 * RowMessage (proto2) a write, byte for byte what decoderbufs 2.1.2 sends, but for its faults.
 * All that is the same for every row of a relation is encoded once; a row copies it. */
#include "postgres.h"

#include "decoderbufs.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/cash.h"
#include "utils/date.h"
#include "utils/geo_decls.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "convert.h"
#include "varint.h"

#define UUID_TEXT_LEN    36
#define UNIX_EPOCH_DAYS  (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)
#define UNIX_EPOCH_USECS ((int64) UNIX_EPOCH_DAYS * USECS_PER_DAY)

typedef enum ValueKind
{
	VALUE_BOOL,
	VALUE_INT2,
	VALUE_INT4,
	VALUE_INT8, /* money and time, too */
	VALUE_OID,
	VALUE_FLOAT4,
	VALUE_FLOAT8,
	VALUE_TEXT, /* text types whose bytes are their output */
	VALUE_UUID,
	VALUE_STRING, /* the output text, as a string */
	VALUE_DATE,
	VALUE_TIMESTAMP,
	VALUE_TIMETZ,
	VALUE_BYTEA,
	VALUE_POINT,
	VALUE_OTHER /* the output text, as bytes */
} ValueKind;

/* prefix: the fields column_name and column_type, with which each DatumMessage begins. */
typedef struct DatumLayout
{
	int attribute; /* index in the deformed tuple */
	ValueKind kind;
	bool varlena;
	int prefix_len;
	uint8 *prefix;
	OutputText text; /* STRING and OTHER */
} DatumLayout;

/* All that is constant for the rows of a relation. */
typedef struct RowLayout
{
	uint64 names_version;
	MemoryContext context;
	bool selective; /* rows can be told apart: there is a replica identity */
	int column_count;
	DatumLayout *columns;
	uint8 *table; /* the field table */
	Size table_len;
	uint8 *typeinfos; /* all fields new_typeinfo */
	Size typeinfos_len;
} RowLayout;

/*
 * A type is called by its schema only where another one of its name comes before it in search_path:
 * so what a column's type is called may change with any other type or schema.
 */
static uint64 names_version = 0;

/* ---- writing ---- */

static inline uint8 *
put_bytes(uint8 *p, const void *bytes, Size len)
{
	memcpy(p, bytes, len);
	return p + len;
}

static inline uint8 *
put_double(uint8 *p, float8 value)
{
	uint64 bits;

	memcpy(&bits, &value, sizeof(bits));
	return pen_put_fixed64(p, bits);
}

/* Room for a DatumMessage with a value of so many bytes, and all of it that comes before the value.
 * Returns where that goes. */
static inline uint8 *
begin_datum(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, Size value_len)
{
	Size len = column->prefix_len + value_len;
	uint8 *p;

	(void) pen_wire_reserve(wire, 1 + PEN_VARINT_MAX_BYTES + len);
	p = wire->data + wire->len;
	*p++ = tag;
	p = pen_put_varint(p, len);
	return put_bytes(p, column->prefix, column->prefix_len);
}

static inline void
end_datum(pen_wire_buf *wire, uint8 *end)
{
	wire->len = end - wire->data;
}

static void
write_integer(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, uint8 value_tag,
			  int64 value)
{
	uint8 *p = begin_datum(wire, tag, column, 1 + pen_varint_size((uint64) value));

	*p++ = value_tag;
	end_datum(wire, pen_put_varint(p, (uint64) value));
}

static void
write_double(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, float8 value)
{
	uint8 *p = begin_datum(wire, tag, column, 1 + 8);

	*p++ = TAG_DATUM_DOUBLE;
	end_datum(wire, put_double(p, value));
}

static void
write_float(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, float4 value)
{
	uint8 *p = begin_datum(wire, tag, column, 1 + 4);
	uint32 bits;

	memcpy(&bits, &value, sizeof(bits));
	*p++ = TAG_DATUM_FLOAT;
	end_datum(wire, pen_put_fixed32(p, bits));
}

static void
write_point(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, const Point *point)
{
	uint8 *p = begin_datum(wire, tag, column, 2 + POINT_LEN);

	*p++ = TAG_DATUM_POINT;
	*p++ = POINT_LEN;
	*p++ = TAG_POINT_X;
	p = put_double(p, point->x);
	*p++ = TAG_POINT_Y;
	end_datum(wire, put_double(p, point->y));
}

static void
write_bytes(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, uint8 value_tag,
			const void *bytes, Size len)
{
	uint8 *p = begin_datum(wire, tag, column, 1 + pen_varint_size(len) + len);

	*p++ = value_tag;
	p = pen_put_varint(p, len);
	end_datum(wire, put_bytes(p, bytes, len));
}

/* Always UTF-8 where it can be: what cannot (SQL_ASCII) is sent as it is, as nothing else would be
 * of use to anyone. */
static void
write_text(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, uint8 value_tag,
		   const char *text, size_t len)
{
	const char *converted = text;
	size_t converted_len = len;

	if (convert_to_utf8(text, &converted_len, &converted))
		write_bytes(wire, tag, column, value_tag, converted, converted_len);
	else
		write_bytes(wire, tag, column, value_tag, text, len);
}

static void
write_uuid(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, const pg_uuid_t *uuid)
{
	static const char digits[] = "0123456789abcdef";
	uint8 *p = begin_datum(wire, tag, column, 2 + UUID_TEXT_LEN);

	*p++ = TAG_DATUM_STRING;
	*p++ = UUID_TEXT_LEN;
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid->data[i] >> 4];
		*p++ = digits[uuid->data[i] & 0xF];
	}
	end_datum(wire, p);
}

/* ---- values ---- */

/* Infinities are the ends of the type, as for timestamps: days from another epoch would wrap. */
static int32
unix_days(DateADT date)
{
	return DATE_NOT_FINITE(date) ? date : date + UNIX_EPOCH_DAYS;
}

/* The last 30 years that PostgreSQL has do not fit: they must not become the distant past, nor
 * infinity. */
static int64
unix_usecs(Timestamp timestamp)
{
	if (TIMESTAMP_NOT_FINITE(timestamp))
		return timestamp;
	return timestamp > PG_INT64_MAX - UNIX_EPOCH_USECS ? PG_INT64_MAX - 1
													   : timestamp + UNIX_EPOCH_USECS;
}

/* Seconds of the zone count westwards. */
static float8
utc_usecs(const TimeTzADT *timetz)
{
	return (float8) (timetz->time + timetz->zone * 1000000.0);
}

static void
write_varlena(pen_wire_buf *wire, uint8 tag, const DatumLayout *column, Datum value)
{
	struct varlena *packed = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

	if (column->kind == VALUE_BYTEA)
		write_bytes(wire, tag, column, TAG_DATUM_BYTES, VARDATA_ANY(packed),
					VARSIZE_ANY_EXHDR(packed));
	else
		write_text(wire, tag, column, TAG_DATUM_STRING, VARDATA_ANY(packed),
				   VARSIZE_ANY_EXHDR(packed));
}

static void
write_output(PenstockData *data, uint8 tag, DatumLayout *column, Datum value)
{
	Size len;
	const char *text = outtext_get(&column->text, &data->printed, value, &len);

	write_text(&data->emitter.wire, tag, column,
			   column->kind == VALUE_STRING ? TAG_DATUM_STRING : TAG_DATUM_BYTES, text, len);
}

static void
write_value(PenstockData *data, uint8 tag, DatumLayout *column, Datum value)
{
	pen_wire_buf *wire = &data->emitter.wire;

	switch (column->kind)
	{
		case VALUE_BOOL:
			write_integer(wire, tag, column, TAG_DATUM_BOOL, DatumGetBool(value) ? 1 : 0);
			break;
		case VALUE_INT2:
			write_integer(wire, tag, column, TAG_DATUM_INT32, DatumGetInt16(value));
			break;
		case VALUE_INT4:
			write_integer(wire, tag, column, TAG_DATUM_INT32, DatumGetInt32(value));
			break;
		case VALUE_INT8:
			write_integer(wire, tag, column, TAG_DATUM_INT64, DatumGetInt64(value));
			break;
		case VALUE_OID:
			write_integer(wire, tag, column, TAG_DATUM_INT64, DatumGetObjectId(value));
			break;
		case VALUE_FLOAT4:
			write_float(wire, tag, column, DatumGetFloat4(value));
			break;
		case VALUE_FLOAT8:
			write_double(wire, tag, column, DatumGetFloat8(value));
			break;
		case VALUE_DATE:
			write_integer(wire, tag, column, TAG_DATUM_INT32, unix_days(DatumGetDateADT(value)));
			break;
		case VALUE_TIMESTAMP:
			write_integer(wire, tag, column, TAG_DATUM_INT64, unix_usecs(DatumGetTimestamp(value)));
			break;
		case VALUE_TIMETZ:
			write_double(wire, tag, column, utc_usecs(DatumGetTimeTzADTP(value)));
			break;
		case VALUE_UUID:
			write_uuid(wire, tag, column, DatumGetUUIDP(value));
			break;
		case VALUE_POINT:
			write_point(wire, tag, column, DatumGetPointP(value));
			break;
		case VALUE_TEXT:
		case VALUE_BYTEA:
			write_varlena(wire, tag, column, value);
			break;
		case VALUE_STRING:
		case VALUE_OTHER:
			write_output(data, tag, column, value);
			break;
	}
}

/* A value on disk that the update did not touch is marked in the new tuple; readers do not expect
 * it in an old one. */
static void
write_tuple(PenstockData *data, RowLayout *layout, const RowValues *row, uint8 tag)
{
	pen_wire_buf *wire = &data->emitter.wire;

	for (int i = 0; i < layout->column_count; i++)
	{
		DatumLayout *column = &layout->columns[i];
		Datum value = row->values[column->attribute];

		if (row->nulls[column->attribute])
			end_datum(wire, begin_datum(wire, tag, column, 0));
		else if (!IS_UNCHANGED(column->varlena, value))
			write_value(data, tag, column, value);
		else if (tag == TAG_NEW_TUPLE)
			write_integer(wire, tag, column, TAG_DATUM_MISSING, 1);
		else
			end_datum(wire, begin_datum(wire, tag, column, 0));
	}
}

/* ---- what is constant ---- */

static ValueKind
value_kind(Oid type)
{
	switch (type)
	{
		case BOOLOID:
			return VALUE_BOOL;
		case INT2OID:
			return VALUE_INT2;
		case INT4OID:
			return VALUE_INT4;
		case INT8OID:
		case CASHOID:
		case TIMEOID:
			return VALUE_INT8;
		case OIDOID:
			return VALUE_OID;
		case FLOAT4OID:
			return VALUE_FLOAT4;
		case FLOAT8OID:
			return VALUE_FLOAT8;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
			return VALUE_TEXT;
		case UUIDOID:
			return VALUE_UUID;
		case NUMERICOID:
		case CHAROID:
		case JSONBOID:
		case XMLOID:
		case BITOID:
		case VARBITOID:
		case INTERVALOID:
			return VALUE_STRING;
		case DATEOID:
			return VALUE_DATE;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return VALUE_TIMESTAMP;
		case TIMETZOID:
			return VALUE_TIMETZ;
		case BYTEAOID:
			return VALUE_BYTEA;
		case POINTOID:
			return VALUE_POINT;
		default:
			return VALUE_OTHER;
	}
}

/* A field with a text, at the end of a StringInfo. */
static void
append_text_field(StringInfo out, uint8 tag, const char *text)
{
	uint8 head[1 + PEN_VARINT_MAX_BYTES];
	size_t len = strlen(text);
	size_t converted_len = len;
	const char *converted = text;

	if (!convert_to_utf8(text, &converted_len, &converted))
	{
		converted = text;
		converted_len = len;
	}
	head[0] = tag;
	appendBinaryStringInfo(out, (char *) head, pen_put_varint(head + 1, converted_len) - head);
	appendBinaryStringInfo(out, converted, (int) converted_len);
}

static void
append_integer_field(StringInfo out, uint8 tag, uint64 value)
{
	uint8 field[1 + PEN_VARINT_MAX_BYTES];

	field[0] = tag;
	appendBinaryStringInfo(out, (char *) field, pen_put_varint(field + 1, value) - field);
}

static void
build_column(DatumLayout *column, Form_pg_attribute attribute)
{
	StringInfoData prefix;

	initStringInfo(&prefix);
	append_text_field(&prefix, TAG_COLUMN_NAME, quote_identifier(NameStr(attribute->attname)));
	append_integer_field(&prefix, TAG_COLUMN_TYPE, attribute->atttypid);
	column->prefix = (uint8 *) prefix.data;
	column->prefix_len = prefix.len;
	column->attribute = attribute->attnum - 1;
	column->varlena = attribute->attlen == -1;
	column->kind = value_kind(attribute->atttypid);
	if (column->kind == VALUE_STRING || column->kind == VALUE_OTHER)
		outtext_init(&column->text, attribute->atttypid);
}

static void
append_typeinfo(StringInfo out, Form_pg_attribute attribute)
{
	StringInfoData info;

	initStringInfo(&info);
	append_text_field(&info, TAG_MODIFIER,
					  format_type_with_typemod(attribute->atttypid, attribute->atttypmod));
	append_integer_field(&info, TAG_VALUE_OPTIONAL, attribute->attnotnull ? 0 : 1);
	append_integer_field(out, TAG_NEW_TYPEINFO, info.len);
	appendBinaryStringInfo(out, info.data, info.len);
	pfree(info.data);
}

static bool
is_selective(Relation relation)
{
	char identity = relation->rd_rel->relreplident;

	return identity != REPLICA_IDENTITY_NOTHING &&
		   (identity != REPLICA_IDENTITY_DEFAULT || OidIsValid(RelationGetReplicaIndex(relation)));
}

static void
fill_layout(RowLayout *layout, const RelationEntry *entry, Relation relation)
{
	char *schema = get_namespace_name(get_rel_namespace(entry->send_as));
	char *name = get_rel_name(entry->send_as);
	StringInfoData table;
	StringInfoData typeinfos;

	if (schema == NULL || name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", entry->send_as);
	initStringInfo(&table);
	initStringInfo(&typeinfos);
	append_text_field(&table, TAG_TABLE, quote_qualified_identifier(schema, name));
	layout->columns = palloc0(sizeof(DatumLayout) * Max(entry->column_count, 1));
	layout->column_count = entry->column_count;
	/* Of a partition that goes under an ancestor's name, they are in the ancestor's order. */
	for (int i = 0; i < entry->column_count; i++)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(relation), entry->columns[i].attribute);

		build_column(&layout->columns[i], attribute);
		append_typeinfo(&typeinfos, attribute);
	}
	layout->table = (uint8 *) table.data;
	layout->table_len = table.len;
	layout->typeinfos = (uint8 *) typeinfos.data;
	layout->typeinfos_len = typeinfos.len;
	layout->selective = is_selective(relation);
}

static void
forget_names(Datum arg, int cacheid, uint32 hash)
{
	names_version++;
}

static void
watch_names(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterSyscacheCallback(TYPEOID, forget_names, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
	registered = true;
}

/* In memory below the entry's, so that it goes with what it was built from. */
static RowLayout *
build_layout(const RelationEntry *entry, Relation relation)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "penstock row layout", ALLOCSET_SMALL_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	RowLayout *layout = palloc0(sizeof(RowLayout));

	watch_names();
	layout->context = context;
	layout->names_version = names_version;
	fill_layout(layout, entry, relation);
	MemoryContextSwitchTo(old_context);
	/* Until it was whole it belonged to the change, so that an error takes it away. */
	MemoryContextSetParent(context, entry->context);
	return layout;
}

static RowLayout *
layout_of(RelationEntry *entry, Relation relation)
{
	RowLayout *layout = entry->format_data;

	if (layout != NULL && layout->names_version == names_version)
		return layout;
	entry->format_data = NULL;
	if (layout != NULL)
		MemoryContextDelete(layout->context);
	entry->format_data = build_layout(entry, relation);
	return entry->format_data;
}

/* ---- messages ---- */

/* One message is one write. */
static void
end_message(LogicalDecodingContext *ctx, PenstockData *data, bool old_tuple, bool new_tuple)
{
	if (data->options.debug_mode)
		decoderbufs_to_text(&data->emitter, old_tuple, new_tuple);
	emit_end(&data->emitter, ctx);
	emit_flush(&data->emitter, ctx);
}

/* transaction_id, commit_time, table if there is one, op. */
static void
write_head(pen_wire_buf *wire, ReorderBufferTXN *txn, const RowLayout *layout, DecoderbufsOp op)
{
	Size table_len = layout != NULL ? layout->table_len : 0;
	uint8 *p;

	(void) pen_wire_reserve(wire, 2 * (1 + PEN_VARINT_MAX_BYTES) + table_len + 2);
	p = wire->data + wire->len;
	*p++ = TAG_TRANSACTION_ID;
	p = pen_put_varint(p, txn->xid);
	*p++ = TAG_COMMIT_TIME;
	p = pen_put_varint(p, (uint64) (compat_commit_time(txn) + UNIX_EPOCH_USECS));
	if (layout != NULL)
		p = put_bytes(p, layout->table, table_len);
	*p++ = TAG_OP;
	*p++ = (uint8) op;
	wire->len = p - wire->data;
}

static void
decoderbufs_begin(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn)
{
	write_head(&data->emitter.wire, txn, NULL, DECODERBUFS_BEGIN);
	end_message(ctx, data, false, false);
}

static void
decoderbufs_commit(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
				   XLogRecPtr commit_lsn)
{
	write_head(&data->emitter.wire, txn, NULL, DECODERBUFS_COMMIT);
	end_message(ctx, data, false, false);
}

static DecoderbufsOp
row_op(ChangeAction action)
{
	switch (action)
	{
		case ACTION_INSERT:
			return DECODERBUFS_INSERT;
		case ACTION_UPDATE:
			return DECODERBUFS_UPDATE;
		case ACTION_DELETE:
			return DECODERBUFS_DELETE;
		case ACTION_TRUNCATE:
			break;
	}
	elog(ERROR, "unexpected change action %d", (int) action);
}

/* Without a replica identity an update or delete only says that there was one. */
static void
decoderbufs_change(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
				   RelationEntry *entry, Relation relation, const RowChange *change)
{
	pen_wire_buf *wire = &data->emitter.wire;
	RowLayout *layout = layout_of(entry, relation);
	DecoderbufsOp op = row_op(change->action);
	bool new_tuple =
		change->new_row.values != NULL && (op == DECODERBUFS_INSERT || layout->selective);
	bool old_tuple = change->old_row.values != NULL && layout->selective;

	write_head(wire, txn, layout, op);
	if (new_tuple)
		write_tuple(data, layout, &change->new_row, TAG_NEW_TUPLE);
	if (old_tuple)
		write_tuple(data, layout, &change->old_row, TAG_OLD_TUPLE);
	if (new_tuple)
		pen_wire_append(wire, layout->typeinfos, layout->typeinfos_len);
	end_message(ctx, data, old_tuple, new_tuple);
}

void
decoderbufs_greet(List *options)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, "debug-mode") == 0)
			elog(NOTICE, "Decoderbufs DEBUG MODE is %s.", defGetBoolean(option) ? "ON" : "OFF");
	}
	elog(INFO, "Exiting startup callback");
}

const Format format_decoderbufs = {
	.name = "decoderbufs",
	.binary = true,
	.session_settings = true,
	.begin = decoderbufs_begin,
	.commit = decoderbufs_commit,
	.change = decoderbufs_change,
};
