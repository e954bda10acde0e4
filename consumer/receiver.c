/* receiver.c -- one step: look at the workers, tell the source, take what has arrived.
 * It never waits for a destination: when there is no room it stops reading,
 * and feedback goes on. */
#include "receiver.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "giving.h"
#include "steering.h"
#include "survey.h"
#include "tables.h"

#define RESTART_MS      5000 /* to end a stream in order before beginning anew */
#define ASK_MS          100 /* between asking the source how far it is, while waiting for `until` */
#define HELD_MS         500 /* between looks at whether a destination goes on */
#define MESSAGES_A_STEP 64

/* ---- waking ---- */

void
pen_receiver_wake(void *follower)
{
	penstock *p = follower;
	uint64_t one = 1;

	/* Once until it is heard: workers call after every transaction. */
	if (p->wake_fd < 0 || atomic_exchange(&p->woken, true))
		return;
	if (write(p->wake_fd, &one, sizeof(one)) < 0)
	{
		/* The counter is full: a wake-up is pending already. */
	}
}

static void
wait_for_work(penstock *p, bool read_stream, int timeout_ms)
{
	struct pollfd fds[2] = {{.fd = p->wake_fd, .events = POLLIN}};
	nfds_t count = 1;
	uint64_t ignored;
	bool want_write;

	if (p->stream != NULL)
	{
		fds[1].fd = pen_stream_socket(p->stream, &want_write);
		fds[1].events = (short) ((read_stream ? POLLIN : 0) | (want_write ? POLLOUT : 0));
		count = fds[1].events != 0 ? 2 : 1;
	}
	if (poll(fds, count, timeout_ms) <= 0 || (fds[0].revents & POLLIN) == 0)
		return;
	if (read(p->wake_fd, &ignored, sizeof(ignored)) < 0)
		return;
	/* Whoever calls from here on is heard by the next poll; what was said before is looked at in
	 * the step that follows. */
	atomic_store(&p->woken, false);
}

/* ---- the workers ---- */

/* No destination's spool holds something back? */
static bool
room_on_disk(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->fed[i] && pen_feed_is_full(pen_worker_feed(p->workers[i])))
			return false;
	}
	return true;
}

static bool
room(penstock *p)
{
	return atomic_load_explicit(&p->budget.used, memory_order_relaxed) <
			   (size_t) p->settings.memory_limit / 2 &&
		   room_on_disk(p);
}

static penstock_status
push_advance(penstock *p, int64_t now)
{
	bool due = now - p->advanced_ms >= p->settings.progress_interval_ms;
	bool more = p->delivered_lsn > p->advanced_lsn;

	/* At the end there is nothing more to come,
	 * and a spool may have had no room for the last one. */
	if (!(p->finishing ? due || more : due && more) || pen_assembler_in_transaction(p->assembler))
		return PENSTOCK_OK;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->fed[i] &&
			pen_feed_advance(pen_worker_feed(p->workers[i]), p->delivered_lsn, &p->error) < 0)
			return p->error.status;
	}
	p->advanced_lsn = p->delivered_lsn;
	p->advanced_ms = now;
	return PENSTOCK_OK;
}

/* ---- feedback ---- */

static penstock_status
give_feedback(penstock *p, int64_t now, bool at_once)
{
	uint64_t confirmable = pen_progress_confirmable(&p->progress, p->delivered_lsn);
	bool ask = p->target_lsn > p->delivered_lsn && now - p->fed_back_ms >= ASK_MS;

	if (!at_once && !ask && !p->reply_wanted &&
		now - p->fed_back_ms < p->settings.status_interval_ms)
		return PENSTOCK_OK;
	PEN_FAILPOINT("confirm");
	if (pen_stream_feedback(p->stream, p->delivered_lsn, confirmable, ask, &p->error) < 0)
		return p->error.status;
	PEN_FAILPOINT("confirmed");
	p->confirmed_lsn = confirmable;
	p->fed_back_ms = now;
	p->reply_wanted = false;
	return PENSTOCK_OK;
}

/* ---- receiving ---- */

static penstock_status
call_back(penstock *p, const penstock_event *event)
{
	bool bounds = event->kind == PENSTOCK_BEGIN || event->kind >= PENSTOCK_COMMIT;

	if (event->kind == PENSTOCK_BEGIN)
		p->skipping_callbacks = event->transaction->commit_lsn < p->called_lsn;
	for (size_t i = 0; i < p->subscription_count && !p->skipping_callbacks; i++)
	{
		const subscription *s = &p->subscriptions[i];
		const penstock_relation *relation = event->relation != NULL     ? event->relation
											: event->relation_count > 0 ? event->relations[0]
																		: NULL;
		penstock_status status;

		if (s->bounds != bounds ||
			(relation != NULL && (!pen_route_takes(s->route, relation->schema, relation->name) ||
								  !pen_route_takes(p->route, relation->schema, relation->name))))
			continue;
		status = s->callback(p, event, s->context);
		if (status < 0)
			return pen_error_set(&p->error, status, "a callback refused a change");
	}
	if (event->kind == PENSTOCK_COMMIT && !p->skipping_callbacks)
		p->called_lsn = event->transaction->end_lsn;
	return PENSTOCK_OK;
}

