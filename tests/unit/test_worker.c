/* test_worker.c -- one destination driven through everything that can happen to it.
 * The destination is a fake that notes what is asked of it and fails as it is told to: no server
 * can be made to fail so exactly. */
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
#include "destination/worker.h"

#define PATIENCE_MS 20000

typedef enum call
{
	OPEN,
	START,
	APPLY,
	FLUSH,
	ADVANCE,
	SYNC,
	PROBE,
	CALLS
} call;

/* What outlives the destination, which the worker frees. */
typedef struct scene
{
	pthread_mutex_t lock; /* of everything but the worker */
	char log[4096];       /* "open start:100 B100 I C100 flush" */
	uint64_t stored_lsn;  /* what open finds */
	int fail_count[CALLS];
	penstock_status fail_status[CALLS];
	uint64_t fail_lsn;    /* apply fails inside of this transaction only; 0: of any */
	bool hold[CALLS];     /* wait inside of it until this is false or we are interrupted */
	uint64_t flushed_lsn; /* becomes durable when sync_after syncs have been */
	int sync_after;
	int opened;
	int destroyed;

	pen_source_identity source;
	pen_destination_config config;
	pen_log no_log;
	atomic_int wakes;
	pen_memory_budget budget;
	pen_worker *worker;
} scene;

typedef struct fake
{
	pen_destination base; /* first */
	scene *s;
} fake;

/* ---- the fake ---- */

static void
note(scene *s, const char *format, ...)
{
	size_t used = strlen(s->log);
	va_list args;

	va_start(args, format);
	vsnprintf(s->log + used, sizeof(s->log) - used, format, args);
	va_end(args);
}

/* With the lock held: wait while told to, and fail if told to. */
static penstock_status
play(fake *self, call which, pen_error *error)
{
	scene *s = self->s;

	while (s->hold[which])
	{
		pthread_mutex_unlock(&s->lock);
		usleep(1000);
		if (atomic_load(&self->base.interrupted))
		{
			pthread_mutex_lock(&s->lock);
			return pen_error_set(error, PENSTOCK_E_RETRY, "interrupted");
		}
		pthread_mutex_lock(&s->lock);
	}
	if (s->fail_count[which] == 0)
		return PENSTOCK_OK;
	s->fail_count[which]--;
	return pen_error_set(error, s->fail_status[which], "told to fail");
}

static fake *
enter(pen_destination *destination)
{
	fake *self = (fake *) destination;

	pthread_mutex_lock(&self->s->lock);
	return self;
}

static penstock_status
leave(fake *self, penstock_status status)
{
	pthread_mutex_unlock(&self->s->lock);
	return status;
}

static void
fake_destroy(pen_destination *destination)
{
	fake *self = enter(destination);

	note(self->s, "destroy ");
	self->s->destroyed++;
	leave(self, PENSTOCK_OK);
	free(self);
}

static penstock_status
fake_open(pen_destination *destination, const pen_source_identity *source, pen_position *position,
		  pen_error *error)
{
	fake *self = enter(destination);

	assert_ptr_equal(source, &self->s->source);
	note(self->s, "open ");
	self->s->opened++;
	position->applied_lsn = position->durable_lsn = self->s->stored_lsn;
	self->s->flushed_lsn = 0;
	return leave(self, play(self, OPEN, error));
}

static void
fake_close(pen_destination *destination)
{
	fake *self = enter(destination);

	note(self->s, "close ");
	leave(self, PENSTOCK_OK);
}

static penstock_status
fake_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
		   pen_error *error)
{
	fake *self = enter(destination);

	note(self->s, "start:%d ", (int) start_lsn);
	if (position->applied_lsn == 0)
		position->applied_lsn = position->durable_lsn = start_lsn;
	return leave(self, play(self, START, error));
}

static penstock_status
fake_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
		   pen_error *error)
{
	fake *self = enter(destination);
	penstock_status status = PENSTOCK_OK;

	if (self->s->fail_lsn == 0 ||
		(event->kind == PENSTOCK_INSERT && event->transaction->commit_lsn == self->s->fail_lsn))
		status = play(self, APPLY, error);
	if (status < 0)
		return leave(self, status);
	note(self->s, event->kind == PENSTOCK_INSERT ? "I " : "%c%d ", "BIUDTC"[event->kind],
		 (int) event -> transaction -> commit_lsn);
	if (event->kind == PENSTOCK_COMMIT)
		position->applied_lsn = event->transaction->end_lsn;
	return leave(self, PENSTOCK_OK);
}

