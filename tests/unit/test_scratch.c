/* test_scratch.c -- directories for scratch files: where they are asked for, and private. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scratch.h"

typedef struct fixture
{
	char root[64];
	pen_error error;
} fixture;

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "/tmp/penstock-test-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	setenv("TMPDIR", f->root, 1);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	fixture *f = *state;

	assert_int_equal(rmdir(f->root), 0);
	free(f);
	return 0;
}

/* What begins with this is there, private and empty; it is removed. */
static void
check(char *path, const char *parent)
{
	char start[128];
	struct stat file;

	snprintf(start, sizeof(start), "%s/penstock-%d-dump-", parent, (int) getpid());
	assert_non_null(path);
	assert_memory_equal(path, start, strlen(start));
	assert_int_equal(stat(path, &file), 0);
	assert_true(S_ISDIR(file.st_mode));
	assert_int_equal(file.st_mode & 0777, 0700);
	assert_int_equal(rmdir(path), 0);
	free(path);
}

static void
test_it_is_private_and_where_the_environment_says(void **state)
{
	fixture *f = *state;
	mode_t before = umask(0);

	check(pen_scratch_directory("dump", &f->error), f->root);
	umask(before);
}

static void
test_each_is_another(void **state)
{
	fixture *f = *state;
	char *one = pen_scratch_directory("dump", &f->error);
	char *other = pen_scratch_directory("dump", &f->error);

	assert_string_not_equal(one, other);
	check(one, f->root);
	check(other, f->root);
}

static void
test_without_or_with_an_empty_tmpdir_it_is_in_tmp(void **state)
{
	fixture *f = *state;

	setenv("TMPDIR", "", 1);
	check(pen_scratch_directory("dump", &f->error), "/tmp");
	unsetenv("TMPDIR");
	check(pen_scratch_directory("dump", &f->error), "/tmp");
}

static void
test_one_that_cannot_be_made_is_told_with_the_remedy(void **state)
{
	fixture *f = *state;
	char missing[96];

	snprintf(missing, sizeof(missing), "%s/missing", f->root);
	setenv("TMPDIR", missing, 1);
	assert_null(pen_scratch_directory("dump", &f->error));
	assert_int_equal(f->error.status, PENSTOCK_E_RETRY);
	assert_non_null(strstr(f->error.text, missing));
	assert_non_null(strstr(f->error.text, "No such file"));
	assert_non_null(strstr(f->error.text, "set TMPDIR"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_it_is_private_and_where_the_environment_says),
		TEST(test_each_is_another),
		TEST(test_without_or_with_an_empty_tmpdir_it_is_in_tmp),
		TEST(test_one_that_cannot_be_made_is_told_with_the_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
