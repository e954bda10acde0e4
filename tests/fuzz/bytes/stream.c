/* stream.c -- a stream of hostile bytes: decoded, assembled, mapped, written to a spool's records
 * and read back, applied to memory tables; and each event told as JSON. */
#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "check.h"
#include "decode/decode.h"
#include "destination/memory/store.h"
#include "event/chunk.h"
#include "event/encode.h"
#include "event/line.h"
#include "narrate.h"
#include "route/mapper.h"
#include "statistics.h"
#include "transaction/replay.h"
#include "transaction/transaction.h"

#define FIRST_LSN       1
#define TABLE_BYTES_MAX ((size_t) 4 << 20)

/* ---- as JSON ---- */

static void
check_line(const pen_wire_buf *line)
{
	CHECK(line->data[0] == '{' && memchr(line->data, '\n', line->len - 1) == NULL);
	check_is_json(line->data, line->len, JSON_REJECT_DUPLICATES);
}

/* As `penstock decode --schema` has it. */
static bool
tell(pen_decoder *decoder, pen_decoded *decoded, pen_wire_buf *line)
{
	pen_narrator *narrator = pen_decoder_narrator(decoder);
	pen_error error;
	bool whole;

	line->len = 0;
	if (decoded->kind <= PEN_EVENT_TRUNCATE && decoded->kind != PEN_EVENT_SESSION &&
		decoded->kind != PEN_EVENT_RELATION)
	{
		penstock_status status =
			pen_event_json_under(&decoded->event, &narrator->head, line, &error);

		check_status(status, &error);
		whole = status >= 0;
	}
	else
	{
		whole = pen_narrate_json(narrator, &decoded->wire, line) == NULL;
		if (whole && line->len > 0)
			pen_wire_append(line, "\n", 1);
	}
	if (whole && line->len > 0)
		check_line(line);
	return whole;
}

static void
narrate(const uint8_t *data, size_t size)
{
	pen_decoder *decoder = pen_decoder_new();
	penstock_status status = PENSTOCK_OK;
	pen_wire_reader reader;
	pen_decoded decoded;
	pen_wire_buf line;
	pen_error error;

	pen_buffer_init(&line);
	pen_wire_reader_init(&reader, data, size);
	while (status >= 0 && pen_wire_more(&reader))
	{
		if (*reader.pos == PEN_WIRE_NEWLINE_TAG)
		{
			reader.pos++;
			continue;
		}
		status = pen_decode_event(decoder, &reader, &decoded, &error);
		check_status(status, &error);
		if (status >= 0 && !tell(decoder, &decoded, &line))
			break;
	}
	pen_buffer_reset(&line);
	pen_decoder_free(decoder);
}

/* ---- to the tables ---- */

typedef struct follower
{
	pen_decoder *decoder;
	pen_assembler *assembler;
	pen_statistics statistics;
	pen_memory_budget budget;
	pen_encoder *encoder;
	pen_replay *replay;
	pen_mapper *mapper;
	pen_memory_store *store;
	pen_wire_buf before;
	pen_wire_buf after;
	pen_error error;
} follower;

/* The mapping of all runs: a condition, a renamed column, another name. */
static const pen_mapping *
mapping(void)
{
	static pen_mapping *made;
	static const char *const said[][3] = {{"*.users", "where", "id > 10 AND name IS NOT NULL"},
										  {"public.a*", "to", "other.*"},
										  {"*.a1", "rename.v", "w"},
										  {"*.t", "where", "n IN (1, 2) OR v = 'x'"}};
	pen_rule *rules[4];
	pen_error error;

	if (made != NULL)
		return made;
	for (size_t i = 0; i < 4; i++)
	{
		rules[i] = pen_rule_new(said[i][0], "fuzz", &error);
		CHECK(rules[i] != NULL && pen_rule_set(rules[i], said[i][1], said[i][2], &error) >= 0);
	}
	made = pen_mapping_new(NULL, NULL, "memory", rules, 4, &error);
	CHECK(made != NULL);
	return made;
}

/* What is not taken leaves gaps in the numbers of changes. */
static const pen_route *
route(void)
{
	static pen_route *made;
	pen_error error;

	if (made == NULL)
		made = pen_route_new("users, a*, t*", &error);
	CHECK(made != NULL);
	return made;
}

/* What is written to a spool comes back as it was, told by its JSON. */
static void
check_spooled(follower *f, const pen_chunk *chunk)
{
	pen_wire_buf record;
	pen_chunk *again;
	pen_error error;

	pen_buffer_init(&record);
	CHECK(pen_encoder_append(f->encoder, chunk, &record, &error) >= 0);
	again = pen_replay_chunk(f->replay, record.data, record.len, &error);
	if (again == NULL)
		fprintf(stderr, "%s\n", error.text);
	CHECK(again != NULL && again->count == chunk->count);
	for (size_t i = 0; i < chunk->count; i++)
	{
		penstock_status status;

		f->before.len = f->after.len = 0;
		status = pen_event_json(&chunk->events[i], &f->before, &error);
		CHECK(status == pen_event_json(&again->events[i], &f->after, &error));
		CHECK(f->before.len == f->after.len &&
			  (f->before.len == 0 || memcmp(f->before.data, f->after.data, f->before.len) == 0));
	}
	pen_chunk_unref(again);
}

