/* worker.h -- one thread that drives one destination from its queue, whatever happens to it.
 * The receiver pushes and reads the status; it never waits for a worker, except to end it. */
#ifndef PEN_WORKER_H
#define PEN_WORKER_H

#include "destination/destination.h"
#include "destination/feed.h"

typedef enum pen_worker_state
{
	PEN_WORKER_STREAMING, /* takes what is pushed */
	PEN_WORKER_DOWN,      /* failed; tries again by itself; what is pushed is dropped */
	PEN_WORKER_READY,     /* open again; waits for the stream to begin anew */
	PEN_WORKER_STOPPED,   /* failed for good: a person is needed */
	PEN_WORKER_PAUSED     /* closed because it was asked to be; what is pushed is dropped */
} pen_worker_state;

typedef struct pen_worker_status
{
	pen_worker_state state;
	pen_position position;
	uint64_t stored_lsn;      /* durable position when it was last opened; 0: none */
	unsigned int wants_epoch; /* READY: the first stream that it can join */
	unsigned int opened;      /* how often it has been READY */
	bool drained;             /* nothing queued, nothing gathered, no open transaction */
	bool pausing;             /* asked to pause, and not there yet */
	uint64_t ahead;           /* transactions that were applied ahead of their commit, */
	uint64_t ahead_undone;    /* and those of which that was undone */
	pen_error error;          /* the last one */
} pen_worker_status;

typedef struct pen_worker pen_worker;

/*
 * A worker that takes ownership of destination and feed. source and log are borrowed. wake is
 * called from its thread whenever the status has changed in a way that the receiver may wait for.
 * NULL without memory (destination and feed are destroyed).
 */
extern pen_worker *pen_worker_new(pen_destination *destination, pen_feed *feed,
								  const pen_source_identity *source, const pen_log *log,
								  void (*wake)(void *), void *wake_context);
/* Let pen_worker_open end with an error where it loads tables. Safe in signal handlers. */
extern void pen_worker_interrupt(pen_worker *worker);

/* Ends the thread at once and destroys the destination: what is queued is dropped. */
extern void pen_worker_free(pen_worker *worker);

/* Open the destination in the caller's thread, the first time; then start the thread, READY, or
 * where down tells why it could not be opened, DOWN. */
extern penstock_status pen_worker_open(pen_worker *worker, pen_error *error);
extern penstock_status pen_worker_run(pen_worker *worker, const pen_error *down, pen_error *error);

/* A stream with this epoch begins at start_lsn; everything of earlier ones is void. Epochs grow. */
extern penstock_status pen_worker_push_start(pen_worker *worker, unsigned int epoch,
											 uint64_t start_lsn, pen_error *error);
/* READY, having been opened so often: go on with what its feed has on disk. */
extern penstock_status pen_worker_push_resume(pen_worker *worker, unsigned int opened);

/* Going on could lose or double rows: stop this destination with error, for good. */
extern penstock_status pen_worker_push_refusal(pen_worker *worker, const pen_error *error);

/*
 * Commit what is gathered at the next transaction boundary, close the destination, and stay closed:
 * PAUSED. One that is DOWN stops trying; one that is STOPPED stays so. Returns at once.
 */
extern void pen_worker_pause(pen_worker *worker);
/* From PAUSED or STOPPED back to where it opens and waits for a stream, without delay; what it
 * rejected before is tried afresh. Takes back a pause that has not come about. Returns at once, and
 * pen_worker_status_get says DOWN from then on. One that is DOWN tries at once. */
extern void pen_worker_resume(pen_worker *worker);

/* PAUSED or STOPPED: the destination's mapping has changed. False without memory. */
extern bool pen_worker_remap(pen_worker *worker);

/* Something was asked of the destination beside the queue: look soon. */
extern void pen_worker_nudge(pen_worker *worker);

extern void pen_worker_status_get(pen_worker *worker, pen_worker_status *status);
/* What people and scripts read: "streaming", "down", "starting", "stopped", "paused". */
extern const char *pen_worker_state_name(pen_worker_state state);
extern pen_destination *pen_worker_destination(pen_worker *worker);
/* Where its items are pushed. */
extern pen_feed *pen_worker_feed(pen_worker *worker);

#endif
