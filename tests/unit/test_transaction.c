/* test_transaction.c -- in what order events may come,
 * and what of them reaches the destinations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "event/relation.h"
#include "transaction/transaction.h"

typedef struct fixture
{
	pen_route *route;
	pen_assembler *assembler;
	pen_chunk *chunk;
	const penstock_relation *users; /* taken by the route */
	const penstock_relation *logs;  /* not taken */
	const penstock_relation *orders;
	penstock_transaction transaction;
	pen_error error;
} fixture;

static const penstock_relation *
make_relation(uint32_t oid, const char *name)
{
	penstock_relation draft = {
		.number = oid, .oid = oid, .schema = "public", .name = name, .replica_identity = 'd'};
	pen_error error;
	const penstock_relation *relation = pen_relation_new(&draft, &error);

	assert_non_null(relation);
	return relation;
}

static int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	f->route = pen_route_new("users,orders", &f->error);
	f->assembler = pen_assembler_new(f->route);
	f->chunk = pen_chunk_new(NULL, 0, NULL);
	f->users = make_relation(1, "users");
	f->logs = make_relation(2, "logs");
	f->orders = make_relation(3, "orders");
	*state = f;
	return 0;
}

/* AddressSanitizer finds references that were not given back. */
static int
tear_down(void **state)
{
	fixture *f = *state;

	pen_relation_unref(f->users);
	pen_relation_unref(f->logs);
	pen_relation_unref(f->orders);
	pen_chunk_unref(f->chunk);
	pen_assembler_free(f->assembler);
	pen_route_free(f->route);
	free(f);
	return 0;
}

static void
next_chunk(fixture *f)
{
	pen_chunk_unref(f->chunk);
	f->chunk = pen_chunk_new(NULL, 0, NULL);
}

/* ---- a stream by hand ---- */

static penstock_status
take(fixture *f, const pen_decoded *decoded)
{
	penstock_status status;

	pen_error_clear(&f->error);
	status = pen_assembler_take(f->assembler, decoded, f->chunk, &f->error);
	assert_int_equal(status < 0, f->error.text[0] != '\0');
	return status;
}

static penstock_status
begin(fixture *f, uint64_t commit_lsn)
{
	pen_decoded decoded = {.kind = PEN_EVENT_BEGIN, .event.kind = PENSTOCK_BEGIN};

	f->transaction = (penstock_transaction){
		.xid = 7, .commit_lsn = commit_lsn, .end_lsn = 99999, .commit_time = 5};
	decoded.event.transaction = &f->transaction;
	return take(f, &decoded);
}

static penstock_status
commit(fixture *f, uint64_t commit_lsn, uint64_t end_lsn)
{
	pen_decoded decoded = {.kind = PEN_EVENT_COMMIT, .event.kind = PENSTOCK_COMMIT};

	f->transaction = (penstock_transaction){.xid = 7, .commit_lsn = commit_lsn, .end_lsn = end_lsn};
	decoded.event.transaction = &f->transaction;
	return take(f, &decoded);
}

static penstock_status
change(fixture *f, pen_event_kind wire_kind, penstock_event_kind kind,
	   const penstock_relation *relation, uint64_t sequence)
{
	static const uint8_t value[] = {1, 2, 3};
	pen_decoded decoded = {.kind = wire_kind,
						   .event = {.kind = kind,
									 .transaction = &f->transaction,
									 .sequence = sequence,
									 .relation = relation}};

	if (kind != PENSTOCK_DELETE)
		decoded.event.new_row = (penstock_row){relation, value, 3, false};
	if (kind != PENSTOCK_INSERT)
		decoded.event.old_row = (penstock_row){relation, value, 2, true};
	return take(f, &decoded);
}

static penstock_status
insert(fixture *f, const penstock_relation *relation, uint64_t sequence)
{
	return change(f, PEN_EVENT_INSERT, PENSTOCK_INSERT, relation, sequence);
}

static penstock_status
truncate_tables(fixture *f, const penstock_relation *const *relations, uint32_t count)
{
	pen_decoded decoded = {.kind = PEN_EVENT_TRUNCATE,
						   .event = {.kind = PENSTOCK_TRUNCATE,
									 .transaction = &f->transaction,
									 .sequence = 4,
									 .cascade = true,
									 .restart_identity = true,
									 .relations = relations,
									 .relation_count = count}};

	return take(f, &decoded);
}

