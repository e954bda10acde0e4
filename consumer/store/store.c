/* store.c -- a log on disk: append, sync, give up.
 * A record counts once all of it has been written; what stands behind the last one that counts is
 * nobody's, and is written over. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/private.h"

#define SEGMENT_BYTES ((uint64_t) 64 * 1024 * 1024)
#define MARK_NAME     "synced"

/* ---- parts ---- */

penstock_status
pen_store_system_error(const pen_store *store, const char *what, uint64_t number, int code,
					   pen_error *error)
{
	char name[SEGMENT_NAME_SIZE] = "";
	char reason[128];

	if (number != 0)
		pen_segment_name(name, number);
	return pen_error_set(error, PENSTOCK_E_RETRY, "could not %s %s/%s: %s", what, store->directory,
						 name, strerror_r(code, reason, sizeof(reason)));
}

segment *
pen_store_add_segment(pen_store *store, const segment_head *head, uint64_t bytes)
{
	segment *at = calloc(1, sizeof(*at));

	if (at == NULL)
		return NULL;
	*at = (segment){.number = head->number,
					.bytes = bytes,
					.first_position = head->first_position,
					.last_position = head->first_position,
					.references = 1};
	if (store->last != NULL)
		store->last->next = at;
	else
		store->first = at;
	store->last = at;
	store->bytes += bytes;
	return at;
}

void
pen_store_unref_segment(segment *at)
{
	if (at != NULL && --at->references == 0)
		free(at);
}

