/* survey.c -- a destination that is away is fed on disk, where it may have a spool.
 * It takes part without a gap or not at all: who missed something takes part again only when the
 * stream begins anew, at what it has. */
#include "survey.h"

#include "base/clock.h"
#include "event/lsn.h"

#define PARK_AFTER_MS 1000 /* a short absence costs no spool */
#define MEND_AFTER_MS 1000 /* between attempts with a disk that fails */

static const pen_destination_kind *
kind_of(penstock *p, size_t i)
{
	return pen_worker_destination(p->workers[i])->kind;
}

/*
 * Durable there, as far as we know; 0: nothing is known. One that has not been open yet has what
 * its spool begins with if the source has been told so: else the spool may begin behind what was on
 * its way through memory, and the source still has that.
 */
static uint64_t
known_durable(penstock *p, size_t i, const pen_worker_status *status)
{
	uint64_t told_lsn = p->confirmed_lsn > p->slot_lsn ? p->confirmed_lsn : p->slot_lsn;
	uint64_t from_lsn;

	if (status->position.durable_lsn != 0)
		return status->position.durable_lsn;
	from_lsn = pen_feed_from_lsn(pen_worker_feed(p->workers[i]));
	return from_lsn <= told_lsn ? from_lsn : 0;
}

uint64_t
pen_survey_resume_lsn(penstock *p, size_t i)
{
	pen_worker_status status;

	pen_worker_status_get(p->workers[i], &status);
	return pen_feed_resume_lsn(pen_worker_feed(p->workers[i]), known_durable(p, i, &status));
}

bool
pen_survey_is_fed(penstock *p, size_t i)
{
	pen_worker_status status;

	pen_worker_status_get(p->workers[i], &status);
	return !p->refused[i] && (status.state == PEN_WORKER_READY ||
							  status.state == PEN_WORKER_STREAMING || p->parked[i]);
}

/* Somebody took the destination back to an earlier time, or it went on without its spool. */
void
pen_survey_check_spools(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_feed *feed = pen_worker_feed(p->workers[i]);
		uint64_t from_lsn = pen_feed_from_lsn(feed);
		pen_worker_status status;
		pen_error error;

		pen_worker_status_get(p->workers[i], &status);
		if (status.state != PEN_WORKER_READY || from_lsn == 0 ||
			known_durable(p, i, &status) >= from_lsn)
			continue;
		pen_log_write(&p->log, PENSTOCK_LOG_WARNING, p->configs[i].name,
					  "its spool begins at " LSN_FORMAT
					  ", but it has only what was before " LSN_FORMAT ": the spool is dropped",
					  LSN_ARGS(from_lsn), LSN_ARGS(status.position.durable_lsn));
		(void) pen_feed_unpark(feed, &error);
	}
}

/*
 * The slot went on without it, while it was not known what it has: it may have more than its spool.
 * If not, it is refused when it is back, since then its spool begins behind it.
 */
void
pen_survey_check_start(penstock *p, uint64_t lsn)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_feed *feed = pen_worker_feed(p->workers[i]);
		uint64_t end_lsn = pen_feed_end_lsn(feed);
		pen_worker_status status;
		pen_error error;

		pen_worker_status_get(p->workers[i], &status);
		if (end_lsn == 0 || end_lsn >= lsn || status.state == PEN_WORKER_STREAMING)
			continue;
		pen_log_write(&p->log, PENSTOCK_LOG_WARNING, p->configs[i].name,
					  "its spool ends at " LSN_FORMAT ", but the stream begins at " LSN_FORMAT
					  ": the spool is dropped",
					  LSN_ARGS(end_lsn), LSN_ARGS(lsn));
		if (!p->parked[i])
			(void) pen_feed_unpark(feed, &error);
		else
			(void) pen_feed_park(feed, 0, &error);
	}
}

/* After a failure of its disk, what it has for certain counts; the rest comes again with the
 * stream. False: the disk still fails. While the worker does not stream. */
static bool
mend(penstock *p, size_t i, const pen_feed_state *state)
{
	int64_t now = pen_clock_ms();
	pen_error error;

	if (!state->failed)
		return true;
	p->fed[i] = false;
	if (now < p->mend_ms[i])
		return false;
	p->mend_ms[i] = now + MEND_AFTER_MS;
	return pen_feed_mend(pen_worker_feed(p->workers[i]), &error) >= 0;
}

/* ---- one that is away ---- */

