/* generator.c -- what people do to databases, and what they should not do, at random.
 * It does not look at the model: what cannot be done is left out when it is its turn. */
#include "generator.h"

#include <string.h>

#include "faults.h"
#include "model.h"
#include "random.h"
#include "values.h"

#define IDS            40 /* most changes meet, as there are few ids */
#define MEDIUM_MAX     600
#define LARGE_ID       1000
#define LARGE_MAX      20000
#define VERY_LARGE_MAX 100000

typedef struct generator
{
	sim_random random;
	sim_history *history;
	int table_count;
	bool may_be_large[SIM_TABLES_MAX]; /* rows have keys, and are not long themselves */
	bool open[SIM_SESSIONS];
	bool may_be_very_large;
} generator;

static void
add(generator *g, sim_step_kind kind, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e)
{
	sim_history_add(g->history, (sim_step){.kind = kind, .args = {a, b, c, d, e}});
}

static long
number(generator *g, long least, long most)
{
	return sim_random_between(&g->random, least, most);
}

static bool
chance(generator *g, uint32_t percent)
{
	return sim_random_chance(&g->random, percent);
}

static int64_t
seed_of_values(generator *g)
{
	return (int64_t) (sim_random_next(&g->random) >> 40);
}

/* ---- options ---- */

static void
option(generator *g, sim_option which, uint32_t percent, const int64_t *values, int count)
{
	bool set = chance(g, percent);
	int64_t value = values[number(g, 0, count - 1)];

	if (set)
		add(g, SIM_OPTION, (int64_t) which, value, 0, 0, 0);
}

