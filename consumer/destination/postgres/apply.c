/* apply.c -- changes as statements of a destination transaction, in source order.
 * Every statement that changes a row says how many it expects: exactly one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination/postgres/session.h"
#include "destination/postgres/stored.h"
#include "event/relation.h"

/* ---- targets ---- */

void
pen_postgres_forget_targets(postgres_destination *self)
{
	for (size_t i = 0; i < self->target_count; i++)
		pen_target_free(self->targets[i]);
	self->target_count = 0;
}

static penstock_status
wait_for_table(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	if (error->status == PENSTOCK_E_WAITING)
	{
		pen_relation_unref(self->missing);
		self->missing = pen_relation_ref(relation);
	}
	return pen_error_context(error, "destination %s: LSN " LSN_FORMAT, self->base.config->name,
							 LSN_ARGS(self->commit_lsn));
}

static pen_target *
add_target(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	pen_target *target;

	if (self->target_count == self->target_capacity)
	{
		size_t capacity = self->target_capacity == 0 ? 16 : self->target_capacity * 2;
		pen_target **targets = realloc(self->targets, capacity * sizeof(pen_target *));

		if (targets == NULL)
		{
			pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
			return NULL;
		}
		self->targets = targets;
		self->target_capacity = capacity;
	}
	target = pen_target_new(self->pipeline, self->conn, relation, self->base.config->allow_triggers,
							self->serial++, error);
	if (target == NULL || pen_stored_table(self->pipeline, self->source, target, error) < 0)
	{
		wait_for_table(self, relation, error);
		pen_target_free(target);
		return NULL;
	}
	return self->targets[self->target_count++] = target;
}

