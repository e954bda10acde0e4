/* snapshot.h -- all wanted tables as of one point in the source's WAL, for several connections. */
#ifndef PEN_SNAPSHOT_H
#define PEN_SNAPSHOT_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "base/error.h"
#include "copy/catalog.h"

typedef struct pen_snapshot_options
{
	const char *conninfo; /* without replication= */
	const char *plugin;   /* for the temporary slot; NULL: penstock */
	int connect_timeout_ms;
	const atomic_bool *interrupted; /* NULL, or true ends what waits with E_RETRY */
	/* Is this table wanted? */
	bool (*takes)(void *context, const char *schema, const char *table);
	void *context;
} pen_snapshot_options;

/* All zero is none. What is here is for reading. */
typedef struct pen_snapshot
{
	const pen_snapshot_options *options;
	/* Exactly what was committed before it (by the start of its commit record) is seen. */
	uint64_t consistent_point;
	pen_catalog_list list; /* every table that there is, wanted or not */
	PGconn *reader;        /* sees the snapshot */
	PGconn *locker;        /* holds the locks, in a transaction without xid */
	PGconn *exporter;      /* the replication connection with the temporary slot */
	char name[64];
} pen_snapshot;

/*
 * Lock the wanted tables, ACCESS SHARE, and take a snapshot of them. options is borrowed until the
 * end. E_RETRY: connection lost, server busy, tables kept changing. E_CONFIG: a right, the plugin
 * or a setting of the server is missing; the text tells the remedy.
 */
extern penstock_status pen_snapshot_take(pen_snapshot *snapshot,
										 const pen_snapshot_options *options, pen_error *error);

/* Is this table, one of the list, one whose rows are to be read? */
extern bool pen_snapshot_wants(const pen_snapshot *snapshot, const pen_catalog_table *table);

/* One more connection that sees the snapshot, in a transaction. NULL and error. Thread-safe. */
extern PGconn *pen_snapshot_join(const pen_snapshot *snapshot, pen_error *error);

/* Closes reader, locks and slot; what has joined keeps what it sees. */
extern void pen_snapshot_end(pen_snapshot *snapshot);

#endif
