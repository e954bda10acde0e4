/* test_mapping.c -- what a destination sees of tables and events: names and columns, what is
 * refused, and the fingerprint of all that. */
#include "mapping_rules.h"

/* ---- names and columns ---- */

static void
test_without_rules_events_stay_themselves(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	penstock_event begin = {.kind = PENSTOCK_BEGIN, .transaction = &f->transaction};

	make_mapping(f, NULL);
	assert_ptr_equal(map(f, &event), &event);
	assert_ptr_equal(map(f, &begin), &begin);
}

static void
test_a_table_that_is_not_taken_does_not_come(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	pen_error error;

	make_mapping(f, "shop.orders, other.users");
	assert_null(map(f, &event));
	forget_mapping(f);
	f->run = pen_route_new("other.*", &error);
	make_mapping(f, "shop.users");
	assert_null(map(f, &event));
	assert_false(pen_mapping_takes(f->mapping, "shop", "users"));
	assert_false(pen_mapping_takes(f->mapping, "other", "users"));
	assert_true(pen_mapping_takes(NULL, "other", "users"));
}

static void
test_renaming_keeps_the_bytes(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	const penstock_event *mapped;

	rule(f, "shop.users", "to", "crm.people", "rename.name", "full name", NULL);
	make_mapping(f, NULL);
	mapped = map(f, &event);
	assert_string_equal(mapped->relation->schema, "crm");
	assert_string_equal(mapped->relation->name, "people");
	assert_int_equal(mapped->relation->oid, 1);
	assert_ptr_equal(mapped->new_row.relation, mapped->relation);
	assert_ptr_equal(mapped->new_row.data, event.new_row.data);
	assert_int_equal(mapped->sequence, 7);
	assert_string_equal(shown(&mapped->new_row), "id=1 full name=Ada note=NULL age=36");
	assert_int_equal(mapped->relation->key_count, 1);
	/* The same description as long as the source's stays. */
	assert_ptr_equal(map(f, &event)->relation, mapped->relation);
}

static void
test_a_star_in_to_keeps_a_name(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");

	rule(f, "*.*", "to", "all.*", NULL);
	make_mapping(f, NULL);
	assert_string_equal(map(f, &event)->relation->schema, "all");
	assert_string_equal(map(f, &event)->relation->name, "users");
	forget_mapping(f);
	rule(f, "*.*", "to", "*.one", NULL);
	make_mapping(f, NULL);
	assert_string_equal(map(f, &event)->relation->schema, "shop");
	assert_string_equal(map(f, &event)->relation->name, "one");
	forget_mapping(f);
	rule(f, "*.*", "to", "people", NULL);
	make_mapping(f, NULL);
	assert_string_equal(map(f, &event)->relation->schema, "shop");
	assert_string_equal(map(f, &event)->relation->name, "people");
}

static void
test_columns_that_are_left_out_are_gone_from_every_row(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	const penstock_event *mapped;

	rule(f, "shop.users", "columns", "age, id", "rename.age", "years", NULL);
	make_mapping(f, NULL);
	mapped = map(f, &event);
	assert_string_equal(shown(&mapped->new_row), "id=1 years=36");
	assert_int_equal(mapped->relation->columns[1].attnum, 5);

	event = delete_by(f, PEN_TUPLE_KEY, "1", "-", "-", "-");
	mapped = map(f, &event);
	assert_string_equal(shown(&mapped->old_row), "id=1");
	assert_true(mapped->old_row.identity_only);
	assert_null(mapped->new_row.relation);

	event = update(f, KEY("1"), NEW("2", "Ada", "~", NULL));
	mapped = map(f, &event);
	assert_int_equal(mapped->kind, PENSTOCK_UPDATE);
	assert_string_equal(shown(&mapped->new_row), "id=2 years=NULL");
	assert_string_equal(shown(&mapped->old_row), "id=1");
	event = update(f, NO_ROW, NEW("2", "Ada", "x", "~"));
	mapped = map(f, &event);
	assert_string_equal(shown(&mapped->new_row), "id=2 years=~");
	assert_null(mapped->old_row.relation);
}

static void
test_full_identity_is_numbered_anew(void **state)
{
	fixture *f = *state;
	penstock_event event;
	const penstock_event *mapped;

	pen_relation_unref(f->relation);
	f->relation = table("shop", "users", 1, 'f');
	rule(f, "shop.users", "columns", "id,age", NULL);
	make_mapping(f, NULL);
	event = update(f, OLD("1", "Ada", "note", "36"), NEW("1", "Ada", "~", "37"));
	mapped = map(f, &event);
	assert_string_equal(shown(&mapped->new_row), "id=1 age=37");
	assert_string_equal(shown(&mapped->old_row), "id=1 age=36");
	assert_int_equal(mapped->relation->columns[1].identity, 2);
	assert_int_equal(mapped->relation->key_count, 1);
}

