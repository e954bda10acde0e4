/* json.c -- writes an event as the one JSON object that FORMAT.md specifies.
 * Nothing reaches the buffer unchecked: strings pass through put_string, numbers are printed here
 * or matched against JSON's grammar, and on any error the buffer is as it was. */
#include "json.h"

#include <string.h>

#include "print.h"
#include "shortest.h"

static const char out_of_memory[] = "out of memory";

/* ---- pieces ---- */

#define PUT_LITERAL(buf, literal) pen_wire_append((buf), (literal), sizeof(literal) - 1)

/* Finish: nothing appended when there was an error, or no memory. */
static const char *
finish(pen_wire_buf *buf, size_t start, const char *error)
{
	if (error == NULL && buf->failed)
		error = out_of_memory;
	if (error != NULL)
		buf->len = start;
	return error;
}

static void
put_escape(pen_wire_buf *buf, uint8_t c)
{
	static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[6] = {'\\', 'u', '0', '0', (char) ('0' + (c >> 4)), "0123456789abcdef"[c & 15]};

	for (size_t i = 0; i + 1 < sizeof(short_forms); i += 2)
		if ((uint8_t) short_forms[i] == c)
		{
			text[1] = short_forms[i + 1];
			pen_wire_append(buf, text, 2);
			return;
		}
	pen_wire_append(buf, text, sizeof(text));
}

/* Whether all eight bytes stand for themselves: ASCII, no control character, quote, backslash. */
static inline bool
eight_are_plain(const uint8_t *p)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word;
	uint64_t quote;
	uint64_t backslash;

	memcpy(&word, p, sizeof(word));
	quote = word ^ ones * '"';
	backslash = word ^ ones * '\\';
	return ((word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & ones * 0x80) == 0;
}

/* Returns NULL, or what is wrong; a part may have been appended then. */
static const char *
put_string(pen_wire_buf *buf, const void *data, size_t len)
{
	const uint8_t *p = data;
	const uint8_t *end = len > 0 ? p + len : p;
	const uint8_t *run = p;

	PUT_LITERAL(buf, "\"");
	while (p < end)
	{
		size_t n;

		if (end - p >= 8 && eight_are_plain(p))
		{
			p += 8;
			continue;
		}
		n = pen_utf8_sequence(p, (size_t) (end - p));
		if (n == 0)
			return "a string is not valid UTF-8";
		if (n == 1 && (*p < 0x20 || *p == '"' || *p == '\\'))
		{
			pen_wire_append(buf, run, (size_t) (p - run));
			put_escape(buf, *p);
			run = p + 1;
		}
		p += n;
	}
	pen_wire_append(buf, run, (size_t) (p - run));
	PUT_LITERAL(buf, "\"");
	return NULL;
}

const char *
pen_json_string(pen_wire_buf *buf, const void *data, size_t len)
{
	size_t start = buf->len;

	return finish(buf, start, put_string(buf, data, len));
}

static void
put_unsigned(pen_wire_buf *buf, uint64_t value)
{
	char text[PEN_PRINT_MAX];
	size_t n = 0;

	if (value > INT64_MAX)
	{
		n = pen_print_int(text, (int64_t) (value / 10));
		value %= 10;
	}
	n += pen_print_int(text + n, (int64_t) value);
	pen_wire_append(buf, text, n);
}

static void
put_lsn(pen_wire_buf *buf, uint64_t lsn)
{
	char text[PEN_PRINT_MAX];

	PUT_LITERAL(buf, "\"");
	pen_wire_append(buf, text, pen_print_lsn(text, lsn));
	PUT_LITERAL(buf, "\"");
}

/* ---- values ---- */

/* \x and hex digits, inside quotes; the backslash is escaped. */
static void
put_hex_string(pen_wire_buf *buf, const uint8_t *data, size_t len)
{
	PUT_LITERAL(buf, "\"\\");
	pen_print_hex(buf, data, len);
	PUT_LITERAL(buf, "\"");
}

