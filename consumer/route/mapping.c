/* mapping.c -- rules and a table's description to what the destination sees of it.
 * All rules that mean a table count together; two that say different things of it are an error, so
 * that none is silently ignored. */
#include "route/mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "event/relation.h"
#include "route/rules_private.h"

struct pen_mapping
{
	const pen_route *run;
	pen_route *own; /* NULL: no list of its own */
	const pen_amendments *amendments;
	const pen_rule **rules;
	size_t rule_count;
};

static void *
no_memory(pen_error *error)
{
	pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the mapping of tables");
	return NULL;
}

pen_mapping *
pen_mapping_new(const pen_route *run, const char *tables, const char *destination,
				pen_rule *const *rules, size_t rule_count, pen_error *error)
{
	pen_mapping *mapping = calloc(1, sizeof(*mapping));

	if (mapping == NULL || (mapping->rules = calloc(rule_count + 1, sizeof(*rules))) == NULL)
	{
		free(mapping);
		return no_memory(error);
	}
	mapping->run = run;
	for (size_t i = 0; i < rule_count; i++)
	{
		const char *only = rules[i]->destination;

		if (only == NULL || strcmp(only, destination) == 0)
			mapping->rules[mapping->rule_count++] = rules[i];
	}
	if (tables != NULL && (mapping->own = pen_route_new(tables, error)) == NULL)
	{
		pen_mapping_free(mapping);
		return NULL;
	}
	return mapping;
}

void
pen_mapping_free(pen_mapping *mapping)
{
	if (mapping == NULL)
		return;
	pen_route_free(mapping->own);
	free(mapping->rules);
	free(mapping);
}

void
pen_mapping_amend(pen_mapping *mapping, const pen_amendments *amendments)
{
	mapping->amendments = amendments;
}

bool
pen_mapping_takes(const pen_mapping *mapping, const char *schema, const char *table)
{
	int amended = mapping != NULL ? pen_amendments_say(mapping->amendments, schema, table) : 0;

	if (amended != 0)
		return amended > 0;
	return pen_route_takes(mapping != NULL ? mapping->run : NULL, schema, table) &&
		   (mapping == NULL || mapping->own == NULL ||
			pen_route_takes(mapping->own, schema, table));
}

const pen_route *
pen_mapping_route(const pen_mapping *mapping)
{
	return mapping->own != NULL ? mapping->own : mapping->run;
}

/* ---- fingerprint ---- */

static XXH64_hash_t
hash_text(XXH64_hash_t hash, const char *text)
{
	return text != NULL ? XXH64(text, strlen(text) + 1, hash) : XXH64("\1", 1, hash);
}

static XXH64_hash_t
hash_rule(const pen_rule *rule)
{
	char fingerprint[17];
	XXH64_hash_t hash;

	pen_route_fingerprint(rule->route, fingerprint);
	hash = hash_text(0, fingerprint);
	hash = hash_text(hash, rule->schema);
	hash = hash_text(hash, rule->table);
	for (size_t i = 0; i < rule->column_count; i++)
		hash = hash_text(hash, rule->columns[i]);
	hash = hash_text(hash, NULL);
	for (size_t i = 0; i < rule->rename_count; i++)
		hash = hash_text(hash_text(hash, rule->renames[i].from), rule->renames[i].to);
	hash = hash_text(hash, NULL);
	return hash_text(hash, rule->where != NULL ? pen_where_canonical(rule->where) : NULL);
}

void
pen_mapping_fingerprint(const pen_mapping *mapping, char fingerprint[17])
{
	XXH64_hash_t sum = 0;
	XXH64_hash_t parts[3];

	pen_route_fingerprint(mapping->run, fingerprint);
	if (mapping->own == NULL && mapping->rule_count == 0)
		return;
	/* A sum does not depend on the order. */
	for (size_t i = 0; i < mapping->rule_count; i++)
		sum += hash_rule(mapping->rules[i]);
	parts[0] = hash_text(0, fingerprint);
	pen_route_fingerprint(mapping->own, fingerprint);
	parts[1] = mapping->own != NULL ? hash_text(1, fingerprint) : 0;
	parts[2] = sum;
	snprintf(fingerprint, 17, "%016llx", (unsigned long long) XXH64(parts, sizeof(parts), 0));
}