static void
test_a_new_version_of_a_table_is_mapped_anew(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	const penstock_relation *before = pen_relation_ref(f->relation);
	const penstock_relation *first;

	rule(f, "shop.users", "to", "crm.people", NULL);
	make_mapping(f, NULL);
	first = pen_relation_ref(map(f, &event)->relation);
	pen_relation_unref(f->relation);
	f->relation = table("shop", "users", 1, 'f');
	event = insert(f, "1", "Ada", NULL, "36");
	assert_ptr_not_equal(map(f, &event)->relation, first);
	assert_int_equal(map(f, &event)->relation->replica_identity, 'f');
	assert_string_equal(first->name, "people"); /* who referred to it still has it */
	/* Renamed at the source: the rule is not its rule any more. */
	pen_relation_unref(f->relation);
	f->relation = table("shop", "customers", 1, 'd');
	event = insert(f, "1", "Ada", NULL, "36");
	assert_ptr_equal(map(f, &event), &event);
	pen_relation_unref(before);
	pen_relation_unref(first);
}

static void
test_truncate_names_what_is_taken_as_it_is_called_there(void **state)
{
	fixture *f = *state;
	const penstock_relation *orders = table("shop", "orders", 2, 'd');
	const penstock_relation *secret = table("private", "keys", 3, 'd');
	const penstock_relation *all[] = {secret, orders, f->relation};
	penstock_event event = {.kind = PENSTOCK_TRUNCATE,
							.transaction = &f->transaction,
							.cascade = true,
							.relations = all,
							.relation_count = 3};
	const penstock_event *mapped;

	rule(f, "shop.users", "to", "crm.people", "where", "id > 5", NULL);
	make_mapping(f, "shop.*");
	mapped = map(f, &event);
	assert_int_equal(mapped->relation_count, 2);
	assert_ptr_equal(mapped->relations[0], orders);
	assert_string_equal(mapped->relations[1]->name, "people");
	assert_true(mapped->cascade);
	event.relation_count = 1;
	assert_null(map(f, &event));
	pen_relation_unref(orders);
	pen_relation_unref(secret);
}

/* ---- what cannot be ---- */

static void
test_a_key_cannot_be_left_out(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");

	rule(f, "shop.users", "columns", "name, age", NULL);
	make_mapping(f, NULL);
	refused(f, &event, PENSTOCK_E_CONFIG, "table shop.users: column \"id\" belongs to the key");
	refused(f, &event, PENSTOCK_E_CONFIG, "add it, or choose another REPLICA IDENTITY");
	refused(f, &event, PENSTOCK_E_CONFIG, "(f:1)");
	pen_relation_unref(f->relation);
	f->relation = table("shop", "users", 1, 'f');
	event = insert(f, "1", "Ada", NULL, "36");
	refused(f, &event, PENSTOCK_E_CONFIG, "column \"id\" belongs to the key");
	/* Rows that are only inserted have no key. */
	pen_relation_unref(f->relation);
	f->relation = table("shop", "users", 1, 'n');
	event = insert(f, "1", "Ada", NULL, "36");
	assert_string_equal(shown(&map(f, &event)->new_row), "name=Ada age=36");
	assert_int_equal(map(f, &event)->relation->key_count, 0);
}

static void
test_columns_must_exist_and_names_must_differ(void **state)
{
	static const struct
	{
		const char *key;
		const char *value;
		const char *part;
	} bad[] = {{"columns", "id, nmae", "column \"nmae\" is in `columns`, but does not exist"},
			   {"columns", "id, Name", "column \"Name\""},
			   {"rename.nmae", "x", "column \"nmae\" is renamed, but does not exist"},
			   {"rename.name", "age", "two columns would be called \"age\""},
			   {"where", "nmae = 'x'", "f:1: table shop.users: where: column \"nmae\" does not"},
			   {"where", "name < 'x'", "collation"}};
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		rule(f, "shop.users", bad[i].key, bad[i].value, NULL);
		make_mapping(f, NULL);
		refused(f, &event, PENSTOCK_E_CONFIG, bad[i].part);
		refused(f, &event, PENSTOCK_E_CONFIG, "table shop.users");
		forget_mapping(f);
	}
	rule(f, "shop.users", "columns", "id", "rename.name", "x", NULL);
	make_mapping(f, NULL);
	refused(f, &event, PENSTOCK_E_CONFIG, "is renamed, but not in `columns`");
	forget_mapping(f);
	/* They may change names with each other. */
	rule(f, "shop.users", "rename.name", "note", "rename.note", "name", NULL);
	make_mapping(f, NULL);
	assert_string_equal(shown(&map(f, &event)->new_row), "id=1 note=Ada name=NULL age=36");
}

