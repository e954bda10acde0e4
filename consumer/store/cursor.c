/* cursor.c -- reading a log while it grows: only as far as records count. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/private.h"

pen_store_cursor *
pen_store_cursor_new(pen_store *store, uint64_t from_position)
{
	pen_store_cursor *cursor = calloc(1, sizeof(*cursor));

	if (cursor == NULL)
		return NULL;
	cursor->store = store;
	cursor->from_position = from_position;
	cursor->reader.fd = -1;
	pthread_mutex_lock(&store->mutex);
	cursor->generation = store->generation;
	pthread_mutex_unlock(&store->mutex);
	return cursor;
}

/* Leave the segment; what was unpacked stays. */
static void
leave(pen_store_cursor *cursor)
{
	pen_store_unref_segment(cursor->at);
	cursor->at = NULL;
	if (cursor->reader.fd >= 0)
		close(cursor->reader.fd);
	cursor->reader.fd = -1;
}

void
pen_store_cursor_free(pen_store_cursor *cursor)
{
	if (cursor == NULL)
		return;
	pthread_mutex_lock(&cursor->store->mutex);
	leave(cursor);
	pthread_mutex_unlock(&cursor->store->mutex);
	pen_segment_reader_reset(&cursor->reader);
	free(cursor);
}

static penstock_status
enter(pen_store_cursor *cursor, segment *at, pen_error *error)
{
	segment_reader *reader = &cursor->reader;
	int fd = pen_store_open_segment(cursor->store, at->number, O_RDONLY);

	if (fd < 0)
		return pen_store_system_error(cursor->store, "open", at->number, errno, error);
	at->references++;
	leave(cursor);
	cursor->at = at;
	reader->fd = fd;
	reader->number = at->number;
	reader->offset = SEGMENT_HEAD_BYTES;
	reader->from = 0;
	reader->filled = 0;
	return PENSTOCK_OK;
}

/* The segment with the first record from from_position on; the last one if there is none yet. */
static segment *
find_start(const pen_store_cursor *cursor)
{
	segment *at = cursor->store->first;

	while (at != NULL && at->next != NULL && at->last_position < cursor->from_position)
		at = at->next;
	return at;
}

/* Where the cursor reads next, and how far. AGAIN: nothing is there. */
static penstock_status
advance(pen_store_cursor *cursor, uint64_t *end, pen_error *error)
{
	pen_store *store = cursor->store;
	segment *at = cursor->at;

	if (cursor->generation != store->generation)
	{
		leave(cursor);
		cursor->generation = store->generation;
		cursor->from_position = 0;
		at = NULL;
	}
	if (at == NULL)
		at = find_start(cursor);
	else if (cursor->reader.offset >= at->bytes)
		at = at->number < store->first->number ? store->first : at->next;
	if (at == NULL)
		return PENSTOCK_AGAIN;
	if (at != cursor->at && enter(cursor, at, error) < 0)
		return PENSTOCK_E_RETRY;
	*end = at->bytes;
	return PENSTOCK_OK;
}

/* What is missing may be what a failed sync has taken away. */
static bool
lost(pen_store *store)
{
	bool failed;

	pthread_mutex_lock(&store->mutex);
	failed = store->failed;
	pthread_mutex_unlock(&store->mutex);
	return failed;
}

penstock_status
pen_store_next(pen_store_cursor *cursor, pen_store_record *record, pen_error *error)
{
	pen_store *store = cursor->store;
	const char *what = "";
	char name[SEGMENT_NAME_SIZE];
	penstock_status status;
	uint64_t end = 0;
	int code = 0;

	pthread_mutex_lock(&store->mutex);
	status = advance(cursor, &end, error);
	pthread_mutex_unlock(&store->mutex);
	if (status != PENSTOCK_OK)
		return status;
	status = pen_segment_next(&cursor->reader, end, &what, &code);
	if (status == PENSTOCK_E_RETRY)
		return pen_store_system_error(store, "read", cursor->reader.number, code, error);
	if (status == PENSTOCK_E_DATA && lost(store))
		return pen_error_set(error, PENSTOCK_E_RETRY, "%s: a sync failed", store->directory);
	if (status == PENSTOCK_E_DATA)
	{
		pen_segment_name(name, cursor->reader.number);
		return pen_error_set(error, PENSTOCK_E_REFUSED,
							 "%s/%s is damaged at offset %" PRIu64 ": %s", store->directory, name,
							 cursor->reader.offset, what);
	}
	*record = (pen_store_record){cursor->reader.data, cursor->reader.len, cursor->reader.position,
								 cursor->reader.number};
	return status;
}

void *
pen_store_take(pen_store_cursor *cursor)
{
	void *data = cursor->reader.data;

	cursor->reader.data = NULL;
	cursor->reader.data_capacity = 0;
	return data;
}
