/* streamed.h -- the sub-transactions of which changes have been streamed.
 * PostgreSQL tells of the abort of each, but for one whose changes went to disk first, as they do
 * when logical_decoding_work_mem is met in the middle of a toasted row (seen with 15.20). So at the
 * end of a streamed transaction what became of each is looked up. */
#ifndef PENSTOCK_STREAMED_H
#define PENSTOCK_STREAMED_H

#include "format.h"

/* Changes of xid, a sub-transaction of top unless it is top itself, are about to be sent. */
extern void streamed_note(LogicalDecodingContext *ctx, PenstockData *data, TransactionId top,
						  TransactionId xid);

/* StreamAbort for xid, a sub-transaction of top or top itself, has been or need not be sent. */
extern void streamed_forget(PenstockData *data, TransactionId top, TransactionId xid);

/* StreamAbort for those of top that were aborted and are still noted. Then none of top are. */
extern void streamed_abort_missed(LogicalDecodingContext *ctx, PenstockData *data,
								  TransactionId top);

#endif
