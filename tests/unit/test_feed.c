/* test_feed.c -- what waits for destinations, in memory and on disk: whatever happens, each gets
 * each transaction once, and nothing is confirmed that could be lost.
 * The workers, feeds, spools and the survey are the real ones; the source and the destinations are
 * made up here, and die, stop, and lose what is not durable as a random number says. */
#include "history.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "destination/feed.h"
#include "destination/worker.h"
#include "receiver.h"
#include "survey.h"

#define PATIENCE_MS 60000

/* ---- a directory of our own ---- */

static char top[64];

static int
make_top(void **state)
{
	(void) state;
	snprintf(top, sizeof(top), "%.40s/test_feed.XXXXXX",
			 getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(top) == NULL;
}

static int
remove_top(void **state)
{
	char command[100];

	(void) state;
	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	return system(command);
}

static void
path_of(char path[128], const char *name, int life)
{
	snprintf(path, 128, "%s/%s.%d", top, name, life);
}

static uint64_t
read_file(const char *path, uint8_t **bytes)
{
	int fd = open(path, O_RDONLY);
	struct stat file;

	*bytes = NULL;
	if (fd < 0)
		return 0;
	assert_int_equal(fstat(fd, &file), 0);
	*bytes = malloc((size_t) file.st_size + 1);
	assert_int_equal(read(fd, *bytes, (size_t) file.st_size), file.st_size);
	close(fd);
	return (uint64_t) file.st_size;
}

static void
write_file(const char *path, const uint8_t *bytes, uint64_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

/*
 * The directory as a crash leaves it. The file that says how much is synced is read first, so that
 * it is true of what is copied after it; of what is more, anything may be left.
 */
static void
copy_spool(const char *from, const char *to, bool power_cut)
{
	char path[500];
	uint8_t *mark;
	uint8_t *bytes;
	uint64_t len;
	uint64_t segment = 0;
	uint64_t synced = 0;
	DIR *directory;
	const struct dirent *entry;

	snprintf(path, sizeof(path), "%s/synced", from);
	len = read_file(path, &mark);
	assert_int_equal(mkdir(to, 0700), 0);
	if (len >= 24)
	{
		memcpy(&segment, mark + 8, 8);
		memcpy(&synced, mark + 16, 8);
	}
	snprintf(path, sizeof(path), "%s/synced", to);
	if (mark != NULL)
		write_file(path, mark, len);
	free(mark);
	directory = opendir(from);
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL)
	{
		uint64_t number = strtoull(entry->d_name, NULL, 10);

		if (number == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
		len = read_file(path, &bytes);
		if (power_cut && number == segment && len > synced)
			len = synced + random_below(len - synced + 1);
		snprintf(path, sizeof(path), "%s/%s", to, entry->d_name);
		if (bytes != NULL && !(power_cut && number > segment && random_below(2) == 0))
			write_file(path, bytes, len);
		free(bytes);
	}
	closedir(directory);
}

/* ---- a destination ---- */

/* The database: outlives workers and processes. Positions are transaction numbers: all before. */
typedef struct database
{
	pthread_mutex_t lock;
	const history *h;
	const char *name;
	bool up;
	unsigned int crashes;
	uint64_t durable_lsn;
	uint64_t durable; /* transactions */
	uint64_t stored_lsn;
	uint64_t stored;
	bool lazy;        /* commits only what it must */
	uint64_t rejects; /* a transaction that is rejected so often */
	int reject_count;
	uint64_t confirmed_lsn; /* for a message */
	uint64_t random;        /* of its own: other threads draw too */
} database;

/* In a worker's thread there is no way back to cmocka. */
#define broken(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())
#define expect(condition)                                                                          \
	((condition) ? (void) 0 : broken("line %d: not so: %s", __LINE__, #condition))

/* A session. */
typedef struct fake
{
	pen_destination base; /* first */
	database *d;
	unsigned int crashes; /* when it was opened */
	uint64_t gathered;
	uint64_t gathered_lsn;
	bool open;
	uint64_t sequence;
	uint64_t applied_lsn;
	uint64_t durable_lsn;
	bool started;
} fake;

static uint64_t
draw(database *d, uint64_t limit)
{
	d->random ^= d->random << 13, d->random ^= d->random >> 7, d->random ^= d->random << 17;
	return d->random % limit;
}

static fake *
enter(pen_destination *destination)
{
	fake *self = (fake *) destination;

	pthread_mutex_lock(&self->d->lock);
	return self;
}

static penstock_status
leave(fake *self, penstock_status status)
{
	pthread_mutex_unlock(&self->d->lock);
	return status;
}

static penstock_status
check_alive(const fake *self, pen_error *error)
{
	if (self->d->up && self->crashes == self->d->crashes)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_RETRY, "the server is gone");
}

static void
fake_destroy(pen_destination *destination)
{
	free(destination);
}

static void
commit(fake *self)
{
	self->d->stored = self->gathered;
	self->d->stored_lsn = self->applied_lsn = self->gathered_lsn;
}

static void
make_durable(fake *self)
{
	self->d->durable = self->d->stored;
	self->d->durable_lsn = self->durable_lsn = self->d->stored_lsn;
}

static void
report(const fake *self, pen_position *position)
{
	*position = (pen_position){self->applied_lsn, self->durable_lsn};
}

static penstock_status
fake_open(pen_destination *destination, const pen_source_identity *source, pen_position *position,
		  pen_error *error)
{
	fake *self = enter(destination);
	database *d = self->d;

	(void) source;
	if (!d->up)
		return leave(self, pen_error_set(error, PENSTOCK_E_RETRY, "nobody answers"));
	self->crashes = d->crashes;
	self->started = false;
	self->open = false;
	self->gathered = d->stored;
	self->gathered_lsn = self->applied_lsn = d->stored_lsn;
	make_durable(self);
	report(self, position);
	return leave(self, PENSTOCK_OK);
}

static void
fake_close(pen_destination *destination)
{
	(void) destination;
}

static penstock_status
fake_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
		   pen_error *error)
{
	fake *self = enter(destination);

	if (check_alive(self, error) < 0)
		return leave(self, error->status);
	self->started = true;
	self->open = false;
	if (self->d->stored_lsn == 0)
	{
		self->gathered_lsn = start_lsn;
		self->gathered = 0;
		while (self->d->h->transactions[self->gathered].commit_lsn < start_lsn)
			self->gathered++;
		if (self->gathered > 0)
			broken("%s begins behind %d transactions", self->d->name, (int) self->gathered);
		commit(self);
		make_durable(self);
	}
	self->gathered = self->d->stored;
	self->gathered_lsn = self->d->stored_lsn;
	report(self, position);
	return leave(self, PENSTOCK_OK);
}

static void
take_event(fake *self, const penstock_event *event)
{
	database *d = self->d;
	uint64_t number = event->transaction->xid - 1;
	const history_transaction *t = &d->h->transactions[self->gathered];

	if (number != self->gathered)
		broken("%s gets transaction %d where %d is next", d->name, (int) number,
			   (int) self->gathered);
	expect(event->transaction->commit_lsn == t->commit_lsn);
	if (event->kind == PENSTOCK_BEGIN)
	{
		expect(!self->open);
		self->open = true;
		self->sequence = 0;
	}
	else if (event->kind == PENSTOCK_INSERT)
	{
		expect(self->open);
		if (event->sequence != ++self->sequence)
			broken("%s gets change %d of transaction %d where %d is next", d->name,
				   (int) event->sequence, (int) number, (int) self->sequence);
		expect(history_number(event) == number);
	}
	else
	{
		expect(self->open == !t->alone);
		expect((self->open ? self->sequence : 0) == t->changes);
		self->open = false;
		self->gathered++;
		self->gathered_lsn = t->end_lsn;
		expect(event->transaction->end_lsn == t->end_lsn);
	}
}

static penstock_status
fake_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
		   pen_error *error)
{
	fake *self = enter(destination);
	database *d = self->d;

	expect(self->started);
	if (check_alive(self, error) < 0)
		return leave(self, error->status);
	if (d->reject_count > 0 && event->kind == PENSTOCK_INSERT && self->gathered >= d->rejects)
	{
		d->reject_count--;
		return leave(self, pen_error_set(error, PENSTOCK_E_DATA, "a row is rejected"));
	}
	take_event(self, event);
	if (!self->open && !d->lazy && draw(d, 3) == 0)
		commit(self);
	report(self, position);
	return leave(self, PENSTOCK_OK);
}

static penstock_status
fake_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	fake *self = enter(destination);

	expect(!self->open);
	if (check_alive(self, error) < 0)
		return leave(self, error->status);
	commit(self);
	report(self, position);
	return leave(self, PENSTOCK_OK);
}

