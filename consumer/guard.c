/* guard.c -- heartbeat, and a limit to the WAL that the slot holds back.
 * Questions go over the ordinary connection and are never waited for: a source that does not answer
 * must not stop feedback. Where that connection ends the stream does, too. */
#include "guard.h"

#include <string.h>

#include "follower.h"

#define LOOK_MS 2000

static void
write_warning(penstock *p, bool *told)
{
	if (!*told)
		pen_log_write(&p->log, PENSTOCK_LOG_WARNING, "source", "%s", p->error.text);
	*told = true;
	pen_error_clear(&p->error);
}

/* ---- answers ---- */

/* Told once when the limit is crossed, and once when there is a tenth of room again. */
static void
compare_with_limit(penstock *p)
{
	pen_guard *guard = &p->guard;
	int64_t limit = p->settings.retained_wal_max;

	if (limit == 0)
		return;
	if (!guard->exceeded && guard->retained.bytes > limit)
	{
		guard->exceeded = true;
		pen_log_write(
			&p->log, PENSTOCK_LOG_WARNING, "source",
			"slot \"%s\" holds back %lld bytes of WAL, more than retained-wal-max (%lld); "
			"see which destination is behind: penstock status",
			p->slot, (long long) guard->retained.bytes, (long long) limit);
	}
	else if (guard->exceeded && guard->retained.bytes <= limit - limit / 10)
	{
		guard->exceeded = false;
		pen_log_write(&p->log, PENSTOCK_LOG_INFO, "source",
					  "slot \"%s\" holds back %lld bytes of WAL: within retained-wal-max again",
					  p->slot, (long long) guard->retained.bytes);
	}
}

static void
take_look(penstock *p, const pen_retained *retained)
{
	p->guard.look_fails = false;
	p->guard.retained = *retained;
	p->guard.known = true;
	compare_with_limit(p);
}

static void
take_heartbeat(penstock *p, bool written)
{
	p->guard.heartbeat_fails = false;
	if (!written && !p->guard.standby_told)
		pen_log_write(&p->log, PENSTOCK_LOG_WARNING, "source",
					  "a standby cannot write a heartbeat; call penstock.heartbeat() at its "
					  "primary, the standby's slots receive it too");
	p->guard.standby_told = !written;
}

static penstock_status
take_answer(penstock *p)
{
	pen_control_reply reply;
	penstock_status status = pen_control_receive(p->control, &reply, &p->error);

	if (status == PENSTOCK_AGAIN)
		return PENSTOCK_OK;
	if (status == PENSTOCK_E_RETRY)
		return status;
	if (reply.question == PEN_CONTROL_RETAINED)
	{
		if (status < 0)
			write_warning(p, &p->guard.look_fails);
		else if (reply.found)
			take_look(p, &reply.retained);
	}
	else if (status < 0)
		write_warning(p, &p->guard.heartbeat_fails);
	else
		take_heartbeat(p, reply.found);
	return PENSTOCK_OK;
}

/* ---- questions ---- */

static void
note_movement(penstock *p, int64_t now)
{
	pen_guard *guard = &p->guard;

	if (guard->started && guard->moved_lsn == p->delivered_lsn &&
		!pen_assembler_in_transaction(p->assembler))
		return;
	guard->started = true;
	guard->moved_lsn = p->delivered_lsn;
	guard->moved_ms = now;
}

penstock_status
pen_guard_run(penstock *p)
{
	pen_guard *guard = &p->guard;
	int64_t now = pen_clock_ms();
	bool looks = p->settings.retained_wal_max > 0 || p->commands != NULL;
	bool beats = p->settings.heartbeat_interval_ms > 0;

	if (pen_control_is_asked(p->control))
		return take_answer(p);
	if (now - guard->looked_ms >= LOOK_MS)
	{
		guard->looked_ms = now;
		if (pen_control_look(p->control, &p->error) < 0)
			return p->error.status;
	}
	if (!looks && !beats)
		return PENSTOCK_OK;
	note_movement(p, now);
	if (beats && now - guard->moved_ms >= p->settings.heartbeat_interval_ms)
	{
		guard->moved_ms = now;
		return pen_control_send(p->control, PEN_CONTROL_HEARTBEAT, p->slot, &p->error);
	}
	if (looks && (!guard->known || now - guard->asked_ms >= LOOK_MS))
	{
		guard->asked_ms = now;
		return pen_control_send(p->control, PEN_CONTROL_RETAINED, p->slot, &p->error);
	}
	return PENSTOCK_OK;
}