/* ---- what the rules say of one table ---- */

/* All rules for it taken together. */
typedef struct resolution
{
	const penstock_relation *source;
	const pen_rule *to;
	const pen_rule *columns;
	const pen_rule *where;
	const char **names; /* of the columns at the destination; NULL: left out */
	pen_error *error;
} resolution;

static penstock_status
refuse(const resolution *r, const pen_rule *rule, const char *what, const char *column)
{
	return pen_error_set(r->error, PENSTOCK_E_CONFIG, "table %s.%s: column \"%s\" %s (%s)",
						 r->source->schema, r->source->name, column, what, rule->stands_at);
}

static penstock_status
add_rule(resolution *r, const pen_rule *rule)
{
	const pen_rule *before[] = {r->to, r->columns, r->where};

	for (int i = 0; i < 3; i++)
	{
		const char *key = before[i] != NULL ? pen_rule_contradicts(before[i], rule) : NULL;

		if (key != NULL)
			return pen_error_set(
				r->error, PENSTOCK_E_CONFIG,
				"table %s.%s is meant by two sections that say different things of it: %s at %s "
				"and at %s",
				r->source->schema, r->source->name, key, before[i]->stands_at, rule->stands_at);
	}
	if (rule->has_to)
		r->to = rule;
	if (rule->column_count > 0)
		r->columns = rule;
	if (rule->where != NULL)
		r->where = rule;
	return PENSTOCK_OK;
}

static bool
is_listed(const pen_rule *rule, const char *name)
{
	for (size_t i = 0; i < rule->column_count; i++)
	{
		if (strcmp(rule->columns[i], name) == 0)
			return true;
	}
	return false;
}

/* Is this column needed to find a row? With REPLICA IDENTITY FULL that is the primary key. */
static bool
is_key(const penstock_relation *relation, int column)
{
	for (int i = 0; i < relation->key_count; i++)
	{
		if (relation->key_columns[i] == column)
			return true;
	}
	return false;
}

static penstock_status
choose_columns(resolution *r)
{
	const pen_rule *rule = r->columns;

	for (int i = 0; i < r->source->column_count; i++)
	{
		const char *name = r->source->columns[i].name;

		r->names[i] = rule == NULL || is_listed(rule, name) ? name : NULL;
		if (r->names[i] == NULL && is_key(r->source, i))
			return refuse(r, rule,
						  "belongs to the key by which rows are found, and is not in `columns`; "
						  "add it, or choose another REPLICA IDENTITY at the source",
						  name);
	}
	for (size_t i = 0; rule != NULL && i < rule->column_count; i++)
	{
		if (penstock_column_index(r->source, rule->columns[i]) < 0)
			return refuse(r, rule, "is in `columns`, but does not exist", rule->columns[i]);
	}
	return PENSTOCK_OK;
}

static penstock_status
rename_columns(resolution *r, const pen_rule *rule)
{
	for (size_t i = 0; i < rule->rename_count; i++)
	{
		const pen_rename *rename = &rule->renames[i];
		int column = penstock_column_index(r->source, rename->from);

		if (column < 0)
			return refuse(r, rule, "is renamed, but does not exist", rename->from);
		if (r->names[column] == NULL)
			return refuse(r, rule, "is renamed, but not in `columns`", rename->from);
		if (r->names[column] != r->source->columns[column].name &&
			strcmp(r->names[column], rename->to) != 0)
			return refuse(r, rule, "is renamed by two sections, differently", rename->from);
		r->names[column] = rename->to;
	}
	return PENSTOCK_OK;
}

static int
compare_names(const void *left, const void *right)
{
	return strcmp(*(const char *const *) left, *(const char *const *) right);
}

