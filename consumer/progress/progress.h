/* progress.h -- the lowest durable LSN: the only place that computes what may be confirmed to the
 * source, and the refusals when what is stored and what the source says do not fit. Pure. */
#ifndef PEN_PROGRESS_H
#define PEN_PROGRESS_H

#include "base/error.h"

#define PEN_PROGRESS_DESTINATIONS_MAX 64

typedef struct pen_progress
{
	uint64_t durable[PEN_PROGRESS_DESTINATIONS_MAX];
	bool holds[PEN_PROGRESS_DESTINATIONS_MAX];
	size_t count;
	uint64_t confirmed;
} pen_progress;

/* count destinations, none of which has anything yet; each holds the confirmation back. */
extern void pen_progress_init(pen_progress *progress, size_t count);

/* A destination has everything up to lsn durably. It never goes back: a lower lsn is ignored. */
extern void pen_progress_durable(pen_progress *progress, size_t destination, uint64_t lsn);

/* A destination that loads everything afresh at each start (memory) holds nothing back. */
extern void pen_progress_release(pen_progress *progress, size_t destination);

/* One that was released takes part again: it holds back from what has been confirmed on. */
extern void pen_progress_hold(pen_progress *progress, size_t destination);

/*
 * What may be confirmed: the lowest durable LSN, never less than what was returned before. 0 until
 * every destination that counts has a position. received_lsn, everything before which has been
 * handed to the destinations, bounds it, and is the answer when no destination counts.
 */
extern uint64_t pen_progress_confirmable(pen_progress *progress, uint64_t received_lsn);

/*
 * May a destination whose durable position is stored_lsn be fed from a slot that has been confirmed
 * up to confirmed_lsn, on a source whose WAL reaches to current_lsn? E_REFUSED, with what was
 * found and the remedy, where transactions would be missing. stored_lsn 0: no position, fits.
 */
extern penstock_status pen_progress_check_slot(const char *destination, const char *slot,
											   uint64_t stored_lsn, uint64_t confirmed_lsn,
											   uint64_t current_lsn, pen_error *error);

#endif
