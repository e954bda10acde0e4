/* test_worker.c -- one destination driven through everything that can happen to it. */
#include "worker_scene.h"

/* ---- streaming ---- */

static void
test_transactions_before_the_position_are_skipped_and_no_others(void **state)
{
	scene *s = *state;

	s->stored_lsn = 200;
	run(s);
	assert_int_equal(status_of(s).stored_lsn, 200);
	stream(s, 1, 100);
	push(s, 150, "BIC");
	push(s, 192, "BI"); /* it ends exactly at the position */
	push(s, 192, "I");
	push(s, 192, "C");
	push(s, 199, "BIC");
	wait_drained(s);
	expect_log(s, "open start:100 ");
	push(s, 200, "BIC");
	wait_drained(s);
	expect_log(s, "open start:100 B200 I C200 flush ");
	assert_int_equal(status_of(s).position.applied_lsn, 208);
	assert_int_equal(status_of(s).position.durable_lsn, 208);
}

static void
test_a_destination_is_drained_only_between_transactions(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BI");
	wait_log(s, "I ");
	usleep(20000);
	assert_false(status_of(s).drained);
	expect_log(s, "open start:100 B110 I "); /* and nothing is committed within one */
	hold(s, FLUSH, true);
	push(s, 110, "C");
	wait_log(s, "C110 flush ");
	assert_false(status_of(s).drained);
	assert_int_equal(status_of(s).position.durable_lsn, 100);
	hold(s, FLUSH, false);
	wait_drained(s);
	assert_int_equal(status_of(s).position.durable_lsn, 118);
	assert_int_equal(queue_bytes(s), 0);
}

static void
test_what_is_queued_counts_until_it_is_done(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	hold(s, APPLY, true);
	push(s, 110, "BIC");
	push(s, 120, "BIC");
	assert_true(queue_bytes(s) >= 200);
	assert_false(status_of(s).drained);
	hold(s, APPLY, false);
	wait_drained(s);
	wait_log(s, "C120 flush ");
	assert_int_equal(status_of(s).position.applied_lsn, 128);
}

static void
test_an_advance_flushes_first_and_never_goes_back(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	hold(s, APPLY, true);
	push(s, 110, "BIC");
	assert_int_equal(push_advance(s, 300), PENSTOCK_OK);
	assert_int_equal(push_advance(s, 300), PENSTOCK_OK);
	assert_int_equal(push_advance(s, 250), PENSTOCK_OK);
	hold(s, APPLY, false);
	wait_drained(s);
	expect_log(s, "open start:100 B110 I C110 flush advance:300 ");
	assert_int_equal(status_of(s).position.durable_lsn, 300);
}

static void
test_an_advance_within_a_transaction_is_no_advance(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BI");
	assert_int_equal(push_advance(s, 300), PENSTOCK_OK);
	push(s, 110, "C");
	wait_drained(s);
	expect_log(s, "open start:100 B110 I C110 flush ");
	assert_int_equal(status_of(s).position.durable_lsn, 118);
}

static void
test_what_becomes_durable_later_is_told_without_being_asked(void **state)
{
	scene *s = *state;
	int64_t until = pen_clock_ms() + PATIENCE_MS;
	int wakes;

	s->sync_after = 5;
	run(s);
	stream(s, 1, 100);
	wakes = atomic_load(&s->wakes);
	push(s, 110, "BIC");
	while (status_of(s).position.durable_lsn != 118 && pen_clock_ms() < until)
		usleep(500);
	assert_int_equal(status_of(s).position.durable_lsn, 118);
	assert_true(atomic_load(&s->wakes) > wakes);
}

static void
test_a_new_stream_forgets_the_open_transaction(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BI");
	wait_log(s, "I ");
	stream(s, 2, 100); /* drained: nothing is open */
	push(s, 110, "BIC");
	wait_drained(s);
	expect_log(s, "open start:100 B110 I start:100 B110 I C110 flush ");
}

/* ---- failing and coming back ---- */

static void
test_a_failure_closes_and_opens_again_after_a_while(void **state)
{
	scene *s = *state;
	int64_t before;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BIC");
	wait_drained(s);
	forget_log(s);
	s->fail_lsn = 120;
	tell(s, APPLY, 1, PENSTOCK_E_RETRY);
	before = pen_clock_ms();
	push(s, 120, "BIC");
	push(s, 130, "BIC");
	wait_state(s, PEN_WORKER_READY);
	assert_true(pen_clock_ms() - before >= 75);
	push(s, 140, "BIC"); /* of a stream that it has no part in any more */
	wait_drained(s);
	expect_log(s, "B120 close open ");
	assert_string_equal(status_of(s).error.text, "told to fail");
	assert_int_equal(status_of(s).wants_epoch, 2);
	assert_int_equal(status_of(s).stored_lsn, 118);
	stream(s, 2, 118);
	push(s, 120, "BIC");
	wait_drained(s);
	expect_log(s, "B120 close open start:118 B120 I C120 flush ");
}