static size_t
skip_digits(const uint8_t *text, size_t len, size_t i)
{
	while (i < len && text[i] >= '0' && text[i] <= '9')
		i++;
	return i;
}

/* As PostgreSQL prints a finite numeric; every such text is a JSON number. */
static bool
is_plain_number(const uint8_t *text, size_t len)
{
	size_t first = len > 0 && text[0] == '-';
	size_t i = skip_digits(text, len, first);

	if (i == first || (text[first] == '0' && i > first + 1))
		return false;
	if (i < len && text[i] == '.')
	{
		first = i + 1;
		i = skip_digits(text, len, first);
		if (i == first)
			return false;
	}
	return i == len;
}

static void
put_float(pen_wire_buf *buf, const char *text, size_t len)
{
	uint8_t last = (uint8_t) text[len - 1];
	bool finite = last >= '0' && last <= '9';

	if (!finite)
		PUT_LITERAL(buf, "\"");
	pen_wire_append(buf, text, len);
	if (!finite)
		PUT_LITERAL(buf, "\"");
}

/* A text or output value. */
static const char *
put_text(pen_wire_buf *buf, uint32_t base_type_oid, const pen_value *value)
{
	if (value->kind == PEN_VALUE_BYTES)
	{
		PUT_LITERAL(buf, "{\"bytes\":");
		put_hex_string(buf, value->data, value->len);
		PUT_LITERAL(buf, "}");
		return NULL;
	}
	if (base_type_oid == PEN_OID_NUMERIC && is_plain_number(value->data, value->len))
	{
		pen_wire_append(buf, value->data, value->len);
		return NULL;
	}
	return put_string(buf, value->data, value->len);
}

/* Dates, times and uuids: plain ASCII between quotes. */
static void
put_quoted(pen_wire_buf *buf, pen_encoding encoding, const pen_value *value)
{
	char text[PEN_PRINT_MAX + 2];
	size_t n;

	text[0] = '"';
	if (encoding == PEN_ENCODING_DATE)
		n = pen_print_date(text + 1, value->integer);
	else if (encoding == PEN_ENCODING_TIME)
		n = pen_print_time(text + 1, value->integer);
	else if (encoding == PEN_ENCODING_UUID)
		n = pen_print_uuid(text + 1, value->data);
	else
		n = pen_print_timestamp(text + 1, value->integer, PEN_TIME_JSON,
								encoding == PEN_ENCODING_TIMESTAMPTZ);
	text[n + 1] = '"';
	pen_wire_append(buf, text, n + 2);
}

/* Returns NULL, or what is wrong; a part may have been appended then. */
static const char *
put_value(pen_wire_buf *buf, pen_encoding encoding, uint32_t base_type_oid, const pen_value *value)
{
	char text[PEN_PRINT_MAX];
	const char *error;

	if (value->kind == PEN_VALUE_NULL)
	{
		PUT_LITERAL(buf, "null");
		return NULL;
	}
	error = pen_check_value(encoding, base_type_oid, value);
	if (error != NULL)
		return error;
	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			if (value->boolean)
				PUT_LITERAL(buf, "true");
			else
				PUT_LITERAL(buf, "false");
			break;
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
			pen_wire_append(buf, text, pen_print_int(text, value->integer));
			break;
		case PEN_ENCODING_FLOAT4:
			put_float(buf, text, pen_float4_text(text, value->float4));
			break;
		case PEN_ENCODING_FLOAT8:
			put_float(buf, text, pen_float8_text(text, value->float8));
			break;
		case PEN_ENCODING_TEXT:
		case PEN_ENCODING_OUTPUT:
			return put_text(buf, base_type_oid, value);
		case PEN_ENCODING_BYTEA:
			put_hex_string(buf, value->data, value->len);
			break;
		case PEN_ENCODING_BINARY:
			PUT_LITERAL(buf, "{\"binary\":");
			put_hex_string(buf, value->data, value->len);
			PUT_LITERAL(buf, "}");
			break;
		default:
			put_quoted(buf, encoding, value);
	}
	return NULL;
}

