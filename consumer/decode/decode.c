/* decode.c -- bytes to events: the protocol state of one stream.
 * Every value of a row is known to fit its column before the row leaves here. */
#include "decode/decode.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "decode/schema.h"
#include "event/relation.h"
#include "narrate.h"
#include "penstock.pb-c.h"
#include "print.h"
#include "types.h"

struct pen_decoder
{
	pen_schema schema;
	Penstock__V1__Session *session; /* NULL: none yet; its strings are lent out */
	penstock_transaction transaction;
	pen_narrator narrator; /* its head is that of the open transaction or part */
	ProtobufCAllocator allocator;
	pen_arena unpacked; /* what the narrator allocates for the present event */
	const penstock_relation **truncated;
	size_t truncated_size;
	pen_json_boundary boundary;
	bool defer_streams;
};

static void *
allocate(void *arena, size_t size)
{
	return pen_arena_alloc(arena, size);
}

/* The arena goes as a whole. */
static void
release(void *arena, void *pointer)
{
	(void) arena;
	(void) pointer;
}

pen_decoder *
pen_decoder_new(void)
{
	pen_decoder *decoder = calloc(1, sizeof(*decoder));

	if (decoder == NULL)
		return NULL;
	decoder->allocator = (ProtobufCAllocator){allocate, release, &decoder->unpacked};
	decoder->narrator.allocator = &decoder->allocator;
	return decoder;
}

void
pen_decoder_reset(pen_decoder *decoder)
{
	pen_schema_reset(&decoder->schema);
	penstock__v1__session__free_unpacked(decoder->session, NULL);
	decoder->session = NULL;
	decoder->narrator.in_transaction = false;
	pen_arena_reset(&decoder->unpacked);
}

void
pen_decoder_free(pen_decoder *decoder)
{
	if (decoder == NULL)
		return;
	pen_decoder_reset(decoder);
	free(decoder->truncated);
	free(decoder);
}

void
pen_decoder_resume(pen_decoder *decoder, const penstock_transaction *transaction)
{
	decoder->transaction = *transaction;
	decoder->transaction.gid = NULL; /* borrowed; nobody here asks for it */
	decoder->narrator.in_transaction = true;
	decoder->narrator.begun_by =
		transaction->gid != NULL ? PEN_EVENT_BEGIN_PREPARE : PEN_EVENT_BEGIN;
	decoder->narrator.head = (pen_json_head){.xid = transaction->xid,
											 .commit_lsn = transaction->commit_lsn,
											 .commit_time = transaction->commit_time};
}

bool
pen_decoder_in_transaction(const pen_decoder *decoder)
{
	return decoder->narrator.in_transaction;
}

void
pen_decoder_defer_streams(pen_decoder *decoder)
{
	decoder->defer_streams = true;
}

pen_narrator *
pen_decoder_narrator(pen_decoder *decoder)
{
	return &decoder->narrator;
}

/* ---- events without rows ---- */

static penstock_status
decode_session(pen_decoder *decoder, const pen_wire_event *wire, pen_decoded *out, pen_error *error)
{
	Penstock__V1__Session *session;

	if (wire->body_len > PEN_DECODER_DESCRIPTION_LEN_MAX)
		return pen_error_set(error, PENSTOCK_E_DATA, "a session event is %zu bytes long",
							 wire->body_len);
	session = penstock__v1__session__unpack(NULL, wire->body_len, wire->body);
	if (session == NULL)
		return pen_error_set(error, PENSTOCK_E_DATA, "a session event is damaged");
	pen_decoder_reset(decoder);
	if (session->protocol_version < PEN_PROTOCOL_VERSION_MIN ||
		session->protocol_version > PEN_PROTOCOL_VERSION_MAX)
	{
		pen_error_set(error, PENSTOCK_E_DATA,
					  "the stream is in protocol version %u, this program reads %d to %d: "
					  "update the older of plugin and program",
					  session->protocol_version, PEN_PROTOCOL_VERSION_MIN,
					  PEN_PROTOCOL_VERSION_MAX);
		penstock__v1__session__free_unpacked(session, NULL);
		return PENSTOCK_E_DATA;
	}
	decoder->session = session;
	out->session = (pen_session_info){session->protocol_version, session->server_version,
									  session->server_encoding, session->plugin_version};
	return PENSTOCK_OK;
}

