/* plan.c -- match the source's tables with the places', and cut the work into items.
 * Nothing is changed anywhere by making a plan. */
#include "copy/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "copy/append.h"
#include "copy/place.h"
#include "copy/sql.h"
#include "event/relation.h"
#include "pq/pq.h"
#include "types.h"

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* ---- types ---- */

/* Whose send() form any server reads as it reads the text: built-in, holding no oids. */
static const char *const types_sql =
	"SELECT t.oid, t.typtype FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e"
	" ON e.oid = t.typelem AND t.typelem <> 0 WHERE t.typtype = 'e' OR (t.oid < 10000"
	" AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.typtype IN ('b', 'r', 'm')"
	" AND t.typsend <> 0 AND t.typreceive <> 0 AND t.typname !~ '^_?reg'"
	" AND (e.oid IS NULL OR (e.typsend <> 0 AND e.typtype IN ('b', 'r', 'm')))) ORDER BY 1";

static penstock_status
read_types(pen_plan *plan, PGconn *conn, pen_error *error)
{
	PGresult *result = pen_pq_query(conn, types_sql, 0, NULL, error);
	size_t count;

	if (result == NULL)
		return pen_error_context(error, "source: reading types");
	count = (size_t) PQntuples(result);
	plan->portable = calloc(count + 1, sizeof(*plan->portable));
	plan->enums = calloc(count + 1, sizeof(*plan->enums));
	for (size_t i = 0; plan->portable != NULL && plan->enums != NULL && i < count; i++)
	{
		uint32_t oid = (uint32_t) strtoul(PQgetvalue(result, (int) i, 0), NULL, 10);

		if (PQgetvalue(result, (int) i, 1)[0] == 'e')
			plan->enums[plan->enum_count++] = oid;
		else
			plan->portable[plan->portable_count++] = oid;
	}
	PQclear(result);
	return plan->portable != NULL && plan->enums != NULL ? PENSTOCK_OK : out_of_memory(error);
}

static int
compare_oids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *) a;
	uint32_t right = *(const uint32_t *) b;

	return (left > right) - (left < right);
}

static bool
contains(const uint32_t *oids, size_t count, uint32_t oid)
{
	return bsearch(&oid, oids, count, sizeof(*oids), compare_oids) != NULL;
}

static bool
is_string(uint32_t type)
{
	return type == PEN_OID_TEXT || type == PEN_OID_VARCHAR || type == PEN_OID_BPCHAR;
}

/* May values travel in binary? An enum's form is its label. */
static bool
fits_in_binary(const pen_plan *plan, uint32_t from, uint32_t to, bool to_enum)
{
	if (contains(plan->enums, plan->enum_count, from))
		return to_enum;
	if (from != to && !(is_string(from) && is_string(to)))
		return false;
	return contains(plan->portable, plan->portable_count, from);
}

/* ---- a table at a place ---- */

enum
{
	COL_NAME,
	COL_TYPE,
	COL_ENUM,
	COL_GENERATED
};

static const char *const find_sql =
	"SELECT c.oid, c.relkind, current_setting('session_replication_role') <> 'replica' AND ("
	"EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal"
	" AND g.tgenabled IN ('O', 'A')) OR "
	"EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f'"
	" AND (k.confupdtype IN ('c', 'n', 'd') OR k.confdeltype IN ('c', 'n', 'd')))), "
	"EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f'"
	" AND k.conrelid <> c.oid) "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/* Types below all domains. */
static const char *const describe_sql =
	"WITH RECURSIVE base(oid, below) AS ("
	" SELECT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1::oid"
	" UNION SELECT b.oid, t.typbasetype FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.below"
	" WHERE t.typtype = 'd') "
	"SELECT a.attname, t.oid, t.typtype = 'e', a.attgenerated <> '' "
	"FROM pg_catalog.pg_attribute a JOIN base b ON b.oid = a.atttypid "
	"JOIN pg_catalog.pg_type t ON t.oid = b.below AND t.typtype <> 'd' "
	"WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/* The table's oid there as text, for free(), or NULL and the place's error. */
