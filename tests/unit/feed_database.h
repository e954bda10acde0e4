/* feed_database.h -- a database that is made up, and its destination: it dies, rejects, and loses
 * what is not durable. And the files of a spool, as a crash leaves them. */
#ifndef FEED_DATABASE_H
#define FEED_DATABASE_H

#include "history.h"
#include "top.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destination/destination.h"

/* ---- what is on disk ---- */

static inline void
path_of(char path[128], const char *name, int life)
{
	snprintf(path, 128, "%s/%s.%d", top, name, life);
}

static inline uint64_t
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

static inline void
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
static inline void
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

static inline uint64_t
draw(database *d, uint64_t limit)
{
	d->random ^= d->random << 13, d->random ^= d->random >> 7, d->random ^= d->random << 17;
	return d->random % limit;
}

static inline fake *
enter(pen_destination *destination)
{
	fake *self = (fake *) destination;

	pthread_mutex_lock(&self->d->lock);
	return self;
}

static inline penstock_status
leave(fake *self, penstock_status status)
{
	pthread_mutex_unlock(&self->d->lock);
	return status;
}

static inline penstock_status
check_alive(const fake *self, pen_error *error)
{
	if (self->d->up && self->crashes == self->d->crashes)
		return PENSTOCK_OK;
	return pen_error_set(error, PENSTOCK_E_RETRY, "the server is gone");
}

static inline void
fake_destroy(pen_destination *destination)
{
	free(destination);
}

static inline void
commit(fake *self)
{
	self->d->stored = self->gathered;
	self->d->stored_lsn = self->applied_lsn = self->gathered_lsn;
}

static inline void
make_durable(fake *self)
{
	self->d->durable = self->d->stored;
	self->d->durable_lsn = self->durable_lsn = self->d->stored_lsn;
}

static inline void
report(const fake *self, pen_position *position)
{
	*position = (pen_position){self->applied_lsn, self->durable_lsn};
}

static inline penstock_status
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

static inline void
fake_close(pen_destination *destination)
{
	(void) destination;
}

static inline penstock_status
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

static inline void
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

static inline penstock_status
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

static inline penstock_status
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

static inline penstock_status
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
static inline penstock_status
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
static inline void
crash(database *d)
{
	pthread_mutex_lock(&d->lock);
	d->up = false;
	d->crashes++;
	d->stored = d->durable;
	d->stored_lsn = d->durable_lsn;
	pthread_mutex_unlock(&d->lock);
}

static inline void
bring_up(database *d)
{
	pthread_mutex_lock(&d->lock);
	d->up = true;
	pthread_mutex_unlock(&d->lock);
}

#endif
