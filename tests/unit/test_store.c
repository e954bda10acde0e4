/* test_store.c -- a log on disk: what went in comes out, whatever happened to its files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"

#define SEGMENT "00000000000000000001.log"

typedef struct fixture
{
	char root[64];
	char directory[80];
	char copy[80];
	pen_error error;
} fixture;

/* ---- files ---- */

static void
remove_directory(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		(void) unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory != NULL)
		closedir(directory);
	(void) rmdir(path);
}

static uint8_t *
read_file(const char *directory, const char *name, size_t *size)
{
	char path[512];
	struct stat file;
	uint8_t *bytes;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0 && fstat(fd, &file) == 0);
	*size = (size_t) file.st_size;
	bytes = malloc(*size + 1);
	assert_int_equal(read(fd, bytes, *size), *size);
	close(fd);
	return bytes;
}

static void
write_file(const char *directory, const char *name, const uint8_t *bytes, size_t size)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static void
copy_directory(const char *from, const char *to)
{
	DIR *directory = opendir(from);
	const struct dirent *entry;

	remove_directory(to);
	assert_int_equal(mkdir(to, 0700), 0);
	while ((entry = readdir(directory)) != NULL)
	{
		size_t size;
		uint8_t *bytes;

		if (entry->d_name[0] == '.')
			continue;
		bytes = read_file(from, entry->d_name, &size);
		write_file(to, entry->d_name, bytes, size);
		free(bytes);
	}
	closedir(directory);
}

static int
count_segments(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	int count = 0;

	while ((entry = readdir(directory)) != NULL)
		count += strlen(entry->d_name) == strlen(SEGMENT);
	closedir(directory);
	return count;
}

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/penstock-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(f->directory, sizeof(f->directory), "%s/log", f->root);
	snprintf(f->copy, sizeof(f->copy), "%s/copy", f->root);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	fixture *f = *state;

	remove_directory(f->directory);
	remove_directory(f->copy);
	(void) rmdir(f->root);
	free(f);
	return 0;
}

/* ---- records ---- */

/* What record i holds: every length, some that lz4 shrinks and some that it cannot. */
static size_t
make_record(uint64_t i, uint8_t *bytes, size_t most)
{
	size_t len = 1 + (i * 7919) % most;
	uint64_t state = i * 0x9E3779B97F4A7C15u + 1;

	for (size_t n = 0; n < len; n++)
	{
		state ^= state << 13, state ^= state >> 7, state ^= state << 17;
		bytes[n] = (uint8_t) (i % 2 == 0 ? state : i);
	}
	return len;
}

static void
append(pen_store *store, uint64_t i, size_t most)
{
	uint8_t *bytes = malloc(most);
	pen_error error;
	size_t len = make_record(i, bytes, most);

	assert_int_equal(pen_store_append(store, bytes, len, 10 * i, &error), PENSTOCK_OK);
	free(bytes);
}

static void
expect(const pen_store_record *record, uint64_t i, size_t most)
{
	uint8_t *bytes = malloc(most);
	size_t len = make_record(i, bytes, most);

	assert_int_equal(record->position, 10 * i);
	assert_int_equal(record->len, len);
	assert_memory_equal(record->data, bytes, len);
	free(bytes);
}

/* Read from the cursor up to the end: they must be those from `from` on; how many. */
static uint64_t
read_all(pen_store_cursor *cursor, uint64_t from, size_t most)
{
	pen_store_record record;
	pen_error error;
	penstock_status status;
	uint64_t i = from;

	while ((status = pen_store_next(cursor, &record, &error)) == PENSTOCK_OK)
		expect(&record, i++, most);
	assert_int_equal(status, PENSTOCK_AGAIN);
	return i - from;
}

static pen_store *
open_log(fixture *f, const char *directory, uint64_t segment_bytes)
{
	pen_store_options options = {.durable = true, .segment_bytes_max = segment_bytes};
	pen_store *store = pen_store_open(directory, &options, &f->error);

	if (store == NULL)
		print_error("%s\n", f->error.text);
	assert_non_null(store);
	return store;
}

