/* feed_world.h -- two databases, a source that is made up, and a process between them that dies and
 * begins again. The workers, feeds, spools and the survey are the real ones. */
#ifndef FEED_WORLD_H
#define FEED_WORLD_H

#include "feed_database.h"

#include "base/clock.h"
#include "destination/feed.h"
#include "destination/worker.h"
#include "receiver.h"
#include "survey.h"

#define PATIENCE_MS 60000

/* ---- a process ---- */

#define DATABASES 2

/* What outlives it. */
typedef struct world
{
	history *h;
	database databases[DATABASES];
	uint64_t confirmed_lsn; /* of the slot */
	int life;
	size_t filler;
	pen_feed_options options;
	/* Of the process that lives. */
	penstock p;
	size_t next; /* event that the stream sends next */
	bool streaming;
	int64_t quiet_ms;
} world;

static inline void
no_wake(void *context)
{
	(void) context;
}

static inline void
write_log(penstock_log_level level, const char *component, const char *message, void *context)
{
	(void) context;
	(void) level;
	if (getenv("VERBOSE") != NULL)
		fprintf(stderr, "%s: %s\n", component, message);
}

static inline void
add_destination(world *w, size_t i)
{
	penstock *p = &w->p;
	fake *f = calloc(1, sizeof(*f));
	char directory[128];
	pen_feed_options options = w->options;
	pen_error error;
	pen_feed *feed;

	path_of(directory, w->databases[i].name, w->life);
	options.spool.directory = directory;
	options.spool.wake = no_wake;
	feed = pen_feed_new(&options, &error);
	if (feed == NULL)
	{
		char command[300];

		snprintf(command, sizeof(command), "ls -l %s/*; od -A d -t u8 %s/*/synced", top, top);
		(void) !system(command);
		fail_msg("%s", error.text);
	}
	p->configs[i].name = w->databases[i].name;
	f->base.kind = &fake_kind;
	f->base.config = &p->configs[i];
	f->d = &w->databases[i];
	p->workers[i] = pen_worker_new(&f->base, feed, &p->identities[i], &p->log, no_wake, p);
	assert_non_null(p->workers[i]);
	p->worker_count++;
}

static bool begin_stream(world *w);

static inline void
begin_life(world *w)
{
	penstock *p = &w->p;
	pen_error error;

	memset(p, 0, sizeof(*p));
	p->log.write = write_log;
	p->wake_fd = -1;
	p->settings.progress_interval_ms = 1;
	p->settings.destination_count = DATABASES;
	p->assembler = pen_assembler_new(NULL);
	for (size_t i = 0; i < DATABASES; i++)
		add_destination(w, i);
	pen_progress_init(&p->progress, DATABASES);
	for (size_t i = 0; i < DATABASES; i++)
	{
		pen_error down;
		bool up = pen_worker_open(p->workers[i], &down) >= 0;

		assert_int_equal(pen_worker_run(p->workers[i], up ? NULL : &down, &error), PENSTOCK_OK);
	}
	w->streaming = begin_stream(w);
}

static inline void
end_life(world *w)
{
	for (size_t i = 0; i < DATABASES; i++)
		pen_worker_free(w->p.workers[i]);
	pen_assembler_free(w->p.assembler);
}

/* kill -9, or the machine loses power: the disk is as it was, and what a destination takes after
 * that is what was on its way. */
static inline void
die(world *w)
{
	bool power_cut = random_below(2) == 0;

	for (size_t i = 0; i < DATABASES; i++)
	{
		char from[128];
		char to[128];

		path_of(from, w->databases[i].name, w->life);
		path_of(to, w->databases[i].name, w->life + 1);
		copy_spool(from, to, power_cut);
	}
	end_life(w);
	w->life++;
}

/* ---- the receiver ---- */

static inline uint64_t
lowest_position(penstock *p)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;
		uint64_t lsn = pen_survey_resume_lsn(p, i);

		pen_worker_status_get(p->workers[i], &status);
		if (((status.state != PEN_WORKER_STOPPED && status.state != PEN_WORKER_PAUSED) ||
			 p->parked[i]) &&
			lsn < lowest)
			lowest = lsn;
	}
	return lowest == UINT64_MAX ? 0 : lowest;
}