static char *
find_target(pen_plan_target *target, pen_error *error)
{
	const char *params[] = {target->relation->schema, target->relation->name};
	PGresult *result = pen_pq_query(target->place->conn, find_sql, 2, params, error);
	char *oid = NULL;
	char relkind;

	if (result == NULL)
		return NULL;
	relkind = PQntuples(result) == 1 ? PQgetvalue(result, 0, 1)[0] : '\0';
	if (relkind == '\0')
		pen_error_set(error, PENSTOCK_E_CONFIG,
					  "there is no table %s here; create it as it is at the source, or let "
					  "--create-tables do that",
					  target->quoted);
	else if (relkind != 'r' && relkind != 'p')
		pen_error_set(error, PENSTOCK_E_CONFIG, "%s is not a table here", target->quoted);
	else if (PQgetvalue(result, 0, 2)[0] == 't' && !target->place->allow_triggers)
		pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"table %s has triggers or cascading foreign keys, whose effects arrive as rows too "
			"and would be applied twice; GRANT SET ON PARAMETER session_replication_role to the "
			"role (PostgreSQL 15 and "
			"newer), or pass --allow-triggers",
			target->quoted);
	else if ((oid = strdup(PQgetvalue(result, 0, 0))) == NULL)
		out_of_memory(error);
	target->partitioned = relkind == 'p';
	target->referenced = relkind != '\0' && PQgetvalue(result, 0, 3)[0] == 't';
	PQclear(result);
	return oid;
}

const char *
pen_plan_column(const pen_plan_target *target, int column)
{
	if (target->mapped != NULL)
		column = target->mapped->columns[column];
	return column >= 0 ? target->relation->columns[column].name : NULL;
}

/* What becomes of the table there. */
static penstock_status
map_target(pen_plan_target *target, const penstock_relation *relation, pen_error *error)
{
	pen_wire_buf sql;

	target->relation = relation;
	if (target->place->mapping == NULL)
		return PENSTOCK_OK;
	target->mapped = pen_mapping_resolve(target->place->mapping, relation, error);
	if (target->mapped == NULL)
		return error->status;
	target->relation = target->mapped->relation;
	if (target->mapped->where == NULL)
		return PENSTOCK_OK;
	pen_buffer_init(&sql);
	pen_where_write_sql(target->mapped->where, &sql);
	target->where = pen_sql_end(&sql) ? strdup((char *) sql.data) : NULL;
	pen_buffer_reset(&sql);
	return target->where != NULL ? PENSTOCK_OK : out_of_memory(error);
}

static penstock_status
match_columns(const pen_plan *plan, pen_plan_target *target, const penstock_relation *relation,
			  const PGresult *result, pen_error *error)
{
	for (int i = 0; i < relation->column_count; i++)
	{
		const penstock_column *column = &relation->columns[i];
		const char *name = pen_plan_column(target, i);
		uint32_t type;
		int row = 0;

		if (name == NULL)
			continue;
		while (row < PQntuples(result) && strcmp(PQgetvalue(result, row, COL_NAME), name) != 0)
			row++;
		if (row == PQntuples(result))
		{
			/* What the source computes, the destination may do without. */
			if (column->generated)
				continue;
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "table %s has no column \"%s\" here (of type %s.%s at the "
								 "source); add it",
								 target->quoted, name, column->type_schema, column->type_name);
		}
		if (PQgetvalue(result, row, COL_GENERATED)[0] == 't')
			continue;
		type = (uint32_t) strtoul(PQgetvalue(result, row, COL_TYPE), NULL, 10);
		target->columns[i] = 1;
		if (!fits_in_binary(plan, column->base_type_oid, type,
							PQgetvalue(result, row, COL_ENUM)[0] == 't'))
			target->text = true;
		if (column->primary_key > 0 && type != column->base_type_oid)
			target->key_differs = true;
	}
	return PENSTOCK_OK;
}

