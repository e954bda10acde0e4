/* shelf.h -- where changes wait whose transaction has not ended yet: in memory, and beyond a limit
 * in scratch files. A parcel is one transaction; of what was aborted in it nothing is handed out
 * again. One thread. */
#ifndef PEN_SHELF_H
#define PEN_SHELF_H

#include "base/error.h"
#include "event/chunk.h"
#include "store/statedir.h"

typedef struct pen_shelf pen_shelf;
typedef struct pen_parcel pen_parcel;

/* Some bytes of a parcel: whole events as they stood in the stream. */
typedef struct pen_piece
{
	pen_chunk *chunk; /* has no events yet; owns the bytes, and is the caller's */
	const uint8_t *data;
	size_t len;
	uint32_t subxid; /* in which the first event stands */
} pen_piece;

/* NULL without memory. pen_shelf_free(NULL) is harmless. */
extern pen_shelf *pen_shelf_new(void);
extern void pen_shelf_free(pen_shelf *shelf);

/* All parcels together keep this much in memory; what is more goes to the scratch files of state,
 * which is borrowed. Without this there is no limit. */
extern void pen_shelf_limit(pen_shelf *shelf, pen_statedir *state, size_t bytes_max);

/* Drop all parcels. */
extern void pen_shelf_clear(pen_shelf *shelf);

/* The parcel of a transaction, or NULL. */
extern pen_parcel *pen_shelf_find(const pen_shelf *shelf, uint32_t xid);
/* A new, empty one; NULL without memory. */
extern pen_parcel *pen_shelf_add(pen_shelf *shelf, uint32_t xid);
/* With its files. NULL is harmless. */
extern void pen_shelf_drop(pen_shelf *shelf, pen_parcel *parcel);

/* Keep an event: bytes within chunk, to which the parcel keeps a reference. subxid: the transaction
 * in which it stands, or which it names. E_RETRY: no memory, no space on disk. */
extern penstock_status pen_shelf_keep(pen_shelf *shelf, pen_parcel *parcel, pen_chunk *chunk,
									  const uint8_t *bytes, size_t len, uint32_t subxid,
									  pen_error *error);

/* A sub-transaction was aborted. False without memory. */
extern bool pen_parcel_abort(pen_parcel *parcel, uint32_t subxid);
extern bool pen_parcel_is_aborted(pen_parcel *parcel, uint32_t subxid);

/* Take the next piece out, in the order of keeping. PENSTOCK_OK; PENSTOCK_DONE: there is none;
 * E_RETRY: the file is damaged or could not be read. */
extern penstock_status pen_parcel_next(pen_shelf *shelf, pen_parcel *parcel, pen_piece *piece,
									   pen_error *error);
/* No piece is left. */
extern bool pen_parcel_is_empty(const pen_parcel *parcel);

#endif
