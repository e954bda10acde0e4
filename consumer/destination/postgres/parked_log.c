/* parked_log.c -- the parked changes of one table.
 * A record is one change, at the position of its commit: a head, the new row's bytes, and the old
 * row's bytes to the end. Of what is read back nothing is believed that the head does not bear out.
 */
#include "destination/postgres/parked_log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/scratch.h"
#include "event/relation.h"
#include "store/store.h"

#define RESTART_IDENTITY  0x1
#define HAS_OLD           0x2
#define OLD_IDENTITY_ONLY 0x4

typedef struct parked_head
{
	uint32_t kind;
	uint32_t flags;
	uint32_t relation; /* its index */
	uint32_t new_len;
} parked_head;

struct pen_parked_log
{
	pen_store *store;
	pen_store_cursor *cursor;
	pen_wire_buf record; /* that is written */
	uint64_t written;
	uint64_t read;
	uint64_t read_lsn;                   /* commit of the change that was read last */
	pen_store_record next;               /* that is not read yet; data NULL: not looked at */
	const penstock_relation **relations; /* versions that changes are of; references */
	uint32_t relation_count;
};

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for parked changes");
}

/* ---- life ---- */

static penstock_status
open_store(pen_parked_log *log, pen_error *error)
{
	const pen_store_options options = {.durable = false};
	char *directory = pen_scratch_directory("parked", error);

	if (directory == NULL)
		return error->status;
	log->store = pen_store_open(directory, &options, error);
	if (log->store == NULL)
		(void) rmdir(directory);
	free(directory);
	if (log->store == NULL)
		return error->status = PENSTOCK_E_RETRY;
	log->cursor = pen_store_cursor_new(log->store, 0);
	return log->cursor != NULL ? PENSTOCK_OK : out_of_memory(error);
}

pen_parked_log *
pen_parked_log_new(pen_error *error)
{
	pen_parked_log *log = calloc(1, sizeof(*log));

	if (log == NULL)
	{
		out_of_memory(error);
		return NULL;
	}
	pen_buffer_init(&log->record);
	if (open_store(log, error) >= 0)
		return log;
	pen_parked_log_free(log);
	return NULL;
}

void
pen_parked_log_free(pen_parked_log *log)
{
	if (log == NULL)
		return;
	for (uint32_t i = 0; i < log->relation_count; i++)
		pen_relation_unref(log->relations[i]);
	free(log->relations);
	pen_buffer_reset(&log->record);
	pen_store_cursor_free(log->cursor);
	pen_store_close(log->store);
	free(log);
}

/* ---- writing ---- */

/* The last version is the likeliest. */
static penstock_status
number_of(pen_parked_log *log, const penstock_relation *relation, uint32_t *number,
		  pen_error *error)
{
	const penstock_relation **relations;

	for (uint32_t i = log->relation_count; i > 0; i--)
	{
		if (log->relations[i - 1] == relation)
		{
			*number = i - 1;
			return PENSTOCK_OK;
		}
	}
	relations = realloc(log->relations, (log->relation_count + 1) * sizeof(*relations));
	if (relations == NULL)
		return out_of_memory(error);
	log->relations = relations;
	*number = log->relation_count++;
	relations[*number] = pen_relation_ref(relation);
	return PENSTOCK_OK;
}

static void
write_record(pen_wire_buf *record, const penstock_event *event, uint32_t relation)
{
	bool row = event->kind != PENSTOCK_TRUNCATE;
	bool has_new = row && event->kind != PENSTOCK_DELETE && event->new_row.relation != NULL;
	bool has_old = row && event->old_row.relation != NULL;
	parked_head head = {
		.kind = (uint32_t) event->kind,
		.relation = relation,
		.new_len = has_new ? (uint32_t) event->new_row.len : 0,
	};

	if (!row && event->restart_identity)
		head.flags |= RESTART_IDENTITY;
	if (has_old)
		head.flags |= HAS_OLD;
	if (has_old && event->old_row.identity_only)
		head.flags |= OLD_IDENTITY_ONLY;
	record->len = 0;
	record->failed = false;
	pen_wire_append(record, &head, sizeof(head));
	if (has_new)
		pen_wire_append(record, event->new_row.data, event->new_row.len);
	if (has_old)
		pen_wire_append(record, event->old_row.data, event->old_row.len);
}

/* Do kind, flags and lengths go together? rows: the bytes behind the head. */
static bool
makes_sense(const parked_head *head, size_t rows)
{
	bool truncate = head->kind == PENSTOCK_TRUNCATE;
	bool has_old = (head->flags & HAS_OLD) != 0;

	if (head->kind != PENSTOCK_INSERT && head->kind != PENSTOCK_UPDATE &&
		head->kind != PENSTOCK_DELETE && !truncate)
		return false;
	if ((head->flags & ~(uint32_t) (RESTART_IDENTITY | HAS_OLD | OLD_IDENTITY_ONLY)) != 0 ||
		((head->flags & RESTART_IDENTITY) != 0 && !truncate) || (has_old && truncate) ||
		((head->flags & OLD_IDENTITY_ONLY) != 0 && !has_old))
		return false;
	if (head->new_len > rows || (!has_old && head->new_len < rows))
		return false;
	return head->new_len == 0 || head->kind == PENSTOCK_INSERT || head->kind == PENSTOCK_UPDATE;
}

