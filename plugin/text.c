/* text.c -- the format text: the native events for eyes and for regression tests.
 * A line an event, whatever the data; nothing in it changes from run to run, so no xids, LSNs and
 * times. Not meant to be parsed: that is what json is for. */
#include "postgres.h"

#include "format.h"

#include "print.h"

static void
put(pen_wire_buf *out, const char *text)
{
	pen_wire_append(out, text, strlen(text));
}

/* Between two quotes; the quote is doubled, control characters and the backslash are escaped. */
static void
put_quoted(pen_wire_buf *out, const void *data, size_t len, char quote)
{
	const uint8 *bytes = data;

	pen_wire_append(out, &quote, 1);
	for (size_t i = 0; i < len; i++)
	{
		char escape[8];

		if (bytes[i] == '\\')
			put(out, "\\\\");
		else if (bytes[i] == '\n')
			put(out, "\\n");
		else if (bytes[i] < 0x20 || bytes[i] == 0x7f)
		{
			snprintf(escape, sizeof(escape), "\\x%02x", bytes[i]);
			put(out, escape);
		}
		else
		{
			if (bytes[i] == (uint8) quote)
				pen_wire_append(out, &quote, 1);
			pen_wire_append(out, &bytes[i], 1);
		}
	}
	pen_wire_append(out, &quote, 1);
}

static void
put_identifier(pen_wire_buf *out, const char *name)
{
	size_t plain = strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789");

	if (name[plain] == '\0' && plain > 0 && (*name < '0' || *name > '9'))
		put(out, name);
	else
		put_quoted(out, name, strlen(name), '"');
}

/* Bytes that are text more often than not; others as hexadecimal digits. */
static void
put_bytes(pen_wire_buf *out, ProtobufCBinaryData bytes)
{
	if (pen_utf8_valid(bytes.data, bytes.len))
		put_quoted(out, bytes.data, bytes.len, '\'');
	else
		pen_print_hex(out, bytes.data, bytes.len);
}

static void
put_table(pen_wire_buf *out, const Penstock__V1__Relation *relation)
{
	put_identifier(out, relation->schema);
	put(out, ".");
	put_identifier(out, relation->name);
}

/* ---- rows ---- */

static const char *
put_value(pen_wire_buf *out, const Penstock__V1__Column *column, const pen_value *value)
{
	size_t start = out->len;
	pen_encoding encoding = (pen_encoding) column->encoding;
	const char *wrong;
	char *printed;
	size_t len;

	if (value->kind == PEN_VALUE_NULL)
		return put(out, "null"), NULL;
	if (value->kind == PEN_VALUE_UNCHANGED)
		return put(out, "unchanged"), NULL;
	if (value->kind == PEN_VALUE_BOOL)
		return put(out, value->boolean ? "true" : "false"), NULL;
	if (value->kind == PEN_VALUE_BYTES && encoding != PEN_ENCODING_UUID)
		return pen_print_hex(out, value->data, value->len), NULL;
	wrong = pen_print_value(out, encoding, value);
	if (wrong != NULL || encoding == PEN_ENCODING_INT || encoding == PEN_ENCODING_OID ||
		encoding == PEN_ENCODING_FLOAT4 || encoding == PEN_ENCODING_FLOAT8 ||
		column->base_type_oid == PEN_OID_NUMERIC)
		return wrong;
	len = out->len - start;
	printed = palloc_extended(Max(len, 1), MCXT_ALLOC_HUGE);
	memcpy(printed, out->data + start, len);
	out->len = start;
	put_quoted(out, printed, len, '\'');
	pfree(printed);
	return NULL;
}

/* label(name=value, …) */
static const char *
put_row(pen_wire_buf *out, const char *label, const Penstock__V1__Relation *relation,
		const pen_tuple *tuple, bool keys_only)
{
	const char *separator = "";
	pen_wire_reader reader;
	pen_value value;

	put(out, label);
	put(out, "(");
	pen_wire_tuple_reader(&reader, tuple);
	for (size_t i = 0; i < relation->n_columns; i++)
	{
		const char *wrong;

		if (keys_only && relation->columns[i]->identity == 0)
			continue;
		if (!pen_wire_read_value(&reader, &value))
			return "a row has too few values";
		put(out, separator);
		separator = ", ";
		put_identifier(out, relation->columns[i]->name);
		put(out, "=");
		wrong = put_value(out, relation->columns[i], &value);
		if (wrong != NULL)
			return wrong;
	}
	put(out, ")");
	return NULL;
}

static const char *
render_change(pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Relation *relation =
		narrator->find_relation(narrator->arg, event->change.relation);
	const char *wrong = NULL;

	if (relation == NULL)
		return "a row is of a relation that was not described";
	put_table(out, relation);
	put(out, event->kind == PEN_EVENT_INSERT   ? ": INSERT"
			 : event->kind == PEN_EVENT_UPDATE ? ": UPDATE"
											   : ": DELETE");
	if (event->change.key.len > 0)
		wrong = put_row(out, " key ", relation, &event->change.key, true);
	if (wrong == NULL && event->change.old.len > 0)
		wrong = put_row(out, " old ", relation, &event->change.old, false);
	if (wrong == NULL && event->change.new_tuple.len > 0)
		wrong = put_row(out, event->kind == PEN_EVENT_INSERT ? " " : " new ", relation,
						&event->change.new_tuple, false);
	return wrong;
}

/* ---- other events ---- */