/* What pen_receiver_begin_stream does, without a server. */
static inline bool
begin_stream(world *w)
{
	penstock *p = &w->p;
	uint64_t from;

	p->slot_lsn = w->confirmed_lsn;
	pen_survey_check_spools(p);
	from = lowest_position(p);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;
		pen_error error;

		pen_worker_status_get(p->workers[i], &status);
		if (status.state == PEN_WORKER_READY || status.state == PEN_WORKER_STREAMING)
		{
			if (pen_progress_check_slot(p->configs[i].name, "s", pen_survey_resume_lsn(p, i),
										w->confirmed_lsn, UINT64_MAX, &error) < 0)
				fail_msg("%s", error.text);
		}
	}
	if (from < w->confirmed_lsn)
		from = w->confirmed_lsn;
	if (getenv("VERBOSE") != NULL)
		fprintf(stderr, "stream at %d\n", (int) from);
	pen_survey_check_start(p, from);
	w->next = history_find(w->h, from);
	p->delivered_lsn = from;
	p->advanced_lsn = 0;
	p->epoch++;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		p->fed[i] = pen_survey_is_fed(p, i);
		if (p->fed[i])
			assert_int_equal(pen_worker_push_start(p->workers[i], p->epoch, from, &p->error),
							 PENSTOCK_OK);
	}
	return true;
}

static inline bool
room(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->fed[i] && pen_feed_is_full(pen_worker_feed(p->workers[i])))
			return false;
	}
	return true;
}

static inline void
receive(world *w, size_t count)
{
	penstock *p = &w->p;
	pen_chunk *chunk;

	if (count > w->h->event_count - w->next)
		count = w->h->event_count - w->next;
	if (count == 0 || !room(p))
		return;
	if (getenv("VERBOSE") != NULL)
		fprintf(stderr, "receive %d+%d%s%s\n", (int) w->next, (int) count, p->fed[0] ? " near" : "",
				p->fed[1] ? " far" : "");
	chunk = history_chunk(w->h, w->next, count, w->filler);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->fed[i])
			assert_int_equal(pen_feed_chunk(pen_worker_feed(p->workers[i]), chunk, &p->error),
							 PENSTOCK_OK);
	}
	pen_chunk_unref(chunk);
	w->next += count;
	for (size_t i = w->next - count; i < w->next; i++)
	{
		if (w->h->events[i].kind >= PENSTOCK_COMMIT)
			p->delivered_lsn = w->h->transactions[w->h->events[i].transaction].end_lsn;
	}
}

/* A keepalive: nothing comes before the next transaction, or somewhat less. */
static inline void
keepalive(world *w)
{
	size_t next =
		w->next < w->h->event_count ? w->h->events[w->next].transaction : w->h->transaction_count;
	uint64_t lsn = w->h->transactions[next].commit_lsn - random_below(20);

	if (!history_is_within(w->h, w->next) && lsn > w->p.delivered_lsn)
		w->p.delivered_lsn = lsn;
}

static inline void
push_advance(world *w)
{
	penstock *p = &w->p;

	if (history_is_within(w->h, w->next))
		return;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->fed[i])
			assert_int_equal(
				pen_feed_advance(pen_worker_feed(p->workers[i]), p->delivered_lsn, &p->error),
				PENSTOCK_OK);
	}
}

static inline void
feedback(world *w)
{
	uint64_t lsn = pen_progress_confirmable(&w->p.progress, w->p.delivered_lsn);

	if (lsn > w->confirmed_lsn)
		w->confirmed_lsn = lsn;
	w->p.confirmed_lsn = lsn;
}

static inline void
survey(world *w, pen_survey *found)
{
	pen_survey_look(&w->p, found);
	if (found->wants_stream)
		begin_stream(w);
}

/* ---- what happens ---- */

static inline void
resume_stopped(world *w)
{
	for (size_t i = 0; i < DATABASES; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(w->p.workers[i], &status);
		if (w->p.refused[i])
			fail_msg("%s was refused: %s", w->databases[i].name, status.error.text);
		if (status.state == PEN_WORKER_STOPPED && status.error.status != PENSTOCK_E_DATA)
			fail_msg("%s has stopped: %s", w->databases[i].name, status.error.text);
		pen_worker_resume(w->p.workers[i]);
	}
}

static inline void
disturb(world *w)
{
	size_t i = random_below(DATABASES);
	database *d = &w->databases[i];

	switch (random_below(8))
	{
		case 0:
			crash(d);
			break;
		case 1:
			pen_worker_pause(w->p.workers[i]);
			break;
		case 2: /* the connection to the source is lost */
			begin_stream(w);
			break;
		case 3:
			if (random_below(4) == 0)
			{
				die(w);
				begin_life(w);
			}
			break;
		case 4:
			pthread_mutex_lock(&d->lock);
			d->rejects = d->stored + random_below(5);
			d->reject_count = 1 + (int) random_below(3);
			pthread_mutex_unlock(&d->lock);
			break;
		case 5: /* time goes by */
			if (w->p.absent_since_ms[i] != 0)
				w->p.absent_since_ms[i] -= 2000;
			break;
		default:
			bring_up(d);
			pen_worker_resume(w->p.workers[i]);
	}
}

