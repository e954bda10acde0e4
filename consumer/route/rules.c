/* rules.c -- parse what is said of tables.
 * Lists are kept sorted, so that equal rules look equal. */
#include <stdlib.h>
#include <string.h>

#include "route/rules_private.h"

const char *const pen_rule_keys[] = {"to", "columns", "where", "destination", NULL};

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the mapping of tables");
}

pen_rule *
pen_rule_new(const char *patterns, const char *where_it_stands, pen_error *error)
{
	pen_rule *rule = calloc(1, sizeof(*rule));

	if (rule == NULL || (rule->stands_at = strdup(where_it_stands)) == NULL)
	{
		no_memory(error);
		free(rule);
		return NULL;
	}
	rule->route = pen_route_new(patterns, error);
	if (rule->route != NULL && patterns[0] != '\0')
		return rule;
	if (rule->route != NULL)
		pen_error_set(error, PENSTOCK_E_CONFIG, "which tables are meant is not said");
	pen_rule_free(rule);
	return NULL;
}

void
pen_rule_free(pen_rule *rule)
{
	if (rule == NULL)
		return;
	for (size_t i = 0; i < rule->column_count; i++)
		free(rule->columns[i]);
	for (size_t i = 0; i < rule->rename_count; i++)
	{
		free(rule->renames[i].from);
		free(rule->renames[i].to);
	}
	free(rule->columns);
	free(rule->renames);
	free(rule->schema);
	free(rule->table);
	free(rule->destination);
	pen_where_free(rule->where);
	pen_route_free(rule->route);
	free(rule->stands_at);
	free(rule);
}

const char *
pen_rule_stands_at(const pen_rule *rule)
{
	return rule->stands_at;
}

const char *
pen_rule_destination(const pen_rule *rule)
{
	return rule->destination;
}

/* ---- setting ---- */

static penstock_status
set_to(pen_rule *rule, const char *value, pen_error *error)
{
	char *schema = NULL;
	char *table = NULL;

	if (rule->has_to)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "to is given twice");
	if (pen_route_split_name(value, &schema, &table, error) < 0)
		return error->status;
	if (schema != NULL && strcmp(schema, "penstock") == 0)
	{
		free(schema);
		free(table);
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "to: the schema penstock is where progress is kept");
	}
	rule->has_to = true;
	rule->schema = schema;
	rule->table = table;
	return PENSTOCK_OK;
}

static int
compare_texts(const void *left, const void *right)
{
	return strcmp(*(char *const *) left, *(char *const *) right);
}

static penstock_status
set_columns(pen_rule *rule, const char *value, pen_error *error)
{
	const char *text = value;
	char *name;

	if (rule->column_count > 0)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "columns is given twice");
	while (text != NULL)
	{
		char **columns = realloc(rule->columns, (rule->column_count + 1) * sizeof(*columns));

		if (columns == NULL)
			return no_memory(error);
		rule->columns = columns;
		text = pen_route_next_name(text, &name);
		if (name == NULL)
			return no_memory(error);
		columns[rule->column_count++] = name;
		if (name[0] == '\0')
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "columns: the name of a column is empty; names stand between "
								 "commas");
	}
	qsort(rule->columns, rule->column_count, sizeof(*rule->columns), compare_texts);
	for (size_t i = 1; i < rule->column_count; i++)
	{
		if (strcmp(rule->columns[i], rule->columns[i - 1]) == 0)
			return pen_error_set(error, PENSTOCK_E_CONFIG, "columns: \"%s\" stands there twice",
								 rule->columns[i]);
	}
	return PENSTOCK_OK;
}

static int
compare_renames(const void *left, const void *right)
{
	return strcmp(((const pen_rename *) left)->from, ((const pen_rename *) right)->from);
}

