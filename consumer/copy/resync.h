/* resync.h -- copy tables while a stream goes on: one thread, until all it was given are there. */
#ifndef PEN_RESYNC_H
#define PEN_RESYNC_H

#include "copy/copy.h"

typedef struct pen_resync pen_resync;

typedef struct pen_resync_options
{
	const char *source; /* conninfo */
	int connect_timeout_ms;
	const char *name; /* of the place */
	const pen_copy_place_kind *kind;
	void *context;              /* of its functions, which are called from the thread */
	const pen_mapping *mapping; /* as of a pen_copy_place */
	bool allow_triggers;
	int jobs;
	/* Called now and then from the thread, as of pen_copy_options. */
	void (*tick)(void *context, const pen_copy_progress *progress);
	const pen_log *log;
} pen_resync_options;

/*
 * Begin to copy the tables that the kind's recall tells of. What options points to is borrowed
 * until the end. NULL and error. The rows that are at the place are seen there until a table's copy
 * is committed.
 */
extern pen_resync *pen_resync_start(const pen_resync_options *options, pen_error *error);

/* PENSTOCK_AGAIN: it runs. PENSTOCK_OK: all is copied. Negative: it has failed, with error. */
extern penstock_status pen_resync_look(pen_resync *resync, pen_error *error);

/* Ends it, if it has not. NULL is harmless. */
extern void pen_resync_free(pen_resync *resync);

#endif
