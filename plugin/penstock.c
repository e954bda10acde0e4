/* penstock.c -- the output plugin: start, end, and the callbacks of committed transactions.
 * Nothing here runs SQL or writes anything but the stream. */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "replication/origin.h"
#include "replication/slot.h"
#include "utils/memutils.h"

#include "decoderbufs.h"
#include "filter.h"
#include "publication.h"
#include "session.h"

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

/* ---- start and end ---- */

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

/* By which name the slot knows this library, without its folder. */
static const char *
library_name(void)
{
	const char *name = MyReplicationSlot != NULL ? NameStr(MyReplicationSlot->data.plugin) : "";
	const char *slash = strrchr(name, '/');

	return slash != NULL ? slash + 1 : name;
}

static const Format *
format_of(const PenstockOptions *options)
{
	switch ((OutputFormat) options->format)
	{
		case OUTPUT_JSON:
			return &format_json;
		case OUTPUT_TEXT:
			return &format_text;
		case OUTPUT_DECODERBUFS:
			return &format_decoderbufs;
		case OUTPUT_NATIVE:
			break;
	}
	return &format_native;
}

/* What only this server, database and slot can tell of the options. */
static void
check_options(const PenstockOptions *options)
{
	if (options->two_phase && !MyReplicationSlot->data.two_phase)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("option \"two_phase\" is on, but replication slot \"%s\" was not "
							   "created for two-phase decoding",
							   NameStr(MyReplicationSlot->data.name)),
						errhint("Create the slot with two-phase enabled, or leave the option "
								"out.")));
	/* Send functions convert texts to the client's encoding. */
	if (options->binary_values &&
		(GetDatabaseEncoding() == PG_SQL_ASCII || pg_get_client_encoding() != PG_UTF8))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("option \"values\" cannot be \"binary\" in a database with encoding %s for "
						"a client with encoding %s",
						GetDatabaseEncodingName(), pg_get_client_encoding_name()),
				 errhint("Set client_encoding to UTF8, or use text values; a database with "
						 "encoding SQL_ASCII can only be read with text values.")));
}

static const Penstock__V1__Relation *
find_named_relation(void *arg, uint32 number)
{
	PenstockData *data = arg;

	for (int i = 0; i < data->named_count; i++)
	{
		if (data->named[i]->number == number)
			return relsync_message(data->named[i]);
	}
	return NULL;
}

static void
init_buffers(LogicalDecodingContext *ctx, PenstockData *data)
{
	MemoryContext context =
		AllocSetContextCreate(ctx->context, "penstock buffer", ALLOCSET_DEFAULT_SIZES);

	data->row_context = AllocSetContextCreate(ctx->context, "penstock row", ALLOCSET_DEFAULT_SIZES);
	emit_init(&data->emitter, context, data->options.batch_bytes);
	emit_init(&data->scratch, context, 0);
	emit_init(&data->printed, context, 0);
	data->events = data->format->narrate != NULL ? &data->scratch.wire : &data->emitter.wire;
	data->narrator.allocator = &render_allocator;
	data->narrator.find_relation = find_named_relation;
	data->narrator.arg = data;
	data->is_utf8 = GetDatabaseEncoding() == PG_UTF8;
}

static void
start_decoding(LogicalDecodingContext *ctx, OutputPluginOptions *out, bool is_init)
{
	PenstockData *data = palloc0(sizeof(*data));

	ctx->output_plugin_private = data;
	/* A slot is being created: there are no options, and nothing is decoded. */
	if (is_init)
	{
		out->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
		ctx->streaming = ctx->twophase = false;
		if (options_as_decoderbufs(library_name()))
			decoderbufs_greet(NULL);
		return;
	}
	options_parse(&data->options, ctx->output_plugin_options, library_name());
	check_options(&data->options);
	data->format = format_of(&data->options);
	out->output_type = data->format->binary && !data->options.debug_mode
						   ? OUTPUT_PLUGIN_BINARY_OUTPUT
						   : OUTPUT_PLUGIN_TEXTUAL_OUTPUT;
	out->receive_rewrites = false;
	/* The callbacks being there turned both on; the slot has its own say about the second. */
	ctx->streaming &= data->options.streaming;
	ctx->twophase &= data->options.two_phase;
	init_buffers(ctx, data);
	relsync_init(ctx->context, &data->options);
	publication_init(ctx->context, data->options.publications);
	if (!data->format->session_settings)
		data->guc_level = pin_settings();
	if (data->format == &format_decoderbufs)
		decoderbufs_greet(ctx->output_plugin_options);
}

