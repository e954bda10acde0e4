/* test_memory_many.c -- memory tables under many changes: random ones against a simple model,
 * readers beside the writer, and what a row costs. */
#include "memory_stream.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#define BIG       50000
#else
#define SANITIZED 0
#define BIG       1000000
#endif

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
		TEST(test_random_history_with_a_key),
		TEST(test_random_history_of_a_multiset),
		TEST(test_readers_see_whole_transactions),
		TEST(test_a_row_costs_little_memory_and_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