/* Open a log, read everything from record `from` on, and close it; how many. */
static uint64_t
reopen_and_count(fixture *f, const char *directory, uint64_t from, size_t most)
{
	pen_store *store = open_log(f, directory, 0);
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	uint64_t count = read_all(cursor, from, most);

	pen_store_cursor_free(cursor);
	pen_store_close(store);
	return count;
}

/* Append records from..to, a segment begun whenever one is full. */
static void
fill(pen_store *store, uint64_t from, uint64_t to, size_t most)
{
	pen_error error;

	for (uint64_t i = from; i < to; i++)
	{
		if (pen_store_segment_full(store))
			assert_int_equal(pen_store_roll(store, &error), PENSTOCK_OK);
		append(store, i, most);
	}
}

/* ---- tests ---- */

static void
test_what_went_in_comes_out_also_after_opening_again(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 4096);
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	pen_store_record record;
	uint64_t first = 0;
	uint64_t last = 0;

	assert_int_equal(pen_store_next(cursor, &record, &f->error), PENSTOCK_AGAIN);
	assert_false(pen_store_positions(store, &first, &last));
	fill(store, 1, 200, 1000);
	assert_int_equal(read_all(cursor, 1, 1000), 199);
	fill(store, 200, 210, 1000);
	assert_int_equal(read_all(cursor, 200, 1000), 10);
	assert_true(pen_store_positions(store, &first, &last));
	assert_int_equal(first, 10);
	assert_int_equal(last, 2090);
	assert_true(count_segments(f->directory) > 10);
	pen_store_cursor_free(cursor);
	pen_store_close(store);
	assert_int_equal(reopen_and_count(f, f->directory, 1, 1000), 209);

	store = open_log(f, f->directory, 4096);
	assert_true(pen_store_segment_full(store)); /* it begins a new one */
	assert_true(pen_store_positions(store, &first, &last));
	assert_int_equal(first, 10);
	assert_int_equal(last, 2090);
	assert_int_equal(pen_store_cut(store), 0);
	fill(store, 210, 220, 1000);
	pen_store_close(store);
	assert_int_equal(reopen_and_count(f, f->directory, 1, 1000), 219);
}

static void
test_large_records_and_those_that_do_not_shrink(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 0);
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	pen_store_record record;
	void *taken;

	fill(store, 1, 40, 3000000);
	for (uint64_t i = 1; i < 40; i++)
	{
		assert_int_equal(pen_store_next(cursor, &record, &f->error), PENSTOCK_OK);
		expect(&record, i, 3000000);
		taken = pen_store_take(cursor);
		assert_ptr_equal(taken, record.data);
		free(taken);
	}
	pen_store_cursor_free(cursor);
	pen_store_close(store);
	assert_int_equal(reopen_and_count(f, f->directory, 1, 3000000), 39);
}

static void
test_a_cursor_begins_where_a_segment_begins(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 2000);
	pen_store_cursor *cursor;
	pen_store_record record;
	uint64_t segment = 0;
	uint64_t starts = 1;

	fill(store, 1, 100, 500);
	for (uint64_t from = 0; from < 1100; from += 7)
	{
		cursor = pen_store_cursor_new(store, from);
		assert_int_equal(pen_store_next(cursor, &record, &f->error), PENSTOCK_OK);
		assert_true(record.segment >= segment);
		if (from <= 990)
			assert_true(record.position <= (from < 10 ? 10 : (from + 9) / 10 * 10));
		starts += record.segment != segment;
		segment = record.segment;
		read_all(cursor, record.position / 10 + 1, 500);
		pen_store_cursor_free(cursor);
	}
	assert_int_equal(starts - 1, count_segments(f->directory));
	pen_store_close(store);
}

static void
test_positions_may_repeat_but_not_go_back(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 0);

	append(store, 5, 100);
	append(store, 5, 100);
	assert_int_equal(pen_store_append(store, "x", 1, 49, &f->error), PENSTOCK_E_BUG);
	assert_int_equal(pen_store_append(store, "x", 0, 60, &f->error), PENSTOCK_E_BUG);
	pen_store_close(store);
}

