/* emit.c -- many events a write.
 * A write costs framing and a send(), so events are gathered; only whole events are ever written,
 * whatever error ends a callback. */
#include "postgres.h"

#include "emit.h"

#include "utils/memutils.h"

/* What is kept between writes; more is given back. */
#define KEEP_BYTES (1024 * 1024)

static bool
grow(pen_wire_buf *wire, size_t need)
{
	Emitter *emitter = (Emitter *) wire;
	Size cap = Max(wire->cap, 8192);

	if (need > MaxAllocHugeSize / 2)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("could not encode a change: it is larger than memory")));
	while (cap < need)
		cap *= 2;
	if (wire->data == NULL)
		wire->data = MemoryContextAllocHuge(emitter->context, cap);
	else
		wire->data = repalloc_huge(wire->data, cap);
	wire->cap = cap;
	return true;
}

void
emit_init(Emitter *emitter, MemoryContext context, Size flush_bytes)
{
	memset(emitter, 0, sizeof(*emitter));
	emitter->wire.grow = grow;
	emitter->context = context;
	emitter->flush_bytes = flush_bytes;
}

/* What a large event made the buffer grow to. */
static void
give_back(Emitter *emitter)
{
	pen_wire_buf *wire = &emitter->wire;

	if (wire->cap <= KEEP_BYTES + emitter->flush_bytes * 2)
		return;
	pfree(wire->data);
	wire->data = NULL;
	wire->cap = 0;
}

void
emit_begin(Emitter *emitter)
{
	emitter->wire.len = emitter->complete;
}

void
emit_discard(Emitter *emitter)
{
	emitter->wire.len = emitter->complete = 0;
	give_back(emitter);
}

void
emit_end(Emitter *emitter, LogicalDecodingContext *ctx)
{
	emitter->complete = emitter->wire.len;
	if (emitter->complete > emitter->flush_bytes)
		emit_flush(emitter, ctx);
}

void
emit_flush(Emitter *emitter, LogicalDecodingContext *ctx)
{
	pen_wire_buf *wire = &emitter->wire;

	if (emitter->complete == 0)
		return;
	if (emitter->complete > MaxAllocSize - 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("could not send a change of %zu bytes: a message can have at most 1 GB",
						emitter->complete),
				 errhint("Update such a row in parts.")));
	OutputPluginPrepareWrite(ctx, true);
	appendBinaryStringInfo(ctx->out, (char *) wire->data, (int) emitter->complete);
	OutputPluginWrite(ctx, true);
	emit_discard(emitter);
}
