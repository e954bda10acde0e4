/* bulk.c -- rows as COPY reads them.
 * What is written here means what the same value means in a single INSERT. */
#include "destination/postgres/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "destination/postgres/session.h"
#include "print.h"

#define SEND_BYTES      ((size_t) 128 * 1024)
#define COPY_KEPT_MAX   ((size_t) 1024 * 1024)
#define COPY_SIGNATURE  "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define SIGNATURE_BYTES 19
#define COPY_TRAILER    UINT16_MAX

static void
explain_copy(const pen_expectation *expected, pen_error *error)
{
	postgres_destination *self = expected->context;
	const pen_target *target = expected->subject;

	self->failed_set = (pen_target *) target;
	pen_error_context(error, "destination %s: COPY into %s, LSN " LSN_FORMAT,
					  self->base.config->name, target->quoted, LSN_ARGS(expected->lsn));
}

static penstock_status
check_copy(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	const char *affected = PQcmdTuples((PGresult *) result);

	if (strtoull(affected, NULL, 10) == expected->count)
		return PENSTOCK_OK;
	pen_error_set(error, PENSTOCK_E_DATA, "%s rows were copied instead of %llu", affected,
				  (unsigned long long) expected->count);
	explain_copy(expected, error);
	return error->status;
}

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for COPY");
}

penstock_status
pen_bulk_begin(pen_bulk *bulk, postgres_destination *self, const pen_target *target,
			   pen_error *error)
{
	pen_wire_buf *rows = &self->sets.copy;
	char *sql;
	penstock_status status;

	if (pen_postgres_begin_sets(self, error) < 0)
		return error->status;
	sql = pen_target_copy_sql(target);
	if (sql == NULL)
		return no_memory(error);
	*bulk = (pen_bulk){
		.self = self,
		.target = target,
		.expected =
			{
				.check = check_copy,
				.explain = explain_copy,
				.context = self,
				.subject = target,
				.lsn = self->commit_lsn,
			},
	};
	if (rows->grow == NULL || rows->cap > COPY_KEPT_MAX)
		pen_buffer_reset(rows);
	rows->len = 0;
	status = pen_pipeline_copy_begin(self->pipeline, sql, &bulk->expected, error);
	free(sql);
	if (target->copy == PEN_COPY_BINARY)
		pen_wire_append(rows, COPY_SIGNATURE, SIGNATURE_BYTES);
	return status;
}

static bool
write_binary(pen_wire_buf *rows, const pen_target *target, const pen_value *values)
{
	size_t start = rows->len;
	uint16_t fields = 0;

	pen_form_write_uint16(rows, 0);
	for (int i = 0; i < target->relation->column_count; i++)
	{
		if (target->columns[i].skip)
			continue;
		if (!pen_form_write(rows, target->columns[i].copy_form, &values[i]))
			return false;
		fields++;
	}
	if (rows->failed)
		return false;
	rows->data[start] = (uint8_t) (fields >> 8);
	rows->data[start + 1] = (uint8_t) fields;
	return true;
}

/* The text from `start` on, in which COPY's own characters get a backslash. */
static bool
escape(pen_wire_buf *rows, size_t start)
{
	size_t len = rows->len - start;
	size_t extra = 0;
	uint8_t *from;
	uint8_t *to;

	for (const uint8_t *p = rows->data + start; p < rows->data + rows->len; p++)
	{
		if (*p == '\0')
			return false;
		extra += *p == '\\' || *p == '\n' || *p == '\r' || *p == '\t';
	}
	if (extra == 0)
		return true;
	if (!pen_wire_reserve(rows, extra))
		return false;
	from = rows->data + start + len;
	to = from + extra;
	rows->len += extra;
	while (to > from)
	{
		uint8_t c = *--from;
		uint8_t name = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c == '\\' ? '\\' : 0;

		*--to = name != 0 ? name : c;
		if (name != 0)
			*--to = '\\';
	}
	return true;
}

static bool
write_text(pen_wire_buf *rows, const pen_target *target, const pen_value *values)
{
	const char *join = "";

	for (int i = 0; i < target->relation->column_count; i++)
	{
		pen_encoding encoding = (pen_encoding) target->relation->columns[i].encoding;
		size_t start;

		if (target->columns[i].skip)
			continue;
		pen_wire_append(rows, join, strlen(join));
		join = "\t";
		start = rows->len;
		if (values[i].kind == PEN_VALUE_NULL)
			pen_wire_append(rows, "\\N", 2);
		else if (pen_print_value(rows, encoding, &values[i]) != NULL || !escape(rows, start))
			return false;
	}
	pen_wire_append(rows, "\n", 1);
	return !rows->failed;
}

static penstock_status
send_rows(pen_bulk *bulk, pen_error *error)
{
	pen_wire_buf *rows = &bulk->self->sets.copy;
	penstock_status status = PENSTOCK_OK;

	if (rows->len > 0)
		status = pen_pipeline_copy_data(bulk->self->pipeline, rows->data, rows->len, error);
	rows->len = 0;
	return status;
}

penstock_status
pen_bulk_add(pen_bulk *bulk, const pen_value *values, pen_error *error)
{
	pen_wire_buf *rows = &bulk->self->sets.copy;
	bool written = bulk->target->copy == PEN_COPY_BINARY ? write_binary(rows, bulk->target, values)
														 : write_text(rows, bulk->target, values);

	if (!written)
		return rows->failed
				   ? no_memory(error)
				   : pen_error_set(error, PENSTOCK_E_DATA, "a value does not fit in a COPY");
	bulk->expected.count++;
	return rows->len < SEND_BYTES ? PENSTOCK_OK : send_rows(bulk, error);
}

penstock_status
pen_bulk_end(pen_bulk *bulk, pen_error *error)
{
	postgres_destination *self = bulk->self;

	if (bulk->target->copy == PEN_COPY_BINARY)
		pen_form_write_uint16(&self->sets.copy, COPY_TRAILER);
	self->counters.copies++;
	self->counters.copy_rows += bulk->expected.count;
	if (send_rows(bulk, error) < 0)
		return error->status;
	return pen_pipeline_copy_end(self->pipeline, &bulk->expected, error);
}
