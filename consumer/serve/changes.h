/* changes.h -- the body of POST /v1/tables. Pure. */
#ifndef PEN_CHANGES_H
#define PEN_CHANGES_H

#include <jansson.h>

#include "commands.h"

#define PEN_CHANGES_TABLES_MAX 1000

/* A command out of a body; its texts live as long as json. */
typedef struct pen_change
{
	json_t *json;
	const char *tables[PEN_CHANGES_TABLES_MAX];
	pen_command command;
} pen_change;

/*
 * {"action": "add" | "resync" | "remove", "tables": [name…], "destination": name}; without a
 * destination all are meant. E_CONFIG and what is wrong; pen_change_reset in any case.
 */
extern penstock_status pen_change_parse(pen_change *change, const char *body, size_t size,
										pen_error *error);
extern void pen_change_reset(pen_change *change);

#endif