static penstock_status
check_names(const resolution *r)
{
	size_t count = 0;
	const char **sorted = malloc(((size_t) r->source->column_count + 1) * sizeof(*sorted));
	penstock_status status = PENSTOCK_OK;

	if (sorted == NULL)
	{
		no_memory(r->error);
		return r->error->status;
	}
	for (int i = 0; i < r->source->column_count; i++)
	{
		if (r->names[i] != NULL)
			sorted[count++] = r->names[i];
	}
	qsort(sorted, count, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < count && status >= 0; i++)
	{
		if (strcmp(sorted[i], sorted[i - 1]) == 0)
			status = pen_error_set(r->error, PENSTOCK_E_CONFIG,
								   "table %s.%s: two columns would be called \"%s\" at the "
								   "destination",
								   r->source->schema, r->source->name, sorted[i]);
	}
	free(sorted);
	return status;
}

/* Fill r->names and the rest from all rules that mean the table. */
static penstock_status
consult_rules(resolution *r, const pen_mapping *mapping)
{
	for (size_t i = 0; i < mapping->rule_count; i++)
	{
		if (pen_route_takes(mapping->rules[i]->route, r->source->schema, r->source->name) &&
			add_rule(r, mapping->rules[i]) < 0)
			return r->error->status;
	}
	if (choose_columns(r) < 0)
		return r->error->status;
	for (size_t i = 0; i < mapping->rule_count; i++)
	{
		if (pen_route_takes(mapping->rules[i]->route, r->source->schema, r->source->name) &&
			rename_columns(r, mapping->rules[i]) < 0)
			return r->error->status;
	}
	return check_names(r);
}

/* ---- all tables, by their names ---- */

bool
pen_mapping_has_rules(const pen_mapping *mapping)
{
	return mapping->rule_count > 0;
}

/* What a table is called at the destination, and at the source. */
typedef struct called
{
	pen_table_name there;
	const pen_table_name *here;
} called;

static int
compare_called(const void *left, const void *right)
{
	const called *a = left;
	const called *b = right;
	int order = strcmp(a->there.schema, b->there.schema);

	return order != 0 ? order : strcmp(a->there.name, b->there.name);
}

penstock_status
pen_mapping_name(const pen_mapping *mapping, const pen_table_name *table, pen_table_name *there,
				 pen_error *error)
{
	penstock_relation relation = {.schema = table->schema, .name = table->name};
	resolution r = {.source = &relation, .error = error};

	for (size_t i = 0; i < mapping->rule_count; i++)
	{
		if (pen_route_takes(mapping->rules[i]->route, table->schema, table->name) &&
			add_rule(&r, mapping->rules[i]) < 0)
			return error->status;
	}
	*there = *table;
	if (r.to != NULL && r.to->schema != NULL)
		there->schema = r.to->schema;
	if (r.to != NULL && r.to->table != NULL)
		there->name = r.to->table;
	return PENSTOCK_OK;
}