static penstock_status
decode_begin(pen_decoder *decoder, const pen_wire_event *wire, pen_decoded *out, pen_error *error)
{
	if (decoder->narrator.in_transaction)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "transaction %u begins inside of transaction %u", wire->begin.xid,
							 decoder->transaction.xid);
	decoder->transaction = (penstock_transaction){.xid = wire->begin.xid,
												  .commit_lsn = wire->begin.commit_lsn,
												  .commit_time = wire->begin.commit_time};
	out->event.kind = PENSTOCK_BEGIN;
	return PENSTOCK_OK;
}

static penstock_status
decode_commit(pen_decoder *decoder, const pen_wire_event *wire, pen_decoded *out, pen_error *error)
{
	if (wire->commit.commit_lsn != decoder->transaction.commit_lsn ||
		wire->commit.end_lsn <= wire->commit.commit_lsn)
		return pen_error_set(
			error, PENSTOCK_E_DATA,
			"the commit of transaction %u says LSN %X/%X to %X/%X, its begin %X/%X",
			decoder->transaction.xid, (uint32_t) (wire->commit.commit_lsn >> 32),
			(uint32_t) wire->commit.commit_lsn, (uint32_t) (wire->commit.end_lsn >> 32),
			(uint32_t) wire->commit.end_lsn, (uint32_t) (decoder->transaction.commit_lsn >> 32),
			(uint32_t) decoder->transaction.commit_lsn);
	decoder->transaction.end_lsn = wire->commit.end_lsn;
	decoder->transaction.commit_time = wire->commit.commit_time;
	out->event.kind = PENSTOCK_COMMIT;
	return PENSTOCK_OK;
}

static penstock_status
decode_truncate(pen_decoder *decoder, pen_wire_event *wire, pen_decoded *out, pen_error *error)
{
	size_t count = 0;
	uint64_t number;

	if (wire->truncate.count == 0 || wire->truncate.count > PEN_DECODER_NUMBER_MAX)
		return pen_error_set(error, PENSTOCK_E_DATA, "a truncate names %u tables",
							 wire->truncate.count);
	if (wire->truncate.count > decoder->truncated_size)
	{
		const penstock_relation **larger =
			realloc(decoder->truncated, wire->truncate.count * sizeof(*larger));

		if (larger == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a truncate");
		decoder->truncated = larger;
		decoder->truncated_size = wire->truncate.count;
	}
	while (pen_wire_more(&wire->truncate.relations) &&
		   pen_wire_read_varint(&wire->truncate.relations, &number))
	{
		const pen_schema_entry *entry = pen_schema_find(&decoder->schema, (uint32_t) number);

		if (entry == NULL)
			return pen_error_set(error, PENSTOCK_E_DATA,
								 "a truncate names relation number %u, which was not described",
								 (uint32_t) number);
		decoder->truncated[count++] = entry->relation;
	}
	out->event.kind = PENSTOCK_TRUNCATE;
	out->event.relations = decoder->truncated;
	out->event.relation_count = (uint32_t) count;
	out->event.cascade = wire->truncate.cascade;
	out->event.restart_identity = wire->truncate.restart_identity;
	return PENSTOCK_OK;
}

/* Of a part of a stream, or of a prepared transaction. */
static penstock_status
decode_boundary(pen_decoder *decoder, pen_decoded *out, pen_error *error)
{
	const char *wrong = pen_narrate_boundary(&decoder->narrator, &out->wire, &decoder->boundary);

	if (wrong != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA, "%s", wrong);
	out->boundary = &decoder->boundary;
	return PENSTOCK_OK;
}

/* ---- rows ---- */

static penstock_status
bad_row(const pen_schema_entry *entry, const char *column, const char *what, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_DATA, "a row of table %s.%s%s%s: %s",
						 entry->relation->schema, entry->relation->name,
						 column != NULL ? ", column " : "", column != NULL ? column : "", what);
}