static penstock_status
take_kind(fixture *f, pen_event_kind kind)
{
	return take(f, &(pen_decoded){.kind = kind});
}

#define OK(call)  assert_int_equal(call, PENSTOCK_OK)
#define BAD(call) assert_int_equal(call, PENSTOCK_E_DATA)

/* The kinds of the chunk's events, a letter each. */
static const char *
kinds(const fixture *f)
{
	static char letters[64];
	size_t i;

	for (i = 0; i < f->chunk->count; i++)
		letters[i] = "BIUDTC"[f->chunk->events[i].kind];
	letters[i] = '\0';
	return letters;
}

/* ---- what is passed on ---- */

static void
test_a_transaction_is_passed_on_with_all_that_it_says(void **state)
{
	fixture *f = *state;
	const penstock_event *events;

	assert_false(pen_assembler_in_transaction(f->assembler));
	OK(begin(f, 100));
	assert_true(pen_assembler_in_transaction(f->assembler));
	OK(insert(f, f->users, 1));
	OK(change(f, PEN_EVENT_UPDATE, PENSTOCK_UPDATE, f->orders, 2));
	OK(change(f, PEN_EVENT_DELETE, PENSTOCK_DELETE, f->orders, 3));
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 0);
	OK(commit(f, 100, 108));
	assert_false(pen_assembler_in_transaction(f->assembler));
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 108);
	assert_string_equal(kinds(f), "BIUDC");
	events = f->chunk->events;
	for (int i = 0; i < 5; i++)
	{
		assert_int_equal(events[i].transaction->xid, 7);
		assert_int_equal(events[i].transaction->commit_lsn, 100);
		assert_int_equal(events[i].transaction->commit_time, 5);
		assert_int_equal(events[i].transaction->end_lsn, i == 4 ? 108 : 0);
		assert_int_equal(events[i].sequence, i == 4 ? 0 : i);
	}
	assert_ptr_equal(events[1].relation, f->users);
	assert_int_equal(events[1].new_row.len, 3);
	assert_null(events[1].old_row.relation);
	assert_int_equal(events[2].old_row.len, 2);
	assert_true(events[2].old_row.identity_only);
	assert_null(events[3].new_row.relation);
	assert_ptr_equal(events[3].relation, f->orders);
}

static void
test_rows_of_other_tables_end_here(void **state)
{
	fixture *f = *state;

	OK(begin(f, 100));
	OK(insert(f, f->logs, 1));
	OK(insert(f, f->users, 2));
	OK(insert(f, f->logs, 3));
	OK(insert(f, f->logs, 4));
	OK(insert(f, f->orders, 5));
	OK(commit(f, 100, 108));
	assert_string_equal(kinds(f), "BIIC");
	assert_int_equal(f->chunk->events[1].sequence, 2);
	assert_int_equal(f->chunk->events[2].sequence, 5);
}

static void
test_a_transaction_of_other_tables_only_still_begins_and_commits(void **state)
{
	fixture *f = *state;

	OK(begin(f, 100));
	OK(insert(f, f->logs, 1));
	OK(commit(f, 100, 108));
	assert_string_equal(kinds(f), "BC");
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 108);
}

static void
test_without_a_route_every_table_is_taken_except_that_of_progress(void **state)
{
	fixture *f = *state;
	penstock_relation draft = {.schema = "penstock", .name = "progress", .replica_identity = 'd'};
	const penstock_relation *progress = pen_relation_new(&draft, &f->error);

	pen_assembler_free(f->assembler);
	f->assembler = pen_assembler_new(NULL);
	OK(begin(f, 100));
	OK(insert(f, f->logs, 1));
	OK(insert(f, progress, 2));
	assert_string_equal(kinds(f), "BI");
	pen_relation_unref(progress);
}

