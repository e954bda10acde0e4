/* describe.c -- Relation messages.
 * Looks into catalogs, so it runs when a description is built and never for a row. */
#include "postgres.h"

#include "describe.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "convert.h"
#include "penstock.pb-c.h"
#include "types.h"

char *
describe_ascii(const char *text)
{
	StringInfoData escaped;

	initStringInfo(&escaped);
	for (const char *p = text; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			appendStringInfo(&escaped, "\\x%02x", (unsigned char) *p);
		else
			appendStringInfoChar(&escaped, *p);
	}
	return escaped.data;
}

char *
describe_name(const char *name)
{
	size_t len = strlen(name);
	const char *converted;

	if (convert_to_utf8(name, &len, &converted))
		return pnstrdup(converted, len);
	return describe_ascii(name);
}

/* Positions, from 1, of the columns in an index; by attnum. */
static void
index_positions(Oid index, int *positions)
{
	HeapTuple tuple;
	Form_pg_index form;

	if (!OidIsValid(index))
		return;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_index) GETSTRUCT(tuple);
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] > 0)
			positions[form->indkey.values[i]] = i + 1;
	}
	ReleaseSysCache(tuple);
}

static int
replica_identity(Relation relation)
{
	switch (relation->rd_rel->relreplident)
	{
		case REPLICA_IDENTITY_NOTHING:
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_NOTHING;
		case REPLICA_IDENTITY_FULL:
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_FULL;
		case REPLICA_IDENTITY_INDEX:
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_INDEX;
		default:
			return PENSTOCK__V1__RELATION__REPLICA_IDENTITY__REPLICA_IDENTITY_DEFAULT;
	}
}

/* ---- columns ---- */

static void
describe_type(Penstock__V1__Column *column, DescribedColumn *described, Oid type)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	char *schema;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	schema = get_namespace_name(form->typnamespace);
	described->type_schema = form->typnamespace;
	column->type_oid = type;
	column->type_name = describe_name(NameStr(form->typname));
	column->type_schema = schema != NULL ? describe_name(schema) : pstrdup("");
	ReleaseSysCache(tuple);
}

/*
 * Does the send form mean the same on any server? That of user-defined types holds oids, that of
 * the reg types is nothing but an oid.
 */
static bool
is_portable(Oid type)
{
	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGROLEOID:
		case REGCOLLATIONOID:
			return false;
		default:
			return type < FirstGenbkiObjectId;
	}
}

static bool
has_portable_send(Oid type)
{
	Oid element = get_element_type(type);
	HeapTuple tuple;
	Form_pg_type form;
	bool has;

	if (!is_portable(type) || (OidIsValid(element) && !is_portable(element)))
		return false;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	has = OidIsValid(form->typsend) && form->typtype != TYPTYPE_PSEUDO &&
		  form->typtype != TYPTYPE_COMPOSITE;
	ReleaseSysCache(tuple);
	return has;
}

static pen_encoding
column_encoding(const PenstockOptions *options, Oid base_type)
{
	pen_encoding encoding = pen_type_encoding(base_type);

	if (encoding == PEN_ENCODING_OUTPUT && options->binary_values && has_portable_send(base_type))
		return PEN_ENCODING_BINARY;
	return encoding;
}

static Penstock__V1__Column *
describe_column(Form_pg_attribute attribute, DescribedColumn *described, int primary_key)
{
	Penstock__V1__Column *column = palloc(sizeof(*column));

	penstock__v1__column__init(column);
	column->name = describe_name(NameStr(attribute->attname));
	column->attnum = attribute->attnum;
	column->typmod = attribute->atttypmod;
	column->not_null = attribute->attnotnull;
	column->primary_key = primary_key;
	column->identity = described->identity;
	column->generated = attribute->attgenerated != '\0'
							? PENSTOCK__V1__COLUMN__GENERATED__GENERATED_STORED
							: PENSTOCK__V1__COLUMN__GENERATED__GENERATED_NEVER;
	column->base_type_oid = described->base_type;
	column->encoding = (Penstock__V1__Encoding) described->encoding;
	describe_type(column, described, attribute->atttypid);
	return column;
}

/* ---- the relation ---- */

/* Where the values of target's columns are in a row of relation: by name. */
static int *
match_columns(Relation relation, Relation target)
{
	TupleDesc from = RelationGetDescr(relation);
	TupleDesc to = RelationGetDescr(target);
	int *source = palloc(sizeof(int) * Max(to->natts, 1));

	for (int i = 0; i < to->natts; i++)
	{
		Form_pg_attribute wanted = TupleDescAttr(to, i);

		source[i] = -1;
		if (wanted->attisdropped)
			continue;
		/* Most often they are in the same place. */
		for (int tried = 0; tried < from->natts && source[i] < 0; tried++)
		{
			int at = (i + tried) % from->natts;
			Form_pg_attribute attribute = TupleDescAttr(from, at);

			if (!attribute->attisdropped &&
				strcmp(NameStr(attribute->attname), NameStr(wanted->attname)) == 0)
				source[i] = at;
		}
	}
	return source;
}

