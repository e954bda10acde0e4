/* statement.c -- the SQL for a table's changes.
 * Whatever the form, a statement affects exactly the rows that it names, or its count tells. */
#include "destination/postgres/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"

const char *
pen_target_operation_name(pen_target_operation operation)
{
	static const char *const names[] = {
		[PEN_TARGET_INSERT] = "INSERT into",   [PEN_TARGET_UPDATE] = "UPDATE of",
		[PEN_TARGET_DELETE] = "DELETE from",   [PEN_TARGET_UPSERT] = "INSERT into",
		[PEN_TARGET_MOVE] = "UPDATE of",       [PEN_TARGET_SET_INSERT] = "INSERT into",
		[PEN_TARGET_SET_UPDATE] = "UPDATE of", [PEN_TARGET_SET_DELETE] = "DELETE from",
	};

	return names[operation];
}

static bool
is_left_out(const uint8_t *left_out, int column)
{
	return left_out != NULL && (left_out[column / 8] >> (column % 8) & 1) != 0;
}

/* ---- finding the old row ---- */

/*
 * One condition on an old value. A key is compared by its type's =, for its index; whole rows by
 * what exactly they hold: types that travel as output text by that text, so that 1.0 is not 1.00
 * and types without an = can be found.
 */
static void
write_condition(FILE *out, const pen_target *target, int column, int param, bool whole_row)
{
	const pen_target_column *to = &target->columns[column];
	const penstock_column *from = &target->relation->columns[column];

	if (!whole_row)
		fprintf(out, "%s %s $%d", to->quoted, to->equal, param);
	else if (from->encoding == PEN_ENCODING_OUTPUT || from->base_type_oid == PEN_OID_JSON)
		/* num_nulls: IS NULL looks into composites. */
		fprintf(out,
				"CASE WHEN $%d::text IS NULL THEN pg_catalog.num_nulls(%s) = 1 ELSE "
				"pg_catalog.num_nulls(%s) = 0 AND "
				"pg_catalog.format('%%s', %s) COLLATE \"C\" = $%d::text END",
				param, to->quoted, to->quoted, to->quoted, param);
	else if (from->base_type_oid == PEN_OID_BPCHAR)
		/* Its blanks count here, which = and a cast to text leave out. */
		fprintf(out,
				"CASE WHEN $%d IS NULL THEN %s IS NULL ELSE pg_catalog.format('%%s', %s) "
				"COLLATE \"C\" = pg_catalog.format('%%s', $%d) END",
				param, to->quoted, to->quoted, param);
	else if (from->base_type_oid == PEN_OID_TEXT || from->base_type_oid == PEN_OID_VARCHAR)
		fprintf(out, "%s COLLATE \"C\" IS NOT DISTINCT FROM $%d", to->quoted, param);
	else if (from->encoding == PEN_ENCODING_FLOAT4 || from->encoding == PEN_ENCODING_FLOAT8)
		/* Zero has a sign, which = does not see. */
		fprintf(out,
				"(%s IS NOT DISTINCT FROM $%d AND (%s = 0 AND "
				"pg_catalog.format('%%s', %s) <> $%d::text) IS NOT TRUE)",
				to->quoted, param, to->quoted, to->quoted, param);
	else
		fprintf(out, "%s IS NOT DISTINCT FROM $%d", to->quoted, param);
}