static const char *
render_truncate(pen_narrator *narrator, pen_wire_event *event, pen_wire_buf *out)
{
	const char *separator = "TRUNCATE ";
	uint64_t number;

	while (pen_wire_more(&event->truncate.relations) &&
		   pen_wire_read_varint(&event->truncate.relations, &number))
	{
		const Penstock__V1__Relation *relation =
			narrator->find_relation(narrator->arg, (uint32) number);

		if (relation == NULL)
			return "a truncate names a relation that was not described";
		put(out, separator);
		separator = ", ";
		put_table(out, relation);
	}
	if (event->truncate.restart_identity)
		put(out, " RESTART IDENTITY");
	if (event->truncate.cascade)
		put(out, " CASCADE");
	return NULL;
}

static void
put_column(pen_wire_buf *out, const Penstock__V1__Column *column)
{
	char typmod[16];

	put_identifier(out, column->name);
	put(out, " ");
	if (strcmp(column->type_schema, "pg_catalog") != 0)
	{
		put_identifier(out, column->type_schema);
		put(out, ".");
	}
	put_identifier(out, column->type_name);
	if (column->typmod >= 0)
	{
		snprintf(typmod, sizeof(typmod), "[%d]", column->typmod);
		put(out, typmod);
	}
	if (column->not_null)
		put(out, " not null");
	if (column->generated != PENSTOCK__V1__COLUMN__GENERATED__GENERATED_NEVER)
		put(out, " generated");
	if (column->identity != 0)
		put(out, " key");
}

static const char *
render_relation(const pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Relation *relation = pen_narrate_unpack(narrator, event);

	if (relation == NULL)
		return "a relation event is damaged";
	put_table(out, relation);
	put(out, ": TABLE (");
	for (size_t i = 0; i < relation->n_columns; i++)
	{
		put(out, i > 0 ? ", " : "");
		put_column(out, relation->columns[i]);
	}
	put(out, ")");
	if (relation->replica_identity ==
		PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_FULL)
		put(out, " replica identity full");
	return NULL;
}

static const char *
render_message(const pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Message *message = pen_narrate_unpack(narrator, event);

	if (message == NULL)
		return "a message event is damaged";
	put(out, message->transactional ? "MESSAGE transactional " : "MESSAGE ");
	put_bytes(out, message->prefix);
	put(out, " ");
	put_bytes(out, message->content);
	return NULL;
}

static const char *
render_origin(const pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Origin *origin = pen_narrate_unpack(narrator, event);

	if (origin == NULL)
		return "an origin event is damaged";
	put(out, "ORIGIN ");
	put_bytes(out, origin->name);
	return NULL;
}

/* The ends and begins of streamed and prepared transactions. */
static const char *
render_end(const pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	pen_json_boundary boundary;
	const char *wrong = pen_narrate_boundary(narrator, event, &boundary);

	if (wrong != NULL)
		return wrong;
	switch (event->kind)
	{
		case PEN_EVENT_STREAM_START:
			put(out, boundary.first ? "STREAM START first" : "STREAM START");
			break;
		case PEN_EVENT_STREAM_STOP:
			put(out, "STREAM STOP");
			break;
		case PEN_EVENT_STREAM_ABORT:
			put(out,
				boundary.xid == boundary.subxid ? "STREAM ABORT" : "STREAM ABORT sub-transaction");
			break;
		case PEN_EVENT_STREAM_COMMIT:
			put(out, "STREAM COMMIT");
			break;
		case PEN_EVENT_STREAM_PREPARE:
			put(out, "STREAM PREPARE ");
			break;
		case PEN_EVENT_BEGIN_PREPARE:
			put(out, "BEGIN PREPARE ");
			break;
		case PEN_EVENT_PREPARE:
			put(out, "PREPARE ");
			break;
		case PEN_EVENT_COMMIT_PREPARED:
			put(out, "COMMIT PREPARED ");
			break;
		default:
			put(out, "ROLLBACK PREPARED ");
			break;
	}
	if (event->kind >= PEN_EVENT_STREAM_PREPARE)
		put_bytes(out,
				  (ProtobufCBinaryData){boundary.gid.len, unconstify(void *, boundary.gid.data)});
	return NULL;
}

const char *
render_text(pen_narrator *narrator, pen_wire_event *event, pen_wire_buf *out)
{
	switch (event->kind)
	{
		case PEN_EVENT_SESSION:
			return NULL;
		case PEN_EVENT_RELATION:
			return render_relation(narrator, event, out);
		case PEN_EVENT_BEGIN:
			return put(out, "BEGIN"), NULL;
		case PEN_EVENT_COMMIT:
			return put(out, "COMMIT"), NULL;
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
			return render_change(narrator, event, out);
		case PEN_EVENT_TRUNCATE:
			return render_truncate(narrator, event, out);
		case PEN_EVENT_MESSAGE:
			return render_message(narrator, event, out);
		case PEN_EVENT_ORIGIN:
			return render_origin(narrator, event, out);
		case PEN_EVENT_SUB_XACT:
			return put(out, narrator->head.subxid == narrator->head.xid ? "TOP-LEVEL TRANSACTION"
																		: "SUB-TRANSACTION"),
				   NULL;
		default:
			return render_end(narrator, event, out);
	}
}

const Format format_text = {
	.name = "text",
	.native = true,
	.narrate = render_text,
	.begin = native_begin,
	.commit = native_commit,
	.change = native_change,
};