static void
test_every_call_may_fail_and_is_tried_again(void **state)
{
	static const call calls[] = {START, APPLY, FLUSH, ADVANCE, SYNC};
	scene *s = *state;
	unsigned int epoch = 1;

	run(s);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
	{
		uint64_t lsn = 100 + i * 100;

		forget_log(s);
		tell(s, calls[i], 1, PENSTOCK_E_RETRY);
		assert_int_equal(push_start(s, epoch++, 100), PENSTOCK_OK);
		push(s, lsn, "BIC");
		assert_int_equal(push_advance(s, lsn + 50), PENSTOCK_OK);
		wait_log(s, "close open ");
		wait_state(s, PEN_WORKER_READY);
		stream(s, epoch++, 100);
		push(s, lsn + 60, "BIC");
		wait_drained(s);
		assert_int_equal(status_of(s).position.durable_lsn, lsn + 68);
		assert_int_equal(push_start(s, epoch++, 100), PENSTOCK_OK);
		wait_drained(s);
	}
}

static void
test_streams_that_began_before_it_came_back_are_ignored(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	hold(s, OPEN, true);
	s->fail_lsn = 110;
	tell(s, APPLY, 1, PENSTOCK_E_RETRY);
	push(s, 110, "BIC");
	wait_log(s, "close open ");
	assert_int_equal(status_of(s).state, PEN_WORKER_DOWN);
	assert_int_equal(push_start(s, 2, 100), PENSTOCK_OK);
	push(s, 110, "BIC");
	assert_int_equal(push_advance(s, 300), PENSTOCK_OK);
	hold(s, OPEN, false);
	wait_state(s, PEN_WORKER_READY);
	wait_drained(s);
	assert_int_equal(status_of(s).wants_epoch, 3);
	assert_int_equal(status_of(s).state, PEN_WORKER_READY);
	expect_log(s, "open start:100 B110 close open ");
	stream(s, 3, 100);
	push(s, 110, "BIC");
	wait_drained(s);
	expect_log(s, "open start:100 B110 close open start:100 B110 I C110 flush ");
}

static void
test_opening_is_tried_until_it_works(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	tell(s, OPEN, 2, PENSTOCK_E_RETRY);
	tell(s, APPLY, 1, PENSTOCK_E_RETRY);
	push(s, 110, "BIC");
	wait_state(s, PEN_WORKER_READY);
	expect_log(s, "open start:100 close open close open close open ");
}

static void
test_what_waits_is_probed_before_the_stream_is_troubled(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	s->fail_lsn = 110;
	tell(s, APPLY, 1, PENSTOCK_E_WAITING);
	tell(s, PROBE, 2, PENSTOCK_E_WAITING);
	push(s, 110, "BIC");
	wait_log(s, "probe ");
	assert_int_equal(status_of(s).state, PEN_WORKER_DOWN);
	assert_int_equal(status_of(s).error.status, PENSTOCK_E_WAITING);
	wait_state(s, PEN_WORKER_READY);
	expect_log(s, "open start:100 B110 close probe probe probe open ");
}

static void
test_a_probe_that_cannot_look_is_an_ordinary_failure(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	s->fail_lsn = 110;
	tell(s, APPLY, 1, PENSTOCK_E_WAITING);
	tell(s, PROBE, 1, PENSTOCK_E_RETRY);
	push(s, 110, "BIC");
	wait_state(s, PEN_WORKER_READY);
	expect_log(s, "open start:100 B110 close probe open ");
}

/* ---- rows that are rejected ---- */

static void
test_a_row_rejected_once_may_be_the_echo_of_our_own_last_session(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	s->fail_lsn = 110;
	tell(s, APPLY, 1, PENSTOCK_E_DATA);
	push(s, 110, "BIC");
	wait_state(s, PEN_WORKER_READY);
	s->stored_lsn = 118; /* it was: our COMMIT had arrived */
	stream(s, 2, 100);
	push(s, 110, "BIC");
	push(s, 120, "BIC");
	wait_drained(s);
	assert_int_equal(status_of(s).state, PEN_WORKER_STREAMING);
	assert_int_equal(status_of(s).position.durable_lsn, 128);
}

static void
test_a_row_rejected_twice_at_one_position_stops_the_destination(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	s->fail_lsn = 110;
	tell(s, APPLY, 2, PENSTOCK_E_DATA);
	push(s, 110, "BIC");
	wait_state(s, PEN_WORKER_READY);
	stream(s, 2, 100);
	push(s, 110, "BIC");
	wait_state(s, PEN_WORKER_STOPPED);
	assert_int_equal(status_of(s).error.status, PENSTOCK_E_DATA);
	wait_drained(s);
	forget_log(s);
	/* Nothing wakes it any more, and what is pushed is let go. */
	assert_int_equal(push_start(s, 3, 100), PENSTOCK_OK);
	push(s, 110, "BIC");
	wait_drained(s);
	assert_int_equal(status_of(s).state, PEN_WORKER_STOPPED);
	expect_log(s, "");
}

