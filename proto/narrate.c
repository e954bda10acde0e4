/* narrate.c -- events of the native format, retold as JSON.
 * The events may come from anybody, so nothing in them is believed. */
#include "narrate.h"

#include <string.h>

static const ProtobufCMessageDescriptor *
message_descriptor(pen_event_kind kind)
{
	switch (kind)
	{
		case PEN_EVENT_SESSION:
			return &penstock__v1__session__descriptor;
		case PEN_EVENT_RELATION:
			return &penstock__v1__relation__descriptor;
		case PEN_EVENT_MESSAGE:
			return &penstock__v1__message__descriptor;
		case PEN_EVENT_ORIGIN:
			return &penstock__v1__origin__descriptor;
		case PEN_EVENT_STREAM_START:
			return &penstock__v1__stream_start__descriptor;
		case PEN_EVENT_STREAM_STOP:
			return &penstock__v1__stream_stop__descriptor;
		case PEN_EVENT_STREAM_ABORT:
			return &penstock__v1__stream_abort__descriptor;
		case PEN_EVENT_STREAM_COMMIT:
			return &penstock__v1__stream_commit__descriptor;
		case PEN_EVENT_STREAM_PREPARE:
		case PEN_EVENT_BEGIN_PREPARE:
		case PEN_EVENT_PREPARE:
		case PEN_EVENT_COMMIT_PREPARED:
			return &penstock__v1__prepared_transaction__descriptor;
		case PEN_EVENT_ROLLBACK_PREPARED:
			return &penstock__v1__rollback_prepared__descriptor;
		default:
			return NULL;
	}
}

const void *
pen_narrate_unpack(const pen_narrator *narrator, const pen_wire_event *event)
{
	const ProtobufCMessageDescriptor *descriptor = message_descriptor(event->kind);

	if (descriptor == NULL)
		return NULL;
	return protobuf_c_message_unpack(descriptor, narrator->allocator, event->body_len, event->body);
}

/* ---- where an event may stand ---- */

/* A transaction or a part of one begins. */
static const char *
begin(pen_narrator *narrator, pen_event_kind kind, const pen_json_head *head)
{
	if (narrator->in_transaction)
		return "a transaction begins inside of another one";
	narrator->in_transaction = true;
	narrator->begun_by = kind;
	narrator->head = *head;
	return NULL;
}

static const char *
follow_prepare(pen_narrator *narrator, const pen_wire_event *event)
{
	pen_json_boundary boundary;
	const char *wrong = pen_narrate_boundary(narrator, event, &boundary);
	pen_json_head head = {0};

	if (wrong != NULL)
		return wrong;
	head.xid = boundary.xid;
	head.commit_lsn = boundary.lsn;
	head.commit_time = boundary.time;
	return begin(narrator, event->kind, &head);
}

static const char *
follow_stream_start(pen_narrator *narrator, const pen_wire_event *event)
{
	pen_json_boundary boundary;
	const char *wrong = pen_narrate_boundary(narrator, event, &boundary);
	pen_json_head head = {0};

	if (wrong != NULL)
		return wrong;
	head.xid = boundary.xid;
	head.streamed = true;
	return begin(narrator, event->kind, &head);
}

static const char *
follow_change(pen_narrator *narrator)
{
	if (!narrator->in_transaction)
		return "a change stands outside of a transaction";
	narrator->head.sequence++;
	return NULL;
}

static const char *
end(pen_narrator *narrator, pen_event_kind begun_by)
{
	if (!narrator->in_transaction || narrator->begun_by != begun_by)
		return "an end stands outside of what it ends";
	narrator->in_transaction = false;
	return NULL;
}

static const char *
follow_sub_xact(pen_narrator *narrator, const pen_wire_event *event)
{
	if (!narrator->in_transaction || !narrator->head.streamed)
		return "a sub-transaction stands outside of a stream";
	narrator->head.subxid = event->sub_xact.xid;
	return NULL;
}

