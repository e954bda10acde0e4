/* worker_scene.h -- a worker and its destination, which is a fake that notes what is asked of it
 * and fails as it is told to: no server can be made to fail so exactly. */
#ifndef WORKER_SCENE_H
#define WORKER_SCENE_H

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

static inline void
note(scene *s, const char *format, ...)
{
	size_t used = strlen(s->log);
	va_list args;

	va_start(args, format);
	vsnprintf(s->log + used, sizeof(s->log) - used, format, args);
	va_end(args);
}

/* With the lock held: wait while told to, and fail if told to. */
static inline penstock_status
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

static inline fake *
enter(pen_destination *destination)
{
	fake *self = (fake *) destination;

	pthread_mutex_lock(&self->s->lock);
	return self;
}

static inline penstock_status
leave(fake *self, penstock_status status)
{
	pthread_mutex_unlock(&self->s->lock);
	return status;
}

static inline void
fake_destroy(pen_destination *destination)
{
	fake *self = enter(destination);

	note(self->s, "destroy ");
	self->s->destroyed++;
	leave(self, PENSTOCK_OK);
	free(self);
}

static inline penstock_status
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

static inline void
fake_close(pen_destination *destination)
{
	fake *self = enter(destination);

	note(self->s, "close ");
	leave(self, PENSTOCK_OK);
}

static inline penstock_status
fake_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
		   pen_error *error)
{
	fake *self = enter(destination);

	note(self->s, "start:%d ", (int) start_lsn);
	if (position->applied_lsn == 0)
		position->applied_lsn = position->durable_lsn = start_lsn;
	return leave(self, play(self, START, error));
}

static inline penstock_status
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

static inline penstock_status
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

static inline penstock_status
fake_advance(pen_destination *destination, uint64_t lsn, pen_position *position, pen_error *error)
{
	fake *self = enter(destination);

	note(self->s, "advance:%d ", (int) lsn);
	position->applied_lsn = position->durable_lsn = self->s->stored_lsn = lsn;
	return leave(self, play(self, ADVANCE, error));
}

static inline penstock_status
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

static inline penstock_status
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

/* ---- the scene ---- */

static inline void
wake(void *context)
{
	atomic_fetch_add(&((scene *) context)->wakes, 1);
}

static inline scene *
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

static inline int
set_up(void **state)
{
	*state = new_scene(&keeping);
	return 0;
}

static inline int
set_up_forgetful(void **state)
{
	static pen_destination_kind forgetful;

	forgetful = keeping;
	forgetful.keeps_position = false;
	*state = new_scene(&forgetful);
	return 0;
}

/* Whatever the state: it ends at once, is closed as often as opened, and frees what was queued. */
static inline int
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

static inline void
tell(scene *s, call which, int count, penstock_status status)
{
	pthread_mutex_lock(&s->lock);
	s->fail_count[which] = count;
	s->fail_status[which] = status;
	pthread_mutex_unlock(&s->lock);
}

static inline void
hold(scene *s, call which, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->hold[which] = held;
	pthread_mutex_unlock(&s->lock);
}

static inline pen_worker_status
status_of(scene *s)
{
	pen_worker_status status;

	pen_worker_status_get(s->worker, &status);
	return status;
}

static inline size_t
queue_bytes(scene *s)
{
	pen_feed_state state;

	pen_feed_state_get(pen_worker_feed(s->worker), &state);
	return state.queue_bytes;
}

static inline penstock_status
push_start(scene *s, unsigned int epoch, uint64_t lsn)
{
	pen_error error;

	return pen_worker_push_start(s->worker, epoch, lsn, &error);
}

static inline penstock_status
push_advance(scene *s, uint64_t lsn)
{
	pen_error error;

	return pen_feed_advance(pen_worker_feed(s->worker), lsn, &error);
}

static inline void
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

static inline void
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
static inline void
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

static inline void
expect_log(scene *s, const char *log)
{
	pthread_mutex_lock(&s->lock);
	assert_string_equal(s->log, log);
	pthread_mutex_unlock(&s->lock);
}

static inline void
forget_log(scene *s)
{
	pthread_mutex_lock(&s->lock);
	s->log[0] = '\0';
	pthread_mutex_unlock(&s->lock);
}

/* Parts of a transaction as one chunk: "BIC", "BI", "I", "C"… ; it ends 8 after its commit LSN. */
static inline void
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

static inline void
run(scene *s)
{
	pen_error error;

	assert_int_equal(pen_worker_open(s->worker, &error), PENSTOCK_OK);
	assert_int_equal(pen_worker_run(s->worker, NULL, &error), PENSTOCK_OK);
	assert_int_equal(status_of(s).state, PEN_WORKER_READY);
	assert_int_equal(status_of(s).wants_epoch, 1);
}

static inline void
stream(scene *s, unsigned int epoch, uint64_t start_lsn)
{
	assert_int_equal(push_start(s, epoch, start_lsn), PENSTOCK_OK);
	wait_state(s, PEN_WORKER_STREAMING);
	wait_drained(s);
}

#endif
