/* streams.c -- transactions that are still in progress, and prepared ones.
 * The server marks a transaction of which parts were streamed; whether anything of it was really
 * sent is kept in the transaction's output_plugin_private,
 * so that nothing is said of the others. */
#include "postgres.h"

#include "format.h"

#include "access/xact.h"

#include "session.h"
#include "streamed.h"

static bool
was_sent(ReorderBufferTXN *txn)
{
	return compat_top_transaction(txn)->output_plugin_private != NULL;
}

static ProtobufCBinaryData
gid_of(const ReorderBufferTXN *txn)
{
	return (ProtobufCBinaryData){strlen(txn->gid), (uint8_t *) txn->gid};
}

/* lsn: of the record of the prepare or of the commit. */
static void
send_prepared(LogicalDecodingContext *ctx, pen_event_kind kind, ReorderBufferTXN *txn,
			  XLogRecPtr lsn)
{
	Penstock__V1__PreparedTransaction message = PENSTOCK__V1__PREPARED_TRANSACTION__INIT;

	message.xid = txn->xid;
	message.gid = gid_of(txn);
	message.lsn = lsn;
	message.end_lsn = txn->end_lsn;
	message.time = compat_commit_time(txn);
	native_message(ctx, ctx->output_plugin_private, kind, &message.base);
}

/* ---- parts of a stream ---- */

void
stream_begin_part(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn)
{
	Penstock__V1__StreamStart message = PENSTOCK__V1__STREAM_START__INIT;
	ReorderBufferTXN *top = compat_top_transaction(txn);

	message.xid = top->xid;
	message.first = !was_sent(top);
	native_message(ctx, data, PEN_EVENT_STREAM_START, &message.base);
	top->output_plugin_private = data;
	data->part_begun = true;
	data->part_xid = top->xid;
}

static void
start_part(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	data->in_stream = true;
	data->part_begun = false;
	relsync_trim();
	if (!data->options.skip_empty)
		ensure_begun(ctx, data, txn, compat_top_transaction(txn)->xid);
	session_leave(ctx, old_context);
}

static void
stop_part(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	Penstock__V1__StreamStop message = PENSTOCK__V1__STREAM_STOP__INIT;
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	if (data->part_begun)
	{
		native_message(ctx, data, PEN_EVENT_STREAM_STOP, &message.base);
		emit_flush(&data->emitter, ctx);
	}
	data->in_stream = data->part_begun = false;
	session_leave(ctx, old_context);
}

/* ---- the end of streamed transactions ---- */

static void
abort_streamed(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr abort_lsn)
{
	Penstock__V1__StreamAbort message = PENSTOCK__V1__STREAM_ABORT__INIT;
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	if (was_sent(txn))
	{
		message.xid = compat_top_transaction(txn)->xid;
		message.subxid = txn->xid;
		native_message(ctx, data, PEN_EVENT_STREAM_ABORT, &message.base);
		emit_flush(&data->emitter, ctx);
		streamed_forget(data, message.xid, message.subxid);
	}
	session_leave(ctx, old_context);
}

static void
commit_streamed(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	Penstock__V1__StreamCommit message = PENSTOCK__V1__STREAM_COMMIT__INIT;
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	compat_update_progress(ctx, !was_sent(txn));
	if (was_sent(txn))
	{
		streamed_abort_missed(ctx, data, txn->xid);
		message.xid = txn->xid;
		message.commit_lsn = commit_lsn;
		message.end_lsn = txn->end_lsn;
		message.commit_time = compat_commit_time(txn);
		native_message(ctx, data, PEN_EVENT_STREAM_COMMIT, &message.base);
		emit_flush(&data->emitter, ctx);
	}
	session_leave(ctx, old_context);
}

/* A prepared transaction is never left out, since its end comes apart from it. */
static void
prepare_streamed(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr prepare_lsn)
{
	Penstock__V1__StreamStop stop = PENSTOCK__V1__STREAM_STOP__INIT;
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	compat_update_progress(ctx, false);
	if (!was_sent(txn))
	{
		data->in_stream = true;
		ensure_begun(ctx, data, txn, txn->xid);
		native_message(ctx, data, PEN_EVENT_STREAM_STOP, &stop.base);
		data->in_stream = data->part_begun = false;
	}
	streamed_abort_missed(ctx, data, txn->xid);
	send_prepared(ctx, PEN_EVENT_STREAM_PREPARE, txn, prepare_lsn);
	emit_flush(&data->emitter, ctx);
	session_leave(ctx, old_context);
}

/* ---- prepared transactions ---- */

static void
begin_prepared(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	relsync_trim();
	ensure_session(ctx, data);
	send_prepared(ctx, PEN_EVENT_BEGIN_PREPARE, txn, txn->final_lsn);
	data->in_transaction = true;
	session_origin(ctx, data, txn);
	session_leave(ctx, old_context);
}

static void
prepare(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr prepare_lsn)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	compat_update_progress(ctx, false);
	send_prepared(ctx, PEN_EVENT_PREPARE, txn, prepare_lsn);
	emit_flush(&data->emitter, ctx);
	data->in_transaction = false;
	session_leave(ctx, old_context);
}

static void
commit_prepared(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	compat_update_progress(ctx, false);
	ensure_session(ctx, data);
	send_prepared(ctx, PEN_EVENT_COMMIT_PREPARED, txn, commit_lsn);
	emit_flush(&data->emitter, ctx);
	session_leave(ctx, old_context);
}

static void
rollback_prepared(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr prepare_end_lsn,
				  TimestampTz prepare_time)
{
	Penstock__V1__RollbackPrepared message = PENSTOCK__V1__ROLLBACK_PREPARED__INIT;
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	compat_update_progress(ctx, false);
	ensure_session(ctx, data);
	message.xid = txn->xid;
	message.gid = gid_of(txn);
	message.prepare_end_lsn = prepare_end_lsn;
	message.end_lsn = txn->end_lsn;
	message.prepare_time = prepare_time;
	message.rollback_time = compat_commit_time(txn);
	native_message(ctx, data, PEN_EVENT_ROLLBACK_PREPARED, &message.base);
	emit_flush(&data->emitter, ctx);
	session_leave(ctx, old_context);
}

void
streams_register(OutputPluginCallbacks *callbacks)
{
	callbacks->begin_prepare_cb = begin_prepared;
	callbacks->prepare_cb = prepare;
	callbacks->commit_prepared_cb = commit_prepared;
	callbacks->rollback_prepared_cb = rollback_prepared;
	callbacks->stream_start_cb = start_part;
	callbacks->stream_stop_cb = stop_part;
	callbacks->stream_abort_cb = abort_streamed;
	callbacks->stream_commit_cb = commit_streamed;
	callbacks->stream_prepare_cb = prepare_streamed;
}
