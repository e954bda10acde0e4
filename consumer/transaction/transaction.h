/* transaction.h -- from decoded events to transactions for the destinations.
 * A committed transaction is passed on as it arrives, chunk by chunk: a Begin that we see is
 * already committed. Parts of one that is still in progress are kept, and handed out once it has
 * committed. What is not routed anywhere ends here. One thread. */
#ifndef PEN_TRANSACTION_H
#define PEN_TRANSACTION_H

#include "decode/decode.h"
#include "event/chunk.h"
#include "route/route.h"
#include "route/amendments.h"
#include "store/statedir.h"
#include "transaction/ahead.h"

/* Of the name of a prepared transaction, its NUL included: PostgreSQL's GIDSIZE. */
#define PEN_GID_SIZE 200

typedef struct pen_assembler pen_assembler;

/* route is borrowed; NULL takes every table. NULL without memory. */
extern pen_assembler *pen_assembler_new(const pen_route *route);
/* Tables that amendments add are taken too; borrowed. To be called again before anything else when
 * it has changed. */
extern void pen_assembler_amend(pen_assembler *assembler, const pen_amendments *amendments);
extern void pen_assembler_free(pen_assembler *assembler);

/* Parts of transactions in progress take this much memory; what is more goes to scratch files of
 * state, which is borrowed. Without this there is no limit. */
extern void pen_assembler_limit(pen_assembler *assembler, pen_statedir *state, size_t bytes_max);

/* Copy the name of a prepared transaction, with a NUL. False: it is empty, too long, or has a NUL
 * in it. */
extern bool pen_gid_copy(char gid[PEN_GID_SIZE], const uint8_t *bytes, size_t len);

/* A new stream begins: forget what is open or kept, and all relations. */
extern void pen_assembler_reset(pen_assembler *assembler);

/* The stream begins at lsn: what was prepared before it has not been sent, and comes at its
 * commit. After a reset. */
extern void pen_assembler_start(pen_assembler *assembler, uint64_t lsn);

/* What follows stands in this transaction, whose begin was taken elsewhere. */
extern void pen_assembler_resume(pen_assembler *assembler, const penstock_transaction *transaction);

/*
 * Take one event of the stream and append what it means to chunk, which holds the event's bytes.
 * Not while something is pending. E_DATA when it cannot stand where it stands: a change outside of
 * a transaction, a commit that is not its begin's, commits out of order. E_RETRY: no memory, or no
 * space on disk for what is kept.
 */
extern penstock_status pen_assembler_take(pen_assembler *assembler, const pen_decoded *decoded,
										  pen_chunk *chunk, pen_error *error);

/* A transaction of which parts were kept has committed: it comes out of pen_assembler_next, and
 * nothing else may be taken before it has. */
extern bool pen_assembler_pending(const pen_assembler *assembler);
/* The next chunk of it, not sealed; never an empty one. decoder: the one that has read its parts.
 * NULL and error: as pen_assembler_take; E_RETRY also where a scratch file is damaged. */
extern pen_chunk *pen_assembler_next(pen_assembler *assembler, pen_decoder *decoder,
									 pen_error *error);

/*
 * Let one transaction in progress at a time go ahead: what of it was taken comes out of
 * pen_assembler_ahead after each pen_assembler_take, and once more when it has committed. decoder
 * is the one that reads the stream, and borrowed.
 */
extern void pen_assembler_go_ahead(pen_assembler *assembler, pen_decoder *decoder);
/* What the last message brought of it; again, until it is false. */
extern bool pen_assembler_ahead(pen_assembler *assembler, pen_ahead_part *part);
/* Nobody takes it: another one may. */
extern void pen_assembler_leave_ahead(pen_assembler *assembler);
/* One goes ahead, and more of it may come. */
extern bool pen_assembler_goes_ahead(const pen_assembler *assembler);

/* Inside a committed transaction, pending ones included: nothing after it can have been received
 * whole. Parts of those in progress do not count: they hold nothing back. */
extern bool pen_assembler_in_transaction(const pen_assembler *assembler);
/* The end LSN of the last complete transaction of this stream; 0: none yet. */
extern uint64_t pen_assembler_end_lsn(const pen_assembler *assembler);

#endif
