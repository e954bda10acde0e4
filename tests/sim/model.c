/* model.c -- versions of tables, and the state after each commit. */
#include "model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "report.h"

#define NULLS_PERCENT 15

/* ---- commits ---- */

void
sim_model_init(sim_model *model)
{
	sim_state empty;

	memset(model, 0, sizeof(*model));
	memset(&empty, 0, sizeof(empty));
	sim_model_commit(model, &empty, 0, 0, 0, false);
}

void
sim_model_reset(sim_model *model)
{
	for (size_t i = 0; i < model->commit_count; i++)
		sim_state_reset(&model->commits[i].state);
	free(model->commits);
	sim_arena_reset(&model->arena);
	memset(model, 0, sizeof(*model));
}

void
sim_model_commit(sim_model *model, const sim_state *state, uint64_t before, uint64_t after,
				 long step, bool was_prepared)
{
	size_t size = (model->commit_count + 1) * sizeof(*model->commits);
	sim_commit *commits = realloc(model->commits, size);
	sim_commit *commit;

	if (commits == NULL)
		sim_die("out of memory");
	model->commits = commits;
	commit = &commits[model->commit_count++];
	commit->before = before;
	commit->after = after;
	commit->step = step;
	commit->was_prepared = was_prepared;
	sim_state_copy(&commit->state, state);
}

const sim_commit *
sim_model_last(const sim_model *model)
{
	return &model->commits[model->commit_count - 1];
}

static bool
same_state(const sim_state *a, const sim_state *b)
{
	for (int i = 0; i < SIM_TABLES_MAX; i++)
	{
		if (a->tables[i] != b->tables[i])
			return false;
	}
	return true;
}

/* COMMIT PREPARED is seen a moment before progress has moved, or longer where a crash comes between
 * the two. A commit without changes is not sent, and moves nothing. */
static size_t
last_seen(const sim_model *model, size_t n)
{
	size_t next = n + 1;

	while (next < model->commit_count && !model->commits[next].was_prepared &&
		   same_state(&model->commits[next].state, &model->commits[n].state))
		next++;
	return next < model->commit_count && model->commits[next].was_prepared ? next : n;
}

void
sim_model_at(const sim_model *model, uint64_t lsn, size_t *first, size_t *last)
{
	size_t n = model->commit_count - 1;

	while (n > 0 && model->commits[n].before >= lsn)
		n--;
	*first = n > 0 && model->commits[n].after > lsn ? n - 1 : n;
	*last = last_seen(model, n);
}

/* ---- states ---- */

void
sim_state_copy(sim_state *into, const sim_state *from)
{
	*into = *from;
	for (int i = 0; i < SIM_TABLES_MAX; i++)
	{
		if (into->tables[i] != NULL)
			into->tables[i]->references++;
	}
}

void
sim_state_reset(sim_state *state)
{
	for (int i = 0; i < SIM_TABLES_MAX; i++)
		sim_version_release(state->tables[i]);
	memset(state, 0, sizeof(*state));
}

void
sim_state_put(sim_state *state, int table, sim_version *version)
{
	sim_version_release(state->tables[table]);
	state->tables[table] = version;
}

/* ---- schemas ---- */

static sim_column *
add_column(sim_schema *schema, sim_role role, int type, const char *name)
{
	sim_column *column = &schema->columns[schema->column_count++];

	column->role = role;
	column->type = type;
	snprintf(column->name, sizeof(column->name), "%s", name);
	return column;
}

const sim_schema *
sim_schema_new(sim_model *model, int number, int key, char identity, int parts)
{
	sim_schema *schema = sim_arena_take(&model->arena, sizeof(*schema));

	memset(schema, 0, sizeof(*schema));
	schema->number = number;
	schema->key = key;
	schema->identity = identity;
	schema->parts = parts;
	snprintf(schema->name, sizeof(schema->name), number % 4 == 3 ? "Ta \"ble\" %d" : "t%d", number);
	/* Where the key comes last, it is not where it is looked for first. */
	for (int part = 0; part < sim_keys[key].part_count; part++)
		add_column(schema, SIM_ROLE_KEY, part, part == 0 ? "k" : "k2");
	add_column(schema, SIM_ROLE_ID, 0, "id");
	if (identity == 'i')
		add_column(schema, SIM_ROLE_UNIQUE, 0, "u");
	if (number % 3 == 1)
		add_column(schema, SIM_ROLE_GENERATED, 0, "g");
	return schema;
}

