/* streamed.c -- who has been streamed, and who of them was aborted unnoticed.
 * Asked only when the whole is known to be committed or prepared: then a part that is not aborted
 * is part of it. */
#include "postgres.h"

#include "streamed.h"

#include "access/transam.h"
#include "utils/hsearch.h"

typedef struct StreamedPart
{
	TransactionId xid; /* first, the key */
	TransactionId top;
} StreamedPart;

static HTAB *
make_table(MemoryContext context)
{
	HASHCTL control = {
		.keysize = sizeof(TransactionId), .entrysize = sizeof(StreamedPart), .hcxt = context};

	return hash_create("penstock streamed", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
streamed_note(LogicalDecodingContext *ctx, PenstockData *data, TransactionId top, TransactionId xid)
{
	StreamedPart *part;

	if (xid == top)
		return;
	if (data->streamed == NULL)
		data->streamed = make_table(ctx->context);
	part = hash_search(data->streamed, &xid, HASH_ENTER, NULL);
	part->top = top;
}

/* All of top; those that were aborted are told of where ctx is given. */
static void
end_parts(LogicalDecodingContext *ctx, PenstockData *data, TransactionId top)
{
	HASH_SEQ_STATUS all;
	StreamedPart *part;

	hash_seq_init(&all, data->streamed);
	while ((part = hash_seq_search(&all)) != NULL)
	{
		Penstock__V1__StreamAbort message = PENSTOCK__V1__STREAM_ABORT__INIT;

		if (part->top != top)
			continue;
		message.xid = top;
		message.subxid = part->xid;
		if (ctx != NULL && TransactionIdDidAbort(part->xid))
			native_message(ctx, data, PEN_EVENT_STREAM_ABORT, &message.base);
		hash_search(data->streamed, &part->xid, HASH_REMOVE, NULL);
	}
}

void
streamed_forget(PenstockData *data, TransactionId top, TransactionId xid)
{
	if (data->streamed == NULL)
		return;
	if (xid == top)
		end_parts(NULL, data, top);
	else
		hash_search(data->streamed, &xid, HASH_REMOVE, NULL);
}

void
streamed_abort_missed(LogicalDecodingContext *ctx, PenstockData *data, TransactionId top)
{
	if (data->streamed != NULL)
		end_parts(ctx, data, top);
}
