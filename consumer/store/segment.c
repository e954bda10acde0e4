/* segment.c -- one file of a log.
 * A length that was read is used only to find the checksum that covers it. */
#include "store/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "store/store.h"

#define SEGMENT_MAGIC   "PENSTORE"
#define SEGMENT_VERSION 1
#define MARK_MAGIC      "PENSYNCD"
#define MARK_BYTES      32
#define KEEP_BYTES_MAX  ((size_t) 1024 * 1024)
#define READ_AHEAD      ((size_t) 256 * 1024)
/* lz4 makes no more of a byte. */
#define LZ4_RATIO_MAX 255

/* ---- numbers ---- */

static void
put(uint8_t *p, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t) (value >> (8 * i));
}

static uint64_t
get(const uint8_t *p, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value |= (uint64_t) p[i] << (8 * i);
	return value;
}

/* ---- files ---- */

void
pen_segment_name(char name[SEGMENT_NAME_SIZE], uint64_t number)
{
	snprintf(name, SEGMENT_NAME_SIZE, "%020" PRIu64 ".log", number);
}

uint64_t
pen_segment_number(const char *name)
{
	uint64_t number = 0;
	char again[SEGMENT_NAME_SIZE];

	if (strlen(name) != 24 || strspn(name, "0123456789") != 20)
		return 0;
	number = strtoull(name, NULL, 10);
	pen_segment_name(again, number);
	return number < UINT64_MAX && strcmp(again, name) == 0 ? number : 0;
}

