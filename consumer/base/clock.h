/* clock.h -- time that only goes forward, for waiting, and PostgreSQL's time, for the protocol. */
#ifndef PEN_CLOCK_H
#define PEN_CLOCK_H

#include <stdint.h>

/* Milliseconds of a clock that never jumps. */
extern int64_t pen_clock_ms(void);
/* Do nothing for so long. */
extern void pen_clock_sleep_ms(int ms);
/* Microseconds since 2000-01-01 00:00:00 UTC by the wall clock. */
extern int64_t pen_clock_postgres_us(void);

/*
 * Waiting longer after each failure: pen_backoff_next returns first_ms, then twice as long each
 * time up to max_ms, with up to a quarter taken off at random so that many clients spread out.
 * Set delay_ms to 0 after a success.
 */
typedef struct pen_backoff
{
	int delay_ms;
	int first_ms;
	int max_ms;
} pen_backoff;

extern int pen_backoff_next(pen_backoff *backoff);

#endif
