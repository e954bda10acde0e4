/* test_memory.c -- memory tables: every change, snapshots under concurrent apply, exact undo,
 * freed versions, and the memory that a row costs. */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buffer.h"
#include "destination/kinds.h"
#include "destination/memory/memory.h"
#include "destination/memory/store_private.h"
#include "event/relation.h"
#include "types.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#define BIG       50000
#else
#define SANITIZED 0
#define BIG       1000000
#endif

#define UNCHANGED ((const char *) 1)

/* ---- a stream by hand ---- */

typedef struct fixture
{
	pen_memory_store *store;
	penstock_transaction transaction;
	uint64_t lsn;
	pen_error error;
} fixture;

static const penstock_relation *
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
static penstock_row
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

static penstock_status
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

static void
begin(fixture *f)
{
	f->transaction = (penstock_transaction){.xid = 7, .commit_lsn = f->lsn += 16};
	assert_int_equal(apply(f, PENSTOCK_BEGIN, NULL, NULL, NULL, false), PENSTOCK_OK);
}

static void
commit(fixture *f)
{
	f->transaction.end_lsn = f->lsn += 8;
	assert_int_equal(apply(f, PENSTOCK_COMMIT, NULL, NULL, NULL, false), PENSTOCK_OK);
}

static penstock_status
truncate_tables(fixture *f, const penstock_relation *const *relations, uint32_t count)
{
	penstock_event event = {.kind = PENSTOCK_TRUNCATE,
							.transaction = &f->transaction,
							.relations = relations,
							.relation_count = count};

	return pen_memory_apply(f->store, &event, &f->error);
}

static int
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

static int
tear_down(void **state)
{
	fixture *f = *state;

	pen_memory_store_free(f->store);
	free(f);
	return 0;
}

/* ---- reading ---- */

static void
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

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* All rows of a table, sorted: "1|a;2|b". "none": no such table. */
static const char *
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

static void
expect(fixture *f, const char *name, const char *rows)
{
	penstock_snapshot *snapshot = pen_memory_store_snapshot(f->store);

	assert_string_equal(contents(snapshot, name), rows);
	penstock_snapshot_end(snapshot);
}

/* ---- changes ---- */

static void
test_insert_update_delete_and_lookup(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,name:t");
	penstock_snapshot *snapshot;
	penstock_table *table;
	penstock_row row;
	char text[64];

	begin(f);
	INSERT(f, r, "1", "a");
	INSERT(f, r, "2", "b");
	INSERT(f, r, "3", NULL);
	expect(f, "t", "none");
	commit(f);
	expect(f, "t", "1|a;2|b;3|~");
	begin(f);
	UPDATE(f, r, "2", "bb");
	UPDATE(f, r, "2", "bbb");
	DELETE(f, r, "1");
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("4", UNCHANGED), ROW("3"), true), 0);
	expect(f, "t", "1|a;2|b;3|~");
	commit(f);
	expect(f, "t", "2|bbb;4|~");

	snapshot = pen_memory_store_snapshot(f->store);
	table = penstock_snapshot_table(snapshot, "public", "t");
	assert_int_equal(penstock_lookup_int(snapshot, table, 2, &row), PENSTOCK_OK);
	print_row(&row, text, sizeof(text));
	assert_string_equal(text, "2|bbb");
	assert_int_equal(penstock_lookup(snapshot, table, ROW("4"), 1, &row), PENSTOCK_OK);
	assert_int_equal(penstock_lookup(snapshot, table, ROW("1"), 1, &row), PENSTOCK_NOT_FOUND);
	assert_int_equal(penstock_lookup(snapshot, table, ROW("x"), 1, &row), PENSTOCK_E_CONFIG);
	assert_int_equal(penstock_lookup(snapshot, table, ROW("1", "2"), 2, &row), PENSTOCK_E_CONFIG);
	assert_int_equal(penstock_snapshot_lsn(snapshot), f->lsn);
	assert_null(penstock_snapshot_table(snapshot, "public", "u"));
	assert_null(penstock_snapshot_table_at(snapshot, 1));
	penstock_snapshot_end(snapshot);
	pen_relation_unref(r);
}

static void
test_a_key_may_go_and_come_in_one_transaction(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,name:t");

	begin(f);
	INSERT(f, r, "1", "a");
	DELETE(f, r, "1");
	INSERT(f, r, "1", "b");
	DELETE(f, r, "1");
	INSERT(f, r, "2", "c");
	DELETE(f, r, "2");
	INSERT(f, r, "2", "d");
	commit(f);
	expect(f, "t", "2|d");
	begin(f);
	DELETE(f, r, "2");
	INSERT(f, r, "2", "e");
	/* a swap by way of a third key */
	INSERT(f, r, "5", "f");
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("9", "e"), ROW("2"), true), 0);
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("2", "f"), ROW("5"), true), 0);
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("5", "e"), ROW("9"), true), 0);
	commit(f);
	expect(f, "t", "2|f;5|e");
	pen_relation_unref(r);
}

