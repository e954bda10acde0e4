/* shelf.c -- where changes wait.
 * What of a parcel is on disk stands before what of it is in memory: it is moved there from the
 * front, all at once. */
#include "transaction/shelf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/failpoint.h"
#include "store/store.h"

/* Before the bytes of a piece on disk: its subxid. */
#define PIECE_HEAD 4

/* Bytes of one chunk that stand side by side. */
typedef struct slice
{
	pen_chunk *chunk; /* a reference */
	const uint8_t *data;
	size_t len;
	uint32_t subxid;
} slice;

struct pen_parcel
{
	pen_parcel *next;
	uint32_t xid;
	slice *slices; /* taken..count */
	size_t taken;
	size_t count;
	size_t capacity;
	size_t bytes;
	pen_store *store; /* NULL: nothing is on disk */
	pen_store_cursor *cursor;
	uint64_t stored; /* pieces in store that were not taken yet */
	uint32_t *aborted;
	size_t aborted_count;
	size_t aborted_capacity;
	bool aborted_sorted;
};

struct pen_shelf
{
	pen_parcel *parcels;
	size_t bytes;
	size_t bytes_max; /* 0: no limit */
	pen_statedir *state;
	char *directory; /* for scratch files, once there are any */
	uint64_t next_file;
};

/* ---- parcels ---- */

pen_shelf *
pen_shelf_new(void)
{
	return calloc(1, sizeof(pen_shelf));
}

void
pen_shelf_limit(pen_shelf *shelf, pen_statedir *state, size_t bytes_max)
{
	shelf->state = state;
	shelf->bytes_max = bytes_max;
}

void
pen_shelf_free(pen_shelf *shelf)
{
	if (shelf == NULL)
		return;
	pen_shelf_clear(shelf);
	free(shelf->directory);
	free(shelf);
}

void
pen_shelf_clear(pen_shelf *shelf)
{
	while (shelf->parcels != NULL)
		pen_shelf_drop(shelf, shelf->parcels);
}

pen_parcel *
pen_shelf_find(const pen_shelf *shelf, uint32_t xid)
{
	pen_parcel *parcel = shelf->parcels;

	while (parcel != NULL && parcel->xid != xid)
		parcel = parcel->next;
	return parcel;
}

pen_parcel *
pen_shelf_add(pen_shelf *shelf, uint32_t xid)
{
	pen_parcel *parcel = calloc(1, sizeof(*parcel));

	if (parcel == NULL)
		return NULL;
	parcel->xid = xid;
	parcel->next = shelf->parcels;
	shelf->parcels = parcel;
	return parcel;
}

static size_t
slice_bytes(const slice *s)
{
	return s->len + sizeof(*s);
}

/* Let go of the slices that were not taken. */
static void
drop_slices(pen_shelf *shelf, pen_parcel *parcel)
{
	for (; parcel->taken < parcel->count; parcel->taken++)
		pen_chunk_unref(parcel->slices[parcel->taken].chunk);
	shelf->bytes -= parcel->bytes;
	parcel->bytes = parcel->taken = parcel->count = 0;
}

void
pen_shelf_drop(pen_shelf *shelf, pen_parcel *parcel)
{
	pen_parcel **at = &shelf->parcels;

	if (parcel == NULL)
		return;
	while (*at != parcel)
		at = &(*at)->next;
	*at = parcel->next;
	drop_slices(shelf, parcel);
	pen_store_cursor_free(parcel->cursor);
	pen_store_close(parcel->store);
	free(parcel->slices);
	free(parcel->aborted);
	free(parcel);
}

/* ---- to disk ---- */