/* Rows of others would be mixed with the source's. */
static penstock_status
check_empty(const pen_plan_target *target, pen_error *error)
{
	penstock_status status;

	status = pen_place_is_empty(target->place->conn, target->quoted, target->partitioned, error);
	if (status == PENSTOCK_AGAIN)
		return pen_error_set(error, PENSTOCK_E_REFUSED,
							 "table %s has rows already; TRUNCATE it, or choose --copy-mode "
							 "truncate, or append where rows are only ever added",
							 target->quoted);
	return status;
}

static penstock_status
describe_target(const pen_plan *plan, const pen_copy_options *options, pen_plan_target *target,
				const penstock_relation *relation, pen_error *error)
{
	char *oid = find_target(target, error);
	const char *params[] = {oid};
	PGresult *result;
	penstock_status status;

	if (oid == NULL)
		return error->status;
	result = pen_pq_query(target->place->conn, describe_sql, 1, params, error);
	free(oid);
	if (result == NULL)
		return error->status;
	status = match_columns(plan, target, relation, result, error);
	PQclear(result);
	if (status >= 0 && target->state == PEN_COPY_COPYING && !target->resumed &&
		options->mode == PEN_COPY_EMPTY)
		status = check_empty(target, error);
	return status;
}

static char *
quote_table(PGconn *conn, const penstock_relation *relation)
{
	pen_wire_buf sql;
	char *quoted = NULL;

	pen_buffer_init(&sql);
	if (pen_sql_table(&sql, conn, relation->schema, relation->name) && pen_sql_end(&sql))
		quoted = strdup((char *) sql.data);
	pen_buffer_reset(&sql);
	return quoted;
}

/* Adds the target unless it does not fit, which is the place's failure. */
static penstock_status
add_target(const pen_plan *plan, const pen_copy_options *options, PGconn *source,
		   pen_plan_table *table, pen_copy_place *place, pen_copy_state state, pen_error *error)
{
	pen_plan_target *target = &table->targets[table->target_count];
	pen_error own;

	*target = (pen_plan_target){
		.place = place,
		.state = state,
		.resumed = place->begun,
		.created = pen_place_created(place, table->relation->schema, table->relation->name),
	};
	table->target_count++;
	pen_error_clear(&own);
	pen_error_clear(error);
	if (map_target(target, table->relation, &own) < 0)
	{
		pen_place_fail(place, &own);
		return PENSTOCK_OK;
	}
	target->quoted = quote_table(place->conn, target->relation);
	target->columns = calloc(1, (size_t) table->relation->column_count + 1);
	if (target->quoted == NULL || target->columns == NULL)
		return out_of_memory(error);
	if (describe_target(plan, options, target, table->relation, &own) >= 0 &&
		state == PEN_COPY_APPENDING &&
		pen_append_check(target, table->relation, source, &own, error) < 0 && error->status < 0)
		return pen_error_context(error, "source");
	if (own.status < 0)
		pen_place_fail(place, &own);
	return PENSTOCK_OK;
}

/* ---- tables ---- */

static const char *const sizes_sql =
	"SELECT c.oid, pg_catalog.pg_table_size(c.oid), CASE WHEN a.amname = 'heap' THEN "
	"pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::bigint ELSE 0 END, "
	"greatest(c.reltuples, 0)::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_am a "
	"ON a.oid = c.relam WHERE c.relkind = 'r' AND c.relpersistence = 'p' ORDER BY c.oid";

static uint64_t
number_at(const PGresult *result, int row, int column)
{
	return strtoull(PQgetvalue(result, row, column), NULL, 10);
}

