/* replay.c -- from records to chunks: a decoder and an assembler, told where a record stands. */
#include "transaction/replay.h"

#include <stdlib.h>

#include "decode/decode.h"
#include "event/encode.h"
#include "transaction/transaction.h"

struct pen_replay
{
	pen_decoder *decoder;
	pen_assembler *assembler;
};

/* The head of a record, while its events are read. */
typedef struct record_head
{
	uint8_t flags;
	pen_wire_reader runs;
	uint64_t runs_left;
	uint64_t run_start; /* the number of the change with which the next run begins */
	uint64_t sequence;  /* of the next change */
	uint64_t number;    /* of the next change in the record */
	penstock_transaction transaction;
	char gid[PEN_GID_SIZE];
} record_head;

pen_replay *
pen_replay_new(void)
{
	pen_replay *replay = calloc(1, sizeof(*replay));

	if (replay == NULL)
		return NULL;
	replay->decoder = pen_decoder_new();
	replay->assembler = pen_assembler_new(NULL);
	if (replay->decoder != NULL && replay->assembler != NULL)
		return replay;
	pen_replay_free(replay);
	return NULL;
}

void
pen_replay_free(pen_replay *replay)
{
	if (replay == NULL)
		return;
	pen_assembler_free(replay->assembler);
	pen_decoder_free(replay->decoder);
	free(replay);
}

/* ---- the head ---- */

static bool
read_transaction(pen_wire_reader *reader, record_head *head)
{
	penstock_transaction *transaction = &head->transaction;
	uint64_t xid;
	uint64_t time;
	uint64_t gid_len;

	if (!pen_wire_read_varint(reader, &xid) ||
		!pen_wire_read_varint(reader, &transaction->commit_lsn) ||
		!pen_wire_read_varint(reader, &time) ||
		!pen_wire_read_varint(reader, &transaction->end_lsn) ||
		!pen_wire_read_varint(reader, &gid_len) || xid > UINT32_MAX ||
		gid_len > (uint64_t) (reader->end - reader->pos) ||
		(gid_len > 0 && !pen_gid_copy(head->gid, reader->pos, (size_t) gid_len)))
		return false;
	transaction->xid = (uint32_t) xid;
	transaction->commit_time = (int64_t) time;
	transaction->gid = gid_len > 0 ? head->gid : NULL;
	reader->pos += gid_len;
	return true;
}

static bool
read_head(pen_wire_reader *reader, record_head *head)
{
	uint64_t ignored;

	if (reader->end - reader->pos < 2 || reader->pos[0] != PEN_RECORD_VERSION)
		return false;
	*head = (record_head){.flags = reader->pos[1]};
	reader->pos += 2;
	if (!pen_wire_read_varint(reader, &head->runs_left))
		return false;
	head->runs = *reader;
	for (uint64_t i = 0; i < head->runs_left; i++)
		if (!pen_wire_read_varint(reader, &ignored) || !pen_wire_read_varint(reader, &ignored))
			return false;
	if (head->runs_left > 0 && !pen_wire_read_varint(&head->runs, &head->run_start))
		return false;
	return (head->flags & PEN_RECORD_CONTINUES) == 0 || read_transaction(reader, head);
}

/* The sequence of the next change. The runs have been read once: reading them does not fail. */
static uint64_t
next_sequence(record_head *head)
{
	if (head->runs_left > 0 && head->number == head->run_start)
	{
		(void) pen_wire_read_varint(&head->runs, &head->sequence);
		if (--head->runs_left > 0)
			(void) pen_wire_read_varint(&head->runs, &head->run_start);
	}
	head->number++;
	return head->sequence++;
}

/* ---- the events ---- */

static penstock_status
take(pen_replay *replay, record_head *head, pen_wire_reader *reader, pen_chunk *chunk,
	 pen_error *error)
{
	pen_decoded decoded;

	if (pen_decode_event(replay->decoder, reader, &decoded, error) < 0)
		return error->status;
	if (decoded.event.sequence != 0)
		decoded.event.sequence = next_sequence(head);
	return pen_assembler_take(replay->assembler, &decoded, chunk, error);
}

static penstock_status
read_record(pen_replay *replay, pen_wire_reader *reader, pen_chunk *chunk, pen_error *error)
{
	record_head head;
	penstock_status status = PENSTOCK_OK;

	if (!read_head(reader, &head))
		return pen_error_set(error, PENSTOCK_E_DATA, "a record has a damaged head");
	if ((head.flags & PEN_RECORD_FRESH) != 0)
	{
		pen_decoder_reset(replay->decoder);
		pen_assembler_reset(replay->assembler);
		status = take(replay, &head, reader, chunk, error);
	}
	if (status >= 0 && (head.flags & PEN_RECORD_CONTINUES) != 0)
	{
		pen_decoder_resume(replay->decoder, &head.transaction);
		pen_assembler_resume(replay->assembler, &head.transaction);
	}
	while (status >= 0 && pen_wire_more(reader))
		status = take(replay, &head, reader, chunk, error);
	return status;
}

pen_chunk *
pen_replay_chunk(pen_replay *replay, void *bytes, size_t len, pen_error *error)
{
	pen_chunk *chunk = pen_chunk_new(bytes, len, free);
	pen_wire_reader reader;

	if (chunk == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory to read changes back");
		return NULL;
	}
	pen_wire_reader_init(&reader, bytes, len);
	if (read_record(replay, &reader, chunk, error) >= 0)
		return chunk;
	pen_chunk_unref(chunk);
	return NULL;
}