static penstock_status
fake_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	fake *self = enter(destination);
	penstock_status status;

	note(self->s, "flush ");
	status = play(self, FLUSH, error);
	if (status >= 0)
	{
		self->s->stored_lsn = self->s->flushed_lsn = position->applied_lsn;
		if (self->s->sync_after == 0)
			position->durable_lsn = position->applied_lsn;
	}
	return leave(self, status);
}

static penstock_status
fake_advance(pen_destination *destination, uint64_t lsn, pen_position *position, pen_error *error)
{
	fake *self = enter(destination);

	note(self->s, "advance:%d ", (int) lsn);
	position->applied_lsn = position->durable_lsn = self->s->stored_lsn = lsn;
	return leave(self, play(self, ADVANCE, error));
}

static penstock_status
fake_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	fake *self = enter(destination);
	scene *s = self->s;

	if (s->flushed_lsn > position->durable_lsn)
	{
		if (s->sync_after > 0 && s->sync_after-- > 1)
			*poll_ms = 1;
		else
			position->durable_lsn = s->flushed_lsn;
	}
	return leave(self, play(self, SYNC, error));
}

static penstock_status
fake_probe(pen_destination *destination, const pen_source_identity *source, pen_error *error)
{
	fake *self = enter(destination);

	(void) source;
	note(self->s, "probe ");
	return leave(self, play(self, PROBE, error));
}

static const pen_destination_kind keeping = {.scheme = "fake",
											 .keeps_position = true,
											 .destroy = fake_destroy,
											 .open = fake_open,
											 .close = fake_close,
											 .start = fake_start,
											 .apply = fake_apply,
											 .flush = fake_flush,
											 .advance = fake_advance,
											 .sync = fake_sync,
											 .probe = fake_probe};
static pen_destination_kind forgetful;

/* ---- the scene ---- */

static void
wake(void *context)
{
	atomic_fetch_add(&((scene *) context)->wakes, 1);
}

static scene *
new_scene(const pen_destination_kind *kind)
{
	scene *s = calloc(1, sizeof(*s));
	fake *f = calloc(1, sizeof(*f));
	pen_feed_options options = {0};
	pen_error error;
	pen_feed *feed = pen_feed_new(&options, &error);

	assert_non_null(feed);
	pthread_mutex_init(&s->lock, NULL);
	s->config.name = "fake";
	f->base.kind = kind;
	f->base.config = &s->config;
	f->s = s;
	s->worker = pen_worker_new(&f->base, feed, &s->source, &s->no_log, wake, s);
	assert_non_null(s->worker);
	return s;
}

static int
set_up(void **state)
{
	*state = new_scene(&keeping);
	return 0;
}

static int
set_up_forgetful(void **state)
{
	forgetful = keeping;
	forgetful.keeps_position = false;
	*state = new_scene(&forgetful);
	return 0;
}

/* Whatever the state: it ends at once, is closed as often as opened, and frees what was queued. */
static int
tear_down(void **state)
{
	scene *s = *state;
	int64_t before = pen_clock_ms();

	pen_worker_free(s->worker);
	assert_true(pen_clock_ms() - before < PATIENCE_MS / 2);
	assert_int_equal(s->destroyed, 1);
	assert_int_equal(atomic_load(&s->budget.used), 0);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return 0;
}

static void
tell(scene *s, call which, int count, penstock_status status)
{
	pthread_mutex_lock(&s->lock);
	s->fail_count[which] = count;
	s->fail_status[which] = status;
	pthread_mutex_unlock(&s->lock);
}

static void
hold(scene *s, call which, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->hold[which] = held;
	pthread_mutex_unlock(&s->lock);
}

static pen_worker_status
status_of(scene *s)
{
	pen_worker_status status;

	pen_worker_status_get(s->worker, &status);
	return status;
}

static size_t
queue_bytes(scene *s)
{
	pen_feed_state state;

	pen_feed_state_get(pen_worker_feed(s->worker), &state);
	return state.queue_bytes;
}

static penstock_status
push_start(scene *s, unsigned int epoch, uint64_t lsn)
{
	pen_error error;

	return pen_worker_push_start(s->worker, epoch, lsn, &error);
}

