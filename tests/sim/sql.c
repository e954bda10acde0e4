/* sql.c -- SQL from the model. */
#include "sql.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* ---- text that grows ---- */

typedef struct writing
{
	FILE *out;
	char *text;
	size_t length;
} writing;

static FILE *
begin(writing *w)
{
	w->text = NULL;
	w->out = open_memstream(&w->text, &w->length);
	if (w->out == NULL)
		sim_die("out of memory");
	return w->out;
}

static char *
end(writing *w)
{
	if (fclose(w->out) != 0)
		sim_die("out of memory");
	return w->text;
}

static void
put_literal(FILE *out, const char *value)
{
	if (value == NULL)
	{
		fputs("NULL", out);
		return;
	}
	putc('\'', out);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'')
			putc('\'', out);
		putc(*value, out);
	}
	putc('\'', out);
}

/* ---- definitions ---- */

static void
put_column(FILE *out, const sim_schema *schema, int i)
{
	const sim_column *column = &schema->columns[i];

	sim_print_quoted(out, column->name);
	switch (column->role)
	{
		case SIM_ROLE_ID:
			fprintf(out, " %s NOT NULL", sim_keys[schema->key].id_sql);
			break;
		case SIM_ROLE_KEY:
			fprintf(out, " %s NOT NULL", sim_keys[schema->key].part_sql[column->type]);
			break;
		case SIM_ROLE_UNIQUE:
			fputs(" bigint NOT NULL", out);
			break;
		case SIM_ROLE_GENERATED:
			fputs(" bigint GENERATED ALWAYS AS (id % 7 * 3) STORED", out);
			break;
		case SIM_ROLE_VALUE:
			fprintf(out, " %s", sim_types[column->type].sql);
			if (column->initial != NULL)
			{
				fputs(" DEFAULT ", out);
				put_literal(out, column->initial);
			}
			break;
	}
}

static void
put_identity(FILE *out, const sim_schema *schema, int part)
{
	fputs("ALTER TABLE ", out);
	if (part < 0)
		sim_schema_print_name(out, schema);
	else
		sim_schema_print_part(out, schema, part);
	if (schema->identity == 'i')
		fprintf(out, " REPLICA IDENTITY USING INDEX t%d_u;", schema->number);
	else
		fprintf(out, " REPLICA IDENTITY %s;",
				schema->identity == 'f'   ? "FULL"
				: schema->identity == 'n' ? "NOTHING"
										  : "DEFAULT");
}

/* Partitions have one each. */
static void
put_identities(FILE *out, const sim_schema *schema)
{
	for (int part = -1; part < schema->parts; part++)
		put_identity(out, schema, part);
}

static void
put_partition(FILE *out, const sim_schema *schema, int part)
{
	fputs("CREATE TABLE ", out);
	sim_schema_print_part(out, schema, part);
	fputs(" PARTITION OF ", out);
	sim_schema_print_name(out, schema);
	fputs(" FOR VALUES FROM (", out);
	if (part == 0)
		fputs("MINVALUE", out);
	else
		fprintf(out, "%d", part * SIM_PART_IDS);
	if (part + 1 == schema->parts)
		fputs(") TO (MAXVALUE);", out);
	else
		fprintf(out, ") TO (%d);", (part + 1) * SIM_PART_IDS);
}

/* The key in an order that is not that of the columns. */
static void
put_primary_key(FILE *out, const sim_schema *schema)
{
	static const char *const keys[] = {"id", "k", "k2, k"};

	if (sim_keys[schema->key].unique)
		fprintf(out, ", PRIMARY KEY (%s)", keys[sim_keys[schema->key].part_count]);
}