static void
test_every_cut_of_the_end_leaves_the_whole_records(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 0);
	uint64_t ends[20];
	uint8_t *bytes;
	size_t size;

	for (uint64_t i = 1; i < 20; i++)
	{
		append(store, i, 60);
		ends[i] = pen_store_bytes(store);
	}
	copy_directory(f->directory, f->copy); /* never synced */
	bytes = read_file(f->copy, SEGMENT, &size);
	assert_int_equal(size, ends[19]);
	for (size_t cut = 0; cut <= size; cut++)
	{
		uint64_t whole = 0;

		while (whole < 19 && ends[whole + 1] <= cut)
			whole++;
		write_file(f->copy, SEGMENT, bytes, cut);
		write_file(f->copy, "synced", bytes, 0);
		assert_int_equal(reopen_and_count(f, f->copy, 1, 60), whole);
	}
	free(bytes);
	pen_store_close(store);
}

static void
test_after_a_cut_the_log_goes_on(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 0);
	uint8_t *bytes;
	size_t size;

	fill(store, 1, 10, 60);
	copy_directory(f->directory, f->copy);
	pen_store_close(store);
	bytes = read_file(f->copy, SEGMENT, &size);
	write_file(f->copy, SEGMENT, bytes, size - 3);
	free(bytes);
	store = open_log(f, f->copy, 0);
	assert_true(pen_store_cut(store) > 0);
	fill(store, 9, 15, 60);
	pen_store_close(store);
	assert_int_equal(count_segments(f->copy), 2);
	assert_int_equal(reopen_and_count(f, f->copy, 1, 60), 14);
}

static void
test_a_cut_of_what_was_synced_is_refused(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 0);
	pen_store_options options = {.durable = true};
	uint64_t position = 0;
	uint64_t synced;
	uint8_t *bytes;
	size_t size;

	fill(store, 1, 10, 60);
	assert_int_equal(pen_store_sync(store, &position, &f->error), PENSTOCK_OK);
	assert_int_equal(position, 90);
	synced = pen_store_bytes(store);
	fill(store, 10, 20, 60);
	copy_directory(f->directory, f->copy);
	pen_store_close(store);
	bytes = read_file(f->copy, SEGMENT, &size);
	for (size_t cut = 0; cut < synced; cut++)
	{
		write_file(f->copy, SEGMENT, bytes, cut);
		assert_null(pen_store_open(f->copy, &options, &f->error));
		assert_int_equal(f->error.status, PENSTOCK_E_REFUSED);
		assert_non_null(strstr(f->error.text, SEGMENT));
		assert_non_null(strstr(f->error.text, "offset"));
	}
	free(read_file(f->copy, SEGMENT, &size)); /* refused means: left as it was */
	assert_int_equal(size, synced - 1);
	write_file(f->copy, SEGMENT, bytes, synced);
	assert_int_equal(reopen_and_count(f, f->copy, 1, 60), 9);
	free(bytes);
}

/* Open the copy and read all; the status of the first failure. */
static penstock_status
open_and_read(fixture *f)
{
	pen_store_options options = {.durable = true};
	pen_store *store = pen_store_open(f->copy, &options, &f->error);
	pen_store_cursor *cursor;
	pen_store_record record;
	penstock_status status;
	uint64_t i = 1;

	if (store == NULL)
		return f->error.status;
	cursor = pen_store_cursor_new(store, 0);
	while ((status = pen_store_next(cursor, &record, &f->error)) == PENSTOCK_OK)
		expect(&record, i++, 60);
	pen_store_cursor_free(cursor);
	pen_store_close(store);
	return status;
}

static void
test_every_flipped_byte_is_found(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 600);
	DIR *directory;
	const struct dirent *entry;
	int files = 0;

	fill(store, 1, 60, 60);
	pen_store_close(store);
	directory = opendir(f->directory);
	while ((entry = readdir(directory)) != NULL)
	{
		size_t size;
		uint8_t *bytes;

		if (strlen(entry->d_name) != strlen(SEGMENT))
			continue;
		files++;
		copy_directory(f->directory, f->copy);
		bytes = read_file(f->copy, entry->d_name, &size);
		for (size_t at = 0; at < size; at++)
		{
			bytes[at] ^= (uint8_t) (1 << at % 8);
			write_file(f->copy, entry->d_name, bytes, size);
			assert_int_equal(open_and_read(f), PENSTOCK_E_REFUSED);
			assert_non_null(strstr(f->error.text, entry->d_name));
			bytes[at] ^= (uint8_t) (1 << at % 8);
		}
		write_file(f->copy, entry->d_name, bytes, size);
		assert_int_equal(open_and_read(f), PENSTOCK_AGAIN);
		free(bytes);
	}
	closedir(directory);
	assert_true(files > 3);
}