static void
log_parked(penstock *p, size_t i)
{
	pen_log_write(&p->log, PENSTOCK_LOG_WARNING, p->configs[i].name,
				  "it is away: its share goes to disk");
}

/* Down, paused or stopped. What is on disk already goes on there; else, after a while, the stream
 * begins anew for it. */
static void
look_at_absent(penstock *p, size_t i, const pen_worker_status *status, pen_survey *found)
{
	pen_feed *feed = pen_worker_feed(p->workers[i]);
	int64_t now = pen_clock_ms();
	pen_feed_state state;
	pen_error error;

	pen_feed_state_get(feed, &state);
	if (state.has_spool && !mend(p, i, &state))
		return;
	if (p->parked[i])
	{
		/* Mended, or told by nobody: what it has is without a gap,
		 * and the stream comes to its end. */
		found->wants_stream = found->wants_stream || state.failed;
		found->spooling += p->fed[i];
		return;
	}
	if (p->absent_since_ms[i] == 0)
		p->absent_since_ms[i] = now;
	if (!state.has_spool || p->refused[i])
	{
		p->fed[i] = false;
		return;
	}
	p->fed[i] = p->fed[i] && state.spooling;
	if (!state.spooling && now - p->absent_since_ms[i] < PARK_AFTER_MS)
		return;
	p->parked[i] = true;
	log_parked(p, i);
	/* Nothing was pushed since it failed that is not on disk? */
	if (!pen_feed_park(feed, known_durable(p, i, status), &error) || !p->fed[i])
	{
		p->fed[i] = false;
		found->wants_stream = true;
	}
	else
		found->spooling++;
}

/* ---- one that is back ---- */

/* Its share is on disk without a gap: let it read there. */
static bool
goes_on_from_disk(penstock *p, size_t i, const pen_worker_status *status)
{
	pen_feed *feed = pen_worker_feed(p->workers[i]);
	pen_feed_state state;
	pen_error error;

	pen_feed_state_get(feed, &state);
	if (!state.spooling)
		return false;
	if (!pen_feed_park(feed, known_durable(p, i, status), &error))
	{
		(void) pen_feed_unpark(feed, &error);
		p->fed[i] = false;
		return false;
	}
	if (p->fed[i] && p->resumed[i] != status->opened &&
		pen_worker_push_resume(p->workers[i], status->opened) >= 0)
		p->resumed[i] = status->opened;
	return p->fed[i];
}

/*
 * Open again, and not part of the stream. What has loaded everything up to its position can join
 * where the stream is, if that is not behind it; others need the stream to begin anew.
 */
static void
look_at_ready(penstock *p, size_t i, const pen_worker_status *status, pen_survey *found)
{
	bool afresh = kind_of(p, i)->loads_afresh;
	pen_feed_state state;

	p->parked[i] = false;
	p->absent_since_ms[i] = 0;
	pen_feed_state_get(pen_worker_feed(p->workers[i]), &state);
	if (state.behind && p->fed[i] && status->wants_epoch <= p->epoch)
	{
		found->streaming++;
		return;
	}
	/* Once it was told to go on, it reads there, and finds out by itself. */
	if (state.spooling && p->resumed[i] != status->opened && !mend(p, i, &state))
	{
		found->waits = true;
		return;
	}
	if (goes_on_from_disk(p, i, status))
	{
		found->spooling++;
		return;
	}
	found->streaming += p->fed[i];
	if (p->fed[i] && status->wants_epoch <= p->epoch)
		return;
	p->fed[i] = false;
	found->loading = found->loading || afresh;
	if (!afresh || p->stream == NULL || p->delivered_lsn > status->position.applied_lsn)
		found->wants_stream = true;
	else if (!pen_assembler_in_transaction(p->assembler))
		p->fed[i] =
			pen_worker_push_start(p->workers[i], ++p->epoch, p->delivered_lsn, &p->error) >= 0;
}

/* ---- its disk ---- */

/* For good: who wants it back copies it anew. */
static void
detach(penstock *p, size_t i, const char *reason)
{
	pen_error error;

	pen_error_set(
		&error, PENSTOCK_E_REFUSED,
		"destination %s: %s, so it was detached: what is committed from now on is lost to "
		"it; start again with --copy --copy-mode truncate to copy it anew",
		p->configs[i].name, reason);
	p->refused[i] = p->detached[i] = true;
	p->fed[i] = false;
	pen_progress_release(&p->progress, i);
	(void) pen_worker_push_refusal(p->workers[i], &error);
}

