/* format.h -- the interface of an output format: what a transaction's parts become.
 * A format appends to the emitter; penstock.c decides when it is asked and flushes. */
#ifndef PENSTOCK_FORMAT_H
#define PENSTOCK_FORMAT_H

#include "emit.h"
#include "options.h"
#include "relsync.h"

/* What the callbacks of one decoding context share. */
typedef struct PenstockData
{
	MemoryContext row_context; /* reset after each change */
	PenstockOptions options;
	const struct Format *format;
	Emitter emitter;
	bool session_sent;
	bool in_transaction; /* its Begin has been written */
	int skipped_changes; /* since the client was last told that we live */
	int guc_level;       /* to restore at the end, or 0 */
	Datum *values;       /* of a deformed tuple */
	bool *nulls;
	int value_capacity;
} PenstockData;

/* Each function appends whole events, one emit_end each. Tuples may be NULL. */
typedef struct Format
{
	const char *name;
	bool binary; /* output_type */
	void (*session)(LogicalDecodingContext *ctx, PenstockData *data);
	void (*begin)(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn);
	void (*commit)(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
				   XLogRecPtr commit_lsn);
	void (*relation)(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry);
	void (*change)(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry,
				   Relation relation, ReorderBufferChange *change);
	void (*truncate)(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *const *entries,
					 int count, ReorderBufferChange *change);
} Format;

extern const Format native_format;
extern const Format decoderbufs_format;

#endif