/* Appends the old row's parameters to the statement. */
static void
write_where(FILE *out, pen_target *target, pen_target_statement *statement)
{
	const penstock_relation *relation = target->relation;
	bool whole_row = pen_target_by_whole_row(relation);
	int count = whole_row ? relation->column_count : relation->key_count;
	const char *join = "";

	if (whole_row && target->partitioned)
		fprintf(out, "(tableoid, ctid) IN (SELECT tableoid, ctid FROM %s WHERE ", target->quoted);
	else if (whole_row)
		fprintf(out, "ctid = (SELECT ctid FROM ONLY %s WHERE ", target->quoted);
	for (int i = 0; i < count; i++)
	{
		int column = whole_row ? i : relation->key_columns[i];

		/* What both compute can be a key, and must not be left out of one. */
		if (target->columns[column].skip && (whole_row || target->columns[column].type == 0))
			continue;
		statement->where_columns[statement->where_count++] = column;
		fputs(join, out);
		write_condition(out, target, column, statement->new_count + statement->where_count,
						whole_row);
		join = " AND ";
	}
	if (statement->where_count == 0)
		fputs("true", out);
	if (whole_row)
		fputs(" LIMIT 1)", out);
}

/* ---- one row ---- */

/* "(a, b)": the columns that take values, which become the statement's. */
static void
write_column_list(FILE *out, const pen_target *target, pen_target_statement *statement)
{
	fputc('(', out);
	for (int i = 0; i < target->relation->column_count; i++)
	{
		if (target->columns[i].skip)
			continue;
		fprintf(out, "%s%s", statement->new_count > 0 ? ", " : "", target->columns[i].quoted);
		statement->new_columns[statement->new_count++] = i;
	}
	fputc(')', out);
}

static void
write_insert(FILE *out, pen_target *target, pen_target_statement *statement)
{
	fprintf(out, "INSERT INTO %s ", target->quoted);
	write_column_list(out, target, statement);
	if (statement->new_count == 0)
	{
		rewind(out);
		fprintf(out, "INSERT INTO %s DEFAULT VALUES", target->quoted);
		return;
	}
	fprintf(out, "%s VALUES (", target->has_identity ? " OVERRIDING SYSTEM VALUE" : "");
	for (int i = 1; i <= statement->new_count; i++)
		fprintf(out, "%s$%d", i > 1 ? ", " : "", i);
	fputc(')', out);
}

static bool
is_key(const penstock_relation *relation, int column)
{
	for (int k = 0; k < relation->key_count; k++)
	{
		if (relation->key_columns[k] == column)
			return true;
	}
	return false;
}

/* An INSERT over the row that is there. */
static void
write_upsert(FILE *out, pen_target *target, pen_target_statement *statement)
{
	const penstock_relation *relation = target->relation;
	const char *join = " DO UPDATE SET ";
	bool set = false;

	write_insert(out, target, statement);
	for (int k = 0; k < relation->key_count; k++)
		fprintf(out, "%s%s", k > 0 ? ", " : " ON CONFLICT (",
				target->columns[relation->key_columns[k]].quoted);
	fputc(')', out);
	for (int i = 0; i < relation->column_count; i++)
	{
		const pen_target_column *column = &target->columns[i];

		if (column->skip || column->identity_always || is_key(relation, i))
			continue;
		fprintf(out, "%s%s = excluded.%s", join, column->quoted, column->quoted);
		join = ", ";
		set = true;
	}
	if (!set)
		fputs(" DO NOTHING", out);
}

/* Nothing to set: still look that the row is there. */
static void
write_idle_set(FILE *out, const pen_target *target, const char *alias)
{
	for (int i = 0; i < target->relation->column_count; i++)
	{
		const pen_target_column *column = &target->columns[i];

		if (column->skip || column->identity_always)
			continue;
		fprintf(out, "%s = %s%s", column->quoted, alias, column->quoted);
		return;
	}
	if (target->own_count > 0)
		fprintf(out, "%s = %s%s", target->own_columns[0], alias, target->own_columns[0]);
}

/* A GENERATED ALWAYS column cannot be set: it becomes a condition, and where that is not met, the
 * MOVE that follows finds the row. */