static sim_schema *
copy_schema(sim_model *model, const sim_schema *schema)
{
	sim_schema *copy = sim_arena_take(&model->arena, sizeof(*copy));

	*copy = *schema;
	return copy;
}

const sim_schema *
sim_schema_add(sim_model *model, const sim_schema *schema, int type, const char *initial)
{
	sim_schema *copy;
	char name[24];
	int serial;

	if (schema->column_count == SIM_COLUMNS_MAX)
		return NULL;
	copy = copy_schema(model, schema);
	/* Some that must be quoted. */
	serial = ++model->column_serial;
	snprintf(name, sizeof(name), serial % 5 == 4 ? "Co\"l %d" : "c%d", serial);
	add_column(copy, SIM_ROLE_VALUE, type, name)->initial = initial;
	return copy;
}

const sim_schema *
sim_schema_drop(sim_model *model, const sim_schema *schema, int column)
{
	sim_schema *copy = copy_schema(model, schema);

	copy->columns[column].dropped = true;
	return copy;
}

const sim_schema *
sim_schema_identify(sim_model *model, const sim_schema *schema, char identity)
{
	sim_schema *copy = copy_schema(model, schema);

	copy->identity = identity;
	return copy;
}

bool
sim_schema_has_identity(const sim_schema *schema)
{
	return schema->identity == 'f' || schema->identity == 'i' ||
		   (schema->identity == 'd' && sim_keys[schema->key].unique);
}

void
sim_print_quoted(FILE *out, const char *name)
{
	putc('"', out);
	for (; *name != '\0'; name++)
	{
		if (*name == '"')
			putc('"', out);
		putc(*name, out);
	}
	putc('"', out);
}

void
sim_schema_print_name(FILE *out, const sim_schema *schema)
{
	fputs("app.", out);
	sim_print_quoted(out, schema->name);
}

void
sim_schema_print_part(FILE *out, const sim_schema *schema, int part)
{
	fprintf(out, "app.t%d_part%d", schema->number, part);
}

int
sim_part_of(const sim_schema *schema, int64_t id)
{
	int64_t part = id / SIM_PART_IDS;

	return part < schema->parts ? (int) part : schema->parts - 1;
}

/* ---- rows ---- */

const char *
sim_row_value(const sim_schema *schema, const sim_row *row, int column)
{
	return column < row->count ? row->values[column] : schema->columns[column].initial;
}

/* What follows from the id: the key, and what is computed. NULL for a column of its own. */
static const char *
derived_value(sim_model *model, const sim_schema *schema, int column, int64_t id, int variant)
{
	const sim_column *c = &schema->columns[column];

	switch (c->role)
	{
		case SIM_ROLE_ID:
			return sim_arena_print(&model->arena, "%" PRId64, id);
		case SIM_ROLE_KEY:
			return sim_keys[schema->key].make(&model->arena, c->type, id, variant);
		case SIM_ROLE_UNIQUE:
			return sim_arena_print(&model->arena, "%" PRId64, id * 10 + variant);
		case SIM_ROLE_GENERATED:
			return sim_arena_print(&model->arena, "%" PRId64, id % 7 * 3);
		case SIM_ROLE_VALUE:
			break;
	}
	return NULL;
}

static sim_row *
new_row(sim_model *model, const sim_schema *schema, int64_t id, int variant)
{
	size_t size = sizeof(sim_row) + (size_t) schema->column_count * sizeof(const char *);
	sim_row *row = sim_arena_take(&model->arena, size);

	row->id = id;
	row->variant = variant;
	row->count = schema->column_count;
	for (int i = 0; i < schema->column_count; i++)
		row->values[i] =
			schema->columns[i].dropped ? NULL : derived_value(model, schema, i, id, variant);
	return row;
}