static void
test_two_tables_cannot_be_one(void **state)
{
	fixture *f = *state;
	const penstock_relation *people = table("crm", "people", 2, 'd');
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	penstock_event other = event;

	other.relation = people;
	rule(f, "shop.users", "to", "crm.people", NULL);
	make_mapping(f, NULL);
	assert_non_null(map(f, &event));
	refused(f, &other, PENSTOCK_E_CONFIG,
			"tables shop.users and crm.people would both be crm.people");
	assert_non_null(map(f, &event));
	/* Dropped and created anew, it is another table of the same name. */
	pen_relation_unref(f->relation);
	f->relation = table("shop", "users", 5, 'd');
	event = insert(f, "1", "Ada", NULL, "36");
	assert_string_equal(map(f, &event)->relation->name, "people");
	pen_relation_unref(people);
}

static void
test_all_tables_are_looked_at_by_name(void **state)
{
	static const pen_table_name tables[] = {{"crm", "people"},  {"crm", "users"},
											{"other", "users"}, {"shop", "orders"},
											{"shop", "users"},  {"penstock", "people"}};
	fixture *f = *state;
	pen_error error;

	make_mapping(f, NULL);
	assert_false(pen_mapping_has_rules(f->mapping));
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 6, &error), PENSTOCK_OK);
	forget_mapping(f);
	rule(f, "shop.users", "to", "crm.people", NULL);
	make_mapping(f, NULL);
	assert_true(pen_mapping_has_rules(f->mapping));
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 6, &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "would both be crm.people"));
	forget_mapping(f);
	rule(f, "shop.users", "to", "crm.people", NULL);
	make_mapping(f, "shop.*");
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 6, &error), PENSTOCK_OK);
	forget_mapping(f);
	rule(f, "*.*", "to", "all.*", NULL);
	make_mapping(f, NULL);
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 2, &error), PENSTOCK_OK);
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 3, &error), PENSTOCK_E_CONFIG);
	forget_mapping(f);
	rule(f, "*.u*", "where", "id = 1", NULL);
	rule(f, "s*.*", "where", "id = 2", NULL);
	make_mapping(f, NULL);
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 4, &error), PENSTOCK_OK);
	assert_int_equal(pen_mapping_check_tables(f->mapping, tables, 5, &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "shop.users is meant by two sections"));
}

static void
test_many_tables_are_found_again(void **state)
{
	fixture *f = *state;
	const penstock_relation *tables[500];

	rule(f, "many.*", "to", "more.*", NULL);
	make_mapping(f, NULL);
	for (int round = 0; round < 2; round++)
	{
		const penstock_relation *seen[500];

		for (uint32_t i = 0; i < 500; i++)
		{
			char name[20];
			penstock_event event;

			snprintf(name, sizeof(name), "t%u", i);
			if (round == 0)
				tables[i] = table("many", name, 1000 + i * 64, 'd');
			event = (penstock_event){.kind = PENSTOCK_INSERT, .relation = tables[i]};
			event.new_row = row(f, tables[i], PEN_TUPLE_NEW, "1", "x", "y", "2");
			seen[i] = map(f, &event)->relation;
			assert_string_equal(seen[i]->name, name);
			assert_string_equal(seen[i]->schema, "more");
		}
	}
	for (int i = 0; i < 500; i++)
		pen_relation_unref(tables[i]);
}

