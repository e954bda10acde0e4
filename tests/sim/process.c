/* process.c -- fork, exec, signals and a log. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"

#define ARGUMENTS_MAX 40
#define END_TRIES     400 /* of 50 ms */
#define TAIL_LINES    12

typedef struct arguments
{
	char texts[ARGUMENTS_MAX][800];
	char *pointers[ARGUMENTS_MAX + 1];
	int count;
} arguments;

static void __attribute__((format(printf, 2, 3))) add(arguments *args, const char *format, ...)
{
	va_list values;

	if (args->count == ARGUMENTS_MAX)
		sim_die("too many arguments");
	va_start(values, format);
	vsnprintf(args->texts[args->count], sizeof(args->texts[0]), format, values);
	va_end(values);
	args->pointers[args->count] = args->texts[args->count];
	args->pointers[++args->count] = NULL;
}

static void
add_option(arguments *args, const sim_history *history, const char *name, sim_option option)
{
	add(args, "--%s=%" PRId64, name, sim_history_option(history, option));
}

static void
make_arguments(arguments *args, const sim_process *process, const char *database,
			   const sim_history *history)
{
	char conninfo[700];

	add(args, "penstock");
	add(args, "run");
	sim_server_conninfo(SIM_SOURCE, database, conninfo, sizeof(conninfo));
	add(args, "--source=%s", conninfo);
	add(args, "--slot=%s", process->slot);
	add(args, "--progress-interval=100ms");
	add(args, "--status-interval=100ms");
	add(args, "--verbose");
	for (int i = SIM_DESTINATIONS_FROM; i < SIM_SERVERS; i++)
	{
		sim_server_conninfo((sim_server) i, database, conninfo, sizeof(conninfo));
		if (process->fed[i])
			add(args, "--to=%s=%s", sim_server_names[i], conninfo);
	}
	if (sim_history_option(history, SIM_STATE_DIR) != 0)
		add(args, "--state-dir=%s", process->state_dir);
	if (sim_history_option(history, SIM_TWO_PHASE) != 0)
		add(args, "--two-phase");
	if (sim_history_option(history, SIM_STREAMING) == 0)
		add(args, "--streaming=off");
	add_option(args, history, "batch-rows-max", SIM_BATCH_ROWS);
	add_option(args, history, "batch-bytes-max", SIM_BATCH_BYTES);
	add_option(args, history, "batch-ms", SIM_BATCH_MS);
	add_option(args, history, "memory-limit", SIM_MEMORY_LIMIT);
	if (sim_history_option(history, SIM_STATE_DIR) != 0)
		add_option(args, history, "spool-bytes-max", SIM_SPOOL_BYTES);
}

static void
become(const arguments *args, const char *log)
{
	const char *program = getenv("PENSTOCK");
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(program != NULL ? program : "penstock", args->pointers);
	perror("penstock");
	_exit(127);
}

void
sim_process_start(sim_process *process, const char *database, const sim_history *history)
{
	static arguments args; /* large */

	memset(&args, 0, sizeof(args));
	make_arguments(&args, process, database, history);
	process->frozen = false;
	process->pid = fork();
	if (process->pid < 0)
		sim_die("fork: %s", strerror(errno));
	if (process->pid == 0)
		become(&args, process->log);
}

static void
take_status(sim_process *process, int status)
{
	process->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	process->pid = 0;
}

bool
sim_process_has_ended(sim_process *process)
{
	int status;

	if (process->pid != 0 && waitpid(process->pid, &status, WNOHANG) == process->pid)
		take_status(process, status);
	return process->pid == 0;
}

void
sim_process_end(sim_process *process, int signal)
{
	if (process->pid == 0)
		return;
	if (process->frozen && signal != SIGKILL)
		sim_process_freeze(process, false);
	kill(process->pid, signal);
	for (int i = 0; i < END_TRIES; i++)
	{
		if (sim_process_has_ended(process))
			return;
		usleep(i == 0 ? 1000 : 50000);
	}
	kill(process->pid, SIGKILL);
	while (!sim_process_has_ended(process))
		usleep(1000);
}

void
sim_process_freeze(sim_process *process, bool frozen)
{
	if (process->pid != 0 && process->frozen != frozen)
		kill(process->pid, frozen ? SIGSTOP : SIGCONT);
	process->frozen = frozen && process->pid != 0;
}

/* ---- the log ---- */

/* From an offset to its end, for free(). */
static char *
read_log(const sim_process *process, long from)
{
	FILE *in = fopen(process->log, "r");
	long length = sim_process_log_length(process);
	char *text = calloc(1, (size_t) (length > from ? length - from : 0) + 1);

	if (text == NULL)
		sim_die("out of memory");
	if (in != NULL && length > from && fseek(in, from, SEEK_SET) == 0)
		(void) !fread(text, 1, (size_t) (length - from), in);
	if (in != NULL)
		fclose(in);
	return text;
}

bool
sim_process_said(const sim_process *process, const char *text, long from)
{
	char *log = read_log(process, from);
	bool said = strstr(log, text) != NULL;

	free(log);
	return said;
}

long
sim_process_log_length(const sim_process *process)
{
	FILE *in = fopen(process->log, "r");
	long length = 0;

	if (in != NULL)
	{
		fseek(in, 0, SEEK_END);
		length = ftell(in);
		fclose(in);
	}
	return length;
}

char *
sim_process_tail(const sim_process *process)
{
	char *log = read_log(process, 0);
	char *at = log + strlen(log);
	int lines = 0;
	char *tail;

	while (at > log && lines <= TAIL_LINES)
	{
		at--;
		lines += *at == '\n';
	}
	tail = strdup(at);
	free(log);
	return tail;
}
