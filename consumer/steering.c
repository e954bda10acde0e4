/* steering.c -- pause and resume destinations, and show how things are.
 * A destination that is resumed is checked against the slot again, as at the start. */
#include "steering.h"

#include <string.h>

#include "commands.h"
#include "follower.h"
#include "tables.h"

static bool
is_meant(penstock *p, size_t i, const char *destination)
{
	return destination == NULL || destination[0] == '\0' ||
		   strcmp(p->configs[i].name, destination) == 0;
}

static penstock_status
not_found(penstock *p, const char *destination)
{
	return pen_error_set(&p->error, PENSTOCK_E_CONFIG, "there is no destination \"%.60s\"",
						 destination != NULL ? destination : "");
}

penstock_status
pen_steering_pause(penstock *p, const char *destination)
{
	bool found = false;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (!is_meant(p, i, destination))
			continue;
		found = true;
		p->amend_resume[i] = false;
		pen_worker_pause(p->workers[i]);
	}
	return found ? PENSTOCK_OK : not_found(p, destination);
}

penstock_status
pen_steering_resume(penstock *p, const char *destination)
{
	bool found = false;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		if (!is_meant(p, i, destination))
			continue;
		found = true;
		pen_worker_status_get(p->workers[i], &status);
		if (status.state == PEN_WORKER_STOPPED)
		{
			p->refused[i] = false;
			pen_progress_hold(&p->progress, i);
		}
		p->amend_resume[i] = true;
		if (!p->amending[i])
			pen_worker_resume(p->workers[i]);
	}
	return found ? PENSTOCK_OK : not_found(p, destination);
}

static penstock_status
change_tables(penstock *p, const pen_command *command)
{
	bool found = false;

	for (size_t i = 0; i < p->worker_count; i++)
		found = found || is_meant(p, i, command->destination);
	if (!found)
		return not_found(p, command->destination);
	if (p->tables_engine == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_BUG, "nothing that copies tables is there");
	return p->tables_engine->change(p, command, &p->error);
}

static void
carry_out(penstock *p, pen_command *command)
{
	pen_error before = p->error;

	pen_error_clear(&p->error);
	switch (command->kind)
	{
		case PEN_COMMAND_PAUSE:
			(void) pen_steering_pause(p, command->destination);
			break;
		case PEN_COMMAND_RESUME:
			(void) pen_steering_resume(p, command->destination);
			break;
		case PEN_COMMAND_TABLES_ADD:
		case PEN_COMMAND_TABLES_RESYNC:
		case PEN_COMMAND_TABLES_REMOVE:
			(void) change_tables(p, command);
			break;
	}
	command->error = p->error;
	p->error = before;
}

void
pen_steering_run(penstock *p)
{
	int64_t now = pen_clock_ms();
	pen_command *command;

	if (p->commands == NULL)
		return;
	while ((command = pen_commands_take(p->commands)) != NULL)
	{
		carry_out(p, command);
		pen_commands_answer(p->commands, command);
	}
	if (pen_commands_want_status(p->commands, now) && pen_status_make(p, &p->next_status, now))
		pen_commands_publish(p->commands, &p->next_status);
}
