/* test_parked_log.c -- what is parked comes back as it was, once its transaction is whole; and what
 * is no change is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "destination/postgres/parked_log.h"
#include "event/relation.h"
#include "types.h"

#define BIG_BYTES ((size_t) 4 * 1024 * 1024)
#define BIG_ROWS  40 /* more than two segments */

typedef struct fixture
{
	char root[64];
	const penstock_relation *relation;
	const penstock_relation *later; /* the same table, after DDL */
	pen_parked_log *log;
	pen_error error;
} fixture;

static const penstock_relation *
make_relation(uint32_t number)
{
	penstock_column column = {
		.name = "id", .attnum = 1, .identity = 1, .encoding = PEN_ENCODING_INT};
	penstock_relation draft = {.number = number,
							   .oid = 7,
							   .schema = "s",
							   .name = "t",
							   .replica_identity = 'f',
							   .column_count = 1,
							   .columns = &column};
	pen_error error;
	const penstock_relation *relation = pen_relation_new(&draft, &error);

	assert_non_null(relation);
	return relation;
}

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/penstock-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	setenv("TMPDIR", f->root, 1);
	f->relation = make_relation(1);
	f->later = make_relation(2);
	f->log = pen_parked_log_new(&f->error);
	assert_non_null(f->log);
	*state = f;
	return 0;
}

/* Nothing is left of the log. */
static int
tear_down(void **state)
{
	fixture *f = *state;

	pen_parked_log_free(f->log);
	pen_relation_unref(f->relation);
	pen_relation_unref(f->later);
	assert_int_equal(rmdir(f->root), 0);
	free(f);
	return 0;
}

static penstock_row
row_of(const penstock_relation *relation, const char *bytes)
{
	return (penstock_row){
		.relation = relation, .data = (const uint8_t *) bytes, .len = strlen(bytes)};
}

static void
park(fixture *f, const penstock_event *event, const penstock_relation *relation, uint64_t lsn)
{
	assert_int_equal(pen_parked_log_append(f->log, event, relation, lsn, &f->error), PENSTOCK_OK);
}

static void
park_insert(fixture *f, const char *bytes, uint64_t lsn)
{
	penstock_event event = {.kind = PENSTOCK_INSERT, .new_row = row_of(f->relation, bytes)};

	park(f, &event, f->relation, lsn);
}

static void
check_row(const penstock_row *row, const penstock_relation *relation, const char *bytes)
{
	assert_ptr_equal(row->relation, bytes != NULL ? relation : NULL);
	if (bytes == NULL)
		return;
	assert_int_equal(row->len, strlen(bytes));
	assert_memory_equal(row->data, bytes, row->len);
}

/* The next one is of this kind and has these rows; NULL: it has none. */
static void
check_next(fixture *f, penstock_event_kind kind, const penstock_relation *relation, uint64_t lsn,
		   const char *new_row, const char *old_row, bool identity_only)
{
	pen_parked_entry entry;

	assert_int_equal(pen_parked_log_next(f->log, UINT64_MAX, &entry, &f->error), PENSTOCK_OK);
	assert_int_equal(entry.event.kind, kind);
	assert_ptr_equal(entry.relation, relation);
	assert_ptr_equal(entry.event.relation, relation);
	assert_true(entry.commit_lsn == lsn);
	check_row(&entry.event.new_row, relation, new_row);
	check_row(&entry.event.old_row, relation, old_row);
	assert_int_equal(entry.event.old_row.identity_only, identity_only);
}

/* ---- what comes back ---- */