static void
write_update(FILE *out, pen_target *target, pen_target_statement *statement,
			 const uint8_t *left_out)
{
	int count = target->relation->column_count;
	int set = 0;

	fprintf(out, "UPDATE %s%s SET ", pen_target_only(target), target->quoted);
	for (int i = 0; i < count; i++)
	{
		if (target->columns[i].skip || is_left_out(left_out, i))
			continue;
		statement->new_columns[statement->new_count++] = i;
		if (target->columns[i].identity_always)
			statement->guarded = true;
		else
			fprintf(out, "%s%s = $%d", set++ > 0 ? ", " : "", target->columns[i].quoted,
					statement->new_count);
	}
	if (set == 0)
		write_idle_set(out, target, "");
	fputs(" WHERE ", out);
	write_where(out, target, statement);
	for (int i = 0; i < statement->new_count; i++)
	{
		const pen_target_column *column = &target->columns[statement->new_columns[i]];

		if (column->identity_always)
			fprintf(out, " AND %s = $%d", column->quoted, i + 1);
	}
}

/* The values of the row that MOVE inserts: parameters, and what the row it deletes has. */
static void
write_moved_values(FILE *out, const pen_target *target, const pen_target_statement *statement)
{
	const char *join = "";

	for (int i = 0, next = 0; i < target->relation->column_count; i++)
	{
		if (target->columns[i].skip)
			continue;
		if (next < statement->new_count && statement->new_columns[next] == i)
			fprintf(out, "%s$%d", join, ++next);
		else
			fprintf(out, "%smoved.%s", join, target->columns[i].quoted);
		join = ", ";
	}
	for (int i = 0; i < target->own_count; i++)
	{
		fprintf(out, "%smoved.%s", join, target->own_columns[i]);
		join = ", ";
	}
}

/*
 * A row whose GENERATED ALWAYS column changes is deleted and inserted anew, with the values of the
 * destination's own columns. Does nothing where the column has not changed.
 */
static void
write_move(FILE *out, pen_target *target, pen_target_statement *statement, const uint8_t *left_out)
{
	const char *join = "";

	for (int i = 0; i < target->relation->column_count; i++)
	{
		if (!target->columns[i].skip && !is_left_out(left_out, i))
			statement->new_columns[statement->new_count++] = i;
	}
	fprintf(out, "WITH moved AS (DELETE FROM %s%s WHERE ", pen_target_only(target), target->quoted);
	write_where(out, target, statement);
	fputs(" AND (", out);
	for (int i = 0; i < statement->new_count; i++)
	{
		const pen_target_column *column = &target->columns[statement->new_columns[i]];

		if (!column->identity_always)
			continue;
		fprintf(out, "%s%s <> $%d", join, column->quoted, i + 1);
		join = " OR ";
	}
	fprintf(out, ") RETURNING *) INSERT INTO %s (", target->quoted);
	join = "";
	for (int i = 0; i < target->relation->column_count; i++)
	{
		if (target->columns[i].skip)
			continue;
		fprintf(out, "%s%s", join, target->columns[i].quoted);
		join = ", ";
	}
	for (int i = 0; i < target->own_count; i++)
		fprintf(out, ", %s", target->own_columns[i]);
	fputs(") OVERRIDING SYSTEM VALUE SELECT ", out);
	write_moved_values(out, target, statement);
	fputs(" FROM moved", out);
}

/* ---- sets ---- */

/* "pg_catalog.unnest($3::int4[]) AS c2": a column's array. All of a statement have one length. */
static void
write_unnest(FILE *out, const pen_target *target, int column, int param, const char *alias)
{
	const pen_target_column *to = &target->columns[column];

	fprintf(out, "pg_catalog.unnest($%d::%s[]) AS %s%d", param, to->array_type, alias, column);
}

/* A value of the set v in the column's type. */
static void
write_set_value(FILE *out, const pen_target *target, int column)
{
	const char *cast = target->columns[column].cast;

	if (cast != NULL)
		fprintf(out, "v.c%d::%s", column, cast);
	else
		fprintf(out, "v.c%d", column);
}

