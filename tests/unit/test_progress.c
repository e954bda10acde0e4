/* test_progress.c -- what may be confirmed, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "progress/progress.h"

#define NO_BOUND UINT64_MAX

static void
test_the_lowest_durable_lsn_is_confirmed(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 3);
	pen_progress_durable(&progress, 0, 300);
	pen_progress_durable(&progress, 1, 100);
	pen_progress_durable(&progress, 2, 200);
	assert_int_equal(pen_progress_confirmable(&progress, NO_BOUND), 100);
	pen_progress_durable(&progress, 1, 250);
	assert_int_equal(pen_progress_confirmable(&progress, NO_BOUND), 200);
}

static void
test_nothing_is_confirmed_until_every_destination_has_a_position(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, PEN_PROGRESS_DESTINATIONS_MAX);
	for (size_t i = 0; i < PEN_PROGRESS_DESTINATIONS_MAX; i++)
	{
		assert_int_equal(pen_progress_confirmable(&progress, 1000), 0);
		pen_progress_durable(&progress, i, 500);
	}
	assert_int_equal(pen_progress_confirmable(&progress, 1000), 500);
}

static void
test_a_durable_lsn_never_goes_back(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 1);
	pen_progress_durable(&progress, 0, 500);
	pen_progress_durable(&progress, 0, 400);
	pen_progress_durable(&progress, 0, 0);
	assert_int_equal(pen_progress_confirmable(&progress, NO_BOUND), 500);
}

static void
test_what_has_been_confirmed_never_decreases(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 1);
	pen_progress_durable(&progress, 0, 500);
	assert_int_equal(pen_progress_confirmable(&progress, 450), 450);
	assert_int_equal(pen_progress_confirmable(&progress, 100), 450);
	assert_int_equal(pen_progress_confirmable(&progress, 0), 450);
	assert_int_equal(pen_progress_confirmable(&progress, 451), 451);
}

static void
test_what_has_been_received_bounds_the_confirmation(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 2);
	pen_progress_durable(&progress, 0, 900);
	pen_progress_durable(&progress, 1, 800);
	assert_int_equal(pen_progress_confirmable(&progress, 700), 700);
	assert_int_equal(pen_progress_confirmable(&progress, 799), 799);
	assert_int_equal(pen_progress_confirmable(&progress, 801), 800);
}

static void
test_a_released_destination_holds_nothing_back(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 2);
	pen_progress_durable(&progress, 0, 100);
	pen_progress_release(&progress, 1);
	assert_int_equal(pen_progress_confirmable(&progress, 500), 100);
	pen_progress_release(&progress, 0);
	assert_int_equal(pen_progress_confirmable(&progress, 500), 500);
}

static void
test_without_destinations_what_was_received_is_confirmed(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 0);
	assert_int_equal(pen_progress_confirmable(&progress, 0), 0);
	assert_int_equal(pen_progress_confirmable(&progress, 123), 123);
}

/* ---- a slot and what is stored ---- */

static penstock_status
check(uint64_t stored_lsn, uint64_t confirmed_lsn, uint64_t current_lsn, pen_error *error)
{
	pen_error_clear(error);
	return pen_progress_check_slot("replica", "shop", stored_lsn, confirmed_lsn, current_lsn,
								   error);
}

static void
test_a_slot_confirmed_beyond_what_is_stored_is_refused(void **state)
{
	pen_error error;

	(void) state;
	assert_int_equal(check(UINT64_C(0x200000010), UINT64_C(0x200000010), NO_BOUND, &error),
					 PENSTOCK_OK);
	assert_int_equal(check(UINT64_C(0x200000010), UINT64_C(0x200000011), NO_BOUND, &error),
					 PENSTOCK_E_REFUSED);
	assert_non_null(strstr(error.text, "destination replica"));
	assert_non_null(strstr(error.text, "slot \"shop\""));
	assert_non_null(strstr(error.text, "2/11"));
	assert_non_null(strstr(error.text, "2/10"));
	assert_non_null(strstr(error.text, "DELETE FROM penstock.progress WHERE slot = 'shop'"));
}

static void
test_what_is_stored_beyond_the_sources_wal_is_refused(void **state)
{
	pen_error error;

	(void) state;
	assert_int_equal(check(1000, 900, 1000, &error), PENSTOCK_OK);
	assert_int_equal(check(1001, 900, 1000, &error), PENSTOCK_E_REFUSED);
	assert_non_null(strstr(error.text, "0/3E9"));
	assert_non_null(strstr(error.text, "0/3E8"));
	assert_non_null(strstr(error.text, "DELETE FROM penstock.progress"));
}

static void
test_a_destination_without_a_position_fits_every_slot(void **state)
{
	pen_error error;

	(void) state;
	assert_int_equal(check(0, 500, 600, &error), PENSTOCK_OK);
	assert_int_equal(check(0, NO_BOUND, 0, &error), PENSTOCK_OK);
	assert_string_equal(error.text, "");
}

static void
test_one_that_takes_part_again_holds_back_what_comes_and_takes_nothing_back(void **state)
{
	pen_progress progress;

	(void) state;
	pen_progress_init(&progress, 2);
	pen_progress_durable(&progress, 0, 500);
	pen_progress_durable(&progress, 1, 100);
	pen_progress_release(&progress, 1);
	assert_int_equal(pen_progress_confirmable(&progress, NO_BOUND), 500);
	pen_progress_hold(&progress, 1);
	pen_progress_durable(&progress, 0, 700);
	assert_int_equal(pen_progress_confirmable(&progress, NO_BOUND), 500);
	pen_progress_durable(&progress, 1, 600);
	assert_int_equal(pen_progress_confirmable(&progress, NO_BOUND), 600);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_lowest_durable_lsn_is_confirmed),
		cmocka_unit_test(test_nothing_is_confirmed_until_every_destination_has_a_position),
		cmocka_unit_test(test_a_durable_lsn_never_goes_back),
		cmocka_unit_test(test_what_has_been_confirmed_never_decreases),
		cmocka_unit_test(test_what_has_been_received_bounds_the_confirmation),
		cmocka_unit_test(test_a_released_destination_holds_nothing_back),
		cmocka_unit_test(
			test_one_that_takes_part_again_holds_back_what_comes_and_takes_nothing_back),
		cmocka_unit_test(test_without_destinations_what_was_received_is_confirmed),
		cmocka_unit_test(test_a_slot_confirmed_beyond_what_is_stored_is_refused),
		cmocka_unit_test(test_what_is_stored_beyond_the_sources_wal_is_refused),
		cmocka_unit_test(test_a_destination_without_a_position_fits_every_slot)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
