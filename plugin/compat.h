/* compat.h -- every difference between PostgreSQL 14 to 18. No other file tests PG_VERSION_NUM. */
#ifndef PENSTOCK_COMPAT_H
#define PENSTOCK_COMPAT_H

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_publication_rel.h"
#include "replication/logical.h"
#include "replication/output_plugin.h"
#include "replication/reorderbuffer.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#if PG_VERSION_NUM < 140000
#error "PostgreSQL 14 or newer is needed"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#endif

/* The HeapTuple of a change, or NULL. */
static inline HeapTuple
compat_new_tuple(ReorderBufferChange *change)
{
#if PG_VERSION_NUM >= 170000
	return change->data.tp.newtuple;
#else
	return change->data.tp.newtuple != NULL ? &change->data.tp.newtuple->tuple : NULL;
#endif
}

static inline HeapTuple
compat_old_tuple(ReorderBufferChange *change)
{
#if PG_VERSION_NUM >= 170000
	return change->data.tp.oldtuple;
#else
	return change->data.tp.oldtuple != NULL ? &change->data.tp.oldtuple->tuple : NULL;
#endif
}

static inline TimestampTz
compat_commit_time(ReorderBufferTXN *txn) /* or of the prepare, or of its rollback */
{
#if PG_VERSION_NUM >= 150000
	return txn->xact_time.commit_time;
#else
	return txn->commit_time;
#endif
}

static inline void
compat_update_progress(LogicalDecodingContext *ctx, bool skipped)
{
#if PG_VERSION_NUM >= 150000
	OutputPluginUpdateProgress(ctx, skipped);
#else
	OutputPluginUpdateProgress(ctx);
#endif
}

/*
 * A change was not sent. Up to 15 nobody tells the client that we live while many are not; from 16
 * on the server does.
 */
static inline void
compat_change_skipped(LogicalDecodingContext *ctx)
{
#if PG_VERSION_NUM < 160000
	compat_update_progress(ctx, false);
#else
	(void) ctx;
#endif
}

/* 0 where the primary key is deferrable, as for the replica identity. */
static inline Oid
compat_primary_key_index(Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(relation, false);
#else
	return RelationGetPrimaryKeyIndex(relation);
#endif
}

/* The first natts attributes, without defaults; palloc'd. */
static inline TupleDesc
compat_truncated_desc(TupleDesc desc, int natts)
{
#if PG_VERSION_NUM >= 180000
	return CreateTupleDescTruncatedCopy(desc, natts);
#else
	TupleDesc copy = CreateTupleDescCopy(desc);

	copy->natts = natts;
	return copy;
#endif
}

/* Stored nowhere, so that no change carries it. */
static inline bool
compat_is_virtual(Form_pg_attribute attribute)
{
#ifdef ATTRIBUTE_GENERATED_VIRTUAL
	return attribute->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL;
#else
	(void) attribute;
	return false;
#endif
}

/* ---- publications: schemas, column lists and row filters came with 15 ---- */

static inline bool
compat_publishes_schema(Oid publication, Oid schema)
{
#if PG_VERSION_NUM >= 150000
	return SearchSysCacheExists2(PUBLICATIONNAMESPACEMAP, ObjectIdGetDatum(schema),
								 ObjectIdGetDatum(publication));
#else
	(void) publication;
	(void) schema;
	return false;
#endif
}

static inline void
compat_register_publication_schemas(SyscacheCallbackFunction callback)
{
#if PG_VERSION_NUM >= 150000
	CacheRegisterSyscacheCallback(PUBLICATIONNAMESPACEMAP, callback, (Datum) 0);
#else
	(void) callback;
#endif
}

/* Of a tuple from PUBLICATIONRELMAP, an int2vector; false: there is no list. */
static inline bool
compat_publication_columns(HeapTuple tuple, Datum *list)
{
#if PG_VERSION_NUM >= 150000
	bool is_null;

	*list = SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prattrs, &is_null);
	return !is_null;
#else
	(void) tuple;
	(void) list;
	return false;
#endif
}

/* The text of an expression tree; false: there is none. */
static inline bool
compat_publication_row_filter(HeapTuple tuple, Datum *text)
{
#if PG_VERSION_NUM >= 150000
	bool is_null;

	*text = SysCacheGetAttr(PUBLICATIONRELMAP, tuple, Anum_pg_publication_rel_prqual, &is_null);
	return !is_null;
#else
	(void) tuple;
	(void) text;
	return false;
#endif
}

/* With what stands behind virtual generated columns in their place. */
static inline Node *
compat_expand_generated(Node *expression, Relation relation)
{
#if PG_VERSION_NUM >= 180000
	return expand_generated_columns_in_expr(expression, relation, 1);
#else
	(void) relation;
	return expression;
#endif
}

/* ---- streams and prepared transactions ---- */

static inline ReorderBufferTXN *
compat_top_transaction(ReorderBufferTXN *txn)
{
#if PG_VERSION_NUM >= 160000
	return rbtxn_get_toptxn(txn);
#else
	return txn->toptxn != NULL ? txn->toptxn : txn;
#endif
}

static inline void
compat_set_option(const char *name, const char *value, GucAction action)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, action, true, 0, false);
}

#endif