static const char *
random_value(sim_model *model, const sim_column *column, uint64_t number)
{
	uint64_t chance = sim_hash(number, 1, 1) % 100;

	return chance < NULLS_PERCENT ? NULL : sim_value(&model->arena, column->type, number);
}

static bool
has_own_value(const sim_column *column)
{
	return column->role == SIM_ROLE_VALUE && !column->dropped;
}

int
sim_row_compare(const sim_schema *schema, const sim_row *a, const sim_row *b)
{
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	for (int i = 0; i < schema->column_count; i++)
	{
		const char *x = sim_row_value(schema, a, i);
		const char *y = sim_row_value(schema, b, i);
		int order;

		if (schema->columns[i].dropped || x == y)
			continue;
		if (x == NULL || y == NULL)
			return x == NULL ? -1 : 1;
		order = strcmp(x, y);
		if (order != 0)
			return order;
	}
	return 0;
}

/* ---- versions ---- */

static sim_version *
version_of(const sim_schema *schema, size_t count)
{
	sim_version *version = malloc(sizeof(*version) + count * sizeof(version->rows[0]));

	if (version == NULL)
		sim_die("out of memory");
	version->references = 1;
	version->schema = schema;
	version->count = count;
	return version;
}

sim_version *
sim_version_new(const sim_schema *schema)
{
	return version_of(schema, 0);
}

void
sim_version_release(sim_version *version)
{
	if (version != NULL && --version->references == 0)
		free(version);
}

sim_version *
sim_version_alter(const sim_version *version, const sim_schema *schema)
{
	sim_version *altered = version_of(schema, version->count);

	memcpy(altered->rows, version->rows, version->count * sizeof(version->rows[0]));
	return altered;
}