int
pen_segment_write_at(int fd, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;

	while (len > 0)
	{
		ssize_t written = pwrite(fd, p, len, (off_t) offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written == 0 ? EIO : errno;
		p += written;
		len -= (size_t) written;
		offset += (uint64_t) written;
	}
	return 0;
}

/* Up to len bytes; fewer at the end of the file. -1 and errno. */
static ssize_t
read_at(int fd, uint8_t *data, size_t len, uint64_t offset)
{
	size_t filled = 0;

	while (filled < len)
	{
		ssize_t got = pread(fd, data + filled, len - filled, (off_t) (offset + filled));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		filled += (size_t) got;
	}
	return (ssize_t) filled;
}

int
pen_segment_write_head(int fd, const segment_head *head)
{
	uint8_t bytes[SEGMENT_HEAD_BYTES];

	memcpy(bytes, SEGMENT_MAGIC, 8);
	put(bytes + 8, SEGMENT_VERSION, 4);
	put(bytes + 12, 0, 4);
	put(bytes + 16, head->number, 8);
	put(bytes + 24, head->previous_bytes, 8);
	put(bytes + 32, head->previous_last, 8);
	put(bytes + 40, head->first_position, 8);
	put(bytes + 48, XXH64(bytes, 48, 0), 8);
	return pen_segment_write_at(fd, bytes, sizeof(bytes), 0);
}

bool
pen_segment_read_head(int fd, uint64_t number, segment_head *head)
{
	uint8_t bytes[SEGMENT_HEAD_BYTES];

	if (read_at(fd, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
		memcmp(bytes, SEGMENT_MAGIC, 8) != 0 || get(bytes + 8, 4) != SEGMENT_VERSION ||
		get(bytes + 48, 8) != XXH64(bytes, 48, 0))
		return false;
	head->number = get(bytes + 16, 8);
	head->previous_bytes = get(bytes + 24, 8);
	head->previous_last = get(bytes + 32, 8);
	head->first_position = get(bytes + 40, 8);
	return head->number == number;
}

int
pen_segment_write_mark(int fd, const sync_mark *mark)
{
	uint8_t bytes[MARK_BYTES];

	memcpy(bytes, MARK_MAGIC, 8);
	put(bytes + 8, mark->segment, 8);
	put(bytes + 16, mark->bytes, 8);
	put(bytes + 24, XXH64(bytes, 24, 0), 8);
	return pen_segment_write_at(fd, bytes, sizeof(bytes), 0);
}

void
pen_segment_read_mark(int fd, sync_mark *mark)
{
	uint8_t bytes[MARK_BYTES];

	*mark = (sync_mark){0};
	if (read_at(fd, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
		memcmp(bytes, MARK_MAGIC, 8) != 0 || get(bytes + 24, 8) != XXH64(bytes, 24, 0))
		return;
	*mark = (sync_mark){get(bytes + 8, 8), get(bytes + 16, 8)};
}

/* ---- records ---- */

/* Of everything in a record after the checksum. A record that was moved does not pass. */
static uint64_t
record_checksum(const uint8_t *record, size_t stored, uint64_t number, uint64_t offset)
{
	return XXH64(record + 8, RECORD_HEAD_BYTES - 8 + stored, number << 40 ^ offset);
}

/* What a single large record made large is not kept for ever. */
static bool
reserve(uint8_t **buffer, size_t *capacity, size_t need)
{
	uint8_t *larger;

	if (need <= *capacity && (*capacity <= KEEP_BYTES_MAX || need > KEEP_BYTES_MAX))
		return true;
	larger = realloc(*buffer, need);
	if (larger == NULL)
		return false;
	*buffer = larger;
	*capacity = need;
	return true;
}

size_t
pen_segment_pack(const void *data, size_t len, uint64_t position, uint64_t number, uint64_t offset,
				 uint8_t **buffer, size_t *capacity)
{
	uint8_t *record;
	int packed;
	size_t stored = len;

	if (!reserve(buffer, capacity, RECORD_HEAD_BYTES + len))
		return 0;
	record = *buffer;
	/* Room for less than the bytes themselves: lz4 gives up where that does not do. */
	packed =
		LZ4_compress_default(data, (char *) record + RECORD_HEAD_BYTES, (int) len, (int) len - 1);
	if (packed > 0)
		stored = (size_t) packed;
	else
		memcpy(record + RECORD_HEAD_BYTES, data, len);
	put(record + 8, len, 4);
	put(record + 12, stored, 4);
	put(record + 16, position, 8);
	put(record, record_checksum(record, stored, number, offset), 8);
	return RECORD_HEAD_BYTES + stored;
}

void
pen_segment_reader_reset(segment_reader *reader)
{
	free(reader->buffer);
	free(reader->data);
	*reader = (segment_reader){.fd = -1};
}

/* Have need bytes at the reader's offset in the buffer. OK, E_DATA (the file ends before), E_RETRY. */
static penstock_status
fill(segment_reader *reader, uint64_t end, size_t need, const char **what, int *code)
{
	uint64_t skip = reader->offset - reader->from;
	size_t ahead;
	ssize_t got;

	if (reader->offset >= reader->from && skip + need <= reader->filled)
		return PENSTOCK_OK;
	*what = "the file ends in the middle of a record";
	if (need > end - reader->offset)
		return PENSTOCK_E_DATA;
	ahead = need < READ_AHEAD ? READ_AHEAD : need;
	if (ahead > end - reader->offset)
		ahead = (size_t) (end - reader->offset);
	*code = ENOMEM;
	if (!reserve(&reader->buffer, &reader->capacity, ahead))
		return PENSTOCK_E_RETRY;
	reader->from = reader->offset;
	reader->filled = 0;
	got = read_at(reader->fd, reader->buffer, ahead, reader->offset);
	*code = errno;
	if (got < 0)
		return PENSTOCK_E_RETRY;
	reader->filled = (size_t) got;
	return reader->filled >= need ? PENSTOCK_OK : PENSTOCK_E_DATA;
}

static const uint8_t *
at_offset(const segment_reader *reader)
{
	return reader->buffer + (reader->offset - reader->from);
}

static penstock_status
unpack(segment_reader *reader, const uint8_t *record, size_t len, size_t stored, const char **what,
	   int *code)
{
	const uint8_t *bytes = record + RECORD_HEAD_BYTES;

	*code = ENOMEM;
	if (!reserve(&reader->data, &reader->data_capacity, len))
		return PENSTOCK_E_RETRY;
	if (stored == len)
		memcpy(reader->data, bytes, len);
	else if (LZ4_decompress_safe((const char *) bytes, (char *) reader->data, (int) stored,
								 (int) len) != (int) len)
	{
		*what = "a record cannot be unpacked";
		return PENSTOCK_E_DATA;
	}
	reader->len = len;
	return PENSTOCK_OK;
}

penstock_status
pen_segment_next(segment_reader *reader, uint64_t end, const char **what, int *code)
{
	const uint8_t *record;
	penstock_status status;
	size_t len;
	size_t stored;

	if (reader->offset >= end)
		return PENSTOCK_AGAIN;
	status = fill(reader, end, RECORD_HEAD_BYTES, what, code);
	if (status < 0)
		return status;
	record = at_offset(reader);
	len = (size_t) get(record + 8, 4);
	stored = (size_t) get(record + 12, 4);
	*what = "a record has an impossible length";
	if (stored == 0 || stored > len || len > PEN_STORE_RECORD_BYTES_MAX ||
		len > stored * LZ4_RATIO_MAX)
		return PENSTOCK_E_DATA;
	status = fill(reader, end, RECORD_HEAD_BYTES + stored, what, code);
	if (status < 0)
		return status;
	record = at_offset(reader);
	*what = "a record has the wrong checksum";
	if (get(record, 8) != record_checksum(record, stored, reader->number, reader->offset))
		return PENSTOCK_E_DATA;
	status = unpack(reader, record, len, stored, what, code);
	if (status < 0)
		return status;
	reader->position = get(record + 16, 8);
	reader->offset += RECORD_HEAD_BYTES + stored;
	return PENSTOCK_OK;
}
