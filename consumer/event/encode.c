/* encode.c -- chunks as bytes again.
 * Rows are copied as they stand; relations get numbers of their own, since those of the stream
 * begin anew with each session. */
#include "event/encode.h"

#include <stdlib.h>
#include <string.h>

#include "event/relation.h"
#include "penstock.pb-c.h"

typedef struct slot
{
	const penstock_relation *relation; /* with a reference: its address is not used again */
	uint32_t number;
} slot;

struct pen_encoder
{
	slot *slots; /* a hash table by address, at most half full */
	size_t size; /* a power of two, or 0 */
	uint32_t count;
	bool begun; /* something was written since the reset */
};

pen_encoder *
pen_encoder_new(void)
{
	return calloc(1, sizeof(pen_encoder));
}

void
pen_encoder_reset(pen_encoder *encoder)
{
	for (size_t i = 0; i < encoder->size; i++)
		pen_relation_unref(encoder->slots[i].relation);
	free(encoder->slots);
	*encoder = (pen_encoder){0};
}

void
pen_encoder_free(pen_encoder *encoder)
{
	if (encoder == NULL)
		return;
	pen_encoder_reset(encoder);
	free(encoder);
}

/* ---- relations ---- */

static slot *
find_slot(slot *slots, size_t size, const penstock_relation *relation)
{
	size_t at = (size_t) (((uintptr_t) relation >> 4) * 0x9E3779B97F4A7C15u >> 20) & (size - 1);

	while (slots[at].relation != NULL && slots[at].relation != relation)
		at = (at + 1) & (size - 1);
	return &slots[at];
}

static bool
grow_slots(pen_encoder *encoder)
{
	size_t size = encoder->size == 0 ? 16 : encoder->size * 2;
	slot *slots;

	if (encoder->count * 2 < encoder->size)
		return true;
	slots = calloc(size, sizeof(*slots));
	if (slots == NULL)
		return false;
	for (size_t i = 0; i < encoder->size; i++)
		if (encoder->slots[i].relation != NULL)
			*find_slot(slots, size, encoder->slots[i].relation) = encoder->slots[i];
	free(encoder->slots);
	encoder->slots = slots;
	encoder->size = size;
	return true;
}

static int
identity_of(char replica_identity)
{
	switch (replica_identity)
	{
		case 'n':
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_NOTHING;
		case 'f':
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_FULL;
		case 'i':
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_INDEX;
		default:
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_DEFAULT;
	}
}

static void
describe_column(const penstock_column *column, Penstock__V1__Column *message)
{
	penstock__v1__column__init(message);
	message->name = (char *) column->name;
	message->attnum = (uint32_t) column->attnum;
	message->type_oid = column->type_oid;
	message->type_schema = (char *) column->type_schema;
	message->type_name = (char *) column->type_name;
	message->typmod = column->typmod;
	message->base_type_oid = column->base_type_oid;
	message->not_null = column->not_null;
	message->primary_key = (uint32_t) column->primary_key;
	message->identity = (uint32_t) column->identity;
	message->generated = column->generated ? PENSTOCK__V1__COLUMN__GENERATED__GENERATED_STORED
										   : PENSTOCK__V1__COLUMN__GENERATED__GENERATED_NEVER;
	message->encoding = (Penstock__V1__Encoding) column->encoding;
}

static bool
write_packed(pen_wire_buf *buf, pen_event_kind kind, const ProtobufCMessage *message)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *body = malloc(len + 1);

	if (body == NULL)
		return false;
	protobuf_c_message_pack(message, body);
	pen_wire_write_packed(buf, kind, body, len);
	free(body);
	return !buf->failed;
}

static bool
write_relation(pen_wire_buf *buf, const penstock_relation *relation, uint32_t number)
{
	Penstock__V1__Relation message = PENSTOCK__V1__RELATION__INIT;
	size_t count = (size_t) relation->column_count;
	Penstock__V1__Column *columns = calloc(count + 1, sizeof(*columns));
	Penstock__V1__Column **pointers = calloc(count + 1, sizeof(*pointers));
	bool ok = columns != NULL && pointers != NULL;

	for (size_t i = 0; ok && i < count; i++)
	{
		describe_column(&relation->columns[i], &columns[i]);
		pointers[i] = &columns[i];
	}
	message.number = number;
	message.oid = relation->oid;
	message.schema = (char *) relation->schema;
	message.name = (char *) relation->name;
	message.kind = PENSTOCK__V1__RELATION__KIND__KIND_TABLE;
	message.replica_identity =
		(Penstock__V1__Relation__ReplicaIdentity) identity_of(relation->replica_identity);
	message.n_columns = count;
	message.columns = pointers;
	ok = ok && write_packed(buf, PEN_EVENT_RELATION, &message.base);
	free(columns);
	free(pointers);
	return ok;
}

