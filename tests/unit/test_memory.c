/* test_memory.c -- memory tables: every change and description, snapshots, exact undo, freed
 * versions. */
#include "memory_stream.h"

#include "destination/kinds.h"
#include "destination/memory/memory.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