#define OPTION(g, which, percent, ...)                                                             \
	option(g, which, percent, (const int64_t[]){__VA_ARGS__},                                      \
		   sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void
choose_options(generator *g)
{
	OPTION(g, SIM_STREAMING, 25, 0);
	OPTION(g, SIM_TWO_PHASE, 40, 1);
	OPTION(g, SIM_STATE_DIR, 60, 1);
	OPTION(g, SIM_SEPARATE, 30, 1);
	OPTION(g, SIM_BATCH_ROWS, 60, 1, 2, 7, 16, 17, 50, 300);
	OPTION(g, SIM_BATCH_BYTES, 40, 0, 1000, 20000, 1 << 20);
	OPTION(g, SIM_BATCH_MS, 40, 0, 1, 5, 300);
	OPTION(g, SIM_SPOOL_BYTES, 20, 0, 1 << 20);
	OPTION(g, SIM_MEMORY_LIMIT, 30, 16 << 20);
	OPTION(g, SIM_WORK_MEM, 60, 64);
}

/* ---- tables ---- */

static void
new_column(generator *g, int session, int table)
{
	int type = (int) number(g, 0, sim_type_count - 1);

	g->may_be_large[table] = g->may_be_large[table] && type != SIM_TYPE_LONG;
	add(g, SIM_COLUMN, session, table, type, seed_of_values(g), 0);
}

static int
choose_key(generator *g)
{
	return chance(g, 35) ? SIM_KEY_INT : (int) number(g, 0, sim_key_count - 1);
}

static char
choose_identity(generator *g, int key)
{
	if (!sim_keys[key].unique)
		return chance(g, 70) ? 'f' : chance(g, 50) ? 'd' : 'n';
	return chance(g, 55) ? 'd' : chance(g, 50) ? 'f' : chance(g, 80) ? 'i' : 'n';
}

static void
new_table(generator *g, int session)
{
	int table = g->table_count;
	int key = choose_key(g);
	char identity = choose_identity(g, key);
	long parts =
		sim_keys[key].part_count == 0 && sim_keys[key].unique && identity != 'i' && chance(g, 25)
			? number(g, 2, 4)
			: 0;

	if (table == SIM_TABLES_MAX)
		return;
	g->table_count++;
	g->may_be_large[table] = sim_keys[key].unique != 0;
	add(g, SIM_TABLE, session, table, key, identity, parts);
	for (long n = number(g, 0, number(g, 1, 9)); n > 0; n--)
		new_column(g, session, table);
}

/* ---- changes ---- */

static int
any_table(generator *g)
{
	return (int) number(g, 0, g->table_count - 1);
}

/* Mostly a few ids of those that are in use. */
static void
any_range(generator *g, int64_t *first, int64_t *last)
{
	if (chance(g, 93))
	{
		*first = number(g, 1, IDS);
		*last = *first + (chance(g, 60) ? 0 : number(g, 0, 6));
	}
	else
	{
		*first = number(g, 1, 2 * IDS);
		*last = *first + number(g, 10, MEDIUM_MAX);
	}
}

static void
insert(generator *g, int session, int table)
{
	int64_t first;
	int64_t last;

	any_range(g, &first, &last);
	add(g, chance(g, 25) ? SIM_COPY : SIM_INSERT, session, table, first, last, seed_of_values(g));
}

static void
update(generator *g, int session, int table)
{
	int64_t first;
	int64_t last;

	any_range(g, &first, &last);
	add(g, SIM_UPDATE, session, table, first, last, seed_of_values(g));
}

static void
delete_some(generator *g, int session, int table)
{
	int64_t first;
	int64_t last;

	any_range(g, &first, &last);
	add(g, SIM_DELETE, session, table, first, last, 0);
}

/* To another id, along a chain, or only to another way to write it. */
static void
rekey(generator *g, int session, int table)
{
	int64_t id = number(g, 1, IDS);

	if (chance(g, 20))
		add(g, SIM_SWAP, session, table, id, number(g, 1, IDS), 0);
	else if (chance(g, 25))
	{
		for (int i = 0; i < 3; i++)
			add(g, SIM_REKEY, session, table, id + i, id + i - 1, number(g, 0, 9));
	}
	else
		add(g, SIM_REKEY, session, table, id, chance(g, 40) ? id : number(g, 1, IDS + 10),
			number(g, 0, 9));
}

/* Rows that come, change and go again; fewer where each is looked for among all, or is long. */
static void
large(generator *g, int session, int table)
{
	int64_t first = LARGE_ID * number(g, 1, 5);
	int64_t last = first + number(g, MEDIUM_MAX, LARGE_MAX);

	if (!g->may_be_large[table])
		last = first + 2 * MEDIUM_MAX;
	else if (g->may_be_very_large)
	{
		last = first + VERY_LARGE_MAX;
		g->may_be_very_large = false;
	}
	switch (number(g, 0, 3))
	{
		case 0:
		case 1:
			add(g, SIM_COPY, session, table, first, last, seed_of_values(g));
			break;
		case 2:
			add(g, SIM_UPDATE, session, table, first, last, seed_of_values(g));
			break;
		default:
			add(g, SIM_DELETE, session, table, first, last, 0);
	}
}

/* Enough to be streamed before it is taken back. */
static void
taken_back(generator *g, int session, int table)
{
	int64_t first = number(g, 1, LARGE_ID);

	add(g, SIM_SAVEPOINT, session, 0, 0, 0, 0);
	for (long n = number(g, 1, 3); n > 0; n--)
		add(g, chance(g, 60) ? SIM_COPY : SIM_UPDATE, session, table, first,
			first + number(g, IDS, 2 * MEDIUM_MAX), seed_of_values(g));
	add(g, SIM_ROLLBACK_TO, session, 0, 0, 0, 0);
}

static void
definition(generator *g, int session, int table)
{
	long what = number(g, 0, 9);

	if (what < 5)
		new_column(g, session, table);
	else if (what < 7)
		add(g, SIM_DROP_COLUMN, session, table, number(g, 0, 9), 0, 0);
	else if (what < 8)
		new_table(g, session);
	else if (what < 9)
		add(g, SIM_IDENTITY, session, table, chance(g, 50) ? 'f' : 'd', 0, 0);
	else
		add(g, SIM_DROP_TABLE, session, table, 0, 0, 0);
}

static void
change(generator *g, int session, int table)
{
	long what = number(g, 0, 999);

	if (what < 340)
		insert(g, session, table);
	else if (what < 620)
		update(g, session, table);
	else if (what < 770)
		delete_some(g, session, table);
	else if (what < 880)
		rekey(g, session, table);
	else if (what < 930)
		add(g, SIM_DELETE_ONE, session, table, number(g, 1, IDS), 0, 0);
	else if (what < 945)
		add(g, SIM_TRUNCATE, session, table, chance(g, 30) ? any_table(g) : table, 0, 0);
	else if (what < 960)
		add(g, SIM_MESSAGE, session, chance(g, 50), 0, 0, 0);
	else if (what < 970)
		large(g, session, table);
	else if (what < 990)
		definition(g, session, table);
	else /* all in one: the same rows again and again */
	{
		insert(g, session, table);
		update(g, session, table);
		rekey(g, session, table);
		update(g, session, table);
		delete_some(g, session, table);
		insert(g, session, table);
	}
}

/* ---- transactions ---- */

static void
some_changes(generator *g, int session)
{
	int table = any_table(g);

	for (long n = number(g, 1, chance(g, 20) ? 15 : 4); n > 0; n--)
	{
		if (chance(g, 40))
			table = any_table(g);
		change(g, session, table);
		if (chance(g, 3))
			taken_back(g, session, table);
		if (chance(g, 10))
			add(g, SIM_SAVEPOINT, session, 0, 0, 0, 0);
		if (chance(g, 6))
			add(g, SIM_ROLLBACK_TO, session, 0, 0, 0, 0);
		if (chance(g, 3))
			add(g, SIM_RELEASE, session, 0, 0, 0, 0);
	}
}

static void
end(generator *g, int session)
{
	long what = number(g, 0, 99);

	add(g, what < 84 ? SIM_COMMIT : what < 92 ? SIM_ROLLBACK : SIM_PREPARE, session, 0, 0, 0, 0);
	g->open[session] = false;
}

/* Alone, or among others: of several sessions, some stay open meanwhile. */
static void
transaction(generator *g)
{
	int session = chance(g, 70) ? 0 : (int) number(g, 0, SIM_SESSIONS - 1);

	if (!g->open[session] && chance(g, 30))
	{
		change(g, session, any_table(g)); /* a transaction of one statement */
		return;
	}
	if (!g->open[session])
		add(g, SIM_BEGIN, session, 0, 0, 0, 0);
	g->open[session] = true;
	some_changes(g, session);
	if (chance(g, 80))
		end(g, session);
}

static void
happening(generator *g)
{
	long what = number(g, 0, 99);

	if (what < 82)
		transaction(g);
	else if (what < 86)
		add(g, chance(g, 75) ? SIM_COMMIT_PREPARED : SIM_ROLLBACK_PREPARED, number(g, 0, 5), 0, 0,
			0, 0);
	else if (what < 94)
		add(g, SIM_COMPARE, 0, 0, 0, 0, 0);
	else if (what < 96)
		add(g, SIM_SETTLE, 0, 0, 0, 0, 0);
	else if (what < 98)
		add(g, SIM_FREEZE, 0, 0, 0, 0, 0);
	else
		add(g, SIM_THAW, 0, 0, 0, 0, 0);
}

/* What is broken stays so for a while, or until it must be well again. */
static void
fault(generator *g)
{
	add(g, SIM_FAULT, number(g, 0, SIM_FAULTS_MENDED - 1), number(g, 0, 2), number(g, 0, 99), 0, 0);
}

/* After which the program may refuse to go on. */
static void
last_fault(generator *g)
{
	add(g, SIM_FAULT, number(g, SIM_FAULTS_MENDED, SIM_FAULTS - 1), number(g, 0, 2), 0, 0, 0);
	happening(g);
	happening(g);
}

void
sim_generate(sim_history *history, uint64_t seed, long steps, bool faults)
{
	generator g = {.history = history};
	long before = 0;

	memset(history, 0, sizeof(*history));
	history->seed = seed;
	sim_random_init(&g.random, seed);
	choose_options(&g);
	for (long n = number(&g, 1, number(&g, 1, 20)); n > 0; n--)
		new_table(&g, 0);
	g.may_be_very_large = chance(&g, 10);
	if (chance(&g, 50))
		before = number(&g, 1, 10);
	for (long n = 0; n < steps; n++)
	{
		if (n == before)
			add(&g, SIM_START, 0, 0, 0, 0, 0);
		if (faults && n >= before && chance(&g, 6))
			fault(&g);
		happening(&g);
	}
	if (faults && chance(&g, 30))
		last_fault(&g);
}