const char *
pen_json_value(pen_wire_buf *buf, pen_encoding encoding, uint32_t base_type_oid,
			   const pen_value *value)
{
	size_t start = buf->len;

	return finish(buf, start, put_value(buf, encoding, base_type_oid, value));
}

/* ---- rows ---- */

typedef enum row_part
{
	WHOLE_ROW,       /* no value may be unchanged */
	UNCHANGED_ASIDE, /* the same, without the unchanged ones */
	IDENTITY_ONLY    /* the identity columns */
} row_part;

/* ,"label":{"name":value,…} and how many values were unchanged. */
static const char *
put_row(pen_wire_buf *buf, const char *label, size_t label_len, const pen_json_relation *relation,
		const pen_tuple *tuple, row_part part, uint32_t *unchanged)
{
	pen_wire_reader reader;
	const char *error;
	bool first = true;

	*unchanged = 0;
	pen_wire_append(buf, label, label_len);
	pen_wire_tuple_reader(&reader, tuple);
	for (uint32_t i = 0; i < relation->column_count; i++)
	{
		pen_json_column column;
		pen_value value;

		relation->describe(relation->columns, i, &column);
		if (part == IDENTITY_ONLY && !column.identity)
			continue;
		if (!pen_wire_read_value(&reader, &value))
			return reader.error != NULL ? reader.error : "a row has too few values";
		if (value.kind == PEN_VALUE_UNCHANGED && part == UNCHANGED_ASIDE)
		{
			(*unchanged)++;
			continue;
		}
		if (!first)
			PUT_LITERAL(buf, ",");
		first = false;
		error = put_string(buf, column.name, strlen(column.name));
		if (error != NULL)
			return error;
		PUT_LITERAL(buf, ":");
		error = put_value(buf, column.encoding, column.base_type_oid, &value);
		if (error != NULL)
			return error;
	}
	PUT_LITERAL(buf, "}");
	return pen_wire_more(&reader) ? "a row has too many values" : reader.error;
}

/* ,"unchanged":["name",…]; the row has been read once already. */
static const char *
put_unchanged(pen_wire_buf *buf, const pen_json_relation *relation, const pen_tuple *tuple)
{
	pen_wire_reader reader;
	pen_value value;
	bool first = true;

	PUT_LITERAL(buf, ",\"unchanged\":[");
	pen_wire_tuple_reader(&reader, tuple);
	for (uint32_t i = 0; pen_wire_read_value(&reader, &value); i++)
	{
		pen_json_column column;
		const char *error;

		if (value.kind != PEN_VALUE_UNCHANGED)
			continue;
		relation->describe(relation->columns, i, &column);
		if (!first)
			PUT_LITERAL(buf, ",");
		first = false;
		error = put_string(buf, column.name, strlen(column.name));
		if (error != NULL)
			return error;
	}
	PUT_LITERAL(buf, "]");
	return NULL;
}

/* ---- objects ---- */

static void
put_member(pen_wire_buf *buf, const char *name)
{
	PUT_LITERAL(buf, ",\"");
	pen_wire_append(buf, name, strlen(name));
	PUT_LITERAL(buf, "\":");
}

static void
put_number_member(pen_wire_buf *buf, const char *name, uint64_t value)
{
	put_member(buf, name);
	put_unsigned(buf, value);
}

static void
put_lsn_member(pen_wire_buf *buf, const char *name, uint64_t lsn)
{
	put_member(buf, name);
	put_lsn(buf, lsn);
}

static void
put_truth_member(pen_wire_buf *buf, const char *name, bool value)
{
	put_member(buf, name);
	if (value)
		PUT_LITERAL(buf, "true");
	else
		PUT_LITERAL(buf, "false");
}

static const char *
put_text_member(pen_wire_buf *buf, const char *name, const char *text)
{
	put_member(buf, name);
	return put_string(buf, text, strlen(text));
}

static const char *
put_time_member(pen_wire_buf *buf, const char *name, int64_t time)
{
	char text[PEN_PRINT_MAX];
	size_t n = pen_print_moment(text, time);

	if (n == 0)
		return "a commit time is out of range";
	put_member(buf, name);
	PUT_LITERAL(buf, "\"");
	pen_wire_append(buf, text, n);
	PUT_LITERAL(buf, "\"");
	return NULL;
}

