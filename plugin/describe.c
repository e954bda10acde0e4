/* describe.c -- Relation messages.
 * Looks into catalogs, so it runs when a description is built and never for a row. */
#include "postgres.h"

#include "describe.h"

#include "access/htup_details.h"
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
describe_name(const char *name)
{
	size_t len = strlen(name);
	const char *converted;
	StringInfoData escaped;

	if (convert_to_utf8(name, &len, &converted))
		return pnstrdup(converted, len);
	initStringInfo(&escaped);
	for (const char *p = name; *p != '\0'; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			appendStringInfo(&escaped, "\\x%02x", (unsigned char) *p);
		else
			appendStringInfoChar(&escaped, *p);
	}
	return escaped.data;
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

/* By attnum: the position in the replica identity, or 0. FULL counts columns. */
static void
identity_positions(Relation relation, int *positions)
{
	int position = 0;

	if (relation->rd_rel->relreplident != REPLICA_IDENTITY_FULL)
	{
		index_positions(RelationGetReplicaIndex(relation), positions);
		return;
	}
	for (int i = 0; i < RelationGetDescr(relation)->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), i);

		if (!attribute->attisdropped && !compat_is_virtual(attribute))
			positions[attribute->attnum] = ++position;
	}
}

static void
describe_type(Penstock__V1__Column *column, Oid type)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	char *schema;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	schema = get_namespace_name(form->typnamespace);
	column->type_oid = type;
	column->type_name = describe_name(NameStr(form->typname));
	column->type_schema = schema != NULL ? describe_name(schema) : pstrdup("");
	ReleaseSysCache(tuple);
}

static Penstock__V1__Column *
describe_column(Form_pg_attribute attribute, int primary_key, int identity)
{
	Penstock__V1__Column *column = palloc(sizeof(*column));

	penstock__v1__column__init(column);
	column->name = describe_name(NameStr(attribute->attname));
	column->attnum = attribute->attnum;
	column->typmod = attribute->atttypmod;
	column->not_null = attribute->attnotnull;
	column->primary_key = primary_key;
	column->identity = identity;
	column->generated = attribute->attgenerated != '\0'
							? PENSTOCK__V1__COLUMN__GENERATED__GENERATED_STORED
							: PENSTOCK__V1__COLUMN__GENERATED__GENERATED_NEVER;
	column->base_type_oid = getBaseType(attribute->atttypid);
	column->encoding = (Penstock__V1__Encoding) pen_type_encoding(column->base_type_oid);
	describe_type(column, attribute->atttypid);
	return column;
}

static void
pack(RelationDescription *described, const Penstock__V1__Relation *message)
{
	described->packed_len = penstock__v1__relation__get_packed_size(message);
	described->packed = palloc(Max(described->packed_len, 1));
	penstock__v1__relation__pack(message, described->packed);
}

void
describe_relation(RelationDescription *described, Relation relation)
{
	TupleDesc desc = RelationGetDescr(relation);
	char *schema = get_namespace_name(RelationGetNamespace(relation));
	int *primary_key = palloc0(sizeof(int) * (desc->natts + 1));
	int *identity = palloc0(sizeof(int) * (desc->natts + 1));
	Penstock__V1__Relation message;

	penstock__v1__relation__init(&message);
	index_positions(compat_primary_key_index(relation), primary_key);
	identity_positions(relation, identity);
	described->column_count = 0;
	described->attributes = palloc(sizeof(int) * (desc->natts + 1));
	described->identity = palloc(sizeof(int) * (desc->natts + 1));
	message.columns = palloc(sizeof(Penstock__V1__Column *) * (desc->natts + 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		int n = described->column_count;

		if (attribute->attisdropped || compat_is_virtual(attribute))
			continue;
		described->attributes[n] = i;
		described->identity[n] = identity[attribute->attnum];
		message.columns[n] =
			describe_column(attribute, primary_key[attribute->attnum], identity[attribute->attnum]);
		described->column_count++;
	}
	message.n_columns = described->column_count;
	message.oid = RelationGetRelid(relation);
	message.schema = schema != NULL ? describe_name(schema) : pstrdup("");
	message.name = describe_name(RelationGetRelationName(relation));
	message.kind = relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
					   ? PENSTOCK__V1__RELATION__KIND__KIND_PARTITIONED
					   : PENSTOCK__V1__RELATION__KIND__KIND_TABLE;
	message.replica_identity = replica_identity(relation);
	pack(described, &message);
}
