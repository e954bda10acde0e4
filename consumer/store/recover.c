/* recover.c -- take up the log that a directory holds.
 * What a crash may leave is cut off; what it cannot have left is damage, and nothing is touched. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/private.h"

typedef struct listing
{
	uint64_t *numbers; /* ascending */
	size_t count;
} listing;

static int
compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *) a;
	uint64_t right = *(const uint64_t *) b;

	return (left > right) - (left < right);
}

static penstock_status
add_number(listing *list, uint64_t number, pen_error *error)
{
	uint64_t *larger;

	if ((list->count & (list->count + 1)) == 0) /* 0, 1, 3, 7, … */
	{
		larger = realloc(list->numbers, (list->count + 1) * 2 * sizeof(*larger));
		if (larger == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a log");
		list->numbers = larger;
	}
	list->numbers[list->count++] = number;
	return PENSTOCK_OK;
}

/* list->numbers is for free(), also after a failure. */
static penstock_status
list_segments(const pen_store *store, listing *list, pen_error *error)
{
	DIR *directory = opendir(store->directory);
	const struct dirent *entry;
	penstock_status status = PENSTOCK_OK;

	*list = (listing){0};
	if (directory == NULL)
		return pen_store_system_error(store, "read directory", 0, errno, error);
	errno = 0;
	while (status >= 0 && (entry = readdir(directory)) != NULL)
	{
		uint64_t number = pen_segment_number(entry->d_name);

		if (number != 0)
			status = add_number(list, number, error);
		errno = 0;
	}
	if (status >= 0 && errno != 0)
		status = pen_store_system_error(store, "read directory", 0, errno, error);
	closedir(directory);
	if (list->count > 0)
		qsort(list->numbers, list->count, sizeof(*list->numbers), compare);
	return status;
}

penstock_status
pen_store_remove_files(pen_store *store, pen_error *error)
{
	char name[SEGMENT_NAME_SIZE];
	listing list;
	penstock_status status = list_segments(store, &list, error);

	for (size_t i = 0; status >= 0 && i < list.count; i++)
	{
		pen_segment_name(name, list.numbers[i]);
		if (unlinkat(store->directory_fd, name, 0) != 0 && errno != ENOENT)
			status = pen_store_system_error(store, "remove", list.numbers[i], errno, error);
	}
	free(list.numbers);
	return status;
}

/* ---- what is there ---- */

static penstock_status
damaged(const pen_store *store, uint64_t number, uint64_t offset, const char *what,
		pen_error *error)
{
	char name[SEGMENT_NAME_SIZE];

	pen_segment_name(name, number);
	return pen_error_set(error, PENSTOCK_E_REFUSED, "%s/%s is damaged at offset %" PRIu64 ": %s",
						 store->directory, name, offset, what);
}

/* The bytes of a segment that must be whole, as far as the mark tells. */
static uint64_t
synced_bytes(const pen_store *store, uint64_t number)
{
	if (number < store->synced.segment)
		return UINT64_MAX;
	return number == store->synced.segment ? store->synced.bytes : 0;
}

/* How far records are whole from the start, and the position of the last one. */
static penstock_status
measure(const pen_store *store, int fd, const segment_head *head, uint64_t size, uint64_t *bytes,
		uint64_t *last_position, pen_error *error)
{
	segment_reader reader = {.fd = fd, .number = head->number, .offset = SEGMENT_HEAD_BYTES};
	const char *what = "it ends too early";
	penstock_status status;
	int code;

	*last_position = head->first_position;
	while ((status = pen_segment_next(&reader, size, &what, &code)) == PENSTOCK_OK)
		*last_position = reader.position;
	*bytes = reader.offset;
	if (status == PENSTOCK_E_RETRY)
		pen_store_system_error(store, "read", head->number, code, error);
	else if (reader.offset < synced_bytes(store, head->number))
		status = damaged(store, head->number, reader.offset, what, error);
	else
		status = PENSTOCK_OK;
	pen_segment_reader_reset(&reader);
	return status;
}

/* Cut the last segment where it is no longer whole, and make the rest durable. */
static penstock_status
cut(pen_store *store, int fd, uint64_t number, uint64_t size, uint64_t bytes, pen_error *error)
{
	store->cut += size - bytes;
	if ((size > bytes && ftruncate(fd, (off_t) bytes) != 0) || fdatasync(fd) != 0 ||
		fsync(store->directory_fd) != 0)
		return pen_store_system_error(store, "sync", number, errno, error);
	store->synced = (sync_mark){number, bytes};
	(void) pen_segment_write_mark(store->mark_fd, &store->synced);
	return PENSTOCK_OK;
}

/* The last segment. *bytes 0: a crash came before its first record, and it is gone. */
static penstock_status
recover_last(pen_store *store, uint64_t number, segment_head *head, uint64_t *bytes,
			 uint64_t *last_position, pen_error *error)
{
	int fd = pen_store_open_segment(store, number, O_RDWR);
	struct stat file;
	penstock_status status = PENSTOCK_OK;
	char name[SEGMENT_NAME_SIZE];

	if (fd < 0 || fstat(fd, &file) != 0)
		status = pen_store_system_error(store, "open", number, errno, error);
	else if (!pen_segment_read_head(fd, number, head))
	{
		*bytes = 0;
		if (synced_bytes(store, number) > 0)
			status = damaged(store, number, 0, "its head", error);
	}
	else
		status = measure(store, fd, head, (uint64_t) file.st_size, bytes, last_position, error);
	if (status >= 0 && *bytes <= SEGMENT_HEAD_BYTES)
	{
		*bytes = 0;
		store->cut += (uint64_t) file.st_size;
		pen_segment_name(name, number);
		if (unlinkat(store->directory_fd, name, 0) != 0)
			status = pen_store_system_error(store, "remove", number, errno, error);
	}
	else if (status >= 0)
		status = cut(store, fd, number, (uint64_t) file.st_size, *bytes, error);
	if (fd >= 0)
		close(fd);
	return status;
}

/* One that another follows: its length must be what that says; records are looked at when read. */
static penstock_status
check_sealed(pen_store *store, uint64_t number, const segment_head *next, segment_head *head,
			 pen_error *error)
{
	int fd = pen_store_open_segment(store, number, O_RDONLY);
	struct stat file;
	penstock_status status = PENSTOCK_OK;

	if (fd < 0 || fstat(fd, &file) != 0)
		status = pen_store_system_error(store, "open", number, errno, error);
	else if (!pen_segment_read_head(fd, number, head))
		status = damaged(store, number, 0, "its head", error);
	else if ((uint64_t) file.st_size < next->previous_bytes)
		status = damaged(store, number, (uint64_t) file.st_size, "it ends too early", error);
	if (fd >= 0)
		close(fd);
	return status;
}

static penstock_status
add_all(pen_store *store, const listing *list, const segment_head *heads, uint64_t last_bytes,
		uint64_t last_position, pen_error *error)
{
	for (size_t i = 0; i < list->count; i++)
	{
		bool is_last = i + 1 == list->count;
		uint64_t bytes = is_last ? last_bytes : heads[i + 1].previous_bytes;
		segment *at = pen_store_add_segment(store, &heads[i], bytes);

		if (at == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a log");
		at->last_position = is_last ? last_position : heads[i + 1].previous_last;
	}
	store->last_position = store->synced_position = last_position;
	return PENSTOCK_OK;
}

/* From the last to the first, since each tells how long the one before is. */
static penstock_status
recover_listed(pen_store *store, listing *list, segment_head *heads, pen_error *error)
{
	uint64_t bytes = 0;
	uint64_t last_position = 0;
	penstock_status status = PENSTOCK_OK;

	for (size_t i = 1; i < list->count; i++)
		if (list->numbers[i] != list->numbers[i - 1] + 1)
			return damaged(store, list->numbers[i] - 1, 0, "the file is missing", error);
	if (store->synced.segment > (list->count > 0 ? list->numbers[list->count - 1] : 0))
		return damaged(store, store->synced.segment, 0, "the file is missing", error);
	while (list->count > 0 && bytes == 0)
	{
		uint64_t number = list->numbers[list->count - 1];

		if (store->next_number <= number)
			store->next_number = number + 1;
		status =
			recover_last(store, number, &heads[list->count - 1], &bytes, &last_position, error);
		if (status < 0)
			return status;
		if (bytes == 0)
		{
			list->count--;
			store->next_number = number;
		}
	}
	for (size_t i = list->count; i-- > 1 && status >= 0;)
		status = check_sealed(store, list->numbers[i - 1], &heads[i], &heads[i - 1], error);
	if (status < 0)
		return status;
	return add_all(store, list, heads, bytes, last_position, error);
}

penstock_status
pen_store_recover(pen_store *store, pen_error *error)
{
	listing list;
	segment_head *heads = NULL;
	penstock_status status = list_segments(store, &list, error);

	if (status >= 0)
	{
		heads = calloc(list.count + 1, sizeof(*heads));
		status = heads != NULL ? recover_listed(store, &list, heads, error)
							   : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a log");
	}
	free(heads);
	free(list.numbers);
	return status;
}