static void
test_a_missing_file_is_found(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 600);
	pen_store_options options = {.durable = true};
	char path[200];

	fill(store, 1, 60, 60);
	pen_store_close(store);
	copy_directory(f->directory, f->copy);
	snprintf(path, sizeof(path), "%s/00000000000000000003.log", f->copy);
	assert_int_equal(unlink(path), 0);
	assert_null(pen_store_open(f->copy, &options, &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_REFUSED);
	assert_non_null(strstr(f->error.text, "00000000000000000003.log"));

	copy_directory(f->directory, f->copy);
	snprintf(path, sizeof(path), "%s/%020d.log", f->copy, count_segments(f->copy));
	assert_int_equal(unlink(path), 0);
	assert_null(pen_store_open(f->copy, &options, &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_REFUSED);
}

static void
test_records_of_another_place_are_damage(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 600);
	uint8_t *bytes;
	size_t size;

	fill(store, 1, 60, 60);
	pen_store_close(store);
	copy_directory(f->directory, f->copy);
	bytes = read_file(f->copy, SEGMENT, &size);
	write_file(f->copy, "00000000000000000002.log", bytes, size);
	free(bytes);
	assert_int_equal(open_and_read(f), PENSTOCK_E_REFUSED);
}

static void
test_a_limit_is_kept_and_truncating_makes_room(void **state)
{
	fixture *f = *state;
	pen_store_options options = {.durable = true, .bytes_max = 20000};
	pen_store *store = pen_store_open(f->directory, &options, &f->error);
	penstock_status status = PENSTOCK_OK;
	uint8_t bytes[1000];
	uint64_t first;
	uint64_t last;
	uint64_t i = 1;

	while (status == PENSTOCK_OK)
	{
		if (pen_store_segment_full(store))
			assert_int_equal(pen_store_roll(store, &f->error), PENSTOCK_OK);
		status = pen_store_append(store, bytes, make_record(2 * i, bytes, 1000), i, &f->error);
		i++;
	}
	assert_int_equal(status, PEN_STORE_FULL);
	assert_non_null(strstr(f->error.text, "20000"));
	assert_in_range(pen_store_bytes(store), 18900, 20000);
	assert_true(pen_store_positions(store, &first, &last));
	assert_int_equal(last, i - 2);
	assert_true(count_segments(f->directory) >= 4);
	pen_store_truncate(store, last / 2);
	assert_true(pen_store_bytes(store) < 16000);
	assert_int_equal(pen_store_append(store, bytes, 10, i, &f->error), PENSTOCK_OK);
	pen_store_close(store);
}

static void
test_truncating_spares_what_is_not_given_up(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 600);
	pen_store_cursor *ahead = pen_store_cursor_new(store, 0);
	pen_store_cursor *behind = pen_store_cursor_new(store, 0);
	pen_store_record record;
	uint64_t first = 0;
	uint64_t last = 0;
	uint64_t i;

	fill(store, 1, 60, 60);
	for (i = 1; i <= 40; i++)
	{
		assert_int_equal(pen_store_next(ahead, &record, &f->error), PENSTOCK_OK);
		expect(&record, i, 60);
	}
	assert_int_equal(pen_store_next(behind, &record, &f->error), PENSTOCK_OK);
	pen_store_truncate(store, 300);
	assert_true(pen_store_positions(store, &first, &last));
	assert_in_range(first, 20, 300);
	assert_int_equal(read_all(ahead, 41, 60), 19);
	/* The one in a removed segment reads that, and then what is left. */
	i = 2;
	while (pen_store_next(behind, &record, &f->error) == PENSTOCK_OK)
	{
		if (record.position != 10 * i)
			i = first / 10;
		expect(&record, i++, 60);
	}
	assert_int_equal(i, 60);
	/* What is known to be durable stays until what follows it is so too. */
	pen_store_truncate(store, UINT64_MAX);
	assert_int_equal(count_segments(f->directory), 2);
	assert_int_equal(pen_store_sync(store, NULL, &f->error), PENSTOCK_OK);
	pen_store_truncate(store, UINT64_MAX);
	assert_int_equal(count_segments(f->directory), 1);
	fill(store, 60, 70, 60);
	assert_int_equal(read_all(ahead, 60, 60), 10);
	pen_store_cursor_free(ahead);
	pen_store_cursor_free(behind);
	pen_store_close(store);
	store = open_log(f, f->directory, 0);
	assert_true(pen_store_positions(store, &first, &last));
	assert_int_equal(last, 690);
	pen_store_close(store);
}

