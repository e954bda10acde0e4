/* ahead.c -- the changes of a message as a chunk of their own, which shares its bytes. */
#include "transaction/ahead.h"

void
pen_ahead_begin(pen_ahead *ahead, uint32_t xid)
{
	if (ahead->decoder == NULL || ahead->xid != 0)
		return;
	ahead->xid = xid;
	ahead->sequence = ahead->count = 0;
}

void
pen_ahead_end(pen_ahead *ahead)
{
	ahead->xid = 0;
}

void
pen_ahead_void(pen_ahead *ahead, uint32_t xid)
{
	if (xid == 0 || ahead->xid != xid)
		return;
	pen_chunk_unref(ahead->part.chunk);
	ahead->part.chunk = NULL;
	ahead->voided = xid;
	ahead->xid = 0;
}

void
pen_ahead_reset(pen_ahead *ahead)
{
	pen_chunk_unref(ahead->part.chunk);
	*ahead = (pen_ahead){.decoder = ahead->decoder};
}

static void
unref_chunk(void *chunk)
{
	pen_chunk_unref(chunk);
}

static bool
begin_part(pen_ahead *ahead, pen_chunk *message)
{
	ahead->part = (pen_ahead_part){
		.xid = ahead->xid,
		.before = ahead->count,
		.chunk = pen_chunk_new(pen_chunk_ref(message), message->byte_count, unref_chunk),
	};
	return ahead->part.chunk != NULL;
}

bool
pen_ahead_add(pen_ahead *ahead, const penstock_event *event, pen_chunk *message)
{
	const penstock_transaction transaction = {.xid = ahead->xid};
	pen_chunk *chunk;
	penstock_event *added;

	if (ahead->part.chunk == NULL && !begin_part(ahead, message))
		return false;
	chunk = ahead->part.chunk;
	added = pen_chunk_add(chunk);
	if (added == NULL)
		return false;
	added->kind = event->kind;
	added->sequence = ahead->sequence;
	added->new_row = event->new_row;
	added->old_row = event->old_row;
	added->transaction = chunk->count == 1 ? pen_chunk_transaction(chunk, &transaction)
										   : chunk->events[0].transaction;
	pen_chunk_hold(chunk, added, event->relation);
	ahead->count++;
	return added->transaction != NULL;
}

bool
pen_ahead_take(pen_ahead *ahead, pen_ahead_part *part)
{
	if (ahead->voided != 0)
	{
		*part = (pen_ahead_part){.xid = ahead->voided};
		ahead->voided = 0;
		return true;
	}
	*part = ahead->part;
	ahead->part.chunk = NULL;
	return part->chunk != NULL;
}