static void
test_changes_come_back_as_they_were(void **state)
{
	fixture *f = *state;
	penstock_event insert = {.kind = PENSTOCK_INSERT, .new_row = row_of(f->relation, "new")};
	penstock_event empty = {.kind = PENSTOCK_INSERT, .new_row = row_of(f->relation, "")};
	penstock_event update = {.kind = PENSTOCK_UPDATE,
							 .new_row = row_of(f->relation, "newer"),
							 .old_row = row_of(f->relation, "old")};
	penstock_event by_key = update;
	penstock_event no_key = update;
	penstock_event delete = {.kind = PENSTOCK_DELETE, .old_row = row_of(f->relation, "gone")};
	penstock_event delete_without = {.kind = PENSTOCK_DELETE};

	by_key.old_row.identity_only = true;
	no_key.old_row = (penstock_row){0};
	park(f, &insert, f->relation, 10);
	park(f, &empty, f->relation, 10);
	park(f, &update, f->relation, 10);
	check_next(f, PENSTOCK_INSERT, f->relation, 10, "new", NULL, false);
	park(f, &by_key, f->relation, 11);
	park(f, &no_key, f->relation, 11);
	park(f, &delete, f->relation, 12);
	park(f, &delete_without, f->relation, 12);
	check_next(f, PENSTOCK_INSERT, f->relation, 10, "", NULL, false);
	check_next(f, PENSTOCK_UPDATE, f->relation, 10, "newer", "old", false);
	check_next(f, PENSTOCK_UPDATE, f->relation, 11, "newer", "old", true);
	check_next(f, PENSTOCK_UPDATE, f->relation, 11, "newer", NULL, false);
	check_next(f, PENSTOCK_DELETE, f->relation, 12, NULL, "gone", false);
	assert_false(pen_parked_log_is_read(f->log));
	check_next(f, PENSTOCK_DELETE, f->relation, 12, NULL, NULL, false);
	assert_true(pen_parked_log_is_read(f->log));
}

static void
test_a_truncate_is_of_its_own_table_alone(void **state)
{
	fixture *f = *state;
	const penstock_relation *both[] = {f->later, f->relation};
	penstock_event event = {.kind = PENSTOCK_TRUNCATE, .relations = both, .relation_count = 2};
	pen_parked_entry entry;

	for (int restart = 0; restart < 2; restart++)
	{
		event.restart_identity = restart != 0;
		park(f, &event, f->relation, 10);
		assert_int_equal(pen_parked_log_next(f->log, UINT64_MAX, &entry, &f->error), PENSTOCK_OK);
		assert_int_equal(entry.event.kind, PENSTOCK_TRUNCATE);
		assert_null(entry.event.relation);
		assert_int_equal(entry.event.relation_count, 1);
		assert_ptr_equal(entry.event.relations[0], f->relation);
		assert_int_equal(entry.event.restart_identity, restart);
	}
}

static void
test_each_change_has_the_version_it_came_with(void **state)
{
	fixture *f = *state;
	const penstock_relation *versions[] = {f->relation, f->later, f->relation, f->later};
	uint32_t count = sizeof(versions) / sizeof(versions[0]);

	for (uint32_t i = 0; i < count; i++)
	{
		penstock_event event = {.kind = PENSTOCK_INSERT, .new_row = row_of(versions[i], "r")};

		park(f, &event, versions[i], 10 + i);
	}
	for (uint32_t i = 0; i < count; i++)
		check_next(f, PENSTOCK_INSERT, versions[i], 10 + i, "r", NULL, false);
}

static void
test_a_transaction_that_is_not_whole_waits(void **state)
{
	fixture *f = *state;
	pen_parked_entry entry;

	assert_false(pen_parked_log_has(f->log, UINT64_MAX));
	assert_int_equal(pen_parked_log_next(f->log, UINT64_MAX, &entry, &f->error), PENSTOCK_AGAIN);
	park_insert(f, "a", 10);
	park_insert(f, "b", 20);
	assert_true(pen_parked_log_has(f->log, 20));
	assert_int_equal(pen_parked_log_next(f->log, 20, &entry, &f->error), PENSTOCK_OK);
	assert_true(entry.commit_lsn == 10);
	for (int i = 0; i < 2; i++)
	{
		assert_int_equal(pen_parked_log_next(f->log, 20, &entry, &f->error), PENSTOCK_AGAIN);
		assert_false(pen_parked_log_has(f->log, 20));
		assert_false(pen_parked_log_is_read(f->log));
	}
	park_insert(f, "c", 20);
	assert_false(pen_parked_log_has(f->log, 20));
	assert_true(pen_parked_log_has(f->log, 21));
	check_next(f, PENSTOCK_INSERT, f->relation, 20, "b", NULL, false);
	check_next(f, PENSTOCK_INSERT, f->relation, 20, "c", NULL, false);
	assert_int_equal(pen_parked_log_next(f->log, UINT64_MAX, &entry, &f->error), PENSTOCK_AGAIN);
	assert_true(pen_parked_log_is_read(f->log));
}

/* ---- on disk ---- */

/* Not 0, and in no order that lz4 would see. */
static char
next_byte(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return (char) (*seed >> 16 | 1);
}