/* The first row whose id is not below. */
static size_t
first_from(const sim_version *version, int64_t id)
{
	size_t low = 0;
	size_t high = version->count;

	while (low < high)
	{
		size_t middle = low + (high - low) / 2;

		if (version->rows[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t
sim_version_find(const sim_version *version, int64_t first, int64_t last, size_t *count)
{
	size_t from = first_from(version, first);
	size_t to = first_from(version, last + 1);

	*count = to > from ? to - from : 0;
	return from;
}

/* version without the rows from..from+count, and with others, which are in order, there. */
static sim_version *
replace(const sim_version *version, size_t from, size_t count, const sim_row **others,
		size_t other_count)
{
	sim_version *result = version_of(version->schema, version->count - count + other_count);
	size_t rest = version->count - from - count;

	memcpy(result->rows, version->rows, from * sizeof(*others));
	if (other_count > 0)
		memcpy(result->rows + from, others, other_count * sizeof(*others));
	memcpy(result->rows + from + other_count, version->rows + from + count, rest * sizeof(*others));
	return result;
}

sim_version *
sim_version_insert(sim_model *model, const sim_version *version, int64_t first, int64_t last,
				   uint64_t seed, const sim_row ***added, size_t *added_count)
{
	const sim_schema *schema = version->schema;
	size_t count;
	size_t from = sim_version_find(version, first, last, &count);
	size_t ids = last >= first ? (size_t) (last - first + 1) : 0;
	const sim_row **all = sim_arena_take(&model->arena, (count + ids) * sizeof(*all));
	size_t all_count = 0;
	size_t old = from;

	*added = sim_arena_take(&model->arena, ids * sizeof(**added));
	*added_count = 0;
	for (int64_t id = first; id <= last; id++)
	{
		bool taken = old < from + count && version->rows[old]->id == id;
		sim_row *row;

		while (old < from + count && version->rows[old]->id == id)
			all[all_count++] = version->rows[old++];
		if (taken && sim_keys[schema->key].unique)
			continue;
		row = new_row(model, schema, id, (int) (seed % 10));
		for (int i = 0; i < schema->column_count; i++)
		{
			if (has_own_value(&schema->columns[i]))
				row->values[i] = random_value(model, &schema->columns[i],
											  sim_hash(seed, (uint64_t) id, (uint64_t) i));
		}
		all[all_count++] = (*added)[(*added_count)++] = row;
	}
	return replace(version, from, count, all, all_count);
}

void
sim_assignment_make(sim_model *model, const sim_schema *schema, uint64_t seed,
					sim_assignment *assignment)
{
	memset(assignment, 0, sizeof(*assignment));
	for (int i = 0; i < schema->column_count; i++)
	{
		uint64_t number = sim_hash(seed, 2, (uint64_t) i);

		if (!has_own_value(&schema->columns[i]) || sim_hash(number, 3, 3) % 2 == 0)
			continue;
		assignment->set[i] = true;
		assignment->values[i] = random_value(model, &schema->columns[i], number);
	}
}

/* The row with its later columns. */
static sim_row *
copy_row(sim_model *model, const sim_schema *schema, const sim_row *row)
{
	size_t size = sizeof(sim_row) + (size_t) schema->column_count * sizeof(const char *);
	sim_row *copy = sim_arena_take(&model->arena, size);

	copy->id = row->id;
	copy->variant = row->variant;
	copy->count = schema->column_count;
	for (int i = 0; i < schema->column_count; i++)
		copy->values[i] = sim_row_value(schema, row, i);
	return copy;
}

sim_version *
sim_version_update(sim_model *model, const sim_version *version, int64_t first, int64_t last,
				   const sim_assignment *assignment)
{
	const sim_schema *schema = version->schema;
	size_t count;
	size_t from = sim_version_find(version, first, last, &count);
	const sim_row **rows = sim_arena_take(&model->arena, count * sizeof(*rows));

	for (size_t n = 0; n < count; n++)
	{
		sim_row *row = copy_row(model, schema, version->rows[from + n]);

		for (int i = 0; i < schema->column_count; i++)
		{
			if (assignment->set[i])
				row->values[i] = assignment->values[i];
		}
		rows[n] = row;
	}
	return replace(version, from, count, rows, count);
}

sim_version *
sim_version_rekey(sim_model *model, const sim_version *version, int64_t id, int64_t new_id,
				  int variant, const sim_row **moved)
{
	const sim_schema *schema = version->schema;
	size_t count;
	size_t taken;
	size_t from = sim_version_find(version, id, id, &count);
	const sim_row **rows = sim_arena_take(&model->arena, count * sizeof(*rows));
	sim_version *without;
	sim_version *result;

	sim_version_find(version, new_id, new_id, &taken);
	if (count == 0 || (taken > 0 && new_id != id && sim_keys[schema->key].unique))
		return NULL;
	for (size_t n = 0; n < count; n++)
	{
		sim_row *row = copy_row(model, schema, version->rows[from + n]);

		row->id = new_id;
		row->variant = variant;
		for (int i = 0; i < schema->column_count; i++)
		{
			if (!schema->columns[i].dropped && schema->columns[i].role != SIM_ROLE_VALUE)
				row->values[i] = derived_value(model, schema, i, new_id, variant);
		}
		rows[n] = *moved = row;
	}
	without = replace(version, from, count, NULL, 0);
	result = replace(without, first_from(without, new_id), 0, rows, count);
	sim_version_release(without);
	return result;
}

sim_version *
sim_version_delete(const sim_version *version, int64_t first, int64_t last)
{
	size_t count;
	size_t from = sim_version_find(version, first, last, &count);

	return replace(version, from, count, NULL, 0);
}

sim_version *
sim_version_delete_one(const sim_version *version, int64_t id)
{
	size_t count;
	size_t from = sim_version_find(version, id, id, &count);
	size_t least = from;

	for (size_t n = from; n < from + count; n++)
	{
		if (sim_row_compare(version->schema, version->rows[n], version->rows[least]) < 0)
			least = n;
	}
	return replace(version, least, count > 0 ? 1 : 0, NULL, 0);
}
