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
#include "publication.h"

static HTAB *cache = NULL;
static MemoryContext cache_context = NULL; /* its memory */
static const PenstockOptions *cache_options = NULL;
/* Found lately, by the last bits of their oid: rows of a few relations come together. */
#define RECENT_ENTRIES 16
static RelationEntry *recent_entries[RECENT_ENTRIES];
static uint32 last_number = 0;
static uint32 last_build = 0;
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

/* A row of pg_namespace or pg_type: only entries that were built from it are concerned. Each
 * CREATE TABLE comes here, with its row type. */
static void
invalidate_by_hash(Datum arg, int cacheid, uint32 hash)
{
	HASH_SEQ_STATUS scan;
	RelationEntry *entry;

	if (cache == NULL)
		return;
	hash_seq_init(&scan, cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		bool concerned = hash == 0;

		for (int i = 0; entry->valid && !concerned && i < entry->catalog_hash_count; i++)
			concerned = entry->catalog_hashes[i] == hash;
		if (concerned)
			entry->valid = false;
	}
}

static void
invalidate_publications(Datum arg, int cacheid, uint32 hash)
{
	if (cache == NULL || cache_options->publications == NIL)
		return;
	publication_invalidate();
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
	cache_options = NULL;
	memset(recent_entries, 0, sizeof(recent_entries));
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	CacheRegisterRelcacheCallback(invalidate_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, invalidate_by_hash, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, invalidate_by_hash, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONOID, invalidate_publications, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONRELMAP, invalidate_publications, (Datum) 0);
	compat_register_publication_schemas(invalidate_publications);
	registered = true;
}

void
relsync_init(MemoryContext context, const PenstockOptions *options)
{
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
	cache_options = options;
	memset(recent_entries, 0, sizeof(recent_entries));
	last_number = 0;
	trim_at = KEEP_ENTRIES;
	register_callbacks();
}

/* ---- building an entry ---- */

static void
build_encoder(ColumnEncoder *encoder, Form_pg_attribute attribute, const DescribedColumn *column)
{
	Oid function;
	bool is_varlena;

	encoder->attribute = column->attribute;
	encoder->encoding = column->encoding;
	encoder->varlena = attribute->attlen == -1;
	encoder->key = column->identity > 0;
	encoder->int2 = column->base_type == INT2OID;
	encoder->int4 = column->base_type == INT4OID;
	if (encoder->encoding == PEN_ENCODING_OUTPUT)
		outtext_init(&encoder->text, column->type);
	else if (encoder->encoding == PEN_ENCODING_BINARY)
	{
		getTypeBinaryOutputInfo(column->base_type, &function, &is_varlena);
		fmgr_info_cxt(function, &encoder->send, CurrentMemoryContext);
	}
}

/* Of the catalog rows whose change does not invalidate the relation itself: schemas and types. */
static void
remember_catalogs(RelationEntry *entry, const RelationDescription *described, Relation relation,
				  Relation target)
{
	int n = 0;

	entry->catalog_hashes =
		MemoryContextAlloc(entry->context, sizeof(uint32) * (2 + 3 * described->column_count));
	entry->catalog_hashes[n++] =
		GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(RelationGetNamespace(relation)));
	entry->catalog_hashes[n++] =
		GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(RelationGetNamespace(target)));
	for (int i = 0; i < described->column_count; i++)
	{
		entry->catalog_hashes[n++] =
			GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(described->columns[i].type));
		entry->catalog_hashes[n++] =
			GetSysCacheHashValue1(TYPEOID, ObjectIdGetDatum(described->columns[i].base_type));
		entry->catalog_hashes[n++] = GetSysCacheHashValue1(
			NAMESPACEOID, ObjectIdGetDatum(described->columns[i].type_schema));
	}
	entry->catalog_hash_count = n;
}

/* NULL: old rows are needed as a whole. */
static TupleDesc
key_desc(const RelationEntry *entry, TupleDesc desc)
{
	int width = 0;

	for (int i = 0; i < entry->column_count; i++)
	{
		if (entry->columns[i].key)
			width = Max(width, entry->columns[i].attribute + 1);
	}
	if (entry->full || entry->row_filter != NULL || width == 0)
		return NULL;
	return compat_truncated_desc(desc, width);
}

/* Everything but sent and number; what lasts in the entry's own context, what does not in the
 * caller's, which is reset after each change. */
