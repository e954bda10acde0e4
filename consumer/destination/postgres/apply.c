/* apply.c -- changes as statements of a destination transaction, one by one, in source order.
 * Every statement that changes a row says how many it expects: exactly one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination/postgres/session.h"
#include "event/relation.h"

/* ---- rows ---- */

/* "id, part": the names of the key's columns, never the values. "" without a key. */
static void
print_key(const pen_target *target, char *into, size_t size)
{
	size_t used = 0;

	into[0] = '\0';
	for (int i = 0; i < target->relation->key_count && used < size; i++)
		used += (size_t) snprintf(into + used, size - used, "%s%s", i > 0 ? ", " : "",
								  target->relation->columns[target->relation->key_columns[i]].name);
}

void
pen_postgres_explain_row(const pen_expectation *expected, pen_error *error)
{
	const postgres_destination *self = expected->context;
	const pen_target_statement *statement = expected->subject;
	char key[200] = "";

	if (error->sqlstate[0] != '\0')
		print_key(statement->target, key, sizeof(key));
	/* What does not fit in this place is about the row, whatever the class of the SQLSTATE says. */
	if (error->status == PENSTOCK_E_CONFIG && strncmp(error->sqlstate, "42", 2) != 0)
		error->status = PENSTOCK_E_DATA;
	pen_error_context(error, "destination %s: %s %s%s%s%s, LSN " LSN_FORMAT,
					  self->base.config->name, pen_target_operation_name(statement->operation),
					  statement->target->quoted, key[0] != '\0' ? " (key " : "", key,
					  key[0] != '\0' ? ")" : "", LSN_ARGS(expected->lsn));
}

static uint64_t
affected_rows(const PGresult *result)
{
	return strtoull(PQcmdTuples((PGresult *) result), NULL, 10);
}

static penstock_status
check_one_row(const pen_expectation *expected, uint64_t affected, pen_error *error)
{
	postgres_destination *self = expected->context;
	const pen_target_statement *statement = expected->subject;
	char key[200];

	if (affected == 1)
		return PENSTOCK_OK;
	if (affected == 0 && self->upserting)
	{
		self->counters.conflicts++;
		return PENSTOCK_OK;
	}
	print_key(statement->target, key, sizeof(key));
	pen_error_set(error, PENSTOCK_E_DATA,
				  "%llu rows were affected instead of 1: the destination's rows are not the "
				  "source's%s%s%s",
				  (unsigned long long) affected, key[0] != '\0' ? " (key " : "", key,
				  key[0] != '\0' ? ")" : "");
	pen_postgres_explain_row(expected, error);
	return error->status;
}

static penstock_status
check_row(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	return check_one_row(expected, affected_rows(result), error);
}

/* Of the UPDATE before a MOVE, whose answer comes next. */
static penstock_status
check_guarded(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	postgres_destination *self = expected->context;

	(void) error;
	self->moved = affected_rows(result);
	return PENSTOCK_OK;
}

static penstock_status
check_moved(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	const postgres_destination *self = expected->context;

	return check_one_row(expected, self->moved + affected_rows(result), error);
}

static penstock_status
check_prepared(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	(void) result;
	(void) error;
	((pen_target_statement *) expected->subject)->there = true;
	return PENSTOCK_OK;
}

/* The parameter of a set is an array, whose type its text says. */
static Oid
parameter_type(const pen_target_statement *statement, const pen_target_column *column)
{
	return statement->operation < PEN_TARGET_SET_INSERT ? column->param_type : 0;
}

penstock_status
pen_postgres_prepare(postgres_destination *self, pen_target_statement *statement, pen_error *error)
{
	pen_expectation expected = {
		.check = check_prepared,
		.explain = pen_postgres_explain_row,
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
		types[i] = parameter_type(statement, &columns[statement->new_columns[i]]);
	for (int i = 0; i < statement->where_count; i++)
	{
		const pen_target_column *column = &columns[statement->where_columns[i]];

		types[statement->new_count + i] = parameter_type(statement, column);
		/* Not whatever the = of a key might take: a regclass has that of oid. */
		if (types[statement->new_count + i] == 0 && statement->operation < PEN_TARGET_SET_INSERT &&
			!pen_target_by_whole_row(statement->target->relation))
			types[statement->new_count + i] = column->type;
	}
	status = pen_pipeline_prepare(self->pipeline, statement->name, statement->sql, count, types,
								  &expected, error);
	free(types);
	statement->prepared = status >= 0;
	return status;
}

penstock_status
pen_postgres_reserve_values(postgres_destination *self, int columns, pen_error *error)
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

void
pen_postgres_spread(const penstock_row *row, pen_value *values)
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
		pen_postgres_spread(&event->old_row, self->old_values);
	else if (event->kind == PENSTOCK_UPDATE && relation->key_count > 0)
		memcpy(self->old_values, self->new_values,
			   (size_t) relation->column_count * sizeof(pen_value));
	else
		return no_identity(event, error);
	return relation->key_count > 0 || pen_target_by_whole_row(relation) ? PENSTOCK_OK
																		: no_identity(event, error);
}