static void
test_sections_that_contradict_each_other(void **state)
{
	static const struct
	{
		const char *key;
		const char *one;
		const char *other;
	} cases[] = {{"to", "crm.people", "crm.users"},
				 {"columns", "id, name", "id"},
				 {"where", "id = 1", "id = 2"},
				 {"rename.name", "a", "b"}};
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	pen_error error;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		rule(f, "shop.users", cases[i].key, cases[i].one, NULL);
		rule(f, "shop.*", cases[i].key, cases[i].other, NULL);
		assert_int_equal(pen_rules_compare(f->rules[0], f->rules[1], &error), PENSTOCK_E_CONFIG);
		assert_non_null(strstr(error.text, "f:1"));
		assert_int_equal(pen_rules_compare(f->rules[1], f->rules[0], &error), PENSTOCK_E_CONFIG);
		forget_mapping(f);
		/* Only their wildcards have a table in common: seen when it comes. */
		rule(f, "shop.u*", cases[i].key, cases[i].one, NULL);
		rule(f, "shop.*s", cases[i].key, cases[i].other, NULL);
		assert_int_equal(pen_rules_compare(f->rules[0], f->rules[1], &error), PENSTOCK_OK);
		make_mapping(f, NULL);
		refused(f, &event, PENSTOCK_E_CONFIG, i < 3 ? "f:1 and at f:2" : "differently");
		forget_mapping(f);
		/* What is for different destinations has nothing to do with each other. */
		rule(f, "shop.users", cases[i].key, cases[i].one, "destination", "crm", NULL);
		rule(f, "shop.users", cases[i].key, cases[i].other, "destination", "erp", NULL);
		assert_int_equal(pen_rules_compare(f->rules[0], f->rules[1], &error), PENSTOCK_OK);
		make_mapping(f, NULL);
		assert_non_null(map(f, &event));
		forget_mapping(f);
		/* The same, or something else: together. */
		rule(f, "shop.users", cases[i].key, cases[i].one, NULL);
		rule(f, "shop.*", cases[i].key, cases[i].one, NULL);
		rule(f, "*.users", "rename.age", "years", NULL);
		assert_int_equal(pen_rules_compare(f->rules[0], f->rules[1], &error), PENSTOCK_OK);
		assert_int_equal(pen_rules_compare(f->rules[0], f->rules[2], &error), PENSTOCK_OK);
		forget_mapping(f);
	}
	rule(f, "shop.users", "to", "crm.people", NULL);
	rule(f, "shop.customers", "to", "crm.people", NULL);
	assert_int_equal(pen_rules_compare(f->rules[0], f->rules[1], &error), PENSTOCK_E_CONFIG);
	assert_non_null(strstr(error.text, "second table to crm.people"));
}

static void
test_malformed_rules_are_refused(void **state)
{
	static const char *const bad[][3] = {
		{"to", "", "SCHEMA.TABLE"},
		{"to", "a.b.c", "SCHEMA.TABLE"},
		{"to", "a.", "SCHEMA.TABLE"},
		{"to", ".a", "SCHEMA.TABLE"},
		{"to", "a*.b", "SCHEMA.TABLE"},
		{"to", "penstock.progress", "where progress is kept"},
		{"columns", "", "empty"},
		{"columns", "a,,b", "empty"},
		{"columns", "a,", "empty"},
		{"columns", "a,b,a", "\"a\" stands there twice"},
		{"rename.", "x", "missing"},
		{"rename.x", "", "missing"},
		{"where", "id =", "at character 5"},
		{"destination", "", "no name"},
		{"colums", "x", "no key"},
	};
	pen_error error;

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		pen_rule *made = pen_rule_new("shop.users", "f:1", &error);

		pen_error_clear(&error);
		if (pen_rule_set(made, bad[i][0], bad[i][1], &error) != PENSTOCK_E_CONFIG ||
			strstr(error.text, bad[i][2]) == NULL)
			fail_msg("%s = %s: %s", bad[i][0], bad[i][1], error.text);
		pen_rule_free(made);
	}
	assert_null(pen_rule_new("", "f:1", &error));
	assert_null(pen_rule_new("a.b.c", "f:1", &error));
	pen_rule_free(NULL);
}

static void
test_a_key_of_a_rule_is_given_once(void **state)
{
	static const char *const keys[][2] = {{"to", "a.b"},
										  {"columns", "id"},
										  {"where", "id = 1"},
										  {"rename.x", "y"},
										  {"destination", "d"}};
	pen_error error;

	(void) state;
	for (int i = 0; i < 5; i++)
	{
		pen_rule *made = pen_rule_new("shop.users", "f:1", &error);

		assert_int_equal(pen_rule_set(made, keys[i][0], keys[i][1], &error), PENSTOCK_OK);
		assert_int_equal(pen_rule_set(made, keys[i][0], keys[i][1], &error), PENSTOCK_E_CONFIG);
		assert_non_null(strstr(error.text, "twice"));
		pen_rule_free(made);
	}
}

