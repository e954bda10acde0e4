/* dump.c -- all memory tables as lines of JSON, in an order that two equal states share. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "destination/memory/memory.h"
#include "event/rowkey.h"
#include "json.h"

/* Lines are written out when this much has gathered. */
#define DUMP_BYTES 65536

typedef struct dump_row
{
	penstock_row row;
	size_t key_start; /* in keys: the Values of the key, with tags */
	size_t key_len;
} dump_row;

typedef struct dump
{
	const penstock_relation *relation;
	dump_row *rows;
	size_t count;
	size_t size;
	pen_wire_buf keys;
	pen_wire_buf line;
	FILE *out;
	pen_error *error;
} dump;

/* ---- order ---- */

static int
compare_values(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* One column after the other: integers by value, text and bytes by their bytes, NULL last. */
static int
compare_keys(pen_span a, pen_span b)
{
	pen_tuple tuples[2] = {{.data = a.data, .len = a.len}, {.data = b.data, .len = b.len}};
	pen_wire_reader readers[2];
	pen_value values[2];

	pen_wire_tuple_reader(&readers[0], &tuples[0]);
	pen_wire_tuple_reader(&readers[1], &tuples[1]);
	while (pen_wire_read_value(&readers[0], &values[0]) &&
		   pen_wire_read_value(&readers[1], &values[1]))
	{
		const pen_value *x = &values[0];
		const pen_value *y = &values[1];
		int order = 0;

		if (x->kind != y->kind)
			return x->kind == PEN_VALUE_NULL || (y->kind != PEN_VALUE_NULL && x->kind > y->kind)
					   ? 1
					   : -1;
		if (x->kind == PEN_VALUE_INT)
			order = (x->integer > y->integer) - (x->integer < y->integer);
		else if (x->kind == PEN_VALUE_BOOL)
			order = x->boolean - y->boolean;
		else if (x->kind == PEN_VALUE_FLOAT)
			order = (x->float4 > y->float4) - (x->float4 < y->float4);
		else if (x->kind == PEN_VALUE_DOUBLE)
			order = (x->float8 > y->float8) - (x->float8 < y->float8);
		else if (x->kind == PEN_VALUE_STRING || x->kind == PEN_VALUE_BYTES)
			order = compare_values(x->data, x->len, y->data, y->len);
		if (order != 0)
			return order;
	}
	/* NaN has no order: let the bytes decide. */
	return compare_values(a.data, a.len, b.data, b.len);
}

static int
compare_rows(const void *a, const void *b, void *context)
{
	const dump *d = context;
	const dump_row *x = a;
	const dump_row *y = b;

	if (d->relation->key_count == 0)
		return compare_values(x->row.data, x->row.len, y->row.data, y->row.len);
	return compare_keys((pen_span){d->keys.data + x->key_start, x->key_len},
						(pen_span){d->keys.data + y->key_start, y->key_len});
}

/* ---- collecting ---- */

static void
append_key(dump *d, dump_row *row)
{
	const uint8_t *pos = row->row.data;
	const uint8_t *end = pos + row->row.len;
	pen_span value;
	int found = 0;

	row->key_start = d->keys.len;
	for (int i = 0; found < d->relation->key_count && pen_rowkey_next_value(&pos, end, &value); i++)
	{
		if (i != d->relation->key_columns[found])
			continue;
		pen_wire_append(&d->keys, value.data - 1, value.len + 1);
		found++;
	}
	row->key_len = d->keys.len - row->key_start;
}

static bool
collect_rows(dump *d, penstock_snapshot *snapshot, penstock_table *table)
{
	uint64_t position = 0;
	penstock_row row;

	d->relation = penstock_table_relation(table);
	d->count = 0;
	d->keys.len = 0;
	while (penstock_next_row(snapshot, table, &position, &row))
	{
		if (d->count == d->size)
		{
			size_t size = d->size == 0 ? 1024 : d->size * 2;
			dump_row *rows = realloc(d->rows, size * sizeof(*rows));

			if (rows == NULL)
				return false;
			d->rows = rows;
			d->size = size;
		}
		d->rows[d->count].row = row;
		append_key(d, &d->rows[d->count++]);
	}
	if (d->keys.failed)
		return false;
	if (d->count > 1)
		qsort_r(d->rows, d->count, sizeof(*d->rows), compare_rows, d);
	return true;
}

/* ---- writing ---- */

static void
append_text(dump *d, const char *text)
{
	pen_wire_append(&d->line, text, strlen(text));
}

static const char *
append_line(dump *d, const penstock_row *row)
{
	const penstock_relation *relation = row->relation;
	pen_tuple tuple = {.data = row->data, .len = row->len};
	pen_wire_reader reader;
	pen_value value;
	const char *wrong;

	append_text(d, "{\"schema\":");
	wrong = pen_json_string(&d->line, relation->schema, strlen(relation->schema));
	append_text(d, ",\"table\":");
	if (wrong == NULL)
		wrong = pen_json_string(&d->line, relation->name, strlen(relation->name));
	append_text(d, ",\"row\":{");
	pen_wire_tuple_reader(&reader, &tuple);
	for (int i = 0; wrong == NULL && i < relation->column_count; i++)
	{
		const penstock_column *column = &relation->columns[i];

		if (!pen_wire_read_value(&reader, &value))
			return "a row has too few values";
		append_text(d, i > 0 ? "," : "");
		wrong = pen_json_string(&d->line, column->name, strlen(column->name));
		append_text(d, ":");
		if (wrong == NULL)
			wrong = pen_json_value(&d->line, (pen_encoding) column->encoding, column->base_type_oid,
								   &value);
	}
	append_text(d, "}}\n");
	return wrong;
}

static penstock_status
write_out(dump *d)
{
	if (d->line.failed)
		return pen_error_set(d->error, PENSTOCK_E_RETRY, "out of memory for a line of the dump");
	if (d->line.len > 0 && fwrite(d->line.data, 1, d->line.len, d->out) != d->line.len)
		return pen_error_set(d->error, PENSTOCK_E_RETRY, "the dump could not be written");
	d->line.len = 0;
	return PENSTOCK_OK;
}

static penstock_status
dump_table(dump *d, penstock_snapshot *snapshot, penstock_table *table)
{
	penstock_status status = PENSTOCK_OK;

	if (!collect_rows(d, snapshot, table))
		return pen_error_set(d->error, PENSTOCK_E_RETRY, "out of memory for the dump");
	for (size_t i = 0; status == PENSTOCK_OK && i < d->count; i++)
	{
		const char *wrong = append_line(d, &d->rows[i].row);

		if (wrong != NULL && !d->line.failed)
			return pen_error_set(d->error, PENSTOCK_E_DATA, "dumping table %s.%s: %s",
								 d->relation->schema, d->relation->name, wrong);
		if (d->line.len >= DUMP_BYTES || d->line.failed)
			status = write_out(d);
	}
	return status;
}

penstock_status
pen_memory_dump(pen_destination *destination, FILE *out, pen_error *error)
{
	penstock_snapshot *snapshot = pen_memory_snapshot_begin(destination);
	penstock_status status = PENSTOCK_OK;
	penstock_table *table;
	dump d = {.out = out, .error = error};

	if (snapshot == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "memory tables are not loaded yet");
	pen_buffer_init(&d.keys);
	pen_buffer_init(&d.line);
	for (size_t i = 0;
		 status == PENSTOCK_OK && (table = penstock_snapshot_table_at(snapshot, i)) != NULL; i++)
		status = dump_table(&d, snapshot, table);
	if (status == PENSTOCK_OK)
		status = write_out(&d);
	if (status == PENSTOCK_OK && fflush(out) != 0)
		status = pen_error_set(error, PENSTOCK_E_RETRY, "the dump could not be written");
	pen_buffer_reset(&d.keys);
	pen_buffer_reset(&d.line);
	free(d.rows);
	penstock_snapshot_end(snapshot);
	return status;
}