static void
test_a_truncate_names_the_routed_tables_only(void **state)
{
	fixture *f = *state;
	const penstock_relation *all[] = {f->logs, f->orders, f->users};
	const penstock_event *event;

	OK(begin(f, 100));
	OK(truncate_tables(f, all, 3));
	OK(truncate_tables(f, all, 1));
	OK(truncate_tables(f, all, 0));
	OK(commit(f, 100, 108));
	assert_string_equal(kinds(f), "BTC");
	event = &f->chunk->events[1];
	assert_int_equal(event->relation_count, 2);
	assert_ptr_equal(event->relations[0], f->orders);
	assert_ptr_equal(event->relations[1], f->users);
	assert_null(event->relation);
	assert_true(event->cascade);
	assert_true(event->restart_identity);
	assert_int_equal(event->sequence, 4);
}

static void
test_a_transaction_may_span_chunks(void **state)
{
	fixture *f = *state;
	pen_chunk *first = pen_chunk_ref(f->chunk);

	OK(begin(f, 100));
	OK(insert(f, f->users, 1));
	next_chunk(f);
	OK(insert(f, f->users, 2));
	next_chunk(f); /* the one before is gone, also with what it knew of the transaction */
	OK(insert(f, f->users, 3));
	assert_string_equal(kinds(f), "I");
	assert_int_equal(f->chunk->events[0].transaction->commit_lsn, 100);
	next_chunk(f);
	OK(commit(f, 100, 108));
	assert_string_equal(kinds(f), "C");
	assert_int_equal(f->chunk->events[0].transaction->xid, 7);
	assert_int_equal(f->chunk->events[0].transaction->end_lsn, 108);
	assert_int_equal(first->events[1].transaction->commit_lsn, 100);
	pen_chunk_unref(first);
}

static void
test_transactions_in_one_chunk_do_not_share_what_they_say(void **state)
{
	fixture *f = *state;

	for (uint64_t lsn = 100; lsn < 150; lsn += 10)
	{
		OK(begin(f, lsn));
		OK(insert(f, f->users, 1));
		OK(commit(f, lsn, lsn + 8));
	}
	assert_int_equal(f->chunk->count, 15);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(f->chunk->events[i].transaction->commit_lsn, 100 + i / 3 * 10);
}

static void
test_relations_live_as_long_as_the_chunk(void **state)
{
	fixture *f = *state;
	const penstock_relation *taken[] = {f->users, f->orders};
	pen_memory_budget budget = {0};
	pen_chunk *second;

	OK(begin(f, 100));
	for (uint64_t i = 1; i <= 20; i++)
		OK(insert(f, i % 4 < 2 ? f->users : f->orders, i));
	OK(truncate_tables(f, taken, 2));
	OK(commit(f, 100, 108));
	pen_chunk_seal(f->chunk, &budget);
	assert_int_equal(budget.used, pen_chunk_size(f->chunk));
	second = pen_chunk_ref(f->chunk);
	pen_relation_unref(f->users);
	pen_relation_unref(f->orders);
	f->users = f->orders = NULL;
	pen_chunk_unref(f->chunk);
	f->chunk = NULL;
	for (size_t i = 1; i <= 20; i++)
		assert_string_equal(second->events[i].relation->name, i % 4 < 2 ? "users" : "orders");
	assert_string_equal(second->events[21].relations[1]->name, "orders");
	pen_chunk_unref(second);
	assert_int_equal(budget.used, 0);
}

/* ---- what cannot stand where it stands ---- */

static void
test_a_change_outside_of_a_transaction_is_bad_data(void **state)
{
	fixture *f = *state;
	const penstock_relation *taken[] = {f->users};

	BAD(insert(f, f->users, 1));
	BAD(insert(f, f->logs, 1));
	BAD(truncate_tables(f, taken, 1));
	OK(begin(f, 100));
	OK(commit(f, 100, 108));
	BAD(change(f, PEN_EVENT_DELETE, PENSTOCK_DELETE, f->users, 1));
	assert_string_equal(kinds(f), "BC");
}

static void
test_a_begin_inside_of_a_transaction_is_bad_data(void **state)
{
	fixture *f = *state;

	OK(begin(f, 0x100000010));
	BAD(begin(f, 0x100000020));
	assert_non_null(strstr(f->error.text, "1/10"));
	assert_string_equal(kinds(f), "B");
}

