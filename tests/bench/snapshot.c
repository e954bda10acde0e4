/* snapshot.c -- what a reader that holds a snapshot costs those who apply changes.
 *     snapshot [-r rows] [-u updates a run] [-n pairs of runs] [-p ms between scans]
 * Runs without and with a reader take turns, on a memory table without a server. Rates are by the
 * applying thread's own processor time, so that others on the machine count less; `waited` is the
 * wall time beyond it. Each scan of the reader must find exactly the sum of its snapshot's LSN,
 * before, between and after the updates; exit 1 if one does not. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "destination/memory/store.h"
#include "event/relation.h"
#include "types.h"

#define CHANGES_A_TRANSACTION 100
#define TRANSACTION_LSN_STEP  24 /* commit LSN: 16 on; its end: another 8 */
#define FIRST_LSN             1000
#define PAIRS_MAX             25

typedef struct change
{
	uint32_t id;
	int32_t amount;
	size_t offset; /* of its row in the encoded bytes, as are those of a receive */
} change;

typedef struct bench
{
	pen_memory_store *store;
	const penstock_relation *relation;
	uint32_t rows;
	uint32_t updates; /* a run; a multiple of CHANGES_A_TRANSACTION */
	change *changes;  /* applied in turn, over and over */
	pen_wire_buf encoded;
	uint32_t next;
	uint64_t lsn;
	int32_t *amounts; /* of each row, as a plain array has it */
	int64_t sum;
	int64_t *sums; /* ring: after the transaction that ends at lsn, by sum_at */
	size_t sum_count;

	atomic_bool snapshot_taken;
	atomic_bool done;
	atomic_int wrong;
	int scans;
	int pause_ms; /* between scans */
} bench;

static void
die(const char *what)
{
	fprintf(stderr, "snapshot: %s\n", what);
	exit(1);
}

static double
now_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void
stay_on_core(int core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned int) core, &set);
	(void) sched_setaffinity(0, sizeof(set), &set); /* where it may not, the numbers vary more */
}

static uint32_t
draw(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t) (*state >> 33);
}

/* ---- a table and changes to it ---- */

/* public.accounts(id int4 primary key, amount int4, filler text) */
static const penstock_relation *
make_relation(void)
{
	static const char *const names[] = {"id", "amount", "filler"};
	penstock_column columns[3] = {0};
	penstock_relation draft = {.oid = 1,
							   .schema = "public",
							   .name = "accounts",
							   .replica_identity = 'd',
							   .column_count = 3,
							   .columns = columns};
	const penstock_relation *relation;
	pen_error error;

	for (int i = 0; i < 3; i++)
	{
		columns[i].name = names[i];
		columns[i].type_schema = "pg_catalog";
		columns[i].type_name = i < 2 ? "int4" : "text";
		columns[i].type_oid = columns[i].base_type_oid = i < 2 ? PEN_OID_INT4 : PEN_OID_TEXT;
		columns[i].typmod = -1;
		columns[i].attnum = i + 1;
		columns[i].encoding = (int) pen_type_encoding(columns[i].type_oid);
	}
	columns[0].primary_key = columns[0].identity = 1;
	relation = pen_relation_new(&draft, &error);
	if (relation == NULL)
		die(error.text);
	return relation;
}

static void
write_row(pen_wire_buf *buf, uint32_t id, int32_t amount)
{
	pen_wire_write_int(buf, PEN_TUPLE_NEW, id);
	pen_wire_write_int(buf, PEN_TUPLE_NEW, amount);
	pen_wire_write_string(buf, PEN_TUPLE_NEW, "a filler of forty characters, as in some", 40);
}

static void
load(bench *b)
{
	pen_wire_buf row;
	pen_error error;

	pen_buffer_init(&row);
	pen_memory_load_begin(b->store);
	if (pen_memory_load_table(b->store, b->relation, &error) < 0)
		die(error.text);
	for (uint32_t id = 0; id < b->rows; id++)
	{
		row.len = 0;
		write_row(&row, id, 0);
		if (pen_memory_load_row(b->store, row.data, row.len, &error) < 0)
			die(error.text);
	}
	pen_memory_load_end(b->store, FIRST_LSN);
	if (pen_memory_start(b->store, FIRST_LSN, &error) < 0)
		die(error.text);
	b->lsn = FIRST_LSN;
	pen_buffer_reset(&row);
}