/* One pass over the Values of a tuple, which is there. */
static penstock_status
check_tuple(const pen_schema_entry *entry, const pen_tuple *tuple, bool identity_only,
			bool may_be_unchanged, penstock_row *row, pen_error *error)
{
	const penstock_relation *relation = entry->relation;
	uint32_t expected = identity_only ? entry->identity_count : (uint32_t) relation->column_count;
	const penstock_column *column = relation->columns;
	pen_wire_reader reader;
	pen_value value;

	if (tuple->count != expected)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a row of table %s.%s has %u values where %u belong", relation->schema,
							 relation->name, tuple->count, expected);
	pen_wire_tuple_reader(&reader, tuple);
	for (; pen_wire_read_value(&reader, &value); column++)
	{
		const char *wrong;

		while (identity_only && column->identity == 0)
			column++;
		if (value.kind == PEN_VALUE_NULL)
			continue;
		if (value.kind == PEN_VALUE_UNCHANGED)
			wrong = may_be_unchanged ? NULL : "an unchanged value where none can be";
		else
			wrong = pen_check_value((pen_encoding) column->encoding, column->base_type_oid, &value);
		if (wrong != NULL)
			return bad_row(entry, column->name, wrong, error);
	}
	*row = (penstock_row){relation, tuple->data, tuple->len, identity_only};
	return PENSTOCK_OK;
}

static penstock_status
decode_change(pen_decoder *decoder, const pen_wire_event *wire, pen_decoded *out, pen_error *error)
{
	const pen_schema_entry *entry = pen_schema_find(&decoder->schema, wire->change.relation);
	bool is_update = wire->kind == PEN_EVENT_UPDATE;
	penstock_status status = PENSTOCK_OK;

	if (entry == NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a row is of relation number %u, which was not described",
							 wire->change.relation);
	out->event.relation = entry->relation;
	out->event.kind = wire->kind == PEN_EVENT_INSERT ? PENSTOCK_INSERT
					  : is_update                    ? PENSTOCK_UPDATE
													 : PENSTOCK_DELETE;
	if (wire->kind != PEN_EVENT_DELETE)
		status = check_tuple(entry, &wire->change.new_tuple, false, is_update, &out->event.new_row,
							 error);
	else if (wire->change.key.count + wire->change.old.count == 0 && entry->identity_count > 0)
		return bad_row(entry, NULL, "a delete has neither key nor old row", error);
	if (status >= 0 && wire->change.key.len > 0)
		status = check_tuple(entry, &wire->change.key, true, false, &out->event.old_row, error);
	if (status >= 0 && wire->change.old.len > 0)
		status = check_tuple(entry, &wire->change.old, false, false, &out->event.old_row, error);
	return status;
}

/* ---- any event ---- */

static bool
is_change(pen_event_kind kind)
{
	return kind >= PEN_EVENT_INSERT && kind <= PEN_EVENT_TRUNCATE;
}

static penstock_status
check_order(const pen_decoder *decoder, pen_event_kind kind, pen_error *error)
{
	if (kind == PEN_EVENT_SESSION)
		return PENSTOCK_OK;
	if (decoder->session == NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "the stream does not begin with a session event: its start is "
							 "missing, or it was not written by the plugin penstock");
	if (is_change(kind) || kind == PEN_EVENT_COMMIT)
		if (!decoder->narrator.in_transaction)
			return pen_error_set(error, PENSTOCK_E_DATA, "a %s stands outside of a transaction",
								 kind == PEN_EVENT_COMMIT ? "commit" : "change");
	return PENSTOCK_OK;
}

