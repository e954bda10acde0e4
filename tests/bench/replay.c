/* replay.c -- how fast memory tables take a stream: decoding, assembling, counting and applying as
 * `penstock run` does it, into tables that begin empty.
 *
 *     replay FILE RUNS                  a capture of pg_recvlogical, all in one thread
 *     replay CONNINFO SLOT LSN          from the slot up to LSN, the tables in a worker's thread
 *
 * Prints a line a run: changes, seconds (processor time of the one thread; with a slot wall time),
 * rows in the tables at the end, and a sum over them: integers, and the lengths of all else. */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "decode/decode.h"
#include "destination/memory/store.h"
#include "destination/worker.h"
#include "event/chunk.h"
#include "source/stream.h"
#include "statistics.h"
#include "transaction/transaction.h"
#include "wire.h"

#define FIRST_LSN     1
#define IN_FLIGHT_MAX ((size_t) 256 << 20)
#define FEEDBACK_MS   1000
#define CHUNK_MAX     ((size_t) 64 << 10) /* what the plugin writes at once */
#define CONNECT_MS    15000

/* Memory tables that begin empty, as a destination. */
typedef struct tables
{
	pen_destination base; /* first */
	pen_memory_store *store;
} tables;

typedef struct replay
{
	pen_decoder *decoder;
	pen_assembler *assembler;
	pen_statistics statistics;
	pen_memory_budget budget;
} replay;

static void
die(const char *what)
{
	fprintf(stderr, "replay: %s\n", what);
	exit(1);
}

static double
now_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
replay_init(replay *r)
{
	*r = (replay){.decoder = pen_decoder_new(), .assembler = pen_assembler_new(NULL)};
	if (r->decoder == NULL || r->assembler == NULL)
		die("out of memory");
}

static void
replay_reset(replay *r)
{
	pen_statistics_reset(&r->statistics);
	pen_assembler_free(r->assembler);
	pen_decoder_free(r->decoder);
}

static pen_memory_store *
empty_store(void)
{
	pen_memory_store *store = pen_memory_store_new(0);

	if (store == NULL)
		die("out of memory");
	pen_memory_load_begin(store);
	pen_memory_load_end(store, FIRST_LSN);
	return store;
}

static uint64_t
changes_of(const replay *r)
{
	return r->statistics.total.inserts + r->statistics.total.updates + r->statistics.total.deletes;
}

/* ---- what came of it ---- */

static uint64_t
sum_of_row(const penstock_row *row)
{
	uint64_t sum = 0;

	for (int c = 0; c < row->relation->column_count; c++)
	{
		int64_t integer;
		const char *text;
		const uint8_t *bytes;
		size_t len = 0;

		if (penstock_get_int(row, c, &integer) == PENSTOCK_OK)
			sum += (uint64_t) integer;
		else if (penstock_get_text(row, c, &text, &len) == PENSTOCK_OK ||
				 penstock_get_bytes(row, c, &bytes, &len) == PENSTOCK_OK)
			sum += len;
	}
	return sum;
}

static void
report(const replay *r, pen_memory_store *store, double seconds)
{
	penstock_snapshot *snapshot = pen_memory_store_snapshot(store);
	penstock_table *table;
	uint64_t rows = 0;
	uint64_t sum = 0; /* modulo 2^64, as the script has it */

	if (snapshot == NULL)
		die("nothing was applied");
	for (size_t n = 0; (table = penstock_snapshot_table_at(snapshot, n)) != NULL; n++)
	{
		uint64_t position = 0;
		penstock_row row;

		while (penstock_next_row(snapshot, table, &position, &row))
		{
			rows++;
			sum += sum_of_row(&row);
		}
	}
	penstock_snapshot_end(snapshot);
	printf("%llu %.4f %llu %llu\n", (unsigned long long) changes_of(r), seconds,
		   (unsigned long long) rows, (unsigned long long) sum);
	fflush(stdout);
}

/* ---- a capture ---- */

/* The events up to the end of a message, or about as many as one has. */
static void
take_message(replay *r, pen_wire_reader *reader, pen_chunk *chunk)
{
	const uint8_t *from = reader->pos;
	pen_decoded decoded;
	pen_error error;

	while (pen_wire_more(reader) && *reader->pos != PEN_WIRE_NEWLINE_TAG &&
		   (size_t) (reader->pos - from) < CHUNK_MAX)
	{
		if (pen_decode_event(r->decoder, reader, &decoded, &error) < 0 ||
			pen_assembler_take(r->assembler, &decoded, chunk, &error) < 0)
			die(error.text);
	}
	while (pen_wire_more(reader) && *reader->pos == PEN_WIRE_NEWLINE_TAG)
		reader->pos++;
}