penstock_status
pen_mapping_check_tables(const pen_mapping *mapping, const pen_table_name *tables, size_t count,
						 pen_error *error)
{
	called *all = calloc(count + 1, sizeof(*all));
	penstock_status status = PENSTOCK_OK;
	size_t taken = 0;

	if (all == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the mapping of tables");
	for (size_t i = 0; i < count && status >= 0; i++)
	{
		if (!pen_mapping_takes(mapping, tables[i].schema, tables[i].name))
			continue;
		all[taken].here = &tables[i];
		status = pen_mapping_name(mapping, &tables[i], &all[taken++].there, error);
	}
	if (status >= 0)
		qsort(all, taken, sizeof(*all), compare_called);
	for (size_t i = 1; i < taken && status >= 0; i++)
	{
		if (compare_called(&all[i], &all[i - 1]) == 0)
			status = pen_error_set(
				error, PENSTOCK_E_CONFIG,
				"tables %s.%s and %s.%s would both be %s.%s there; a destination's table takes the "
				"rows of one: change `to` of one of them",
				all[i - 1].here->schema, all[i - 1].here->name, all[i].here->schema,
				all[i].here->name, all[i].there.schema, all[i].there.name);
	}
	free(all);
	return status;
}

/* ---- the table as the destination sees it ---- */

/* Positions in keys that lost a column, which only identities of FULL and primary keys that do not
 * identify rows do: the first are numbered anew, the second are no keys any more. */
static void
renumber_keys(penstock_column *columns, int count, const penstock_relation *source)
{
	int identity = 0;
	int primary = 0;
	int primary_before = 0;

	for (int i = 0; i < count; i++)
	{
		primary += columns[i].primary_key > 0;
		if (source->replica_identity == 'f')
			columns[i].identity = ++identity;
	}
	for (int i = 0; i < source->column_count; i++)
		primary_before += source->columns[i].primary_key > 0;
	for (int i = 0; i < count && primary < primary_before; i++)
		columns[i].primary_key = 0;
}

static const penstock_relation *
describe(const resolution *r, pen_mapped *target, int *indexes)
{
	const penstock_relation *source = r->source;
	penstock_relation draft = *source;
	penstock_column *columns = calloc((size_t) source->column_count + 1, sizeof(*columns));
	const penstock_relation *relation;
	int count = 0;

	if (columns == NULL)
		return no_memory(r->error);
	for (int i = 0; i < source->column_count; i++)
	{
		indexes[i] = r->names[i] != NULL ? count : -1;
		if (r->names[i] == NULL)
			continue;
		columns[count] = source->columns[i];
		columns[count++].name = r->names[i];
	}
	target->all_columns = count == source->column_count;
	if (!target->all_columns)
		renumber_keys(columns, count, source);
	if (r->to != NULL && r->to->schema != NULL)
		draft.schema = r->to->schema;
	if (r->to != NULL && r->to->table != NULL)
		draft.name = r->to->table;
	draft.columns = columns;
	draft.column_count = count;
	relation = pen_relation_new(&draft, r->error);
	free(columns);
	return relation;
}

static bool
is_unchanged(const penstock_relation *a, const penstock_relation *b)
{
	if (a->column_count != b->column_count || strcmp(a->schema, b->schema) != 0 ||
		strcmp(a->name, b->name) != 0)
		return false;
	for (int i = 0; i < a->column_count; i++)
	{
		if (strcmp(a->columns[i].name, b->columns[i].name) != 0)
			return false;
	}
	return true;
}

static penstock_status
build(const resolution *r, pen_mapped *target)
{
	int *indexes = calloc((size_t) r->source->column_count + 1, sizeof(*indexes));

	target->columns = indexes;
	if (indexes == NULL)
	{
		no_memory(r->error);
		return r->error->status;
	}
	target->source = pen_relation_ref(r->source);
	target->relation = describe(r, target, indexes);
	if (target->relation == NULL)
		return r->error->status;
	if (is_unchanged(target->relation, r->source))
	{
		pen_relation_unref(target->relation);
		target->relation = pen_relation_ref(r->source);
	}
	if (r->where == NULL)
		return PENSTOCK_OK;
	target->where = pen_where_bind(r->where->where, r->source, r->error);
	if (target->where != NULL)
		return PENSTOCK_OK;
	return pen_error_context(r->error, "%s", r->where->stands_at);
}

pen_mapped *
pen_mapping_resolve(const pen_mapping *mapping, const penstock_relation *source, pen_error *error)
{
	resolution r = {.source = source, .error = error};
	pen_mapped *target = calloc(1, sizeof(*target));

	r.names = calloc((size_t) source->column_count + 1, sizeof(*r.names));
	if (target == NULL || r.names == NULL)
		no_memory(error);
	else if (consult_rules(&r, mapping) >= 0 && build(&r, target) >= 0)
	{
		free(r.names);
		return target;
	}
	free(r.names);
	pen_mapped_free(target);
	return NULL;
}

void
pen_mapped_free(pen_mapped *target)
{
	if (target == NULL)
		return;
	pen_where_bound_free(target->where);
	pen_relation_unref(target->relation);
	pen_relation_unref(target->source);
	free((int *) target->columns);
	free(target);
}
