/* relsync.c -- per-relation cache.
 * Invalidation callbacks cannot be unregistered and may come at any time: they only mark entries,
 * and tolerate that the cache is gone. Everything that needs a catalog is done when an entry is
 * built, under the historic snapshot, so that no row needs one. */
#include "postgres.h"

#include "relsync.h"

#include "access/htup_details.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "describe.h"
#include "filter.h"

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL; /* its memory */
static uint32 last_number = 0;
static long trim_at;

/* So many entries are kept, whatever became of their relations. */
#define KEEP_ENTRIES 1024

/* ---- invalidation ---- */

static void
invalidate_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS scan;
	RelationEntry *entry;

	if (cache == NULL)
		return;
	if (OidIsValid(relid))
	{
		entry = hash_search(cache, &relid, HASH_FIND, NULL);
		if (entry != NULL)
		{
			entry->valid = false;
			entry->touched = true;
		}
		return;
	}
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->valid = false;
}

static void
invalidate_all(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidate_relation(arg, InvalidOid);
}

/* The memory of a cache goes: forget it. After an error, it may be one from before the present. */
static void
forget_cache(void *context)
{
	if (cache_context != context)
		return;
	cache = NULL;
	cache_context = NULL;
}

void
relsync_init(MemoryContext context)
{
	static bool registered = false;
	MemoryContextCallback *callback;
	HASHCTL control;

	cache_context = AllocSetContextCreate(context, "penstock relations", ALLOCSET_DEFAULT_SIZES);
	callback = MemoryContextAllocZero(cache_context, sizeof(*callback));
	callback->func = forget_cache;
	callback->arg = cache_context;
	MemoryContextRegisterResetCallback(cache_context, callback);
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RelationEntry);
	control.hcxt = cache_context;
	cache = hash_create("penstock relations", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	last_number = 0;
	trim_at = KEEP_ENTRIES;
	if (registered)
		return;
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_all, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, invalidate_all, (Datum) 0);
	registered = true;
}

/* ---- building an entry ---- */

static void
build_encoder(ColumnEncoder *encoder, Form_pg_attribute attribute, int identity)
{
	Oid base_type = getBaseType(attribute->atttypid);
	Oid output;
	bool is_varlena;

	encoder->attribute = attribute->attnum - 1;
	encoder->encoding = pen_type_encoding(base_type);
	encoder->varlena = attribute->attlen == -1;
	encoder->key = identity > 0;
	encoder->int2 = base_type == INT2OID;
	encoder->int4 = base_type == INT4OID;
	if (encoder->encoding != PEN_ENCODING_OUTPUT)
		return;
	getTypeOutputInfo(attribute->atttypid, &output, &is_varlena);
	fmgr_info_cxt(output, &encoder->output, CurrentMemoryContext);
}

/* Everything but sent and number; what lasts in the entry's own context, what does not in the
 * caller's, which is reset after each change. */
static void
build_entry(RelationEntry *entry, Relation relation)
{
	TupleDesc desc = RelationGetDescr(relation);
	RelationDescription described;
	MemoryContext old_context;

	describe_relation(&described, relation);
	old_context = MemoryContextSwitchTo(entry->context);
	entry->filtered = !filter_relation(relation);
	entry->full = relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
	entry->columns = palloc0(sizeof(ColumnEncoder) * Max(described.column_count, 1));
	entry->column_count = described.column_count;
	for (int i = 0; i < described.column_count; i++)
		build_encoder(&entry->columns[i], TupleDescAttr(desc, described.attributes[i]),
					  described.identity[i]);
	entry->description = palloc(Max(described.packed_len, 1));
	entry->description_len = described.packed_len;
	memcpy(entry->description, described.packed, described.packed_len);
	entry->row_guess = 64;
	MemoryContextSwitchTo(old_context);
}

static bool
same_description(const RelationEntry *a, const RelationEntry *b)
{
	return a->description_len == b->description_len &&
		   memcmp(a->description, b->description, a->description_len) == 0;
}

/* Build anew; what was sent stays sent where nothing really changed. */
static void
rebuild_entry(RelationEntry *entry, Relation relation)
{
	RelationEntry fresh;

	memset(&fresh, 0, sizeof(fresh));
	fresh.relid = entry->relid;
	fresh.context = AllocSetContextCreate(cache_context, "penstock relation", ALLOCSET_SMALL_SIZES);
	/* An error in here leaves a context behind, until the cache goes: no more than that. */
	build_entry(&fresh, relation);
	if (entry->context != NULL && same_description(entry, &fresh))
	{
		fresh.sent = entry->sent;
		fresh.number = entry->number;
	}
	else
		fresh.number = ++last_number;
	if (entry->context != NULL)
		MemoryContextDelete(entry->context);
	*entry = fresh;
}

void
relsync_trim(void)
{
	HASH_SEQ_STATUS scan;
	RelationEntry *entry;

	if (hash_get_num_entries(cache) < trim_at)
		return;
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		if (!entry->touched)
			continue;
		if (entry->context != NULL)
			MemoryContextDelete(entry->context);
		(void) hash_search(cache, &entry->relid, HASH_REMOVE, NULL);
	}
	trim_at = Max(KEEP_ENTRIES, 2 * hash_get_num_entries(cache));
}

RelationEntry *
relsync_get(Relation relation)
{
	Oid relid = RelationGetRelid(relation);
	bool found;
	RelationEntry *entry = hash_search(cache, &relid, HASH_ENTER, &found);

	if (!found)
	{
		memset(entry, 0, sizeof(*entry));
		entry->relid = relid;
	}
	if (!entry->valid)
	{
		/*
		 * An invalidation that comes while building concerns a catalog that the historic snapshot
		 * does not see yet, or comes again before the row that follows it.
		 */
		rebuild_entry(entry, relation);
		entry->valid = true;
	}
	return entry;
}