/* A string where the bytes can be one, which a NUL cannot; else {"bytes":…}. */
static const char *
put_bytes_member(pen_wire_buf *buf, const char *name, pen_json_bytes bytes)
{
	put_member(buf, name);
	if (bytes.len == 0 ||
		(memchr(bytes.data, 0, bytes.len) == NULL && pen_utf8_valid(bytes.data, bytes.len)))
		return put_string(buf, bytes.data, bytes.len);
	PUT_LITERAL(buf, "{\"bytes\":");
	put_hex_string(buf, bytes.data, bytes.len);
	PUT_LITERAL(buf, "}");
	return NULL;
}

static void
put_op(pen_wire_buf *buf, const char *op)
{
	PUT_LITERAL(buf, "{\"op\":\"");
	pen_wire_append(buf, op, strlen(op));
	PUT_LITERAL(buf, "\"");
}

/* {"op":…,"xid":…,"lsn":…,"time":… and for changes "seq":…; streamed: {"op":…,"xid":…,"subxid":… */
static const char *
put_head(pen_wire_buf *buf, const char *op, const pen_json_head *head, bool sequence)
{
	put_op(buf, op);
	put_number_member(buf, "xid", head->xid);
	if (head->streamed)
	{
		if (head->subxid != 0 && head->subxid != head->xid)
			put_number_member(buf, "subxid", head->subxid);
		return NULL;
	}
	put_lsn_member(buf, "lsn", head->commit_lsn);
	if (sequence)
	{
		const char *error = put_time_member(buf, "time", head->commit_time);

		put_number_member(buf, "seq", head->sequence);
		return error;
	}
	return put_time_member(buf, "time", head->commit_time);
}

const char *
pen_json_begin(pen_wire_buf *buf, const pen_json_head *head)
{
	size_t start = buf->len;
	const char *error = put_head(buf, "begin", head, false);

	PUT_LITERAL(buf, "}");
	return finish(buf, start, error);
}

const char *
pen_json_commit(pen_wire_buf *buf, const pen_json_head *head, uint64_t end_lsn)
{
	size_t start = buf->len;
	const char *error = put_head(buf, "commit", head, false);

	put_lsn_member(buf, "end_lsn", end_lsn);
	PUT_LITERAL(buf, "}");
	return finish(buf, start, error);
}

static const char *
put_table(pen_wire_buf *buf, const char *schema, const char *name)
{
	const char *error;

	PUT_LITERAL(buf, "\"schema\":");
	error = put_string(buf, schema, strlen(schema));
	if (error != NULL)
		return error;
	PUT_LITERAL(buf, ",\"table\":");
	return put_string(buf, name, strlen(name));
}

static const char *
put_change(pen_wire_buf *buf, const pen_json_head *head, const pen_json_relation *relation,
		   const pen_json_change *change)
{
	static const char label_new[] = ",\"new\":{";
	static const char label_key[] = ",\"key\":{";
	static const char label_old[] = ",\"old\":{";
	const char *op = change->kind == PEN_EVENT_INSERT   ? "insert"
					 : change->kind == PEN_EVENT_UPDATE ? "update"
														: "delete";
	uint32_t unchanged = 0;
	const char *error = put_head(buf, op, head, true);

	if (error != NULL)
		return error;
	PUT_LITERAL(buf, ",");
	error = put_table(buf, relation->schema, relation->name);
	if (error == NULL && change->kind != PEN_EVENT_DELETE)
		error = put_row(buf, label_new, sizeof(label_new) - 1, relation, &change->new_tuple,
						change->kind == PEN_EVENT_UPDATE ? UNCHANGED_ASIDE : WHOLE_ROW, &unchanged);
	if (error == NULL && unchanged > 0)
		error = put_unchanged(buf, relation, &change->new_tuple);
	if (error == NULL && change->key.len > 0)
		error = put_row(buf, label_key, sizeof(label_key) - 1, relation, &change->key,
						IDENTITY_ONLY, &unchanged);
	if (error == NULL && change->old.len > 0)
		error = put_row(buf, label_old, sizeof(label_old) - 1, relation, &change->old, WHOLE_ROW,
						&unchanged);
	PUT_LITERAL(buf, "}");
	return error;
}