static penstock_status
deliver(penstock *p, pen_chunk *chunk)
{
	pen_statistics_count(&p->statistics, chunk);
	for (size_t i = 0; i < chunk->count && p->subscription_count > 0; i++)
	{
		if (call_back(p, &chunk->events[i]) < 0)
			return p->error.status;
	}
	for (size_t i = 0; i < p->worker_count && chunk->count > 0; i++)
	{
		if (p->fed[i] && pen_feed_chunk(pen_worker_feed(p->workers[i]), chunk, &p->error) < 0)
			return p->error.status;
	}
	if (!pen_assembler_in_transaction(p->assembler) &&
		pen_assembler_end_lsn(p->assembler) > p->delivered_lsn)
		p->delivered_lsn = pen_assembler_end_lsn(p->assembler);
	return PENSTOCK_OK;
}

static penstock_status
decode_into(penstock *p, const pen_stream_message *message, pen_chunk *chunk)
{
	pen_wire_reader reader;
	pen_decoded decoded;

	pen_wire_reader_init(&reader, message->payload, message->payload_size);
	while (pen_wire_more(&reader))
	{
		if (pen_decode_event(p->decoder, &reader, &decoded, &p->error) < 0 ||
			pen_assembler_take(p->assembler, &decoded, chunk, &p->error) < 0)
			return p->error.status;
	}
	return PENSTOCK_OK;
}

