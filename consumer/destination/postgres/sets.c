/* sets.c -- arrays as parameters.
 * Deletes before updates before inserts: what a key gives up is free when another one takes it. */
#include "destination/postgres/sets.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "destination/postgres/bulk.h"
#include "destination/postgres/session.h"

#define ARRAY_HEADER    20
#define STATEMENT_BYTES ((size_t) 2 * 1024 * 1024) /* of one statement's arrays */
#define ARRAY_KEPT_MAX  ((size_t) 256 * 1024)
#define ROWS_ALONE_MAX  3   /* so few go as single rows: their statements are prepared anyway */
#define COPY_FROM       100 /* inserts from which on a COPY is worth its two round trips */
#define MASKS_MAX       8   /* different sets of columns in a table's updates */

void
pen_sets_free(pen_sets *sets)
{
	for (int i = 0; i < sets->capacity; i++)
		pen_buffer_reset(&sets->arrays[i]);
	free(sets->arrays);
	free(sets->values);
	free(sets->lengths);
	free(sets->formats);
	pen_buffer_reset(&sets->copy);
	*sets = (pen_sets){0};
}

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a set of changes");
}

static bool
reserve(pen_sets *sets, int count)
{
	int capacity = count < 32 ? 32 : count;
	pen_wire_buf *arrays;

	if (count <= sets->capacity)
		return true;
	pen_sets_free(sets);
	arrays = calloc((size_t) capacity, sizeof(*arrays));
	sets->arrays = arrays;
	sets->values = calloc((size_t) capacity, sizeof(*sets->values));
	sets->lengths = calloc((size_t) capacity, sizeof(*sets->lengths));
	sets->formats = calloc((size_t) capacity, sizeof(*sets->formats));
	pen_buffer_init(&sets->copy);
	if (arrays == NULL || sets->values == NULL || sets->lengths == NULL || sets->formats == NULL)
		return false;
	for (int i = 0; i < capacity; i++)
	{
		pen_buffer_init(&arrays[i]);
		sets->formats[i] = 1;
	}
	sets->capacity = capacity;
	return true;
}

/* ---- one statement ---- */

static int
parameter_count(const pen_target_statement *statement)
{
	return statement->new_count + statement->where_count;
}

static const pen_target_column *
parameter_column(const pen_target_statement *statement, int parameter)
{
	const pen_target_column *columns = statement->target->columns;

	return parameter < statement->new_count
			   ? &columns[statement->new_columns[parameter]]
			   : &columns[statement->where_columns[parameter - statement->new_count]];
}

/* One dimension, NULLs or not, the elements' type; the size follows when it is known. */
static penstock_status
begin_set(pen_sets *sets, const pen_target_statement *statement, pen_error *error)
{
	int count = parameter_count(statement);

	if (!reserve(sets, count))
		return no_memory(error);
	for (int i = 0; i < count; i++)
	{
		pen_wire_buf *array = &sets->arrays[i];

		if (array->cap > ARRAY_KEPT_MAX)
			pen_buffer_reset(array);
		array->len = 0;
		pen_form_write_uint32(array, 1);
		pen_form_write_uint32(array, 1);
		pen_form_write_uint32(array, parameter_column(statement, i)->element_type);
		pen_form_write_uint32(array, 0);
		pen_form_write_uint32(array, 1);
		if (array->failed)
			return no_memory(error);
	}
	sets->rows = 0;
	sets->bytes = 0;
	return PENSTOCK_OK;
}

/* A row's values, by column; old ones for the conditions. */
static penstock_status
add_to_set(pen_sets *sets, const pen_target_statement *statement, const pen_value *new_values,
		   const pen_value *old_values, pen_error *error)
{
	for (int i = 0; i < parameter_count(statement); i++)
	{
		pen_wire_buf *array = &sets->arrays[i];
		size_t before = array->len;
		const pen_value *value =
			i < statement->new_count
				? &new_values[statement->new_columns[i]]
				: &old_values[statement->where_columns[i - statement->new_count]];

		if (!pen_form_write(array, parameter_column(statement, i)->array_form, value))
			return array->failed
					   ? no_memory(error)
					   : pen_error_set(error, PENSTOCK_E_DATA, "a value does not fit in an array");
		sets->bytes += array->len - before;
	}
	sets->rows++;
	return PENSTOCK_OK;
}