static penstock_status
open_store(pen_shelf *shelf, pen_parcel *parcel, pen_error *error)
{
	const pen_store_options options = {.durable = false};
	char *path;

	if (shelf->directory == NULL)
		shelf->directory = pen_statedir_scratch(shelf->state, PEN_STATEDIR_STREAMS, error);
	if (shelf->directory == NULL)
		return error->status;
	if (asprintf(&path, "%s/%" PRIu32 "-%" PRIu64, shelf->directory, parcel->xid,
				 ++shelf->next_file) < 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a large transaction");
	parcel->store = pen_store_open(path, &options, error);
	free(path);
	return parcel->store != NULL ? PENSTOCK_OK : error->status;
}

static void
put_head(uint8_t *bytes, uint32_t subxid)
{
	memcpy(bytes, &subxid, PIECE_HEAD);
}

static penstock_status
store_slice(pen_parcel *parcel, const slice *s, uint8_t **buffer, size_t *capacity,
			pen_error *error)
{
	penstock_status status;

	if (s->len + PIECE_HEAD > *capacity)
	{
		uint8_t *larger = realloc(*buffer, s->len + PIECE_HEAD);

		if (larger == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a large transaction");
		*buffer = larger;
		*capacity = s->len + PIECE_HEAD;
	}
	put_head(*buffer, s->subxid);
	memcpy(*buffer + PIECE_HEAD, s->data, s->len);
	status = pen_store_append(parcel->store, *buffer, s->len + PIECE_HEAD, 0, error);
	PEN_FAILPOINT("stream-spilled");
	if (status == PENSTOCK_OK)
		parcel->stored++;
	return status;
}

/* Move what a parcel has in memory to its file. */
static penstock_status
spill(pen_shelf *shelf, pen_parcel *parcel, pen_error *error)
{
	uint8_t *buffer = NULL;
	size_t capacity = 0;
	penstock_status status = PENSTOCK_OK;

	if (parcel->store == NULL)
		status = open_store(shelf, parcel, error);
	while (status == PENSTOCK_OK && parcel->taken < parcel->count)
	{
		slice *s = &parcel->slices[parcel->taken];

		status = store_slice(parcel, s, &buffer, &capacity, error);
		if (status == PENSTOCK_OK)
		{
			parcel->bytes -= slice_bytes(s);
			shelf->bytes -= slice_bytes(s);
			pen_chunk_unref(s->chunk);
			parcel->taken++;
		}
	}
	free(buffer);
	if (status == PENSTOCK_OK)
	{
		drop_slices(shelf, parcel);
		/* Ends the file, so that many parcels do not need many file descriptors. */
		status = pen_store_roll(parcel->store, error);
	}
	if (status == PENSTOCK_OK)
		return status;
	error->status = PENSTOCK_E_RETRY;
	return pen_error_context(error, "a transaction that is too large for memory (make room on the "
									"disk, or raise --memory-limit)");
}

static pen_parcel *
largest(const pen_shelf *shelf)
{
	pen_parcel *found = shelf->parcels;

	for (pen_parcel *parcel = found; parcel != NULL; parcel = parcel->next)
		if (parcel->bytes > found->bytes)
			found = parcel;
	return found;
}

/* ---- keeping ---- */

static slice *
add_slice(pen_parcel *parcel)
{
	if (parcel->count == parcel->capacity)
	{
		size_t capacity = parcel->capacity == 0 ? 16 : parcel->capacity * 2;
		slice *slices = realloc(parcel->slices, capacity * sizeof(*slices));

		if (slices == NULL)
			return NULL;
		parcel->slices = slices;
		parcel->capacity = capacity;
	}
	return &parcel->slices[parcel->count++];
}

penstock_status
pen_shelf_keep(pen_shelf *shelf, pen_parcel *parcel, pen_chunk *chunk, const uint8_t *bytes,
			   size_t len, uint32_t subxid, pen_error *error)
{
	slice *last = parcel->count > parcel->taken ? &parcel->slices[parcel->count - 1] : NULL;
	size_t before = parcel->bytes;

	if (last != NULL && last->chunk == chunk && last->data + last->len == bytes)
	{
		last->len += len;
		parcel->bytes += len;
	}
	else
	{
		last = add_slice(parcel);
		if (last == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a large transaction");
		*last = (slice){pen_chunk_ref(chunk), bytes, len, subxid};
		parcel->bytes += slice_bytes(last);
	}
	shelf->bytes += parcel->bytes - before;
	if (shelf->bytes_max == 0 || shelf->bytes <= shelf->bytes_max)
		return PENSTOCK_OK;
	return spill(shelf, largest(shelf), error);
}

/* ---- sub-transactions ---- */

bool
pen_parcel_abort(pen_parcel *parcel, uint32_t subxid)
{
	if (parcel->aborted_count == parcel->aborted_capacity)
	{
		size_t capacity = parcel->aborted_capacity == 0 ? 16 : parcel->aborted_capacity * 2;
		uint32_t *aborted = realloc(parcel->aborted, capacity * sizeof(*aborted));

		if (aborted == NULL)
			return false;
		parcel->aborted = aborted;
		parcel->aborted_capacity = capacity;
	}
	parcel->aborted[parcel->aborted_count++] = subxid;
	parcel->aborted_sorted = false;
	return true;
}

static int
compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *) a;
	uint32_t right = *(const uint32_t *) b;

	return (left > right) - (left < right);
}

bool
pen_parcel_is_aborted(pen_parcel *parcel, uint32_t subxid)
{
	if (parcel->aborted_count == 0)
		return false;
	if (!parcel->aborted_sorted)
		qsort(parcel->aborted, parcel->aborted_count, sizeof(*parcel->aborted), compare);
	parcel->aborted_sorted = true;
	return bsearch(&subxid, parcel->aborted, parcel->aborted_count, sizeof(*parcel->aborted),
				   compare) != NULL;
}

/* ---- taking out ---- */

static void
unref_chunk(void *chunk)
{
	pen_chunk_unref(chunk);
}

static penstock_status
next_stored(pen_parcel *parcel, pen_piece *piece, pen_error *error)
{
	pen_store_record record;
	penstock_status status;
	void *bytes;

	if (parcel->cursor == NULL)
		parcel->cursor = pen_store_cursor_new(parcel->store, 0);
	if (parcel->cursor == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a large transaction");
	status = pen_store_next(parcel->cursor, &record, error);
	if (status == PENSTOCK_AGAIN || (status == PENSTOCK_OK && record.len < PIECE_HEAD))
		return pen_error_set(error, PENSTOCK_E_BUG, "a scratch file has too few pieces");
	if (status < 0)
	{
		/* Damage to what is only a copy: the source still has it. */
		error->status = PENSTOCK_E_RETRY;
		return pen_error_context(error, "a transaction that is too large for memory");
	}
	memcpy(&piece->subxid, record.data, PIECE_HEAD);
	piece->data = record.data + PIECE_HEAD;
	piece->len = record.len - PIECE_HEAD;
	bytes = pen_store_take(parcel->cursor);
	piece->chunk = pen_chunk_new(bytes, record.len, free);
	parcel->stored--;
	return PENSTOCK_OK;
}

static void
next_in_memory(pen_shelf *shelf, pen_parcel *parcel, pen_piece *piece)
{
	const slice *s = &parcel->slices[parcel->taken++];

	parcel->bytes -= slice_bytes(s);
	shelf->bytes -= slice_bytes(s);
	piece->data = s->data;
	piece->len = s->len;
	piece->subxid = s->subxid;
	piece->chunk = pen_chunk_new(s->chunk, 0, unref_chunk); /* the reference goes along */
}

bool
pen_parcel_is_empty(const pen_parcel *parcel)
{
	return parcel->stored == 0 && parcel->taken == parcel->count;
}

penstock_status
pen_parcel_next(pen_shelf *shelf, pen_parcel *parcel, pen_piece *piece, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	if (pen_parcel_is_empty(parcel))
		return PENSTOCK_DONE;
	if (parcel->stored > 0)
		status = next_stored(parcel, piece, error);
	else
		next_in_memory(shelf, parcel, piece);
	if (status == PENSTOCK_OK && piece->chunk == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a large transaction");
	return status;
}