static void
write_set(FILE *out, const pen_target *target, const pen_target_statement *statement)
{
	int param = 0;

	fputs("(SELECT ", out);
	for (int i = 0; i < statement->new_count; i++)
	{
		fputs(param > 0 ? ", " : "", out);
		write_unnest(out, target, statement->new_columns[i], ++param, "c");
	}
	for (int i = 0; i < statement->where_count; i++)
	{
		fputs(param > 0 ? ", " : "", out);
		write_unnest(out, target, statement->where_columns[i], ++param, "k");
	}
	fputs(") v", out);
}

static void
take_key_columns(const pen_target *target, pen_target_statement *statement)
{
	for (int k = 0; k < target->relation->key_count; k++)
		statement->where_columns[statement->where_count++] = target->relation->key_columns[k];
}

static void
write_set_condition(FILE *out, const pen_target *target, const pen_target_statement *statement)
{
	for (int k = 0; k < statement->where_count; k++)
	{
		int column = statement->where_columns[k];

		fprintf(out, "%s d.%s = v.k%d", k > 0 ? " AND" : "", target->columns[column].quoted,
				column);
	}
}

static void
write_set_insert(FILE *out, pen_target *target, pen_target_statement *statement)
{
	fprintf(out, "INSERT INTO %s ", target->quoted);
	write_column_list(out, target, statement);
	fprintf(out, "%s SELECT ", target->has_identity ? " OVERRIDING SYSTEM VALUE" : "");
	for (int i = 0; i < statement->new_count; i++)
	{
		fputs(i > 0 ? ", " : "", out);
		write_set_value(out, target, statement->new_columns[i]);
	}
	fputs(" FROM ", out);
	write_set(out, target, statement);
}

/* The sub-select has the form that the planner estimates and runs best: a ProjectSet. */
static void
write_set_update(FILE *out, pen_target *target, pen_target_statement *statement,
				 const uint8_t *left_out)
{
	int set = 0;

	fprintf(out, "UPDATE %s%s d SET ", pen_target_only(target), target->quoted);
	for (int i = 0; i < target->relation->column_count; i++)
	{
		if (target->columns[i].skip || is_left_out(left_out, i))
			continue;
		statement->new_columns[statement->new_count++] = i;
		if (target->columns[i].identity_always)
			continue;
		fprintf(out, "%s%s = ", set++ > 0 ? ", " : "", target->columns[i].quoted);
		write_set_value(out, target, i);
	}
	if (set == 0)
		write_idle_set(out, target, "d.");
	take_key_columns(target, statement);
	fputs(" FROM ", out);
	write_set(out, target, statement);
	fputs(" WHERE", out);
	write_set_condition(out, target, statement);
	for (int i = 0; i < statement->new_count; i++)
	{
		int column = statement->new_columns[i];

		if (target->columns[column].identity_always)
			fprintf(out, " AND d.%s = v.c%d", target->columns[column].quoted, column);
	}
}

static void
write_set_delete(FILE *out, pen_target *target, pen_target_statement *statement)
{
	int column = target->relation->key_columns[0];

	take_key_columns(target, statement);
	fprintf(out, "DELETE FROM %s%s d", pen_target_only(target), target->quoted);
	if (target->relation->key_count == 1)
	{
		fprintf(out, " WHERE d.%s = ANY ($1::%s[])", target->columns[column].quoted,
				target->columns[column].array_type);
		return;
	}
	fputs(" USING ", out);
	write_set(out, target, statement);
	fputs(" WHERE", out);
	write_set_condition(out, target, statement);
}

char *
pen_target_copy_sql(const pen_target *target)
{
	size_t length;
	char *sql = NULL;
	FILE *out = open_memstream(&sql, &length);
	pen_target_statement columns = {
		.new_columns = calloc((size_t) target->relation->column_count + 1, sizeof(int)),
	};
	bool ok = out != NULL && columns.new_columns != NULL;

	if (ok)
	{
		fprintf(out, "COPY %s ", target->quoted);
		write_column_list(out, target, &columns);
		fprintf(out, " FROM STDIN%s", target->copy == PEN_COPY_BINARY ? " (FORMAT binary)" : "");
	}
	free(columns.new_columns);
	if (out != NULL && fclose(out) == 0 && ok)
		return sql;
	free(sql);
	return NULL;
}