static void
explain_set(const pen_expectation *expected, pen_error *error)
{
	postgres_destination *self = expected->context;
	const pen_target_statement *statement = expected->subject;

	self->failed_set = statement->target;
	pen_postgres_explain_row(expected, error);
}

static penstock_status
check_set(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	const char *affected = PQcmdTuples((PGresult *) result);

	if (strtoull(affected, NULL, 10) == expected->count)
		return PENSTOCK_OK;
	pen_error_set(error, PENSTOCK_E_DATA, "%s rows were affected instead of %llu", affected,
				  (unsigned long long) expected->count);
	explain_set(expected, error);
	return error->status;
}

static penstock_status
send_set(postgres_destination *self, pen_target_statement *statement, pen_error *error)
{
	pen_sets *sets = &self->sets;
	pen_expectation expected = {
		.check = check_set,
		.explain = explain_set,
		.context = self,
		.subject = statement,
		.lsn = self->commit_lsn,
		.count = sets->rows,
	};

	if (sets->rows == 0)
		return PENSTOCK_OK;
	if (pen_postgres_begin_sets(self, error) < 0)
		return error->status;
	if (!statement->prepared && pen_postgres_prepare(self, statement, error) < 0)
		return error->status;
	for (int i = 0; i < parameter_count(statement); i++)
	{
		uint8_t *rows = sets->arrays[i].data + ARRAY_HEADER - 8;

		for (int byte = 0; byte < 4; byte++)
			rows[byte] = (uint8_t) (sets->rows >> (8 * (3 - byte)));
		sets->values[i] = (const char *) sets->arrays[i].data;
		sets->lengths[i] = (int) sets->arrays[i].len;
	}
	self->counters.set_statements++;
	self->counters.set_rows += sets->rows;
	return pen_pipeline_send_prepared(self->pipeline, statement->name, parameter_count(statement),
									  sets->values, sets->lengths, sets->formats, &expected, error);
}

/* A row to the set; when that has grown enough, it is sent and begun anew. */
static penstock_status
add_row(postgres_destination *self, pen_target_statement *statement, pen_error *error)
{
	if (add_to_set(&self->sets, statement, self->new_values, self->old_values, error) < 0)
		return error->status;
	if (self->sets.bytes < STATEMENT_BYTES)
		return PENSTOCK_OK;
	return send_set(self, statement, error) < 0 ? error->status
												: begin_set(&self->sets, statement, error);
}

/* ---- a table's net changes ---- */

/* What a REPLACE can be: where the destination has nothing of its own in the row, setting all of
 * it comes to the same as deleting and inserting it. */
static bool
replaces_in_place(const pen_target *target)
{
	return target->own_count == 0 && !target->has_always;
}

typedef enum part
{
	DELETES,
	UPDATES,
	INSERTS
} part;

static bool
takes_part(const pen_batch_entry *entry, const pen_target *target, part which)
{
	switch (which)
	{
		case DELETES:
			return entry->state == PEN_NET_DELETE ||
				   (entry->state == PEN_NET_REPLACE && !replaces_in_place(target));
		case UPDATES:
			return entry->state == PEN_NET_UPDATE ||
				   (entry->state == PEN_NET_REPLACE && replaces_in_place(target));
		case INSERTS:
			return entry->state == PEN_NET_INSERT ||
				   (entry->state == PEN_NET_REPLACE && !replaces_in_place(target));
	}
	return false;
}

static void
spread_entry(postgres_destination *self, const pen_batch_entry *entry, pen_value *values)
{
	penstock_row row;

	pen_batch_entry_row(&self->batch, entry, &row);
	pen_postgres_spread(&row, values);
	self->commit_lsn = entry->commit_lsn;
}

/* What an update does not set: what did not travel, and the key, which has stayed. */
static void
choose_left_out(postgres_destination *self, const penstock_relation *relation)
{
	memset(self->left_out, 0, (size_t) relation->column_count / 8 + 1);
	for (int i = 0; i < relation->column_count; i++)
	{
		if (self->new_values[i].kind == PEN_VALUE_UNCHANGED)
			self->left_out[i / 8] |= (uint8_t) (1 << i % 8);
	}
	for (int k = 0; k < relation->key_count; k++)
		self->left_out[relation->key_columns[k] / 8] |=
			(uint8_t) (1 << relation->key_columns[k] % 8);
}

