/* load.h -- read all rows of the source's tables as of one point in its WAL. */
#ifndef PEN_LOAD_H
#define PEN_LOAD_H

#include <stdatomic.h>

#include "base/error.h"
#include "penstock/event.h"

/* What is told of the tables and rows. A negative status ends the loading with it. */
typedef struct pen_load_sink
{
	void *context;
	/* Is this table wanted? */
	bool (*takes)(void *context, const char *schema, const char *table);
	/* A table, before its rows; take a reference to keep it. */
	penstock_status (*table)(void *context, const penstock_relation *relation, pen_error *error);
	/* A row of the last table: Values as the plugin would send them, with NEW tags. Borrowed. */
	penstock_status (*row)(void *context, const uint8_t *data, size_t len, pen_error *error);
	/* A table that exists but is not loaded: not wanted, or unlogged. NULL: nobody asks. */
	penstock_status (*other)(void *context, uint32_t oid, pen_error *error);
} pen_load_sink;

typedef struct pen_load_options
{
	const char *conninfo; /* without replication= */
	const char *plugin;   /* for the temporary slot; NULL: penstock */
	int connect_timeout_ms;
	const atomic_bool *interrupted; /* NULL, or true ends the loading with E_RETRY */
} pen_load_options;

/*
 * Load every wanted table under the snapshot of a temporary slot. Exactly what was committed
 * before *consistent_point (by the start of its commit record) is in the rows.
 * E_RETRY: connection lost, server busy, tables kept changing. E_CONFIG: a right, the plugin or a
 * setting of the server is missing; the text tells the remedy. Thread-safe.
 */
extern penstock_status pen_load_run(const pen_load_options *options, const pen_load_sink *sink,
									uint64_t *consistent_point, pen_error *error);

#endif