static penstock_status
deliver(follower *f, pen_chunk *chunk)
{
	penstock_status status = PENSTOCK_OK;

	pen_chunk_seal(chunk, &f->budget);
	pen_statistics_count(&f->statistics, chunk);
	if (chunk->count > 0)
		check_spooled(f, chunk);
	for (size_t i = 0; i < chunk->count && status >= 0; i++)
	{
		const penstock_event *mapped;

		/* The receiver refuses these for memory tables. */
		if (chunk->events[i].kind > PENSTOCK_COMMIT || chunk->events[i].transaction->gid != NULL)
			return PENSTOCK_DONE;
		status = pen_mapper_map(f->mapper, &chunk->events[i], &mapped, &f->error);
		if (status >= 0 && mapped != NULL)
			status = pen_memory_apply(f->store, mapped, &f->error);
		check_status(status, &f->error);
	}
	return status;
}

/* One message: up to a newline, or to the end. */
static penstock_status
take_message(follower *f, pen_wire_reader *reader)
{
	pen_chunk *chunk = pen_chunk_new(NULL, 0, NULL);
	penstock_status status = PENSTOCK_OK;
	pen_decoded decoded;

	while (status >= 0 && pen_wire_more(reader) && *reader->pos != PEN_WIRE_NEWLINE_TAG &&
		   !pen_assembler_pending(f->assembler))
	{
		status = pen_decode_event(f->decoder, reader, &decoded, &f->error);
		if (status >= 0)
			status = pen_assembler_take(f->assembler, &decoded, chunk, &f->error);
		check_status(status, &f->error);
	}
	if (status >= 0)
		status = deliver(f, chunk);
	pen_chunk_unref(chunk);
	while (status == PENSTOCK_OK && pen_assembler_pending(f->assembler))
	{
		chunk = pen_assembler_next(f->assembler, f->decoder, &f->error);
		if (chunk == NULL)
			check_status(f->error.status, &f->error);
		status = chunk == NULL ? f->error.status : deliver(f, chunk);
		pen_chunk_unref(chunk);
	}
	return status;
}

static void
read_tables(follower *f)
{
	penstock_snapshot *snapshot = pen_memory_store_snapshot(f->store);
	penstock_table *table;

	CHECK(snapshot != NULL);
	for (size_t n = 0; (table = penstock_snapshot_table_at(snapshot, n)) != NULL; n++)
	{
		uint64_t position = 0;
		penstock_row row;

		while (penstock_next_row(snapshot, table, &position, &row))
		{
			for (int c = 0; c < row.relation->column_count; c++)
			{
				const char *text;
				size_t len;

				(void) penstock_get_text(&row, c, &text, &len);
			}
		}
	}
	penstock_snapshot_end(snapshot);
}

static void
follow(const uint8_t *data, size_t size)
{
	follower f = {.decoder = pen_decoder_new(),
				  .assembler = pen_assembler_new(route()),
				  .encoder = pen_encoder_new(),
				  .replay = pen_replay_new(),
				  .mapper = pen_mapper_new(mapping()),
				  .store = pen_memory_store_new(TABLE_BYTES_MAX)};
	penstock_status status = PENSTOCK_OK;
	pen_wire_reader reader;

	pen_buffer_init(&f.before);
	pen_buffer_init(&f.after);
	pen_decoder_defer_streams(f.decoder);
	pen_memory_load_begin(f.store);
	pen_memory_load_end(f.store, FIRST_LSN);
	CHECK(pen_memory_start(f.store, FIRST_LSN, &f.error) >= 0);
	pen_wire_reader_init(&reader, data, size);
	while (status == PENSTOCK_OK && pen_wire_more(&reader))
	{
		if (*reader.pos == PEN_WIRE_NEWLINE_TAG)
			reader.pos++;
		else
			status = take_message(&f, &reader);
	}
	pen_memory_undo(f.store);
	read_tables(&f);
	pen_memory_store_free(f.store);
	pen_mapper_free(f.mapper);
	pen_replay_free(f.replay);
	pen_encoder_free(f.encoder);
	pen_statistics_reset(&f.statistics);
	pen_assembler_free(f.assembler);
	pen_decoder_free(f.decoder);
	CHECK(f.budget.used == 0);
	pen_buffer_reset(&f.before);
	pen_buffer_reset(&f.after);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	narrate(data, size);
	follow(data, size);
	return 0;
}