static penstock_status
send_statement(postgres_destination *self, pen_target_statement *statement,
			   penstock_status (*check)(const pen_expectation *, const PGresult *, pen_error *),
			   pen_error *error)
{
	pen_expectation expected = {
		.check = check,
		.explain = pen_postgres_explain_row,
		.context = self,
		.subject = statement,
		.lsn = self->commit_lsn,
	};

	if (!statement->prepared && pen_postgres_prepare(self, statement, error) < 0)
		return error->status;
	if (pen_row_bind(&self->row, statement, self->new_values, self->old_values, error) < 0)
	{
		pen_postgres_explain_row(&expected, error);
		return error->status;
	}
	return pen_pipeline_send_prepared(self->pipeline, statement->name, self->row.count,
									  self->row.values, self->row.lengths, self->row.formats,
									  &expected, error);
}

penstock_status
pen_postgres_send_row(postgres_destination *self, pen_target *target,
					  pen_target_operation operation, const uint8_t *left_out, pen_error *error)
{
	pen_target_statement *statement = pen_target_statement_get(target, operation, left_out, error);

	if (statement == NULL)
		return error->status;
	/* An insert that inserts nothing is an error, where nothing else can take the row away. */
	if (operation != PEN_TARGET_INSERT || target->mode == PEN_TARGET_ORDERED)
		self->to_be_counted = true;
	if (!statement->guarded)
		return send_statement(self, statement, check_row, error);
	if (send_statement(self, statement, check_guarded, error) < 0)
		return error->status;
	statement = pen_target_statement_get(target, PEN_TARGET_MOVE, left_out, error);
	return statement == NULL ? error->status : send_statement(self, statement, check_moved, error);
}

penstock_status
pen_postgres_apply_row(postgres_destination *self, pen_target *target, const penstock_event *event,
					   pen_error *error)
{
	pen_target_operation operation = event->kind == PENSTOCK_INSERT   ? PEN_TARGET_INSERT
									 : event->kind == PENSTOCK_UPDATE ? PEN_TARGET_UPDATE
																	  : PEN_TARGET_DELETE;

	if (operation == PEN_TARGET_INSERT && self->upserting && target->has_key_index)
		operation = PEN_TARGET_UPSERT;
	if (pen_postgres_reserve_values(self, event->relation->column_count, error) < 0)
		return error->status;
	if (event->kind != PENSTOCK_DELETE)
		pen_postgres_spread(&event->new_row, self->new_values);
	if (event->kind != PENSTOCK_INSERT && spread_old(self, event, error) < 0)
		return error->status;
	if (event->kind == PENSTOCK_UPDATE)
		choose_left_out(self, event);
	return pen_postgres_send_row(self, target, operation,
								 event->kind == PENSTOCK_UPDATE ? self->left_out : NULL, error);
}

penstock_status
pen_postgres_apply_truncate(postgres_destination *self, const pen_batch_event *event,
							pen_error *error)
{
	char *sql = NULL;
	size_t length;
	FILE *out = open_memstream(&sql, &length);
	penstock_status status;

	if (out == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	/* No CASCADE, and no children: what it took at the source is in the list. */
	for (uint32_t i = 0; i < event->old_row.len; i++)
	{
		const pen_target *target = self->batch.truncated[event->old_row.at + i]->target;

		fprintf(out, "%s%s%s", i > 0 ? ", " : "TRUNCATE ", pen_target_only(target), target->quoted);
	}
	fputs(event->restart_identity ? " RESTART IDENTITY" : "", out);
	if (fclose(out) == 0)
		status = pen_pipeline_send(self->pipeline, sql, 0, NULL, NULL, error);
	else
		status = pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	free(sql);
	return status;
}