static void
test_reset_drops_everything(void **state)
{
	fixture *f = *state;
	pen_store *store = open_log(f, f->directory, 600);
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	uint64_t first;
	uint64_t last;

	fill(store, 1, 60, 60);
	read_all(cursor, 1, 60);
	assert_int_equal(pen_store_reset(store, &f->error), PENSTOCK_OK);
	assert_int_equal(pen_store_bytes(store), 0);
	assert_false(pen_store_positions(store, &first, &last));
	assert_int_equal(count_segments(f->directory), 0);
	assert_int_equal(read_all(cursor, 1, 60), 0);
	fill(store, 1, 10, 60);
	assert_int_equal(read_all(cursor, 1, 60), 9);
	pen_store_cursor_free(cursor);
	pen_store_close(store);
	assert_int_equal(reopen_and_count(f, f->directory, 1, 60), 9);
}

static void
test_a_scratch_log_leaves_nothing(void **state)
{
	fixture *f = *state;
	pen_store_options options = {0};
	pen_store *store = pen_store_open(f->directory, &options, &f->error);
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	uint64_t position = 7;

	fill(store, 1, 60, 60);
	assert_int_equal(pen_store_sync(store, &position, &f->error), PENSTOCK_OK);
	assert_int_equal(read_all(cursor, 1, 60), 59);
	pen_store_cursor_free(cursor);
	pen_store_close(store);
	assert_int_equal(access(f->directory, F_OK), -1);

	/* What one that was killed has left is not taken up. */
	store = open_log(f, f->directory, 0);
	fill(store, 1, 10, 60);
	pen_store_close(store);
	store = pen_store_open(f->directory, &options, &f->error);
	assert_int_equal(pen_store_bytes(store), 0);
	assert_int_equal(count_segments(f->directory), 0);
	pen_store_close(store);
}

/* In a child of its own: the limit on a file's size stands for a full disk. */
static int
fill_the_disk(fixture *f)
{
	const struct rlimit limit = {5000, 5000};
	pen_store *store = open_log(f, f->directory, 0);
	pen_store_cursor *cursor = pen_store_cursor_new(store, 0);
	penstock_status status = PENSTOCK_OK;
	uint8_t bytes[400];
	uint64_t i = 1;

	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		return 2;
	for (; status == PENSTOCK_OK; i++)
		status = pen_store_append(store, bytes, make_record(i, bytes, 400), 10 * i, &f->error);
	if (status != PEN_STORE_FULL || strstr(f->error.text, SEGMENT) == NULL)
		return 3;
	/* Intact: all before can be read, and a record that fits goes in. */
	if (read_all(cursor, 1, 400) != i - 2)
		return 4;
	if (pen_store_roll(store, &f->error) < 0)
		return 5;
	append(store, i - 1, 400);
	if (read_all(cursor, i - 1, 400) != 1)
		return 6;
	pen_store_cursor_free(cursor);
	pen_store_close(store);
	return reopen_and_count(f, f->directory, 1, 400) == i - 1 ? 0 : 7;
}