static void
test_names_may_hold_special_characters(void **state)
{
	fixture *f = *state;
	penstock_event event = insert(f, "1", "Ada", NULL, "36");
	const penstock_event *mapped;

	rule(f, "shop.users", "to", " my\\.schema . T\\*\\, ", "columns", " id ,name", "rename.name",
		 "a, b", NULL);
	make_mapping(f, NULL);
	mapped = map(f, &event);
	assert_string_equal(mapped->relation->schema, "my.schema");
	assert_string_equal(mapped->relation->name, "T*,");
	assert_string_equal(shown(&mapped->new_row), "id=1 a, b=Ada");
}

/* ---- fingerprint ---- */

static void
fingerprint(fixture *f, const char *tables, char into[17])
{
	pen_error error;
	pen_mapping *mapping = pen_mapping_new(f->run, tables, "crm", f->rules, f->rule_count, &error);

	assert_non_null(mapping);
	pen_mapping_fingerprint(mapping, into);
	pen_mapping_free(mapping);
}

static void
test_the_fingerprint_is_the_routes_where_nothing_is_mapped(void **state)
{
	fixture *f = *state;
	char of_route[17];
	char of_mapping[17];
	pen_error error;

	pen_route_fingerprint(NULL, of_route);
	fingerprint(f, NULL, of_mapping);
	assert_string_equal(of_mapping, of_route);
	assert_string_equal(of_mapping, "0000000000000000");
	f->run = pen_route_new("a.b,shop.*", &error);
	pen_route_fingerprint(f->run, of_route);
	rule(f, "shop.users", "to", "crm.people", "destination", "erp", NULL); /* not this one */
	fingerprint(f, NULL, of_mapping);
	assert_string_equal(of_mapping, of_route);
	/* As it has been recorded by earlier versions. */
	assert_string_equal(of_mapping, "4695f869e5398a24");
}

static void
test_the_fingerprint_tells_everything_apart_but_the_order(void **state)
{
	static const char *const said[][2] = {
		{"to", "a.b"},          {"to", "a.*"},      {"to", "*.b"},      {"columns", "id"},
		{"columns", "id, age"}, {"rename.id", "x"}, {"rename.id", "y"}, {"rename.x", "id"},
		{"where", "id = 1"},    {"where", "id = 2"}};
	fixture *f = *state;
	char seen[16][17];
	char again[17];
	int count = 0;

	fingerprint(f, NULL, seen[count++]);
	fingerprint(f, "shop.*", seen[count++]);
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
	{
		rule(f, "shop.users", said[i][0], said[i][1], NULL);
		fingerprint(f, NULL, seen[count++]);
		forget_mapping(f);
	}
	rule(f, "shop.user", "to", "a.b", NULL);
	fingerprint(f, NULL, seen[count++]);
	for (int i = 0; i < count; i++)
	{
		for (int j = 0; j < i; j++)
			assert_string_not_equal(seen[i], seen[j]);
	}
	forget_mapping(f);
	rule(f, "a.b, c.d", "columns", "x, y", "where", "ID =1", "rename.x", "p", "rename.y", "q",
		 NULL);
	rule(f, "e.f", "to", "g.h", NULL);
	fingerprint(f, "shop.*,b.c", again);
	forget_mapping(f);
	rule(f, "e.f", "to", "g.h", NULL);
	rule(f, "c.d,a.b", "rename.y", "q", "where", "(id = 1)", "rename.x", "p", "columns", "y,x",
		 "destination", "crm", NULL);
	fingerprint(f, "b.c , shop.*", seen[0]);
	assert_string_equal(again, seen[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_without_rules_events_stay_themselves),
		TEST(test_a_table_that_is_not_taken_does_not_come),
		TEST(test_renaming_keeps_the_bytes),
		TEST(test_a_star_in_to_keeps_a_name),
		TEST(test_columns_that_are_left_out_are_gone_from_every_row),
		TEST(test_full_identity_is_numbered_anew),
		TEST(test_a_new_version_of_a_table_is_mapped_anew),
		TEST(test_truncate_names_what_is_taken_as_it_is_called_there),
		TEST(test_a_key_cannot_be_left_out),
		TEST(test_columns_must_exist_and_names_must_differ),
		TEST(test_two_tables_cannot_be_one),
		TEST(test_all_tables_are_looked_at_by_name),
		TEST(test_many_tables_are_found_again),
		TEST(test_sections_that_contradict_each_other),
		TEST(test_malformed_rules_are_refused),
		TEST(test_a_key_of_a_rule_is_given_once),
		TEST(test_names_may_hold_special_characters),
		TEST(test_the_fingerprint_is_the_routes_where_nothing_is_mapped),
		TEST(test_the_fingerprint_tells_everything_apart_but_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
