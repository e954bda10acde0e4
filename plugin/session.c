/* session.c -- what the callbacks have in common.
 * Nothing is sent before it is needed: a session, transaction or part without events leaves no
 * trace. */
#include "postgres.h"

#include "session.h"
#include "streamed.h"

#include "replication/origin.h"
#include "utils/inval.h"
#include "utils/memutils.h"

MemoryContext
session_enter(LogicalDecodingContext *ctx)
{
	PenstockData *data = ctx->output_plugin_private;

	emit_begin(&data->emitter);
	emit_discard(&data->scratch);
	data->named_count = 0;
	return MemoryContextSwitchTo(data->row_context);
}

void
session_leave(LogicalDecodingContext *ctx, MemoryContext old_context)
{
	PenstockData *data = ctx->output_plugin_private;

	MemoryContextSwitchTo(old_context);
	MemoryContextReset(data->row_context);
}

/* ---- origins ---- */

/* The name of an origin, looked up once. Empty: it has been dropped. */
typedef struct OriginName
{
	bool valid;
	RepOriginId id;
	char name[512];
} OriginName;

static OriginName last_origin;

static void
forget_origin(Datum arg, int cacheid, uint32 hash)
{
	last_origin.valid = false;
}

/* Borrowed until the next call. A transaction must be open. */
static const char *
origin_name(RepOriginId origin)
{
	static bool registered = false;
	char *name;

	if (!registered)
		CacheRegisterSyscacheCallback(REPLORIGIDENT, forget_origin, (Datum) 0);
	registered = true;
	if (!last_origin.valid || last_origin.id != origin)
	{
		if (!replorigin_by_oid(origin, true, &name))
			name = "";
		strlcpy(last_origin.name, name, sizeof(last_origin.name));
		last_origin.id = origin;
		last_origin.valid = true;
	}
	return last_origin.name;
}

bool
session_wants_origin(const PenstockData *data, RepOriginId origin)
{
	if (data->options.all_origins)
		return true;
	if (data->options.origin == NULL)
		return origin == InvalidRepOriginId;
	return origin != InvalidRepOriginId && strcmp(origin_name(origin), data->options.origin) == 0;
}

void
session_origin(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn)
{
	Penstock__V1__Origin message = PENSTOCK__V1__ORIGIN__INIT;
	const char *name;

	if (txn->origin_id == InvalidRepOriginId || !data->format->native ||
		(data->format->narrate == NULL && data->options.protocol < PEN_PROTOCOL_VERSION_EXTENDED))
		return;
	name = origin_name(txn->origin_id);
	message.name.data = (uint8_t *) unconstify(char *, name);
	message.name.len = strlen(name);
	message.lsn = data->in_stream ? InvalidXLogRecPtr : txn->origin_lsn;
	native_message(ctx, data, PEN_EVENT_ORIGIN, &message.base);
}

/* ---- what comes before an event ---- */

void
ensure_session(LogicalDecodingContext *ctx, PenstockData *data)
{
	if (data->session_sent)
		return;
	if (data->format->native)
		native_session(ctx, data);
	data->session_sent = true;
}

void
ensure_begun(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
			 TransactionId xid)
{
	ensure_session(ctx, data);
	if (data->in_stream)
	{
		if (!data->part_begun)
		{
			stream_begin_part(ctx, data, txn);
			session_origin(ctx, data, txn);
		}
		if (data->part_xid != xid)
		{
			native_sub_xact(ctx, data, xid);
			streamed_note(ctx, data, compat_top_transaction(txn)->xid, xid);
		}
		data->part_xid = xid;
	}
	else if (!data->in_transaction)
	{
		data->format->begin(ctx, data, txn);
		data->in_transaction = true;
		session_origin(ctx, data, txn);
	}
}
