/* session.h -- what the callbacks have in common: their memory, and what must have been sent before
 * an event can be. */
#ifndef PENSTOCK_SESSION_H
#define PENSTOCK_SESSION_H

#include "format.h"

/*
 * Around the work of each callback: memory that is reset at its end, and no trace of an event that
 * an error cut off.
 */
extern MemoryContext session_enter(LogicalDecodingContext *ctx);
extern void session_leave(LogicalDecodingContext *ctx, MemoryContext old_context);

/* The Session event has been sent. */
extern void ensure_session(LogicalDecodingContext *ctx, PenstockData *data);

/*
 * All that must have been sent before an event of xid has been: Session, then Begin, or StreamStart
 * and SubXact. txn is its top-level transaction.
 */
extern void ensure_begun(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
						 TransactionId xid);

/* The Origin event of a transaction that has one, after its begin. */
extern void session_origin(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn);

/* Does the option `origin` let changes of this origin through? */
extern bool session_wants_origin(const PenstockData *data, RepOriginId origin);

/* ---- streams.c ---- */

extern void streams_register(OutputPluginCallbacks *callbacks);

/* StreamStart, for a part of which nothing has been sent yet. */
extern void stream_begin_part(LogicalDecodingContext *ctx, PenstockData *data,
							  ReorderBufferTXN *txn);

#endif