static void
test_rows_that_do_not_fit_are_errors_without_values(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,name:t");
	const penstock_relation *n = make_relation(2, "n", 'n', "id:i,name:t");

	begin(f);
	INSERT(f, r, "424242", "secret");
	assert_int_equal(apply(f, PENSTOCK_INSERT, r, ROW("424242", "x"), NULL, false),
					 PENSTOCK_E_DATA);
	assert_non_null(strstr(f->error.text, "public.t"));
	assert_non_null(strstr(f->error.text, "(key: id)"));
	assert_non_null(strstr(f->error.text, "0/3F8"));
	assert_null(strstr(f->error.text, "424242"));
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("2", "x"), NULL, false), PENSTOCK_E_DATA);
	assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW("2"), true), PENSTOCK_E_DATA);
	INSERT(f, n, "1", "a");
	assert_int_equal(apply(f, PENSTOCK_UPDATE, n, ROW("1", "b"), NULL, false), PENSTOCK_E_REFUSED);
	assert_non_null(strstr(f->error.text, "ALTER TABLE public.n REPLICA IDENTITY"));
	assert_int_equal(apply(f, PENSTOCK_DELETE, n, NULL, NULL, false), PENSTOCK_E_REFUSED);
	commit(f);
	expect(f, "n", "1|a");
	pen_relation_unref(r);
	pen_relation_unref(n);
}

static void
test_unchanged_values_come_from_the_stored_row(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "a:t,id:i*,b:t");

	begin(f);
	INSERT(f, r, "big", "1", "x");
	UPDATE(f, r, UNCHANGED, "1", "y");
	commit(f);
	expect(f, "t", "big|1|y");
	begin(f);
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW(UNCHANGED, "2", UNCHANGED), ROW("1"), true),
					 0);
	commit(f);
	expect(f, "t", "big|2|y");
	pen_relation_unref(r);
}

static void
test_without_key_a_table_is_a_multiset(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "m", 'f', "a:i,b:t");

	begin(f);
	for (int i = 0; i < 3; i++)
	{
		INSERT(f, r, "1", NULL);
		INSERT(f, r, NULL, "x");
	}
	commit(f);
	begin(f);
	assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW("1", NULL), false), 0);
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("2", UNCHANGED), ROW(NULL, "x"), false), 0);
	assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW(NULL, NULL), false), PENSTOCK_E_DATA);
	expect(f, "m", "1|~;1|~;1|~;~|x;~|x;~|x");
	pen_memory_undo(f->store);
	expect(f, "m", "1|~;1|~;1|~;~|x;~|x;~|x");
	begin(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW("1", NULL), false), 0);
	assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW("1", NULL), false), PENSTOCK_E_DATA);
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("2", UNCHANGED), ROW(NULL, "x"), false), 0);
	commit(f);
	expect(f, "m", "2|x;~|x;~|x");
	pen_relation_unref(r);
}

static void
test_full_identity_uses_the_primary_key(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'f', "a:t,id:i*");

	assert_int_equal(r->key_count, 1);
	begin(f);
	INSERT(f, r, "x", "1");
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("y", "1"), ROW("x", "1"), false), 0);
	assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("z", "2"), ROW("y", "1"), false), 0);
	INSERT(f, r, "w", "3");
	assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW("w", "3"), false), 0);
	commit(f);
	expect(f, "t", "z|2");
	pen_relation_unref(r);
}

static void
test_truncate_of_several_tables(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*");
	const penstock_relation *s = make_relation(2, "s", 'd', "id:i*");
	const penstock_relation *both[] = {r, s};
	penstock_snapshot *before;

	begin(f);
	INSERT(f, r, "1");
	INSERT(f, s, "1");
	commit(f);
	before = pen_memory_store_snapshot(f->store);
	begin(f);
	DELETE(f, s, "1");
	INSERT(f, r, "2");
	assert_int_equal(truncate_tables(f, both, 2), 0);
	INSERT(f, r, "1");
	assert_int_equal(truncate_tables(f, both, 2), 0);
	INSERT(f, r, "3");
	expect(f, "t", "1");
	expect(f, "s", "1");
	pen_memory_undo(f->store);
	expect(f, "t", "1");
	begin(f);
	UPDATE(f, r, "1");
	assert_int_equal(truncate_tables(f, both, 2), 0);
	INSERT(f, r, "4");
	assert_string_equal(contents(before, "t"), "1");
	commit(f);
	expect(f, "t", "4");
	expect(f, "s", "");
	assert_string_equal(contents(before, "t"), "1");
	assert_string_equal(contents(before, "s"), "1");
	penstock_snapshot_end(before);
	assert_false(pen_memory_collect(f->store));
	pen_relation_unref(r);
	pen_relation_unref(s);
}

