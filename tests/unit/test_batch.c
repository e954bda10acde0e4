/* test_batch.c -- what changes come to for each key, and that the changes stay as they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "destination/postgres/batch.h"
#include "event/relation.h"
#include "event/row.h"
#include "types.h"

typedef struct scene
{
	pen_batch batch;
	const penstock_relation *relation; /* id int4 key, t text, n int4 */
	const penstock_relation *pair;     /* a int4 key, b text key, n int4 */
	pen_batch_table *table;
} scene;

static const penstock_relation *
make_relation(uint32_t oid, bool pair)
{
	penstock_column columns[] = {
		{.name = "id", .attnum = 1, .primary_key = 1, .identity = 1, .encoding = PEN_ENCODING_INT},
		{.name = "t", .attnum = 2, .encoding = PEN_ENCODING_TEXT},
		{.name = "n", .attnum = 3, .encoding = PEN_ENCODING_INT},
	};
	penstock_relation draft = {
		.number = 1,
		.oid = oid,
		.schema = "s",
		.name = "t",
		.replica_identity = 'd',
		.column_count = 3,
		.columns = columns,
	};
	pen_error error;
	const penstock_relation *relation;

	if (pair)
		columns[1].primary_key = columns[1].identity = 2;
	pen_error_clear(&error);
	relation = pen_relation_new(&draft, &error);
	assert_non_null(relation);
	return relation;
}

static pen_batch_table *
table_of(scene *s, const penstock_relation *relation)
{
	bool added;
	pen_batch_table *table = pen_batch_table_get(&s->batch, relation, &added);

	assert_non_null(table);
	return table;
}

static int
set_up(void **state)
{
	scene *s = calloc(1, sizeof(*s));

	pen_batch_init(&s->batch);
	s->relation = make_relation(1, false);
	s->pair = make_relation(2, true);
	s->table = table_of(s, s->relation);
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	scene *s = *state;

	pen_batch_free(&s->batch);
	pen_relation_unref(s->relation);
	pen_relation_unref(s->pair);
	free(s);
	return 0;
}

/* text NULL: unchanged. */
static void
write_row(pen_wire_buf *buf, pen_tuple_field field, int64_t id, const char *text, int64_t n)
{
	pen_wire_write_int(buf, field, id);
	if (text == NULL)
		pen_wire_write_unchanged(buf, field);
	else
		pen_wire_write_string(buf, field, text, strlen(text));
	pen_wire_write_int(buf, field, n);
}

/* A change as the plugin sends it: the key of a delete with another tag than that of a new row. */
static void
add(scene *s, pen_batch_table *table, penstock_event_kind kind, int64_t id, const char *text,
	int64_t n, int64_t old_id)
{
	const penstock_relation *relation = table->relation;
	penstock_event event = {.kind = kind, .relation = relation};
	pen_wire_buf new_row;
	pen_wire_buf old_row;
	pen_error error;

	pen_buffer_init(&new_row);
	pen_buffer_init(&old_row);
	pen_error_clear(&error);
	if (kind != PENSTOCK_DELETE)
	{
		write_row(&new_row, PEN_TUPLE_NEW, id, text, n);
		event.new_row = (penstock_row){relation, new_row.data, new_row.len, false};
	}
	if (old_id != 0)
	{
		pen_wire_write_int(&old_row, PEN_TUPLE_KEY, old_id);
		if (relation->key_count == 2)
			pen_wire_write_string(&old_row, PEN_TUPLE_KEY, text, strlen(text));
		event.old_row = (penstock_row){relation, old_row.data, old_row.len, true};
	}
	assert_int_equal(pen_batch_add(&s->batch, table, &event, 100 + s->batch.event_count, &error),
					 PENSTOCK_OK);
	pen_buffer_reset(&new_row);
	pen_buffer_reset(&old_row);
}

static pen_net_result
net(scene *s, penstock_event_kind kind, int64_t id, const char *text, int64_t n, int64_t old_id)
{
	add(s, s->table, kind, id, text, n, old_id);
	return pen_batch_net(&s->batch, &s->batch.events[s->batch.event_count - 1]);
}

static void
expect_row(const penstock_row *row, int64_t id, const char *text, int64_t n)
{
	int64_t number;
	const char *data;
	size_t len;

	assert_int_equal(penstock_get_int(row, 0, &number), PENSTOCK_OK);
	assert_int_equal(number, id);
	if (text == NULL)
		assert_int_equal(penstock_get_text(row, 1, &data, &len), PENSTOCK_UNCHANGED);
	else
	{
		assert_int_equal(penstock_get_text(row, 1, &data, &len), PENSTOCK_OK);
		assert_int_equal(len, strlen(text));
		assert_memory_equal(data, text, len);
	}
	assert_int_equal(penstock_get_int(row, 2, &number), PENSTOCK_OK);
	assert_int_equal(number, n);
}