static penstock_status
deallocate(postgres_destination *self, const pen_target *target, pen_error *error)
{
	for (const pen_target_statement *s = target->statements; s != NULL; s = s->next)
	{
		char sql[80];

		snprintf(sql, sizeof(sql), "DEALLOCATE %s", s->name);
		if (s->prepared && pen_pipeline_send(self->pipeline, sql, 0, NULL, NULL, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* An older version of the same table: its statements may fit no longer. */
static penstock_status
drop_old_target(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	for (size_t i = 0; i < self->target_count; i++)
	{
		if (self->targets[i]->relation->oid == relation->oid)
		{
			if (deallocate(self, self->targets[i], error) < 0)
				return error->status;
			pen_target_free(self->targets[i]);
			self->targets[i] = self->targets[--self->target_count];
			break;
		}
	}
	return PENSTOCK_OK;
}

/* The newest is looked at first: rows of one table come in runs. */
static pen_target *
find_target(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	for (size_t i = self->target_count; i > 0; i--)
	{
		pen_target *target = self->targets[i - 1];

		if (target->relation != relation)
			continue;
		if (i < self->target_count)
		{
			self->targets[i - 1] = self->targets[self->target_count - 1];
			self->targets[self->target_count - 1] = target;
		}
		return target;
	}
	/* What was sent for the old version may still be unanswered and refer to it. */
	if (pen_pipeline_drain(self->pipeline, error) < 0 || drop_old_target(self, relation, error) < 0)
		return NULL;
	return add_target(self, relation, error);
}

/* ---- rows ---- */

static const char *
operation_name(pen_target_operation operation)
{
	static const char *const names[] = {"INSERT into", "UPDATE of", "DELETE from"};

	return names[operation];
}

static void
explain_row(const pen_expectation *expected, pen_error *error)
{
	const postgres_destination *self = expected->context;
	const pen_target_statement *statement = expected->subject;

	/* What does not fit in this place is about the row, whatever the class of the SQLSTATE says. */
	if (error->status == PENSTOCK_E_CONFIG && strncmp(error->sqlstate, "42", 2) != 0)
		error->status = PENSTOCK_E_DATA;
	pen_error_context(error, "destination %s: %s %s, LSN " LSN_FORMAT, self->base.config->name,
					  operation_name(statement->operation), statement->target->quoted,
					  LSN_ARGS(expected->lsn));
}

/* "(id, part)": the names, never the values. */
static void
print_key(const pen_target *target, char *into, size_t size)
{
	size_t used = 0;

	into[0] = '\0';
	for (int i = 0; i < target->relation->key_count && used < size; i++)
		used += (size_t) snprintf(into + used, size - used, "%s%s", i > 0 ? ", " : "",
								  target->relation->columns[target->relation->key_columns[i]].name);
}

static penstock_status
check_row(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	const pen_target_statement *statement = expected->subject;
	const char *affected = PQcmdTuples((PGresult *) result);
	char key[200];

	if (strcmp(affected, "1") == 0)
		return PENSTOCK_OK;
	print_key(statement->target, key, sizeof(key));
	pen_error_set(
		error, PENSTOCK_E_DATA,
		"%s rows were affected instead of 1: the destination's rows are not the source's%s%s%s",
		affected, key[0] != '\0' ? " (key " : "", key, key[0] != '\0' ? ")" : "");
	explain_row(expected, error);
	return error->status;
}

static penstock_status
prepare(postgres_destination *self, pen_target_statement *statement, pen_error *error)
{
	pen_expectation expected = {
		.explain = explain_row,
		.context = self,
		.subject = statement,
		.lsn = self->commit_lsn,
	};
	const pen_target_column *columns = statement->target->columns;
	int count = statement->new_count + statement->where_count;
	Oid *types = calloc((size_t) count + 1, sizeof(*types));
	penstock_status status;

	if (types == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	for (int i = 0; i < statement->new_count; i++)
		types[i] = columns[statement->new_columns[i]].param_type;
	for (int i = 0; i < statement->where_count; i++)
		types[statement->new_count + i] = columns[statement->where_columns[i]].param_type;
	status = pen_pipeline_prepare(self->pipeline, statement->name, statement->sql, count, types,
								  &expected, error);
	free(types);
	statement->prepared = status >= 0;
	return status;
}

static penstock_status
reserve_values(postgres_destination *self, int columns, pen_error *error)
{
	size_t n = (size_t) columns + 1;

	if (columns < self->value_capacity)
		return PENSTOCK_OK;
	free(self->new_values);
	free(self->old_values);
	free(self->left_out);
	self->new_values = calloc(n, sizeof(*self->new_values));
	self->old_values = calloc(n, sizeof(*self->old_values));
	self->left_out = calloc(1, n / 8 + 1);
	self->value_capacity = (int) n;
	if (self->new_values != NULL && self->old_values != NULL && self->left_out != NULL)
		return PENSTOCK_OK;
	self->value_capacity = 0;
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* The Values of a row into an array by column. decode/ has checked their number and form. */
static void
spread(const penstock_row *row, pen_value *values)
{
	pen_tuple tuple = {.data = row->data, .len = row->len};
	pen_wire_reader reader;

	pen_wire_tuple_reader(&reader, &tuple);
	for (int i = 0; i < row->relation->column_count; i++)
	{
		values[i].kind = PEN_VALUE_NULL;
		if (!row->identity_only || row->relation->columns[i].identity > 0)
			(void) pen_wire_read_value(&reader, &values[i]);
	}
}

static bool
same_value(const pen_value *a, const pen_value *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind)
	{
		case PEN_VALUE_NULL:
		case PEN_VALUE_UNCHANGED:
			return true;
		case PEN_VALUE_BOOL:
			return a->boolean == b->boolean;
		case PEN_VALUE_FLOAT:
			return memcmp(&a->float4, &b->float4, sizeof(a->float4)) == 0;
		case PEN_VALUE_INT:
		case PEN_VALUE_DOUBLE:
			return a->integer == b->integer;
		case PEN_VALUE_STRING:
		case PEN_VALUE_BYTES:
			return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
	}
	return false;
}

/* What an UPDATE does not set: values that did not travel, and a key that stayed, so that the
 * destination need not look at its indexes. */
static void
choose_left_out(postgres_destination *self, const penstock_event *event)
{
	const penstock_relation *relation = event->relation;

	memset(self->left_out, 0, (size_t) relation->column_count / 8 + 1);
	for (int i = 0; i < relation->column_count; i++)
	{
		if (self->new_values[i].kind == PEN_VALUE_UNCHANGED)
			self->left_out[i / 8] |= (uint8_t) (1 << i % 8);
	}
	for (int k = 0; k < relation->key_count; k++)
	{
		int i = relation->key_columns[k];

		if (same_value(&self->new_values[i], &self->old_values[i]))
			self->left_out[i / 8] |= (uint8_t) (1 << i % 8);
	}
}

static penstock_status
no_identity(const penstock_event *event, pen_error *error)
{
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"table %s.%s has no replica identity, so it cannot be told which row was %s; for "
		"changes to come, at the source: ALTER TABLE %s.%s ADD PRIMARY KEY …, or REPLICA "
		"IDENTITY FULL; as for this one, leave the table out with --tables, or bring the "
		"destination in step and begin with a new slot",
		event->relation->schema, event->relation->name,
		event->kind == PENSTOCK_UPDATE ? "updated" : "deleted", event->relation->schema,
		event->relation->name);
}

/* Old values by column: from the old row or key; for an update whose key stayed, the new row's. */
static penstock_status
spread_old(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	const penstock_relation *relation = event->relation;

	if (event->old_row.relation != NULL)
		spread(&event->old_row, self->old_values);
	else if (event->kind == PENSTOCK_UPDATE && relation->key_count > 0)
		memcpy(self->old_values, self->new_values,
			   (size_t) relation->column_count * sizeof(pen_value));
	else
		return no_identity(event, error);
	return relation->key_count > 0 || pen_target_by_whole_row(relation) ? PENSTOCK_OK
																		: no_identity(event, error);
}

penstock_status
pen_postgres_apply_row(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	pen_target *target = find_target(self, event->relation, error);
	pen_target_operation operation = event->kind == PENSTOCK_INSERT   ? PEN_TARGET_INSERT
									 : event->kind == PENSTOCK_UPDATE ? PEN_TARGET_UPDATE
																	  : PEN_TARGET_DELETE;
	pen_target_statement *statement;
	pen_expectation expected = {.check = check_row, .explain = explain_row, .context = self};
	const uint8_t *left_out = NULL;

	if (target == NULL || reserve_values(self, event->relation->column_count, error) < 0)
		return error->status;
	if (event->kind != PENSTOCK_DELETE)
		spread(&event->new_row, self->new_values);
	if (event->kind != PENSTOCK_INSERT && spread_old(self, event, error) < 0)
		return error->status;
	if (event->kind == PENSTOCK_UPDATE)
	{
		choose_left_out(self, event);
		left_out = self->left_out;
	}
	statement = pen_target_statement_get(target, operation, left_out, error);
	if (statement == NULL || (!statement->prepared && prepare(self, statement, error) < 0))
		return error->status;
	expected.subject = statement;
	expected.lsn = self->commit_lsn;
	if (pen_row_bind(&self->row, statement, self->new_values, self->old_values, error) < 0)
	{
		explain_row(&expected, error);
		return error->status;
	}
	self->batch_bytes += event->new_row.len + event->old_row.len + 32;
	return pen_pipeline_send_prepared(self->pipeline, statement->name, self->row.count,
									  self->row.values, self->row.lengths, self->row.formats,
									  &expected, error);
}

penstock_status
pen_postgres_apply_truncate(postgres_destination *self, const penstock_event *event,
							pen_error *error)
{
	char *sql = NULL;
	size_t length;
	FILE *out;
	penstock_status status;
	char *tables = strdup("");

	/* No CASCADE: what it took at the source is in the list. */
	for (uint32_t i = 0; i < event->relation_count && tables != NULL; i++)
	{
		pen_target *target = find_target(self, event->relations[i], error);
		char *longer = NULL;

		if (target == NULL ||
			asprintf(&longer, "%s%s%s", tables, i > 0 ? ", " : "", target->quoted) < 0)
		{
			free(tables);
			return target == NULL ? error->status
								  : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		}
		free(tables);
		tables = longer;
	}
	out = open_memstream(&sql, &length);
	if (out == NULL || tables == NULL)
	{
		free(tables);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	}
	fprintf(out, "TRUNCATE %s%s", tables, event->restart_identity ? " RESTART IDENTITY" : "");
	fclose(out);
	free(tables);
	status = pen_pipeline_send(self->pipeline, sql, 0, NULL, NULL, error);
	free(sql);
	return status;
}