static penstock_status
take_data(penstock *p, pen_stream_message *message)
{
	pen_chunk *chunk = pen_chunk_new(message->bytes, message->payload_size, pen_stream_free_bytes);
	penstock_status status;

	if (chunk == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	status = decode_into(p, message, chunk);
	if (status >= 0)
	{
		pen_chunk_seal(chunk, &p->budget);
		status = deliver(p, chunk);
		pen_giving_run(p);
	}
	else
		pen_error_context(&p->error, "source: slot \"%s\"", p->slot);
	pen_chunk_unref(chunk);
	return status;
}

/* A piece of a transaction that came in parts and has committed. */
static penstock_status
take_pending(penstock *p)
{
	pen_chunk *chunk = pen_assembler_next(p->assembler, p->decoder, &p->error);
	penstock_status status;

	if (chunk == NULL)
		return pen_error_context(&p->error, "source: slot \"%s\"", p->slot);
	pen_chunk_seal(chunk, &p->budget);
	status = deliver(p, chunk);
	pen_chunk_unref(chunk);
	return status;
}

static penstock_status
take_keepalive(penstock *p, const pen_stream_message *message)
{
	p->reply_wanted = p->reply_wanted || message->reply_requested;
	if (!pen_assembler_in_transaction(p->assembler) && message->wal_end > p->delivered_lsn)
		p->delivered_lsn = message->wal_end;
	return PENSTOCK_OK;
}

/* What has arrived, or PENSTOCK_AGAIN. */
static penstock_status
take_next(penstock *p)
{
	pen_stream_message message;
	penstock_status status = pen_stream_receive(p->stream, &message, &p->error);

	if (status != PENSTOCK_OK)
		return status;
	return message.kind == PEN_STREAM_DATA ? take_data(p, &message) : take_keepalive(p, &message);
}

/* A stream may begin behind what `until` names: then nothing need arrive. */
static void
look_at_target(penstock *p)
{
	if (p->target_lsn != 0 && p->delivered_lsn >= p->target_lsn &&
		!pen_assembler_in_transaction(p->assembler))
		p->finishing = true;
}

/* Is there anybody to receive for, and anything that we still want? */
static bool
may_receive(penstock *p, const pen_survey *found)
{
	bool in_transaction = pen_assembler_in_transaction(p->assembler);

	if (p->finishing && !in_transaction)
		return false;
	if (pen_giving_holds(p, pen_clock_ms()))
		return false;
	/* While tables load, do not get ahead of them for nothing, and with a temporary slot not at
	 * all: it could not go back. */
	if (found->loading && (p->temporary || found->streaming + found->spooling == 0))
		return room(p) && in_transaction;
	return room(p) && (found->streaming + found->spooling > 0 || p->subscription_count > 0);
}

/* PENSTOCK_OK: took something; PENSTOCK_AGAIN: there was nothing. */
static penstock_status
receive(penstock *p, const pen_survey *found)
{
	penstock_status status = PENSTOCK_AGAIN;

	for (int i = 0; i < MESSAGES_A_STEP && may_receive(p, found); i++)
	{
		penstock_status got = pen_assembler_pending(p->assembler) ? take_pending(p) : take_next(p);

		if (got == PENSTOCK_AGAIN)
			break;
		if (got < 0)
			return got;
		status = PENSTOCK_OK;
		look_at_target(p);
	}
	return status;
}

/* ---- the stream's life ---- */

static void
lose_stream(penstock *p)
{
	pen_stream_close(p->stream);
	p->stream = NULL;
	pen_control_close(p->control);
	p->control = NULL;
}

/* The connection failed: try again later, or give up where trying cannot help. */
static penstock_status
stream_failed(penstock *p)
{
	int delay_ms;

	lose_stream(p);
	if (p->error.status != PENSTOCK_E_RETRY || p->epoch == 0 || p->source_moved)
		return p->error.status;
	delay_ms = pen_backoff_next(&p->backoff);
	pen_log_write(&p->log, PENSTOCK_LOG_WARNING, "source", "%s; trying again", p->error.text);
	pen_error_clear(&p->error);
	p->retry_ms = pen_clock_ms() + delay_ms;
	return PENSTOCK_OK;
}

/* A destination came back: end the stream in order, so that the slot is free, and begin it anew on
 * a new connection: a walsender that has ended a logical stream ends the next one at once. */
static penstock_status
restart_stream(penstock *p)
{
	if (p->stream != NULL)
		(void) pen_stream_finish(p->stream, RESTART_MS, &p->error);
	lose_stream(p);
	if (pen_receiver_begin_stream(p) < 0)
		return stream_failed(p);
	p->backoff.delay_ms = 0;
	return PENSTOCK_OK;
}

static penstock_status
keep_connected(penstock *p, int timeout_ms)
{
	int64_t left_ms = p->retry_ms - pen_clock_ms();

	if (left_ms > 0)
	{
		wait_for_work(p, false,
					  timeout_ms >= 0 && timeout_ms < left_ms ? timeout_ms : (int) left_ms);
		return PENSTOCK_OK;
	}
	return restart_stream(p);
}

/* ---- the end ---- */

/* Finishing: done when every destination that can has everything, and the source knows. */
static penstock_status
finish(penstock *p, const pen_survey *found)
{
	bool wait_for_all = p->stop_requested == 0;

	if (pen_assembler_in_transaction(p->assembler) && p->stream != NULL &&
		found->streaming + found->spooling > 0)
		return PENSTOCK_OK;
	if (!found->settled || (wait_for_all && found->waits))
		return PENSTOCK_OK;
	if (p->stream != NULL && give_feedback(p, pen_clock_ms(), true) < 0)
		return stream_failed(p);
	p->done = true;
	return PENSTOCK_OK;
}

static int
shorter(int timeout_ms, int64_t other_ms)
{
	if (other_ms < 0)
		other_ms = 0;
	return timeout_ms < 0 || other_ms < timeout_ms ? (int) other_ms : timeout_ms;
}

static penstock_status
outcome(penstock *p, const pen_survey *found)
{
	if (found->stopped == 0)
		return PENSTOCK_DONE;
	p->error = found->stopped_error;
	return p->error.status;
}

static penstock_status
exchange(penstock *p, const pen_survey *found, int timeout_ms)
{
	int64_t now = pen_clock_ms();
	penstock_status status;

	if (push_advance(p, now) < 0)
		return p->error.status;
	if (give_feedback(p, now, false) < 0 || pen_guard_run(p) < 0)
		return stream_failed(p);
	status = receive(p, found);
	if (status < 0)
		return stream_failed(p);
	if (status == PENSTOCK_AGAIN && timeout_ms != 0)
	{
		timeout_ms = shorter(timeout_ms, p->fed_back_ms + p->settings.status_interval_ms - now);
		if (p->target_lsn > p->delivered_lsn || p->finishing)
			timeout_ms = shorter(timeout_ms, ASK_MS);
		if (pen_assembler_goes_ahead(p->assembler))
			timeout_ms = shorter(timeout_ms, HELD_MS);
		wait_for_work(p, may_receive(p, found), timeout_ms);
	}
	return status;
}

penstock_status
pen_receiver_step(penstock *p, int timeout_ms)
{
	pen_survey found;
	penstock_status status;

	if (p->route == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG, "not open");
	if (p->done)
		return PENSTOCK_DONE;
	pen_steering_run(p);
	if (p->stop_requested)
		p->finishing = true;
	look_at_target(p);
	/* The old stream ends before a destination that was amended can begin to copy. */
	if (p->stop_requested == 0 && pen_tables_amend(p) && p->stream != NULL)
		return restart_stream(p);
	pen_survey_look(p, &found);
	if (p->worker_count > 0 && found.stopped == p->worker_count && p->subscription_count == 0)
	{
		p->error = found.stopped_error;
		return p->error.status;
	}
	if (p->finishing)
	{
		status = finish(p, &found);
		if (status < 0 || p->done)
			return p->done ? outcome(p, &found) : status;
	}
	if (p->stream == NULL)
	{
		if (p->stop_requested)
		{
			p->done = true;
			return outcome(p, &found);
		}
		return keep_connected(p, timeout_ms);
	}
	if (found.wants_stream && p->stop_requested == 0)
		return restart_stream(p);
	return exchange(p, &found, timeout_ms);
}
