/* emit.h -- the buffer between events and writes. */
#ifndef PENSTOCK_EMIT_H
#define PENSTOCK_EMIT_H

#include "compat.h"
#include "wire.h"

/*
 * wire:      0..complete whole events, complete..len the event that is being written.
 * Lives in context; larger than 1 GB only where a single event is.
 */
typedef struct Emitter
{
	pen_wire_buf wire; /* first: grow casts it back */
	MemoryContext context;
	Size complete;
	Size flush_bytes;
} Emitter;

extern void emit_init(Emitter *emitter, MemoryContext context, Size flush_bytes);

/* At the start of each callback: drop what an error left of an unfinished event. */
extern void emit_begin(Emitter *emitter);

/* The event is whole; flush if the buffer is full. */
extern void emit_end(Emitter *emitter, LogicalDecodingContext *ctx);

/* Write what is there as one message. Nothing is written when there is nothing. */
extern void emit_flush(Emitter *emitter, LogicalDecodingContext *ctx);

/* Drop all that is there, unwritten. */
extern void emit_discard(Emitter *emitter);

#endif