const char *
pen_json_write_change(pen_wire_buf *buf, const pen_json_head *head,
					  const pen_json_relation *relation, const pen_json_change *change)
{
	size_t start = buf->len;
	const char *error;

	if (change->kind != PEN_EVENT_INSERT && change->kind != PEN_EVENT_UPDATE &&
		change->kind != PEN_EVENT_DELETE)
		return "an event is not a row change";
	if (change->key.len > 0 && change->old.len > 0)
		return "a change has both a key and an old row";
	error = put_change(buf, head, relation, change);
	return finish(buf, start, error);
}

const char *
pen_json_truncate_begin(pen_wire_buf *buf, const pen_json_head *head)
{
	size_t start = buf->len;
	const char *error = put_head(buf, "truncate", head, true);

	PUT_LITERAL(buf, ",\"tables\":[");
	return finish(buf, start, error);
}

const char *
pen_json_truncate_table(pen_wire_buf *buf, const char *schema, const char *name)
{
	size_t start = buf->len;
	const char *error;

	if (start > 0 && buf->data[start - 1] != '[')
		PUT_LITERAL(buf, ",");
	PUT_LITERAL(buf, "{");
	error = put_table(buf, schema, name);
	PUT_LITERAL(buf, "}");
	return finish(buf, start, error);
}

const char *
pen_json_truncate_end(pen_wire_buf *buf, bool cascade, bool restart_identity)
{
	size_t start = buf->len;

	PUT_LITERAL(buf, "]");
	put_truth_member(buf, "cascade", cascade);
	put_truth_member(buf, "restart_identity", restart_identity);
	PUT_LITERAL(buf, "}");
	return finish(buf, start, NULL);
}

/* ---- tables ---- */

/* {"name":…,…}: what is not so, as a position in no key, is left out. */
static const char *
put_column(pen_wire_buf *buf, const pen_json_relation *relation, uint32_t index)
{
	pen_json_column column;
	pen_json_type type;
	const char *error;

	relation->describe(relation->columns, index, &column);
	relation->describe_type(relation->columns, index, &type);
	PUT_LITERAL(buf, "{\"name\":");
	error = put_string(buf, column.name, strlen(column.name));
	if (error == NULL)
		error = put_text_member(buf, "type", type.name);
	if (error == NULL)
		error = put_text_member(buf, "type_schema", type.schema);
	put_number_member(buf, "type_oid", type.oid);
	if (column.base_type_oid != type.oid)
		put_number_member(buf, "base_type_oid", column.base_type_oid);
	if (type.typmod >= 0)
		put_number_member(buf, "typmod", (uint64_t) type.typmod);
	put_number_member(buf, "attnum", type.attnum);
	put_truth_member(buf, "not_null", type.not_null);
	if (type.primary_key != 0)
		put_number_member(buf, "primary_key", type.primary_key);
	if (type.identity != 0)
		put_number_member(buf, "identity", type.identity);
	if (type.generated)
		put_truth_member(buf, "generated", true);
	PUT_LITERAL(buf, "}");
	return error;
}

const char *
pen_json_write_relation(pen_wire_buf *buf, const pen_json_relation *relation)
{
	size_t start = buf->len;
	const char *error;

	put_op(buf, "relation");
	PUT_LITERAL(buf, ",");
	error = put_table(buf, relation->schema, relation->name);
	put_number_member(buf, "oid", relation->oid);
	put_truth_member(buf, "partitioned", relation->partitioned);
	if (error == NULL)
		error = put_text_member(buf, "replica_identity", relation->replica_identity);
	put_member(buf, "columns");
	PUT_LITERAL(buf, "[");
	for (uint32_t i = 0; error == NULL && i < relation->column_count; i++)
	{
		if (i > 0)
			PUT_LITERAL(buf, ",");
		error = put_column(buf, relation, i);
	}
	PUT_LITERAL(buf, "]}");
	return finish(buf, start, error);
}