char *
sim_sql_create(const sim_schema *schema)
{
	writing w;
	FILE *out = begin(&w);

	fputs("CREATE TABLE ", out);
	sim_schema_print_name(out, schema);
	for (int i = 0; i < schema->column_count; i++)
	{
		fputs(i == 0 ? " (" : ", ", out);
		put_column(out, schema, i);
	}
	put_primary_key(out, schema);
	fputs(schema->parts > 0 ? ") PARTITION BY RANGE (id);" : ");", out);
	for (int part = 0; part < schema->parts; part++)
		put_partition(out, schema, part);
	if (schema->identity == 'i')
	{
		fprintf(out, "CREATE UNIQUE INDEX t%d_u ON ", schema->number);
		sim_schema_print_name(out, schema);
		fputs(" (u);", out);
	}
	if (schema->identity != 'd')
		put_identities(out, schema);
	return end(&w);
}

char *
sim_sql_add_column(const sim_schema *schema, int column)
{
	writing w;
	FILE *out = begin(&w);

	fputs("ALTER TABLE ", out);
	sim_schema_print_name(out, schema);
	fputs(" ADD COLUMN ", out);
	put_column(out, schema, column);
	if (schema->columns[column].type == SIM_TYPE_LONG)
	{
		fputs("; ALTER TABLE ", out);
		sim_schema_print_name(out, schema);
		fputs(" ALTER COLUMN ", out);
		sim_print_quoted(out, schema->columns[column].name);
		fputs(" SET STORAGE EXTERNAL", out);
	}
	return end(&w);
}

char *
sim_sql_drop_column(const sim_schema *schema, int column)
{
	writing w;
	FILE *out = begin(&w);

	fputs("ALTER TABLE ", out);
	sim_schema_print_name(out, schema);
	fputs(" DROP COLUMN ", out);
	sim_print_quoted(out, schema->columns[column].name);
	return end(&w);
}

char *
sim_sql_identity(const sim_schema *schema)
{
	writing w;

	put_identities(begin(&w), schema);
	return end(&w);
}

char *
sim_sql_drop(const sim_schema *schema)
{
	writing w;
	FILE *out = begin(&w);

	fputs("DROP TABLE ", out);
	sim_schema_print_name(out, schema);
	return end(&w);
}

/* ---- rows ---- */

static bool
is_given(const sim_column *column)
{
	return !column->dropped && column->role != SIM_ROLE_GENERATED;
}

static void
put_given_columns(FILE *out, const sim_schema *schema)
{
	const char *join = " (";

	for (int i = 0; i < schema->column_count; i++)
	{
		if (!is_given(&schema->columns[i]))
			continue;
		fputs(join, out);
		sim_print_quoted(out, schema->columns[i].name);
		join = ", ";
	}
	putc(')', out);
}

char *
sim_sql_insert(const sim_schema *schema, const sim_row **rows, size_t count)
{
	writing w;
	FILE *out = begin(&w);

	fputs("INSERT INTO ", out);
	sim_schema_print_name(out, schema);
	put_given_columns(out, schema);
	fputs(" VALUES ", out);
	for (size_t n = 0; n < count; n++)
	{
		const char *join = n == 0 ? "(" : ", (";

		for (int i = 0; i < schema->column_count; i++)
		{
			if (!is_given(&schema->columns[i]))
				continue;
			fputs(join, out);
			put_literal(out, sim_row_value(schema, rows[n], i));
			join = ", ";
		}
		putc(')', out);
	}
	return end(&w);
}

char *
sim_sql_copy(const sim_schema *schema)
{
	writing w;
	FILE *out = begin(&w);

	fputs("COPY ", out);
	sim_schema_print_name(out, schema);
	put_given_columns(out, schema);
	fputs(" FROM STDIN", out);
	return end(&w);
}

static void
put_copy_value(FILE *out, const char *value)
{
	if (value == NULL)
	{
		fputs("\\N", out);
		return;
	}
	for (; *value != '\0'; value++)
	{
		switch (*value)
		{
			case '\\':
				fputs("\\\\", out);
				break;
			case '\n':
				fputs("\\n", out);
				break;
			case '\t':
				fputs("\\t", out);
				break;
			default:
				putc(*value, out);
		}
	}
}

char *
sim_sql_copy_data(const sim_schema *schema, const sim_row **rows, size_t count)
{
	writing w;
	FILE *out = begin(&w);

	for (size_t n = 0; n < count; n++)
	{
		bool first = true;

		for (int i = 0; i < schema->column_count; i++)
		{
			if (!is_given(&schema->columns[i]))
				continue;
			if (!first)
				putc('\t', out);
			put_copy_value(out, sim_row_value(schema, rows[n], i));
			first = false;
		}
		putc('\n', out);
	}
	return end(&w);
}