const char *
pen_narrate_follow(pen_narrator *narrator, const pen_wire_event *event)
{
	pen_json_head head = {0};

	switch (event->kind)
	{
		case PEN_EVENT_SESSION:
			narrator->in_transaction = false;
			return NULL;
		case PEN_EVENT_BEGIN:
			head.xid = event->begin.xid;
			head.commit_lsn = event->begin.commit_lsn;
			head.commit_time = event->begin.commit_time;
			return begin(narrator, event->kind, &head);
		case PEN_EVENT_BEGIN_PREPARE:
			return follow_prepare(narrator, event);
		case PEN_EVENT_STREAM_START:
			return follow_stream_start(narrator, event);
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
		case PEN_EVENT_TRUNCATE:
			return follow_change(narrator);
		case PEN_EVENT_SUB_XACT:
			return follow_sub_xact(narrator, event);
		case PEN_EVENT_ORIGIN:
			return narrator->in_transaction ? NULL : "an origin stands outside of a transaction";
		case PEN_EVENT_COMMIT:
			return end(narrator, PEN_EVENT_BEGIN);
		case PEN_EVENT_PREPARE:
			return end(narrator, PEN_EVENT_BEGIN_PREPARE);
		case PEN_EVENT_STREAM_STOP:
			return end(narrator, PEN_EVENT_STREAM_START);
		case PEN_EVENT_STREAM_ABORT:
		case PEN_EVENT_STREAM_COMMIT:
		case PEN_EVENT_STREAM_PREPARE:
		case PEN_EVENT_COMMIT_PREPARED:
		case PEN_EVENT_ROLLBACK_PREPARED:
			return narrator->in_transaction ? "an end stands inside of another transaction" : NULL;
		default:
			return NULL;
	}
}

/* ---- boundaries ---- */

static pen_json_bytes
bytes_of(ProtobufCBinaryData data)
{
	return (pen_json_bytes){data.data, data.len};
}

static void
read_prepared(const Penstock__V1__PreparedTransaction *message, pen_json_boundary *boundary)
{
	boundary->xid = message->xid;
	boundary->gid = bytes_of(message->gid);
	boundary->lsn = message->lsn;
	boundary->end_lsn = message->end_lsn;
	boundary->time = message->time;
}

static void
read_rollback(const Penstock__V1__RollbackPrepared *message, pen_json_boundary *boundary)
{
	boundary->xid = message->xid;
	boundary->gid = bytes_of(message->gid);
	boundary->prepare_end_lsn = message->prepare_end_lsn;
	boundary->end_lsn = message->end_lsn;
	boundary->prepare_time = message->prepare_time;
	boundary->time = message->rollback_time;
}

static void
read_stream_commit(const Penstock__V1__StreamCommit *message, pen_json_boundary *boundary)
{
	boundary->xid = message->xid;
	boundary->lsn = message->commit_lsn;
	boundary->end_lsn = message->end_lsn;
	boundary->time = message->commit_time;
}

const char *
pen_narrate_boundary(const pen_narrator *narrator, const pen_wire_event *event,
					 pen_json_boundary *boundary)
{
	const void *message = pen_narrate_unpack(narrator, event);

	memset(boundary, 0, sizeof(*boundary));
	if (message == NULL)
		return "an event is damaged";
	switch (event->kind)
	{
		case PEN_EVENT_STREAM_START:
			boundary->xid = ((const Penstock__V1__StreamStart *) message)->xid;
			boundary->first = ((const Penstock__V1__StreamStart *) message)->first;
			break;
		case PEN_EVENT_STREAM_STOP:
			break;
		case PEN_EVENT_STREAM_ABORT:
			boundary->xid = ((const Penstock__V1__StreamAbort *) message)->xid;
			boundary->subxid = ((const Penstock__V1__StreamAbort *) message)->subxid;
			break;
		case PEN_EVENT_STREAM_COMMIT:
			read_stream_commit(message, boundary);
			break;
		case PEN_EVENT_ROLLBACK_PREPARED:
			read_rollback(message, boundary);
			break;
		default:
			read_prepared(message, boundary);
	}
	return NULL;
}

/* ---- JSON ---- */

static void
describe_column(const void *columns, uint32_t index, pen_json_column *described)
{
	const Penstock__V1__Column *column = ((Penstock__V1__Column *const *) columns)[index];

	described->name = column->name;
	described->encoding = (pen_encoding) column->encoding;
	described->base_type_oid = column->base_type_oid;
	described->identity = column->identity != 0;
}

static void
describe_type(const void *columns, uint32_t index, pen_json_type *described)
{
	const Penstock__V1__Column *column = ((Penstock__V1__Column *const *) columns)[index];

	described->schema = column->type_schema;
	described->name = column->type_name;
	described->oid = column->type_oid;
	described->typmod = column->typmod;
	described->attnum = column->attnum;
	described->not_null = column->not_null;
	described->primary_key = column->primary_key;
	described->identity = column->identity;
	described->generated = column->generated != PENSTOCK__V1__COLUMN__GENERATED__GENERATED_NEVER;
}

