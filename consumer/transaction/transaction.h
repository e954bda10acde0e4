/* transaction.h -- from decoded events to transactions for the destinations.
 * A committed transaction is passed on as it arrives, chunk by chunk: a Begin that we see is
 * already committed. What is not routed anywhere ends here. One thread. */
#ifndef PEN_TRANSACTION_H
#define PEN_TRANSACTION_H

#include "decode/decode.h"
#include "event/chunk.h"
#include "route/route.h"

typedef struct pen_assembler pen_assembler;

/* route is borrowed; NULL takes every table. NULL without memory. */
extern pen_assembler *pen_assembler_new(const pen_route *route);
extern void pen_assembler_free(pen_assembler *assembler);

/* A new stream begins: forget an open transaction and all relations. */
extern void pen_assembler_reset(pen_assembler *assembler);

/* What follows stands in this transaction, whose begin was taken elsewhere. */
extern void pen_assembler_resume(pen_assembler *assembler, const penstock_transaction *transaction);

/*
 * Take one event of the stream and append what it means to chunk. E_DATA when it cannot stand
 * where it stands: a change outside of a transaction, a commit that is not its begin's, commits
 * out of order.
 */
extern penstock_status pen_assembler_take(pen_assembler *assembler, const pen_decoded *decoded,
										  pen_chunk *chunk, pen_error *error);

/* Inside a transaction: nothing after it can have been received whole. */
extern bool pen_assembler_in_transaction(const pen_assembler *assembler);
/* The end LSN of the last complete transaction of this stream; 0: none yet. */
extern uint64_t pen_assembler_end_lsn(const pen_assembler *assembler);

#endif
