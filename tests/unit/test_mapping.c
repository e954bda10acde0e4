/* test_mapping.c -- what a destination sees of tables and events: names, columns, rows that enter
 * and leave, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "event/relation.h"
#include "event/row.h"
#include "route/mapper.h"
#include "types.h"

#define RULES_MAX 8

typedef struct fixture
{
	pen_rule *rules[RULES_MAX];
	size_t rule_count;
	pen_route *run;
	pen_mapping *mapping;
	pen_mapper *mapper;
	const penstock_relation *relation; /* shop.users(id, name, note, age) */
	penstock_transaction transaction;
	pen_wire_buf rows[4];
	int row_count;
} fixture;

static const penstock_relation *
table(const char *schema, const char *name, uint32_t oid, char replica_identity)
{
	penstock_column columns[] = {
		{.name = "id",
		 .attnum = 1,
		 .base_type_oid = PEN_OID_INT4,
		 .encoding = PEN_ENCODING_INT,
		 .primary_key = 1},
		{.name = "name", .attnum = 2, .base_type_oid = PEN_OID_TEXT, .encoding = PEN_ENCODING_TEXT},
		{.name = "note", .attnum = 4, .base_type_oid = PEN_OID_TEXT, .encoding = PEN_ENCODING_TEXT},
		{.name = "age", .attnum = 5, .base_type_oid = PEN_OID_INT4, .encoding = PEN_ENCODING_INT},
	};
	penstock_relation draft = {.schema = schema,
							   .name = name,
							   .oid = oid,
							   .replica_identity = replica_identity,
							   .columns = columns,
							   .column_count = 4};
	const penstock_relation *made;
	pen_error error;

	for (int i = 0; i < 4; i++)
		columns[i].identity = replica_identity == 'f' ? i + 1 : replica_identity == 'd' && i == 0;
	made = pen_relation_new(&draft, &error);
	assert_non_null(made);
	return made;
}

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	f->relation = table("shop", "users", 1, 'd');
	for (int i = 0; i < 4; i++)
		pen_buffer_init(&f->rows[i]);
	*state = f;
	return 0;
}

static void
forget_mapping(fixture *f)
{
	pen_mapper_free(f->mapper);
	pen_mapping_free(f->mapping);
	f->mapper = NULL;
	f->mapping = NULL;
	for (size_t i = 0; i < f->rule_count; i++)
		pen_rule_free(f->rules[i]);
	f->rule_count = 0;
}

static int
tear_down(void **state)
{
	fixture *f = *state;

	forget_mapping(f);
	pen_route_free(f->run);
	pen_relation_unref(f->relation);
	for (int i = 0; i < 4; i++)
		pen_buffer_reset(&f->rows[i]);
	free(f);
	return 0;
}

/* A rule of key, value, …, NULL. */
static pen_rule *
rule(fixture *f, const char *patterns, ...)
{
	pen_error error;
	pen_rule *made;
	const char *key;
	char stands_at[20];
	va_list keys;

	snprintf(stands_at, sizeof(stands_at), "f:%zu", f->rule_count + 1);
	made = pen_rule_new(patterns, stands_at, &error);
	if (made == NULL)
		fail_msg("%s: %s", patterns, error.text);
	va_start(keys, patterns);
	while ((key = va_arg(keys, const char *)) != NULL)
	{
		const char *value = va_arg(keys, const char *);

		if (pen_rule_set(made, key, value, &error) < 0)
			fail_msg("%s = %s: %s", key, value, error.text);
	}
	va_end(keys);
	f->rules[f->rule_count++] = made;
	return made;
}

static void
make_mapping(fixture *f, const char *tables)
{
	pen_error error;

	f->mapping = pen_mapping_new(f->run, tables, "crm", f->rules, f->rule_count, &error);
	assert_non_null(f->mapping);
	f->mapper = pen_mapper_new(f->mapping);
	assert_non_null(f->mapper);
}

/* ---- rows: a text for each column; NULL: NULL, "~": unchanged, "-": not in this row ---- */

