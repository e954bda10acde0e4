/* worker_private.h -- what worker.c, worker_state.c and worker_stream.c share. */
#ifndef PEN_WORKER_PRIVATE_H
#define PEN_WORKER_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "destination/worker.h"
#include "route/mapper.h"

/* What pen_worker_pause and pen_worker_resume leave for the thread. */
typedef enum worker_request
{
	REQUEST_NONE,
	REQUEST_PAUSE,
	REQUEST_RESUME
} worker_request;

/* What the destination was handed of a transaction in progress. */
typedef struct worker_ahead
{
	uint32_t xid;      /* 0: nothing */
	uint64_t count;    /* changes, as they came */
	bool begun;        /* and the destination has one of them */
	uint64_t sequence; /* of the last of them */
	uint64_t passed;   /* that have come again behind the begin; the open transaction is claimed */
	bool claimed;
	uint32_t banned; /* one that failed: not again */
	uint64_t kept;   /* how many were claimed and committed, ever, */
	uint64_t lost;   /* and undone */
} worker_ahead;

struct pen_worker
{
	pen_destination *destination;
	const pen_source_identity *source;
	const pen_log *log;
	void (*wake)(void *);
	void *wake_context;
	pen_feed *feed;
	pen_mapper *mapper; /* the thread's own; NULL: nothing is mapped */
	pthread_t thread;
	bool running;
	atomic_bool quit;
	atomic_uint epoch; /* of the newest stream, as the receiver sees it */

	pthread_mutex_t lock; /* for status, and for nothing that waits */
	pen_worker_status status;
	uint64_t status_handled;
	worker_request request; /* taken by the thread in one step with the change of state */

	/* The thread's own. */
	pen_position position;
	bool open;
	bool in_transaction;
	bool skipping;        /* the open transaction is one that the destination has */
	bool gathered;        /* something was handed over since the last flush */
	bool whole;           /* and the end of a transaction, too */
	uint64_t open_lsn;    /* commit LSN of the open transaction */
	uint64_t careful_lsn; /* flush before this transaction begins */
	uint64_t handled;     /* items that came through memory */
	worker_ahead ahead;
	int poll_ms;
	pen_backoff backoff;
	bool at_once; /* the next attempt to open waits for nothing */
	bool probing;
	uint64_t data_error_lsn; /* where a row was last rejected */
	bool data_error_seen;
};

/* ---- worker_state.c: the worker's thread, and before it starts its owner's ---- */

extern pen_worker_state pen_worker_state_get(pen_worker *worker);

/* Tell the receiver the state, the position, and error if there is one,
 * else the last one stays. */
extern void pen_worker_publish(pen_worker *worker, pen_worker_state state, const pen_error *error);

/* Open, and ready for the next stream to begin, not for the one that runs. */
extern void pen_worker_publish_ready(pen_worker *worker);

extern worker_request pen_worker_request_get(pen_worker *worker);

/* Is there something to obey now? A pause waits for the end of a transaction. */
extern bool pen_worker_request_is_due(pen_worker *worker);

/* The request is taken together with the change of state, so that nobody sees the old state without
 * the request. One that has replaced it meanwhile is left for the next look. */
extern void pen_worker_obeyed(pen_worker *worker, worker_request request, pen_worker_state state);

/* ---- worker_ahead.c: the worker's thread ---- */

/* Hand over changes of a transaction in progress. A failure is the destination's otherwise: what is
 * before them is committed first. */
extern penstock_status pen_worker_go_ahead(pen_worker *worker, const pen_item *item,
										   pen_error *error);

/* Undo what was handed over so, where there is something. */
extern void pen_worker_forgo(pen_worker *worker);

/* The destination is closed, or about to begin anew, which undoes it. ban: whatever it was that
 * failed, this transaction does not go ahead again. */
extern void pen_worker_forget_ahead(pen_worker *worker, bool ban);

/* A transaction begins: claim what was handed over of it. Before it is handed over itself. */
extern penstock_status pen_worker_claim(pen_worker *worker, const penstock_transaction *transaction,
										pen_error *error);

/* Was this event of the open transaction handed over before? E_RETRY where it is not what came
 * then: *passed is of no use. */
extern penstock_status pen_worker_pass(pen_worker *worker, const penstock_event *event,
									   bool *passed, pen_error *error);

/* The open transaction was handed over with its commit. */
extern void pen_worker_end_claim(pen_worker *worker);

/* ---- worker_stream.c: the worker's thread ---- */

/* What was handed over since the last flush is void, with the open transaction. */
extern void pen_worker_forget_stream(pen_worker *worker);

/* What this destination is to have of an event: *mapped, which may be NULL. */
extern penstock_status pen_worker_map(pen_worker *worker, const penstock_event *event,
									  const penstock_event **mapped, pen_error *error);

/* Commit what is gathered. */
extern penstock_status pen_worker_flush(pen_worker *worker, pen_error *error);

/* Do what an item says. A failure means that the destination must be closed. */
extern penstock_status pen_worker_handle(pen_worker *worker, pen_item *item, pen_error *error);

/* Nothing is queued: commit what is gathered, and see what has become durable. */
extern penstock_status pen_worker_drained(pen_worker *worker, pen_error *error);

#endif
