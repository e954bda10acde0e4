/* clock.c -- clocks and back-off. */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

/* Seconds between the epochs of Unix and PostgreSQL. */
#define POSTGRES_EPOCH_S INT64_C(946684800)

int64_t
pen_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
pen_clock_postgres_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ((int64_t) now.tv_sec - POSTGRES_EPOCH_S) * 1000000 + now.tv_nsec / 1000;
}

int
pen_backoff_next(pen_backoff *backoff)
{
	struct timespec now;

	if (backoff->delay_ms == 0)
		backoff->delay_ms = backoff->first_ms;
	else if (backoff->delay_ms < backoff->max_ms / 2)
		backoff->delay_ms *= 2;
	else
		backoff->delay_ms = backoff->max_ms;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return backoff->delay_ms - (int) (now.tv_nsec / 1000 % (backoff->delay_ms / 4 + 1));
}

void
pen_clock_sleep_ms(int ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (nanosleep(&left, &left) != 0)
		continue;
}