static void
prepare_changes(bench *b)
{
	uint64_t seed = 42;

	for (uint32_t i = 0; i < b->updates; i++)
	{
		change *c = &b->changes[i];

		*c = (change){draw(&seed) % b->rows, (int32_t) (draw(&seed) % 2000000) - 1000000,
					  b->encoded.len};
		write_row(&b->encoded, c->id, c->amount);
	}
	if (b->encoded.failed)
		die("out of memory");
}

static size_t
sum_at(const bench *b, uint64_t lsn)
{
	return (size_t) ((lsn - FIRST_LSN) / TRANSACTION_LSN_STEP) % b->sum_count;
}

/* Work out the sums that the next transactions lead to, by a plain array. */
static void
foresee_sums(bench *b, uint32_t transactions)
{
	uint32_t next = b->next;

	for (uint32_t t = 1; t <= transactions; t++)
	{
		for (int i = 0; i < CHANGES_A_TRANSACTION; i++)
		{
			const change *c = &b->changes[next];

			b->sum += c->amount - b->amounts[c->id];
			b->amounts[c->id] = c->amount;
			next = (next + 1) % b->updates;
		}
		b->sums[sum_at(b, b->lsn + (uint64_t) t * TRANSACTION_LSN_STEP)] = b->sum;
	}
}

static void
apply_transaction(bench *b)
{
	penstock_transaction transaction = {.xid = 7, .commit_lsn = b->lsn + 16};
	penstock_event event = {.kind = PENSTOCK_BEGIN, .transaction = &transaction};
	pen_error error;
	penstock_status status = pen_memory_apply(b->store, &event, &error);

	event.kind = PENSTOCK_UPDATE;
	event.relation = b->relation;
	for (int i = 0; i < CHANGES_A_TRANSACTION && status >= 0; i++)
	{
		size_t offset = b->changes[b->next].offset;

		b->next = b->next + 1 == b->updates ? 0 : b->next + 1;
		event.new_row = (penstock_row){
			b->relation, b->encoded.data + offset,
			(b->next == 0 ? b->encoded.len : b->changes[b->next].offset) - offset, false};
		status = pen_memory_apply(b->store, &event, &error);
	}
	b->lsn += TRANSACTION_LSN_STEP;
	transaction.end_lsn = b->lsn;
	event = (penstock_event){.kind = PENSTOCK_COMMIT, .transaction = &transaction};
	if (status < 0 || pen_memory_apply(b->store, &event, &error) < 0)
		die(error.text);
}

/* ---- the reader ---- */

static void
scan(bench *b, penstock_snapshot *snapshot)
{
	penstock_table *table = penstock_snapshot_table(snapshot, "public", "accounts");
	uint64_t position = 0;
	uint32_t count = 0;
	int64_t sum = 0;
	penstock_row row;
	int64_t amount;

	while (penstock_next_row(snapshot, table, &position, &row))
	{
		if (penstock_get_int(&row, 1, &amount) != PENSTOCK_OK)
			amount = INT64_MAX / 2;
		sum += amount;
		count++;
	}
	if (count != b->rows || sum != b->sums[sum_at(b, penstock_snapshot_lsn(snapshot))])
		atomic_fetch_add(&b->wrong, 1);
	b->scans++;
}

static void *
read_on(void *argument)
{
	bench *b = argument;
	penstock_snapshot *snapshot;
	bool last;

	stay_on_core(1);
	snapshot = pen_memory_store_snapshot(b->store);
	if (snapshot == NULL)
		die("out of memory");
	atomic_store(&b->snapshot_taken, true);
	do
	{
		last = atomic_load(&b->done); /* once more after all updates */
		scan(b, snapshot);
		for (int ms = 0; ms < b->pause_ms && !atomic_load(&b->done); ms += 10)
			usleep(10000);
	} while (!last);
	penstock_snapshot_end(snapshot);
	return NULL;
}

static void
look_once(bench *b)
{
	penstock_snapshot *snapshot = pen_memory_store_snapshot(b->store);

	if (snapshot == NULL)
		die("out of memory");
	scan(b, snapshot);
	penstock_snapshot_end(snapshot);
}

/* ---- runs ---- */

typedef struct result
{
	double updates_a_second;
	double waited_ms;  /* for a lock, or for the processor */
	double freeing_ms; /* of what the snapshot held */
} result;