static const pen_batch_entry *
only_entry(scene *s, pen_net_state expected)
{
	const pen_batch_entry *entry;

	assert_int_equal(s->table->entry_count, 1);
	entry = &s->batch.entries[s->table->first];
	assert_int_equal(entry->state, expected);
	assert_int_equal(entry->next, PEN_BATCH_NONE);
	return entry;
}

static void
expect_entry(scene *s, pen_net_state state, int64_t id, const char *text, int64_t n)
{
	penstock_row row;

	pen_batch_entry_row(&s->batch, only_entry(s, state), &row);
	assert_false(row.identity_only);
	expect_row(&row, id, text, n);
}

#define I(n)    assert_int_equal(net(s, PENSTOCK_INSERT, 1, "a", n, 0), PEN_NET_ADDED)
#define U(t, n) assert_int_equal(net(s, PENSTOCK_UPDATE, 1, t, n, 0), PEN_NET_ADDED)
#define D()     assert_int_equal(net(s, PENSTOCK_DELETE, 0, NULL, 0, 1), PEN_NET_ADDED)

static void
test_each_pair_of_changes_comes_to_one(void **state)
{
	scene *s = *state;

	I(1);
	expect_entry(s, PEN_NET_INSERT, 1, "a", 1);
	U("b", 2);
	expect_entry(s, PEN_NET_INSERT, 1, "b", 2);
	D();
	only_entry(s, PEN_NET_NOTHING);
	I(3);
	expect_entry(s, PEN_NET_INSERT, 1, "a", 3);
	pen_batch_clear_net(&s->batch);
	U("b", 1);
	expect_entry(s, PEN_NET_UPDATE, 1, "b", 1);
	U("c", 2);
	expect_entry(s, PEN_NET_UPDATE, 1, "c", 2);
	D();
	only_entry(s, PEN_NET_DELETE);
	I(4);
	expect_entry(s, PEN_NET_REPLACE, 1, "a", 4);
	U("d", 5);
	expect_entry(s, PEN_NET_REPLACE, 1, "d", 5);
	D();
	only_entry(s, PEN_NET_DELETE);
	assert_int_equal(s->batch.event_count, 10);
}

static void
test_a_delete_keeps_the_key_that_it_came_with(void **state)
{
	scene *s = *state;
	penstock_row row;
	int64_t id;

	U("b", 1);
	D();
	pen_batch_entry_row(&s->batch, only_entry(s, PEN_NET_DELETE), &row);
	assert_true(row.identity_only);
	assert_int_equal(penstock_get_int(&row, 0, &id), PENSTOCK_OK);
	assert_int_equal(id, 1);
}

static void
test_what_no_source_can_do_is_told(void **state)
{
	scene *s = *state;

	I(1);
	assert_int_equal(net(s, PENSTOCK_INSERT, 1, "a", 1, 0), PEN_NET_DISAGREES);
	D();
	assert_int_equal(net(s, PENSTOCK_UPDATE, 1, "a", 1, 0), PEN_NET_DISAGREES);
	assert_int_equal(net(s, PENSTOCK_DELETE, 0, NULL, 0, 1), PEN_NET_DISAGREES);
	pen_batch_clear_net(&s->batch);
	U("a", 1);
	assert_int_equal(net(s, PENSTOCK_INSERT, 1, "a", 1, 0), PEN_NET_DISAGREES);
	D();
	assert_int_equal(net(s, PENSTOCK_UPDATE, 1, "a", 1, 0), PEN_NET_DISAGREES);
	assert_int_equal(net(s, PENSTOCK_DELETE, 0, NULL, 0, 1), PEN_NET_DISAGREES);
	I(2);
	assert_int_equal(net(s, PENSTOCK_INSERT, 1, "a", 1, 0), PEN_NET_DISAGREES);
}

static void
test_an_unchanged_value_is_the_pending_one(void **state)
{
	scene *s = *state;

	I(1);
	U(NULL, 2);
	expect_entry(s, PEN_NET_INSERT, 1, "a", 2);
	pen_batch_clear_net(&s->batch);
	U(NULL, 3);
	expect_entry(s, PEN_NET_UPDATE, 1, NULL, 3);
	U(NULL, 4);
	expect_entry(s, PEN_NET_UPDATE, 1, NULL, 4);
	U("x", 5);
	U(NULL, 6);
	expect_entry(s, PEN_NET_UPDATE, 1, "x", 6);
}