/* ---- making them ---- */

static void
write_statement(FILE *out, pen_target *target, pen_target_statement *statement,
				const uint8_t *left_out)
{
	switch (statement->operation)
	{
		case PEN_TARGET_INSERT:
			write_insert(out, target, statement);
			break;
		case PEN_TARGET_UPDATE:
			write_update(out, target, statement, left_out);
			break;
		case PEN_TARGET_DELETE:
			fprintf(out, "DELETE FROM %s%s WHERE ", pen_target_only(target), target->quoted);
			write_where(out, target, statement);
			break;
		case PEN_TARGET_UPSERT:
			write_upsert(out, target, statement);
			break;
		case PEN_TARGET_MOVE:
			write_move(out, target, statement, left_out);
			break;
		case PEN_TARGET_SET_INSERT:
			write_set_insert(out, target, statement);
			break;
		case PEN_TARGET_SET_UPDATE:
			write_set_update(out, target, statement, left_out);
			break;
		case PEN_TARGET_SET_DELETE:
			write_set_delete(out, target, statement);
			break;
	}
}

static void
free_statement(pen_target_statement *statement)
{
	free(statement->sql);
	free(statement->left_out);
	free(statement->new_columns);
	free(statement->where_columns);
	free(statement);
}

void
pen_target_statements_free(pen_target_statement *statement)
{
	while (statement != NULL)
	{
		pen_target_statement *next = statement->next;

		free_statement(statement);
		statement = next;
	}
}

void
pen_target_statement_rename(pen_target_statement *statement)
{
	snprintf(statement->name, sizeof(statement->name), "p%u_%u", statement->target->serial,
			 statement->target->statement_count++);
}

static pen_target_statement *
new_statement(pen_target *target, pen_target_operation operation, const uint8_t *left_out,
			  size_t mask_bytes)
{
	pen_target_statement *statement = calloc(1, sizeof(*statement));
	size_t columns = (size_t) target->relation->column_count + 1;
	size_t length;
	FILE *out;

	if (statement == NULL)
		return NULL;
	statement->target = target;
	statement->operation = operation;
	pen_target_statement_rename(statement);
	statement->new_columns = calloc(columns, sizeof(int));
	statement->where_columns = calloc(columns, sizeof(int));
	statement->left_out = calloc(1, mask_bytes);
	out = open_memstream(&statement->sql, &length);
	if (statement->new_columns != NULL && statement->where_columns != NULL &&
		statement->left_out != NULL && out != NULL)
	{
		if (left_out != NULL)
			memcpy(statement->left_out, left_out, mask_bytes);
		write_statement(out, target, statement, left_out);
		if (fclose(out) == 0)
			return statement;
	}
	else if (out != NULL)
		fclose(out);
	free_statement(statement);
	return NULL;
}

pen_target_statement *
pen_target_statement_get(pen_target *target, pen_target_operation operation,
						 const uint8_t *left_out, pen_error *error)
{
	size_t mask_bytes = (size_t) target->relation->column_count / 8 + 1;
	pen_target_statement *statement = target->statements;

	while (statement != NULL &&
		   (statement->operation != operation ||
			(left_out != NULL && memcmp(statement->left_out, left_out, mask_bytes) != 0)))
		statement = statement->next;
	if (statement == NULL)
	{
		statement = new_statement(target, operation, left_out, mask_bytes);
		if (statement == NULL)
		{
			pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
			return NULL;
		}
		statement->next = target->statements;
		target->statements = statement;
	}
	return statement;
}