/* ---- descriptions ---- */

static void
test_renamed_and_dropped_columns_are_mapped(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,a:t,b:t");
	const penstock_relation *renamed = make_relation(1, "t", 'd', "id:i*,aa:t,b:t");
	const penstock_relation *dropped = make_relation(1, "t", 'd', "id:i*,-,b:t");
	penstock_snapshot *before;

	begin(f);
	INSERT(f, r, "1", "a", "b");
	INSERT(f, r, "2", "c", "d");
	commit(f);
	before = pen_memory_store_snapshot(f->store);
	begin(f);
	UPDATE(f, renamed, "2", UNCHANGED, "e");
	commit(f);
	expect(f, "t", "1|a|b;2|c|e");
	begin(f);
	UPDATE(f, dropped, "2", UNCHANGED);
	commit(f);
	expect(f, "t", "1|b;2|e");
	assert_string_equal(contents(before, "t"), "1|a|b;2|c|d");
	penstock_snapshot_end(before);
	begin(f);
	DELETE(f, dropped, "1");
	commit(f);
	expect(f, "t", "2|e");
	pen_relation_unref(r);
	pen_relation_unref(renamed);
	pen_relation_unref(dropped);
}

static void
test_other_changes_of_columns_load_again(void **state)
{
	static const char *const columns[] = {"id:i*,a:t,b:t", "id:i*,a:i", "id:i,a:t*", "id:t*,a:t"};
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,a:t");

	begin(f);
	INSERT(f, r, "1", "a");
	commit(f);
	for (size_t i = 0; i < 4; i++)
	{
		const penstock_relation *other = make_relation(1, "t", 'd', columns[i]);

		f->store->reloads = 0;
		begin(f);
		assert_int_equal(apply(f, PENSTOCK_INSERT, other, ROW("2", "2", "2"), NULL, false),
						 PENSTOCK_E_RETRY);
		assert_non_null(strstr(f->error.text, "public.t"));
		pen_memory_undo(f->store);
		pen_relation_unref(other);
	}
	begin(f);
	DELETE(f, r, "1");
	commit(f);
	for (size_t i = 0; i < 4; i++)
	{
		const penstock_relation *other = make_relation(1, "t", 'd', columns[i]);

		begin(f);
		INSERT(f, other, "2", "2", "2");
		expect(f, "t", "");
		pen_memory_undo(f->store);
		pen_relation_unref(other);
	}
	pen_relation_unref(r);
}

/* A difference that loading does not mend must not load for ever. */
static void
test_loading_again_has_a_limit(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*");
	const penstock_relation *other = make_relation(1, "t", 'd', "id:i*,a:t");
	const penstock_relation *busy = make_relation(2, "busy", 'd', "id:i*");
	penstock_status status = PENSTOCK_E_RETRY;
	int rounds = 0;

	begin(f);
	INSERT(f, r, "1");
	commit(f);
	for (; status == PENSTOCK_E_RETRY; rounds++)
	{
		char id[16];

		snprintf(id, sizeof(id), "%d", rounds);
		begin(f);
		INSERT(f, busy, id);
		commit(f);
		begin(f);
		status = apply(f, PENSTOCK_INSERT, other, ROW("2", "2"), NULL, false);
		pen_memory_undo(f->store);
	}
	assert_int_equal(status, PENSTOCK_E_BUG);
	assert_int_equal(rounds, 4);
	pen_relation_unref(r);
	pen_relation_unref(other);
	pen_relation_unref(busy);
}

static void
test_a_table_under_another_name_loads_again(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*");
	const penstock_relation *renamed = make_relation(1, "t2", 'd', "id:i*");
	const penstock_relation *fresh = make_relation(3, "fresh", 'd', "id:i*");

	begin(f);
	INSERT(f, r, "1");
	INSERT(f, fresh, "1");
	assert_int_equal(apply(f, PENSTOCK_INSERT, renamed, ROW("2"), NULL, false), PENSTOCK_E_RETRY);
	pen_relation_unref(r);
	pen_relation_unref(renamed);
	pen_relation_unref(fresh);
}

/* ---- snapshots, restart, garbage ---- */

