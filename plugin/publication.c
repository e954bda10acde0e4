/* publication.c -- publications, read under the historic snapshot: what they said when the change
 * was made. A publication that does not exist lets nothing through, until it is created. */
#include "postgres.h"

#include "publication.h"

#include "catalog/partition.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_rel.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct LoadedPublication
{
	Oid oid;
	bool all_tables;
	bool via_root;
	int actions; /* ACTION_BITs */
} LoadedPublication;

/* Of the one decoding context that a process has. */
static List *publication_names = NIL;
static MemoryContext publication_context = NULL;
static List *publications = NIL; /* of LoadedPublication *, in a child of that */
static bool publications_valid = false;

/* ---- which publications there are ---- */

void
publication_init(MemoryContext context, List *names)
{
	publication_context =
		AllocSetContextCreate(context, "penstock publications", ALLOCSET_SMALL_SIZES);
	publication_names = names;
	publications = NIL;
	publications_valid = false;
}

void
publication_invalidate(void)
{
	publications_valid = false;
}

static LoadedPublication *
load_publication(const char *name)
{
	HeapTuple tuple = SearchSysCache1(PUBLICATIONNAME, CStringGetDatum(name));
	Form_pg_publication form;
	LoadedPublication *loaded;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	form = (Form_pg_publication) GETSTRUCT(tuple);
	loaded = palloc(sizeof(*loaded));
	loaded->oid = form->oid;
	loaded->all_tables = form->puballtables;
	loaded->via_root = form->pubviaroot;
	loaded->actions = (form->pubinsert ? ACTION_BIT(ACTION_INSERT) : 0) |
					  (form->pubupdate ? ACTION_BIT(ACTION_UPDATE) : 0) |
					  (form->pubdelete ? ACTION_BIT(ACTION_DELETE) : 0) |
					  (form->pubtruncate ? ACTION_BIT(ACTION_TRUNCATE) : 0);
	ReleaseSysCache(tuple);
	return loaded;
}

/* Once a load, since a client may name many. */
static void
warn_missing(const char *name, int others)
{
	ereport(
		WARNING,
		(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		 errmsg("publication \"%s\" does not exist at this point in the WAL", name),
		 others > 0 ? errdetail("%d others of those asked for do not exist either.", others) : 0,
		 errhint("Nothing is sent for it until it is created.")));
}

static void
load_publications(void)
{
	MemoryContext old_context;
	const char *missing = NULL;
	int missing_count = 0;
	ListCell *cell;

	if (publications_valid)
		return;
	publications = NIL;
	MemoryContextReset(publication_context);
	old_context = MemoryContextSwitchTo(publication_context);
	foreach (cell, publication_names)
	{
		LoadedPublication *loaded = load_publication(lfirst(cell));

		if (loaded != NULL)
			publications = lappend(publications, loaded);
		else if (missing_count++ == 0)
			missing = lfirst(cell);
	}
	MemoryContextSwitchTo(old_context);
	if (missing != NULL)
		warn_missing(missing, missing_count - 1);
	publications_valid = true;
}

/* ---- which of them a relation is in ---- */

/* By name or by its schema. */
static bool
is_listed(const LoadedPublication *publication, Oid relid)
{
	return SearchSysCacheExists2(PUBLICATIONRELMAP, ObjectIdGetDatum(relid),
								 ObjectIdGetDatum(publication->oid)) ||
		   compat_publishes_schema(publication->oid, get_rel_namespace(relid));
}

/* The number of levels up to the topmost listed ancestor, or 0; ancestors are the parent first. */
static int
listed_ancestor_level(const LoadedPublication *publication, List *ancestors)
{
	int level = 0;
	int topmost = 0;
	ListCell *cell;

	foreach (cell, ancestors)
	{
		level++;
		if (is_listed(publication, lfirst_oid(cell)))
			topmost = level;
	}
	return topmost;
}

/* Is the relation in it? *level: as which of its ancestors, 0 for itself. */
static bool
publishes(const LoadedPublication *publication, Oid relid, List *ancestors, int *level)
{
	int listed;

	*level = 0;
	if (publication->all_tables)
	{
		if (publication->via_root)
			*level = list_length(ancestors);
		return true;
	}
	listed = listed_ancestor_level(publication, ancestors);
	if (publication->via_root)
		*level = listed;
	return listed > 0 || is_listed(publication, relid);
}

/* ---- column lists ---- */

/* Does the set hold all columns that a table sends without any list, but for generated ones? */
static bool
is_every_column(Relation target, const Bitmapset *columns)
{
	TupleDesc desc = RelationGetDescr(target);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && attribute->attgenerated == '\0' &&
			!bms_is_member(attribute->attnum, columns))
			return false;
	}
	return true;
}