/* The relation's number here; it is described if it was not yet. 0 without memory. */
static uint32_t
number_of(pen_encoder *encoder, const penstock_relation *relation, pen_wire_buf *buf)
{
	slot *at;

	if (!grow_slots(encoder))
		return 0;
	at = find_slot(encoder->slots, encoder->size, relation);
	if (at->relation == NULL)
	{
		if (!write_relation(buf, relation, encoder->count + 1))
			return 0;
		*at = (slot){pen_relation_ref(relation), ++encoder->count};
	}
	return at->number;
}

/* ---- the head ---- */

static bool
is_change(penstock_event_kind kind)
{
	return kind >= PENSTOCK_INSERT && kind <= PENSTOCK_TRUNCATE;
}

/* Does the event stand in a transaction that has begun before it? */
static bool
is_within(penstock_event_kind kind)
{
	return is_change(kind) || kind == PENSTOCK_COMMIT || kind == PENSTOCK_PREPARE;
}

/* Write the runs, or with buf NULL only count them. */
static uint64_t
write_runs(const pen_chunk *chunk, pen_wire_buf *buf)
{
	uint64_t expected = 0;
	uint64_t number = 0;
	uint64_t count = 0;

	for (size_t i = 0; i < chunk->count; i++)
	{
		if (!is_change(chunk->events[i].kind))
			continue;
		if (chunk->events[i].sequence != expected || number == 0)
		{
			count++;
			if (buf != NULL)
			{
				pen_wire_write_varint(buf, number);
				pen_wire_write_varint(buf, chunk->events[i].sequence);
			}
		}
		expected = chunk->events[i].sequence + 1;
		number++;
	}
	return count;
}

static void
write_head(const pen_encoder *encoder, const pen_chunk *chunk, pen_wire_buf *buf)
{
	bool continues = is_within(chunk->events[0].kind);
	uint8_t start[2] = {PEN_RECORD_VERSION, 0};

	start[1] = (uint8_t) ((encoder->begun ? 0 : PEN_RECORD_FRESH) |
						  (continues ? PEN_RECORD_CONTINUES : 0));
	pen_wire_append(buf, start, sizeof(start));
	pen_wire_write_varint(buf, write_runs(chunk, NULL));
	(void) write_runs(chunk, buf);
	if (continues)
	{
		const penstock_transaction *transaction = chunk->events[0].transaction;

		pen_wire_write_varint(buf, transaction->xid);
		pen_wire_write_varint(buf, transaction->commit_lsn);
		pen_wire_write_varint(buf, (uint64_t) transaction->commit_time);
		pen_wire_write_varint(buf, transaction->end_lsn);
		pen_wire_write_varint(buf, transaction->gid != NULL ? strlen(transaction->gid) : 0);
		if (transaction->gid != NULL)
			pen_wire_append(buf, transaction->gid, strlen(transaction->gid));
	}
}

/* ---- events ---- */

static bool
write_session(pen_wire_buf *buf)
{
	Penstock__V1__Session message = PENSTOCK__V1__SESSION__INIT;

	message.protocol_version = PEN_PROTOCOL_VERSION_MAX;
	message.server_encoding = "UTF8";
	message.plugin_version = PENSTOCK_VERSION;
	return write_packed(buf, PEN_EVENT_SESSION, &message.base);
}

static bool
write_change(pen_encoder *encoder, const penstock_event *event, pen_event_kind kind,
			 pen_wire_buf *buf)
{
	uint32_t number = number_of(encoder, event->relation, buf);
	pen_wire_mark mark;

	if (number == 0)
		return false;
	mark = pen_wire_begin_event(buf, kind, event->new_row.len + event->old_row.len + 8);
	pen_wire_write_relation_number(buf, number);
	if (event->new_row.relation != NULL)
		pen_wire_append(buf, event->new_row.data, event->new_row.len);
	if (event->old_row.relation != NULL)
		pen_wire_append(buf, event->old_row.data, event->old_row.len);
	pen_wire_end_event(buf, &mark);
	return true;
}