static void
test_merging_a_large_value_again_and_again_has_a_limit(void **state)
{
	scene *s = *state;
	char *large = malloc(1000001);
	pen_net_result result = PEN_NET_ADDED;
	int updates = 0;

	memset(large, 'x', 1000000);
	large[1000000] = '\0';
	assert_int_equal(net(s, PENSTOCK_INSERT, 1, large, 0, 0), PEN_NET_ADDED);
	while (result == PEN_NET_ADDED && updates++ < 1000)
		result = net(s, PENSTOCK_UPDATE, 1, NULL, updates, 0);
	assert_int_equal(result, PEN_NET_FULL);
	assert_true(s->batch.bytes.len < 50000000);
	expect_entry(s, PEN_NET_INSERT, 1, large, updates - 1);
	pen_batch_sent(s->table);
	assert_int_equal(pen_batch_net(&s->batch, &s->batch.events[s->batch.event_count - 1]),
					 PEN_NET_ADDED);
	expect_entry(s, PEN_NET_UPDATE, 1, NULL, updates);
	free(large);
}

static void
test_an_update_of_the_key_is_left_to_the_caller(void **state)
{
	scene *s = *state;

	assert_int_equal(net(s, PENSTOCK_UPDATE, 2, "a", 1, 1), PEN_NET_KEY_CHANGED);
	assert_int_equal(s->table->entry_count, 0);
	assert_int_equal(net(s, PENSTOCK_UPDATE, 2, "a", 1, 2), PEN_NET_ADDED);
	expect_entry(s, PEN_NET_UPDATE, 2, "a", 1);
	assert_int_equal(net(s, PENSTOCK_DELETE, 0, NULL, 0, 0), PEN_NET_NO_KEY);
}

static void
test_keys_of_several_columns_are_compared_as_a_whole(void **state)
{
	scene *s = *state;

	s->table = table_of(s, s->pair);
	assert_int_equal(net(s, PENSTOCK_INSERT, 1, "x", 1, 0), PEN_NET_ADDED);
	assert_int_equal(net(s, PENSTOCK_INSERT, 1, "y", 2, 0), PEN_NET_ADDED);
	assert_int_equal(net(s, PENSTOCK_DELETE, 0, "x", 0, 1), PEN_NET_ADDED);
	assert_int_equal(s->table->entry_count, 2);
	assert_int_equal(s->batch.entries[0].state, PEN_NET_NOTHING);
	assert_int_equal(s->batch.entries[1].state, PEN_NET_INSERT);
	assert_int_equal(net(s, PENSTOCK_UPDATE, 1, "y", 3, 0), PEN_NET_ADDED);
	assert_int_equal(s->table->entry_count, 2);
}

static void
test_what_was_sent_is_not_changed_any_more(void **state)
{
	scene *s = *state;

	I(1);
	pen_batch_sent(s->table);
	assert_int_equal(s->table->entry_count, 0);
	U("b", 2);
	expect_entry(s, PEN_NET_UPDATE, 1, "b", 2);
}

static void
test_many_keys_are_found_again(void **state)
{
	scene *s = *state;

	for (int round = 0; round < 3; round++)
	{
		const int count = round == 1 ? 10 : 20000; /* the few are cleared one by one */

		for (int i = 1; i <= count; i++)
			assert_int_equal(net(s, PENSTOCK_INSERT, i, "a", i, 0), PEN_NET_ADDED);
		for (int i = 1; i <= count; i++)
			assert_int_equal(net(s, PENSTOCK_UPDATE, i, "b", i + 1, 0), PEN_NET_ADDED);
		assert_int_equal(s->table->entry_count, count);
		assert_int_equal(s->batch.entry_count, count);
		pen_batch_clear(&s->batch);
		assert_int_equal(s->batch.event_count, 0);
		assert_int_equal(s->table->entry_count, 0);
	}
}

static void
test_appended_rows_stand_for_themselves(void **state)
{
	scene *s = *state;

	for (int i = 0; i < 3000; i++)
	{
		add(s, s->table, PENSTOCK_INSERT, 1, "a", i, 0);
		assert_int_equal(pen_batch_append(&s->batch, &s->batch.events[i]), PEN_NET_ADDED);
	}
	assert_int_equal(s->table->entry_count, 3000);
	/* Keyed ones beside them, also when the slots grow. */
	s->table = table_of(s, s->pair);
	for (int i = 0; i < 3000; i++)
		assert_int_equal(net(s, PENSTOCK_INSERT, i, "a", i, 0), PEN_NET_ADDED);
	assert_int_equal(s->table->entry_count, 3000);
}

