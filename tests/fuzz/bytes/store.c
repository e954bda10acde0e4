/* store.c -- a log on disk that was damaged: what is read of it is what was written, from the
 * beginning on, and if anything that was synced is missing, it is said.
 *
 * The input is a script. Of each line the first byte says what to do: append a record, begin a
 * segment, sync; and once the log has been copied, as a crash leaves it, change a byte or cut a
 * file short. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "store/store.h"

#define RECORDS_MAX   64
#define SEGMENT_BYTES ((uint64_t) 4096)
#define PATH_SIZE     300

typedef struct record
{
	uint8_t data[600];
	size_t len;
	uint64_t position;
} record;

typedef struct script
{
	const uint8_t *pos;
	const uint8_t *end;
	record records[RECORDS_MAX];
	size_t count;
	size_t synced; /* so many of them */
	bool mark_damaged;
} script;

static unsigned int
next(script *s)
{
	return s->pos < s->end ? *s->pos++ : 0;
}

/* ---- directories ---- */

static const char *
directory(const char *name)
{
	static char base[100];
	static char paths[2][PATH_SIZE];
	char *path = paths[name[0] == 'b'];

	if (base[0] == '\0')
	{
		snprintf(base, sizeof(base), "%s/penstock-fuzz.XXXXXX",
				 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		CHECK(mkdtemp(base) != NULL);
	}
	snprintf(path, PATH_SIZE, "%s/%s", base, name);
	return path;
}

static void
each_file(const char *path, void (*visit)(const char *file, const char *name))
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char file[2 * PATH_SIZE];

	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		if (entry->d_name[0] == '.')
			continue;
		snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		visit(file, entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
}

static void
remove_file(const char *file, const char *name)
{
	(void) name;
	CHECK(unlink(file) == 0);
}

static void
empty(const char *path)
{
	each_file(path, remove_file);
	(void) rmdir(path);
}

static void
copy_file(const char *file, const char *name)
{
	char to[2 * PATH_SIZE];
	char bytes[65536];
	int in = open(file, O_RDONLY);
	int out;
	ssize_t got;

	snprintf(to, sizeof(to), "%s/%s", directory("b"), name);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	while ((got = read(in, bytes, sizeof(bytes))) > 0)
		CHECK(write(out, bytes, (size_t) got) == got);
	close(in);
	close(out);
}

/* ---- writing ---- */

/* The segment that ends is synced. */
static void
roll(script *s, pen_store *store)
{
	pen_error error;

	CHECK(pen_store_roll(store, &error) >= 0);
	s->synced = s->count;
}

static void
append(script *s, pen_store *store)
{
	record *r = &s->records[s->count];
	pen_error error;

	if (s->count == RECORDS_MAX)
		return;
	r->len = 1 + (next(s) * 2U) % sizeof(r->data);
	r->position = (s->count > 0 ? s->records[s->count - 1].position : 1) + next(s) % 4;
	memset(r->data, (int) next(s), r->len); /* lz4 makes it shorter */
	for (size_t i = 0; i < r->len && s->pos < s->end && i < 16; i++)
		r->data[i] = (uint8_t) next(s);
	if (pen_store_segment_full(store))
		roll(s, store);
	CHECK(pen_store_append(store, r->data, r->len, r->position, &error) == PENSTOCK_OK);
	s->count++;
}

/* The log as a crash leaves it in the second directory. */
static void
write_log(script *s)
{
	const pen_store_options options = {.durable = true, .segment_bytes_max = SEGMENT_BYTES};
	const char *path = directory("a");
	pen_error error;
	pen_store *store;
	unsigned int steps = next(s) % 40;

	empty(path);
	empty(directory("b"));
	store = pen_store_open(path, &options, &error);
	CHECK(store != NULL);
	for (unsigned int i = 0; i < steps; i++)
	{
		switch (next(s) % 8)
		{
			case 0:
				CHECK(pen_store_sync(store, NULL, &error) >= 0);
				s->synced = s->count;
				break;
			case 1:
				if (s->count > 0)
					roll(s, store);
				break;
			default:
				append(s, store);
		}
	}
	CHECK(mkdir(directory("b"), 0700) == 0);
	each_file(path, copy_file);
	pen_store_close(store);
}

/* ---- damage ---- */

static script *damaging;

static void
damage_file(const char *file, const char *name)
{
	unsigned int what = next(damaging);
	struct stat stat;
	off_t offset;
	uint8_t byte;
	int fd;

	if (what % 4 == 0 || lstat(file, &stat) != 0 || stat.st_size == 0)
		return;
	offset = (off_t) ((next(damaging) << 8 | next(damaging)) % (unsigned int) stat.st_size);
	if (strcmp(name, "synced") == 0)
		damaging->mark_damaged = true;
	if (what % 4 == 1)
	{
		CHECK(truncate(file, offset) == 0);
		return;
	}
	fd = open(file, O_RDWR);
	CHECK(fd >= 0 && pread(fd, &byte, 1, offset) == 1);
	byte ^= (uint8_t) (1 + next(damaging) % 255);
	CHECK(pwrite(fd, &byte, 1, offset) == 1);
	close(fd);
}

/* ---- reading ---- */

/* How many records came, each as it was written. */
static size_t
read_log(const script *s, pen_store *store, penstock_status *status)
{
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	pen_store_record found;
	pen_error error;
	size_t count = 0;

	while ((*status = pen_store_next(cursor, &found, &error)) == PENSTOCK_OK)
	{
		CHECK(count < s->count);
		CHECK(found.len == s->records[count].len);
		CHECK(found.position == s->records[count].position);
		CHECK(memcmp(found.data, s->records[count].data, found.len) == 0);
		count++;
	}
	check_status(*status, &error);
	pen_store_cursor_free(cursor);
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const pen_store_options options = {.durable = true, .segment_bytes_max = SEGMENT_BYTES};
	static script s;
	penstock_status status;
	pen_error error;
	pen_store *store;
	size_t count;

	s.pos = data;
	s.end = data + size;
	s.count = s.synced = 0;
	s.mark_damaged = false;
	write_log(&s);
	damaging = &s;
	each_file(directory("b"), damage_file);
	store = pen_store_open(directory("b"), &options, &error);
	if (store == NULL)
	{
		check_status(error.status, &error);
		return 0;
	}
	count = read_log(&s, store, &status);
	CHECK(status < 0 || s.mark_damaged || count >= s.synced);
	pen_store_close(store);
	return 0;
}