/* Nobody needs what is on disk for one that was refused; once it does not read there any more. */
static void
drop_spool(penstock *p, size_t i, const pen_worker_status *status)
{
	pen_feed *feed = pen_worker_feed(p->workers[i]);
	pen_feed_state state;
	pen_error error;

	if (status->state != PEN_WORKER_STOPPED || !p->refused[i] || !p->detached[i])
		return;
	pen_feed_state_get(feed, &state);
	if (state.spooling)
		(void) pen_feed_unpark(feed, &error);
}

static void
look_at_disk(penstock *p, size_t i, const pen_feed_state *state)
{
	bool bad = state->full || state->failed;

	if (bad && !p->spool_failed[i])
		pen_log_write(&p->log, PENSTOCK_LOG_ERROR, p->configs[i].name,
					  state->failed ? "its spool failed: %s; what is not on disk for certain comes "
									  "again with the stream"
									: "its spool is full: %s; the stream waits for room, or for it "
									  "to catch up",
					  state->error.text);
	p->spool_failed[i] = bad;
	if (p->settings.destinations[i].options.on_full != PEN_ON_FULL_DETACH)
		return;
	if (state->full && !state->failed)
		detach(p, i, "its spool is full (spool-bytes-max)");
	else if (p->guard.exceeded && p->absent_since_ms[i] != 0 && !p->parked[i])
		detach(p, i, "the source keeps too much WAL for it (retained-wal-max)");
}

/* ---- all of them ---- */

static void
look_at_state(penstock *p, size_t i, const pen_worker_status *status, pen_survey *found)
{
	bool afresh = kind_of(p, i)->loads_afresh;

	switch (status->state)
	{
		case PEN_WORKER_STREAMING:
			found->streaming += p->fed[i];
			p->parked[i] = false;
			p->absent_since_ms[i] = 0;
			break;
		case PEN_WORKER_READY:
			if (p->refused[i] || p->stop_requested == 0)
				found->settled = false;
			if (!p->refused[i])
				look_at_ready(p, i, status, found);
			break;
		case PEN_WORKER_DOWN:
		case PEN_WORKER_PAUSED:
			found->waits = true;
			found->loading = found->loading || afresh;
			look_at_absent(p, i, status, found);
			break;
		case PEN_WORKER_STOPPED:
			if (found->stopped++ == 0)
				found->stopped_error = status->error;
			if (afresh)
				pen_progress_release(&p->progress, i);
			look_at_absent(p, i, status, found);
			break;
	}
}

/*
 * Stopping, what is safe on disk for a destination that is away or far behind is as good as there;
 * and who waits for a stream has nothing on its way.
 */
static bool
is_settled(penstock *p, size_t i, const pen_worker_status *status, uint64_t secured_lsn)
{
	if (!p->fed[i])
		return true;
	if (p->stop_requested != 0 && !pen_feed_caught_up(pen_worker_feed(p->workers[i])))
		return secured_lsn >= p->delivered_lsn;
	return status->state == PEN_WORKER_STREAMING && status->drained &&
		   status->position.durable_lsn >= p->delivered_lsn;
}

static void
look_at_worker(penstock *p, size_t i, pen_survey *found)
{
	pen_feed *feed = pen_worker_feed(p->workers[i]);
	pen_worker_status status;
	pen_feed_state state;
	pen_error ignored;
	uint64_t secured_lsn;

	pen_worker_status_get(p->workers[i], &status);
	look_at_state(p, i, &status, found);
	drop_spool(p, i, &status);
	if (p->refused[i])
		return;
	(void) pen_feed_durable(feed, status.position.durable_lsn, &ignored);
	pen_feed_state_get(feed, &state);
	look_at_disk(p, i, &state);
	/* What its disk has no room for comes again the next time. */
	if (p->stop_requested != 0 && state.full)
		p->fed[i] = false;
	/* It does not see by itself that nothing more can come. */
	if (state.failed && state.spooling && status.state == PEN_WORKER_STREAMING)
		pen_feed_interrupt(feed);
	secured_lsn = pen_feed_secured_lsn(feed, known_durable(p, i, &status));
	pen_progress_durable(&p->progress, i, secured_lsn);
	if (!is_settled(p, i, &status, secured_lsn))
		found->settled = false;
}

void
pen_survey_look(penstock *p, pen_survey *found)
{
	*found = (pen_survey){.settled = true};
	for (size_t i = 0; i < p->worker_count; i++)
		look_at_worker(p, i, found);
}