static void
build_from(RelationEntry *entry, const SentRelation *sent, Relation relation, Relation target)
{
	RelationDescription described;
	MemoryContext old_context;
	bool filters_rows = false;

	memset(&described, 0, sizeof(described));
	if (sent->actions != 0)
		describe_relation(&described, cache_options, sent, relation, target);
	remember_catalogs(entry, &described, relation, target);
	old_context = MemoryContextSwitchTo(entry->context);
	entry->full = relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
	entry->columns = palloc0(sizeof(ColumnEncoder) * Max(described.column_count, 1));
	entry->column_count = described.column_count;
	for (int i = 0; i < described.column_count; i++)
		build_encoder(&entry->columns[i],
					  TupleDescAttr(RelationGetDescr(relation), described.columns[i].attribute),
					  &described.columns[i]);
	for (int action = 0; action < ROW_ACTION_COUNT; action++)
		filters_rows |= sent->row_filters[action] != NULL;
	if (filters_rows && sent->actions != 0)
	{
		int natts = RelationGetDescr(target)->natts;
		int *source = palloc(sizeof(int) * Max(natts, 1));

		memcpy(source, described.source, sizeof(int) * natts);
		entry->row_filter = row_filter_new(sent, RelationGetDescr(target), source);
	}
	entry->key_desc = key_desc(entry, RelationGetDescr(relation));
	entry->description = palloc(Max(described.packed_len, 1));
	entry->description_len = described.packed_len;
	if (described.packed_len > 0)
		memcpy(entry->description, described.packed, described.packed_len);
	entry->row_guess = 64;
	MemoryContextSwitchTo(old_context);
}

static void
build_entry(RelationEntry *entry, Relation relation)
{
	SentRelation sent;

	filter_relation(cache_options, relation, &sent);
	entry->actions = sent.actions;
	entry->send_as = sent.send_as;
	entry->build = ++last_build;
	if (sent.send_as == RelationGetRelid(relation))
		build_from(entry, &sent, relation, relation);
	else
	{
		Relation target = RelationIdGetRelation(sent.send_as);

		if (!RelationIsValid(target))
			elog(ERROR, "could not open relation with OID %u", sent.send_as);
		build_from(entry, &sent, relation, target);
		RelationClose(target);
	}
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
	/* Until it is whole it belongs to the change, so that an error takes it away. */
	fresh.context =
		AllocSetContextCreate(CurrentMemoryContext, "penstock relation", ALLOCSET_SMALL_SIZES);
	build_entry(&fresh, relation);
	MemoryContextSetParent(fresh.context, cache_context);
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
	memset(recent_entries, 0, sizeof(recent_entries));
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

static RelationEntry *
find_entry(Oid relid)
{
	RelationEntry **recent = &recent_entries[relid % RECENT_ENTRIES];
	bool found;
	RelationEntry *entry;

	if (*recent != NULL && (*recent)->relid == relid)
		return *recent;
	entry = hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		memset(entry, 0, sizeof(*entry));
		entry->relid = relid;
	}
	*recent = entry;
	return entry;
}

/* The entry of an ancestor, which the caller has not opened. */
static RelationEntry *
get_ancestor(Oid relid)
{
	RelationEntry *entry = find_entry(relid);

	if (!entry->valid)
	{
		Relation relation = RelationIdGetRelation(relid);

		if (!RelationIsValid(relation))
			elog(ERROR, "could not open relation with OID %u", relid);
		rebuild_entry(entry, relation);
		entry->valid = true;
		RelationClose(relation);
	}
	return entry;
}

RelationEntry *
relsync_get(Relation relation)
{
	RelationEntry *entry = find_entry(RelationGetRelid(relation));
	uint32 ancestor_build = 0;

	/* What an ancestor is called now is no change of the partition. */
	if (entry->valid && entry->send_as != entry->relid)
	{
		ancestor_build = get_ancestor(entry->send_as)->build;
		if (ancestor_build != entry->send_as_build)
			entry->valid = false;
	}
	if (!entry->valid)
	{
		/*
		 * An invalidation that comes while building concerns a catalog that the historic snapshot
		 * does not see yet, or comes again before the row that follows it.
		 */
		rebuild_entry(entry, relation);
		if (entry->send_as != entry->relid)
			entry->send_as_build = get_ancestor(entry->send_as)->build;
		entry->valid = true;
	}
	return entry;
}

RelationEntry *
relsync_described_by(RelationEntry *entry)
{
	RelationEntry *ancestor;

	if (entry->send_as == entry->relid)
		return entry;
	ancestor = get_ancestor(entry->send_as);
	return same_description(entry, ancestor) ? ancestor : entry;
}

static void *
palloc_for_protobuf(void *context, size_t size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
pfree_for_protobuf(void *context, void *pointer)
{
	if (pointer != NULL)
		pfree(pointer);
}

const Penstock__V1__Relation *
relsync_message(RelationEntry *entry)
{
	ProtobufCAllocator allocator = {palloc_for_protobuf, pfree_for_protobuf, entry->context};

	if (entry->message == NULL)
		entry->message =
			penstock__v1__relation__unpack(&allocator, entry->description_len, entry->description);
	if (entry->message == NULL)
		elog(ERROR, "could not read the description of relation %u", entry->relid);
	return entry->message;
}