static inline void
step(world *w)
{
	pen_survey found;

	survey(w, &found);
	switch (random_below(10))
	{
		case 0:
			push_advance(w);
			break;
		case 1:
			keepalive(w);
			break;
		case 2:
		case 3:
			feedback(w);
			break;
		case 4:
			usleep((useconds_t) random_below(3000));
			break;
		default:
			receive(w, 1 + random_below(6));
	}
	if (random_below(12) == 0)
		disturb(w);
}

static inline void
tell_state(world *w)
{
	for (size_t i = 0; i < DATABASES; i++)
	{
		pen_feed *feed = pen_worker_feed(w->p.workers[i]);
		pen_worker_status status;
		pen_feed_state state;

		pen_worker_status_get(w->p.workers[i], &status);
		pen_feed_state_get(feed, &state);
		fprintf(
			stderr,
			"%s: %s%s%s%s%s%s%s durable %d applied %d, feed %zu bytes, %d on disk from %d to %d; "
			"epoch %u wants %u opened %u resumed %u\n",
			w->databases[i].name, pen_worker_state_name(status.state), w->p.fed[i] ? " fed" : "",
			w->p.parked[i] ? " parked" : "", status.drained ? " drained" : "",
			state.spooling ? " spooling" : "", state.full ? " full" : "",
			state.behind ? " behind" : "", (int) status.position.durable_lsn,
			(int) status.position.applied_lsn, state.queue_bytes, (int) state.spool_bytes,
			(int) pen_feed_from_lsn(feed), (int) pen_feed_end_lsn(feed), w->p.epoch,
			status.wants_epoch, status.opened, w->p.resumed[i]);
	}
	if (w->next < w->h->event_count)
		fprintf(stderr, "next event %d of %d, of transaction %d at %d, delivered %d\n",
				(int) w->next, (int) w->h->event_count, (int) w->h->events[w->next].transaction,
				(int) w->h->transactions[w->h->events[w->next].transaction].commit_lsn,
				(int) w->p.delivered_lsn);
}

/* All is well again, and everything comes. */
static inline void
finish(world *w)
{
	int64_t until = pen_clock_ms() + PATIENCE_MS;
	pen_survey found;
	bool done = false;

	for (size_t i = 0; i < DATABASES; i++)
	{
		pthread_mutex_lock(&w->databases[i].lock);
		w->databases[i].reject_count = 0;
		pthread_mutex_unlock(&w->databases[i].lock);
		bring_up(&w->databases[i]);
	}
	resume_stopped(w);
	while (!done)
	{
		if (pen_clock_ms() > until)
			tell_state(w);
		if (pen_clock_ms() > until)
			fail_msg("it does not come to its end: %d of %d events; databases at %d and %d of %d",
					 (int) w->next, (int) w->h->event_count, (int) w->databases[0].durable,
					 (int) w->databases[1].durable, (int) w->h->transaction_count);
		survey(w, &found);
		receive(w, 20);
		if (w->next == w->h->event_count)
			keepalive(w);
		push_advance(w);
		feedback(w);
		done = w->next == w->h->event_count && found.settled && found.streaming == DATABASES &&
			   w->confirmed_lsn >= w->p.delivered_lsn;
		usleep(200);
	}
	for (size_t i = 0; i < DATABASES; i++)
		assert_int_equal(w->databases[i].durable, w->h->transaction_count);
}

static inline world *
new_world(uint64_t seed, const pen_feed_options *options, size_t filler, size_t transactions)
{
	static const char *const names[DATABASES] = {"near", "far"};
	world *w = calloc(1, sizeof(*w));

	history_seed = seed * 0x9E3779B97F4A7C15u | 1;
	w->h = history_new(transactions, 60, true);
	w->filler = filler;
	w->options = *options;
	w->confirmed_lsn = 500;
	for (size_t i = 0; i < DATABASES; i++)
	{
		w->databases[i] =
			(database){.h = w->h, .name = names[i], .up = true, .random = history_seed + i};
		pthread_mutex_init(&w->databases[i].lock, NULL);
	}
	assert_int_equal(make_top("test_feed"), 0);
	return w;
}

static inline void
free_world(world *w)
{
	end_life(w);
	remove_top();
	history_free(w->h);
	free(w);
}

static inline void
run_world(uint64_t seed, const pen_feed_options *options, size_t filler, size_t steps)
{
	world *w = new_world(seed, options, filler, steps * 2 / 3);

	if (random_below(3) == 0)
		w->databases[1].up = false;
	begin_life(w);
	for (size_t i = 0; i < steps; i++)
		step(w);
	finish(w);
	free_world(w);
}

#endif
