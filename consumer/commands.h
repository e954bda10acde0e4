/* commands.h -- what other threads ask of the receiver's thread, and what they may see of it.
 * A command is carried out between two steps of the receiver, never in the thread that asks. Knows
 * nothing of HTTP: the control socket is one who asks. */
#ifndef PEN_COMMANDS_H
#define PEN_COMMANDS_H

#include "base/error.h"
#include "status.h"

typedef enum pen_command_kind
{
	PEN_COMMAND_PAUSE,
	PEN_COMMAND_RESUME,
	PEN_COMMAND_TABLES_ADD,    /* copy tables that were not wanted before, and follow them */
	PEN_COMMAND_TABLES_RESYNC, /* copy them again */
	PEN_COMMAND_TABLES_REMOVE  /* follow them no more */
} pen_command_kind;

/* Owned by who asks, until pen_commands_ask returns. */
typedef struct pen_command
{
	pen_command_kind kind;
	char destination[64]; /* its name; "" is all of them */
	/* TABLES_*: names as they were given, schema.table or a table of public; borrowed. */
	const char *const *tables;
	size_t table_count;
	/* The answer: PENSTOCK_OK, E_CONFIG when there is no such destination or table. */
	pen_error error;
	struct pen_command *next; /* private */
} pen_command;

typedef struct pen_commands pen_commands;

/* wake is called in the thread that asks, to end the wait of the receiver's step. NULL without
 * memory. */
extern pen_commands *pen_commands_new(void (*wake)(void *), void *wake_context);
/* Nobody may be waiting in it: end who asks first, after pen_commands_close. */
extern void pen_commands_free(pen_commands *commands);

/* ---- any thread ---- */

/*
 * Have a command carried out. False when it was not begun within timeout_ms, or never will be:
 * then nothing has happened.
 */
extern bool pen_commands_ask(pen_commands *commands, pen_command *command, int timeout_ms);

/*
 * Copy the newest status, to be reset by the caller. Waits at most timeout_ms for one that is made
 * after the call; an older one, as its age tells, is what there is while the receiver waits for the
 * source. False when there is none, or no memory.
 */
extern bool pen_commands_status(pen_commands *commands, pen_status *status, int timeout_ms);

/* ---- the receiver's thread ---- */

/* The next command to carry out, or NULL; each one taken must be answered. */
extern pen_command *pen_commands_take(pen_commands *commands);
extern void pen_commands_answer(pen_commands *commands, pen_command *command);

/* Does anybody wait for a status, or has there been none for so long that one is due? */
extern bool pen_commands_want_status(pen_commands *commands, int64_t now_ms);
/* Takes over what status holds; *status is then one to be filled again, or empty. */
extern void pen_commands_publish(pen_commands *commands, pen_status *status);

/* Nothing is carried out any more: who waits is told, and who asks later too. Any thread. */
extern void pen_commands_close(pen_commands *commands);

#endif
