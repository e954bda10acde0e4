/* main.c -- penstock-sim: histories from seeds, or from files.
 *
 *     penstock-sim [--seed N] [--seeds N] [--steps N] [--faults] [--shrink SECONDS] FOLDER
 *     penstock-sim --replay FILE [--replay FILE ...] FOLDER
 *     penstock-sim --print [--seed N] [--steps N] [--faults]
 *
 * FOLDER has the clusters: source, sets and ordered. A history that fails is shrunk, and written to
 * FOLDER/failed-SEED.sim. Exit code 0: all went well, 1: a failure, 2: it could not be tried. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "generator.h"
#include "report.h"
#include "run.h"
#include "shrink.h"
#include "servers.h"

#define REPLAYS_MAX 200
#define SHRINK_S    120
#define SHOWN_MAX   60 /* lines */

typedef struct arguments
{
	uint64_t seed;
	long seeds;
	long steps;
	bool faults;
	bool print;
	long shrink_s;
	const char *replays[REPLAYS_MAX];
	long replay_count;
	const char *folder;
} arguments;

static double
now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

/* ---- one history ---- */

static void
report(const sim_history *history, const sim_outcome *outcome, double seconds)
{
	printf("%s, %zu lines: %ld transactions, %ld rows inserted, %ld comparisons, %.1f s\n",
		   outcome->failure.is ? "FAILED"
		   : outcome->refused  ? "ok, refused"
							   : "ok",
		   history->count, outcome->transactions, outcome->rows, outcome->comparisons, seconds);
	if (!outcome->failure.is)
		return;
	if (outcome->failed_step > 0)
	{
		printf("  at line %ld: ", outcome->failed_step);
		sim_step_print(stdout, &history->steps[outcome->failed_step - 1]);
		putchar('\n');
	}
	else
		puts("  at the end");
	printf("  %s\n", outcome->failure.text);
}

static bool
try_history(const arguments *args, const sim_history *history, sim_outcome *outcome)
{
	double began = now_s();

	sim_run(history, args->folder, outcome);
	report(history, outcome, now_s() - began);
	return !outcome->failure.is;
}

/* A small history that fails, too, in a file and on stdout. */
static void
keep(const arguments *args, sim_history *history, sim_outcome *outcome)
{
	char path[600];
	char remark[5000];

	if (args->shrink_s > 0)
		sim_shrink(history, args->folder, args->shrink_s, outcome);
	snprintf(path, sizeof(path), "%.500s/failed-%" PRIu64 ".sim", args->folder, history->seed);
	snprintf(remark, sizeof(remark), "seed %" PRIu64 ", %ld steps, %s faults\n%s", history->seed,
			 args->steps, args->faults ? "with" : "without", outcome->failure.text);
	if (!sim_history_write(history, path, remark))
		return;
	printf("  failed-%" PRIu64 ".sim, shrunk to %zu lines:\n  %s\n", history->seed, history->count,
		   outcome->failure.text);
	for (size_t i = 0; i < history->count && i < SHOWN_MAX; i++)
	{
		fputs("    ", stdout);
		sim_step_print(stdout, &history->steps[i]);
		putchar('\n');
	}
}

/* ---- the program ---- */

static int
replay(const arguments *args)
{
	int failed = 0;

	for (long i = 0; i < args->replay_count; i++)
	{
		sim_history history;
		sim_outcome outcome;

		if (!sim_history_read(&history, args->replays[i]))
			exit(2);
		printf("%s: ", args->replays[i]);
		fflush(stdout);
		failed += !try_history(args, &history, &outcome);
		sim_history_reset(&history);
	}
	return failed;
}

static int
try_seeds(const arguments *args)
{
	int failed = 0;

	for (long n = 0; n < args->seeds; n++)
	{
		uint64_t seed = args->seed + (uint64_t) n;
		sim_history history;
		sim_outcome outcome;

		sim_generate(&history, seed, args->steps, args->faults);
		printf("seed %" PRIu64 ": ", seed);
		fflush(stdout);
		if (!try_history(args, &history, &outcome))
		{
			failed++;
			keep(args, &history, &outcome);
		}
		sim_history_reset(&history);
	}
	return failed;
}

static int
print(const arguments *args)
{
	sim_history history;

	sim_generate(&history, args->seed, args->steps, args->faults);
	for (size_t i = 0; i < history.count; i++)
	{
		sim_step_print(stdout, &history.steps[i]);
		putchar('\n');
	}
	sim_history_reset(&history);
	return 0;
}

static bool
parse(arguments *args, int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},   {"seeds", required_argument, NULL, 'n'},
		{"steps", required_argument, NULL, 'l'},  {"faults", no_argument, NULL, 'f'},
		{"replay", required_argument, NULL, 'r'}, {"print", no_argument, NULL, 'p'},
		{"shrink", required_argument, NULL, 'k'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (c)
		{
			case 's':
				args->seed = strtoull(optarg, NULL, 10);
				break;
			case 'n':
				args->seeds = strtol(optarg, NULL, 10);
				break;
			case 'l':
				args->steps = strtol(optarg, NULL, 10);
				break;
			case 'f':
				args->faults = true;
				break;
			case 'r':
				if (args->replay_count == REPLAYS_MAX)
					return false;
				args->replays[args->replay_count++] = optarg;
				break;
			case 'p':
				args->print = true;
				break;
			case 'k':
				args->shrink_s = strtol(optarg, NULL, 10);
				break;
			default:
				return false;
		}
	}
	args->folder = optind < argc ? argv[optind] : NULL;
	return args->print || args->folder != NULL;
}

int
main(int argc, char **argv)
{
	int failed;
	arguments args = {.seed = 1, .seeds = 1, .steps = 100, .shrink_s = SHRINK_S};

	if (!parse(&args, argc, argv))
	{
		fputs(
			"usage: penstock-sim [--seed N] [--seeds N] [--steps N] [--faults] [--shrink SECONDS] "
			"FOLDER\n       penstock-sim --replay FILE FOLDER\n       penstock-sim --print\n",
			stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (args.print)
		return print(&args);
	sim_servers_in(args.folder);
	failed = args.replay_count > 0 ? replay(&args) : try_seeds(&args);
	printf("sim: %ld histories, %d failed\n",
		   args.replay_count > 0 ? args.replay_count : args.seeds, failed);
	return failed == 0 ? 0 : 1;
}
