/* relation.c -- descriptions of tables: one block of memory each, counted references. */
#include "event/relation.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct shared_relation
{
	penstock_relation relation; /* first: pointers to it are pointers to this */
	atomic_uint references;
	int identity_count;
	size_t size;
} shared_relation;

static const shared_relation *
shared_of(const penstock_relation *relation)
{
	return (const shared_relation *) relation;
}

static penstock_status
check_draft(const penstock_relation *draft, pen_error *error)
{
	if (draft->schema == NULL || draft->name == NULL || draft->name[0] == '\0')
		return pen_error_set(error, PENSTOCK_E_DATA, "a relation has no name");
	if (draft->column_count < 0 || draft->column_count > PEN_RELATION_COLUMNS_MAX)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "table %s.%s has %d columns; at most %d are possible", draft->schema,
							 draft->name, draft->column_count, PEN_RELATION_COLUMNS_MAX);
	for (int i = 0; i < draft->column_count; i++)
	{
		const penstock_column *column = &draft->columns[i];

		if (column->name == NULL || column->name[0] == '\0' ||
			column->attnum <= (i > 0 ? draft->columns[i - 1].attnum : 0))
			return pen_error_set(error, PENSTOCK_E_DATA,
								 "column %d of table %s.%s has no name or is out of order", i + 1,
								 draft->schema, draft->name);
	}
	return PENSTOCK_OK;
}

static bool
is_key_column(const penstock_relation *draft, const penstock_column *column, bool has_primary_key)
{
	if (draft->replica_identity == 'f')
		return has_primary_key && column->primary_key > 0;
	return column->identity > 0;
}

static char *
copy_string(char **space, const char *string)
{
	size_t size = string != NULL ? strlen(string) + 1 : 1;
	char *copy = *space;

	if (string != NULL)
		memcpy(copy, string, size);
	else
		copy[0] = '\0';
	*space += size;
	return copy;
}

static size_t
string_size(const char *string)
{
	return string != NULL ? strlen(string) + 1 : 1;
}

const penstock_relation *
pen_relation_new(const penstock_relation *draft, pen_error *error)
{
	size_t count;
	size_t size;
	bool has_primary_key = false;
	shared_relation *shared;
	penstock_column *columns;
	int *key_columns;
	char *space;

	if (check_draft(draft, error) < 0)
		return NULL;
	count = (size_t) draft->column_count;
	size = sizeof(*shared) + count * (sizeof(*columns) + sizeof(*key_columns)) +
		   string_size(draft->schema) + string_size(draft->name);
	for (size_t i = 0; i < count; i++)
	{
		size += string_size(draft->columns[i].name) + string_size(draft->columns[i].type_schema) +
				string_size(draft->columns[i].type_name);
		has_primary_key = has_primary_key || draft->columns[i].primary_key > 0;
	}
	shared = calloc(1, size);
	if (shared == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the columns of table %s.%s",
					  draft->schema, draft->name);
		return NULL;
	}
	columns = (penstock_column *) (shared + 1);
	key_columns = (int *) (columns + count);
	space = (char *) (key_columns + count);
	shared->relation = *draft;
	shared->relation.schema = copy_string(&space, draft->schema);
	shared->relation.name = copy_string(&space, draft->name);
	shared->relation.columns = columns;
	shared->relation.key_columns = key_columns;
	shared->relation.key_count = 0;
	for (size_t i = 0; i < count; i++)
	{
		columns[i] = draft->columns[i];
		columns[i].name = copy_string(&space, draft->columns[i].name);
		columns[i].type_schema = copy_string(&space, draft->columns[i].type_schema);
		columns[i].type_name = copy_string(&space, draft->columns[i].type_name);
		if (columns[i].identity > 0)
			shared->identity_count++;
		if (is_key_column(draft, &columns[i], has_primary_key))
			key_columns[shared->relation.key_count++] = (int) i;
	}
	shared->size = size;
	atomic_init(&shared->references, 1);
	return &shared->relation;
}

const penstock_relation *
pen_relation_ref(const penstock_relation *relation)
{
	atomic_fetch_add_explicit(&((shared_relation *) relation)->references, 1, memory_order_relaxed);
	return relation;
}

void
pen_relation_unref(const penstock_relation *relation)
{
	shared_relation *shared = (shared_relation *) relation;

	if (shared != NULL &&
		atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1)
		free(shared);
}

int
pen_relation_identity_count(const penstock_relation *relation)
{
	return shared_of(relation)->identity_count;
}

size_t
pen_relation_size(const penstock_relation *relation)
{
	return shared_of(relation)->size;
}