static char *
fill(char *bytes, unsigned int *seed)
{
	for (size_t i = 0; i < BIG_BYTES; i++)
		bytes[i] = next_byte(seed);
	bytes[BIG_BYTES] = '\0';
	return bytes;
}

static void
test_room_comes_back_as_it_is_read(void **state)
{
	fixture *f = *state;
	char *bytes = malloc(BIG_BYTES + 1);
	unsigned int seed = 1;
	uint64_t all;

	for (uint64_t i = 0; i < BIG_ROWS; i++)
		park_insert(f, fill(bytes, &seed), 10 + i);
	all = pen_parked_log_bytes(f->log);
	assert_true(all > BIG_ROWS * BIG_BYTES);
	pen_parked_log_release(f->log);
	assert_true(pen_parked_log_bytes(f->log) == all);
	seed = 1;
	for (uint64_t i = 0; i < BIG_ROWS; i++)
	{
		check_next(f, PENSTOCK_INSERT, f->relation, 10 + i, fill(bytes, &seed), NULL, false);
		pen_parked_log_release(f->log);
	}
	assert_true(pen_parked_log_bytes(f->log) < all / 2);
	park_insert(f, "after", 100);
	check_next(f, PENSTOCK_INSERT, f->relation, 100, "after", NULL, false);
	free(bytes);
}

/* The path of the one file of the log. */
static void
find_file(const fixture *f, char *path, size_t size)
{
	glob_t found;

	snprintf(path, size, "%s/penstock-*-parked-*/*.log", f->root);
	assert_int_equal(glob(path, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 1);
	snprintf(path, size, "%s", found.gl_pathv[0]);
	globfree(&found);
}

static void
test_it_is_private(void **state)
{
	fixture *f = *state;
	char path[256];
	struct stat file;

	park_insert(f, "secret", 10);
	find_file(f, path, sizeof(path));
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	*strrchr(path, '/') = '\0';
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0700);
}

static void
test_damage_is_not_applied(void **state)
{
	fixture *f = *state;
	pen_parked_entry entry;
	char path[256];
	char last;
	int fd;
	off_t end;

	park_insert(f, "a row", 10);
	park_insert(f, "another row", 11);
	find_file(f, path, sizeof(path));
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	end = lseek(fd, -1, SEEK_END);
	assert_int_equal(pread(fd, &last, 1, end), 1);
	last ^= 1;
	assert_int_equal(pwrite(fd, &last, 1, end), 1);
	close(fd);
	check_next(f, PENSTOCK_INSERT, f->relation, 10, "a row", NULL, false);
	assert_int_equal(pen_parked_log_next(f->log, UINT64_MAX, &entry, &f->error), PENSTOCK_E_RETRY);
	assert_non_null(strstr(f->error.text, path));
	assert_false(pen_parked_log_is_read(f->log));
}

static void
test_a_full_disk_is_told_with_the_remedy(void **state)
{
	fixture *f = *state;
	penstock_event event = {.kind = PENSTOCK_INSERT};
	struct rlimit before;
	struct rlimit small;
	char bytes[4096];
	unsigned int seed = 1;

	park_insert(f, "before", 10);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = next_byte(&seed);
	event.new_row =
		(penstock_row){.relation = f->relation, .data = (uint8_t *) bytes, .len = sizeof(bytes)};
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 1024;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(pen_parked_log_append(f->log, &event, f->relation, 11, &f->error),
					 PENSTOCK_E_RETRY);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(f->error.status, PENSTOCK_E_RETRY);
	assert_non_null(strstr(f->error.text, "make room"));
	check_next(f, PENSTOCK_INSERT, f->relation, 10, "before", NULL, false);
	assert_true(pen_parked_log_is_read(f->log));
}