static bool
write_truncate(pen_encoder *encoder, const penstock_event *event, pen_wire_buf *buf)
{
	uint32_t *numbers = calloc((size_t) event->relation_count + 1, sizeof(*numbers));
	bool ok = numbers != NULL;

	for (uint32_t i = 0; ok && i < event->relation_count; i++)
	{
		numbers[i] = number_of(encoder, event->relations[i], buf);
		ok = numbers[i] != 0;
	}
	if (ok)
		pen_wire_write_truncate(buf, numbers, event->relation_count, event->cascade,
								event->restart_identity);
	free(numbers);
	return ok;
}

static ProtobufCBinaryData
gid_of(const penstock_transaction *transaction)
{
	const char *gid = transaction->gid != NULL ? transaction->gid : "";

	return (ProtobufCBinaryData){strlen(gid), (uint8_t *) gid};
}

static bool
write_prepared(const penstock_transaction *transaction, pen_event_kind kind, pen_wire_buf *buf)
{
	Penstock__V1__PreparedTransaction message = PENSTOCK__V1__PREPARED_TRANSACTION__INIT;

	message.xid = transaction->xid;
	message.gid = gid_of(transaction);
	message.lsn = transaction->commit_lsn;
	message.end_lsn = transaction->end_lsn;
	message.time = transaction->commit_time;
	return write_packed(buf, kind, &message.base);
}

static bool
write_rollback(const penstock_transaction *transaction, pen_wire_buf *buf)
{
	Penstock__V1__RollbackPrepared message = PENSTOCK__V1__ROLLBACK_PREPARED__INIT;

	message.xid = transaction->xid;
	message.gid = gid_of(transaction);
	message.prepare_end_lsn = transaction->prepare_end_lsn;
	message.end_lsn = transaction->end_lsn;
	message.prepare_time = transaction->prepare_time;
	message.rollback_time = transaction->commit_time;
	return write_packed(buf, PEN_EVENT_ROLLBACK_PREPARED, &message.base);
}

static bool
write_event(pen_encoder *encoder, const penstock_event *event, pen_wire_buf *buf)
{
	const penstock_transaction *transaction = event->transaction;

	switch (event->kind)
	{
		case PENSTOCK_PREPARE:
			return write_prepared(transaction, PEN_EVENT_PREPARE, buf);
		case PENSTOCK_COMMIT_PREPARED:
			return write_prepared(transaction, PEN_EVENT_COMMIT_PREPARED, buf);
		case PENSTOCK_ROLLBACK_PREPARED:
			return write_rollback(transaction, buf);
		case PENSTOCK_BEGIN:
			if (transaction->gid != NULL)
				return write_prepared(transaction, PEN_EVENT_BEGIN_PREPARE, buf);
			pen_wire_write_begin(buf, transaction->xid, transaction->commit_lsn,
								 transaction->commit_time);
			return true;
		case PENSTOCK_COMMIT:
			pen_wire_write_commit(buf, transaction->commit_lsn, transaction->end_lsn,
								  transaction->commit_time);
			return true;
		case PENSTOCK_INSERT:
			return write_change(encoder, event, PEN_EVENT_INSERT, buf);
		case PENSTOCK_UPDATE:
			return write_change(encoder, event, PEN_EVENT_UPDATE, buf);
		case PENSTOCK_DELETE:
			return write_change(encoder, event, PEN_EVENT_DELETE, buf);
		case PENSTOCK_TRUNCATE:
			return write_truncate(encoder, event, buf);
	}
	return false;
}

penstock_status
pen_encoder_append(pen_encoder *encoder, const pen_chunk *chunk, pen_wire_buf *buf,
				   pen_error *error)
{
	bool ok = true;

	write_head(encoder, chunk, buf);
	if (!encoder->begun)
		ok = write_session(buf);
	encoder->begun = true;
	for (size_t i = 0; ok && i < chunk->count; i++)
		ok = write_event(encoder, &chunk->events[i], buf);
	if (ok && !buf->failed)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory to write changes down");
}