static void
test_a_commit_of_another_transaction_is_bad_data(void **state)
{
	fixture *f = *state;

	BAD(commit(f, 100, 108));
	OK(begin(f, 100));
	BAD(commit(f, 101, 108));
	assert_true(pen_assembler_in_transaction(f->assembler));
	BAD(commit(f, 99, 108));
	assert_string_equal(kinds(f), "B");
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 0);
	OK(commit(f, 100, 108));
	BAD(commit(f, 100, 108));
}

static void
test_a_commit_that_ends_before_it_begins_is_bad_data(void **state)
{
	fixture *f = *state;

	OK(begin(f, 100));
	BAD(commit(f, 100, 0));
	BAD(commit(f, 100, 100));
	OK(commit(f, 100, 101));
}

static void
test_commits_out_of_order_are_bad_data(void **state)
{
	fixture *f = *state;

	OK(begin(f, 100));
	OK(commit(f, 100, 108));
	BAD(begin(f, 107));
	assert_non_null(strstr(f->error.text, "0/6B after 0/6C"));
	BAD(begin(f, 100));
	assert_false(pen_assembler_in_transaction(f->assembler));
	OK(begin(f, 108));
}

static void
test_a_session_inside_of_a_transaction_is_bad_data(void **state)
{
	fixture *f = *state;

	OK(take_kind(f, PEN_EVENT_SESSION));
	OK(begin(f, 100));
	OK(take_kind(f, PEN_EVENT_RELATION));
	BAD(take_kind(f, PEN_EVENT_SESSION));
}

/* ---- a new stream ---- */

static void
test_after_a_reset_an_earlier_commit_may_come_again(void **state)
{
	fixture *f = *state;

	OK(begin(f, 100));
	OK(commit(f, 100, 108));
	OK(begin(f, 200));
	pen_assembler_reset(f->assembler);
	assert_false(pen_assembler_in_transaction(f->assembler));
	assert_int_equal(pen_assembler_end_lsn(f->assembler), 0);
	BAD(insert(f, f->users, 1));
	OK(begin(f, 100));
	OK(insert(f, f->logs, 1));
	OK(insert(f, f->users, 2));
	OK(commit(f, 100, 108));
	assert_string_equal(kinds(f), "BCBBIC"); /* its route is the same */
}

/* A relation of before may be freed, and another one stand at its address. */
static void
test_a_session_and_a_reset_forget_which_table_was_routed(void **state)
{
	fixture *f = *state;
	penstock_relation *there = calloc(2, sizeof(*there)); /* longer than any reference to it */

	for (int i = 0; i < 2; i++)
	{
		*there = (penstock_relation){.schema = "public", .name = "logs"};
		OK(begin(f, 100));
		OK(insert(f, there, 1));
		OK(commit(f, 100, 108));
		if (i == 0)
			OK(take_kind(f, PEN_EVENT_SESSION));
		else
			pen_assembler_reset(f->assembler);
		assert_int_equal(f->chunk->events[f->chunk->count - 1].kind, PENSTOCK_COMMIT);
		assert_int_equal(f->chunk->events[f->chunk->count - 2].kind, PENSTOCK_BEGIN);
		OK(begin(f, 200));
		memcpy(there, f->users, sizeof(*there));
		OK(insert(f, f->users, 2));
		pen_assembler_reset(f->assembler);
	}
	free(there);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_transaction_is_passed_on_with_all_that_it_says),
		TEST(test_rows_of_other_tables_end_here),
		TEST(test_a_transaction_of_other_tables_only_still_begins_and_commits),
		TEST(test_without_a_route_every_table_is_taken_except_that_of_progress),
		TEST(test_a_truncate_names_the_routed_tables_only),
		TEST(test_a_transaction_may_span_chunks),
		TEST(test_transactions_in_one_chunk_do_not_share_what_they_say),
		TEST(test_relations_live_as_long_as_the_chunk),
		TEST(test_a_change_outside_of_a_transaction_is_bad_data),
		TEST(test_a_begin_inside_of_a_transaction_is_bad_data),
		TEST(test_a_commit_of_another_transaction_is_bad_data),
		TEST(test_a_commit_that_ends_before_it_begins_is_bad_data),
		TEST(test_commits_out_of_order_are_bad_data),
		TEST(test_a_session_inside_of_a_transaction_is_bad_data),
		TEST(test_after_a_reset_an_earlier_commit_may_come_again),
		TEST(test_a_session_and_a_reset_forget_which_table_was_routed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