static void
test_a_snapshot_does_not_move(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,v:t");
	penstock_snapshot *snapshots[4];
	penstock_row row;

	begin(f);
	INSERT(f, r, "1", "a");
	INSERT(f, r, "2", "b");
	commit(f);
	snapshots[0] = pen_memory_store_snapshot(f->store);
	begin(f);
	UPDATE(f, r, "1", "c");
	DELETE(f, r, "2");
	commit(f);
	snapshots[1] = pen_memory_store_snapshot(f->store);
	begin(f);
	INSERT(f, r, "2", "d");
	commit(f);
	snapshots[2] = pen_memory_store_snapshot(f->store);
	begin(f);
	DELETE(f, r, "2");
	INSERT(f, r, "3", "e");
	commit(f);
	snapshots[3] = pen_memory_store_snapshot(f->store);
	assert_true(pen_memory_collect(f->store));
	assert_string_equal(contents(snapshots[0], "t"), "1|a;2|b");
	assert_string_equal(contents(snapshots[1], "t"), "1|c");
	assert_string_equal(contents(snapshots[2], "t"), "1|c;2|d");
	assert_string_equal(contents(snapshots[3], "t"), "1|c;3|e");
	assert_int_equal(
		penstock_lookup_int(snapshots[0], penstock_snapshot_table_at(snapshots[0], 0), 2, &row),
		PENSTOCK_OK);
	penstock_snapshot_end(snapshots[0]);
	pen_memory_collect(f->store);
	assert_string_equal(contents(snapshots[1], "t"), "1|c");
	assert_string_equal(contents(snapshots[2], "t"), "1|c;2|d");
	penstock_snapshot_end(snapshots[2]);
	penstock_snapshot_end(snapshots[1]);
	pen_memory_collect(f->store);
	assert_string_equal(contents(snapshots[3], "t"), "1|c;3|e");
	penstock_snapshot_end(snapshots[3]);
	assert_false(pen_memory_collect(f->store));
	pen_relation_unref(r);
}

static void
test_a_restart_undoes_the_open_transaction(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,v:t");
	uint64_t start;

	begin(f);
	INSERT(f, r, "1", "a");
	INSERT(f, r, "2", "b");
	commit(f);
	start = f->lsn;
	for (int round = 0; round < 3; round++)
	{
		f->lsn = start;
		begin(f);
		INSERT(f, r, "3", "c");
		DELETE(f, r, "1");
		INSERT(f, r, "1", "x");
		DELETE(f, r, "1");
		UPDATE(f, r, "2", "y");
		DELETE(f, r, "3");
		INSERT(f, r, "3", "z");
		assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW("9", "9"), ROW("2"), true), 0);
		if (round < 2)
			assert_int_equal(pen_memory_start(f->store, start, &f->error), PENSTOCK_OK);
		else
			commit(f);
		expect(f, "t", round < 2 ? "1|a;2|b" : "3|z;9|9");
	}
	/* What comes again is skipped; what would be missing is noticed. */
	f->lsn = start;
	assert_int_equal(pen_memory_start(f->store, 1000, &f->error), PENSTOCK_OK);
	begin(f);
	INSERT(f, r, "3", "again");
	commit(f);
	expect(f, "t", "3|z;9|9");
	assert_int_equal(pen_memory_start(f->store, f->lsn + 1, &f->error), PENSTOCK_E_RETRY);
	pen_relation_unref(r);
}

static void
load_one(fixture *f, const penstock_relation *r, const char *id, uint64_t lsn)
{
	pen_wire_buf buf;
	penstock_row row;

	pen_buffer_init(&buf);
	pen_memory_load_begin(f->store);
	assert_int_equal(pen_memory_load_table(f->store, r, &f->error), 0);
	row = make_row(r, &buf, PEN_TUPLE_NEW, false, ROW(id));
	assert_int_equal(pen_memory_load_row(f->store, row.data, row.len, &f->error), 0);
	assert_int_equal(pen_memory_load_other(f->store, 77, &f->error), 0);
	pen_memory_load_end(f->store, lsn);
	pen_buffer_reset(&buf);
}

static void
test_loaded_tables_replace_the_old_ones_at_once(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*");
	const penstock_relation *other = make_relation(77, "other", 'd', "id:i*");
	penstock_snapshot *before;

	begin(f);
	INSERT(f, r, "1");
	commit(f);
	before = pen_memory_store_snapshot(f->store);
	load_one(f, r, "5", 2000);
	assert_int_equal(pen_memory_store_lsn(f->store), 2000);
	expect(f, "t", "1");
	assert_int_equal(pen_memory_start(f->store, f->lsn, &f->error), PENSTOCK_OK);
	expect(f, "t", "5");
	/* What the loaded rows contain comes again. */
	begin(f);
	INSERT(f, r, "5");
	commit(f);
	pen_memory_advance(f->store, 1999);
	assert_int_equal(pen_memory_store_lsn(f->store), 2000);
	f->lsn = 2000 - 16;
	begin(f);
	INSERT(f, r, "6");
	expect(f, "t", "5");
	commit(f);
	expect(f, "t", "5;6");
	begin(f);
	assert_int_equal(apply(f, PENSTOCK_INSERT, other, ROW("1"), NULL, false), PENSTOCK_E_RETRY);
	assert_string_equal(contents(before, "t"), "1");
	penstock_snapshot_end(before);
	pen_relation_unref(r);
	pen_relation_unref(other);
}

