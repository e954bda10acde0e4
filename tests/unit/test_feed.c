/* test_feed.c -- what waits for destinations, in memory and on disk: whatever happens, each gets
 * each transaction once, and nothing is confirmed that could be lost.
 * The source and the destinations are made up, and die, stop, and lose what is not durable as a
 * random number says. */
#include "feed_world.h"

/* ---- all at once ---- */

static const char *
knob(const char *name, const char *otherwise)
{
	return getenv(name) != NULL ? getenv(name) : otherwise;
}

static void
test_nothing_is_lost_or_doubled_whatever_happens(void **state)
{
	static const struct
	{
		size_t queue_bytes;
		uint64_t spool_bytes;
		uint64_t segment_bytes;
		size_t filler;
	} shapes[] = {{100000, 1 << 26, 4000, 10},
				  {3000, 1 << 26, 2000, 100},
				  {1, 1 << 26, 20000, 10},
				  {2000, 20000, 3000, 100},
				  {20000, 8000, 1000, 300}};
	uint64_t seed = strtoull(knob("PENSTOCK_SEED", "1"), NULL, 10);
	uint64_t rounds = strtoull(knob("PENSTOCK_ROUNDS", "1"), NULL, 10);

	(void) state;
	for (uint64_t i = 0; i < rounds; i++)
	{
		for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
		{
			pen_feed_options options = {.spool = {.bytes_max = shapes[s].spool_bytes,
												  .segment_bytes_max = shapes[s].segment_bytes},
										.queue_bytes_max = shapes[s].queue_bytes};

			if (getenv("VERBOSE") != NULL)
				fprintf(stderr, "== seed %d shape %d\n", (int) (seed + i), (int) s);
			run_world(seed + i, &options, shapes[s].filler, 600);
		}
	}
}

/* ---- one thing at a time ---- */

static const pen_feed_options ordinary = {
	.spool = {.bytes_max = 1 << 26, .segment_bytes_max = 4000}, .queue_bytes_max = 100000};

static void
survey_until(world *w, bool (*condition)(world *w, const pen_survey *found))
{
	int64_t until = pen_clock_ms() + PATIENCE_MS;
	pen_survey found = {0};

	for (bool done = false; !done; usleep(500))
	{
		if (pen_clock_ms() > until)
		{
			tell_state(w);
			fail_msg("it does not come about");
		}
		pen_survey_look(&w->p, &found);
		if (found.wants_stream && w->p.stop_requested == 0)
			begin_stream(w);
		done = condition(w, &found);
	}
}

static pen_worker_state
state_of(world *w, size_t i)
{
	pen_worker_status status;

	pen_worker_status_get(w->p.workers[i], &status);
	return status.state;
}

static bool
all_stream(world *w, const pen_survey *found)
{
	(void) found;
	return state_of(w, 0) == PEN_WORKER_STREAMING && state_of(w, 1) == PEN_WORKER_STREAMING;
}

static bool
far_is_away(world *w, const pen_survey *found)
{
	if (w->p.absent_since_ms[1] != 0)
		w->p.absent_since_ms[1] -= 2000;
	return found->spooling == 1 && w->p.parked[1] && w->p.fed[1];
}

static bool
far_is_ready(world *w, const pen_survey *found)
{
	(void) found;
	return state_of(w, 1) == PEN_WORKER_READY;
}

static bool
is_settled(world *w, const pen_survey *found)
{
	push_advance(w);
	return found->settled;
}

/* Of the stream, to the next boundary. */
static size_t
rest_of_transaction(world *w)
{
	size_t rest = 0;

	while (history_is_within(w->h, w->next + rest))
		rest++;
	return rest;
}

static bool
far_is_let_go(world *w, const pen_survey *found)
{
	(void) found;
	return !w->p.fed[1];
}

static bool
is_full(world *w, const pen_survey *found)
{
	(void) found;
	receive(w, 5);
	return pen_feed_is_full(pen_worker_feed(w->p.workers[1]));
}

