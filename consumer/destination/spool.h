/* spool.h -- a destination's share of the stream on disk: for one that is down or far behind.
 * It holds whole transactions from from_lsn to end_lsn without a gap, so that the source need not
 * keep them for this destination.
 *
 * One thread writes (start, chunk, advance, truncate, reset), one reads (rewind, next); the state
 * is for both. */
#ifndef PEN_SPOOL_H
#define PEN_SPOOL_H

#include "base/error.h"
#include "event/chunk.h"

typedef struct pen_spool pen_spool;

/* What pen_spool_chunk says when there is no room on disk or within bytes_max. */
#define PEN_SPOOL_FULL PENSTOCK_AGAIN

typedef struct pen_spool_options
{
	const char *directory; /* made if it is not there; what an earlier process left is taken up */
	uint64_t bytes_max;
	uint64_t segment_bytes_max;  /* 0: as store.h says */
	void (*wake)(void *context); /* called from a thread of the spool's when synced_lsn has moved */
	void *wake_context;
} pen_spool_options;

typedef struct pen_spool_state
{
	bool empty;
	uint64_t from_lsn;   /* who has everything before it can go on from here */
	uint64_t end_lsn;    /* every transaction from there that ends by this LSN is in it */
	uint64_t synced_lsn; /* the same, on disk for certain */
	uint64_t bytes;
	bool failed; /* the disk failed: takes nothing more; error tells */
	pen_error error;
} pen_spool_state;

typedef enum pen_spool_item_kind
{
	PEN_SPOOL_START,  /* a stream begins (again) at lsn: what was open before it is void */
	PEN_SPOOL_CHUNK,  /* the reader's, to be given back with pen_chunk_unref */
	PEN_SPOOL_ADVANCE /* nothing of interest before lsn */
} pen_spool_item_kind;

typedef struct pen_spool_item
{
	pen_spool_item_kind kind;
	uint64_t lsn;
	pen_chunk *chunk;
} pen_spool_item;

/* NULL and error: see pen_store_open. */
extern pen_spool *pen_spool_open(const pen_spool_options *options, pen_error *error);
extern void pen_spool_close(pen_spool *spool);

extern void pen_spool_state_get(pen_spool *spool, pen_spool_state *state);

/* ---- the writer ---- */

/* A stream begins at lsn: at end_lsn or before it, or anywhere when the spool is empty. What cannot
 * be written now is written with the next piece. */
extern penstock_status pen_spool_start(pen_spool *spool, uint64_t lsn, pen_error *error);
/*
 * The next piece of the stream; transactions that are here already are left out. The first piece
 * may begin in the middle of a transaction: that one is not counted as being here.
 * PENSTOCK_OK, PEN_SPOOL_FULL (nothing was taken; try again later), or E_RETRY.
 */
extern penstock_status pen_spool_chunk(pen_spool *spool, const pen_chunk *chunk, pen_error *error);
/* Nothing of interest comes before lsn. */
extern penstock_status pen_spool_advance(pen_spool *spool, uint64_t lsn, pen_error *error);
/* The destination has everything up to lsn durably: what is before it may go. */
extern void pen_spool_truncate(pen_spool *spool, uint64_t lsn);
/* Drop everything. While nobody reads. */
extern penstock_status pen_spool_reset(pen_spool *spool, pen_error *error);
/* After a failure: keep what is on disk for certain, so that the next stream goes on at end_lsn,
 * which goes back. While nobody reads. */
extern penstock_status pen_spool_mend(pen_spool *spool, pen_error *error);
/* A start that could not be written yet, once: for a reader who is at the end, and would read what
 * follows elsewhere. While nobody writes. */
extern bool pen_spool_take_start(pen_spool *spool, uint64_t *lsn);

/* ---- the reader ---- */

/* Begin to read at the transaction that commits at or after lsn, or somewhere before it. */
extern penstock_status pen_spool_rewind(pen_spool *spool, uint64_t lsn, pen_error *error);
/*
 * What was appended since pen_spool_mark_end, which the reader calls at the end of what there is
 * while nothing is appended, has been handed over in another way: pass over it. While the reader
 * is not in pen_spool_next.
 */
extern void pen_spool_mark_end(pen_spool *spool);
extern void pen_spool_skip_marked(pen_spool *spool);
/* PENSTOCK_OK, PENSTOCK_AGAIN at the end of what has been appended, E_REFUSED (damaged), E_RETRY:
 * also at the end of what is left after a failure. */
extern penstock_status pen_spool_next(pen_spool *spool, pen_spool_item *item, pen_error *error);

#endif
