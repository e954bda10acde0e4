/* test_spool.c -- what goes into a spool comes out of it, each transaction once,
 * whatever was between. */
#include "history.h"
#include "top.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "destination/feed.h"
#include "destination/spool.h"

#define PATIENCE_MS 20000

/* The library's calls come here: a disk that fails. */
static atomic_bool disk_fails;

int
fdatasync(int fd)
{
	if (atomic_load(&disk_fails))
	{
		errno = EIO;
		return -1;
	}
	return fsync(fd);
}

static int
set_up(void **state)
{
	*state = NULL;
	atomic_store(&disk_fails, false);
	history_seed = 77;
	return make_top("test_spool");
}

static int
tear_down(void **state)
{
	(void) state;
	return remove_top();
}

static void
no_wake(void *context)
{
	(void) context;
}

static pen_spool_options
options_of(const char *name, uint64_t bytes_max, char directory[128])
{
	snprintf(directory, 128, "%s/%s", top, name);
	return (pen_spool_options){
		.directory = directory, .bytes_max = bytes_max, .segment_bytes_max = 2000, .wake = no_wake};
}

static pen_spool *
open_spool(const char *name, uint64_t bytes_max)
{
	char directory[128];
	pen_spool_options options = options_of(name, bytes_max, directory);
	pen_error error;
	pen_spool *spool = pen_spool_open(&options, &error);

	if (spool == NULL)
		fail_msg("%s", error.text);
	return spool;
}

static pen_spool_state
state_of(pen_spool *spool)
{
	pen_spool_state state;

	pen_spool_state_get(spool, &state);
	return state;
}

static void
wait_synced(pen_spool *spool)
{
	int64_t until = pen_clock_ms() + PATIENCE_MS;

	while (state_of(spool).synced_lsn < state_of(spool).end_lsn)
	{
		assert_true(pen_clock_ms() < until);
		usleep(500);
	}
}

static void
start(pen_spool *spool, uint64_t lsn)
{
	pen_error error;

	assert_int_equal(pen_spool_start(spool, lsn, &error), PENSTOCK_OK);
}

/* Events from first to before end, in chunks of any size. */
static void
write_events(pen_spool *spool, history *h, size_t first, size_t end, size_t filler)
{
	while (first < end)
	{
		size_t count = 1 + random_below(end - first < 7 ? end - first : 7);
		pen_chunk *chunk = history_chunk(h, first, count, filler);
		pen_error error;
		penstock_status status = pen_spool_chunk(spool, chunk, &error);

		pen_chunk_unref(chunk);
		if (status != PENSTOCK_OK)
			fail_msg("%d: %s", status, error.text);
		first += count;
	}
}

/* Whoever reads: has transactions, and is in the middle of one. */
typedef struct reader
{
	const history *h;
	uint64_t has; /* transactions; the next one is that */
	bool open;
	bool skipping;
	uint64_t sequence;
	size_t starts;
	uint64_t advanced_lsn;
} reader;

static void
take_event(reader *r, const penstock_event *event)
{
	uint64_t number = event->transaction->xid - 1;
	const history_transaction *t = &r->h->transactions[number];

	if (!r->open)
	{
		r->skipping = number < r->has;
		r->sequence = 0;
		/* In the middle only of one that it has. */
		assert_true(r->skipping || event->kind == PENSTOCK_BEGIN || t->alone);
	}
	r->open = event->kind < PENSTOCK_COMMIT;
	if (r->skipping)
		return;
	assert_int_equal(number, r->has);
	if (event->kind == PENSTOCK_INSERT)
	{
		assert_int_equal(event->sequence, ++r->sequence);
		assert_int_equal(history_number(event), number);
		assert_string_equal(event->relation->schema, "public");
	}
	else if (event->kind != PENSTOCK_BEGIN)
	{
		assert_int_equal(r->sequence, t->changes);
		assert_int_equal(event->transaction->end_lsn, t->end_lsn);
		r->has++;
	}
}