static void
test_events_stay_as_they_came(void **state)
{
	scene *s = *state;
	penstock_event event;

	I(1);
	U(NULL, 2);
	D();
	pen_batch_event_get(&s->batch, &s->batch.events[0], &event);
	assert_int_equal(event.kind, PENSTOCK_INSERT);
	expect_row(&event.new_row, 1, "a", 1);
	assert_null(event.old_row.relation);
	pen_batch_event_get(&s->batch, &s->batch.events[1], &event);
	expect_row(&event.new_row, 1, NULL, 2);
	pen_batch_event_get(&s->batch, &s->batch.events[2], &event);
	assert_int_equal(event.kind, PENSTOCK_DELETE);
	assert_true(event.old_row.identity_only);
	assert_int_equal(s->batch.events[2].commit_lsn, 102);
}

static void
test_kept_events_come_back_beside_what_is_gathered(void **state)
{
	scene *s = *state;
	penstock_event event;

	I(1);
	U("b", 2);
	pen_batch_keep(&s->batch);
	assert_int_equal(s->batch.event_count, 0);
	assert_int_equal(s->table->entry_count, 0);
	U("c", 3);
	for (int i = 0; i < 5000; i++) /* so that buffers move */
		add(s, s->table, PENSTOCK_INSERT, 10 + i, "z", i, 0);
	pen_batch_exchange(&s->batch);
	assert_int_equal(s->batch.event_count, 2);
	pen_batch_event_get(&s->batch, &s->batch.events[1], &event);
	expect_row(&event.new_row, 1, "b", 2);
	pen_batch_exchange(&s->batch);
	expect_entry(s, PEN_NET_UPDATE, 1, "c", 3);
	pen_batch_forget_kept(&s->batch);
	assert_int_equal(s->batch.event_count, 5001);
	expect_entry(s, PEN_NET_UPDATE, 1, "c", 3);
	/* What is kept anew takes its place. */
	pen_batch_keep(&s->batch);
	I(4);
	pen_batch_keep(&s->batch);
	pen_batch_exchange(&s->batch);
	assert_int_equal(s->batch.event_count, 1);
	pen_batch_event_get(&s->batch, &s->batch.events[0], &event);
	expect_row(&event.new_row, 1, "a", 4);
	pen_batch_clear(&s->batch);
	pen_batch_exchange(&s->batch);
	assert_int_equal(s->batch.event_count, 0);
}

static void
test_another_version_of_a_table_names_the_one_before(void **state)
{
	scene *s = *state;
	const penstock_relation *newer = make_relation(1, false);
	pen_batch_table *older;
	bool added;
	pen_batch_table *table;

	table = pen_batch_table_get(&s->batch, newer, &added);
	assert_true(added);
	older = pen_batch_table_older(&s->batch, newer);
	assert_non_null(table);
	assert_ptr_equal(older, s->table);
	pen_batch_table_forget(&s->batch, older);
	assert_ptr_equal(table_of(s, newer), table);
	pen_relation_unref(newer);
}

static void
test_many_tables_are_found_again(void **state)
{
	enum
	{
		COUNT = 500
	};
	scene *s = *state;
	const penstock_relation *relations[COUNT];
	pen_batch_table *tables[COUNT];

	for (int i = 0; i < COUNT; i++)
	{
		relations[i] = make_relation(1000 + (uint32_t) i, false);
		tables[i] = table_of(s, relations[i]);
	}
	for (int i = 0; i < COUNT; i += 2)
		pen_batch_table_forget(&s->batch, tables[i]);
	for (int i = 1; i < COUNT; i += 2)
		assert_ptr_equal(table_of(s, relations[i]), tables[i]);
	for (int i = 0; i < COUNT; i++)
		pen_relation_unref(relations[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(test_each_pair_of_changes_comes_to_one),
		T(test_a_delete_keeps_the_key_that_it_came_with),
		T(test_what_no_source_can_do_is_told),
		T(test_an_unchanged_value_is_the_pending_one),
		T(test_merging_a_large_value_again_and_again_has_a_limit),
		T(test_an_update_of_the_key_is_left_to_the_caller),
		T(test_keys_of_several_columns_are_compared_as_a_whole),
		T(test_what_was_sent_is_not_changed_any_more),
		T(test_many_keys_are_found_again),
		T(test_appended_rows_stand_for_themselves),
		T(test_events_stay_as_they_came),
		T(test_kept_events_come_back_beside_what_is_gathered),
		T(test_another_version_of_a_table_names_the_one_before),
		T(test_many_tables_are_found_again),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