penstock_status
pen_parked_log_parse(const pen_parked_log *log, const uint8_t *data, size_t len,
					 pen_parked_entry *entry, pen_error *error)
{
	parked_head head;

	if (len < sizeof(head))
		return pen_error_set(error, PENSTOCK_E_BUG, "a parked change of %zu bytes", len);
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);
	len -= sizeof(head);
	if (head.relation >= log->relation_count || !makes_sense(&head, len))
		return pen_error_set(error, PENSTOCK_E_BUG,
							 "a parked change of kind %u, flags %u, relation %u of %u, with %u of "
							 "%zu bytes for the new row",
							 head.kind, head.flags, head.relation, log->relation_count,
							 head.new_len, len);
	entry->relation = log->relations[head.relation];
	entry->event = (penstock_event){.kind = (penstock_event_kind) head.kind};
	entry->event.restart_identity = (head.flags & RESTART_IDENTITY) != 0;
	if (entry->event.kind == PENSTOCK_TRUNCATE)
	{
		entry->event.relations = &entry->relation;
		entry->event.relation_count = 1;
		return PENSTOCK_OK;
	}
	entry->event.relation = entry->relation;
	if (entry->event.kind != PENSTOCK_DELETE)
		entry->event.new_row =
			(penstock_row){.relation = entry->relation, .data = data, .len = head.new_len};
	if ((head.flags & HAS_OLD) != 0)
		entry->event.old_row =
			(penstock_row){.relation = entry->relation,
						   .data = data + head.new_len,
						   .len = len - head.new_len,
						   .identity_only = (head.flags & OLD_IDENTITY_ONLY) != 0};
	return PENSTOCK_OK;
}

penstock_status
pen_parked_log_append(pen_parked_log *log, const penstock_event *event,
					  const penstock_relation *relation, uint64_t commit_lsn, pen_error *error)
{
	uint32_t number = 0;
	penstock_status status;

	if (number_of(log, relation, &number, error) < 0)
		return error->status;
	write_record(&log->record, event, number);
	if (log->record.failed)
		return out_of_memory(error);
	/* Room comes back a segment at a time. */
	if (pen_store_segment_full(log->store) && pen_store_roll(log->store, error) < 0)
		return error->status;
	status = pen_store_append(log->store, log->record.data, log->record.len, commit_lsn, error);
	if (status == PEN_STORE_FULL)
	{
		error->status = PENSTOCK_E_RETRY;
		return pen_error_context(error, "make room, or set TMPDIR to another directory");
	}
	if (status == PENSTOCK_OK)
		log->written++;
	return status;
}

/* ---- reading ---- */

bool
pen_parked_log_is_read(const pen_parked_log *log)
{
	return log->read == log->written;
}

bool
pen_parked_log_has(const pen_parked_log *log, uint64_t before_lsn)
{
	return !pen_parked_log_is_read(log) &&
		   (log->next.data == NULL || log->next.position < before_lsn);
}

static penstock_status
look_at_next(pen_parked_log *log, pen_error *error)
{
	penstock_status status = pen_store_next(log->cursor, &log->next, error);

	if (status == PENSTOCK_OK)
		return status;
	log->next.data = NULL;
	if (status == PENSTOCK_AGAIN)
		return pen_error_set(error, PENSTOCK_E_BUG, "there are too few parked changes");
	return error->status = PENSTOCK_E_RETRY; /* only a copy is damaged: the source has it all */
}

penstock_status
pen_parked_log_next(pen_parked_log *log, uint64_t before_lsn, pen_parked_entry *entry,
					pen_error *error)
{
	if (pen_parked_log_is_read(log))
		return PENSTOCK_AGAIN;
	if (log->next.data == NULL && look_at_next(log, error) < 0)
		return error->status;
	if (log->next.position >= before_lsn)
		return PENSTOCK_AGAIN;
	if (pen_parked_log_parse(log, log->next.data, log->next.len, entry, error) < 0)
		return error->status;
	entry->commit_lsn = log->read_lsn = log->next.position;
	log->next.data = NULL;
	log->read++;
	return PENSTOCK_OK;
}

void
pen_parked_log_release(pen_parked_log *log)
{
	pen_store_truncate(log->store, log->read_lsn);
}

uint64_t
pen_parked_log_bytes(const pen_parked_log *log)
{
	return pen_store_bytes(log->store);
}
