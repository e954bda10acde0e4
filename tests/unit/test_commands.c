/* test_commands.c -- who asks gets an answer or a no, never both,
 * and waits for neither too long. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "commands.h"

#define PATIENCE_MS 20000
#define ASKERS      8
#define ROUNDS      200

typedef struct scene
{
	pen_commands *commands;
	atomic_int wakes;
	atomic_bool stop;
	atomic_int carried_out;
	pen_status next; /* the receiver's */
	atomic_int yes;
	atomic_int no;
	atomic_int timeout_ms; /* of those who ask */
} scene;

static void
wake(void *context)
{
	atomic_fetch_add(&((scene *) context)->wakes, 1);
}

static int
set_up(void **state)
{
	scene *s = calloc(1, sizeof(*s));

	s->commands = pen_commands_new(wake, s);
	assert_non_null(s->commands);
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	scene *s = *state;

	pen_commands_close(s->commands);
	pen_commands_free(s->commands);
	pen_status_reset(&s->next);
	free(s);
	return 0;
}

/* What the receiver does in a step. */
static void
step(scene *s)
{
	pen_command *command;

	while ((command = pen_commands_take(s->commands)) != NULL)
	{
		assert_int_equal(command->kind, PEN_COMMAND_RESUME);
		pen_error_set(&command->error, PENSTOCK_E_CONFIG, "told %s", command->destination);
		atomic_fetch_add(&s->carried_out, 1);
		pen_commands_answer(s->commands, command);
	}
	if (pen_commands_want_status(s->commands, pen_clock_ms()))
	{
		s->next.received_lsn++;
		s->next.made_ms = pen_clock_ms();
		pen_commands_publish(s->commands, &s->next);
		s->next.received_lsn = 1000000;
	}
}

static void *
receive(void *context)
{
	scene *s = context;

	while (!atomic_load(&s->stop))
	{
		step(s);
		usleep(100);
	}
	return NULL;
}

static void *
ask(void *context)
{
	scene *s = context;

	for (int i = 0; i < ROUNDS; i++)
	{
		pen_command command = {.kind = PEN_COMMAND_RESUME};

		snprintf(command.destination, sizeof(command.destination), "d%d", i);
		if (!pen_commands_ask(s->commands, &command, atomic_load(&s->timeout_ms)))
		{
			assert_int_equal(command.error.status, PENSTOCK_OK);
			atomic_fetch_add(&s->no, 1);
			continue;
		}
		assert_int_equal(command.error.status, PENSTOCK_E_CONFIG);
		assert_string_equal(command.error.text + 5, command.destination);
		atomic_fetch_add(&s->yes, 1);
	}
	return NULL;
}

static void
ask_from_many_threads(scene *s, int timeout_ms, bool close)
{
	pthread_t receiver;
	pthread_t askers[ASKERS];

	atomic_store(&s->timeout_ms, timeout_ms);
	assert_int_equal(pthread_create(&receiver, NULL, receive, s), 0);
	for (int i = 0; i < ASKERS; i++)
		assert_int_equal(pthread_create(&askers[i], NULL, ask, s), 0);
	if (close)
	{
		while (atomic_load(&s->yes) < ASKERS)
			usleep(100);
		pen_commands_close(s->commands);
	}
	for (int i = 0; i < ASKERS; i++)
		pthread_join(askers[i], NULL);
	atomic_store(&s->stop, true);
	pthread_join(receiver, NULL);
}

static void
test_everybody_gets_the_answer_to_their_own_command(void **state)
{
	scene *s = *state;

	ask_from_many_threads(s, PATIENCE_MS, false);
	assert_int_equal(atomic_load(&s->yes), ASKERS * ROUNDS);
	assert_int_equal(atomic_load(&s->carried_out), ASKERS * ROUNDS);
	assert_true(atomic_load(&s->wakes) >= ASKERS * ROUNDS);
}

static void
test_what_was_told_to_be_too_late_was_not_carried_out(void **state)
{
	scene *s = *state;

	ask_from_many_threads(s, 0, false);
	assert_int_equal(atomic_load(&s->yes) + atomic_load(&s->no), ASKERS * ROUNDS);
	assert_int_equal(atomic_load(&s->carried_out), atomic_load(&s->yes));
}

static void
test_a_close_ends_all_waiting_at_once(void **state)
{
	scene *s = *state;
	int64_t before = pen_clock_ms();

	ask_from_many_threads(s, PATIENCE_MS, true);
	assert_true(pen_clock_ms() - before < PATIENCE_MS / 2);
	assert_int_equal(atomic_load(&s->carried_out), atomic_load(&s->yes));
	assert_int_equal(atomic_load(&s->yes) + atomic_load(&s->no), ASKERS * ROUNDS);
}

static void
test_a_command_that_nobody_takes_is_given_up(void **state)
{
	scene *s = *state;
	pen_command command = {.kind = PEN_COMMAND_PAUSE};

	assert_false(pen_commands_ask(s->commands, &command, 30));
	assert_null(pen_commands_take(s->commands));
	pen_commands_close(s->commands);
	assert_false(pen_commands_ask(s->commands, &command, PATIENCE_MS));
}