static penstock_row
row(fixture *f, const penstock_relation *relation, pen_tuple_field field, const char *id,
	const char *name, const char *note, const char *age)
{
	const char *texts[] = {id, name, note, age};
	pen_wire_buf *buf = &f->rows[f->row_count++ % 4];
	penstock_row made = {.relation = relation, .identity_only = field == PEN_TUPLE_KEY};

	buf->len = 0;
	for (int i = 0; i < 4; i++)
	{
		if (texts[i] == NULL)
			pen_wire_write_null(buf, field);
		else if (strcmp(texts[i], "~") == 0)
			pen_wire_write_unchanged(buf, field);
		else if (strcmp(texts[i], "-") == 0)
			continue;
		else if (i == 0 || i == 3)
			pen_wire_write_int(buf, field, atoi(texts[i]));
		else
			pen_wire_write_string(buf, field, texts[i], strlen(texts[i]));
	}
	made.data = buf->data;
	made.len = buf->len;
	return made;
}

/* The row as "name=value …". */
static const char *
shown(const penstock_row *r)
{
	static char text[500];

	text[0] = '\0';
	if (r->relation == NULL)
		return "none";
	for (int i = 0; i < r->relation->column_count; i++)
	{
		pen_value value;
		penstock_status status = pen_row_value(r, i, &value);
		size_t at = strlen(text);

		if (status == PENSTOCK_NOT_FOUND)
			continue;
		assert_true(status >= 0);
		snprintf(text + at, sizeof(text) - at, "%s%s=", at > 0 ? " " : "",
				 r->relation->columns[i].name);
		at = strlen(text);
		if (status == PENSTOCK_NULL)
			snprintf(text + at, sizeof(text) - at, "NULL");
		else if (status == PENSTOCK_UNCHANGED)
			snprintf(text + at, sizeof(text) - at, "~");
		else if (value.kind == PEN_VALUE_INT)
			snprintf(text + at, sizeof(text) - at, "%lld", (long long) value.integer);
		else
			snprintf(text + at, sizeof(text) - at, "%.*s", (int) value.len, value.data);
	}
	return text;
}

static const penstock_event *
map(fixture *f, const penstock_event *event)
{
	const penstock_event *mapped = (const penstock_event *) f;
	pen_error error;

	if (pen_mapper_map(f->mapper, event, &mapped, &error) < 0)
		fail_msg("%s", error.text);
	return mapped;
}

static penstock_event
insert(fixture *f, const char *id, const char *name, const char *note, const char *age)
{
	return (penstock_event){.kind = PENSTOCK_INSERT,
							.transaction = &f->transaction,
							.sequence = 7,
							.relation = f->relation,
							.new_row = row(f, f->relation, PEN_TUPLE_NEW, id, name, note, age)};
}

static penstock_event
delete_by(fixture *f, pen_tuple_field field, const char *id, const char *name, const char *note,
		  const char *age)
{
	return (penstock_event){.kind = PENSTOCK_DELETE,
							.transaction = &f->transaction,
							.relation = f->relation,
							.old_row = row(f, f->relation, field, id, name, note, age)};
}

static penstock_event
update(fixture *f, penstock_row old_row, penstock_row new_row)
{
	return (penstock_event){.kind = PENSTOCK_UPDATE,
							.transaction = &f->transaction,
							.sequence = 9,
							.relation = f->relation,
							.old_row = old_row,
							.new_row = new_row};
}

#define NEW(...) row(f, f->relation, PEN_TUPLE_NEW, __VA_ARGS__)
#define KEY(id)  row(f, f->relation, PEN_TUPLE_KEY, id, "-", "-", "-")
#define OLD(...) row(f, f->relation, PEN_TUPLE_OLD, __VA_ARGS__)
#define NO_ROW   ((penstock_row){0})

/* The event is refused with a text that holds part. */
static void
refused(fixture *f, const penstock_event *event, penstock_status status, const char *part)
{
	const penstock_event *mapped;
	pen_error error;

	pen_error_clear(&error);
	if (pen_mapper_map(f->mapper, event, &mapped, &error) != status ||
		strstr(error.text, part) == NULL)
		fail_msg("%d: %s", error.status, error.text);
}

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

/* ---- where ---- */

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
		TEST(test_an_insert_passes_if_it_is_true),
		TEST(test_rows_enter_and_leave),
		TEST(test_a_key_moves_in_and_out),
		TEST(test_a_row_that_enters_may_lack_what_is_left_out),
		TEST(test_where_beyond_the_identity_is_refused_at_the_first_update),
		TEST(test_damaged_rows_are_found),
		TEST(test_rows_that_are_read_are_mapped_alike),
		TEST(test_the_fingerprint_is_the_routes_where_nothing_is_mapped),
		TEST(test_the_fingerprint_tells_everything_apart_but_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