static penstock_status
add_rename(pen_rule *rule, const char *from, const char *to, pen_error *error)
{
	pen_rename *renames = realloc(rule->renames, (rule->rename_count + 1) * sizeof(*renames));
	pen_rename added;

	if (renames == NULL)
		return no_memory(error);
	rule->renames = renames;
	if (from[0] == '\0' || to[0] == '\0')
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "a column is renamed by rename.OLD = NEW; a name is missing");
	for (size_t i = 0; i < rule->rename_count; i++)
	{
		if (strcmp(renames[i].from, from) == 0)
			return pen_error_set(error, PENSTOCK_E_CONFIG, "rename.%s is given twice", from);
		if (strcmp(renames[i].to, to) == 0)
			return pen_error_set(error, PENSTOCK_E_CONFIG,
								 "rename.%s and rename.%s give two columns one name",
								 renames[i].from, from);
	}
	added = (pen_rename){strdup(from), strdup(to)};
	renames[rule->rename_count++] = added;
	if (added.from == NULL || added.to == NULL)
		return no_memory(error);
	qsort(renames, rule->rename_count, sizeof(*renames), compare_renames);
	return PENSTOCK_OK;
}

static penstock_status
set_destination(pen_rule *rule, const char *value, pen_error *error)
{
	if (rule->destination != NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "destination is given twice");
	if (value[0] == '\0')
		return pen_error_set(error, PENSTOCK_E_CONFIG, "destination has no name");
	rule->destination = strdup(value);
	return rule->destination != NULL ? PENSTOCK_OK : no_memory(error);
}

penstock_status
pen_rule_set(pen_rule *rule, const char *key, const char *value, pen_error *error)
{
	if (strcmp(key, "to") == 0)
		return set_to(rule, value, error);
	if (strcmp(key, "columns") == 0)
		return set_columns(rule, value, error);
	if (strncmp(key, "rename.", 7) == 0)
		return add_rename(rule, key + 7, value, error);
	if (strcmp(key, "destination") == 0)
		return set_destination(rule, value, error);
	if (strcmp(key, "where") != 0)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "there is no key \"%.60s\"", key);
	if (rule->where != NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "where is given twice");
	rule->where = pen_where_parse(value, error);
	return rule->where != NULL ? PENSTOCK_OK : error->status;
}

/* ---- two rules ---- */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_columns(const pen_rule *a, const pen_rule *b)
{
	if (a->column_count != b->column_count)
		return false;
	for (size_t i = 0; i < a->column_count; i++)
	{
		if (strcmp(a->columns[i], b->columns[i]) != 0)
			return false;
	}
	return true;
}

const char *
pen_rule_contradicts(const pen_rule *a, const pen_rule *b)
{
	if (a->has_to && b->has_to &&
		(!same_text(a->table, b->table) || !same_text(a->schema, b->schema)))
		return "to";
	if (a->column_count > 0 && b->column_count > 0 && !same_columns(a, b))
		return "columns";
	if (a->where != NULL && b->where != NULL &&
		strcmp(pen_where_canonical(a->where), pen_where_canonical(b->where)) != 0)
		return "where";
	for (size_t i = 0; i < a->rename_count; i++)
	{
		for (size_t j = 0; j < b->rename_count; j++)
		{
			if (strcmp(a->renames[i].from, b->renames[j].from) == 0 &&
				strcmp(a->renames[i].to, b->renames[j].to) != 0)
				return "rename";
		}
	}
	return NULL;
}

penstock_status
pen_rules_compare(const pen_rule *a, const pen_rule *b, pen_error *error)
{
	const char *key = pen_rule_contradicts(a, b);
	bool one_table;

	if (a->destination != NULL && b->destination != NULL &&
		!same_text(a->destination, b->destination))
		return PENSTOCK_OK;
	one_table = pen_route_shares_name(a->route, b->route);
	if (key != NULL && one_table)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "%s is something else at %s, for a table that both sections mean", key,
							 a->stands_at);
	if (!one_table && a->schema != NULL && a->table != NULL && same_text(a->table, b->table) &&
		same_text(a->schema, b->schema) && pen_route_is_literal(a->route) &&
		pen_route_is_literal(b->route))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "to sends a second table to %s.%s, as the section at %s does; a "
							 "destination's table takes the rows of one",
							 a->schema, a->table, a->stands_at);
	return PENSTOCK_OK;
}