static void
test_a_status_is_new_where_somebody_makes_one_and_else_the_last(void **state)
{
	scene *s = *state;
	pen_status status = {0};
	pthread_t receiver;
	uint64_t before;

	assert_false(pen_commands_status(s->commands, &status, 10)); /* none was ever made */
	assert_int_equal(pthread_create(&receiver, NULL, receive, s), 0);
	assert_true(pen_commands_status(s->commands, &status, PATIENCE_MS));
	before = (uint64_t) pen_clock_ms();
	pen_status_reset(&status);
	assert_true(pen_commands_status(s->commands, &status, PATIENCE_MS));
	assert_true((uint64_t) status.made_ms >= before);
	pen_status_reset(&status);
	atomic_store(&s->stop, true);
	pthread_join(receiver, NULL);
	before = (uint64_t) pen_clock_ms();
	assert_true(pen_commands_status(s->commands, &status, 10));
	assert_true((uint64_t) status.made_ms <= before);
	pen_status_reset(&status);
}

static void
test_a_status_is_due_when_it_is_wanted_or_old(void **state)
{
	scene *s = *state;
	pen_status status = {0};

	assert_true(pen_commands_want_status(s->commands, 1000));
	s->next.made_ms = 1000;
	pen_commands_publish(s->commands, &s->next);
	assert_false(pen_commands_want_status(s->commands, 1099));
	assert_true(pen_commands_want_status(s->commands, 1100));
	assert_true(pen_commands_status(s->commands, &status, 0));
	assert_true(pen_commands_want_status(s->commands, 1000));
	pen_status_reset(&status);
}

static void
test_a_copy_holds_what_the_original_held(void **state)
{
	scene *s = *state;
	pen_status status = {0};
	char name[] = "public.t";

	s->next.destination_count = s->next.destination_capacity = 2;
	s->next.destinations = calloc(2, sizeof(*s->next.destinations));
	s->next.destinations[1].name = "two";
	s->next.destinations[1].worker.position.applied_lsn = 77;
	s->next.table_count = s->next.table_capacity = 1;
	s->next.tables = calloc(1, sizeof(*s->next.tables));
	s->next.tables[0].name = name;
	s->next.tables[0].updates = 5;
	pen_commands_publish(s->commands, &s->next);
	assert_int_equal(s->next.destination_count, 0); /* what was there before: nothing */
	assert_true(pen_commands_status(s->commands, &status, 0));
	pen_commands_publish(s->commands, &s->next); /* the original goes */
	pen_status_reset(&s->next);
	assert_int_equal(status.destination_count, 2);
	assert_string_equal(status.destinations[1].name, "two");
	assert_int_equal(status.destinations[1].worker.position.applied_lsn, 77);
	assert_string_equal(status.tables[0].name, "public.t");
	assert_int_equal(status.tables[0].updates, 5);
	pen_status_reset(&status);
}

/* ---- readiness ---- */

static void
test_ready_is_who_streams_everywhere_within_limits(void **state)
{
	pen_destination_status destinations[] = {
		{.name = "one", .worker.state = PEN_WORKER_STREAMING},
		{.name = "two", .worker.state = PEN_WORKER_PAUSED},
		{.name = "three", .worker.state = PEN_WORKER_STREAMING},
	};
	pen_status status = {
		.connected = true, .destinations = destinations, .destination_count = 3, .slot = "s"};
	char text[200];

	(void) state;
	assert_false(pen_status_reason(&status, 0, text, sizeof(text)));
	destinations[0].worker.state = PEN_WORKER_DOWN;
	destinations[2].worker.state = PEN_WORKER_STOPPED;
	status.connected = false;
	status.retained_exceeded = true;
	status.retained_bytes = 12345;
	assert_true(pen_status_reason(&status, 0, text, sizeof(text)));
	assert_string_equal(text, "the source is not connected");
	assert_true(pen_status_reason(&status, 1, text, sizeof(text)));
	assert_non_null(strstr(text, "\"s\" holds back 12345 bytes"));
	assert_true(pen_status_reason(&status, 2, text, sizeof(text)));
	assert_string_equal(text, "destination one is down");
	assert_true(pen_status_reason(&status, 3, text, sizeof(text)));
	assert_string_equal(text, "destination three is stopped");
	assert_false(pen_status_reason(&status, 4, text, sizeof(text)));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_everybody_gets_the_answer_to_their_own_command),
		TEST(test_what_was_told_to_be_too_late_was_not_carried_out),
		TEST(test_a_close_ends_all_waiting_at_once),
		TEST(test_a_command_that_nobody_takes_is_given_up),
		TEST(test_a_status_is_new_where_somebody_makes_one_and_else_the_last),
		TEST(test_a_status_is_due_when_it_is_wanted_or_old),
		TEST(test_a_copy_holds_what_the_original_held),
		cmocka_unit_test(test_ready_is_who_streams_everywhere_within_limits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