static void
stop_decoding(LogicalDecodingContext *ctx)
{
	PenstockData *data = ctx->output_plugin_private;

	if (data->guc_level != 0)
		AtEOXact_GUC(true, data->guc_level);
}

static bool
is_unwanted_origin(LogicalDecodingContext *ctx, RepOriginId origin)
{
	PenstockData *data = ctx->output_plugin_private;

	/* No catalog can be asked here: a wanted name is compared with each change. */
	return !data->options.all_origins && data->options.origin == NULL &&
		   origin != InvalidRepOriginId;
}

/* ---- rows ---- */

static void
reserve_values(LogicalDecodingContext *ctx, PenstockData *data, int natts)
{
	RowValues *rows[] = {&data->new_row, &data->old_row};

	if (natts <= data->value_capacity)
		return;
	data->value_capacity = 0;
	for (int i = 0; i < lengthof(rows); i++)
	{
		if (rows[i]->values != NULL)
		{
			pfree(rows[i]->values);
			pfree(rows[i]->nulls);
		}
		rows[i]->values = NULL;
		rows[i]->nulls = MemoryContextAlloc(ctx->context, sizeof(bool) * natts);
		rows[i]->values = MemoryContextAlloc(ctx->context, sizeof(Datum) * natts);
	}
	data->value_capacity = natts;
}

static ChangeAction
action_of(const ReorderBufferChange *change)
{
	switch (change->action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			return ACTION_INSERT;
		case REORDER_BUFFER_CHANGE_UPDATE:
			return ACTION_UPDATE;
		case REORDER_BUFFER_CHANGE_DELETE:
			return ACTION_DELETE;
		default:
			elog(ERROR, "unexpected change action %d", (int) change->action);
	}
}

/* Of a key only the columns up to its last one:
 * who wants more of an old row must not ask for it. */
static void
deform(PenstockData *data, RelationEntry *entry, Relation relation, ReorderBufferChange *change,
	   RowChange *row)
{
	HeapTuple new_tuple = compat_new_tuple(change);
	HeapTuple old_tuple = compat_old_tuple(change);

	if (new_tuple != NULL && row->action != ACTION_DELETE)
	{
		row->new_row = data->new_row;
		heap_deform_tuple(new_tuple, RelationGetDescr(relation), row->new_row.values,
						  row->new_row.nulls);
	}
	if (old_tuple != NULL && row->action != ACTION_INSERT)
	{
		row->old_row = data->old_row;
		heap_deform_tuple(old_tuple,
						  entry->key_desc != NULL && data->format->native
							  ? entry->key_desc
							  : RelationGetDescr(relation),
						  row->old_row.values, row->old_row.nulls);
	}
}

/* The entry's description has been sent. */
static void
ensure_described(LogicalDecodingContext *ctx, PenstockData *data, RelationEntry *entry)
{
	if (entry->sent || !data->format->native)
		return;
	native_relation(ctx, data, entry);
	entry->sent = true;
}

/* False: the change is not sent. */
static bool
send_row(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation,
		 ReorderBufferChange *change)
{
	PenstockData *data = ctx->output_plugin_private;
	RowChange row = {action_of(change)};
	RelationEntry *entry;
	RelationEntry *described;

	if (!session_wants_origin(data, change->origin_id))
		return false;
	entry = relsync_get(relation);
	if ((entry->actions & ACTION_BIT(row.action)) == 0)
		return false;
	reserve_values(ctx, data, RelationGetDescr(relation)->natts);
	deform(data, entry, relation, change, &row);
	if (entry->row_filter != NULL && !row_filter_passes(entry->row_filter, &row))
		return false;
	ensure_begun(ctx, data, txn, change->txn->xid);
	described = relsync_described_by(entry);
	ensure_described(ctx, data, described);
	data->named = &described;
	data->named_count = 1;
	data->format->change(ctx, data, txn, entry, relation, &row);
	data->named_count = 0;
	return true;
}

