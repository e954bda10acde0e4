/* worker.h -- one thread that drives one destination from its queue, whatever happens to it.
 * The receiver pushes and reads the status; it never waits for a worker, except to end it. */
#ifndef PEN_WORKER_H
#define PEN_WORKER_H

#include "destination/destination.h"
#include "event/chunk.h"

typedef enum pen_worker_state
{
	PEN_WORKER_STREAMING, /* takes what is pushed */
	PEN_WORKER_DOWN,      /* failed; tries again by itself; what is pushed is dropped */
	PEN_WORKER_READY,     /* open again; waits for the stream to begin anew */
	PEN_WORKER_STOPPED    /* failed for good: a person is needed */
} pen_worker_state;

typedef struct pen_worker_status
{
	pen_worker_state state;
	pen_position position;
	uint64_t stored_lsn;      /* durable position when it was last opened; 0: none */
	unsigned int wants_epoch; /* READY: the first stream that it can join */
	bool drained;             /* nothing queued, nothing gathered, no open transaction */
	size_t queue_bytes;
	pen_error error; /* the last one */
} pen_worker_status;

typedef struct pen_worker pen_worker;

/*
 * A worker that takes ownership of destination. source and log are borrowed. wake is called from
 * its thread whenever the status has changed in a way that the receiver may wait for. NULL without
 * memory (the destination is destroyed).
 */
extern pen_worker *pen_worker_new(pen_destination *destination, const pen_source_identity *source,
								  const pen_log *log, void (*wake)(void *), void *wake_context);
/* Ends the thread at once and destroys the destination: what is queued is dropped. */
extern void pen_worker_free(pen_worker *worker);

/* Open the destination in the caller's thread, the first time; then start the thread, READY. */
extern penstock_status pen_worker_open(pen_worker *worker, pen_error *error);
extern penstock_status pen_worker_run(pen_worker *worker, pen_error *error);

/* A stream with this epoch begins at start_lsn; everything of earlier ones is void. Epochs grow. */
extern penstock_status pen_worker_push_start(pen_worker *worker, unsigned int epoch,
											 uint64_t start_lsn);
/* Takes a reference of its own. */
extern penstock_status pen_worker_push_chunk(pen_worker *worker, pen_chunk *chunk);
/* Nothing of interest comes before lsn: see the destination's advance. */
extern penstock_status pen_worker_push_advance(pen_worker *worker, uint64_t lsn);

/* Going on could lose or double rows: stop this destination with error, for good. */
extern penstock_status pen_worker_push_refusal(pen_worker *worker, const pen_error *error);

/* Something was asked of the destination beside the queue: look soon. */
extern void pen_worker_nudge(pen_worker *worker);

extern void pen_worker_status_get(pen_worker *worker, pen_worker_status *status);
extern pen_destination *pen_worker_destination(pen_worker *worker);

#endif
