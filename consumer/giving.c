/* giving.c -- who gets the transaction that goes ahead.
 * Each gets all of it from its first change on, up to where it can follow: one that cannot is given
 * no more, keeps what it has, and the others go on. */
#include "giving.h"

#include <string.h>

#include "follower.h"

#define STALLED_MS 2000 /* so long one that is sated may take nothing */

void
pen_giving_begin(penstock *p)
{
	bool wanted = false;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		p->takes_ahead[i] =
			p->configs[i].apply_ahead && pen_worker_destination(p->workers[i])->kind->ahead != NULL;
		wanted = wanted || p->takes_ahead[i];
	}
	pen_assembler_go_ahead(p->assembler, wanted ? p->decoder : NULL);
}

static pen_feed_appetite
appetite(penstock *p, size_t i)
{
	return pen_feed_appetite_get(pen_worker_feed(p->workers[i]));
}

static void
give(penstock *p, const pen_ahead_part *part)
{
	bool taken = false;

	pen_chunk_seal(part->chunk, &p->budget);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (part->before == 0)
			p->given[i] = p->takes_ahead[i];
		p->given[i] = p->given[i] && p->fed[i] &&
					  pen_feed_ahead(pen_worker_feed(p->workers[i]), part->chunk, part->before);
		taken = taken || p->given[i];
	}
	pen_chunk_unref(part->chunk);
	if (!taken)
		pen_assembler_leave_ahead(p->assembler);
}

/* Also to those who were given a part of it only. */
static void
take_back(penstock *p, uint32_t xid)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (p->takes_ahead[i])
			pen_feed_forgo(pen_worker_feed(p->workers[i]), xid);
	}
}

void
pen_giving_run(penstock *p)
{
	pen_ahead_part part;

	while (pen_assembler_ahead(p->assembler, &part))
	{
		if (part.chunk != NULL)
			give(p, &part);
		else
			take_back(p, part.xid);
	}
	for (size_t i = 0; i < p->worker_count && pen_assembler_pending(p->assembler); i++)
	{
		if (p->takes_ahead[i])
			pen_feed_ahead_ends(pen_worker_feed(p->workers[i]));
	}
}

static void
leave_out_sated(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
		p->given[i] = p->given[i] && appetite(p, i) != PEN_FEED_SATED;
}

/* Bytes that those have who are given it and have enough; *hungry: somebody has next to nothing,
 * whether it is given that or not. */
static size_t
sated_bytes(penstock *p, bool *hungry)
{
	size_t bytes = 0;

	*hungry = p->subscription_count > 0;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_feed_appetite found = p->fed[i] ? appetite(p, i) : PEN_FEED_ELSEWHERE;

		*hungry = *hungry || found == PEN_FEED_HUNGRY;
		if (p->given[i] && found == PEN_FEED_SATED)
			bytes += pen_feed_bytes(pen_worker_feed(p->workers[i]));
	}
	return bytes;
}

bool
pen_giving_holds(penstock *p, int64_t now_ms)
{
	size_t bytes;
	bool hungry;

	if (!pen_assembler_goes_ahead(p->assembler) && !pen_assembler_pending(p->assembler))
	{
		memset(p->given, 0, sizeof(p->given));
		return false;
	}
	bytes = sated_bytes(p, &hungry);
	if (bytes != p->sated_bytes)
		p->sated_ms = now_ms;
	p->sated_bytes = bytes;
	if (bytes == 0)
		return false;
	if (!hungry && now_ms - p->sated_ms < STALLED_MS)
		return true;
	leave_out_sated(p);
	return false;
}