/* Both lists are in order of oid. */
static penstock_status
read_sizes(pen_plan *plan, PGconn *conn, pen_error *error)
{
	PGresult *result = pen_pq_query(conn, sizes_sql, 0, NULL, error);
	int row = 0;

	if (result == NULL)
		return pen_error_context(error, "source: reading the sizes of tables");
	for (size_t i = 0; i < plan->table_count; i++)
	{
		pen_plan_table *table = &plan->tables[i];

		while (row < PQntuples(result) && number_at(result, row, 0) < table->relation->oid)
			row++;
		if (row == PQntuples(result) || number_at(result, row, 0) != table->relation->oid)
			continue;
		table->bytes = number_at(result, row, 1);
		table->blocks = number_at(result, row, 2);
		table->rows_expected = number_at(result, row, 3);
	}
	PQclear(result);
	return PENSTOCK_OK;
}

static penstock_status
add_table(pen_plan *plan, const pen_copy_options *options, const pen_snapshot *snapshot,
		  const pen_catalog_table *listed, pen_copy_place *places, size_t count, pen_error *error)
{
	pen_plan_table *table = &plan->tables[plan->table_count];

	for (size_t i = 0; i < count; i++)
	{
		pen_copy_state state =
			pen_place_state(&places[i], listed->schema, listed->name, options->mode);

		if (state == PEN_COPY_NONE || atomic_load(&places[i].failed))
			continue;
		if (table->relation == NULL)
		{
			table->relation = pen_catalog_read_relation(snapshot->reader, listed, error);
			table->targets = calloc(count, sizeof(*table->targets));
			table->number = plan->table_count++;
			if (table->relation == NULL)
				return error->status;
			if (table->targets == NULL)
				return out_of_memory(error);
		}
		if (add_target(plan, options, snapshot->reader, table, &places[i], state, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* ---- items ---- */

static penstock_status
add_item(pen_plan *plan, const pen_plan_item *item, pen_error *error)
{
	if (plan->item_count == plan->item_capacity)
	{
		size_t capacity = plan->item_capacity == 0 ? 64 : plan->item_capacity * 2;
		pen_plan_item *items = realloc(plan->items, capacity * sizeof(*items));

		if (items == NULL)
			return out_of_memory(error);
		plan->items = items;
		plan->item_capacity = capacity;
	}
	plan->items[plan->item_count++] = *item;
	for (size_t i = 0; i < item->table->target_count; i++)
		item->table->targets[i].items_left += item->targets >> i & 1;
	item->table->items_left++;
	return PENSTOCK_OK;
}

static bool
same_condition(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The same bytes are right for both. What is appended depends on what is there. */
static bool
same_rows(const pen_plan_table *table, const pen_plan_target *a, const pen_plan_target *b)
{
	return a->state == PEN_COPY_COPYING && b->state == PEN_COPY_COPYING && a->text == b->text &&
		   same_condition(a->where, b->where) &&
		   memcmp(a->columns, b->columns, (size_t) table->relation->column_count) == 0;
}

static penstock_status
add_items(pen_plan *plan, pen_plan_table *table, uint32_t targets, bool append,
		  uint64_t split_bytes, pen_error *error)
{
	uint64_t parts = split_bytes > 0 && !append ? table->bytes / split_bytes + 1 : 1;
	uint64_t blocks;

	if (parts > table->blocks)
		parts = table->blocks > 0 ? table->blocks : 1;
	blocks = (table->blocks + parts - 1) / parts;
	if (blocks > 0)
		parts = (table->blocks + blocks - 1) / blocks;
	for (uint64_t i = 0; i < parts; i++)
	{
		pen_plan_item item = {
			.table = table,
			.targets = targets,
			.first_block = i * blocks,
			.end_block = i + 1 < parts ? (i + 1) * blocks : 0,
			.bytes = table->bytes / parts,
			.whole = parts == 1,
		};

		if (add_item(plan, &item, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* Targets that take the same bytes share their items. */
static penstock_status
cut_table(pen_plan *plan, pen_plan_table *table, uint64_t split_bytes, pen_error *error)
{
	uint32_t taken = 0;

	for (size_t i = 0; i < table->target_count; i++)
	{
		pen_plan_target *first = &table->targets[i];
		uint32_t targets = UINT32_C(1) << i;

		if ((taken >> i & 1) != 0 || first->state == PEN_COPY_COPIED ||
			atomic_load(&first->place->failed))
			continue;
		for (size_t j = i + 1; j < table->target_count; j++)
		{
			if (!atomic_load(&table->targets[j].place->failed) &&
				same_rows(table, first, &table->targets[j]))
				targets |= UINT32_C(1) << j;
		}
		taken |= targets;
		if (add_items(plan, table, targets, first->state == PEN_COPY_APPENDING, split_bytes,
					  error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* Long ones first, so that no job is left alone with one at the end. */
static int
compare_items(const void *a, const void *b)
{
	const pen_plan_item *left = a;
	const pen_plan_item *right = b;

	if (left->bytes != right->bytes)
		return left->bytes < right->bytes ? 1 : -1;
	if (left->table != right->table)
		return left->table < right->table ? -1 : 1;
	return (left->first_block > right->first_block) - (left->first_block < right->first_block);
}

penstock_status
pen_plan_make(pen_plan *plan, const pen_copy_options *options, const pen_snapshot *snapshot,
			  pen_copy_place *places, size_t count, pen_error *error)
{
	const pen_catalog_list *list = &snapshot->list;

	memset(plan, 0, sizeof(*plan));
	plan->tables = calloc(list->count + 1, sizeof(*plan->tables));
	if (plan->tables == NULL)
		return out_of_memory(error);
	if (read_types(plan, snapshot->reader, error) < 0)
		return error->status;
	for (size_t i = 0; i < list->count; i++)
	{
		if (list->tables[i].permanent &&
			add_table(plan, options, snapshot, &list->tables[i], places, count, error) < 0)
			return error->status;
	}
	if (read_sizes(plan, snapshot->reader, error) < 0)
		return error->status;
	for (size_t i = 0; i < plan->table_count; i++)
	{
		if (cut_table(plan, &plan->tables[i], options->split_bytes, error) < 0)
			return error->status;
	}
	if (plan->item_count > 0)
		qsort(plan->items, plan->item_count, sizeof(*plan->items), compare_items);
	return PENSTOCK_OK;
}

void
pen_plan_reset(pen_plan *plan)
{
	for (size_t i = 0; i < plan->table_count; i++)
	{
		pen_plan_table *table = &plan->tables[i];

		for (size_t j = 0; j < table->target_count; j++)
		{
			free(table->targets[j].quoted);
			free(table->targets[j].columns);
			free(table->targets[j].after);
			free(table->targets[j].where);
			pen_mapped_free(table->targets[j].mapped);
		}
		free(table->targets);
		pen_relation_unref(table->relation);
	}
	free(plan->tables);
	free(plan->items);
	free(plan->portable);
	free(plan->enums);
	memset(plan, 0, sizeof(*plan));
}

/* ---- SQL ---- */

/* The copied columns by commas, as they are called there or at the source; their number, or -1
 * without memory. */
static int
append_columns(pen_wire_buf *sql, PGconn *conn, const pen_plan_table *table,
			   const pen_plan_target *target, bool there)
{
	int count = 0;

	for (int i = 0; i < table->relation->column_count; i++)
	{
		if (!target->columns[i])
			continue;
		if (count++ > 0)
			pen_sql_text(sql, ", ");
		if (!pen_sql_identifier(
				sql, conn, there ? pen_plan_column(target, i) : table->relation->columns[i].name))
			return -1;
	}
	return count;
}

static char *
finish_sql(pen_wire_buf *sql, bool ok)
{
	char *text = ok && pen_sql_end(sql) ? strdup((char *) sql->data) : NULL;

	pen_buffer_reset(sql);
	return text;
}

/* What the place wants of the rows; the word that goes before a further condition. */
static const char *
append_where(pen_wire_buf *sql, const pen_plan_target *target)
{
	if (target->where == NULL)
		return " WHERE ";
	pen_sql_text(sql, " WHERE (");
	pen_sql_text(sql, target->where);
	pen_sql_text(sql, ")");
	return " AND ";
}

static bool
append_range(pen_wire_buf *sql, const pen_plan_item *item, const pen_plan_target *target)
{
	const char *join = append_where(sql, target);
	char range[120];

	if (item->whole)
		return true;
	pen_sql_text(sql, join);
	snprintf(range, sizeof(range), "ctid >= '(%llu,0)'::tid",
			 (unsigned long long) item->first_block);
	pen_sql_text(sql, range);
	if (item->end_block == 0)
		return true;
	snprintf(range, sizeof(range), " AND ctid < '(%llu,0)'::tid",
			 (unsigned long long) item->end_block);
	pen_sql_text(sql, range);
	return true;
}

/* By key, so that what has arrived is always all up to some key. */
static bool
append_order(pen_wire_buf *sql, const pen_plan_item *item, const pen_plan_target *target,
			 PGconn *conn)
{
	const penstock_relation *relation = item->table->relation;
	const char *key = relation->columns[pen_append_key(relation)].name;
	const char *join = append_where(sql, target);

	if (target->after != NULL)
	{
		pen_sql_text(sql, join);
		if (!pen_sql_identifier(sql, conn, key))
			return false;
		pen_sql_text(sql, " > ");
		if (!pen_sql_literal(sql, conn, target->after))
			return false;
	}
	pen_sql_text(sql, " ORDER BY ");
	return pen_sql_identifier(sql, conn, key);
}

static const pen_plan_target *
first_target(const pen_plan_item *item)
{
	return &item->table->targets[__builtin_ctz(item->targets)];
}

char *
pen_plan_source_sql(const pen_plan_item *item, PGconn *conn)
{
	const pen_plan_target *target = first_target(item);
	const penstock_relation *relation = item->table->relation;
	pen_wire_buf sql;
	bool ok;

	pen_buffer_init(&sql);
	pen_sql_text(&sql, "COPY (SELECT ");
	ok = append_columns(&sql, conn, item->table, target, false) >= 0;
	pen_sql_text(&sql, " FROM ONLY ");
	ok = ok && pen_sql_table(&sql, conn, relation->schema, relation->name);
	ok = ok && (target->state == PEN_COPY_APPENDING ? append_order(&sql, item, target, conn)
													: append_range(&sql, item, target));
	pen_sql_text(&sql, target->text ? ") TO STDOUT" : ") TO STDOUT (FORMAT binary)");
	return finish_sql(&sql, ok);
}

char *
pen_plan_target_sql(const pen_plan_item *item, const pen_plan_target *target, PGconn *conn)
{
	pen_wire_buf columns;
	pen_wire_buf sql;
	int count;

	pen_buffer_init(&sql);
	pen_buffer_init(&columns);
	count = append_columns(&columns, conn, item->table, target, true);
	pen_sql_text(&sql, "COPY ");
	pen_sql_text(&sql, target->quoted);
	if (count > 0)
	{
		pen_sql_text(&sql, " (");
		pen_wire_append(&sql, columns.data, columns.len);
		pen_sql_text(&sql, ")");
	}
	pen_sql_text(&sql, target->text ? " FROM STDIN" : " FROM STDIN (FORMAT binary)");
	if (columns.failed)
		count = -1;
	pen_buffer_reset(&columns);
	return finish_sql(&sql, count >= 0);
}

char *
pen_plan_empty_sql(const pen_plan_target *target, bool for_readers)
{
	char *sql;

	if (asprintf(&sql, "%s %s%s", target->referenced || for_readers ? "DELETE FROM" : "TRUNCATE",
				 target->partitioned ? "" : "ONLY ", target->quoted) < 0)
		return NULL;
	return sql;
}
