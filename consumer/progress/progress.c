/* progress.c -- decide how far the slot may advance.
 * An LSN is confirmed only when every destination that counts holds it durably. */
#include "progress/progress.h"
#include "event/lsn.h"

#include <string.h>

void
pen_progress_init(pen_progress *progress, size_t count)
{
	memset(progress, 0, sizeof(*progress));
	progress->count = count;
	for (size_t i = 0; i < count; i++)
		progress->holds[i] = true;
}

void
pen_progress_durable(pen_progress *progress, size_t destination, uint64_t lsn)
{
	if (lsn > progress->durable[destination])
		progress->durable[destination] = lsn;
}

void
pen_progress_release(pen_progress *progress, size_t destination)
{
	progress->holds[destination] = false;
}

void
pen_progress_hold(pen_progress *progress, size_t destination)
{
	progress->holds[destination] = true;
}

uint64_t
pen_progress_confirmable(pen_progress *progress, uint64_t received_lsn)
{
	uint64_t lowest = received_lsn;

	for (size_t i = 0; i < progress->count; i++)
	{
		if (progress->holds[i] && progress->durable[i] < lowest)
			lowest = progress->durable[i];
	}
	if (lowest > progress->confirmed)
		progress->confirmed = lowest;
	return progress->confirmed;
}

penstock_status
pen_progress_check_slot(const char *destination, const char *slot, uint64_t stored_lsn,
						uint64_t confirmed_lsn, uint64_t current_lsn, pen_error *error)
{
	if (stored_lsn == 0)
		return PENSTOCK_OK;
	if (confirmed_lsn > stored_lsn)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"destination %s: slot \"%s\" is confirmed up to " LSN_FORMAT
			", but the destination has only what was committed before " LSN_FORMAT
			": what lies between is lost (slot re-created or advanced, or destination restored or "
			"detached); copy it anew with --copy --copy-mode truncate, or bring the tables in "
			"step, then DELETE FROM penstock.progress WHERE slot = '%s' at the destination",
			destination, slot, LSN_ARGS(confirmed_lsn), LSN_ARGS(stored_lsn), slot);
	if (stored_lsn > current_lsn)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"destination %s: it has transactions up to " LSN_FORMAT
			", but the source's WAL ends at " LSN_FORMAT
			": the source was restored to an earlier time; bring the tables in step, then "
			"DELETE FROM penstock.progress WHERE slot = '%s' at the destination",
			destination, LSN_ARGS(stored_lsn), LSN_ARGS(current_lsn), slot);
	return PENSTOCK_OK;
}
