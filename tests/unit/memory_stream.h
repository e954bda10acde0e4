/* memory_stream.h -- memory tables to which changes come as a test writes them, as texts, and which
 * are read as one text. */
#ifndef MEMORY_STREAM_H
#define MEMORY_STREAM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "destination/memory/store_private.h"
#include "event/relation.h"
#include "types.h"

#define UNCHANGED ((const char *) 1)

/* ---- a stream by hand ---- */

typedef struct fixture
{
	pen_memory_store *store;
	penstock_transaction transaction;
	uint64_t lsn;
	pen_error error;
} fixture;

static inline const penstock_relation *
make_relation(uint32_t oid, const char *name, char identity, const char *columns)
{
	/* "id:i*,grp:i,payload:t": name, type (integer, text), * in the key, - for a dropped column */
	penstock_column list[16] = {0};
	penstock_relation draft = {
		.oid = oid, .schema = "public", .name = name, .replica_identity = identity};
	char copy[256];
	char names[16][32];
	char *save;
	int attnum = 0;
	int keys = 0;
	pen_error error;
	const penstock_relation *relation;

	snprintf(copy, sizeof(copy), "%s", columns);
	for (char *c = strtok_r(copy, ",", &save); c != NULL; c = strtok_r(NULL, ",", &save))
	{
		penstock_column *column = &list[draft.column_count];
		char type;
		char key = ' ';

		attnum++;
		if (c[0] == '-')
			continue;
		assert_true(sscanf(c, "%31[^:]:%c%c", names[draft.column_count], &type, &key) >= 2);
		column->name = names[draft.column_count];
		column->type_schema = "pg_catalog";
		column->type_name = type == 'i' ? "int4" : "text";
		column->type_oid = column->base_type_oid = type == 'i' ? PEN_OID_INT4 : PEN_OID_TEXT;
		column->typmod = -1;
		column->encoding = (int) pen_type_encoding(column->type_oid);
		column->attnum = attnum;
		if (key == '*')
			column->primary_key = column->identity = ++keys;
		if (identity == 'f')
			column->identity = attnum;
		if (identity == 'n')
			column->identity = 0;
		draft.column_count++;
	}
	draft.columns = list;
	relation = pen_relation_new(&draft, &error);
	assert_non_null(relation);
	return relation;
}

/* A row from texts, one for each column that travels: NULL, UNCHANGED, or the value. */
static inline penstock_row
make_row(const penstock_relation *relation, pen_wire_buf *buf, pen_tuple_field field,
		 bool identity_only, const char *const *texts)
{
	size_t start = buf->len = 0;

	for (int i = 0; i < relation->column_count; i++)
	{
		const char *text;

		if (identity_only && relation->columns[i].identity == 0)
			continue;
		text = *texts++;
		if (text == NULL)
			pen_wire_write_null(buf, field);
		else if (text == UNCHANGED)
			pen_wire_write_unchanged(buf, field);
		else if (relation->columns[i].encoding == PEN_ENCODING_INT)
			pen_wire_write_int(buf, field, atoll(text));
		else
			pen_wire_write_string(buf, field, text, strlen(text));
	}
	return (penstock_row){relation, buf->data + start, buf->len - start, identity_only};
}

static inline penstock_status
apply(fixture *f, penstock_event_kind kind, const penstock_relation *relation,
	  const char *const *new_texts, const char *const *old_texts, bool identity_only)
{
	pen_wire_buf new_buf;
	pen_wire_buf old_buf;
	penstock_event event = {.kind = kind, .transaction = &f->transaction, .relation = relation};
	penstock_status status;

	pen_buffer_init(&new_buf);
	pen_buffer_init(&old_buf);
	if (new_texts != NULL)
		event.new_row = make_row(relation, &new_buf, PEN_TUPLE_NEW, false, new_texts);
	if (old_texts != NULL)
		event.old_row = make_row(relation, &old_buf, identity_only ? PEN_TUPLE_KEY : PEN_TUPLE_OLD,
								 identity_only, old_texts);
	status = pen_memory_apply(f->store, &event, &f->error);
	pen_buffer_reset(&new_buf);
	pen_buffer_reset(&old_buf);
	return status;
}

