/* feed.h -- what waits for a destination, in order: in memory, and beyond that on disk.
 *
 *     MEMORY  everything goes through the queue, and the spool is empty
 *     SPOOL   everything goes to the spool; what is in the queue is older
 *     TEE     the reader has caught up: everything goes to both, until the destination holds
 *             durably what was in the spool before; then it is MEMORY again
 *
 * The receiver pushes, the worker pops. */
#ifndef PEN_FEED_H
#define PEN_FEED_H

#include "base/queue.h"
#include "destination/spool.h"

typedef struct pen_feed pen_feed;

typedef struct pen_feed_options
{
	pen_spool_options spool; /* directory NULL: there is none */
	size_t queue_bytes_max;  /* beyond it goes to the spool, where there is one */
} pen_feed_options;

/* The kinds of items; pointers are owned by the item: see pen_feed_release. */
typedef enum pen_feed_item_kind
{
	PEN_FEED_START,   /* pointer: a pen_feed_stream; a stream begins, all before it is void */
	PEN_FEED_CHUNK,   /* pointer: a pen_chunk */
	PEN_FEED_ADVANCE, /* number: nothing of interest comes before this LSN */
	PEN_FEED_REFUSAL, /* pointer: a pen_error */
	PEN_FEED_RESUME,  /* number: to whom; go on with what is in the spool, from its beginning */
	PEN_FEED_AHEAD,   /* pointer: a pen_chunk, of a transaction in progress; number: changes of it
					   * that came before */
	PEN_FEED_FORGO    /* number: the xid of that transaction, of which nothing may be kept */
} pen_feed_item_kind;

typedef struct pen_feed_stream
{
	unsigned int epoch;
	uint64_t lsn;
} pen_feed_stream;

/* NULL and error: no memory, or the spool cannot be opened. */
extern pen_feed *pen_feed_new(const pen_feed_options *options, pen_error *error);
extern void pen_feed_free(pen_feed *feed);
extern void pen_feed_release(pen_item *item);

/* ---- the receiver ---- */

typedef struct pen_feed_state
{
	bool has_spool;
	bool spooling; /* not MEMORY */
	bool behind;   /* what is on disk comes after what is in memory, a start included */
	bool full;     /* something that was pushed is held back, for lack of room or because the disk
				    * failed: push nothing more */
	bool failed;   /* the disk failed for good */
	size_t queue_bytes;
	uint64_t spool_bytes;
	pen_error error; /* why it is full, or failed */
} pen_feed_state;

/* E_RETRY from the pushing functions: no memory. */
extern penstock_status pen_feed_start(pen_feed *feed, unsigned int epoch, uint64_t lsn,
									  pen_error *error);
extern penstock_status pen_feed_chunk(pen_feed *feed, pen_chunk *chunk, pen_error *error);
extern penstock_status pen_feed_advance(pen_feed *feed, uint64_t lsn, pen_error *error);
/* Through memory, in front of what is in the spool. */
extern penstock_status pen_feed_command(pen_feed *feed, pen_feed_item_kind kind, uint64_t number,
										void *pointer);

/* Whether it can be given changes of a transaction in progress. */
typedef enum pen_feed_appetite
{
	PEN_FEED_ELSEWHERE, /* not in MEMORY: no */
	PEN_FEED_HUNGRY,    /* next to nothing waits in it */
	PEN_FEED_BUSY,
	PEN_FEED_SATED /* later */
} pen_feed_appetite;

extern pen_feed_appetite pen_feed_appetite_get(pen_feed *feed);
/* That wait in memory, with the item that is being handled. */
extern size_t pen_feed_bytes(pen_feed *feed);
/* Through memory only, and behind everything else: what is pushed later is popped before it. False
 * where that is not the mode, or without memory. */
extern bool pen_feed_ahead(pen_feed *feed, pen_chunk *chunk, uint64_t before);
/* The transaction comes next: what was pushed ahead is popped before what is pushed now. */
extern void pen_feed_ahead_ends(pen_feed *feed);
/* It does not: nothing of it may be kept. */
extern void pen_feed_forgo(pen_feed *feed, uint32_t xid);

/* The destination has everything up to lsn durably: let go what is not needed any more, and try
 * again what was held back. E_RETRY: the disk failed. */
extern penstock_status pen_feed_durable(pen_feed *feed, uint64_t lsn, pen_error *error);

/*
 * Everything goes to the spool from now on, which is emptied unless one who has everything before
 * durable_lsn can go on from it. True: it can, without a gap. False: what is pushed next must be
 * a start at durable_lsn or before it. For destinations that do not take anything now.
 */
extern bool pen_feed_park(pen_feed *feed, uint64_t durable_lsn, pen_error *error);
/* Back to memory; what is in the spool is dropped. While the worker does not stream. */
extern penstock_status pen_feed_unpark(pen_feed *feed, pen_error *error);

/* After the disk failed: keep what it has for certain. What is pushed next must be a start, at
 * pen_feed_resume_lsn or before it. While the worker does not stream. */
extern penstock_status pen_feed_mend(pen_feed *feed, pen_error *error);

/* Who has everything before it can go on with what is on disk; 0: there is nothing. */
extern uint64_t pen_feed_from_lsn(pen_feed *feed);
/* How far it goes then. */
extern uint64_t pen_feed_end_lsn(pen_feed *feed);
/* Where a stream may begin so that a destination with durable_lsn misses nothing. */
extern uint64_t pen_feed_resume_lsn(pen_feed *feed, uint64_t durable_lsn);
/* What may be confirmed for that destination: what it has, or the disk has for it. */
extern uint64_t pen_feed_secured_lsn(pen_feed *feed, uint64_t durable_lsn);

extern void pen_feed_state_get(pen_feed *feed, pen_feed_state *state);
extern bool pen_feed_is_full(const pen_feed *feed);

/* ---- the worker ---- */

/* The next item. Waits at most timeout_ms (0: not, -1: for ever). from_spool: also what is there.
 * PENSTOCK_OK, PENSTOCK_AGAIN (nothing came, or interrupted), or the spool's error. */
extern penstock_status pen_feed_pop(pen_feed *feed, pen_item *item, bool from_spool, int timeout_ms,
									pen_error *error);
/* On a RESUME: read the spool from where a destination with durable_lsn needs it; *lsn: where it
 * begins. */
extern penstock_status pen_feed_resume(pen_feed *feed, uint64_t durable_lsn, uint64_t *lsn,
									   pen_error *error);
extern void pen_feed_interrupt(pen_feed *feed);
/* Items that went through memory, ever; and whether nothing waits on disk alone. */
extern uint64_t pen_feed_pushed(pen_feed *feed);
extern bool pen_feed_caught_up(pen_feed *feed);
/* Nothing more comes before more than durable_lsn is durable: the disk has no room for it. */
extern bool pen_feed_is_stuck(pen_feed *feed, uint64_t durable_lsn);

#endif
