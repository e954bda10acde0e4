/* format.h -- the interface of an output format: what a transaction's parts become.
 * A format appends to the emitter; the callbacks in penstock.c and streams.c decide when it is
 * asked, and flush. */
#ifndef PENSTOCK_FORMAT_H
#define PENSTOCK_FORMAT_H

#include "change.h"
#include "emit.h"
#include "render.h"
#include "options.h"
#include "relsync.h"

/*
 * What the callbacks of one decoding context share.
 *
 * Begin and StreamStart are written before the first event that needs them, so that a transaction
 * or part of which nothing is sent leaves no trace. in_transaction: Begin (or BeginPrepare) has
 * been written and its end has not. in_stream: between the server's stream_start and stream_stop;
 * part_begun: StreamStart has been written for it.
 */
typedef struct PenstockData
{
	MemoryContext row_context; /* reset after each change */
	PenstockOptions options;
	const struct Format *format;
	Emitter emitter;
	bool session_sent;
	bool in_transaction;
	bool in_stream;
	bool part_begun;
	TransactionId part_xid; /* whose changes follow, as the client knows it */
	HTAB *streamed;         /* sub-transactions of which changes were streamed; see streamed.h */
	bool is_utf8;           /* the database's encoding */
	int skipped_changes;    /* since the client was last told that we live */
	int guc_level;          /* to restore at the end, or 0 */
	RowValues new_row;      /* room for a change */
	RowValues old_row;
	int value_capacity;
	Emitter printed; /* used as a buffer only, for the text of one value */

	/* Formats that render the native one: its events are written here and read back. */
	pen_wire_buf *events; /* otherwise that of the emitter */
	Emitter scratch;
	pen_narrator narrator;
	RelationEntry *const *named; /* the entries that the present event names */
	int named_count;
} PenstockData;

/* Each function appends whole events, one emit_end each. */
typedef struct Format
{
	const char *name;
	bool binary; /* output_type */
	bool native; /* has all events of the native format: of those below that are NULL too */
	bool session_settings; /* texts follow the settings of the session; else they are pinned */
	pen_narrate_function
		narrate; /* native: what becomes of each event; NULL: it is sent as it is */
	void (*begin)(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn);
	void (*commit)(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
				   XLogRecPtr commit_lsn);
	void (*change)(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
				   RelationEntry *entry, Relation relation, const RowChange *change);
} Format;

extern const Format format_native;
extern const Format format_json;
extern const Format format_text;
extern const Format format_decoderbufs;

/* ---- native.c: the events that only native formats have ---- */

extern void native_begin(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn);
extern void native_commit(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
						  XLogRecPtr commit_lsn);
/* entry is the one that relsync_described_by gave. */
extern void native_change(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
						  RelationEntry *entry, Relation relation, const RowChange *change);
extern void native_session(LogicalDecodingContext *ctx, PenstockData *data);
extern void native_relation(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry);
extern void native_truncate(LogicalDecodingContext *ctx, PenstockData *data,
							RelationEntry *const *entries, int count, bool cascade,
							bool restart_identity);
extern void native_sub_xact(LogicalDecodingContext *ctx, PenstockData *data, TransactionId xid);

/* Any other event, from its message. */
extern void native_message(LogicalDecodingContext *ctx, PenstockData *data, pen_event_kind kind,
						   const ProtobufCMessage *message);

#endif