/* What is in the event; its place in the stream has been looked at, but for begin and commit. */
static penstock_status
decode_content(pen_decoder *decoder, pen_decoded *out, pen_error *error)
{
	switch (out->kind)
	{
		case PEN_EVENT_SESSION:
			return decode_session(decoder, &out->wire, out, error);
		case PEN_EVENT_BEGIN:
			return decode_begin(decoder, &out->wire, out, error);
		case PEN_EVENT_COMMIT:
			return decode_commit(decoder, &out->wire, out, error);
		case PEN_EVENT_RELATION:
			return pen_schema_add(&decoder->schema, out->wire.body, out->wire.body_len,
								  &out->event.relation, error);
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
			return decode_change(decoder, &out->wire, out, error);
		case PEN_EVENT_TRUNCATE:
		{
			pen_wire_event wire = out->wire; /* reading it consumes it */

			return decode_truncate(decoder, &wire, out, error);
		}
		case PEN_EVENT_MESSAGE:
		case PEN_EVENT_ORIGIN:
		case PEN_EVENT_SUB_XACT:
			return PENSTOCK_OK;
		default:
			return decode_boundary(decoder, out, error);
	}
}

static bool
is_deferred(const pen_decoder *decoder, pen_event_kind kind)
{
	return decoder->defer_streams && is_change(kind) && decoder->narrator.in_transaction &&
		   decoder->narrator.begun_by == PEN_EVENT_STREAM_START;
}

/* Follow the stream: streamed and prepared transactions are known by their xid at least. */
static penstock_status
follow(pen_decoder *decoder, pen_decoded *out, pen_error *error)
{
	const pen_json_head *head = &decoder->narrator.head;
	const char *wrong = pen_narrate_follow(&decoder->narrator, &out->wire);

	if (wrong != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA, "%s", wrong);
	if (out->kind == PEN_EVENT_BEGIN_PREPARE || out->kind == PEN_EVENT_STREAM_START)
		decoder->transaction = (penstock_transaction){
			.xid = head->xid, .commit_lsn = head->commit_lsn, .commit_time = head->commit_time};
	out->event.sequence = is_change(out->kind) ? head->sequence : 0;
	return PENSTOCK_OK;
}

penstock_status
pen_decode_event(pen_decoder *decoder, pen_wire_reader *reader, pen_decoded *out, pen_error *error)
{
	const uint8_t *start = reader->pos;
	pen_wire_event wire;
	penstock_status status;

	pen_arena_reset(&decoder->unpacked);
	if (!pen_wire_read_event(reader, &wire))
		return pen_error_set(error, PENSTOCK_E_DATA, "damaged input: %s",
							 reader->error != NULL ? reader->error : "an event is cut off");
	status = check_order(decoder, wire.kind, error);
	if (status < 0)
		return status;
	*out = (pen_decoded){.kind = wire.kind,
						 .event.transaction = &decoder->transaction,
						 .wire = wire,
						 .bytes = start,
						 .len = (size_t) (reader->pos - start)};
	if (!is_deferred(decoder, wire.kind))
		status = decode_content(decoder, out, error);
	return status < 0 ? status : follow(decoder, out, error);
}

penstock_status
pen_decode_kept(pen_decoder *decoder, pen_wire_reader *reader, pen_decoded *out, pen_error *error)
{
	pen_wire_event wire;

	if (!pen_wire_read_event(reader, &wire))
		return pen_error_set(error, PENSTOCK_E_DATA, "damaged input: %s",
							 reader->error != NULL ? reader->error : "an event is cut off");
	if (!is_change(wire.kind) && wire.kind != PEN_EVENT_SUB_XACT)
		return pen_error_set(error, PENSTOCK_E_DATA, "events of kind %d are not kept",
							 (int) wire.kind);
	*out = (pen_decoded){.kind = wire.kind, .wire = wire};
	return decode_content(decoder, out, error);
}