static penstock_status
push_advance(scene *s, uint64_t lsn)
{
	pen_error error;

	return pen_feed_advance(pen_worker_feed(s->worker), lsn, &error);
}

static void
wait_state(scene *s, pen_worker_state state)
{
	int64_t until = pen_clock_ms() + PATIENCE_MS;

	while (status_of(s).state != state)
	{
		if (pen_clock_ms() > until)
			fail_msg("state is %d, not %d; %s", status_of(s).state, state, s->log);
		usleep(500);
	}
}

static void
wait_drained(scene *s)
{
	int64_t until = pen_clock_ms() + PATIENCE_MS;

	while (!status_of(s).drained)
	{
		if (pen_clock_ms() > until)
			fail_msg("it is not drained; %s", s->log);
		usleep(500);
	}
}

/* Wait until the log ends in this. */
static void
wait_log(scene *s, const char *end)
{
	int64_t until = pen_clock_ms() + PATIENCE_MS;
	bool there = false;

	while (!there)
	{
		size_t length;

		pthread_mutex_lock(&s->lock);
		length = strlen(s->log);
		there = length >= strlen(end) && strcmp(s->log + length - strlen(end), end) == 0;
		pthread_mutex_unlock(&s->lock);
		if (!there && pen_clock_ms() > until)
			fail_msg("\"%s\" does not end in \"%s\"", s->log, end);
		usleep(500);
	}
}

static void
expect_log(scene *s, const char *log)
{
	pthread_mutex_lock(&s->lock);
	assert_string_equal(s->log, log);
	pthread_mutex_unlock(&s->lock);
}

static void
forget_log(scene *s)
{
	pthread_mutex_lock(&s->lock);
	s->log[0] = '\0';
	pthread_mutex_unlock(&s->lock);
}

/* Parts of a transaction as one chunk: "BIC", "BI", "I", "C"… ; it ends 8 after its commit LSN. */
static void
push(scene *s, uint64_t commit_lsn, const char *parts)
{
	pen_chunk *chunk = pen_chunk_new(malloc(100), 100, free);
	pen_error error;

	for (const char *part = parts; *part != '\0'; part++)
	{
		penstock_transaction transaction = {
			.xid = 7, .commit_lsn = commit_lsn, .end_lsn = *part == 'C' ? commit_lsn + 8 : 0};
		penstock_event *event = pen_chunk_add(chunk);

		event->kind = *part == 'B'   ? PENSTOCK_BEGIN
					  : *part == 'I' ? PENSTOCK_INSERT
									 : PENSTOCK_COMMIT;
		event->transaction = pen_chunk_transaction(chunk, &transaction);
	}
	pen_chunk_seal(chunk, &s->budget);
	assert_int_equal(pen_feed_chunk(pen_worker_feed(s->worker), chunk, &error), PENSTOCK_OK);
	pen_chunk_unref(chunk);
}

static void
run(scene *s)
{
	pen_error error;

	assert_int_equal(pen_worker_open(s->worker, &error), PENSTOCK_OK);
	assert_int_equal(pen_worker_run(s->worker, NULL, &error), PENSTOCK_OK);
	assert_int_equal(status_of(s).state, PEN_WORKER_READY);
	assert_int_equal(status_of(s).wants_epoch, 1);
}

static void
stream(scene *s, unsigned int epoch, uint64_t start_lsn)
{
	assert_int_equal(push_start(s, epoch, start_lsn), PENSTOCK_OK);
	wait_state(s, PEN_WORKER_STREAMING);
	wait_drained(s);
}

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

/* ---- pausing ---- */

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
		TEST(test_a_pause_comes_at_the_end_of_a_transaction_and_commits_it),
		TEST(test_a_resumed_destination_opens_and_waits_for_the_next_stream),
		TEST(test_a_pause_that_has_not_come_about_can_be_taken_back),
		TEST(test_a_pause_ends_the_attempts_to_come_back),
		TEST(test_a_pause_whose_commit_fails_is_a_pause_all_the_same),
		TEST(test_one_that_waits_for_its_stream_can_be_paused_too),
		TEST(test_a_stopped_destination_is_not_paused_but_resumed_and_tries_afresh),
		TEST(test_it_ends_while_it_is_paused),
		TEST(test_it_ends_while_the_destination_blocks),
		TEST(test_it_ends_in_every_state_at_once),
		TEST(test_a_first_opening_that_fails_is_told_and_not_tried_again)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