static double
replay_capture(replay *r, pen_memory_store *store, const uint8_t *data, size_t size)
{
	double from = now_s(CLOCK_THREAD_CPUTIME_ID);
	pen_wire_reader reader;
	pen_error error;

	if (pen_memory_start(store, FIRST_LSN, &error) < 0)
		die(error.text);
	pen_wire_reader_init(&reader, data, size);
	while (pen_wire_more(&reader))
	{
		size_t left = (size_t) (reader.end - reader.pos);
		pen_chunk *chunk = pen_chunk_new(NULL, left < CHUNK_MAX ? left : CHUNK_MAX, NULL);

		if (chunk == NULL)
			die("out of memory");
		take_message(r, &reader, chunk);
		pen_chunk_seal(chunk, &r->budget);
		pen_statistics_count(&r->statistics, chunk);
		for (size_t i = 0; i < chunk->count; i++)
		{
			if (pen_memory_apply(store, &chunk->events[i], &error) < 0)
				die(error.text);
		}
		pen_chunk_unref(chunk);
	}
	return now_s(CLOCK_THREAD_CPUTIME_ID) - from;
}

static void
from_file(const char *path, int runs)
{
	int fd = open(path, O_RDONLY);
	struct stat file;
	void *data;
	cpu_set_t core;

	if (fd < 0 || fstat(fd, &file) != 0 || file.st_size == 0)
		die("could not read the capture");
	data = mmap(NULL, (size_t) file.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		die("could not read the capture");
	CPU_ZERO(&core);
	CPU_SET(0, &core);
	(void) sched_setaffinity(0, sizeof(core), &core); /* where it may not, the numbers vary more */
	for (int i = 0; i < runs; i++)
	{
		pen_memory_store *store = empty_store();
		double seconds;
		replay r;

		replay_init(&r);
		seconds = replay_capture(&r, store, data, (size_t) file.st_size);
		report(&r, store, seconds);
		replay_reset(&r);
		pen_memory_store_free(store);
	}
	munmap(data, (size_t) file.st_size);
	close(fd);
}

/* ---- a slot: the destination ---- */

static void
tell_position(pen_destination *destination, pen_position *position)
{
	position->applied_lsn = position->durable_lsn =
		pen_memory_store_lsn(((tables *) destination)->store);
}

static void
tables_destroy(pen_destination *destination)
{
	pen_memory_store_free(((tables *) destination)->store);
}

static penstock_status
tables_open(pen_destination *destination, const pen_source_identity *source, pen_position *position,
			pen_error *error)
{
	(void) source;
	(void) error;
	tell_position(destination, position);
	return PENSTOCK_OK;
}

static void
tables_close(pen_destination *destination)
{
	pen_memory_undo(((tables *) destination)->store);
}

static penstock_status
tables_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
			 pen_error *error)
{
	penstock_status status = pen_memory_start(((tables *) destination)->store, start_lsn, error);

	tell_position(destination, position);
	return status;
}

static penstock_status
tables_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
			 pen_error *error)
{
	penstock_status status = pen_memory_apply(((tables *) destination)->store, event, error);

	if (event->kind == PENSTOCK_COMMIT)
		tell_position(destination, position);
	return status;
}

static penstock_status
tables_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	(void) error;
	tell_position(destination, position);
	return PENSTOCK_OK;
}

static penstock_status
tables_advance(pen_destination *destination, uint64_t lsn, pen_position *position, pen_error *error)
{
	(void) error;
	pen_memory_advance(((tables *) destination)->store, lsn);
	tell_position(destination, position);
	return PENSTOCK_OK;
}

static penstock_status
tables_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	(void) error;
	*poll_ms = -1;
	tell_position(destination, position);
	return PENSTOCK_OK;
}

static const pen_destination_kind tables_kind = {
	.scheme = "tables",
	.loads_afresh = true,
	.destroy = tables_destroy,
	.open = tables_open,
	.close = tables_close,
	.start = tables_start,
	.apply = tables_apply,
	.flush = tables_flush,
	.advance = tables_advance,
	.sync = tables_sync,
};

/* ---- a slot: the stream ---- */

static int wake_fd;

static void
wake(void *context)
{
	uint64_t one = 1;

	(void) context;
	if (write(wake_fd, &one, sizeof(one)) < 0)
		die("eventfd");
}

static void
wait_for_work(pen_stream *stream)
{
	struct pollfd fds[2] = {{.fd = wake_fd, .events = POLLIN}};
	uint64_t ignored;
	bool want_write;

	fds[1].fd = pen_stream_socket(stream, &want_write);
	fds[1].events = (short) (POLLIN | (want_write ? POLLOUT : 0));
	if (poll(fds, 2, FEEDBACK_MS) > 0 && (fds[0].revents & POLLIN) != 0 &&
		read(wake_fd, &ignored, sizeof(ignored)) < 0)
		die("eventfd");
}