static void
put_range(FILE *out, int64_t first, int64_t last)
{
	if (first == last)
		fprintf(out, " WHERE id = %" PRId64, first);
	else
		fprintf(out, " WHERE id BETWEEN %" PRId64 " AND %" PRId64, first, last);
}

char *
sim_sql_update(const sim_schema *schema, int64_t first, int64_t last,
			   const sim_assignment *assignment)
{
	writing w;
	FILE *out = begin(&w);
	const char *join = " SET ";

	fputs("UPDATE ", out);
	sim_schema_print_name(out, schema);
	for (int i = 0; i < schema->column_count; i++)
	{
		if (!assignment->set[i])
			continue;
		fputs(join, out);
		sim_print_quoted(out, schema->columns[i].name);
		fputs(" = ", out);
		put_literal(out, assignment->values[i]);
		join = ", ";
	}
	if (join[0] == ' ') /* an update that changes nothing is one, too */
		fputs(" SET id = id", out);
	put_range(out, first, last);
	return end(&w);
}

char *
sim_sql_rekey(const sim_schema *schema, int64_t id, const sim_row *moved)
{
	writing w;
	FILE *out = begin(&w);
	const char *join = " SET ";

	fputs("UPDATE ", out);
	sim_schema_print_name(out, schema);
	for (int i = 0; i < schema->column_count; i++)
	{
		if (!is_given(&schema->columns[i]) || schema->columns[i].role == SIM_ROLE_VALUE)
			continue;
		fputs(join, out);
		sim_print_quoted(out, schema->columns[i].name);
		fputs(" = ", out);
		put_literal(out, sim_row_value(schema, moved, i));
		join = ", ";
	}
	put_range(out, id, id);
	return end(&w);
}

char *
sim_sql_delete(const sim_schema *schema, int64_t first, int64_t last)
{
	writing w;
	FILE *out = begin(&w);

	fputs("DELETE FROM ", out);
	sim_schema_print_name(out, schema);
	put_range(out, first, last);
	return end(&w);
}

/* format() prints a value as it is sent; a cast to text may print it otherwise. */
char *
sim_sql_delete_row(const sim_schema *schema, const sim_row *row)
{
	writing w;
	FILE *out = begin(&w);

	fputs("DELETE FROM ", out);
	sim_schema_print_name(out, schema);
	fputs(" WHERE ctid = (SELECT ctid FROM ", out);
	sim_schema_print_name(out, schema);
	put_range(out, row->id, row->id);
	for (int i = 0; i < schema->column_count; i++)
	{
		const char *value = sim_row_value(schema, row, i);

		if (schema->columns[i].dropped)
			continue;
		fputs(value != NULL ? " AND format('%s', " : " AND num_nulls(", out);
		sim_print_quoted(out, schema->columns[i].name);
		fputs(") = ", out);
		put_literal(out, value != NULL ? value : "1");
	}
	fputs(" LIMIT 1)", out);
	return end(&w);
}

char *
sim_sql_truncate(const sim_schema *schema, const sim_schema *other)
{
	writing w;
	FILE *out = begin(&w);

	fputs("TRUNCATE ", out);
	sim_schema_print_name(out, schema);
	if (other != NULL)
	{
		fputs(", ", out);
		sim_schema_print_name(out, other);
	}
	return end(&w);
}

char *
sim_sql_select(const sim_schema *schema)
{
	writing w;
	FILE *out = begin(&w);
	const char *join = "SELECT ";

	for (int i = 0; i < schema->column_count; i++)
	{
		if (schema->columns[i].dropped)
			continue;
		fputs(join, out);
		sim_print_quoted(out, schema->columns[i].name);
		join = ", ";
	}
	fputs(" FROM ", out);
	sim_schema_print_name(out, schema);
	fputs(" ORDER BY id", out);
	return end(&w);
}
