/* commands.c -- the queue of commands, and the status that is shown.
 * One lock, held for a copy at most: nobody waits for a slow reader. */
#include "commands.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

/* How old the status may become that is there for those who cannot wait for a new one. */
#define STATUS_MS 100

struct pen_commands
{
	void (*wake)(void *);
	void *wake_context;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* a command was answered, a status published, or all is closed */
	pen_command *first;     /* not taken yet */
	pen_command *taken;     /* being carried out: at most one */
	bool closed;
	pen_status status;
	uint64_t published; /* how many; 0: status is empty */
	uint64_t wanted;    /* somebody waits for this one */
};

pen_commands *
pen_commands_new(void (*wake)(void *), void *wake_context)
{
	pen_commands *commands = calloc(1, sizeof(*commands));
	pthread_condattr_t attributes;

	if (commands == NULL)
		return NULL;
	commands->wake = wake;
	commands->wake_context = wake_context;
	pthread_mutex_init(&commands->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&commands->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	return commands;
}

void
pen_commands_free(pen_commands *commands)
{
	if (commands == NULL)
		return;
	pen_status_reset(&commands->status);
	pthread_cond_destroy(&commands->changed);
	pthread_mutex_destroy(&commands->lock);
	free(commands);
}

static struct timespec
deadline_after(int timeout_ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += timeout_ms / 1000;
	deadline.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
	if (deadline.tv_nsec >= 1000000000)
	{
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000;
	}
	return deadline;
}

/* ---- asking ---- */

/* Where the pointer to command stands in the queue, or NULL. */
static pen_command **
find_queued(pen_commands *commands, const pen_command *command)
{
	pen_command **at = &commands->first;

	while (*at != NULL && *at != command)
		at = &(*at)->next;
	return *at != NULL ? at : NULL;
}

static void
append(pen_commands *commands, pen_command *command)
{
	pen_command **end = &commands->first;

	while (*end != NULL)
		end = &(*end)->next;
	command->next = NULL;
	*end = command;
}

bool
pen_commands_ask(pen_commands *commands, pen_command *command, int timeout_ms)
{
	struct timespec deadline = deadline_after(timeout_ms);
	pen_command **queued;

	pthread_mutex_lock(&commands->lock);
	if (commands->closed)
	{
		pthread_mutex_unlock(&commands->lock);
		return false;
	}
	append(commands, command);
	pthread_mutex_unlock(&commands->lock);
	commands->wake(commands->wake_context);

	pthread_mutex_lock(&commands->lock);
	while ((queued = find_queued(commands, command)) != NULL && !commands->closed)
	{
		if (pthread_cond_timedwait(&commands->changed, &commands->lock, &deadline) != 0)
			break;
	}
	/* In time or not: what is being carried out has its answer soon. */
	queued = find_queued(commands, command);
	if (queued != NULL)
		*queued = command->next;
	while (commands->taken == command)
		pthread_cond_wait(&commands->changed, &commands->lock);
	pthread_mutex_unlock(&commands->lock);
	return queued == NULL;
}

bool
pen_commands_status(pen_commands *commands, pen_status *status, int timeout_ms)
{
	struct timespec deadline = deadline_after(timeout_ms);
	uint64_t wanted;
	bool copied;

	pthread_mutex_lock(&commands->lock);
	wanted = commands->published + 1;
	commands->wanted = wanted;
	pthread_mutex_unlock(&commands->lock);
	commands->wake(commands->wake_context);

	pthread_mutex_lock(&commands->lock);
	while (commands->published < wanted && !commands->closed)
	{
		if (pthread_cond_timedwait(&commands->changed, &commands->lock, &deadline) != 0)
			break;
	}
	copied = commands->published > 0 && pen_status_copy(status, &commands->status);
	pthread_mutex_unlock(&commands->lock);
	return copied;
}

/* ---- answering ---- */

pen_command *
pen_commands_take(pen_commands *commands)
{
	pen_command *command;

	pthread_mutex_lock(&commands->lock);
	command = commands->closed ? NULL : commands->first;
	if (command != NULL)
	{
		commands->first = command->next;
		commands->taken = command;
	}
	pthread_mutex_unlock(&commands->lock);
	return command;
}

void
pen_commands_answer(pen_commands *commands, pen_command *command)
{
	pthread_mutex_lock(&commands->lock);
	if (commands->taken == command)
		commands->taken = NULL;
	pthread_cond_broadcast(&commands->changed);
	pthread_mutex_unlock(&commands->lock);
}

bool
pen_commands_want_status(pen_commands *commands, int64_t now_ms)
{
	bool wanted;

	pthread_mutex_lock(&commands->lock);
	wanted = commands->wanted > commands->published || commands->published == 0 ||
			 now_ms - commands->status.made_ms >= STATUS_MS;
	pthread_mutex_unlock(&commands->lock);
	return wanted;
}

void
pen_commands_publish(pen_commands *commands, pen_status *status)
{
	pen_status before;

	pthread_mutex_lock(&commands->lock);
	before = commands->status;
	commands->status = *status;
	commands->published++;
	pthread_cond_broadcast(&commands->changed);
	pthread_mutex_unlock(&commands->lock);
	*status = before;
}

void
pen_commands_close(pen_commands *commands)
{
	pthread_mutex_lock(&commands->lock);
	commands->closed = true;
	pthread_cond_broadcast(&commands->changed);
	pthread_mutex_unlock(&commands->lock);
}
