/* history.c -- histories as text: a line a step, # before a remark. */
#include "history.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "report.h"

const sim_step_form sim_step_forms[SIM_STEP_KINDS] = {
	[SIM_OPTION] = {"option", 2, "NAME VALUE"},
	[SIM_TABLE] = {"table", 5, "session table key identity partitions"},
	[SIM_COLUMN] = {"column", 4, "session table type seed"},
	[SIM_DROP_COLUMN] = {"drop_column", 3, "session table which"},
	[SIM_DROP_TABLE] = {"drop_table", 2, "session table"},
	[SIM_IDENTITY] = {"identity", 3, "session table identity"},
	[SIM_INSERT] = {"insert", 5, "session table first last seed"},
	[SIM_COPY] = {"copy", 5, "session table first last seed"},
	[SIM_UPDATE] = {"update", 5, "session table first last seed"},
	[SIM_REKEY] = {"rekey", 5, "session table id new_id variant"},
	[SIM_SWAP] = {"swap", 4, "session table id other_id"},
	[SIM_DELETE] = {"delete", 4, "session table first last"},
	[SIM_DELETE_ONE] = {"delete_one", 3, "session table id"},
	[SIM_TRUNCATE] = {"truncate", 3, "session table other_table"},
	[SIM_MESSAGE] = {"message", 2, "session transactional"},
	[SIM_BEGIN] = {"begin", 1, "session"},
	[SIM_SAVEPOINT] = {"savepoint", 1, "session"},
	[SIM_ROLLBACK_TO] = {"rollback_to", 1, "session"},
	[SIM_RELEASE] = {"release", 1, "session"},
	[SIM_COMMIT] = {"commit", 1, "session"},
	[SIM_ROLLBACK] = {"rollback", 1, "session"},
	[SIM_PREPARE] = {"prepare", 1, "session"},
	[SIM_COMMIT_PREPARED] = {"commit_prepared", 1, "which"},
	[SIM_ROLLBACK_PREPARED] = {"rollback_prepared", 1, "which"},
	[SIM_START] = {"start", 0, ""},
	[SIM_COMPARE] = {"compare", 0, ""},
	[SIM_SETTLE] = {"settle", 0, ""},
	[SIM_FREEZE] = {"freeze", 0, ""},
	[SIM_THAW] = {"thaw", 0, ""},
	[SIM_FAULT] = {"fault", 3, "WHAT where parameter"},
};

const char *const sim_option_words[SIM_OPTIONS + 1] = {
	[SIM_STREAMING] = "streaming",       [SIM_TWO_PHASE] = "two_phase",
	[SIM_STATE_DIR] = "state_dir",       [SIM_SEPARATE] = "separate",
	[SIM_BATCH_ROWS] = "batch_rows",     [SIM_BATCH_BYTES] = "batch_bytes",
	[SIM_BATCH_MS] = "batch_ms",         [SIM_SPOOL_BYTES] = "spool_bytes",
	[SIM_MEMORY_LIMIT] = "memory_limit", [SIM_WORK_MEM] = "work_mem",
};

static const int64_t usual[SIM_OPTIONS] = {
	[SIM_STREAMING] = 1,    [SIM_TWO_PHASE] = 0,         [SIM_STATE_DIR] = 0,
	[SIM_SEPARATE] = 0,     [SIM_BATCH_ROWS] = 100000,   [SIM_BATCH_BYTES] = 8 << 20,
	[SIM_BATCH_MS] = 20,    [SIM_SPOOL_BYTES] = 1 << 30, [SIM_MEMORY_LIMIT] = 1 << 30,
	[SIM_WORK_MEM] = 65536,
};

/* ---- in memory ---- */

void
sim_history_reset(sim_history *history)
{
	free(history->steps);
	memset(history, 0, sizeof(*history));
}

void
sim_history_add(sim_history *history, sim_step step)
{
	sim_step *steps = realloc(history->steps, (history->count + 1) * sizeof(*steps));

	if (steps == NULL)
		sim_die("out of memory");
	history->steps = steps;
	history->steps[history->count++] = step;
}