static void
test_without_readers_no_versions_are_kept(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,v:t");
	penstock_snapshot *snapshot;
	size_t bytes;

	begin(f);
	for (int i = 0; i < 100; i++)
	{
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		INSERT(f, r, id, "value");
	}
	UPDATE(f, r, "1", "VALUE");
	commit(f);
	begin(f);
	UPDATE(f, r, "1", "values");
	DELETE(f, r, "7");
	INSERT(f, r, "7", "again");
	commit(f);
	bytes = pen_memory_store_bytes(f->store);
	for (int i = 0; i < 10000; i++)
	{
		begin(f);
		UPDATE(f, r, "1", i % 2 ? "odd" : "even");
		DELETE(f, r, "7");
		INSERT(f, r, "200", "x");
		commit(f);
		begin(f);
		UPDATE(f, r, "1", i % 2 ? "ODD" : "EVEN");
		INSERT(f, r, "7", "y");
		DELETE(f, r, "200");
		commit(f);
	}
	assert_true(pen_memory_store_bytes(f->store) <= bytes + 4096);
	assert_false(pen_memory_collect(f->store));
	snapshot = pen_memory_store_snapshot(f->store);
	begin(f);
	UPDATE(f, r, "1", "last");
	commit(f);
	assert_true(pen_memory_collect(f->store));
	penstock_snapshot_end(snapshot);
	assert_false(pen_memory_collect(f->store));
	pen_relation_unref(r);
}

static void
test_the_limit_names_the_table(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "greedy", 'd', "id:i*,v:t");
	penstock_status status = PENSTOCK_OK;

	f->store->bytes_max = 100000;
	begin(f);
	for (int i = 0; i < 10000 && status == PENSTOCK_OK; i++)
	{
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		status = apply(f, PENSTOCK_INSERT, r, ROW(id, "some text"), NULL, false);
	}
	assert_int_equal(status, PENSTOCK_E_CONFIG);
	assert_non_null(strstr(f->error.text, "public.greedy"));
	pen_memory_undo(f->store);
	pen_relation_unref(r);
}

/* ---- the destination ---- */

static void
test_a_dump_is_in_key_order(void **state)
{
	const penstock_relation *r = make_relation(1, "t", 'd', "id:i*,k:t*,v:t");
	const penstock_relation *m = make_relation(2, "m", 'f', "v:t");
	pen_destination_config config = {.name = "m", .uri = "memory:"};
	pen_error error;
	pen_destination *destination = pen_destination_memory.create(&config, &error);
	fixture f = {.store = *(pen_memory_store **) (destination + 1), .lsn = 1000};
	pen_position position = {0};
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	(void) state;
	assert_null(pen_memory_snapshot_begin(destination));
	assert_int_equal(pen_memory_dump(destination, out, &error), PENSTOCK_E_RETRY);
	pen_memory_load_begin(f.store);
	pen_memory_load_end(f.store, 1000);
	assert_null(pen_memory_snapshot_begin(destination));
	assert_int_equal(pen_destination_memory.start(destination, 900, &position, &error), 0);
	assert_int_equal(position.applied_lsn, 1000);
	assert_int_equal(pen_memory_dump(destination, out, &error), PENSTOCK_OK);
	begin(&f);
	INSERT(&f, r, "10", "a", "x\"");
	INSERT(&f, r, "9", "b", NULL);
	INSERT(&f, r, "9", "a", "z");
	INSERT(&f, m, "q");
	INSERT(&f, m, "p");
	INSERT(&f, m, "q");
	commit(&f);
	assert_int_equal(pen_destination_memory.flush(destination, &position, &error), 0);
	assert_int_equal(position.durable_lsn, f.lsn);
	assert_int_equal(pen_memory_dump(destination, out, &error), PENSTOCK_OK);
	fclose(out);
	assert_string_equal(
		text, "{\"schema\":\"public\",\"table\":\"m\",\"row\":{\"v\":\"p\"}}\n"
			  "{\"schema\":\"public\",\"table\":\"m\",\"row\":{\"v\":\"q\"}}\n"
			  "{\"schema\":\"public\",\"table\":\"m\",\"row\":{\"v\":\"q\"}}\n"
			  "{\"schema\":\"public\",\"table\":\"t\",\"row\":{\"id\":9,\"k\":\"a\",\"v\":\"z\"}}\n"
			  "{\"schema\":\"public\",\"table\":\"t\",\"row\":{\"id\":9,\"k\":\"b\",\"v\":null}}\n"
			  "{\"schema\":\"public\",\"table\":\"t\",\"row\":{\"id\":10,\"k\":\"a\",\"v\":"
			  "\"x\\\"\"}}\n");
	free(text);
	pen_destination_memory.close(destination);
	pen_destination_memory.destroy(destination);
	pen_relation_unref(r);
	pen_relation_unref(m);
}

