/* test_mapping_where.c -- which rows a destination sees: those that enter and leave. */
#include "mapping_rules.h"

static void
test_an_insert_passes_if_it_is_true(void **state)
{
	fixture *f = *state;
	penstock_event event;

	rule(f, "shop.users", "where", "age >= 18 AND name <> 'x'", NULL);
	make_mapping(f, NULL);
	event = insert(f, "1", "Ada", NULL, "36");
	assert_ptr_equal(map(f, &event), &event);
	event = insert(f, "1", "Ada", NULL, "17");
	assert_null(map(f, &event));
	event = insert(f, "1", "Ada", NULL, NULL); /* unknown */
	assert_null(map(f, &event));
	event = insert(f, "1", "x", NULL, "36");
	assert_null(map(f, &event));
}

static void
test_rows_enter_and_leave(void **state)
{
	fixture *f = *state;
	penstock_event event;
	const penstock_event *mapped;

	pen_relation_unref(f->relation);
	f->relation = table("shop", "users", 1, 'f');
	rule(f, "shop.users", "where", "age >= 18", "columns", "id, note", "rename.note", "text", "to",
		 "crm.people", NULL);
	make_mapping(f, NULL);
	event = update(f, OLD("1", "a", "n", "20"), NEW("1", "b", "~", "21"));
	mapped = map(f, &event);
	assert_int_equal(mapped->kind, PENSTOCK_UPDATE);
	assert_string_equal(shown(&mapped->new_row), "id=1 text=~");

	event = update(f, OLD("1", "a", "kept", "17"), NEW("1", "b", "~", "18"));
	mapped = map(f, &event);
	assert_int_equal(mapped->kind, PENSTOCK_INSERT);
	assert_string_equal(shown(&mapped->new_row), "id=1 text=kept"); /* from the old row */
	assert_null(mapped->old_row.relation);
	assert_string_equal(mapped->relation->name, "people");
	assert_int_equal(mapped->sequence, 9);

	event = update(f, OLD("1", "a", "n", "18"), NEW("1", "b", "~", NULL));
	mapped = map(f, &event);
	assert_int_equal(mapped->kind, PENSTOCK_DELETE);
	assert_string_equal(shown(&mapped->old_row), "id=1 text=n");
	assert_null(mapped->new_row.relation);

	event = update(f, OLD("1", "a", "n", "1"), NEW("1", "b", "~", "2"));
	assert_null(map(f, &event));
	event = delete_by(f, PEN_TUPLE_OLD, "1", "a", "n", "17");
	assert_null(map(f, &event));
	event = delete_by(f, PEN_TUPLE_OLD, "1", "a", "n", "18");
	assert_string_equal(shown(&map(f, &event)->old_row), "id=1 text=n");
}

/* With the default identity a `where` may ask for the key. */
static void
test_a_key_moves_in_and_out(void **state)
{
	fixture *f = *state;
	penstock_event event;
	const penstock_event *mapped;

	rule(f, "shop.users", "where", "id < 100", NULL);
	make_mapping(f, NULL);
	event = update(f, NO_ROW, NEW("1", "a", "~", "3"));
	assert_ptr_equal(map(f, &event), &event);
	event = update(f, NO_ROW, NEW("100", "a", "~", "3"));
	assert_null(map(f, &event));
	event = update(f, KEY("1"), NEW("2", "a", "~", "3"));
	assert_ptr_equal(map(f, &event), &event);
	event = update(f, KEY("1"), NEW("101", "a", "~", "3"));
	mapped = map(f, &event);
	assert_int_equal(mapped->kind, PENSTOCK_DELETE);
	assert_string_equal(shown(&mapped->old_row), "id=1");
	event = update(f, KEY("101"), NEW("1", "a", "n", "3"));
	mapped = map(f, &event);
	assert_int_equal(mapped->kind, PENSTOCK_INSERT);
	assert_string_equal(shown(&mapped->new_row), "id=1 name=a note=n age=3");
	event = delete_by(f, PEN_TUPLE_KEY, "101", "-", "-", "-");
	assert_null(map(f, &event));

	event = update(f, KEY("101"), NEW("1", "a", "~", "3"));
	refused(f, &event, PENSTOCK_E_REFUSED, "column \"note\" did not come with an UPDATE");
	refused(f, &event, PENSTOCK_E_REFUSED, "ALTER TABLE shop.users REPLICA IDENTITY FULL");
}