static void
take_data(replay *r, pen_worker *worker, pen_stream_message *message)
{
	pen_chunk *chunk = pen_chunk_new(message->bytes, message->payload_size, pen_stream_free_bytes);
	pen_wire_reader reader;
	pen_decoded decoded;
	pen_error error;

	if (chunk == NULL)
		die("out of memory");
	pen_wire_reader_init(&reader, message->payload, message->payload_size);
	while (pen_wire_more(&reader))
	{
		if (pen_decode_event(r->decoder, &reader, &decoded, &error) < 0 ||
			pen_assembler_take(r->assembler, &decoded, chunk, &error) < 0)
			die(error.text);
	}
	pen_chunk_seal(chunk, &r->budget);
	pen_statistics_count(&r->statistics, chunk);
	if (pen_feed_chunk(pen_worker_feed(worker), chunk, &error) < 0)
		die("out of memory");
	pen_chunk_unref(chunk);
}

static void
receive_until(replay *r, pen_stream *stream, pen_worker *worker, uint64_t lsn)
{
	uint64_t delivered = 0;
	int64_t fed_back_ms = 0;
	pen_error error;

	while (delivered < lsn)
	{
		pen_stream_message message;
		penstock_status status = PENSTOCK_AGAIN;

		if (pen_clock_ms() - fed_back_ms >= FEEDBACK_MS)
		{
			if (pen_stream_feedback(stream, delivered, 0, false, &error) < 0)
				die(error.text);
			fed_back_ms = pen_clock_ms();
		}
		if (atomic_load_explicit(&r->budget.used, memory_order_relaxed) < IN_FLIGHT_MAX)
			status = pen_stream_receive(stream, &message, &error);
		if (status < 0)
			die(error.text);
		if (status == PENSTOCK_AGAIN)
			wait_for_work(stream);
		else if (message.kind == PEN_STREAM_DATA)
			take_data(r, worker, &message);
		else if (!pen_assembler_in_transaction(r->assembler) && message.wal_end > delivered)
			delivered = message.wal_end;
		if (!pen_assembler_in_transaction(r->assembler) &&
			pen_assembler_end_lsn(r->assembler) > delivered)
			delivered = pen_assembler_end_lsn(r->assembler);
	}
}

static void
drain(pen_worker *worker, pen_stream *stream)
{
	pen_worker_status status;

	for (;;)
	{
		pen_worker_status_get(worker, &status);
		if (status.state != PEN_WORKER_STREAMING && status.state != PEN_WORKER_READY)
			die(status.error.text);
		if (status.drained)
			return;
		wait_for_work(stream);
	}
}

static uint64_t
parse_lsn(const char *text)
{
	unsigned int high;
	unsigned int low;

	if (sscanf(text, "%X/%X", &high, &low) != 2)
		die("the LSN is not one");
	return (uint64_t) high << 32 | low;
}

static void
from_slot(const char *conninfo, const char *slot, uint64_t lsn)
{
	static const pen_destination_config config = {.name = "tables"};
	static const pen_source_identity source;
	static const pen_log log;
	tables t = {.base = {.kind = &tables_kind, .config = &config}, .store = empty_store()};
	double from = now_s(CLOCK_MONOTONIC);
	pen_error error;
	pen_feed_options options = {0};
	pen_stream *stream;
	pen_worker *worker;
	pen_feed *feed;
	replay r;

	replay_init(&r);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	feed = pen_feed_new(&options, &error);
	worker = feed != NULL ? pen_worker_new(&t.base, feed, &source, &log, wake, NULL) : NULL;
	if (worker == NULL)
		die("out of memory");
	stream = pen_stream_open(conninfo, CONNECT_MS, &error);
	if (stream == NULL || pen_stream_start(stream, slot, 0, NULL, 0, &error) < 0 ||
		pen_worker_open(worker, &error) < 0 || pen_worker_run(worker, NULL, &error) < 0 ||
		pen_worker_push_start(worker, 1, FIRST_LSN, &error) < 0)
		die(error.text);
	receive_until(&r, stream, worker, lsn);
	drain(worker, stream);
	report(&r, t.store, now_s(CLOCK_MONOTONIC) - from);
	pen_stream_close(stream);
	pen_worker_free(worker);
	replay_reset(&r);
	close(wake_fd);
}

int
main(int argc, char **argv)
{
	if (argc == 3 && atoi(argv[2]) > 0)
		from_file(argv[1], atoi(argv[2]));
	else if (argc == 4)
		from_slot(argv[1], argv[2], parse_lsn(argv[3]));
	else
	{
		fprintf(stderr, "usage: replay FILE RUNS | replay CONNINFO SLOT LSN\n");
		return 2;
	}
	return 0;
}