static void
test_who_stops_does_not_wait_for_one_that_waits_for_a_stream(void **state)
{
	world *w = new_world(1, &ordinary, 10, 20);

	(void) state;
	begin_life(w);
	survey_until(w, all_stream);
	w->p.stop_requested = 1;
	receive(w, 3);
	crash(&w->databases[1]);
	receive(w, rest_of_transaction(w));
	bring_up(&w->databases[1]);
	survey_until(w, far_is_ready);
	survey_until(w, is_settled);
	free_world(w);
}

static void
test_who_stops_does_not_wait_for_room_on_disk(void **state)
{
	pen_feed_options options = ordinary;
	world *w;

	(void) state;
	options.spool.bytes_max = 8000;
	options.spool.segment_bytes_max = 0;
	w = new_world(1, &options, 300, 100);
	w->databases[1].up = false;
	begin_life(w);
	survey_until(w, far_is_away);
	survey_until(w, is_full);
	w->p.stop_requested = 1;
	survey_until(w, far_is_let_go);
	receive(w, rest_of_transaction(w));
	survey_until(w, is_settled);
	feedback(w);
	/* What it has not got on disk is not confirmed. */
	assert_true(w->confirmed_lsn <= pen_feed_end_lsn(pen_worker_feed(w->p.workers[1])));
	w->p.stop_requested = 0;
	die(w);
	begin_life(w);
	finish(w);
	free_world(w);
}

/* Whole transactions, a part of one, and then the stream begins anew: as it stands on disk. */
static void
test_a_part_of_a_transaction_on_disk_is_told_from_whole_ones(void **state)
{
	world *w = new_world(3, &ordinary, 10, 60);
	const history_transaction *t = w->h->transactions;
	size_t broken_off = 20;
	char directory[128];
	pen_spool *spool;
	pen_error error;

	(void) state;
	while (t[broken_off].changes < 5)
		broken_off++;
	path_of(directory, "far", 0);
	spool = pen_spool_open(
		&(pen_spool_options){.directory = directory, .bytes_max = 1 << 26, .wake = no_wake},
		&error);
	assert_int_equal(pen_spool_start(spool, 500, &error), PENSTOCK_OK);
	for (size_t i = 0; i < 2; i++)
	{
		size_t first = i == 0 ? 0 : t[broken_off].first;
		size_t end = i == 0 ? t[broken_off].first + 3 : t[40].first;
		pen_chunk *chunk = history_chunk(w->h, first, end - first, 10);

		assert_int_equal(pen_spool_chunk(spool, chunk, &error), PENSTOCK_OK);
		pen_chunk_unref(chunk);
		assert_int_equal(pen_spool_start(spool, t[broken_off].commit_lsn, &error), PENSTOCK_OK);
	}
	pen_spool_close(spool);
	w->databases[1].lazy = true;
	begin_life(w);
	finish(w);
	free_world(w);
}

/* The slot went on while it was away: what is missing between its spool and the
 * stream is no secret. */
static void
test_a_spool_that_ends_before_the_stream_begins_is_not_gone_on_with(void **state)
{
	world *w = new_world(5, &ordinary, 10, 60);
	const history_transaction *t = w->h->transactions;
	pen_feed *feed;

	(void) state;
	w->databases[1].up = false;
	begin_life(w);
	survey_until(w, far_is_away);
	receive(w, t[10].first);
	die(w);
	w->confirmed_lsn = t[30].commit_lsn;
	w->databases[0].stored = w->databases[0].durable = 30;
	w->databases[0].stored_lsn = w->databases[0].durable_lsn = t[30].commit_lsn;
	begin_life(w);
	survey_until(w, far_is_away);
	feed = pen_worker_feed(w->p.workers[1]);
	assert_int_equal(pen_feed_from_lsn(feed), t[30].commit_lsn);
	free_world(w);
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_who_stops_does_not_wait_for_one_that_waits_for_a_stream),
		TEST(test_who_stops_does_not_wait_for_room_on_disk),
		TEST(test_a_part_of_a_transaction_on_disk_is_told_from_whole_ones),
		TEST(test_a_spool_that_ends_before_the_stream_begins_is_not_gone_on_with),
		TEST(test_nothing_is_lost_or_doubled_whatever_happens)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