/* One row by itself; its new and old values are those of the entry. */
static penstock_status
send_alone(postgres_destination *self, pen_target *target, const pen_batch_entry *entry, part which,
		   pen_error *error)
{
	static const pen_target_operation operations[] = {PEN_TARGET_DELETE, PEN_TARGET_UPDATE,
													  PEN_TARGET_INSERT};

	if (pen_postgres_begin_sets(self, error) < 0)
		return error->status;
	spread_entry(self, entry, self->new_values);
	spread_entry(self, entry, self->old_values);
	if (which == UPDATES)
		choose_left_out(self, target->relation);
	self->counters.ordered[PEN_REASON_SMALL]++;
	return pen_postgres_send_row(self, target, operations[which],
								 which == UPDATES ? self->left_out : NULL, error);
}

static penstock_status
send_part_alone(postgres_destination *self, pen_batch_table *table, part which, pen_error *error)
{
	for (uint32_t i = table->first; i != PEN_BATCH_NONE; i = self->batch.entries[i].next)
	{
		const pen_batch_entry *entry = &self->batch.entries[i];

		if (takes_part(entry, table->target, which) && !entry->sent &&
			send_alone(self, table->target, entry, which, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* Deletes or inserts: one statement fits all rows. */
static penstock_status
send_part(postgres_destination *self, pen_batch_table *table, part which, pen_error *error)
{
	pen_target_operation operation =
		which == DELETES ? PEN_TARGET_SET_DELETE : PEN_TARGET_SET_INSERT;
	pen_target_statement *statement =
		pen_target_statement_get(table->target, operation, NULL, error);

	if (statement == NULL || begin_set(&self->sets, statement, error) < 0)
		return error->status;
	for (uint32_t i = table->first; i != PEN_BATCH_NONE; i = self->batch.entries[i].next)
	{
		const pen_batch_entry *entry = &self->batch.entries[i];

		if (!takes_part(entry, table->target, which))
			continue;
		spread_entry(self, entry, which == DELETES ? self->old_values : self->new_values);
		if (add_row(self, statement, error) < 0)
			return error->status;
	}
	return send_set(self, statement, error);
}

/* The updates that set the same columns as the first one that is left; *left: there are others. */
static penstock_status
send_updates_alike(postgres_destination *self, pen_batch_table *table, bool *left, pen_error *error)
{
	pen_target_statement *statement = NULL;
	size_t mask_bytes = (size_t) table->relation->column_count / 8 + 1;

	*left = false;
	for (uint32_t i = table->first; i != PEN_BATCH_NONE; i = self->batch.entries[i].next)
	{
		pen_batch_entry *entry = &self->batch.entries[i];

		if (entry->sent || !takes_part(entry, table->target, UPDATES))
			continue;
		spread_entry(self, entry, self->new_values);
		choose_left_out(self, table->relation);
		if (statement == NULL)
		{
			statement = pen_target_statement_get(table->target, PEN_TARGET_SET_UPDATE,
												 self->left_out, error);
			if (statement == NULL || begin_set(&self->sets, statement, error) < 0)
				return error->status;
		}
		else if (memcmp(statement->left_out, self->left_out, mask_bytes) != 0)
		{
			*left = true;
			continue;
		}
		entry->sent = true;
		if (add_to_set(&self->sets, statement, self->new_values, self->new_values, error) < 0)
			return error->status;
		if (self->sets.bytes < STATEMENT_BYTES)
			continue;
		if (send_set(self, statement, error) < 0 || begin_set(&self->sets, statement, error) < 0)
			return error->status;
	}
	return statement == NULL ? PENSTOCK_OK : send_set(self, statement, error);
}

static penstock_status
send_updates(postgres_destination *self, pen_batch_table *table, pen_error *error)
{
	bool left = true;

	for (int masks = 0; left && masks < MASKS_MAX; masks++)
	{
		if (send_updates_alike(self, table, &left, error) < 0)
			return error->status;
	}
	return left ? send_part_alone(self, table, UPDATES, error) : PENSTOCK_OK;
}

static uint32_t
count_part(const postgres_destination *self, const pen_batch_table *table, part which)
{
	uint32_t count = 0;

	for (uint32_t i = table->first; i != PEN_BATCH_NONE; i = self->batch.entries[i].next)
		count += takes_part(&self->batch.entries[i], table->target, which);
	return count;
}

/* Deletes and updates. */
static penstock_status
send_changes(postgres_destination *self, pen_batch_table *table, pen_error *error)
{
	uint32_t deletes = count_part(self, table, DELETES);
	uint32_t updates = count_part(self, table, UPDATES);
	penstock_status status = PENSTOCK_OK;

	if (deletes > ROWS_ALONE_MAX)
		status = send_part(self, table, DELETES, error);
	else if (deletes > 0)
		status = send_part_alone(self, table, DELETES, error);
	if (status >= 0 && updates > ROWS_ALONE_MAX)
		status = send_updates(self, table, error);
	else if (status >= 0 && updates > 0)
		status = send_part_alone(self, table, UPDATES, error);
	return status;
}

/* COPY every insert. */
static penstock_status
copy_inserts(postgres_destination *self, pen_batch_table *table, pen_error *error)
{
	const pen_target *target = table->target;
	pen_bulk bulk;

	if (pen_bulk_begin(&bulk, self, target, error) < 0)
		return error->status;
	for (uint32_t i = table->first; i != PEN_BATCH_NONE; i = self->batch.entries[i].next)
	{
		const pen_batch_entry *entry = &self->batch.entries[i];

		if (!takes_part(entry, target, INSERTS))
			continue;
		spread_entry(self, entry, self->new_values);
		if (pen_bulk_add(&bulk, self->new_values, error) < 0)
			return error->status;
	}
	return pen_bulk_end(&bulk, error);
}

static bool
wants_copy(const pen_target *target, uint32_t inserts)
{
	return target->copy != PEN_COPY_NO && inserts >= COPY_FROM;
}

static penstock_status
send_inserts(postgres_destination *self, pen_batch_table *table, uint32_t inserts, pen_error *error)
{
	const pen_target *target = table->target;

	if (inserts == 0)
		return PENSTOCK_OK;
	if (wants_copy(target, inserts))
		return copy_inserts(self, table, error);
	if (inserts > ROWS_ALONE_MAX && target->arrays)
		return send_part(self, table, INSERTS, error);
	return send_part_alone(self, table, INSERTS, error);
}

penstock_status
pen_postgres_send_sets(postgres_destination *self, pen_batch_table *table, pen_error *error)
{
	if (table->entry_count == 0)
		return PENSTOCK_OK;
	if (pen_postgres_reserve_values(self, table->relation->column_count, error) < 0 ||
		send_changes(self, table, error) < 0 ||
		send_inserts(self, table, count_part(self, table, INSERTS), error) < 0)
		return error->status;
	pen_batch_sent(table);
	return PENSTOCK_OK;
}

penstock_status
pen_postgres_send_all_sets(postgres_destination *self, pen_error *error)
{
	pen_batch *batch = &self->batch;
	bool copies = false;

	for (size_t i = 0; i < batch->touched_count; i++)
	{
		pen_batch_table *table = batch->touched[i];
		uint32_t inserts;

		if (table->entry_count == 0)
			continue;
		if (pen_postgres_reserve_values(self, table->relation->column_count, error) < 0 ||
			send_changes(self, table, error) < 0)
			return error->status;
		inserts = count_part(self, table, INSERTS);
		if (wants_copy(table->target, inserts))
			copies = true;
		else if (send_inserts(self, table, inserts, error) < 0)
			return error->status;
		else
			pen_batch_sent(table);
	}
	for (size_t i = 0; copies && i < batch->touched_count; i++)
	{
		pen_batch_table *table = batch->touched[i];

		if (table->entry_count == 0)
			continue;
		if (pen_postgres_reserve_values(self, table->relation->column_count, error) < 0 ||
			copy_inserts(self, table, error) < 0)
			return error->status;
		pen_batch_sent(table);
	}
	return PENSTOCK_OK;
}
