/* options.h -- what a client may ask for at START_REPLICATION, one table of it. */
#ifndef PENSTOCK_OPTIONS_H
#define PENSTOCK_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

typedef struct PenstockOptions
{
	int protocol_min;
	int protocol_max;
	int batch_bytes; /* flush when the buffer is larger; 0: after each change */
	int protocol;    /* agreed on */
	int debug_mode;
} PenstockOptions;

/* Defaults, then what the client gave, a List of DefElem. Any mistake is an ERROR that names the
 * option, the value and what is allowed. */
extern void options_parse(PenstockOptions *options, List *given);

/* The options in force, one by one: false when there is no n-th. value is palloc'd. */
extern bool options_nth(const PenstockOptions *options, int n, const char **name, char **value);

#endif