static pen_json_relation
as_table(const Penstock__V1__Relation *relation)
{
	static const char *const identities[] = {"default", "default", "nothing", "full", "index"};
	pen_json_relation table = {
		.schema = relation->schema,
		.name = relation->name,
		.column_count = (uint32_t) relation->n_columns,
		.columns = relation->columns,
		.describe = describe_column,
		.oid = relation->oid,
		.partitioned = relation->kind == PENSTOCK__V1__RELATION__KIND__KIND_PARTITIONED,
		.describe_type = describe_type,
	};
	unsigned int identity = relation->replica_identity;

	table.replica_identity =
		identity < sizeof(identities) / sizeof(*identities) ? identities[identity] : "default";
	return table;
}

static const char *
narrate_change(pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Relation *relation =
		narrator->find_relation(narrator->arg, event->change.relation);
	pen_json_relation table;
	pen_json_change change = {event->kind, event->change.new_tuple, event->change.key,
							  event->change.old};

	if (relation == NULL)
		return "a row is of a relation that was not described";
	table = as_table(relation);
	return pen_json_write_change(out, &narrator->head, &table, &change);
}

static const char *
narrate_truncate(pen_narrator *narrator, pen_wire_event *event, pen_wire_buf *out)
{
	const char *wrong = pen_json_truncate_begin(out, &narrator->head);
	uint64_t number;

	while (wrong == NULL && pen_wire_more(&event->truncate.relations) &&
		   pen_wire_read_varint(&event->truncate.relations, &number))
	{
		const Penstock__V1__Relation *relation =
			narrator->find_relation(narrator->arg, (uint32_t) number);

		wrong = relation == NULL ? "a truncate names a relation that was not described"
								 : pen_json_truncate_table(out, relation->schema, relation->name);
	}
	if (wrong == NULL)
		wrong =
			pen_json_truncate_end(out, event->truncate.cascade, event->truncate.restart_identity);
	return wrong;
}

static const char *
narrate_relation(const pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Relation *relation = pen_narrate_unpack(narrator, event);
	pen_json_relation table;

	if (relation == NULL)
		return "a relation event is damaged";
	table = as_table(relation);
	return pen_json_write_relation(out, &table);
}

static const char *
narrate_message(pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Message *message = pen_narrate_unpack(narrator, event);
	pen_json_message written = {0};

	if (message == NULL)
		return "a message event is damaged";
	if (message->transactional && !narrator->in_transaction)
		return "a transactional message stands outside of a transaction";
	if (message->transactional)
	{
		narrator->head.sequence++;
		written.head = &narrator->head;
	}
	written.lsn = message->lsn;
	written.prefix = (pen_json_bytes){message->prefix.data, message->prefix.len};
	written.content = (pen_json_bytes){message->content.data, message->content.len};
	return pen_json_write_message(out, &written);
}

static const char *
narrate_origin(pen_narrator *narrator, const pen_wire_event *event, pen_wire_buf *out)
{
	const Penstock__V1__Origin *origin = pen_narrate_unpack(narrator, event);

	if (origin == NULL)
		return "an origin event is damaged";
	return pen_json_write_origin(
		out, &narrator->head, (pen_json_bytes){origin->name.data, origin->name.len}, origin->lsn);
}

const char *
pen_narrate_json(pen_narrator *narrator, pen_wire_event *event, pen_wire_buf *out)
{
	pen_json_boundary boundary;
	const char *wrong;

	switch (event->kind)
	{
		case PEN_EVENT_SESSION:
		case PEN_EVENT_SUB_XACT:
			return NULL;
		case PEN_EVENT_RELATION:
			return narrate_relation(narrator, event, out);
		case PEN_EVENT_BEGIN:
			return pen_json_begin(out, &narrator->head);
		case PEN_EVENT_COMMIT:
			return pen_json_commit(out, &narrator->head, event->commit.end_lsn);
		case PEN_EVENT_INSERT:
		case PEN_EVENT_UPDATE:
		case PEN_EVENT_DELETE:
			return narrate_change(narrator, event, out);
		case PEN_EVENT_TRUNCATE:
			return narrate_truncate(narrator, event, out);
		case PEN_EVENT_MESSAGE:
			return narrate_message(narrator, event, out);
		case PEN_EVENT_ORIGIN:
			return narrate_origin(narrator, event, out);
		default:
			wrong = pen_narrate_boundary(narrator, event, &boundary);
			if (event->kind == PEN_EVENT_STREAM_STOP)
				boundary.xid = narrator->head.xid;
			return wrong != NULL ? wrong : pen_json_write_boundary(out, event->kind, &boundary);
	}
}
