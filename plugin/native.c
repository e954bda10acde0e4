/* native.c -- the native format: proto/penstock.proto.
 * Rows are encoded straight into the buffer: one deform, one pass, no catalog, and nothing
 * allocated but what detoasting and output functions need, in a context that is reset. */
#include "postgres.h"

#include "format.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "convert.h"
#include "describe.h"
#include "penstock.pb-c.h"

/* ---- session and relation ---- */

static void
native_session(LogicalDecodingContext *ctx, PenstockData *data)
{
	Penstock__V1__Session session = PENSTOCK__V1__SESSION__INIT;
	Penstock__V1__Option *options[16];
	const char *name;
	char *value;
	uint8 *packed;

	session.protocol_version = data->options.protocol;
	session.server_version = PG_VERSION_NUM;
	session.server_encoding = unconstify(char *, pg_encoding_to_char(GetDatabaseEncoding()));
	session.plugin_version = PENSTOCK_VERSION;
	session.options = options;
	for (int i = 0; i < lengthof(options) && options_nth(&data->options, i, &name, &value); i++)
	{
		options[i] = palloc(sizeof(Penstock__V1__Option));
		penstock__v1__option__init(options[i]);
		options[i]->name = unconstify(char *, name);
		options[i]->value = value;
		session.n_options++;
	}
	packed = palloc(penstock__v1__session__get_packed_size(&session));
	pen_wire_write_packed(&data->emitter.wire, PEN_EVENT_SESSION, packed,
						  penstock__v1__session__pack(&session, packed));
	emit_end(&data->emitter, ctx);
}

/* The description was packed without its number, which is the first field: put it before. */
static void
native_relation(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry)
{
	pen_wire_buf *wire = &data->emitter.wire;
	pen_wire_mark mark = pen_wire_begin_event(wire, PEN_EVENT_RELATION, entry->description_len + 2);

	pen_wire_write_relation_number(wire, entry->number);
	pen_wire_append(wire, entry->description, entry->description_len);
	pen_wire_end_event(wire, &mark);
	emit_end(&data->emitter, ctx);
}

/* ---- transactions ---- */

static void
native_begin(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn)
{
	pen_wire_write_begin(&data->emitter.wire, txn->xid, txn->final_lsn, compat_commit_time(txn));
	emit_end(&data->emitter, ctx);
}

static void
native_commit(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
			  XLogRecPtr commit_lsn)
{
	pen_wire_write_commit(&data->emitter.wire, commit_lsn, txn->end_lsn, compat_commit_time(txn));
	emit_end(&data->emitter, ctx);
}

/* ---- values ---- */

static void
write_text(pen_wire_buf *wire, pen_tuple_field field, const char *text, size_t len)
{
	const char *converted;

	if (convert_to_utf8(text, &len, &converted))
		pen_wire_write_string(wire, field, converted, len);
	else
		pen_wire_write_bytes(wire, field, text, len);
}

static int64
integer_of(const ColumnEncoder *column, Datum value)
{
	if (column->int4)
		return DatumGetInt32(value);
	return column->int2 ? DatumGetInt16(value) : DatumGetInt64(value);
}

