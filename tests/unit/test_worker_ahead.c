/* test_worker_ahead.c -- changes of a transaction in progress: each is at the destination once, whether
 * it was taken ahead or not. */
#include "worker_scene.h"

/* ---- a destination that takes them ---- */

static struct
{
	int room;     /* changes that it takes before it gives up */
	bool refuses; /* the claim */
} plan;

static bool
fake_ahead(pen_destination *destination, const penstock_event *event, bool first)
{
	fake *self = enter(destination);
	bool taken = plan.room-- > 0;

	note(self->s, taken ? "%s%d " : "x%.0s%d ", first ? "A" : "a", (int) event->sequence);
	leave(self, PENSTOCK_OK);
	return taken;
}

static bool
fake_claim(pen_destination *destination, const penstock_transaction *transaction)
{
	fake *self = enter(destination);

	note(self->s, plan.refuses ? "refuse%d " : "claim%d ", (int) transaction->xid);
	leave(self, PENSTOCK_OK);
	return !plan.refuses;
}

static void
fake_forgo(pen_destination *destination)
{
	fake *self = enter(destination);

	note(self->s, "forgo ");
	leave(self, PENSTOCK_OK);
}

static int
set_up_ahead(void **state)
{
	static pen_destination_kind kind;
	scene *s;

	kind = keeping;
	kind.ahead = fake_ahead;
	kind.claim = fake_claim;
	kind.forgo = fake_forgo;
	*state = s = new_scene(&kind);
	plan.room = 1000;
	plan.refuses = false;
	run(s);
	stream(s, 1, 100);
	forget_log(s);
	return 0;
}

static pen_chunk *
changes(scene *s, uint32_t xid, uint64_t from, uint64_t to, uint64_t commit_lsn, const char *around)
{
	const penstock_transaction transaction = {.xid = xid, .commit_lsn = commit_lsn};
	const penstock_transaction ended = {
		.xid = xid, .commit_lsn = commit_lsn, .end_lsn = commit_lsn + 8};
	pen_chunk *chunk = pen_chunk_new(malloc(100), 100, free);
	penstock_event *event;

	if (around[0] == 'B')
	{
		event = pen_chunk_add(chunk);
		event->kind = PENSTOCK_BEGIN;
		event->transaction = pen_chunk_transaction(chunk, &transaction);
	}
	for (uint64_t i = from; i <= to; i++)
	{
		event = pen_chunk_add(chunk);
		event->kind = PENSTOCK_INSERT;
		event->sequence = i;
		event->transaction = pen_chunk_transaction(chunk, &transaction);
	}
	if (around[0] != '\0' && around[strlen(around) - 1] == 'C')
	{
		event = pen_chunk_add(chunk);
		event->kind = PENSTOCK_COMMIT;
		event->transaction = pen_chunk_transaction(chunk, &ended);
	}
	pen_chunk_seal(chunk, &s->budget);
	return chunk;
}

static void
push_ahead(scene *s, uint32_t xid, uint64_t before, uint64_t from, uint64_t to)
{
	pen_chunk *chunk = changes(s, xid, from, to, 0, "");

	assert_true(pen_feed_ahead(pen_worker_feed(s->worker), chunk, before));
	pen_chunk_unref(chunk);
	wait_drained(s);
}

static void
push_whole(scene *s, uint32_t xid, uint64_t commit_lsn, uint64_t count)
{
	pen_chunk *chunk = changes(s, xid, 1, count, commit_lsn, "BC");
	pen_error error;

	assert_int_equal(pen_feed_chunk(pen_worker_feed(s->worker), chunk, &error), PENSTOCK_OK);
	pen_chunk_unref(chunk);
}

/* ---- tests ---- */

static void
test_each_change_is_there_once(void **state)
{
	scene *s = *state;

	push_ahead(s, 9, 0, 1, 2);
	push(s, 110, "BIC");
	wait_drained(s);
	push_ahead(s, 9, 2, 3, 3);
	push_whole(s, 9, 120, 5);
	wait_drained(s);
	expect_log(s, "A1 a2 B110 I C110 flush a3 claim9 B120 I I C120 flush ");
	assert_int_equal(status_of(s).ahead, 1);
	assert_int_equal(status_of(s).ahead_undone, 0);
}

static void
test_what_is_committed_before_is_flushed_before(void **state)
{
	scene *s = *state;
	pen_chunk *chunk = changes(s, 9, 1, 1, 0, "");

	hold(s, APPLY, true);
	push(s, 110, "BIC");
	assert_true(pen_feed_ahead(pen_worker_feed(s->worker), chunk, 0));
	pen_chunk_unref(chunk);
	/* This one overtakes it: nothing of it can touch the same rows. */
	push(s, 130, "BIC");
	hold(s, APPLY, false);
	wait_drained(s);
	expect_log(s, "B110 I C110 B130 I C130 flush A1 ");
}

static void
test_its_end_does_not_overtake_it(void **state)
{
	scene *s = *state;
	pen_chunk *chunk = changes(s, 9, 1, 1, 0, "");

	hold(s, APPLY, true);
	push(s, 110, "BIC");
	assert_true(pen_feed_ahead(pen_worker_feed(s->worker), chunk, 0));
	pen_chunk_unref(chunk);
	pen_feed_ahead_ends(pen_worker_feed(s->worker));
	push_whole(s, 9, 130, 1);
	hold(s, APPLY, false);
	wait_drained(s);
	expect_log(s, "B110 I C110 flush A1 claim9 B130 C130 flush ");
}