static void
test_a_row_that_enters_may_lack_what_is_left_out(void **state)
{
	fixture *f = *state;
	penstock_event event;

	rule(f, "shop.users", "where", "id < 100", "columns", "id, name", NULL);
	make_mapping(f, NULL);
	event = update(f, KEY("101"), NEW("1", "a", "~", "3"));
	assert_string_equal(shown(&map(f, &event)->new_row), "id=1 name=a");
}

static void
test_where_beyond_the_identity_is_refused_at_the_first_update(void **state)
{
	static const char part[] = "column \"age\" is used in `where`, but not in the REPLICA IDENTITY";
	static const char identities[] = {'d', 'n'};
	fixture *f = *state;
	penstock_event event;

	rule(f, "shop.users", "where", "age >= 18", NULL);
	make_mapping(f, NULL);
	for (int i = 0; i < 2; i++)
	{
		pen_relation_unref(f->relation);
		f->relation = table("shop", "users", 1, identities[i]);
		event = insert(f, "1", "Ada", NULL, "36");
		assert_non_null(map(f, &event));
		event = update(f, NO_ROW, NEW("1", "a", "~", "36"));
		refused(f, &event, PENSTOCK_E_REFUSED, part);
		refused(f, &event, PENSTOCK_E_REFUSED, "REPLICA IDENTITY FULL");
		event = delete_by(f, PEN_TUPLE_KEY, "1", "-", "-", "-");
		refused(f, &event, PENSTOCK_E_REFUSED, part);
	}
	event.old_row = NO_ROW;
	refused(f, &event, PENSTOCK_E_REFUSED, part);
}

static void
test_damaged_rows_are_found(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	size_t whole = event.new_row.len;

	rule(f, "shop.users", "where", "age >= 18", "columns", "id", NULL);
	make_mapping(f, NULL);
	assert_non_null(map(f, &event));
	for (size_t cut = 0; cut < whole; cut++)
	{
		event.new_row.len = cut;
		refused(f, &event, PENSTOCK_E_DATA, "table shop.users");
	}
}

static void
test_rows_that_are_read_are_mapped_alike(void **state)
{
	fixture *f = *state;
	penstock_row r = row(f, f->relation, PEN_TUPLE_NEW, "1", "Ada", NULL, "36");
	const pen_mapped *target;
	const uint8_t *data = r.data;
	size_t len = r.len;
	pen_error error;

	rule(f, "shop.users", "where", "age >= 18", "columns", "id", NULL);
	make_mapping(f, NULL);
	assert_int_equal(pen_mapper_table(f->mapper, f->relation, &target, &error), PENSTOCK_OK);
	assert_int_equal(pen_mapper_map_row(f->mapper, target, &data, &len, &error), PENSTOCK_OK);
	r.relation = target->relation;
	r.data = data;
	r.len = len;
	assert_string_equal(shown(&r), "id=1");
	r = row(f, f->relation, PEN_TUPLE_NEW, "1", "Ada", NULL, "17");
	data = r.data;
	len = r.len;
	assert_int_equal(pen_mapper_map_row(f->mapper, target, &data, &len, &error), PENSTOCK_OK);
	assert_null(data);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_insert_passes_if_it_is_true),
		TEST(test_rows_enter_and_leave),
		TEST(test_a_key_moves_in_and_out),
		TEST(test_a_row_that_enters_may_lack_what_is_left_out),
		TEST(test_where_beyond_the_identity_is_refused_at_the_first_update),
		TEST(test_damaged_rows_are_found),
		TEST(test_rows_that_are_read_are_mapped_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