/* ---- a history against a simple model ---- */

#define MODEL_KEYS 40

static void
model_text(int *const model, bool multiset, char *out, size_t size)
{
	char rows[2000][128];
	size_t count = 0;
	size_t used = 0;

	for (int key = 0; key < MODEL_KEYS; key++)
		for (int n = 0; n < (multiset ? model[key] : model[key] >= 0); n++)
			snprintf(rows[count++], 128, "%d|v%d", key, multiset ? 0 : model[key]);
	qsort(rows, count, sizeof(rows[0]), compare_strings);
	out[0] = '\0';
	for (size_t i = 0; i < count; i++)
		used += (size_t) snprintf(out + used, size - used, "%s%s", i > 0 ? ";" : "", rows[i]);
}

/* One random change of both. model[key]: the value or -1; of a multiset the count. */
static void
random_change(fixture *f, const penstock_relation *r, int *model, bool multiset)
{
	int key = rand() % MODEL_KEYS;
	int other = rand() % MODEL_KEYS;
	char id[16];
	char other_id[16];
	char value[16];

	snprintf(id, sizeof(id), "%d", key);
	snprintf(other_id, sizeof(other_id), "%d", other);
	snprintf(value, sizeof(value), "v%d", multiset ? 0 : rand() % 1000);
	if (multiset)
	{
		if (model[key] == 0 || (model[key] < 10 && rand() % 2))
		{
			INSERT(f, r, id, value);
			model[key]++;
		}
		else if (rand() % 2)
		{
			assert_int_equal(apply(f, PENSTOCK_DELETE, r, NULL, ROW(id, value), false), 0);
			model[key]--;
		}
		else
		{
			assert_int_equal(
				apply(f, PENSTOCK_UPDATE, r, ROW(other_id, UNCHANGED), ROW(id, value), false), 0);
			model[key]--;
			model[other]++;
		}
		return;
	}
	if (model[key] < 0)
	{
		INSERT(f, r, id, value);
		model[key] = atoi(value + 1);
	}
	else if (rand() % 3 == 0)
	{
		DELETE(f, r, id);
		model[key] = -1;
	}
	else if (rand() % 2 && model[other] < 0)
	{
		assert_int_equal(apply(f, PENSTOCK_UPDATE, r, ROW(other_id, UNCHANGED), ROW(id), true), 0);
		model[other] = model[key];
		model[key] = -1;
	}
	else
	{
		UPDATE(f, r, id, value);
		model[key] = atoi(value + 1);
	}
}

static void
run_history(fixture *f, bool multiset)
{
	const penstock_relation *r =
		make_relation(1, "t", multiset ? 'f' : 'd', multiset ? "id:i,v:t" : "id:i*,v:t");
	struct
	{
		penstock_snapshot *snapshot;
		char *text;
	} kept[8] = {0};
	static char text[65536];
	int model[MODEL_KEYS];
	int saved[MODEL_KEYS];

	srand(multiset ? 11 : 12);
	memset(model, multiset ? 0 : -1, sizeof(model));
	begin(f);
	random_change(f, r, model, multiset);
	commit(f);
	for (int round = 0; round < (SANITIZED ? 1500 : 6000); round++)
	{
		int slot = rand() % 16;
		int undo = rand() % 4 == 0;

		memcpy(saved, model, sizeof(model));
		begin(f);
		for (int n = rand() % 12; n >= 0; n--)
		{
			if (rand() % 40 == 0)
			{
				assert_int_equal(truncate_tables(f, &r, 1), 0);
				memset(model, multiset ? 0 : -1, sizeof(model));
			}
			random_change(f, r, model, multiset);
		}
		if (undo)
		{
			pen_memory_undo(f->store);
			memcpy(model, saved, sizeof(model));
		}
		else
			commit(f);
		model_text(model, multiset, text, sizeof(text));
		expect(f, "t", text);
		if (slot >= 8)
			continue;
		if (kept[slot].snapshot != NULL)
		{
			assert_string_equal(contents(kept[slot].snapshot, "t"), kept[slot].text);
			penstock_snapshot_end(kept[slot].snapshot);
			free(kept[slot].text);
			kept[slot].snapshot = NULL;
		}
		else
		{
			kept[slot].snapshot = pen_memory_store_snapshot(f->store);
			kept[slot].text = strdup(text);
		}
	}
	for (int slot = 0; slot < 8; slot++)
		if (kept[slot].snapshot != NULL)
		{
			assert_string_equal(contents(kept[slot].snapshot, "t"), kept[slot].text);
			penstock_snapshot_end(kept[slot].snapshot);
			free(kept[slot].text);
		}
	assert_false(pen_memory_collect(f->store));
	pen_relation_unref(r);
}

