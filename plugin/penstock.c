/* penstock.c -- the output plugin: callbacks, and when a format is asked for what.
 * Nothing here runs SQL or writes anything but the stream. */
#include "postgres.h"

#include "access/xact.h"
#include "commands/defrem.h"
#include "replication/slot.h"
#include "utils/memutils.h"

#include "filter.h"
#include "format.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "penstock", .version = PENSTOCK_VERSION);
#else
PG_MODULE_MAGIC;
#endif

extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/* After so many changes that are not sent the client is told that we live. */
#define SKIPPED_CHANGES_MAX 100

/* Output functions follow these; a stream must not depend on whose session it is. */
static const char *const pinned_settings[][2] = {
	{"DateStyle", "ISO, YMD"},        {"IntervalStyle", "postgres"}, {"extra_float_digits", "1"},
	{"bytea_output", "hex"},          {"TimeZone", "UTC"},           {"search_path", "pg_catalog"},
	{"quote_all_identifiers", "off"}, {"lc_monetary", "C"},
};

/*
 * In a walsender nothing else runs in the session, so it keeps them. In the SQL interface they are
 * undone at the end of decoding, or by the transaction when an error ends it.
 */
static int
pin_settings(void)
{
	bool inside = IsTransactionState();
	int level = inside ? NewGUCNestLevel() : 0;

	for (int i = 0; i < lengthof(pinned_settings); i++)
		compat_set_option(pinned_settings[i][0], pinned_settings[i][1],
						  inside ? GUC_ACTION_SAVE : GUC_ACTION_SET);
	return level;
}

static void
start_decoding(LogicalDecodingContext *ctx, OutputPluginOptions *out, bool is_init)
{
	PenstockData *data = palloc0(sizeof(*data));

	ctx->output_plugin_private = data;
	data->format = &native_format;
	{
		ListCell *cell;
		List *rest = NIL;
		bool named = strcmp(NameStr(MyReplicationSlot->data.plugin), "decoderbufs") == 0;

		if (named)
			data->format = &decoderbufs_format;
		foreach (cell, ctx->output_plugin_options)
		{
			DefElem *e = lfirst(cell);

			if (strcmp(e->defname, "format") == 0)
				data->format = &decoderbufs_format;
			else if (strcmp(e->defname, "debug-mode") == 0)
			{
				data->options.debug_mode = defGetBoolean(e);
				elog(NOTICE, "Decoderbufs DEBUG MODE is %s.", data->options.debug_mode ? "ON" : "OFF");
			}
			else if (named)
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("option \"%s\" = \"%s\" is unknown", e->defname,
									   e->arg ? strVal(e->arg) : "(null)")));
			else
				rest = lappend(rest, e);
		}
		ctx->output_plugin_options = rest;
		if (data->format == &decoderbufs_format)
			elog(INFO, "Exiting startup callback");
	}
	out->output_type =
		data->format->binary && !data->options.debug_mode ? OUTPUT_PLUGIN_BINARY_OUTPUT : OUTPUT_PLUGIN_TEXTUAL_OUTPUT;
	out->receive_rewrites = false;
	ctx->streaming = false;
	/* A slot is being created: there are no options, and nothing is decoded. */
	if (is_init)
		return;
	int debug = data->options.debug_mode;
	options_parse(&data->options, ctx->output_plugin_options);
	data->options.debug_mode = debug;
	data->row_context = AllocSetContextCreate(ctx->context, "penstock row", ALLOCSET_DEFAULT_SIZES);
	emit_init(&data->emitter,
			  AllocSetContextCreate(ctx->context, "penstock buffer", ALLOCSET_DEFAULT_SIZES),
			  data->options.batch_bytes);
	relsync_init(ctx->context);
	if (data->format != &decoderbufs_format)
		data->guc_level = pin_settings();
}

static void
stop_decoding(LogicalDecodingContext *ctx)
{
	PenstockData *data = ctx->output_plugin_private;

	if (data->guc_level != 0)
		AtEOXact_GUC(true, data->guc_level);
}

