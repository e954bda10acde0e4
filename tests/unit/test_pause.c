/* test_pause.c -- a destination that is paused and resumed, whatever it was at. */
#include "worker_scene.h"

static void
test_a_pause_comes_at_the_end_of_a_transaction_and_commits_it(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BI");
	wait_log(s, "I ");
	pen_worker_pause(s->worker);
	push(s, 110, "I");
	wait_log(s, "I I ");
	assert_true(status_of(s).pausing);
	assert_int_equal(status_of(s).state, PEN_WORKER_STREAMING);
	push(s, 110, "C");
	push(s, 120, "BIC"); /* too late */
	wait_state(s, PEN_WORKER_PAUSED);
	assert_false(status_of(s).pausing);
	wait_drained(s);
	expect_log(s, "open start:100 B110 I I C110 flush close ");
	assert_int_equal(status_of(s).position.durable_lsn, 118);
	/* And it stays so. */
	assert_int_equal(push_start(s, 2, 100), PENSTOCK_OK);
	push(s, 130, "BIC");
	wait_drained(s);
	assert_int_equal(status_of(s).state, PEN_WORKER_PAUSED);
	expect_log(s, "open start:100 B110 I I C110 flush close ");
}

static void
test_a_resumed_destination_opens_and_waits_for_the_next_stream(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BIC");
	wait_drained(s);
	pen_worker_pause(s->worker);
	wait_state(s, PEN_WORKER_PAUSED);
	forget_log(s);
	hold(s, OPEN, true);
	pen_worker_resume(s->worker);
	assert_int_equal(status_of(s).state, PEN_WORKER_DOWN); /* from then on */
	hold(s, OPEN, false);
	wait_state(s, PEN_WORKER_READY);
	assert_int_equal(status_of(s).wants_epoch, 2);
	assert_int_equal(status_of(s).stored_lsn, 118);
	push(s, 120, "BIC"); /* of a stream that it has no part in any more */
	stream(s, 2, 100);
	push(s, 110, "BIC");
	push(s, 120, "BIC");
	wait_drained(s);
	wait_log(s, "C120 flush ");
	assert_int_equal(status_of(s).position.durable_lsn, 128);
	pen_worker_resume(s->worker); /* nothing to resume: nothing happens */
	push(s, 130, "BIC");
	wait_log(s, "C130 flush ");
	assert_int_equal(s->opened, 2);
}

static void
test_a_pause_that_has_not_come_about_can_be_taken_back(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BI");
	wait_log(s, "I ");
	pen_worker_pause(s->worker);
	assert_true(status_of(s).pausing);
	pen_worker_resume(s->worker);
	assert_false(status_of(s).pausing);
	push(s, 110, "C");
	wait_drained(s);
	expect_log(s, "open start:100 B110 I C110 flush ");
	assert_int_equal(status_of(s).state, PEN_WORKER_STREAMING);
}

static void
test_a_pause_ends_the_attempts_to_come_back(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	tell(s, OPEN, 1000, PENSTOCK_E_RETRY);
	tell(s, FLUSH, 1, PENSTOCK_E_RETRY);
	push(s, 110, "BIC");
	wait_log(s, "open close "); /* back-off goes on */
	pen_worker_pause(s->worker);
	wait_state(s, PEN_WORKER_PAUSED);
	forget_log(s);
	usleep(300000); /* longer than the back-off was */
	expect_log(s, "");
	tell(s, OPEN, 0, PENSTOCK_OK);
	pen_worker_resume(s->worker);
	wait_state(s, PEN_WORKER_READY);
	expect_log(s, "open ");
}

static void
test_a_pause_whose_commit_fails_is_a_pause_all_the_same(void **state)
{
	scene *s = *state;

	run(s);
	stream(s, 1, 100);
	push(s, 110, "BI");
	wait_log(s, "I ");
	tell(s, FLUSH, 1, PENSTOCK_E_RETRY);
	pen_worker_pause(s->worker);
	push(s, 110, "C");
	wait_state(s, PEN_WORKER_PAUSED);
	expect_log(s, "open start:100 B110 I C110 flush close ");
	assert_int_equal(s->stored_lsn, 0); /* it comes again */
}

static void
test_one_that_waits_for_its_stream_can_be_paused_too(void **state)
{
	scene *s = *state;

	run(s);
	pen_worker_pause(s->worker);
	wait_state(s, PEN_WORKER_PAUSED);
	expect_log(s, "open close ");
}

static void
test_a_stopped_destination_is_not_paused_but_resumed_and_tries_afresh(void **state)
{
	scene *s = *state;

	run(s);
	s->fail_lsn = 110;
	for (int round = 0; round < 2; round++)
	{
		unsigned int epoch = 1 + 2 * (unsigned int) round;

		stream(s, epoch, 100);
		tell(s, APPLY, 2, PENSTOCK_E_DATA);
		push(s, 110, "BIC");
		wait_state(s, PEN_WORKER_READY); /* the first time might be an echo, in each round */
		stream(s, epoch + 1, 100);
		push(s, 110, "BIC");
		wait_state(s, PEN_WORKER_STOPPED);
		pen_worker_pause(s->worker);
		push(s, 120, "BIC");
		wait_drained(s);
		assert_int_equal(status_of(s).state, PEN_WORKER_STOPPED);
		pen_worker_resume(s->worker);
		assert_int_not_equal(status_of(s).state, PEN_WORKER_STOPPED); /* from then on */
		wait_state(s, PEN_WORKER_READY);
	}
	stream(s, 5, 100);
	push(s, 110, "BIC");
	wait_drained(s);
	assert_int_equal(status_of(s).position.durable_lsn, 118);
}

static void
test_it_ends_while_it_is_paused(void **state)
{
	scene *s = *state;

	run(s);
	pen_worker_pause(s->worker);
	wait_state(s, PEN_WORKER_PAUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_pause_comes_at_the_end_of_a_transaction_and_commits_it),
		TEST(test_a_resumed_destination_opens_and_waits_for_the_next_stream),
		TEST(test_a_pause_that_has_not_come_about_can_be_taken_back),
		TEST(test_a_pause_ends_the_attempts_to_come_back),
		TEST(test_a_pause_whose_commit_fails_is_a_pause_all_the_same),
		TEST(test_one_that_waits_for_its_stream_can_be_paused_too),
		TEST(test_a_stopped_destination_is_not_paused_but_resumed_and_tries_afresh),
		TEST(test_it_ends_while_it_is_paused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