static void
test_random_history_with_a_key(void **state)
{
	run_history(*state, false);
}

static void
test_random_history_of_a_multiset(void **state)
{
	run_history(*state, true);
}

/* ---- readers beside the writer ---- */

#define ACCOUNTS 200

typedef struct readers
{
	pen_memory_store *store;
	atomic_bool stop;
	atomic_int looks;
} readers;

static int64_t
balance_of(const penstock_row *row)
{
	pen_wire_reader reader;
	pen_value value;

	pen_wire_reader_init(&reader, row->data, row->len);
	assert_true(pen_wire_read_value(&reader, &value));
	assert_true(pen_wire_read_value(&reader, &value));
	return value.integer;
}

/* Money moves between accounts: whatever a reader sees adds up to nothing. */
static void *
read_accounts(void *argument)
{
	readers *shared = argument;

	while (!atomic_load(&shared->stop))
	{
		penstock_snapshot *snapshot = pen_memory_store_snapshot(shared->store);
		penstock_table *table = penstock_snapshot_table(snapshot, "public", "accounts");
		int64_t scanned = 0;
		int64_t looked_up = 0;
		uint64_t position = 0;
		penstock_row row;

		while (table != NULL && penstock_next_row(snapshot, table, &position, &row))
			scanned += balance_of(&row);
		for (int i = 0; table != NULL && i < ACCOUNTS; i++)
			if (penstock_lookup_int(snapshot, table, i, &row) == PENSTOCK_OK)
				looked_up += balance_of(&row);
		if (scanned != 0 || looked_up != 0)
			abort();
		penstock_snapshot_end(snapshot);
		atomic_fetch_add(&shared->looks, 1);
	}
	return NULL;
}

static void
set_account(fixture *f, const penstock_relation *r, int account, int *balance, int amount)
{
	char id[16];
	char text[16];

	snprintf(id, sizeof(id), "%d", account);
	snprintf(text, sizeof(text), "%d", amount);
	if (balance[account] == 0)
		INSERT(f, r, id, text);
	else if (amount == 0)
		DELETE(f, r, id);
	else
		UPDATE(f, r, id, text);
	balance[account] = amount;
}

/* Change some accounts, and the last one so that the sum stays. An account of nothing is gone. */
static void
move_money(fixture *f, const penstock_relation *r, int *balance)
{
	int sum = 0;

	for (int n = rand() % 6; n >= 0; n--)
	{
		int account = rand() % (ACCOUNTS - 1);

		set_account(f, r, account, balance,
					balance[account] != 0 && rand() % 3 == 0 ? 0 : rand() % 1000 + 1);
	}
	for (int i = 0; i < ACCOUNTS - 1; i++)
		sum += balance[i];
	if (balance[ACCOUNTS - 1] != 0 || sum != 0)
		set_account(f, r, ACCOUNTS - 1, balance, -sum);
}

/* The same accounts, loaded into new tables as after a change of columns. */
static void
reload_accounts(fixture *f, const penstock_relation *r, const int *balance)
{
	pen_wire_buf buf;

	pen_buffer_init(&buf);
	pen_memory_load_begin(f->store);
	assert_int_equal(pen_memory_load_table(f->store, r, &f->error), 0);
	for (int i = 0; i < ACCOUNTS; i++)
	{
		char id[16];
		char text[16];
		penstock_row row;

		snprintf(id, sizeof(id), "%d", i);
		snprintf(text, sizeof(text), "%d", balance[i]);
		row = make_row(r, &buf, PEN_TUPLE_NEW, false, ROW(id, text));
		if (balance[i] != 0)
			assert_int_equal(pen_memory_load_row(f->store, row.data, row.len, &f->error), 0);
	}
	pen_memory_load_end(f->store, f->lsn);
	assert_int_equal(pen_memory_start(f->store, f->lsn, &f->error), 0);
	pen_buffer_reset(&buf);
}

static void
test_readers_see_whole_transactions(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "accounts", 'd', "id:i*,balance:i");
	readers shared = {.store = f->store};
	pthread_t threads[3];
	int balance[ACCOUNTS] = {0};
	int saved[ACCOUNTS];

	srand(5);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, read_accounts, &shared);
	for (int round = 0; round < 20000 || atomic_load(&shared.looks) < 50; round++)
	{
		memcpy(saved, balance, sizeof(balance));
		if (round % 500 == 499)
			reload_accounts(f, r, balance);
		begin(f);
		if (round % 100 == 99)
		{
			assert_int_equal(truncate_tables(f, &r, 1), 0);
			memset(balance, 0, sizeof(balance));
		}
		move_money(f, r, balance);
		if (round % 10 == 9)
		{
			pen_memory_undo(f->store);
			memcpy(balance, saved, sizeof(balance));
		}
		else
			commit(f);
	}
	atomic_store(&shared.stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_false(pen_memory_collect(f->store));
	pen_relation_unref(r);
}

