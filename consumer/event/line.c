/* line.c -- an event as a line of JSON: hands proto/json.c what it asks for.
 * A line is appended whole or not at all. */
#include "event/line.h"

#include <string.h>

#include "json.h"

static void
describe(const void *columns, uint32_t index, pen_json_column *column)
{
	const penstock_column *from = (const penstock_column *) columns + index;

	*column = (pen_json_column){from->name, (pen_encoding) from->encoding, from->base_type_oid,
								from->identity > 0};
}

static const char *
write_change(pen_wire_buf *buf, const pen_json_head *head, const penstock_event *event)
{
	const penstock_relation *relation = event->relation;
	const pen_json_relation table = {relation->schema, relation->name,
									 (uint32_t) relation->column_count, relation->columns,
									 .describe = describe};
	pen_json_change change = {.kind = event->kind == PENSTOCK_INSERT   ? PEN_EVENT_INSERT
									  : event->kind == PENSTOCK_UPDATE ? PEN_EVENT_UPDATE
																	   : PEN_EVENT_DELETE};

	/* The writer does not look at count: it compares the values with the columns themselves. */
	change.new_tuple = (pen_tuple){event->new_row.data, event->new_row.len, 0};
	if (event->old_row.relation != NULL)
		*(event->old_row.identity_only ? &change.key : &change.old) =
			(pen_tuple){event->old_row.data, event->old_row.len, 0};
	return pen_json_write_change(buf, head, &table, &change);
}

static const char *
write_truncate(pen_wire_buf *buf, const pen_json_head *head, const penstock_event *event)
{
	const char *wrong = pen_json_truncate_begin(buf, head);

	for (uint32_t i = 0; wrong == NULL && i < event->relation_count; i++)
		wrong =
			pen_json_truncate_table(buf, event->relations[i]->schema, event->relations[i]->name);
	if (wrong == NULL)
		wrong = pen_json_truncate_end(buf, event->cascade, event->restart_identity);
	return wrong;
}

/* The begin or end of a prepared transaction. */
static const char *
write_prepared(pen_wire_buf *buf, const penstock_event *event)
{
	const penstock_transaction *transaction = event->transaction;
	const pen_json_boundary boundary = {
		.xid = transaction->xid,
		.gid = {(const uint8_t *) transaction->gid, strlen(transaction->gid)},
		.lsn = transaction->commit_lsn,
		.end_lsn = transaction->end_lsn,
		.time = transaction->commit_time,
		.prepare_end_lsn = transaction->prepare_end_lsn,
		.prepare_time = transaction->prepare_time};

	return pen_json_write_boundary(buf,
								   event->kind == PENSTOCK_BEGIN     ? PEN_EVENT_BEGIN_PREPARE
								   : event->kind == PENSTOCK_PREPARE ? PEN_EVENT_PREPARE
								   : event->kind == PENSTOCK_COMMIT_PREPARED
									   ? PEN_EVENT_COMMIT_PREPARED
									   : PEN_EVENT_ROLLBACK_PREPARED,
								   &boundary);
}

penstock_status
pen_event_json_under(const penstock_event *event, const pen_json_head *head, pen_wire_buf *buf,
					 pen_error *error)
{
	const penstock_transaction *transaction = event->transaction;
	size_t start = buf->len;
	const char *wrong;

	if (event->kind > PENSTOCK_COMMIT ||
		(event->kind == PENSTOCK_BEGIN && transaction->gid != NULL))
		wrong = write_prepared(buf, event);
	else if (event->kind == PENSTOCK_BEGIN)
		wrong = pen_json_begin(buf, head);
	else if (event->kind == PENSTOCK_COMMIT)
		wrong = pen_json_commit(buf, head, transaction->end_lsn);
	else if (event->kind == PENSTOCK_TRUNCATE)
		wrong = write_truncate(buf, head, event);
	else
		wrong = write_change(buf, head, event);
	if (wrong == NULL)
		pen_wire_append(buf, "\n", 1);
	if (wrong == NULL && !buf->failed)
		return PENSTOCK_OK;
	buf->len = start;
	if (buf->failed)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for an event as JSON");
	return pen_error_set(
		error, PENSTOCK_E_DATA,
		"%s%s%s%s%stransaction %u, change %llu, cannot be written as JSON: %s",
		event->relation != NULL ? "table " : "",
		event->relation != NULL ? event->relation->schema : "", event->relation != NULL ? "." : "",
		event->relation != NULL ? event->relation->name : "", event->relation != NULL ? ", " : "",
		transaction->xid, (unsigned long long) event->sequence, wrong);
}

penstock_status
pen_event_json(const penstock_event *event, pen_wire_buf *buf, pen_error *error)
{
	const pen_json_head head = {.xid = event->transaction->xid,
								.commit_lsn = event->transaction->commit_lsn,
								.commit_time = event->transaction->commit_time,
								.sequence = event->sequence};

	return pen_event_json_under(event, &head, buf, error);
}