/* NULL: all columns. */
static Bitmapset *
column_list(const LoadedPublication *publication, Relation target)
{
	HeapTuple tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(RelationGetRelid(target)),
									  ObjectIdGetDatum(publication->oid));
	Bitmapset *columns = NULL;
	Datum list;

	if (publication->all_tables || !HeapTupleIsValid(tuple))
	{
		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
		return NULL;
	}
	if (compat_publication_columns(tuple, &list))
	{
		ArrayType *array = DatumGetArrayTypeP(list);
		int16 *attnums = (int16 *) ARR_DATA_PTR(array);

		for (int i = 0; i < ARR_DIMS(array)[0]; i++)
			columns = bms_add_member(columns, attnums[i]);
	}
	ReleaseSysCache(tuple);
	return columns;
}

/* A list of every column is as good as none, but that generated columns are sent only if listed. */
static void
merge_column_lists(List *published_by, Relation target, SentRelation *sent)
{
	bool first_is_every = false;
	ListCell *cell;

	foreach (cell, published_by)
	{
		Bitmapset *columns = column_list(lfirst(cell), target);
		bool is_every = columns == NULL || is_every_column(target, columns);

		if (cell == list_head(published_by))
		{
			first_is_every = is_every;
			sent->columns = columns;
		}
		else if (is_every != first_is_every || (!is_every && !bms_equal(sent->columns, columns)))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("publications have different column lists for table \"%s.%s\"",
								   get_namespace_name(RelationGetNamespace(target)),
								   RelationGetRelationName(target)),
							errhint("Give the table the same columns in all of them, or stream "
									"them by different slots.")));
		else if (columns == NULL || sent->columns == NULL)
			sent->columns = NULL;
		else
			sent->columns = bms_add_members(sent->columns, columns);
	}
	sent->all_columns = sent->columns == NULL;
}

/* ---- row filters ---- */

/* NULL: every row. */
static Node *
row_filter(const LoadedPublication *publication, Relation target)
{
	HeapTuple tuple;
	Node *filter = NULL;
	Datum tree;

	/* Who publishes everything, or the schema, wants all rows. */
	if (publication->all_tables ||
		compat_publishes_schema(publication->oid, RelationGetNamespace(target)))
		return NULL;
	tuple = SearchSysCache2(PUBLICATIONRELMAP, ObjectIdGetDatum(RelationGetRelid(target)),
							ObjectIdGetDatum(publication->oid));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	if (compat_publication_row_filter(tuple, &tree))
		filter = compat_expand_generated(stringToNode(TextDatumGetCString(tree)), target);
	ReleaseSysCache(tuple);
	return filter;
}

/* A row is sent when one of those that publish the action lets it through. */
static void
merge_row_filters(List *published_by, Relation target, SentRelation *sent)
{
	List *filters[ROW_ACTION_COUNT] = {NIL};
	bool every_row[ROW_ACTION_COUNT] = {false};
	ListCell *cell;

	foreach (cell, published_by)
	{
		const LoadedPublication *publication = lfirst(cell);
		Node *filter = row_filter(publication, target);

		for (int action = 0; action < ROW_ACTION_COUNT; action++)
		{
			if ((publication->actions & ACTION_BIT(action)) == 0)
				continue;
			if (filter == NULL)
				every_row[action] = true;
			else
				filters[action] = lappend(filters[action], filter);
		}
	}
	for (int action = 0; action < ROW_ACTION_COUNT; action++)
	{
		if (!every_row[action] && filters[action] != NIL)
			sent->row_filters[action] = (Node *) make_orclause(filters[action]);
	}
}

/* ---- all of it ---- */

List *
publication_find(Relation relation, SentRelation *sent)
{
	Oid relid = RelationGetRelid(relation);
	List *ancestors = NIL;
	List *published_by = NIL;
	int send_level = 0;
	ListCell *cell;

	/* FOR ALL TABLES does not mean those of information_schema. */
	if (!is_publishable_relation(relation))
		return NIL;
	if (relation->rd_rel->relispartition)
		ancestors = get_partition_ancestors(relid);
	load_publications();
	foreach (cell, publications)
	{
		LoadedPublication *publication = lfirst(cell);
		int level;

		if (!publishes(publication, relid, ancestors, &level))
			continue;
		/* Of a partitioned table itself there are no rows;
		 * its truncation counts by its partitions. */
		if (relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && !publication->via_root)
			continue;
		sent->actions |= publication->actions;
		/* The topmost root wins, and those that publish under another name have no say. */
		if (level < send_level)
			continue;
		if (level > send_level)
			published_by = NIL;
		send_level = level;
		published_by = lappend(published_by, publication);
	}
	if (send_level > 0)
		sent->send_as = list_nth_oid(ancestors, send_level - 1);
	return published_by;
}

void
publication_merge(List *published_by, SentRelation *sent)
{
	Relation target = RelationIdGetRelation(sent->send_as);

	if (!RelationIsValid(target))
		elog(ERROR, "could not open relation with OID %u", sent->send_as);
	merge_column_lists(published_by, target, sent);
	merge_row_filters(published_by, target, sent);
	RelationClose(target);
}
