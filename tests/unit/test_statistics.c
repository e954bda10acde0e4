/* test_statistics.c -- every change is counted once, under its table's name, and chunks keep their
 * events however many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "event/relation.h"
#include "statistics.h"

#define TABLES 700 /* more than the first sizes of all lists */

static const penstock_relation *
make_relation(int n)
{
	char name[32];
	penstock_relation draft = {.schema = "public", .name = name, .replica_identity = 'd'};
	pen_error error;
	const penstock_relation *relation;

	snprintf(name, sizeof(name), "t%d", n);
	relation = pen_relation_new(&draft, &error);
	assert_non_null(relation);
	return relation;
}

static void
add_change(pen_chunk *chunk, penstock_event_kind kind, const penstock_relation *relation)
{
	penstock_event *event = pen_chunk_add(chunk);

	assert_non_null(event);
	event->kind = kind;
	event->sequence = chunk->count;
	pen_chunk_hold(chunk, event, relation);
}

static const pen_table_statistics *
find(const pen_statistics *statistics, const char *name)
{
	const pen_table_statistics *found = NULL;

	for (size_t i = 0; i < statistics->table_count; i++)
	{
		if (strcmp(statistics->tables[i].name, name) == 0)
		{
			assert_null(found);
			found = &statistics->tables[i];
		}
	}
	assert_non_null(found);
	return found;
}

/* One change of each table in turn: n % 3 says which kind. */
static void
count_turn(pen_statistics *statistics, const penstock_relation **relations)
{
	static const penstock_event_kind kinds[] = {PENSTOCK_INSERT, PENSTOCK_UPDATE, PENSTOCK_DELETE};
	pen_chunk *chunk = pen_chunk_new(NULL, 0, NULL);

	assert_non_null(chunk);
	for (int n = 0; n < TABLES; n++)
		add_change(chunk, kinds[n % 3], relations[n]);
	add_change(chunk, PENSTOCK_COMMIT, NULL);
	for (size_t i = 0; i < chunk->count; i++)
		assert_int_equal(chunk->events[i].sequence, i + 1);
	pen_statistics_count(statistics, chunk);
	pen_chunk_unref(chunk);
}

static void
test_tables_in_turn_are_counted_by_name(void **state)
{
	static const penstock_relation *relations[TABLES];
	pen_statistics statistics = {0};

	(void) state;
	for (int n = 0; n < TABLES; n++)
		relations[n] = make_relation(n);
	for (int turn = 0; turn < 3; turn++)
		count_turn(&statistics, relations);
	assert_int_equal(statistics.table_count, TABLES);
	assert_int_equal(statistics.transactions, 3);
	assert_int_equal(statistics.total.inserts, 3 * (TABLES + 2) / 3);
	for (int n = 0; n < TABLES; n++)
	{
		char name[32];
		const pen_table_statistics *table;

		snprintf(name, sizeof(name), "public.t%d", n);
		table = find(&statistics, name);
		assert_int_equal(table->inserts, n % 3 == 0 ? 3 : 0);
		assert_int_equal(table->updates, n % 3 == 1 ? 3 : 0);
		assert_int_equal(table->deletes, n % 3 == 2 ? 3 : 0);
		pen_relation_unref(relations[n]);
	}
	pen_statistics_reset(&statistics);
}

static void
test_a_new_description_counts_as_the_same_table(void **state)
{
	pen_statistics statistics = {0};

	(void) state;
	for (int version = 0; version < 200; version++)
	{
		const penstock_relation *relations[] = {make_relation(1), make_relation(2)};
		pen_chunk *chunk = pen_chunk_new(NULL, 0, NULL);

		add_change(chunk, PENSTOCK_INSERT, relations[0]);
		add_change(chunk, PENSTOCK_UPDATE, relations[1]);
		pen_statistics_count(&statistics, chunk);
		pen_chunk_unref(chunk);
		/* Addresses come back as those of the other table. */
		if (version % 7 == 0)
			pen_statistics_forget_relations(&statistics);
		if (version % 7 == 0)
		{
			pen_relation_unref(relations[0]);
			pen_relation_unref(relations[1]);
		}
		else
		{
			pen_statistics_forget_relations(&statistics);
			pen_relation_unref(relations[1]);
			pen_relation_unref(relations[0]);
		}
	}
	assert_int_equal(statistics.table_count, 2);
	assert_int_equal(find(&statistics, "public.t1")->inserts, 200);
	assert_int_equal(find(&statistics, "public.t1")->updates, 0);
	assert_int_equal(find(&statistics, "public.t2")->updates, 200);
	pen_statistics_reset(&statistics);
}

static void
test_a_truncate_counts_for_each_of_its_tables(void **state)
{
	const penstock_relation *relations[] = {make_relation(1), make_relation(2)};
	pen_statistics statistics = {0};
	pen_chunk *chunk = pen_chunk_new(NULL, 0, NULL);
	penstock_event *event = pen_chunk_add(chunk);

	(void) state;
	event->kind = PENSTOCK_TRUNCATE;
	assert_true(pen_chunk_relations(chunk, event, relations, 2));
	pen_statistics_count(&statistics, chunk);
	pen_chunk_unref(chunk);
	assert_int_equal(find(&statistics, "public.t1")->truncates, 1);
	assert_int_equal(find(&statistics, "public.t2")->truncates, 1);
	pen_relation_unref(relations[0]);
	pen_relation_unref(relations[1]);
	pen_statistics_reset(&statistics);
}

static void
test_a_chunk_keeps_every_transaction_and_says_what_it_holds(void **state)
{
	const penstock_transaction *copies[20];
	pen_memory_budget budget = {0};
	pen_chunk *small = pen_chunk_new(NULL, 100, NULL);
	pen_chunk *large = pen_chunk_new(NULL, 100, NULL);

	(void) state;
	for (uint32_t i = 0; i < 20; i++)
	{
		penstock_transaction transaction = {.xid = i + 1};

		copies[i] = pen_chunk_transaction(large, &transaction);
		assert_non_null(copies[i]);
		add_change(large, PENSTOCK_BEGIN, NULL);
	}
	for (uint32_t i = 0; i < 20; i++)
		assert_int_equal(copies[i]->xid, i + 1);
	assert_int_equal(pen_chunk_size(small), sizeof(*small) + 100);
	assert_true(pen_chunk_size(large) >= sizeof(*large) + 100 + 20 * sizeof(*large->events));
	pen_chunk_seal(small, &budget);
	pen_chunk_seal(large, &budget);
	assert_int_equal(budget.used, pen_chunk_size(small) + pen_chunk_size(large));
	pen_chunk_unref(small);
	pen_chunk_unref(large);
	assert_int_equal(budget.used, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables_in_turn_are_counted_by_name),
		cmocka_unit_test(test_a_new_description_counts_as_the_same_table),
		cmocka_unit_test(test_a_truncate_counts_for_each_of_its_tables),
		cmocka_unit_test(test_a_chunk_keeps_every_transaction_and_says_what_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