/* ---- what comes before a change ---- */

static void
reserve_values(PenstockData *data, LogicalDecodingContext *ctx, int natts)
{
	if (natts <= data->value_capacity)
		return;
	if (data->values != NULL)
	{
		pfree(data->values);
		pfree(data->nulls);
	}
	data->value_capacity = 0;
	data->values = MemoryContextAlloc(ctx->context, sizeof(Datum) * natts);
	data->nulls = MemoryContextAlloc(ctx->context, sizeof(bool) * natts);
	data->value_capacity = natts;
}

static void
ensure_begun(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn)
{
	if (!data->session_sent && data->format->session)
	{
		data->format->session(ctx, data);
		data->session_sent = true;
	}
	if (!data->in_transaction)
	{
		data->format->begin(ctx, data, txn);
		data->in_transaction = true;
	}
}

/* The relation's entry, all that comes before a change to it sent; NULL: it is not replicated. */
static RelationEntry *
ensure_described(LogicalDecodingContext *ctx, PenstockData *data, ReorderBufferTXN *txn,
				 Relation relation)
{
	RelationEntry *entry = relsync_get(relation);

	if (entry->filtered && data->format != &decoderbufs_format)
		return NULL;
	ensure_begun(ctx, data, txn);
	if (!entry->sent && data->format->relation)
	{
		data->format->relation(ctx, data, entry);
		entry->sent = true;
	}
	return entry;
}

/* ---- callbacks ---- */

static void
count_skipped(LogicalDecodingContext *ctx, PenstockData *data)
{
	if (++data->skipped_changes < SKIPPED_CHANGES_MAX)
		return;
	compat_change_skipped(ctx);
	data->skipped_changes = 0;
}

/* Begin is written before the first change that is sent: a transaction without any leaves no trace. */
static void
begin_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	PenstockData *data = ctx->output_plugin_private;

	emit_begin(&data->emitter);
	data->in_transaction = false;
	relsync_trim();
	if (data->format == &decoderbufs_format)
		ensure_begun(ctx, data, txn);
}

static void
change_row(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation,
		   ReorderBufferChange *change)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = MemoryContextSwitchTo(data->row_context);
	RelationEntry *entry;

	emit_begin(&data->emitter);
	entry = ensure_described(ctx, data, txn, relation);
	if (entry != NULL)
	{
		reserve_values(data, ctx, RelationGetDescr(relation)->natts);
		data->format->change(ctx, data, entry, relation, change);
	}
	else
		count_skipped(ctx, data);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(data->row_context);
}

static void
change_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int count, Relation relations[],
				ReorderBufferChange *change)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = MemoryContextSwitchTo(data->row_context);
	RelationEntry **entries = palloc(sizeof(RelationEntry *) * Max(count, 1));
	int described = 0;

	emit_begin(&data->emitter);
	if (!data->format->truncate)
		count = 0;
	for (int i = 0; i < count; i++)
	{
		RelationEntry *entry = ensure_described(ctx, data, txn, relations[i]);

		if (entry != NULL)
			entries[described++] = entry;
	}
	if (described > 0)
		data->format->truncate(ctx, data, entries, described, change);
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(data->row_context);
}

static void
commit_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	PenstockData *data = ctx->output_plugin_private;

	compat_update_progress(ctx, !data->in_transaction);
	emit_begin(&data->emitter);
	if (!data->in_transaction)
		return;
	data->format->commit(ctx, data, txn, commit_lsn);
	emit_flush(&data->emitter, ctx);
	data->in_transaction = false;
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	AssertVariableIsOfType(&_PG_output_plugin_init, LogicalOutputPluginInit);

	callbacks->startup_cb = start_decoding;
	callbacks->shutdown_cb = stop_decoding;
	callbacks->begin_cb = begin_transaction;
	callbacks->change_cb = change_row;
	callbacks->truncate_cb = change_truncate;
	callbacks->commit_cb = commit_transaction;
}