static result
run(bench *b, bool with_reader)
{
	uint32_t transactions = b->updates / CHANGES_A_TRANSACTION;
	uint32_t warm_up = transactions / 10;
	pthread_t reader;
	double start_wall;
	double start;
	double used;
	result r;

	foresee_sums(b, transactions + warm_up);
	atomic_store(&b->snapshot_taken, false);
	atomic_store(&b->done, false);
	if (with_reader && pthread_create(&reader, NULL, read_on, b) != 0)
		die("could not start a thread");
	for (uint32_t t = 0; t < warm_up; t++)
		apply_transaction(b);
	while (with_reader && !atomic_load(&b->snapshot_taken))
		sched_yield();
	start_wall = now_s(CLOCK_MONOTONIC);
	start = now_s(CLOCK_THREAD_CPUTIME_ID);
	for (uint32_t t = 0; t < transactions; t++)
		apply_transaction(b);
	used = now_s(CLOCK_THREAD_CPUTIME_ID) - start;
	r.updates_a_second = b->updates / used;
	r.waited_ms = (now_s(CLOCK_MONOTONIC) - start_wall - used) * 1000;
	atomic_store(&b->done, true);
	if (with_reader)
		pthread_join(reader, NULL);
	start = now_s(CLOCK_THREAD_CPUTIME_ID);
	while (pen_memory_collect(b->store))
		;
	r.freeing_ms = (now_s(CLOCK_THREAD_CPUTIME_ID) - start) * 1000;
	look_once(b);
	return r;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *) a;
	double y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(const double *values, int count)
{
	double sorted[PAIRS_MAX];

	memcpy(sorted, values, (size_t) count * sizeof(*values));
	qsort(sorted, (size_t) count, sizeof(*sorted), compare_doubles);
	return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static int
compare(bench *b, int pairs)
{
	double without[PAIRS_MAX];
	double with[PAIRS_MAX];
	double ratios[PAIRS_MAX];

	(void) run(b, true); /* so that memory has been touched before it counts */
	printf("%u rows, %u updates a run, %d in a transaction\n\n", b->rows, b->updates,
		   CHANGES_A_TRANSACTION);
	printf("%6s %18s %18s %7s %8s %16s %10s\n", "", "without a reader", "with a reader", "ratio",
		   "scans", "waited", "freeing");
	for (int i = 0; i < pairs; i++)
	{
		result alone = run(b, false);
		int scans_before = b->scans;
		result read = run(b, true);

		without[i] = alone.updates_a_second;
		with[i] = read.updates_a_second;
		ratios[i] = with[i] / without[i];
		printf("%6d %16.0f/s %16.0f/s %7.3f %8d %5.0f, %6.0f ms %7.0f ms\n", i + 1, without[i],
			   with[i], ratios[i], b->scans - scans_before - 1, alone.waited_ms, read.waited_ms,
			   read.freeing_ms);
		fflush(stdout);
	}
	printf("%6s %16.0f/s %16.0f/s %7.3f\n\n", "median", median(without, pairs), median(with, pairs),
		   median(ratios, pairs));
	printf("%d scans, %d of them with a sum that is not that of the snapshot's LSN\n", b->scans,
		   atomic_load(&b->wrong));
	return atomic_load(&b->wrong) == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	bench b = {.rows = 1000000, .updates = 4000000};
	int pairs = 5;
	int option;
	int exit_code;

	while ((option = getopt(argc, argv, "r:u:n:p:")) != -1)
	{
		if (option == 'r')
			b.rows = (uint32_t) strtoul(optarg, NULL, 10);
		else if (option == 'u')
			b.updates = (uint32_t) strtoul(optarg, NULL, 10);
		else if (option == 'n')
			pairs = atoi(optarg);
		else if (option == 'p')
			b.pause_ms = atoi(optarg);
		else
			return 2;
	}
	b.updates -= b.updates % CHANGES_A_TRANSACTION;
	if (b.rows == 0 || b.updates == 0 || pairs < 1 || pairs > PAIRS_MAX)
		return 2;
	b.sum_count = b.updates / CHANGES_A_TRANSACTION * 2 + 1;
	b.store = pen_memory_store_new(0);
	b.relation = make_relation();
	b.changes = malloc(b.updates * sizeof(*b.changes));
	b.amounts = calloc(b.rows, sizeof(*b.amounts));
	b.sums = calloc(b.sum_count, sizeof(*b.sums));
	pen_buffer_init(&b.encoded);
	if (b.store == NULL || b.changes == NULL || b.amounts == NULL || b.sums == NULL)
		die("out of memory");
	stay_on_core(0);
	load(&b);
	prepare_changes(&b);
	exit_code = compare(&b, pairs);
	pen_memory_store_free(b.store);
	pen_relation_unref(b.relation);
	pen_buffer_reset(&b.encoded);
	free(b.changes);
	free(b.amounts);
	free(b.sums);
	return exit_code;
}
