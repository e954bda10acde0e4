/* test_statedir.c -- a run's own directory: private, of one consumer, and left clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/statedir.h"

typedef struct fixture
{
	char root[64];
	char state[80];
	pen_error error;
} fixture;

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/penstock-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(f->state, sizeof(f->state), "%s/state", f->root);
	unsetenv("STATE_DIRECTORY");
	setenv("TMPDIR", f->root, 1);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	fixture *f = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", f->root);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static mode_t
mode_of(const char *path)
{
	struct stat file;

	return stat(path, &file) == 0 ? file.st_mode & 0777 : 0;
}

static void
touch(const char *directory, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void
test_it_is_made_private(void **state)
{
	fixture *f = *state;
	pen_statedir *dir = pen_statedir_open(f->state, "s1", &f->error);
	char expected[128];
	char *path;

	assert_non_null(dir);
	snprintf(expected, sizeof(expected), "%s/s1", f->state);
	assert_string_equal(pen_statedir_path(dir), expected);
	assert_int_equal(mode_of(f->state), 0700);
	assert_int_equal(mode_of(expected), 0700);
	path = pen_statedir_make(dir, "spool/crm", &f->error);
	snprintf(expected, sizeof(expected), "%s/s1/spool/crm", f->state);
	assert_string_equal(path, expected);
	assert_int_equal(mode_of(path), 0700);
	touch(path, "kept");
	free(path);
	free(pen_statedir_make(dir, "spool/crm", &f->error));
	pen_statedir_close(dir);
	snprintf(expected, sizeof(expected), "%s/s1/spool/crm/kept", f->state);
	assert_int_equal(mode_of(expected), 0600);
}

static void
test_the_environment_names_it(void **state)
{
	fixture *f = *state;
	char value[256];
	pen_statedir *dir;

	snprintf(value, sizeof(value), "%s:/nonexistent", f->state);
	setenv("STATE_DIRECTORY", value, 1);
	dir = pen_statedir_open(NULL, "s1", &f->error);
	assert_non_null(dir);
	assert_memory_equal(pen_statedir_path(dir), f->state, strlen(f->state));
	pen_statedir_close(dir);
	/* A temporary slot has nothing that lasts. */
	dir = pen_statedir_open(NULL, NULL, &f->error);
	assert_non_null(dir);
	assert_null(pen_statedir_path(dir));
	pen_statedir_close(dir);
}

static void
test_a_second_consumer_is_told_of_the_first(void **state)
{
	fixture *f = *state;
	pen_statedir *dir = pen_statedir_open(f->state, "s1", &f->error);
	pen_statedir *other;
	char pid[32];

	assert_non_null(dir);
	assert_null(pen_statedir_open(f->state, "s1", &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_RETRY);
	snprintf(pid, sizeof(pid), "process %d ", (int) getpid());
	assert_non_null(strstr(f->error.text, pid));
	assert_non_null(strstr(f->error.text, "--state-dir"));
	other = pen_statedir_open(f->state, "s2", &f->error);
	assert_non_null(other);
	pen_statedir_close(other);
	pen_statedir_close(dir);
	dir = pen_statedir_open(f->state, "s1", &f->error);
	assert_non_null(dir);
	pen_statedir_close(dir);
}

static void
refused(fixture *f, const char *directory, const char *slot, const char *word)
{
	assert_null(pen_statedir_open(directory, slot, &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_CONFIG);
	assert_non_null(strstr(f->error.text, word));
}

static void
test_what_cannot_be_trusted_is_refused(void **state)
{
	fixture *f = *state;
	char path[128];

	assert_int_equal(mkdir(f->state, 0700), 0);
	chmod(f->state, 0770);
	refused(f, f->state, "s1", "chmod 700");
	chmod(f->state, 0702);
	refused(f, f->state, "s1", "chmod 700");
	chmod(f->state, 0755);
	snprintf(path, sizeof(path), "%s/s1", f->state);
	assert_int_equal(mkdir(path, 0700), 0);
	chmod(path, 0720);
	refused(f, f->state, "s1", "chmod 700");
	if (geteuid() == 0)
		assert_int_equal(chown(f->state, 65534, 65534), 0);
	refused(f, geteuid() == 0 ? f->state : "/", "s1", "belongs to user");
	refused(f, f->state, "../s1", "slot name");
	refused(f, f->state, "", "slot name");
	touch(f->root, "file");
	snprintf(path, sizeof(path), "%s/file", f->root);
	refused(f, path, "s1", "not a directory");
	snprintf(path, sizeof(path), "%s/no/where", f->root);
	refused(f, path, "s1", "could not make");
}

static void
test_scratch_files_are_gone_at_the_end_and_at_the_next_start(void **state)
{
	fixture *f = *state;
	pen_statedir *dir = pen_statedir_open(f->state, "s1", &f->error);
	char *path = pen_statedir_scratch(dir, "streams", &f->error);
	char left[160];

	assert_int_equal(mode_of(path), 0700);
	touch(path, "a");
	pen_statedir_close(dir);
	assert_int_equal(mode_of(path), 0);

	snprintf(left, sizeof(left), "%s/b/c", path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(left, sizeof(left), "%s/b", path);
	assert_int_equal(mkdir(left, 0700), 0);
	touch(left, "c");
	free(path);
	dir = pen_statedir_open(f->state, "s1", &f->error);
	path = pen_statedir_scratch(dir, "streams", &f->error);
	assert_int_equal(mode_of(path), 0700);
	assert_int_equal(mode_of(left), 0);
	free(path);
	pen_statedir_close(dir);
}

static void
test_without_one_scratch_files_go_to_a_temporary_directory(void **state)
{
	fixture *f = *state;
	pen_statedir *dir = pen_statedir_open(NULL, "s1", &f->error);
	char start[128];
	char *path;

	assert_null(pen_statedir_path(dir));
	assert_null(pen_statedir_make(dir, "spool", &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_CONFIG);
	path = pen_statedir_scratch(dir, "streams", &f->error);
	snprintf(start, sizeof(start), "%s/penstock-%d-", f->root, (int) getpid());
	assert_memory_equal(path, start, strlen(start));
	assert_int_equal(mode_of(path), 0700);
	touch(path, "a");
	pen_statedir_close(dir);
	*strrchr(path, '/') = '\0';
	assert_int_equal(mode_of(path), 0);
	free(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_made_private),
		TEST(test_the_environment_names_it),
		TEST(test_a_second_consumer_is_told_of_the_first),
		TEST(test_what_cannot_be_trusted_is_refused),
		TEST(test_scratch_files_are_gone_at_the_end_and_at_the_next_start),
		TEST(test_without_one_scratch_files_go_to_a_temporary_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
