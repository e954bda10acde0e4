/* copy.h -- bring the rows that exist to databases: every wanted table as of one point, to all
 * places at once, and each table only once however often this is broken off. */
#ifndef PEN_COPY_H
#define PEN_COPY_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "base/error.h"
#include "base/log.h"
#include "penstock/event.h"
#include "route/mapping.h"

#define PEN_COPY_PLACES_MAX 32

/* What to do about rows that are at the destination before. */
typedef enum pen_copy_mode
{
	PEN_COPY_EMPTY,    /* there may be none */
	PEN_COPY_TRUNCATE, /* they go */
	PEN_COPY_APPEND    /* they stay; what has a greater key is added */
} pen_copy_mode;

/* How far a table is at a place. */
typedef enum pen_copy_state
{
	PEN_COPY_NONE,      /* not wanted there */
	PEN_COPY_CREATING,  /* it is about to be created */
	PEN_COPY_COPYING,   /* the rows that are there, if any, are a broken copy's */
	PEN_COPY_APPENDING, /* those that are there were there before */
	PEN_COPY_COPIED,    /* all rows are there; indexes and constraints are not */
	PEN_COPY_RESYNC,    /* it is copied beside the stream: no business of pen_copy_run */
	PEN_COPY_READY
} pen_copy_state;

/* What is recorded of a table at a place. */
typedef struct pen_copy_mark
{
	pen_copy_state state;
	bool created;  /* by us: indexes and constraints come after the rows */
	uint64_t lsn;  /* what was committed before it is in the rows */
	uint64_t rows; /* that were copied */
} pen_copy_mark;

typedef struct pen_copy_place pen_copy_place;

/* Called for each table that is recorded at a place, by its name there, and not ready. */
typedef penstock_status (*pen_copy_recall)(pen_copy_place *place, const char *schema,
										   const char *table, const pen_copy_mark *mark,
										   pen_error *error);

/* What copy/ needs of the kind of destination; functions are called from several threads, with
 * connections of their own. */
typedef struct pen_copy_place_kind
{
	bool (*takes)(void *context, const char *schema, const char *table);
	/* A session in which triggers rest where the role may have that. */
	PGconn *(*connect)(void *context, pen_error *error);
	/* Read what is recorded: has the place a position in the stream, which tables are not ready? */
	penstock_status (*recall)(void *context, PGconn *conn, bool *begun, pen_copy_recall each,
							  pen_copy_place *place, pen_error *error);
	/* In the open transaction: the place's position is lsn; what was recorded before is void. */
	penstock_status (*begin)(void *context, PGconn *conn, uint64_t lsn, pen_error *error);
	/* In the open transaction, or one of its own: record the table, as the place has it. */
	penstock_status (*mark)(void *context, PGconn *conn, const penstock_relation *relation,
							const pen_copy_mark *mark, pen_error *error);
	/* The same, of a table that is recorded: it is READY, and no longer one of ours. */
	penstock_status (*complete)(void *context, PGconn *conn, const penstock_relation *relation,
								pen_error *error);
	/* Its connection string. */
	const char *(*conninfo)(void *context);
} pen_copy_place_kind;

/* A table that is not ready, by what was recorded: names are the place's. */
typedef struct pen_copy_pending
{
	char *schema;
	char *table;
	pen_copy_mark mark;
	bool seen; /* it is still there at the source */
} pen_copy_pending;

/* A destination of the copy. Make it all zero but for the first five. */
struct pen_copy_place
{
	const char *name;
	const pen_copy_place_kind *kind;
	void *context;
	const pen_mapping *mapping; /* what becomes of tables there; NULL: they stay as they are */
	bool allow_triggers;

	/* After pen_copy_run: PENSTOCK_OK, or why it is not complete. */
	pen_error error;

	/* Of copy/. */
	PGconn *conn;    /* the coordinator's */
	bool begun;      /* it has a position */
	bool takes_part; /* something is to be copied there */
	bool took_part;  /* in this run */
	pen_copy_pending *pending;
	size_t pending_count;
	size_t pending_capacity;
	atomic_bool failed;
};

/* What is shown while it goes on. */
typedef struct pen_copy_table_progress
{
	const char *schema;
	const char *name;
	uint64_t rows;
	uint64_t rows_expected;  /* an estimate; 0: none */
	uint64_t bytes;          /* read from the source */
	uint64_t bytes_expected; /* its size there */
	int64_t began_ms;        /* after the copy did */
	bool running;
	bool done;
} pen_copy_table_progress;

typedef struct pen_copy_progress
{
	const pen_copy_table_progress *tables;
	size_t table_count;
	size_t tables_done;
	int64_t elapsed_ms;
	bool finished;
} pen_copy_progress;

typedef struct pen_copy_options
{
	const char *source; /* conninfo */
	int connect_timeout_ms;
	bool fresh; /* copy to places without a position; else only what was begun goes on */
	pen_copy_mode mode;
	int jobs;
	uint64_t split_bytes; /* larger tables are copied in parts; 0: none */
	bool for_readers;     /* rows that go are seen until the new ones are */
	bool create_tables;
	bool sequences;
	const pen_log *log;
	atomic_bool *interrupted;
	/* Called about four times a second by the thread of pen_copy_run. It may set *interrupted. */
	void (*tick)(void *context, const pen_copy_progress *progress);
	void *tick_context;
} pen_copy_options;

/*
 * Connect to the places, and see whether there is anything to copy: place->takes_part. E_… of the
 * first that cannot be reached.
 */
extern penstock_status pen_copy_look(const pen_copy_options *options, pen_copy_place *places,
									 size_t count, bool *needed, pen_error *error);

/*
 * After pen_copy_look, and when the slot exists: copy. What fails for a place is in its error, and
 * the others go on; the status is negative when nothing could be copied, or the source failed for
 * good. PENSTOCK_DONE: interrupted. What was recorded lets the next call go on by table.
 */
extern penstock_status pen_copy_run(const pen_copy_options *options, pen_copy_place *places,
									size_t count, pen_error *error);

/* Close connections, free what look and run have filled. */
extern void pen_copy_places_reset(pen_copy_place *places, size_t count);

#endif