static void
test_without_a_directory_there_is_none(void **state)
{
	fixture *f = *state;

	setenv("TMPDIR", "/nonexistent/place", 1);
	assert_null(pen_parked_log_new(&f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_RETRY);
	assert_non_null(strstr(f->error.text, "/nonexistent/place"));
}

/* ---- records ---- */

typedef struct record
{
	uint32_t kind;
	uint32_t flags; /* 1 restart identity, 2 has an old row, 4 of which only the identity */
	uint32_t relation;
	uint32_t new_len;
	uint8_t rows[8];
} record;

static penstock_status
parse(fixture *f, const record *r, size_t rows)
{
	pen_parked_entry entry;

	return pen_parked_log_parse(f->log, (const uint8_t *) r, offsetof(record, rows) + rows, &entry,
								&f->error);
}

static void
test_only_what_is_a_change_is_one(void **state)
{
	fixture *f = *state;
	static const struct
	{
		record r;
		size_t rows;
		bool good;
	} cases[] = {
		{{PENSTOCK_INSERT, 0, 0, 8, ""}, 8, true},
		{{PENSTOCK_INSERT, 0, 0, 8, ""}, 7, false}, /* the row is longer than what there is */
		{{PENSTOCK_INSERT, 0, 0, 7, ""}, 8, false}, /* and shorter */
		{{PENSTOCK_INSERT, 0, 0, UINT32_MAX, ""}, 8, false},
		{{PENSTOCK_INSERT, 0, 1, 8, ""}, 8, false}, /* no such relation */
		{{PENSTOCK_INSERT, 0, UINT32_MAX, 8, ""}, 8, false},
		{{PENSTOCK_INSERT, 1, 0, 8, ""}, 8, false},
		{{PENSTOCK_INSERT, 8, 0, 8, ""}, 8, false}, /* no such flag */
		{{PENSTOCK_UPDATE, 2, 0, 4, ""}, 8, true},
		{{PENSTOCK_UPDATE, 6, 0, 4, ""}, 8, true},
		{{PENSTOCK_UPDATE, 2, 0, 9, ""}, 8, false},
		{{PENSTOCK_UPDATE, 4, 0, 8, ""}, 8, false}, /* only the identity of no row */
		{{PENSTOCK_DELETE, 2, 0, 0, ""}, 8, true},
		{{PENSTOCK_DELETE, 2, 0, 4, ""}, 8, false}, /* a new row */
		{{PENSTOCK_DELETE, 0, 0, 0, ""}, 0, true},
		{{PENSTOCK_DELETE, 0, 0, 0, ""}, 1, false},
		{{PENSTOCK_TRUNCATE, 1, 0, 0, ""}, 0, true},
		{{PENSTOCK_TRUNCATE, 0, 0, 0, ""}, 1, false},
		{{PENSTOCK_TRUNCATE, 2, 0, 0, ""}, 0, false},
		{{PENSTOCK_TRUNCATE, 0, 0, 1, ""}, 1, false},
		{{PENSTOCK_BEGIN, 0, 0, 0, ""}, 0, false}, /* kinds that are no change */
		{{PENSTOCK_COMMIT, 0, 0, 0, ""}, 0, false},
		{{PENSTOCK_ROLLBACK_PREPARED, 0, 0, 0, ""}, 0, false},
		{{PENSTOCK_ROLLBACK_PREPARED + 1, 0, 0, 0, ""}, 0, false},
		{{UINT32_MAX, 0, 0, 0, ""}, 0, false},
	};

	park_insert(f, "r", 10); /* relation 0 is there */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(parse(f, &cases[i].r, cases[i].rows),
						 cases[i].good ? PENSTOCK_OK : PENSTOCK_E_BUG);
}

static void
test_a_cut_head_is_no_change(void **state)
{
	fixture *f = *state;
	record r = {PENSTOCK_DELETE, 0, 0, 0, ""};
	pen_parked_entry entry;

	park_insert(f, "r", 10);
	assert_int_equal(parse(f, &r, 0), PENSTOCK_OK);
	for (size_t len = 0; len < offsetof(record, rows); len++)
	{
		uint8_t *cut = malloc(len + (len == 0)); /* no more, so that reading behind it is seen */

		memcpy(cut, &r, len);
		assert_int_equal(pen_parked_log_parse(f->log, cut, len, &entry, &f->error), PENSTOCK_E_BUG);
		free(cut);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_changes_come_back_as_they_were),
		TEST(test_a_truncate_is_of_its_own_table_alone),
		TEST(test_each_change_has_the_version_it_came_with),
		TEST(test_a_transaction_that_is_not_whole_waits),
		TEST(test_room_comes_back_as_it_is_read),
		TEST(test_it_is_private),
		TEST(test_damage_is_not_applied),
		TEST(test_a_full_disk_is_told_with_the_remedy),
		TEST(test_without_a_directory_there_is_none),
		TEST(test_only_what_is_a_change_is_one),
		TEST(test_a_cut_head_is_no_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
