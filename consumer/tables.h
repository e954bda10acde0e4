/* tables.h -- changing the tables of a running follower: what the commands need of what does it.
 * Every function is called in the receiver's thread, between two steps, and returns at once: the
 * work goes on elsewhere. */
#ifndef PEN_TABLES_H
#define PEN_TABLES_H

#include "commands.h"

/* Set in penstock.tables_engine. */
typedef struct pen_tables_engine
{
	/*
	 * Begin what a PEN_COMMAND_TABLES_* asks for, at command->destination or all of them; all of
	 * its tables or none. E_CONFIG and error for a table that there is not, that is no table, or of
	 * which something else goes on.
	 */
	penstock_status (*change)(penstock *p, const pen_command *command, pen_error *error);

	/* Fill at most most tables that it has begun and not forgotten, whatever became of them, and
	 * return how many there are, which may be more. */
	size_t (*list)(penstock *p, pen_table_status *tables, size_t most);
} pen_tables_engine;

/* In the directory of the slot: which tables were added and removed. */
#define PEN_TABLES_FILE "tables"

/* Bring destinations that are closed up to the list that was written; have them closed. True: a new
 * stream must begin before anything else. */
extern bool pen_tables_amend(penstock *p);

/* The identity of a destination from its plain fingerprint and its list. */
extern void pen_tables_identify(penstock *p, size_t i);

/* What databases can do: copies beside the stream. */
extern const pen_tables_engine pen_tables;

#endif
