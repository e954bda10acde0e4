/* ahead.h -- one transaction in progress whose changes are also handed on while they arrive.
 *
 * What is handed on is a prefix of what comes again at the commit: the same changes, in the same
 * order. Where that may cease to be so (a part of it was aborted), it is voided, and nothing of it
 * may be kept. One thread. */
#ifndef PEN_AHEAD_H
#define PEN_AHEAD_H

#include "decode/decode.h"
#include "event/chunk.h"

/* What the last message brought of it. */
typedef struct pen_ahead_part
{
	uint32_t xid;
	uint64_t before;  /* changes of it that were handed on before these */
	pen_chunk *chunk; /* the caller's, not sealed; NULL: the transaction is voided */
} pen_ahead_part;

/* All zero: nothing goes ahead. */
typedef struct pen_ahead
{
	pen_decoder *decoder; /* borrowed; NULL: nothing may go ahead */
	uint32_t xid;         /* 0: none does */
	uint64_t sequence;    /* changes of it, wanted or not */
	uint64_t count;       /* those that were handed on, or are in chunk */
	pen_ahead_part part;  /* chunk NULL: nothing to hand on */
	uint32_t voided;      /* one of which that has not been told; 0: none */
} pen_ahead;

/* A transaction begins to arrive: it goes ahead where none does. */
extern void pen_ahead_begin(pen_ahead *ahead, uint32_t xid);

/* Its end came, and that is handed on otherwise. */
extern void pen_ahead_end(pen_ahead *ahead);

/* It may not be kept. Does nothing where it is another one. */
extern void pen_ahead_void(pen_ahead *ahead, uint32_t xid);

/* A new stream: what it was is void, and everybody knows. */
extern void pen_ahead_reset(pen_ahead *ahead);

/* Add a change, whose rows are in the bytes of message. False without memory. */
extern bool pen_ahead_add(pen_ahead *ahead, const penstock_event *event, pen_chunk *message);

/* What is to be told now; again, until it is false. */
extern bool pen_ahead_take(pen_ahead *ahead, pen_ahead_part *part);

#endif