static void
test_rows_rejected_at_different_positions_are_each_tried_again(void **state)
{
	scene *s = *state;

	run(s);
	for (unsigned int n = 1; n <= 3; n++)
	{
		uint64_t lsn = 100 + 10 * n;

		stream(s, 2 * n - 1, 100);
		s->fail_lsn = lsn;
		tell(s, APPLY, 1, PENSTOCK_E_DATA);
		push(s, lsn, "BIC");
		wait_state(s, PEN_WORKER_READY);
		stream(s, 2 * n, 100);
		push(s, lsn, "BIC");
		wait_drained(s);
	}
	assert_int_equal(status_of(s).position.durable_lsn, 138);
}

static void
test_without_a_position_of_its_own_a_rejected_row_stops_at_once(void **state)
{
	scene *s = *state;

	run(s);
	assert_int_equal(status_of(s).stored_lsn, 0);
	stream(s, 1, 100);
	tell(s, APPLY, 1, PENSTOCK_E_DATA);
	push(s, 110, "BIC");
	wait_state(s, PEN_WORKER_STOPPED);
	wait_log(s, "close ");
}

static void
test_what_needs_a_person_stops_the_destination(void **state)
{
	static const penstock_status statuses[] = {PENSTOCK_E_CONFIG, PENSTOCK_E_REFUSED,
											   PENSTOCK_E_BUG};

	for (size_t i = 0; i < 3; i++)
	{
		scene *s = *state;

		run(s);
		stream(s, 1, 100);
		tell(s, FLUSH, 1, statuses[i]);
		push(s, 110, "BIC");
		wait_state(s, PEN_WORKER_STOPPED);
		expect_log(s, "open start:100 B110 I C110 flush close ");
		assert_int_equal(status_of(s).error.status, statuses[i]);
		tear_down(state);
		set_up(state);
	}
}

/* ---- the end ---- */

static void
test_it_ends_while_the_destination_blocks(void **state)
{
	static const call calls[] = {APPLY, FLUSH, SYNC};

	for (size_t i = 0; i < 3; i++)
	{
		scene *s = *state;

		run(s);
		stream(s, 1, 100);
		hold(s, calls[i], true);
		push(s, 110, "BIC");
		push(s, 120, "BIC");
		usleep(20000);
		tear_down(state);
		set_up(state);
	}
}

static void
test_it_ends_in_every_state_at_once(void **state)
{
	pen_error error;
	scene *s = *state;

	/* Not open; open, but without its thread; ready. */
	tear_down(state);
	set_up(state);
	s = *state;
	assert_int_equal(pen_worker_open(s->worker, &error), PENSTOCK_OK);
	tear_down(state);
	set_up(state);
	run(*state);
	tear_down(state);
	set_up(state);
	/* Down, and waiting for long. */
	s = *state;
	run(s);
	tell(s, OPEN, 1000, PENSTOCK_E_RETRY);
	tell(s, START, 1, PENSTOCK_E_RETRY);
	assert_int_equal(push_start(s, 1, 100), PENSTOCK_OK);
	wait_state(s, PEN_WORKER_DOWN);
	push(s, 110, "BIC");
	tear_down(state);
	set_up(state);
	pen_worker_free(NULL);
}

static void
test_a_first_opening_that_fails_is_told_and_not_tried_again(void **state)
{
	scene *s = *state;
	pen_error error;

	tell(s, OPEN, 1, PENSTOCK_E_CONFIG);
	assert_int_equal(pen_worker_open(s->worker, &error), PENSTOCK_E_CONFIG);
	assert_string_equal(error.text, "told to fail");
	expect_log(s, "open close ");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_transactions_before_the_position_are_skipped_and_no_others),
		TEST(test_a_destination_is_drained_only_between_transactions),
		TEST(test_what_is_queued_counts_until_it_is_done),
		TEST(test_an_advance_flushes_first_and_never_goes_back),
		TEST(test_an_advance_within_a_transaction_is_no_advance),
		TEST(test_what_becomes_durable_later_is_told_without_being_asked),
		TEST(test_a_new_stream_forgets_the_open_transaction),
		TEST(test_a_failure_closes_and_opens_again_after_a_while),
		TEST(test_every_call_may_fail_and_is_tried_again),
		TEST(test_streams_that_began_before_it_came_back_are_ignored),
		TEST(test_opening_is_tried_until_it_works),
		TEST(test_what_waits_is_probed_before_the_stream_is_troubled),
		TEST(test_a_probe_that_cannot_look_is_an_ordinary_failure),
		TEST(test_a_row_rejected_once_may_be_the_echo_of_our_own_last_session),
		TEST(test_a_row_rejected_twice_at_one_position_stops_the_destination),
		TEST(test_rows_rejected_at_different_positions_are_each_tried_again),
		cmocka_unit_test_setup_teardown(
			test_without_a_position_of_its_own_a_rejected_row_stops_at_once, set_up_forgetful,
			tear_down),
		TEST(test_what_needs_a_person_stops_the_destination),
		TEST(test_it_ends_while_the_destination_blocks),
		TEST(test_it_ends_in_every_state_at_once),
		TEST(test_a_first_opening_that_fails_is_told_and_not_tried_again)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