int64_t
sim_history_option(const sim_history *history, sim_option option)
{
	for (size_t i = 0; i < history->count; i++)
	{
		const sim_step *step = &history->steps[i];

		if (step->kind == SIM_OPTION && step->args[0] == (int64_t) option)
			return step->args[1];
	}
	return usual[option];
}

/* ---- as text ---- */

/* The words of a kind's first argument, or NULL. */
static const char *const *
words_of(sim_step_kind kind)
{
	return kind == SIM_OPTION ? sim_option_words : kind == SIM_FAULT ? sim_fault_words : NULL;
}

void
sim_step_print(FILE *out, const sim_step *step)
{
	const sim_step_form *form = &sim_step_forms[step->kind];
	const char *const *words = words_of(step->kind);

	fputs(form->word, out);
	for (int i = 0; i < form->count; i++)
	{
		if (i == 0 && words != NULL)
			fprintf(out, " %s", words[step->args[0]]);
		else
			fprintf(out, " %" PRId64, step->args[i]);
	}
}

static void
print_lines(FILE *out, const char *text)
{
	while (*text != '\0')
	{
		size_t length = strcspn(text, "\n");

		fprintf(out, "# %.*s\n", (int) length, text);
		text += length + (text[length] == '\n');
	}
}

bool
sim_history_write(const sim_history *history, const char *path, const char *remark)
{
	FILE *out = fopen(path, "w");

	if (out == NULL)
	{
		fprintf(stderr, "penstock-sim: could not write %s: %s\n", path, strerror(errno));
		return false;
	}
	print_lines(out, remark);
	for (size_t i = 0; i < history->count; i++)
	{
		sim_step_print(out, &history->steps[i]);
		putc('\n', out);
	}
	return fclose(out) == 0;
}

static bool
find_word(const char *word, const char *const *words, int64_t *number)
{
	for (int i = 0; words[i] != NULL; i++)
	{
		if (strcmp(words[i], word) == 0)
		{
			*number = i;
			return true;
		}
	}
	return false;
}

static bool
find_kind(const char *word, sim_step_kind *kind)
{
	for (int i = 0; i < SIM_STEP_KINDS; i++)
	{
		if (strcmp(sim_step_forms[i].word, word) == 0)
		{
			*kind = (sim_step_kind) i;
			return true;
		}
	}
	return false;
}

/* line is taken apart. */
static bool
parse_step(char *line, sim_step *step)
{
	char *rest = NULL;
	char *word = strtok_r(line, " \t\n", &rest);
	const char *const *words;

	memset(step, 0, sizeof(*step));
	if (!find_kind(word, &step->kind))
		return false;
	words = words_of(step->kind);
	for (int i = 0; i < sim_step_forms[step->kind].count; i++)
	{
		char *end = NULL;

		word = strtok_r(NULL, " \t\n", &rest);
		if (word == NULL)
			return false;
		if (i == 0 && words != NULL)
		{
			if (!find_word(word, words, &step->args[0]))
				return false;
			continue;
		}
		step->args[i] = strtoll(word, &end, 10);
		if (*end != '\0')
			return false;
	}
	return strtok_r(NULL, " \t\n", &rest) == NULL;
}

bool
sim_history_read(sim_history *history, const char *path)
{
	FILE *in = fopen(path, "r");
	char line[8192]; /* a comment tells of the failure */
	int number = 0;
	bool ok = in != NULL;

	memset(history, 0, sizeof(*history));
	if (in == NULL)
		fprintf(stderr, "penstock-sim: could not read %s: %s\n", path, strerror(errno));
	while (ok && fgets(line, sizeof(line), in) != NULL)
	{
		sim_step step;

		number++;
		if (line[strspn(line, " \t\n")] == '\0' || line[0] == '#')
			continue;
		ok = parse_step(line, &step);
		if (ok)
			sim_history_add(history, step);
		else
			fprintf(stderr, "penstock-sim: %s, line %d: no step\n", path, number);
	}
	if (in != NULL)
		fclose(in);
	return ok;
}