#define ROW(...) ((const char *const[]){__VA_ARGS__})
#define INSERT(f, r, ...)                                                                          \
	assert_int_equal(apply(f, PENSTOCK_INSERT, r, ROW(__VA_ARGS__), NULL, false), PENSTOCK_OK)
#define UPDATE(f, r, ...)                                                                          \
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW(__VA_ARGS__), NULL, false), PENSTOCK_OK)
#define DELETE(f, r, ...)                                                                          \
	assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW(__VA_ARGS__), true), PENSTOCK_OK)

static inline void
begin(fixture *f)
{
	f->transaction = (penstock_transaction){.xid = 7, .commit_lsn = f->lsn += 16};
	assert_int_equal(apply(f, PENSTOCK_BEGIN, NULL, NULL, NULL, false), PENSTOCK_OK);
}

static inline void
commit(fixture *f)
{
	f->transaction.end_lsn = f->lsn += 8;
	assert_int_equal(apply(f, PENSTOCK_COMMIT, NULL, NULL, NULL, false), PENSTOCK_OK);
}

static inline penstock_status
truncate_tables(fixture *f, const penstock_relation *const *relations, uint32_t count)
{
	penstock_event event = {.kind = PENSTOCK_TRUNCATE,
							.transaction = &f->transaction,
							.relations = relations,
							.relation_count = count};

	return pen_memory_apply(f->store, &event, &f->error);
}

static inline int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	f->store = pen_memory_store_new(0);
	f->lsn = 1000;
	assert_null(pen_memory_store_snapshot(f->store));
	pen_memory_load_begin(f->store);
	pen_memory_load_end(f->store, 1000);
	assert_int_equal(pen_memory_start(f->store, 1000, &f->error), PENSTOCK_OK);
	*state = f;
	return 0;
}

static inline int
tear_down(void **state)
{
	fixture *f = *state;

	pen_memory_store_free(f->store);
	free(f);
	return 0;
}

/* ---- reading ---- */

static inline void
print_row(const penstock_row *row, char *out, size_t size)
{
	pen_wire_reader reader;
	pen_value value;
	size_t used = 0;

	out[0] = '\0';
	pen_wire_reader_init(&reader, row->data, row->len);
	while (pen_wire_read_value(&reader, &value) && used < size)
	{
		used += (size_t) snprintf(out + used, size - used, "%s", used > 0 ? "|" : "");
		if (value.kind == PEN_VALUE_INT)
			used += (size_t) snprintf(out + used, size - used, "%lld", (long long) value.integer);
		else if (value.kind == PEN_VALUE_STRING)
			used += (size_t) snprintf(out + used, size - used, "%.*s", (int) value.len,
									  (const char *) value.data);
		else
			used += (size_t) snprintf(out + used, size - used, "~");
	}
	assert_null(reader.error);
}

static inline int
compare_strings(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* All rows of a table, sorted: "1|a;2|b". "none": no such table. */
static inline const char *
contents(penstock_snapshot *snapshot, const char *name)
{
	static char out[65536];
	static char rows[2000][128];
	penstock_table *table = penstock_snapshot_table(snapshot, "public", name);
	uint64_t position = 0;
	size_t count = 0;
	size_t used = 0;
	penstock_row row;

	if (table == NULL)
		return "none";
	while (penstock_next_row(snapshot, table, &position, &row))
	{
		assert_ptr_equal(row.relation, penstock_table_relation(table));
		print_row(&row, rows[count++], sizeof(rows[0]));
	}
	assert_int_equal(count, penstock_table_count(snapshot, table));
	qsort(rows, count, sizeof(rows[0]), compare_strings);
	out[0] = '\0';
	for (size_t i = 0; i < count; i++)
		used +=
			(size_t) snprintf(out + used, sizeof(out) - used, "%s%s", i > 0 ? ";" : "", rows[i]);
	return out;
}

static inline void
expect(fixture *f, const char *name, const char *rows)
{
	penstock_snapshot *snapshot = pen_memory_store_snapshot(f->store);

	assert_string_equal(contents(snapshot, name), rows);
	penstock_snapshot_end(snapshot);
}

#endif