/* ---- what it costs ---- */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static size_t
heap_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

/* The rows of workload W1, encoded one after the other; returns their bytes. */
static size_t
encode_narrow(pen_wire_buf *buf, size_t *ends)
{
	pen_buffer_init(buf);
	for (int i = 0; i < BIG; i++)
	{
		char payload[40];

		pen_wire_write_int(buf, PEN_TUPLE_NEW, i + 1);
		pen_wire_write_int(buf, PEN_TUPLE_NEW, i % 1000);
		snprintf(payload, sizeof(payload), "payload of row %d", i);
		pen_wire_write_string(buf, PEN_TUPLE_NEW, payload, strlen(payload));
		ends[i] = buf->len;
	}
	return buf->len;
}

static void
test_a_row_costs_little_memory_and_time(void **state)
{
	fixture *f = *state;
	const penstock_relation *r = make_relation(1, "narrow", 'd', "id:i*,grp:i,payload:t");
	size_t *ends = malloc(BIG * sizeof(*ends));
	penstock_event event = {.kind = PENSTOCK_INSERT, .transaction = &f->transaction, .relation = r};
	pen_wire_buf buf;
	size_t encoded = encode_narrow(&buf, ends);
	size_t before = heap_in_use();
	double start = seconds();
	double overhead;
	penstock_snapshot *snapshot;
	penstock_table *table;

	begin(f);
	for (int i = 0; i < BIG; i++)
	{
		size_t from = i > 0 ? ends[i - 1] : 0;

		event.new_row = (penstock_row){r, buf.data + from, ends[i] - from, false};
		if (pen_memory_apply(f->store, &event, &f->error) != PENSTOCK_OK)
			fail();
	}
	commit(f);
	print_message("%.2f million inserts a second\n", BIG / (seconds() - start) / 1e6);
	overhead = ((double) (heap_in_use() - before) - (double) encoded) / BIG;
	print_message("%.1f bytes a row beyond %.1f encoded\n", overhead, (double) encoded / BIG);
	snapshot = pen_memory_store_snapshot(f->store);
	table = penstock_snapshot_table(snapshot, "public", "narrow");
	start = seconds();
	assert_int_equal(penstock_table_count(snapshot, table), BIG);
	print_message("%.1f million rows a second scanned\n", BIG / (seconds() - start) / 1e6);
	start = seconds();
	for (int i = 0; i < BIG; i++)
	{
		penstock_row row;

		if (penstock_lookup_int(snapshot, table, (int64_t) i * 7919 % BIG + 1, &row) != PENSTOCK_OK)
			fail();
	}
	print_message("%.2f million look-ups a second\n", BIG / (seconds() - start) / 1e6);
	penstock_snapshot_end(snapshot);
	start = seconds();
	begin(f);
	event.kind = PENSTOCK_UPDATE;
	for (int i = 0; i < BIG; i++)
	{
		size_t from = i > 0 ? ends[i - 1] : 0;

		event.new_row = (penstock_row){r, buf.data + from, ends[i] - from, false};
		if (pen_memory_apply(f->store, &event, &f->error) != PENSTOCK_OK)
			fail();
	}
	commit(f);
	print_message("%.2f million updates a second\n", BIG / (seconds() - start) / 1e6);
	if (!SANITIZED)
		assert_true(overhead <= 48.0);
	pen_buffer_reset(&buf);
	free(ends);
	pen_relation_unref(r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_insert_update_delete_and_lookup),
		TEST(test_a_key_may_go_and_come_in_one_transaction),
		TEST(test_rows_that_do_not_fit_are_errors_without_values),
		TEST(test_unchanged_values_come_from_the_stored_row),
		TEST(test_without_key_a_table_is_a_multiset),
		TEST(test_full_identity_uses_the_primary_key),
		TEST(test_truncate_of_several_tables),
		TEST(test_renamed_and_dropped_columns_are_mapped),
		TEST(test_other_changes_of_columns_load_again),
		TEST(test_loading_again_has_a_limit),
		TEST(test_a_table_under_another_name_loads_again),
		TEST(test_a_snapshot_does_not_move),
		TEST(test_a_restart_undoes_the_open_transaction),
		TEST(test_loaded_tables_replace_the_old_ones_at_once),
		TEST(test_without_readers_no_versions_are_kept),
		TEST(test_the_limit_names_the_table),
		TEST(test_a_dump_is_in_key_order),
		TEST(test_random_history_with_a_key),
		TEST(test_random_history_of_a_multiset),
		TEST(test_readers_see_whole_transactions),
		TEST(test_a_row_costs_little_memory_and_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