/* ---- messages, origins, streams, prepared transactions ---- */

const char *
pen_json_write_message(pen_wire_buf *buf, const pen_json_message *message)
{
	size_t start = buf->len;
	const char *error = NULL;

	if (message->head != NULL)
		error = put_head(buf, "message", message->head, true);
	else
		put_op(buf, "message");
	put_lsn_member(buf, "message_lsn", message->lsn);
	put_truth_member(buf, "transactional", message->head != NULL);
	if (error == NULL)
		error = put_bytes_member(buf, "prefix", message->prefix);
	if (error == NULL)
		error = put_bytes_member(buf, "content", message->content);
	PUT_LITERAL(buf, "}");
	return finish(buf, start, error);
}

const char *
pen_json_write_origin(pen_wire_buf *buf, const pen_json_head *head, pen_json_bytes name,
					  uint64_t origin_lsn)
{
	size_t start = buf->len;
	const char *error = put_head(buf, "origin", head, false);

	if (error == NULL)
		error = put_bytes_member(buf, "name", name);
	if (!head->streamed)
		put_lsn_member(buf, "origin_lsn", origin_lsn);
	PUT_LITERAL(buf, "}");
	return finish(buf, start, error);
}

/* The part that ends of all kinds but those of a stream's parts have. */
static const char *
put_record(pen_wire_buf *buf, pen_event_kind kind, const pen_json_boundary *boundary)
{
	const char *error = NULL;

	if (kind != PEN_EVENT_STREAM_COMMIT)
		error = put_bytes_member(buf, "gid", boundary->gid);
	if (kind == PEN_EVENT_ROLLBACK_PREPARED)
		put_lsn_member(buf, "prepare_end_lsn", boundary->prepare_end_lsn);
	else
		put_lsn_member(buf, "lsn", boundary->lsn);
	if (error == NULL && kind == PEN_EVENT_ROLLBACK_PREPARED)
		error = put_time_member(buf, "prepare_time", boundary->prepare_time);
	if (error == NULL)
		error = put_time_member(buf, "time", boundary->time);
	put_lsn_member(buf, "end_lsn", boundary->end_lsn);
	return error;
}

static const char *
boundary_op(pen_event_kind kind)
{
	switch (kind)
	{
		case PEN_EVENT_STREAM_START:
			return "stream_start";
		case PEN_EVENT_STREAM_STOP:
			return "stream_stop";
		case PEN_EVENT_STREAM_ABORT:
			return "stream_abort";
		case PEN_EVENT_STREAM_COMMIT:
			return "stream_commit";
		case PEN_EVENT_STREAM_PREPARE:
			return "stream_prepare";
		case PEN_EVENT_BEGIN_PREPARE:
			return "begin_prepare";
		case PEN_EVENT_PREPARE:
			return "prepare";
		case PEN_EVENT_COMMIT_PREPARED:
			return "commit_prepared";
		case PEN_EVENT_ROLLBACK_PREPARED:
			return "rollback_prepared";
		default:
			return NULL;
	}
}

const char *
pen_json_write_boundary(pen_wire_buf *buf, pen_event_kind kind, const pen_json_boundary *boundary)
{
	size_t start = buf->len;
	const char *op = boundary_op(kind);
	const char *error = NULL;

	if (op == NULL)
		return "an event is not the begin or end of a part of a transaction";
	put_op(buf, op);
	put_number_member(buf, "xid", boundary->xid);
	if (kind == PEN_EVENT_STREAM_START)
		put_truth_member(buf, "first", boundary->first);
	else if (kind == PEN_EVENT_STREAM_ABORT)
		put_number_member(buf, "subxid", boundary->subxid);
	else if (kind != PEN_EVENT_STREAM_STOP)
		error = put_record(buf, kind, boundary);
	PUT_LITERAL(buf, "}");
	return finish(buf, start, error);
}
