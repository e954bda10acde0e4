/* filter.c -- what is sent: publications and patterns, each cuts down what the others leave. */
#include "postgres.h"

#include "filter.h"

#include "catalog/pg_class.h"
#include "utils/lsyscache.h"

#include "publication.h"

/* By name, of the table that the client gets to see. */
static bool
matches_tables(const PenstockOptions *options, Oid relid)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *name = get_rel_name(relid);
	const char *names[] = {schema, name};

	if (schema == NULL || name == NULL)
		return false;
	if (options->include_tables.count > 0 && !patterns_match(&options->include_tables, names))
		return false;
	return options->exclude_tables.count == 0 || !patterns_match(&options->exclude_tables, names);
}

/* Rows of materialized views follow from those of tables, but clients of decoderbufs get them. */
static bool
is_replicated(const PenstockOptions *options, char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE ||
		   (relkind == RELKIND_MATVIEW && options->format == OUTPUT_DECODERBUFS);
}

void
filter_relation(const PenstockOptions *options, Relation relation, SentRelation *sent)
{
	List *published_by = NIL;

	memset(sent, 0, sizeof(*sent));
	sent->send_as = RelationGetRelid(relation);
	sent->all_columns = true;
	if (!is_replicated(options, relation->rd_rel->relkind))
		return;
	if (options->publications == NIL)
		sent->actions = options->actions;
	else
		published_by = publication_find(relation, sent);
	sent->actions &= options->actions;
	if ((options->include_tables.count > 0 || options->exclude_tables.count > 0) &&
		!matches_tables(options, sent->send_as))
		sent->actions = 0;
	/* Of what is not sent, publications may contradict each other. */
	if (sent->actions != 0 && published_by != NIL)
		publication_merge(published_by, sent);
}

bool
filter_column(const PenstockOptions *options, const SentRelation *sent, Relation target,
			  Form_pg_attribute attribute)
{
	const PatternList *include = &options->include_columns;
	const PatternList *exclude = &options->exclude_columns;
	const char *names[3];

	if (attribute->attisdropped || compat_is_virtual(attribute))
		return false;
	if (attribute->attgenerated != '\0' && !options->include_generated)
		return false;
	if (!sent->all_columns && !bms_is_member(attribute->attnum, sent->columns))
		return false;
	if (include->count == 0 && exclude->count == 0)
		return true;
	names[0] = get_namespace_name(RelationGetNamespace(target));
	names[1] = RelationGetRelationName(target);
	names[2] = NameStr(attribute->attname);
	if (names[0] == NULL)
		return false;
	/* Tables that no pattern names keep all of their columns. */
	if (patterns_match_start(include, names, 2) && !patterns_match(include, names))
		return false;
	return !patterns_match(exclude, names);
}

bool
filter_message(const PenstockOptions *options, const char *prefix)
{
	return options->messages && (options->message_prefixes.count == 0 ||
								 patterns_match(&options->message_prefixes, &prefix));
}