/* A key without one of its columns would name the wrong rows. */
static void
refuse_missing_key(Relation target, Form_pg_attribute attribute)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
			 errmsg("column \"%s\" of the replica identity of table \"%s.%s\" is left out",
					NameStr(attribute->attname), get_namespace_name(RelationGetNamespace(target)),
					RelationGetRelationName(target)),
			 errhint("Updates and deletes cannot be sent without it: let the column lists "
					 "of the publications and of the option include_columns or "
					 "exclude_columns keep it, or leave updates and deletes, or the table, "
					 "out.")));
}

/* Where no change needs the key, what is left of it is none. */
static void
forget_partial_identity(RelationDescription *described)
{
	for (int i = 0; i < described->column_count; i++)
		described->columns[i].identity = 0;
}

static void
pick_columns(RelationDescription *described, const PenstockOptions *options,
			 const SentRelation *sent, Relation relation, Relation target)
{
	TupleDesc desc = RelationGetDescr(target);
	bool full = relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
	int *identity = palloc0(sizeof(int) * (RelationGetDescr(relation)->natts + 1));
	bool partial = false;

	if (!full)
		index_positions(RelationGetReplicaIndex(relation), identity);
	described->source = match_columns(relation, target);
	described->column_count = 0;
	described->columns = palloc0(sizeof(DescribedColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		DescribedColumn *column = &described->columns[described->column_count];
		int source = described->source[i];
		int position = source < 0 || full ? 0 : identity[source + 1];

		if (!filter_column(options, sent, target, attribute))
		{
			if (position > 0 &&
				(sent->actions & (ACTION_BIT(ACTION_UPDATE) | ACTION_BIT(ACTION_DELETE))) != 0)
				refuse_missing_key(target, attribute);
			partial |= position > 0;
			continue;
		}
		if (source < 0)
			elog(ERROR, "relation %u has no column \"%s\"", RelationGetRelid(relation),
				 NameStr(attribute->attname));
		described->column_count++;
		column->attribute = source;
		column->identity = full ? described->column_count : position;
		column->type = attribute->atttypid;
		column->base_type = getBaseType(attribute->atttypid);
		column->encoding = column_encoding(options, column->base_type);
	}
	if (partial)
		forget_partial_identity(described);
}

/* By attnum of target; all 0 where one of its columns is left out, which would make another key of
 * it. */
static int *
primary_key_positions(const RelationDescription *described, Relation target)
{
	TupleDesc desc = RelationGetDescr(target);
	int *positions = palloc0(sizeof(int) * (desc->natts + 1));
	int described_count = 0;

	index_positions(compat_primary_key_index(target), positions);
	for (int i = 0; i < desc->natts; i++)
	{
		bool is_described = described_count < described->column_count &&
							described->columns[described_count].attribute == described->source[i];

		if (is_described)
			described_count++;
		else if (positions[i + 1] > 0)
			return palloc0(sizeof(int) * (desc->natts + 1));
	}
	return positions;
}

static void
pack(RelationDescription *described, const Penstock__V1__Relation *message)
{
	described->packed_len = penstock__v1__relation__get_packed_size(message);
	described->packed = palloc(Max(described->packed_len, 1));
	penstock__v1__relation__pack(message, described->packed);
}

void
describe_relation(RelationDescription *described, const PenstockOptions *options,
				  const SentRelation *sent, Relation relation, Relation target)
{
	TupleDesc desc = RelationGetDescr(target);
	char *schema = get_namespace_name(RelationGetNamespace(target));
	int *primary_key;
	Penstock__V1__Relation message;

	penstock__v1__relation__init(&message);
	pick_columns(described, options, sent, relation, target);
	primary_key = primary_key_positions(described, target);
	message.columns = palloc(sizeof(Penstock__V1__Column *) * Max(described->column_count, 1));
	for (int i = 0; i < desc->natts && message.n_columns < described->column_count; i++)
	{
		DescribedColumn *column = &described->columns[message.n_columns];
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (column->attribute == described->source[i])
			message.columns[message.n_columns++] =
				describe_column(attribute, column, primary_key[attribute->attnum]);
	}
	message.oid = RelationGetRelid(target);
	message.schema = schema != NULL ? describe_name(schema) : pstrdup("");
	message.name = describe_name(RelationGetRelationName(target));
	message.kind = target->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
					   ? PENSTOCK__V1__RELATION__KIND__KIND_PARTITIONED
					   : PENSTOCK__V1__RELATION__KIND__KIND_TABLE;
	message.replica_identity = replica_identity(relation);
	pack(described, &message);
}
