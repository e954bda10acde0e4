/* history.h -- what is done, step by step, as it stands in a file.
 * A step says what is tried. What cannot be done where it stands (a row that is not there, a table
 * that another transaction has changed) is left out by model and source alike, so that a history
 * stays one when steps are taken out of it. */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_ARGS_MAX 6
#define SIM_SESSIONS 3

typedef enum sim_step_kind
{
	SIM_OPTION, /* of the run; before all others */
	/* Of a session: its number comes first. */
	SIM_TABLE,
	SIM_COLUMN,
	SIM_DROP_COLUMN,
	SIM_DROP_TABLE,
	SIM_IDENTITY,
	SIM_INSERT,
	SIM_COPY,
	SIM_UPDATE,
	SIM_REKEY,
	SIM_SWAP,
	SIM_DELETE,
	SIM_DELETE_ONE,
	SIM_TRUNCATE,
	SIM_MESSAGE,
	SIM_BEGIN,
	SIM_SAVEPOINT,
	SIM_ROLLBACK_TO,
	SIM_RELEASE,
	SIM_COMMIT,
	SIM_ROLLBACK,
	SIM_PREPARE,
	/* Of nobody. */
	SIM_COMMIT_PREPARED,
	SIM_ROLLBACK_PREPARED,
	SIM_START,
	SIM_COMPARE,
	SIM_SETTLE,
	SIM_FREEZE,
	SIM_THAW,
	SIM_FAULT,
	SIM_STEP_KINDS
} sim_step_kind;

typedef struct sim_step
{
	sim_step_kind kind;
	int64_t args[SIM_ARGS_MAX];
} sim_step;

/* How a kind is written: its word, and the names of its arguments. The first argument of an option
 * and of a fault is written as a word, too. */
typedef struct sim_step_form
{
	const char *word;
	int count;
	const char *arguments;
} sim_step_form;

extern const sim_step_form sim_step_forms[SIM_STEP_KINDS];

typedef enum sim_option
{
	SIM_STREAMING,
	SIM_TWO_PHASE,
	SIM_STATE_DIR,
	SIM_SEPARATE, /* a process for each database */
	SIM_BATCH_ROWS,
	SIM_BATCH_BYTES,
	SIM_BATCH_MS,
	SIM_SPOOL_BYTES,
	SIM_MEMORY_LIMIT,
	SIM_WORK_MEM, /* logical_decoding_work_mem of the source, in kB */
	SIM_OPTIONS
} sim_option;

extern const char *const sim_option_words[SIM_OPTIONS + 1];

typedef struct sim_history
{
	uint64_t seed; /* that it was made from */
	sim_step *steps;
	size_t count;
} sim_history;

extern void sim_history_reset(sim_history *history);
extern void sim_history_add(sim_history *history, sim_step step);

/* What an option was set to, or its usual value. */
extern int64_t sim_history_option(const sim_history *history, sim_option option);

extern void sim_step_print(FILE *out, const sim_step *step);

/* False, and a message on stderr. */
extern bool sim_history_write(const sim_history *history, const char *path, const char *remark);
extern bool sim_history_read(sim_history *history, const char *path);

#endif