int
pen_store_open_segment(const pen_store *store, uint64_t number, int flags)
{
	char name[SEGMENT_NAME_SIZE];

	pen_segment_name(name, number);
	return openat(store->directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static void
unlink_segment(const pen_store *store, uint64_t number)
{
	char name[SEGMENT_NAME_SIZE];

	pen_segment_name(name, number);
	(void) unlinkat(store->directory_fd, name, 0);
}

/* ---- open and close ---- */

/* The directory may be new. */
static int
sync_parent(const pen_store *store)
{
	int fd = openat(store->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return result;
}

static penstock_status
open_files(pen_store *store, pen_error *error)
{
	if (mkdir(store->directory, 0700) != 0 && errno != EEXIST)
		return pen_store_system_error(store, "make directory", 0, errno, error);
	store->directory_fd = open(store->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory_fd < 0)
		return pen_store_system_error(store, "open directory", 0, errno, error);
	if (!store->options.durable)
		return pen_store_remove_files(store, error);
	store->mark_fd =
		openat(store->directory_fd, MARK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (store->mark_fd < 0)
		return pen_store_system_error(store, "open " MARK_NAME " in", 0, errno, error);
	pen_segment_read_mark(store->mark_fd, &store->synced);
	if (sync_parent(store) != 0)
		return pen_store_system_error(store, "sync directory", 0, errno, error);
	return pen_store_recover(store, error);
}

pen_store *
pen_store_open(const char *directory, const pen_store_options *options, pen_error *error)
{
	pen_store *store = calloc(1, sizeof(*store));

	if (store == NULL || (store->directory = strdup(directory)) == NULL)
	{
		free(store);
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a log");
		return NULL;
	}
	store->options = *options;
	if (store->options.segment_bytes_max == 0)
		store->options.segment_bytes_max = SEGMENT_BYTES;
	/* Room comes back a segment at a time. */
	if (store->options.bytes_max != 0 &&
		store->options.segment_bytes_max > store->options.bytes_max / 4)
		store->options.segment_bytes_max = store->options.bytes_max / 4;
	store->directory_fd = store->mark_fd = store->fd = -1;
	store->next_number = 1;
	pthread_mutex_init(&store->mutex, NULL);
	pthread_mutex_init(&store->sync_mutex, NULL);
	if (open_files(store, error) < 0)
	{
		store->options.durable = true; /* leave everything as it is */
		store->failed = true;
		pen_store_close(store);
		return NULL;
	}
	return store;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
pen_store_close(pen_store *store)
{
	pen_error ignored;

	if (store == NULL)
		return;
	if (store->options.durable && !store->failed)
		ignored.status = pen_store_sync(store, NULL, &ignored);
	else if (!store->options.durable)
	{
		ignored.status = pen_store_remove_files(store, &ignored);
		(void) rmdir(store->directory);
	}
	close_fd(&store->fd);
	close_fd(&store->mark_fd);
	close_fd(&store->directory_fd);
	while (store->first != NULL)
	{
		segment *next = store->first->next;

		pen_store_unref_segment(store->first);
		store->first = next;
	}
	pthread_mutex_destroy(&store->mutex);
	pthread_mutex_destroy(&store->sync_mutex);
	free(store->record);
	free(store->directory);
	free(store);
}

/* ---- appending ---- */

static bool
is_full(int code)
{
	return code == ENOSPC || code == EDQUOT || code == EFBIG;
}

static penstock_status
write_failed(pen_store *store, uint64_t number, int code, pen_error *error)
{
	pen_store_system_error(store, "write", number, code, error);
	if (is_full(code) && error != NULL)
		error->status = PEN_STORE_FULL;
	return is_full(code) ? PEN_STORE_FULL : PENSTOCK_E_RETRY;
}

static penstock_status
check_room(const pen_store *store, uint64_t more, pen_error *error)
{
	uint64_t most = store->options.bytes_max;

	if (most == 0 || (more <= most && pen_store_bytes(store) <= most - more))
		return PENSTOCK_OK;
	return pen_error_set(error, PEN_STORE_FULL, "%s has reached its limit of %" PRIu64 " bytes",
						 store->directory, most);
}

/* Begin the file for a record that is about to come. */
static penstock_status
begin_segment(pen_store *store, uint64_t position, int *fd, pen_error *error)
{
	segment_head head = {.number = store->next_number,
						 .previous_bytes = store->last != NULL ? store->last->bytes : 0,
						 .previous_last = store->last != NULL ? store->last->last_position : 0,
						 .first_position = position};
	int code;

	/* Not O_EXCL: one that could not be written to its end may be there. */
	*fd = pen_store_open_segment(store, head.number, O_RDWR | O_CREAT | O_TRUNC);
	if (*fd < 0)
		return write_failed(store, head.number, errno, error);
	code = pen_segment_write_head(*fd, &head);
	if (code == 0)
		return PENSTOCK_OK;
	close_fd(fd);
	unlink_segment(store, head.number);
	return write_failed(store, head.number, code, error);
}

static bool
has_failed(pen_store *store)
{
	bool failed;

	pthread_mutex_lock(&store->mutex);
	failed = store->failed;
	pthread_mutex_unlock(&store->mutex);
	return failed;
}

/* A record has been written: from now on it counts. */
static penstock_status
publish(pen_store *store, int new_fd, size_t bytes, uint64_t position, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	pthread_mutex_lock(&store->mutex);
	if (new_fd >= 0)
	{
		segment_head head = {.number = store->next_number, .first_position = position};

		if (pen_store_add_segment(store, &head, SEGMENT_HEAD_BYTES) == NULL)
			status = pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a log");
		else
		{
			store->fd = new_fd;
			store->next_number++;
		}
	}
	if (status >= 0)
	{
		store->last->bytes += bytes;
		store->last->last_position = position;
		store->bytes += bytes;
		store->last_position = position;
	}
	pthread_mutex_unlock(&store->mutex);
	return status;
}

penstock_status
pen_store_append(pen_store *store, const void *data, size_t len, uint64_t position,
				 pen_error *error)
{
	bool begins = store->fd < 0;
	uint64_t number = begins ? store->next_number : store->last->number;
	uint64_t offset = begins ? SEGMENT_HEAD_BYTES : store->last->bytes;
	penstock_status status;
	int fd = store->fd;
	int code;
	size_t bytes;

	if (has_failed(store))
		return pen_error_set(error, PENSTOCK_E_RETRY, "%s takes nothing more: a sync failed",
							 store->directory);
	if (len == 0 || len > PEN_STORE_RECORD_BYTES_MAX || position < store->last_position)
		return pen_error_set(error, PENSTOCK_E_BUG,
							 "a record of %zu bytes at position %" PRIu64 " after %" PRIu64, len,
							 position, store->last_position);
	bytes = pen_segment_pack(data, len, position, number, offset, &store->record,
							 &store->record_capacity);
	if (bytes == 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a log");
	status = check_room(store, bytes + (begins ? SEGMENT_HEAD_BYTES : 0), error);
	if (status == PENSTOCK_OK && begins)
		status = begin_segment(store, position, &fd, error);
	if (status != PENSTOCK_OK)
		return status;
	code = pen_segment_write_at(fd, store->record, bytes, offset);
	if (code != 0)
	{
		status = write_failed(store, number, code, error);
		if (!begins)
			(void) ftruncate(fd, (off_t) offset); /* give the space back; nobody reads it */
	}
	else
		status = publish(store, begins ? fd : -1, bytes, position, error);
	if (status != PENSTOCK_OK && begins)
	{
		close_fd(&fd);
		unlink_segment(store, number);
	}
	return status;
}

bool
pen_store_segment_full(const pen_store *store)
{
	return store->fd < 0 || store->last->bytes >= store->options.segment_bytes_max;
}

penstock_status
pen_store_roll(pen_store *store, pen_error *error)
{
	if (pen_store_sync(store, NULL, error) < 0)
		return error != NULL ? error->status : PENSTOCK_E_RETRY;
	pthread_mutex_lock(&store->mutex);
	close_fd(&store->fd);
	pthread_mutex_unlock(&store->mutex);
	return PENSTOCK_OK;
}

/* ---- syncing ---- */

/* Nobody can tell what of this is on disk: have it gone. */
static void
give_up(pen_store *store, int fd, uint64_t number)
{
	uint64_t keep = number == store->synced.segment ? store->synced.bytes : 0;

	if (ftruncate(fd, (off_t) keep) != 0)
		unlink_segment(store, number);
	pthread_mutex_lock(&store->mutex);
	store->failed = true;
	store->bytes -= store->last->bytes - keep;
	store->last->bytes = keep;
	pthread_mutex_unlock(&store->mutex);
}

static penstock_status
sync_file(pen_store *store, int fd, const sync_mark *mark, pen_error *error)
{
	bool new_file = mark->segment != store->synced.segment;

	if (fdatasync(fd) != 0 || (new_file && fsync(store->directory_fd) != 0))
	{
		pen_store_system_error(store, "sync", mark->segment, errno, error);
		give_up(store, fd, mark->segment);
		return PENSTOCK_E_RETRY;
	}
	/* It only helps to tell damage from a crash: should it not reach the disk, nothing is lost. */
	(void) pen_segment_write_mark(store->mark_fd, mark);
	pthread_mutex_lock(&store->mutex);
	store->synced = *mark;
	pthread_mutex_unlock(&store->mutex);
	return PENSTOCK_OK;
}

penstock_status
pen_store_sync(pen_store *store, uint64_t *position, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;
	sync_mark mark = {0};
	uint64_t last_position;
	int fd = -1;

	if (!store->options.durable)
		return PENSTOCK_OK;
	pthread_mutex_lock(&store->sync_mutex);
	pthread_mutex_lock(&store->mutex);
	if (store->failed)
		status =
			pen_error_set(error, PENSTOCK_E_RETRY, "%s: a sync failed before", store->directory);
	else if (store->fd >= 0)
	{
		mark = (sync_mark){store->last->number, store->last->bytes};
		if (mark.segment != store->synced.segment || mark.bytes != store->synced.bytes)
		{
			fd = fcntl(store->fd, F_DUPFD_CLOEXEC, 0);
			if (fd < 0)
				status = pen_store_system_error(store, "sync", mark.segment, errno, error);
		}
	}
	last_position = store->last_position;
	pthread_mutex_unlock(&store->mutex);
	if (fd >= 0)
		status = sync_file(store, fd, &mark, error);
	close_fd(&fd);
	if (status >= 0)
		store->synced_position = last_position;
	if (position != NULL)
		*position = store->synced_position;
	pthread_mutex_unlock(&store->sync_mutex);
	return status;
}

/* ---- giving up ---- */

/* Take the first segment out of the list; its file goes, cursors in it stay. */
static void
remove_first(pen_store *store)
{
	segment *at = store->first;

	unlink_segment(store, at->number);
	store->bytes -= at->bytes;
	store->first = at->next;
	if (at->next == NULL)
		store->last = NULL;
	pen_store_unref_segment(at);
}

void
pen_store_truncate(pen_store *store, uint64_t position)
{
	pthread_mutex_lock(&store->mutex);
	/* What the mark says to be there stays until it names a later one. */
	while (store->first != store->last && store->first->last_position < position &&
		   (!store->options.durable || store->first->number < store->synced.segment))
		remove_first(store);
	pthread_mutex_unlock(&store->mutex);
}

penstock_status
pen_store_reset(pen_store *store, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	pthread_mutex_lock(&store->sync_mutex);
	pthread_mutex_lock(&store->mutex);
	/* First what says that anything must be there. */
	if (store->mark_fd >= 0 && (ftruncate(store->mark_fd, 0) != 0 || fsync(store->mark_fd) != 0))
		status = pen_store_system_error(store, "reset", 0, errno, error);
	else
	{
		close_fd(&store->fd);
		while (store->first != NULL)
			remove_first(store);
		store->synced = (sync_mark){0};
		store->synced_position = store->last_position = 0;
		store->generation++;
		if (fsync(store->directory_fd) != 0)
			status = pen_store_system_error(store, "reset", 0, errno, error);
	}
	pthread_mutex_unlock(&store->mutex);
	pthread_mutex_unlock(&store->sync_mutex);
	return status;
}

/* ---- asking ---- */

uint64_t
pen_store_bytes(const pen_store *store)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *) &store->mutex;
	uint64_t bytes;

	pthread_mutex_lock(mutex);
	bytes = store->bytes;
	pthread_mutex_unlock(mutex);
	return bytes;
}

bool
pen_store_positions(const pen_store *store, uint64_t *first, uint64_t *last)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *) &store->mutex;
	bool any;

	pthread_mutex_lock(mutex);
	any = store->first != NULL;
	if (any)
	{
		*first = store->first->first_position;
		*last = store->last_position;
	}
	pthread_mutex_unlock(mutex);
	return any;
}

uint64_t
pen_store_cut(const pen_store *store)
{
	return store->cut;
}
