/* test_slab.c -- objects of a slab do not overlap, are used again, and cost no header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "destination/memory/slab.h"

#define OBJECTS 4000

static void
test_objects_keep_what_is_written(void **state)
{
	static unsigned char *objects[OBJECTS];
	static size_t sizes[OBJECTS];
	pen_slab slab;

	(void) state;
	srand(7);
	pen_slab_init(&slab);
	for (int round = 0; round < 40000; round++)
	{
		int i = rand() % OBJECTS;

		if (objects[i] != NULL)
		{
			for (size_t n = 0; n < sizes[i]; n++)
				assert_int_equal(objects[i][n], i & 0xff);
			pen_slab_free(&slab, objects[i], sizes[i]);
		}
		sizes[i] = (size_t) (rand() % 50 == 0 ? rand() % 5000 : rand() % 200) + 1;
		objects[i] = pen_slab_alloc(&slab, sizes[i]);
		assert_non_null(objects[i]);
		assert_int_equal((uintptr_t) objects[i] % 8, 0);
		memset(objects[i], i & 0xff, sizes[i]);
	}
	pen_slab_reset(&slab);
	assert_int_equal(slab.bytes, 0);
}

static void
test_freed_objects_are_used_again(void **state)
{
	pen_slab slab;
	size_t bytes;

	(void) state;
	pen_slab_init(&slab);
	pen_slab_free(&slab, pen_slab_alloc(&slab, 100), 100);
	bytes = slab.bytes;
	for (int i = 0; i < 100000; i++)
		pen_slab_free(&slab, pen_slab_alloc(&slab, 97 + (size_t) (i % 8)), 97 + (size_t) (i % 8));
	assert_int_equal(slab.bytes, bytes);
	pen_slab_free(&slab, NULL, 8);
	pen_slab_reset(&slab);
}

static void
test_objects_have_no_header(void **state)
{
	pen_slab slab;

	(void) state;
	pen_slab_init(&slab);
	for (int i = 0; i < 100000; i++)
		pen_slab_alloc(&slab, 48);
	assert_true(slab.bytes < 48 * 100000 + 600 * 1024);
	pen_slab_reset(&slab);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_keep_what_is_written),
		cmocka_unit_test(test_freed_objects_are_used_again),
		cmocka_unit_test(test_objects_have_no_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