static void
write_value(pen_wire_buf *wire, pen_tuple_field field, ColumnEncoder *column, Datum value)
{
	struct varlena *packed;

	switch (column->encoding)
	{
		case PEN_ENCODING_BOOL:
			pen_wire_write_bool(wire, field, DatumGetBool(value));
			break;
		case PEN_ENCODING_INT:
			pen_wire_write_int(wire, field, integer_of(column, value));
			break;
		case PEN_ENCODING_OID:
			pen_wire_write_int(wire, field, DatumGetObjectId(value));
			break;
		case PEN_ENCODING_FLOAT4:
			pen_wire_write_float(wire, field, DatumGetFloat4(value));
			break;
		case PEN_ENCODING_FLOAT8:
			pen_wire_write_double(wire, field, DatumGetFloat8(value));
			break;
		case PEN_ENCODING_TEXT:
			packed = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
			write_text(wire, field, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
			break;
		case PEN_ENCODING_BYTEA:
			packed = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
			pen_wire_write_bytes(wire, field, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
			break;
		case PEN_ENCODING_DATE:
			pen_wire_write_int(wire, field, DatumGetDateADT(value));
			break;
		case PEN_ENCODING_TIME:
			pen_wire_write_int(wire, field, DatumGetTimeADT(value));
			break;
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			pen_wire_write_int(wire, field, DatumGetTimestamp(value));
			break;
		case PEN_ENCODING_UUID:
			pen_wire_write_bytes(wire, field, DatumGetUUIDP(value)->data, UUID_LEN);
			break;
		case PEN_ENCODING_OUTPUT:
		{
			char *text = OutputFunctionCall(&column->output, value);

			write_text(wire, field, text, strlen(text));
		}
		break;
		case PEN_ENCODING_BINARY:
		case PEN_ENCODING_UNSPECIFIED:
			elog(ERROR, "column encoding %d cannot be written", column->encoding);
	}
}

/* The columns of one tuple; keys_only leaves out what is not in the replica identity. */
static void
write_tuple(PenstockData *data, RelationEntry *entry, Relation relation, HeapTuple tuple,
			pen_tuple_field field, bool keys_only)
{
	pen_wire_buf *wire = &data->emitter.wire;

	heap_deform_tuple(tuple, RelationGetDescr(relation), data->values, data->nulls);
	for (int i = 0; i < entry->column_count; i++)
	{
		ColumnEncoder *column = &entry->columns[i];
		Datum value = data->values[column->attribute];

		if (keys_only && !column->key)
			continue;
		if (data->nulls[column->attribute])
			pen_wire_write_null(wire, field);
		else if (column->varlena && field == PEN_TUPLE_NEW &&
				 VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
			pen_wire_write_unchanged(wire, field);
		else
			write_value(wire, field, column, value);
	}
}

/* ---- changes ---- */

static pen_event_kind
event_kind(const ReorderBufferChange *change)
{
	switch (change->action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			return PEN_EVENT_INSERT;
		case REORDER_BUFFER_CHANGE_UPDATE:
			return PEN_EVENT_UPDATE;
		case REORDER_BUFFER_CHANGE_DELETE:
			return PEN_EVENT_DELETE;
		default:
			elog(ERROR, "unexpected change action %d", (int) change->action);
	}
}

static void
native_change(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry,
			  Relation relation, ReorderBufferChange *change)
{
	pen_wire_buf *wire = &data->emitter.wire;
	HeapTuple new_tuple = compat_new_tuple(change);
	HeapTuple old_tuple = compat_old_tuple(change);
	pen_event_kind kind = event_kind(change);
	pen_wire_mark mark = pen_wire_begin_event(wire, kind, entry->row_guess);

	pen_wire_write_relation_number(wire, entry->number);
	if (kind != PEN_EVENT_DELETE && new_tuple != NULL)
		write_tuple(data, entry, relation, new_tuple, PEN_TUPLE_NEW, false);
	if (kind != PEN_EVENT_INSERT && old_tuple != NULL)
		write_tuple(data, entry, relation, old_tuple, entry->full ? PEN_TUPLE_OLD : PEN_TUPLE_KEY,
					!entry->full);
	entry->row_guess = wire->len - mark.start - mark.header;
	pen_wire_end_event(wire, &mark);
	emit_end(&data->emitter, ctx);
}

static void
native_truncate(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *const *entries,
				int count, ReorderBufferChange *change)
{
	uint32 *numbers = palloc(sizeof(uint32) * Max(count, 1));

	for (int i = 0; i < count; i++)
		numbers[i] = entries[i]->number;
	pen_wire_write_truncate(&data->emitter.wire, numbers, count, change->data.truncate.cascade,
							change->data.truncate.restart_seqs);
	emit_end(&data->emitter, ctx);
}

const Format native_format = {
	.name = "native",
	.binary = true,
	.session = native_session,
	.begin = native_begin,
	.commit = native_commit,
	.relation = native_relation,
	.change = native_change,
	.truncate = native_truncate,
};