static void
test_one_that_gives_up_gets_all_of_it_at_the_commit(void **state)
{
	scene *s = *state;

	plan.room = 2;
	push_ahead(s, 9, 0, 1, 2);
	push_ahead(s, 9, 2, 3, 4);
	push_ahead(s, 9, 4, 5, 5);
	push_whole(s, 9, 120, 5);
	wait_drained(s);
	expect_log(s, "A1 a2 x3 B120 I I I I I C120 flush ");
	assert_int_equal(status_of(s).ahead, 0);
	assert_int_equal(status_of(s).ahead_undone, 1);
}

static void
test_one_that_cannot_claim_gets_all_of_it(void **state)
{
	scene *s = *state;

	plan.refuses = true;
	push_ahead(s, 9, 0, 1, 2);
	push_whole(s, 9, 120, 3);
	wait_drained(s);
	expect_log(s, "A1 a2 refuse9 B120 I I I C120 flush ");
}

static void
test_a_part_that_is_missing_undoes_it(void **state)
{
	scene *s = *state;

	push_ahead(s, 9, 0, 1, 2);
	push_ahead(s, 9, 3, 4, 4);
	push_whole(s, 9, 120, 4);
	wait_drained(s);
	expect_log(s, "A1 a2 forgo B120 I I I I C120 flush ");
}

static void
test_one_that_was_voided_is_undone_at_once(void **state)
{
	scene *s = *state;

	push_ahead(s, 9, 0, 1, 2);
	pen_feed_forgo(pen_worker_feed(s->worker), 8);
	pen_feed_forgo(pen_worker_feed(s->worker), 9);
	wait_drained(s);
	push_ahead(s, 10, 0, 1, 1);
	push_whole(s, 10, 120, 1);
	wait_drained(s);
	expect_log(s, "A1 a2 forgo A1 claim10 B120 C120 flush ");
}

static void
test_one_that_the_destination_has_is_undone(void **state)
{
	scene *s = *state;

	push(s, 300, "BIC");
	wait_drained(s);
	push_ahead(s, 9, 0, 1, 2);
	push_whole(s, 9, 120, 2);
	wait_drained(s);
	expect_log(s, "B300 I C300 flush A1 a2 forgo ");
}

static void
test_a_stream_that_begins_anew_undoes_it(void **state)
{
	scene *s = *state;
	pen_chunk *chunk = changes(s, 9, 3, 3, 0, "");

	push_ahead(s, 9, 0, 1, 2);
	hold(s, APPLY, true);
	push(s, 110, "BIC");
	assert_true(pen_feed_ahead(pen_worker_feed(s->worker), chunk, 2));
	pen_chunk_unref(chunk);
	assert_int_equal(push_start(s, 2, 100), PENSTOCK_OK);
	hold(s, APPLY, false);
	wait_drained(s);
	push_whole(s, 9, 120, 3);
	wait_drained(s);
	expect_log(s, "A1 a2 B110 I C110 forgo start:100 B120 I I I C120 flush ");
}

/* Claimed, and then something is wrong with it: again, and not ahead. */
static void
test_what_fails_when_it_is_claimed_does_not_go_ahead_again(void **state)
{
	scene *s = *state;

	push_ahead(s, 9, 0, 1, 2);
	tell(s, APPLY, 1, PENSTOCK_E_RETRY);
	push_whole(s, 9, 120, 3);
	wait_state(s, PEN_WORKER_READY);
	forget_log(s);
	stream(s, 2, 100);
	push_ahead(s, 9, 0, 1, 2);
	push_whole(s, 9, 120, 3);
	wait_drained(s);
	expect_log(s, "start:100 B120 I I I C120 flush ");
	push_ahead(s, 10, 0, 1, 1);
	wait_log(s, "flush A1 ");
}

static void
expect_failure(scene *s, pen_chunk *chunk)
{
	pen_error error;

	assert_int_equal(pen_feed_chunk(pen_worker_feed(s->worker), chunk, &error), PENSTOCK_OK);
	pen_chunk_unref(chunk);
	wait_state(s, PEN_WORKER_READY);
	assert_non_null(strstr(status_of(s).error.text, "is not what came of it before"));
	pthread_mutex_lock(&s->lock);
	assert_null(strstr(s->log, "C120"));
	pthread_mutex_unlock(&s->lock);
}

static void
test_fewer_changes_than_were_taken_are_never_committed(void **state)
{
	scene *s = *state;

	push_ahead(s, 9, 0, 1, 3);
	expect_failure(s, changes(s, 9, 1, 2, 120, "BC"));
}

static void
test_other_changes_than_were_taken_are_never_committed(void **state)
{
	scene *s = *state;

	push_ahead(s, 9, 0, 2, 4); /* as if the first one had been left out since */
	expect_failure(s, changes(s, 9, 1, 5, 120, "BC"));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_ahead, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_each_change_is_there_once),
		TEST(test_what_is_committed_before_is_flushed_before),
		TEST(test_its_end_does_not_overtake_it),
		TEST(test_one_that_gives_up_gets_all_of_it_at_the_commit),
		TEST(test_one_that_cannot_claim_gets_all_of_it),
		TEST(test_a_part_that_is_missing_undoes_it),
		TEST(test_one_that_was_voided_is_undone_at_once),
		TEST(test_one_that_the_destination_has_is_undone),
		TEST(test_a_stream_that_begins_anew_undoes_it),
		TEST(test_what_fails_when_it_is_claimed_does_not_go_ahead_again),
		TEST(test_fewer_changes_than_were_taken_are_never_committed),
		TEST(test_other_changes_than_were_taken_are_never_committed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