static penstock_status
fake_advance(pen_destination *destination, uint64_t lsn, pen_position *position, pen_error *error)
{
	fake *self = enter(destination);

	expect(!self->open);
	if (check_alive(self, error) < 0)
		return leave(self, error->status);
	if (self->d->h->transactions[self->gathered].commit_lsn < lsn)
		broken("%s is told that nothing comes before %d, and misses transaction %d", self->d->name,
			   (int) lsn, (int) self->gathered);
	self->gathered_lsn = lsn;
	commit(self);
	report(self, position);
	return leave(self, PENSTOCK_OK);
}

/* As in PostgreSQL nothing is learnt about durability in the middle of a transaction. */
static penstock_status
fake_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	fake *self = enter(destination);

	if (check_alive(self, error) < 0)
		return leave(self, error->status);
	*poll_ms = -1;
	if (!self->open && self->durable_lsn < self->applied_lsn)
	{
		*poll_ms = 1;
		if (draw(self->d, 4) == 0)
			make_durable(self);
	}
	report(self, position);
	return leave(self, PENSTOCK_OK);
}

static const pen_destination_kind fake_kind = {.scheme = "fake",
											   .keeps_position = true,
											   .prepares = true,
											   .destroy = fake_destroy,
											   .open = fake_open,
											   .close = fake_close,
											   .start = fake_start,
											   .apply = fake_apply,
											   .flush = fake_flush,
											   .advance = fake_advance,
											   .sync = fake_sync};

