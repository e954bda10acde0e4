/* native.c -- the native format: proto/penstock.proto, and what renders it (json.c, text.c).
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

/*
 * An event stands whole in data->events. A rendering format reads it back, and what it makes of it
 * is what is sent: texts are separated by newlines, since the reader of each write adds one.
 */
static void
end_event(LogicalDecodingContext *ctx, PenstockData *data)
{
	pen_wire_buf *out = &data->emitter.wire;
	pen_narrate_function narrate = data->format->narrate;

	if (narrate != NULL)
	{
		pen_wire_reader reader;
		pen_wire_event event;
		const char *wrong;
		Size start;

		pen_wire_reader_init(&reader, data->events->data, data->events->len);
		if (!pen_wire_read_event(&reader, &event))
			elog(ERROR, "could not read an event back: %s", reader.error);
		if (out->len > 0)
			pen_wire_append(out, "\n", 1);
		start = out->len;
		wrong = pen_narrate_follow(&data->narrator, &event);
		if (wrong == NULL)
			wrong = narrate(&data->narrator, &event, out);
		if (wrong != NULL)
			elog(ERROR, "could not print an event: %s", wrong);
		if (out->len == start)
			emit_begin(&data->emitter);
		else if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
			render_escape(out, start);
		emit_discard(&data->scratch);
	}
	emit_end(&data->emitter, ctx);
}

/* ---- session and relation ---- */

void
native_message(LogicalDecodingContext *ctx, PenstockData *data, pen_event_kind kind,
			   const ProtobufCMessage *message)
{
	Size len = protobuf_c_message_get_packed_size(message);
	uint8 *packed = palloc_extended(Max(len, 1), MCXT_ALLOC_HUGE);

	protobuf_c_message_pack(message, packed);
	pen_wire_write_packed(data->events, kind, packed, len);
	pfree(packed);
	end_event(ctx, data);
}

void
native_session(LogicalDecodingContext *ctx, PenstockData *data)
{
	Penstock__V1__Session session = PENSTOCK__V1__SESSION__INIT;
	Penstock__V1__Option *options[OPTION_COUNT];
	bool utf8 = GetDatabaseEncoding() == PG_UTF8;
	const char *name;
	const char *value;

	session.protocol_version = data->options.protocol;
	session.server_version = PG_VERSION_NUM;
	session.server_encoding = unconstify(char *, pg_encoding_to_char(GetDatabaseEncoding()));
	session.plugin_version = PENSTOCK_VERSION;
	session.options = options;
	/* There may be no transaction, so that no conversion can be looked up. */
	for (int n = 0; options_nth(&data->options, n, &name, &value); n++)
	{
		Penstock__V1__Option *option = palloc(sizeof(*option));

		if (*value == '\0')
			continue;
		penstock__v1__option__init(option);
		option->name = unconstify(char *, name);
		option->value = utf8 ? unconstify(char *, value) : describe_ascii(value);
		options[session.n_options++] = option;
	}
	native_message(ctx, data, PEN_EVENT_SESSION, &session.base);
}

/* The description was packed without its number, which is the first field: put it before. */
void
native_relation(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry)
{
	pen_wire_buf *wire = data->events;
	pen_wire_mark mark = pen_wire_begin_event(wire, PEN_EVENT_RELATION, entry->description_len + 2);

	pen_wire_write_relation_number(wire, entry->number);
	pen_wire_append(wire, entry->description, entry->description_len);
	pen_wire_end_event(wire, &mark);
	end_event(ctx, data);
}

/* ---- transactions ---- */

void
native_begin(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn)
{
	pen_wire_write_begin(data->events, txn->xid, txn->final_lsn, compat_commit_time(txn));
	end_event(ctx, data);
}

void
native_commit(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
			  XLogRecPtr commit_lsn)
{
	pen_wire_write_commit(data->events, commit_lsn, txn->end_lsn, compat_commit_time(txn));
	end_event(ctx, data);
}

void
native_sub_xact(LogicalDecodingContext *ctx, PenstockData *data, TransactionId xid)
{
	pen_wire_write_sub_xact(data->events, xid);
	end_event(ctx, data);
}

/* ---- values ---- */

static void
write_text(PenstockData *data, pen_tuple_field field, const char *text, size_t len)
{
	pen_wire_buf *wire = data->events;
	const char *converted;

	if (data->is_utf8)
		pen_wire_write_string(wire, field, text, len);
	else if (convert_to_utf8(text, &len, &converted))
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
write_value(PenstockData *data, pen_tuple_field field, ColumnEncoder *column, Datum value)
{
	pen_wire_buf *wire = data->events;
	struct varlena *packed;
	const char *text;
	Size len;

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
			write_text(data, field, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
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
			text = outtext_get(&column->text, &data->printed, value, &len);
			write_text(data, field, text, len);
			break;
		case PEN_ENCODING_BINARY:
		{
			bytea *sent = SendFunctionCall(&column->send, value);

			pen_wire_write_bytes(wire, field, VARDATA(sent), VARSIZE(sent) - VARHDRSZ);
		}
		break;
		case PEN_ENCODING_UNSPECIFIED:
			elog(ERROR, "column encoding %d cannot be written", column->encoding);
	}
}

/* The columns of one row; keys_only leaves out what is not in the replica identity. */
static void
write_row(PenstockData *data, RelationEntry *entry, const RowValues *row, pen_tuple_field field,
		  bool keys_only)
{
	pen_wire_buf *wire = data->events;

	for (int i = 0; i < entry->column_count; i++)
	{
		ColumnEncoder *column = &entry->columns[i];
		Datum value = row->values[column->attribute];

		if (keys_only && !column->key)
			continue;
		if (row->nulls[column->attribute])
			pen_wire_write_null(wire, field);
		else if (field == PEN_TUPLE_NEW && IS_UNCHANGED(column->varlena, value))
			pen_wire_write_unchanged(wire, field);
		else
			write_value(data, field, column, value);
	}
}

/* ---- changes ---- */

void
native_change(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
			  RelationEntry *entry, Relation relation, const RowChange *change)
{
	static const pen_event_kind kinds[] = {
		[ACTION_INSERT] = PEN_EVENT_INSERT,
		[ACTION_UPDATE] = PEN_EVENT_UPDATE,
		[ACTION_DELETE] = PEN_EVENT_DELETE,
	};
	pen_wire_buf *wire = data->events;
	pen_wire_mark mark = pen_wire_begin_event(wire, kinds[change->action], entry->row_guess);

	pen_wire_write_relation_number(wire, data->named[0]->number);
	if (change->new_row.values != NULL)
		write_row(data, entry, &change->new_row, PEN_TUPLE_NEW, false);
	if (change->old_row.values != NULL)
		write_row(data, entry, &change->old_row, entry->full ? PEN_TUPLE_OLD : PEN_TUPLE_KEY,
				  !entry->full);
	entry->row_guess = wire->len - mark.start - mark.header;
	pen_wire_end_event(wire, &mark);
	end_event(ctx, data);
}

void
native_truncate(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *const *entries,
				int count, bool cascade, bool restart_identity)
{
	uint32 *numbers = palloc(sizeof(uint32) * Max(count, 1));

	for (int i = 0; i < count; i++)
		numbers[i] = entries[i]->number;
	pen_wire_write_truncate(data->events, numbers, count, cascade, restart_identity);
	end_event(ctx, data);
}

const Format format_native = {
	.name = "native",
	.binary = true,
	.native = true,
	.begin = native_begin,
	.commit = native_commit,
	.change = native_change,
};
