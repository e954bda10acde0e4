/* status.h -- what a follower is doing, as one consistent copy that any thread may read.
 * Made by the receiver's thread only; names in it are borrowed until the follower is closed. */
#ifndef PEN_STATUS_H
#define PEN_STATUS_H

#include "destination/worker.h"
#include "statistics.h"

typedef struct pen_destination_status
{
	const char *name;
	const char *kind;
	pen_worker_status worker;
	pen_feed_state feed;
} pen_destination_status;

/* A table that is, or was, brought to a destination while the stream goes on. */
typedef struct pen_table_status
{
	char name[136];     /* schema.table */
	size_t destination; /* index */
	const char
		*state; /* a constant: "waiting", "copying", "catching up", "ready", "failed", "removed" */
	uint64_t lsn; /* its rows hold what was committed before it; 0: not yet */
	uint64_t rows;
	uint64_t rows_expected; /* 0: not known */
	uint64_t bytes;
	uint64_t bytes_expected; /* 0: not known */
	char error[256];         /* why it failed */
} pen_table_status;

/* All zero is empty. */
typedef struct pen_status
{
	int64_t made_ms; /* pen_clock_ms */

	/* The source. */
	char slot[64];
	bool temporary;
	bool connected;
	bool finishing;
	uint64_t received_lsn;  /* everything before it has been handed on */
	uint64_t confirmed_lsn; /* told to the source */
	bool retained_known;    /* the next three are */
	int64_t retained_bytes;
	int64_t safe_bytes; /* -1: no limit */
	char wal_status[16];
	bool retained_exceeded; /* more than retained-wal-max */

	uint64_t transactions;
	pen_destination_status *destinations;
	size_t destination_count;
	pen_table_statistics *tables;
	size_t table_count;
	pen_table_status *copies;
	size_t copy_count;

	/* Private. */
	size_t destination_capacity;
	size_t table_capacity;
	size_t copy_capacity;
} pen_status;

/* Fill status, whose memory is used again. False without memory. status.c's only function for the
 * receiver's thread alone. */
extern bool pen_status_make(penstock *p, pen_status *status, int64_t now_ms);

/* Make into, which is empty, a copy. False without memory: into is then empty. */
extern bool pen_status_copy(pen_status *into, const pen_status *from);
extern void pen_status_reset(pen_status *status);

/*
 * Why the follower is not ready, one reason a call: number counts from 0. Writes the text and
 * returns true, or false when there are no more. A paused destination is no reason: somebody wants
 * it so.
 */
extern bool pen_status_reason(const pen_status *status, size_t number, char *text, size_t size);

#endif