/* To the end of what there is; the status there. */
static penstock_status
read_all(pen_spool *spool, reader *r, pen_error *error)
{
	pen_spool_item item;
	penstock_status status;

	while ((status = pen_spool_next(spool, &item, error)) == PENSTOCK_OK)
	{
		if (item.kind == PEN_SPOOL_START)
		{
			r->open = false;
			r->starts++;
		}
		else if (item.kind == PEN_SPOOL_ADVANCE)
			r->advanced_lsn = item.lsn;
		for (size_t i = 0; item.kind == PEN_SPOOL_CHUNK && i < item.chunk->count; i++)
			take_event(r, &item.chunk->events[i]);
		if (item.kind == PEN_SPOOL_CHUNK)
			pen_chunk_unref(item.chunk);
	}
	return status;
}

static reader
read_from(pen_spool *spool, const history *h, uint64_t has)
{
	reader r = {.h = h, .has = has};
	pen_error error;

	assert_int_equal(
		pen_spool_rewind(spool, has == 0 ? 0 : h->transactions[has - 1].end_lsn, &error),
		PENSTOCK_OK);
	assert_int_equal(read_all(spool, &r, &error), PENSTOCK_AGAIN);
	return r;
}

/* ---- tests ---- */

static void
test_what_goes_in_comes_out(void **state)
{
	history *h = history_new(200, 50, true);
	pen_spool *spool = open_spool("s", 1 << 26);
	reader r;

	(void) state;
	assert_true(state_of(spool).empty);
	start(spool, 1000);
	write_events(spool, h, 0, h->event_count, 20);
	assert_int_equal(state_of(spool).from_lsn, 1000);
	assert_int_equal(state_of(spool).end_lsn, h->transactions[199].end_lsn);
	r = read_from(spool, h, 0);
	assert_int_equal(r.has, 200);
	assert_int_equal(r.starts, 1);
	wait_synced(spool);
	pen_spool_close(spool);
	spool = open_spool("s", 1 << 26);
	assert_int_equal(state_of(spool).from_lsn, 1000);
	assert_int_equal(state_of(spool).synced_lsn, h->transactions[199].end_lsn);
	for (uint64_t has = 0; has <= 200; has += 20)
		assert_int_equal(read_from(spool, h, has).has, 200);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_a_stream_that_begins_again_anywhere_brings_each_transaction_once(void **state)
{
	history *h = history_new(150, 50, true);
	pen_spool *spool = open_spool("s", 1 << 26);
	size_t at = 0;
	reader r;

	(void) state;
	start(spool, 1000);
	while (at < h->event_count)
	{
		size_t more = 1 + random_below(60);
		uint64_t end_lsn;
		uint64_t back;

		if (more > h->event_count - at)
			more = h->event_count - at;
		write_events(spool, h, at, at + more, 10);
		at += more;
		if (at == h->event_count)
			break;
		end_lsn = state_of(spool).end_lsn;
		back = random_below(3) * random_below(200);
		start(spool, end_lsn - (back < end_lsn - 1000 ? back : 0));
		at = history_find(h, end_lsn - (back < end_lsn - 1000 ? back : 0));
	}
	r = read_from(spool, h, 0);
	assert_int_equal(r.has, 150);
	assert_true(r.starts > 5);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_ends_of_prepared_transactions_count_and_are_not_left_out(void **state)
{
	history *h = history_new(300, 5, true);
	pen_spool *spool = open_spool("s", 1 << 26);
	size_t checked = 0;

	(void) state;
	start(spool, 1000);
	for (size_t i = 0; i < 300; i++)
	{
		write_events(spool, h, h->transactions[i].first, h->transactions[i + 1].first, 0);
		assert_int_equal(state_of(spool).end_lsn, h->transactions[i].end_lsn);
		if (i < 299 && i > 0 && h->transactions[i + 1].alone && !h->transactions[i].alone)
		{
			/* The one before is here; what stands by itself behind it is not. */
			start(spool, h->transactions[i].commit_lsn);
			write_events(spool, h, h->transactions[i].first, h->transactions[i + 1].first, 0);
			checked++;
		}
	}
	assert_true(checked > 20);
	assert_int_equal(read_from(spool, h, 0).has, 300);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_it_may_begin_in_the_middle_of_a_transaction_which_is_not_here_then(void **state)
{
	history *h = history_new(20, 5, false);
	const history_transaction *t = &h->transactions[7];
	pen_spool *spool = open_spool("s", 1 << 26);

	(void) state;
	write_events(spool, h, t->first + 1, t->first + 2, 0);
	assert_int_equal(state_of(spool).from_lsn, t->commit_lsn + 1);
	assert_true(state_of(spool).end_lsn <= t->commit_lsn);
	/* The stream begins anew before its end: it comes whole. */
	start(spool, t->commit_lsn);
	write_events(spool, h, t->first, h->event_count, 0);
	{
		pen_spool_item item;
		pen_error error;
		reader r = {.h = h, .has = 7};

		assert_int_equal(pen_spool_rewind(spool, 0, &error), PENSTOCK_OK);
		assert_int_equal(pen_spool_next(spool, &item, &error), PENSTOCK_OK);
		assert_int_equal(item.chunk->events[0].kind, PENSTOCK_INSERT);
		pen_chunk_unref(item.chunk);
		assert_int_equal(read_all(spool, &r, &error), PENSTOCK_AGAIN);
		assert_int_equal(r.has, 20);
	}
	pen_spool_close(spool);
	/* Of an earlier process: the same. */
	spool = open_spool("s", 1 << 26);
	assert_int_equal(state_of(spool).from_lsn, t->commit_lsn + 1);
	pen_spool_close(spool);
	history_free(h);
}

/* A copy of the directory is what kill -9 leaves. */
static void
copy_directory(const char *from, const char *to)
{
	char command[700];

	snprintf(command, sizeof(command),
			 "mkdir '%s/%s' && cp -p '%s/%s/synced' '%s/%s/' && cp -pn '%s/%s/'* '%s/%s/'", top, to,
			 top, from, top, to, top, from, top, to);
	assert_int_equal(system(command), 0);
}

static void
test_after_a_crash_what_was_synced_is_there_and_the_rest_comes_again(void **state)
{
	history *h = history_new(200, 40, true);
	pen_spool *spool = open_spool("0", 1 << 26);
	size_t at = 0;
	char name[16];
	char next[16];

	(void) state;
	start(spool, 1000);
	for (int life = 0; life < 12; life++)
	{
		size_t more = 1 + random_below(60);
		uint64_t synced_lsn;

		if (more > h->event_count - at)
			more = h->event_count - at;
		write_events(spool, h, at, at + more, 30);
		if (random_below(2) == 0)
			wait_synced(spool);
		synced_lsn = state_of(spool).synced_lsn;
		snprintf(name, sizeof(name), "%d", life);
		snprintf(next, sizeof(next), "%d", life + 1);
		copy_directory(name, next);
		pen_spool_close(spool);
		spool = open_spool(next, 1 << 26);
		assert_true(state_of(spool).end_lsn >= synced_lsn);
		assert_int_equal(state_of(spool).synced_lsn, state_of(spool).end_lsn);
		start(spool, state_of(spool).end_lsn);
		at = history_find(h, state_of(spool).end_lsn);
	}
	write_events(spool, h, at, h->event_count, 30);
	assert_int_equal(read_from(spool, h, 0).has, 200);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_what_is_given_up_is_not_promised_any_more(void **state)
{
	history *h = history_new(300, 20, false);
	pen_spool *spool = open_spool("s", 1 << 26);
	uint64_t bytes;
	uint64_t lsn = h->transactions[199].end_lsn;

	(void) state;
	start(spool, 1000);
	write_events(spool, h, 0, h->event_count, 50);
	bytes = state_of(spool).bytes;
	pen_spool_truncate(spool, 1000);
	assert_int_equal(state_of(spool).from_lsn, 1000);
	assert_int_equal(state_of(spool).bytes, bytes);
	pen_spool_truncate(spool, lsn);
	assert_true(state_of(spool).bytes < bytes / 2);
	assert_int_equal(state_of(spool).from_lsn, lsn);
	assert_int_equal(read_from(spool, h, 200).has, 300);
	pen_spool_close(spool);
	spool = open_spool("s", 1 << 26);
	assert_true(state_of(spool).from_lsn > 1000 && state_of(spool).from_lsn <= lsn);
	assert_int_equal(read_from(spool, h, 200).has, 300);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_a_reset_leaves_nothing(void **state)
{
	history *h = history_new(100, 20, false);
	pen_spool *spool = open_spool("s", 1 << 26);
	pen_error error;

	(void) state;
	start(spool, 1000);
	write_events(spool, h, 0, h->transactions[80].first + 1, 50);
	assert_int_equal(read_from(spool, h, 0).has, 80);
	assert_int_equal(pen_spool_reset(spool, &error), PENSTOCK_OK);
	assert_true(state_of(spool).empty);
	assert_int_equal(state_of(spool).bytes, 0);
	assert_int_equal(state_of(spool).end_lsn, 0);
	/* Anywhere, also before what it had. */
	start(spool, h->transactions[50].commit_lsn);
	write_events(spool, h, h->transactions[50].first, h->event_count, 50);
	assert_int_equal(read_from(spool, h, 50).has, 100);
	pen_spool_close(spool);
	spool = open_spool("s", 1 << 26);
	assert_int_equal(state_of(spool).from_lsn, h->transactions[50].commit_lsn);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_a_full_one_takes_the_rest_when_there_is_room(void **state)
{
	history *h = history_new(400, 10, false);
	pen_spool *spool = open_spool("s", 12000);
	reader r = {.h = h};
	size_t full = 0;
	pen_error error;

	(void) state;
	start(spool, 1000);
	for (size_t at = 0; at < h->event_count;)
	{
		size_t count = h->event_count - at < 5 ? h->event_count - at : 5;
		pen_chunk *chunk = history_chunk(h, at, count, 100);
		penstock_status status = pen_spool_chunk(spool, chunk, &error);

		if (status == PEN_SPOOL_FULL)
		{
			uint64_t bytes = state_of(spool).bytes;

			/* Asking again takes nothing. */
			for (int i = 0; i < 50; i++)
				assert_int_equal(pen_spool_chunk(spool, chunk, &error), PEN_SPOOL_FULL);
			assert_true(state_of(spool).bytes <= bytes + 200);
			assert_true(state_of(spool).bytes <= 12000);
			assert_int_equal(read_all(spool, &r, &error), PENSTOCK_AGAIN);
			assert_true(r.has > 0);
			pen_spool_truncate(spool, h->transactions[r.has - 1].end_lsn);
			full++;
		}
		else
		{
			assert_int_equal(status, PENSTOCK_OK);
			at += count;
		}
		pen_chunk_unref(chunk);
	}
	assert_true(full > 3);
	assert_int_equal(read_all(spool, &r, &error), PENSTOCK_AGAIN);
	assert_int_equal(r.has, 400);
	pen_spool_close(spool);
	history_free(h);
}

static void
test_where_the_disk_fails_what_was_synced_stays_and_the_rest_comes_again(void **state)
{
	history *h = history_new(120, 20, true);
	pen_spool *spool = open_spool("s", 1 << 26);
	int64_t until = pen_clock_ms() + PATIENCE_MS;
	pen_spool_state before;
	pen_error error;
	reader r = {.h = h};

	(void) state;
	start(spool, 1000);
	write_events(spool, h, 0, h->transactions[40].first, 10);
	wait_synced(spool);
	before = state_of(spool);
	atomic_store(&disk_fails, true);
	write_events(spool, h, h->transactions[40].first, h->transactions[40].first + 3, 10);
	while (!state_of(spool).failed)
	{
		assert_true(pen_clock_ms() < until);
		usleep(500);
	}
	assert_int_equal(state_of(spool).synced_lsn, before.synced_lsn);
	/* Its end is not the end of everything. */
	assert_int_equal(read_all(spool, &r, &error), PENSTOCK_E_RETRY);
	assert_true(r.has >= 40);
	/* While it still fails, nothing is worse afterwards. */
	assert_true(pen_spool_mend(spool, &error) < 0);
	assert_true(state_of(spool).failed);
	atomic_store(&disk_fails, false);
	assert_int_equal(pen_spool_mend(spool, &error), PENSTOCK_OK);
	assert_false(state_of(spool).failed);
	assert_int_equal(state_of(spool).end_lsn, before.end_lsn);
	assert_int_equal(state_of(spool).from_lsn, 1000);
	start(spool, before.end_lsn);
	write_events(spool, h, h->transactions[40].first, h->event_count, 10);
	assert_int_equal(read_from(spool, h, 0).has, 120);
	wait_synced(spool);
	pen_spool_close(spool);
	history_free(h);
}

/* ---- the feed around it ---- */

static pen_feed *
new_feed(const char *name, size_t queue_bytes_max, uint64_t bytes_max)
{
	char directory[128];
	pen_feed_options options = {.spool = options_of(name, bytes_max, directory),
								.queue_bytes_max = queue_bytes_max};
	pen_error error;
	pen_feed *feed = pen_feed_new(&options, &error);

	assert_non_null(feed);
	return feed;
}

static void
push(pen_feed *feed, history *h, size_t first, size_t end)
{
	pen_chunk *chunk = history_chunk(h, first, end - first, 100);
	pen_error error;

	assert_int_equal(pen_feed_chunk(feed, chunk, &error), PENSTOCK_OK);
	pen_chunk_unref(chunk);
}

/* All that comes now; the status at the end. */
static penstock_status
pop_all(pen_feed *feed, reader *r)
{
	penstock_status status;
	pen_error error;
	pen_item item;
	pen_feed_stream stream;

	while ((status = pen_feed_pop(feed, &item, true, 0, &error)) == PENSTOCK_OK)
	{
		const pen_chunk *chunk = item.pointer;

		if (item.kind == PEN_FEED_START)
		{
			stream = *(const pen_feed_stream *) item.pointer;
			assert_true(stream.lsn > 0);
			r->open = false;
			r->starts++;
		}
		else if (item.kind == PEN_FEED_ADVANCE)
			r->advanced_lsn = item.number;
		for (size_t i = 0; item.kind == PEN_FEED_CHUNK && i < chunk->count; i++)
			take_event(r, &chunk->events[i]);
		pen_feed_release(&item);
	}
	return status;
}

static void
test_an_interrupt_is_never_slept_over(void **state)
{
	pen_feed *feed = new_feed("s", 1000, 1 << 20);
	pen_error error;
	pen_item item;

	(void) state;
	pen_feed_interrupt(feed);
	assert_int_equal(pen_feed_pop(feed, &item, false, -1, &error), PENSTOCK_AGAIN);
	pen_feed_interrupt(feed);
	assert_int_equal(pen_feed_pop(feed, &item, true, -1, &error), PENSTOCK_AGAIN);
	pen_feed_free(feed);
}

static void
test_an_interrupt_does_not_bring_the_disk_before_memory(void **state)
{
	history *h = history_new(10, 5, false);
	pen_feed *feed = new_feed("s", 1, 1 << 20);
	reader r = {.h = h};
	pen_error error;

	(void) state;
	assert_int_equal(pen_feed_start(feed, 1, 1000, &error), PENSTOCK_OK);
	push(feed, h, 0, h->transactions[3].first);
	push(feed, h, h->transactions[3].first, h->event_count);
	assert_false(pen_feed_caught_up(feed));
	pen_feed_interrupt(feed);
	assert_int_equal(pop_all(feed, &r), PENSTOCK_AGAIN);
	assert_int_equal(pop_all(feed, &r), PENSTOCK_AGAIN);
	assert_int_equal(r.has, 10);
	pen_feed_free(feed);
	history_free(h);
}

static void
test_from_memory_to_disk_to_both_and_back(void **state)
{
	history *h = history_new(40, 5, false);
	pen_feed *feed = new_feed("s", 1, 1 << 20);
	const history_transaction *t = h->transactions;
	reader r = {.h = h};
	pen_feed_state s;
	pen_error error;

	(void) state;
	assert_int_equal(pen_feed_start(feed, 1, 1000, &error), PENSTOCK_OK);
	push(feed, h, 0, t[5].first);
	pen_feed_state_get(feed, &s);
	assert_false(s.spooling);
	assert_int_equal(pen_feed_resume_lsn(feed, 1000), 1000);
	/* Crowded: to disk, behind what is in memory,
	 * which is not counted for one that has not got it. */
	push(feed, h, t[5].first, t[10].first);
	pen_feed_state_get(feed, &s);
	assert_true(s.spooling && s.behind);
	assert_int_equal(pen_feed_from_lsn(feed), t[5].commit_lsn);
	assert_int_equal(pen_feed_secured_lsn(feed, 1000), 1000);
	assert_int_equal(pen_feed_resume_lsn(feed, 1000), 1000);
	assert_int_equal(pen_feed_resume_lsn(feed, t[5].commit_lsn), t[9].end_lsn);
	/* The reader is at the end: both. */
	while (pop_all(feed, &r) != PENSTOCK_AGAIN || !pen_feed_caught_up(feed))
		;
	assert_int_equal(r.has, 10);
	push(feed, h, t[10].first, t[11].first);
	assert_int_equal(pop_all(feed, &r), PENSTOCK_AGAIN);
	assert_int_equal(r.has, 11);
	assert_true(pen_feed_secured_lsn(feed, t[5].commit_lsn) <= t[9].end_lsn);
	assert_int_equal(pen_feed_resume_lsn(feed, t[5].commit_lsn), t[10].end_lsn);
	assert_int_equal(pen_feed_durable(feed, t[9].end_lsn - 1, &error), PENSTOCK_OK);
	pen_feed_state_get(feed, &s);
	assert_true(s.spooling);
	assert_int_equal(pen_feed_durable(feed, t[9].end_lsn, &error), PENSTOCK_OK);
	pen_feed_state_get(feed, &s);
	assert_false(s.spooling);
	assert_int_equal(s.spool_bytes, 0);
	push(feed, h, t[11].first, h->event_count);
	assert_int_equal(pop_all(feed, &r), PENSTOCK_AGAIN);
	assert_int_equal(r.has, 40);
	assert_int_equal(r.starts, 2); /* what is on disk begins with one */
	pen_feed_free(feed);
	history_free(h);
}

static void *
sleep_until_something_comes(void *feed)
{
	pen_error error;
	pen_item item;

	if (pen_feed_pop(feed, &item, true, -1, &error) == PENSTOCK_OK)
		pen_feed_release(&item);
	return NULL;
}

static void
test_who_sleeps_is_woken_when_all_goes_to_disk(void **state)
{
	history *h = history_new(20, 5, false);
	pen_feed *feed = new_feed("s", 1, 1 << 20);
	const history_transaction *t = h->transactions;
	reader r = {.h = h};
	pthread_t sleeper;
	struct timespec until;
	pen_error error;

	(void) state;
	assert_int_equal(pen_feed_start(feed, 1, 1000, &error), PENSTOCK_OK);
	push(feed, h, 0, t[5].first);
	push(feed, h, t[5].first, t[10].first);
	while (pop_all(feed, &r) != PENSTOCK_AGAIN || !pen_feed_caught_up(feed))
		;
	/* The stream begins anew, on disk: one who waits for memory hears of it. */
	assert_int_equal(pthread_create(&sleeper, NULL, sleep_until_something_comes, feed), 0);
	usleep(20000);
	assert_int_equal(pen_feed_start(feed, 2, t[9].end_lsn, &error), PENSTOCK_OK);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	assert_int_equal(pthread_timedjoin_np(sleeper, NULL, &until), 0);
	push(feed, h, t[10].first, h->event_count);
	while (pop_all(feed, &r) != PENSTOCK_AGAIN || !pen_feed_caught_up(feed))
		;
	assert_int_equal(r.has, 20);
	pen_feed_free(feed);
	history_free(h);
}

static void
test_a_start_without_room_on_disk_is_told_before_what_follows_in_memory(void **state)
{
	history *h = history_new(60, 3, false);
	pen_feed *feed = new_feed("s", 100, 4000);
	const history_transaction *t = h->transactions;
	pen_feed_state s = {0};
	reader r = {.h = h};
	size_t at = t[1].first;
	size_t kept;
	pen_error error;

	(void) state;
	assert_int_equal(pen_feed_start(feed, 1, 1000, &error), PENSTOCK_OK);
	push(feed, h, 0, at);
	for (; !s.full && at < h->event_count; pen_feed_state_get(feed, &s))
	{
		push(feed, h, at, at + 1);
		at += !pen_feed_is_full(feed);
	}
	assert_true(s.full && at < h->event_count);
	/* Again from the last whole one, where there may be an open one behind it. */
	kept = (size_t) h->events[at].transaction;
	assert_int_equal(pen_feed_start(feed, 2, t[kept].commit_lsn, &error), PENSTOCK_OK);
	assert_false(pen_feed_is_full(feed));
	while (pop_all(feed, &r) != PENSTOCK_AGAIN || !pen_feed_caught_up(feed))
		;
	assert_int_equal(r.has, kept);
	assert_int_equal(r.starts, 3); /* in memory, where the disk begins, and this one */
	assert_false(r.open);
	push(feed, h, t[kept].first, t[kept + 1].first);
	for (int i = 0; i < 5 && r.has == kept; i++)
	{
		assert_int_equal(pen_feed_durable(feed, t[kept - 1].end_lsn, &error), PENSTOCK_OK);
		assert_int_equal(pop_all(feed, &r), PENSTOCK_AGAIN);
	}
	assert_int_equal(r.has, kept + 1);
	pen_feed_free(feed);
	history_free(h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_goes_in_comes_out),
		TEST(test_a_stream_that_begins_again_anywhere_brings_each_transaction_once),
		TEST(test_ends_of_prepared_transactions_count_and_are_not_left_out),
		TEST(test_it_may_begin_in_the_middle_of_a_transaction_which_is_not_here_then),
		TEST(test_after_a_crash_what_was_synced_is_there_and_the_rest_comes_again),
		TEST(test_what_is_given_up_is_not_promised_any_more),
		TEST(test_a_reset_leaves_nothing),
		TEST(test_a_full_one_takes_the_rest_when_there_is_room),
		TEST(test_where_the_disk_fails_what_was_synced_stays_and_the_rest_comes_again),
		TEST(test_an_interrupt_is_never_slept_over),
		TEST(test_an_interrupt_does_not_bring_the_disk_before_memory),
		TEST(test_from_memory_to_disk_to_both_and_back),
		TEST(test_who_sleeps_is_woken_when_all_goes_to_disk),
		TEST(test_a_start_without_room_on_disk_is_told_before_what_follows_in_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