static void
test_a_full_disk_leaves_the_log_intact(void **state)
{
	fixture *f = *state;
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(fill_the_disk(f));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* The child appends and syncs for ever, telling what it has synced, and is killed. */
static void
test_after_a_kill_all_that_was_synced_is_there(void **state)
{
	fixture *f = *state;

	for (int round = 0; round < 10; round++)
	{
		uint64_t position = 0;
		uint64_t told = 0;
		uint64_t count;
		int pipes[2];
		pid_t child;

		remove_directory(f->directory);
		assert_int_equal(pipe(pipes), 0);
		child = fork();
		if (child == 0)
		{
			pen_store *store = open_log(f, f->directory, 20000);

			for (uint64_t i = 1;; i++)
			{
				fill(store, i, i + 1, 3000);
				if (i % 7 == 0)
				{
					assert_int_equal(pen_store_sync(store, &position, &f->error), PENSTOCK_OK);
					if (write(pipes[1], &position, sizeof(position)) < 0)
						_exit(1);
				}
			}
		}
		close(pipes[1]);
		for (int i = 0; i < 3 + 9 * round; i++)
			assert_int_equal(read(pipes[0], &position, sizeof(position)), sizeof(position));
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		while (read(pipes[0], &told, sizeof(told)) == sizeof(told))
			position = told;
		close(pipes[0]);
		count = reopen_and_count(f, f->directory, 1, 3000);
		assert_true(10 * count >= position);
	}
}

/* ---- threads ---- */

#define THREAD_RECORDS 3000

typedef struct shared
{
	pen_store *store;
	atomic_bool appended;
	_Atomic uint64_t read_position;
} shared;

static void *
append_all(void *arg)
{
	shared *s = arg;

	fill(s->store, 1, THREAD_RECORDS, 300);
	atomic_store(&s->appended, true);
	return NULL;
}

static void *
sync_all(void *arg)
{
	shared *s = arg;
	pen_error error;
	uint64_t before = 0;
	uint64_t position = 0;

	while (position < 10 * (THREAD_RECORDS - 1))
	{
		assert_int_equal(pen_store_sync(s->store, &position, &error), PENSTOCK_OK);
		assert_true(position >= before);
		before = position;
		pen_store_truncate(s->store, atomic_load(&s->read_position));
	}
	return NULL;
}

static void *
read_as_it_grows(void *arg)
{
	shared *s = arg;
	pen_store_cursor *cursor = pen_store_cursor_new(s->store, 0);
	uint64_t i = 1;

	while (i < THREAD_RECORDS)
	{
		i += read_all(cursor, i, 300);
		atomic_store(&s->read_position, 10 * (i - 1));
	}
	pen_store_cursor_free(cursor);
	return NULL;
}

static void
test_threads_append_sync_read_and_truncate_at_once(void **state)
{
	fixture *f = *state;
	shared s = {.store = open_log(f, f->directory, 10000)};
	pthread_t threads[3];
	uint64_t first;
	uint64_t last;

	pthread_create(&threads[0], NULL, append_all, &s);
	pthread_create(&threads[1], NULL, sync_all, &s);
	pthread_create(&threads[2], NULL, read_as_it_grows, &s);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_true(pen_store_positions(s.store, &first, &last));
	assert_true(first > 10);
	assert_int_equal(last, 10 * (THREAD_RECORDS - 1));
	pen_store_close(s.store);
	assert_int_equal(reopen_and_count(f, f->directory, first / 10, 300),
					 THREAD_RECORDS - first / 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_went_in_comes_out_also_after_opening_again),
		TEST(test_large_records_and_those_that_do_not_shrink),
		TEST(test_a_cursor_begins_where_a_segment_begins),
		TEST(test_positions_may_repeat_but_not_go_back),
		TEST(test_every_cut_of_the_end_leaves_the_whole_records),
		TEST(test_after_a_cut_the_log_goes_on),
		TEST(test_a_cut_of_what_was_synced_is_refused),
		TEST(test_every_flipped_byte_is_found),
		TEST(test_a_missing_file_is_found),
		TEST(test_records_of_another_place_are_damage),
		TEST(test_a_limit_is_kept_and_truncating_makes_room),
		TEST(test_truncating_spares_what_is_not_given_up),
		TEST(test_reset_drops_everything),
		TEST(test_a_scratch_log_leaves_nothing),
		TEST(test_a_full_disk_leaves_the_log_intact),
		TEST(test_after_a_kill_all_that_was_synced_is_there),
		TEST(test_threads_append_sync_read_and_truncate_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