/* Commits that were not durable are lost. */
static void
crash(database *d)
{
	pthread_mutex_lock(&d->lock);
	d->up = false;
	d->crashes++;
	d->stored = d->durable;
	d->stored_lsn = d->durable_lsn;
	pthread_mutex_unlock(&d->lock);
}

static void
bring_up(database *d)
{
	pthread_mutex_lock(&d->lock);
	d->up = true;
	pthread_mutex_unlock(&d->lock);
}

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

static void
no_wake(void *context)
{
	(void) context;
}

static void
write_log(penstock_log_level level, const char *component, const char *message, void *context)
{
	(void) context;
	(void) level;
	if (getenv("VERBOSE") != NULL)
		fprintf(stderr, "%s: %s\n", component, message);
}

static void
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

static void
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

static void
end_life(world *w)
{
	for (size_t i = 0; i < DATABASES; i++)
		pen_worker_free(w->p.workers[i]);
	pen_assembler_free(w->p.assembler);
}

/* kill -9, or the machine loses power: the disk is as it was, and what a destination takes after
 * that is what was on its way. */
static void
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

static uint64_t
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
static bool
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

static bool
room(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->fed[i] && pen_feed_is_full(pen_worker_feed(p->workers[i])))
			return false;
	}
	return true;
}

static void
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
static void
keepalive(world *w)
{
	size_t next =
		w->next < w->h->event_count ? w->h->events[w->next].transaction : w->h->transaction_count;
	uint64_t lsn = w->h->transactions[next].commit_lsn - random_below(20);

	if (!history_is_within(w->h, w->next) && lsn > w->p.delivered_lsn)
		w->p.delivered_lsn = lsn;
}

static void
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

static void
feedback(world *w)
{
	uint64_t lsn = pen_progress_confirmable(&w->p.progress, w->p.delivered_lsn);

	if (lsn > w->confirmed_lsn)
		w->confirmed_lsn = lsn;
	w->p.confirmed_lsn = lsn;
}

static void
survey(world *w, pen_survey *found)
{
	pen_survey_look(&w->p, found);
	if (found->wants_stream)
		begin_stream(w);
}

/* ---- what happens ---- */

static void
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

static void
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

static void
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

static void
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
static void
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

static world *
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
	make_top(NULL);
	return w;
}

static void
free_world(world *w)
{
	end_life(w);
	remove_top(NULL);
	history_free(w->h);
	free(w);
}

static void
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