static void
change_row(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation,
		   ReorderBufferChange *change)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	if (!send_row(ctx, txn, relation, change) && ++data->skipped_changes >= SKIPPED_CHANGES_MAX)
	{
		compat_change_skipped(ctx);
		data->skipped_changes = 0;
	}
	session_leave(ctx, old_context);
}

static void
change_truncate(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int count, Relation relations[],
				ReorderBufferChange *change)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);
	RelationEntry **entries = palloc(sizeof(RelationEntry *) * Max(count, 1));
	int sent = 0;

	for (int i = 0; i < count && data->format->native; i++)
	{
		RelationEntry *entry;

		if (!session_wants_origin(data, change->origin_id))
			break;
		entry = relsync_get(relations[i]);
		/* Of a partition that goes under an ancestor's name:
		 * only that one's own truncate counts. */
		if ((entry->actions & ACTION_BIT(ACTION_TRUNCATE)) == 0 || entry->send_as != entry->relid)
			continue;
		ensure_begun(ctx, data, txn, change->txn->xid);
		ensure_described(ctx, data, entry);
		entries[sent++] = entry;
	}
	data->named = entries;
	data->named_count = sent;
	if (sent > 0)
		native_truncate(ctx, data, entries, sent, change->data.truncate.cascade,
						change->data.truncate.restart_seqs);
	data->named_count = 0;
	session_leave(ctx, old_context);
}

/* ---- transactions and messages ---- */

static void
begin_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	data->in_transaction = false;
	relsync_trim();
	if (!data->options.skip_empty)
		ensure_begun(ctx, data, txn, txn->xid);
	session_leave(ctx, old_context);
}

static void
commit_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context = session_enter(ctx);

	compat_update_progress(ctx, !data->in_transaction);
	if (data->in_transaction)
	{
		data->format->commit(ctx, data, txn, commit_lsn);
		emit_flush(&data->emitter, ctx);
	}
	data->in_transaction = false;
	session_leave(ctx, old_context);
}

/* In a stream only the mark for concurrent aborts tells of which sub-transaction it is; that of
 * one which has committed may count as the top-level transaction's own. */
static TransactionId
message_xid(const PenstockData *data, ReorderBufferTXN *txn)
{
	return data->in_stream && TransactionIdIsValid(CheckXidAlive) ? CheckXidAlive : txn->xid;
}

/*
 * A message that is not transactional comes between transactions, with txn NULL perhaps and in no
 * state to ask a catalog. Whose it is cannot be told then, so a wanted origin leaves it out.
 */
static void
logical_message(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr message_lsn,
				bool transactional, const char *prefix, Size size, const char *content)
{
	Penstock__V1__Message message = PENSTOCK__V1__MESSAGE__INIT;
	PenstockData *data = ctx->output_plugin_private;
	MemoryContext old_context;

	if (!filter_message(&data->options, prefix))
		return;
	if (transactional ? !session_wants_origin(data, txn->origin_id) : data->options.origin != NULL)
		return;
	old_context = session_enter(ctx);
	if (transactional)
		ensure_begun(ctx, data, txn, message_xid(data, txn));
	else
		ensure_session(ctx, data);
	message.lsn = message_lsn;
	message.transactional = transactional;
	message.prefix.data = (uint8_t *) unconstify(char *, prefix);
	message.prefix.len = strlen(prefix);
	message.content.data = (uint8_t *) unconstify(char *, content);
	message.content.len = size;
	native_message(ctx, data, PEN_EVENT_MESSAGE, &message.base);
	if (!transactional)
		emit_flush(&data->emitter, ctx);
	session_leave(ctx, old_context);
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	AssertVariableIsOfType(&_PG_output_plugin_init, LogicalOutputPluginInit);

	callbacks->startup_cb = start_decoding;
	callbacks->shutdown_cb = stop_decoding;
	callbacks->filter_by_origin_cb = is_unwanted_origin;
	callbacks->begin_cb = begin_transaction;
	callbacks->change_cb = change_row;
	callbacks->truncate_cb = change_truncate;
	callbacks->message_cb = logical_message;
	callbacks->commit_cb = commit_transaction;
	callbacks->stream_change_cb = change_row;
	callbacks->stream_truncate_cb = change_truncate;
	callbacks->stream_message_cb = logical_message;
	streams_register(callbacks);
}
