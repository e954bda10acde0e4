/* encode.h -- chunks as bytes again: what transaction/replay.h reads back.
 * What is written between two resets can be read by itself:
 * it says of every relation what it is. */
#ifndef PEN_ENCODE_H
#define PEN_ENCODE_H

#include "base/error.h"
#include "event/chunk.h"
#include "wire.h"

/*
 * A record is one chunk: its head, then events of the wire format.
 *
 *     u8 version, u8 flags
 *     varint count, so often: varint number of a change in the record, counted from 0, and varint
 *         its sequence; those after it follow one by one
 *     PEN_RECORD_CONTINUES: varint xid, varint commit LSN, varint commit time (as uint64), varint
 *         end LSN, varint length of the gid (0: none) and the gid, of the transaction in which the
 *         first event stands
 *
 * PEN_RECORD_FRESH: the first one after a reset; its first event is a Session.
 */
#define PEN_RECORD_VERSION   1
#define PEN_RECORD_FRESH     1
#define PEN_RECORD_CONTINUES 2

typedef struct pen_encoder pen_encoder;

/* As after a reset. NULL without memory. pen_encoder_free(NULL) is harmless. */
extern pen_encoder *pen_encoder_new(void);
extern void pen_encoder_free(pen_encoder *encoder);
/* What follows will be read without what was written before: a segment begins. */
extern void pen_encoder_reset(pen_encoder *encoder);

/* Append the record of a chunk with at least one event. E_RETRY: no memory; reset the encoder then.
 * One thread at a time. */
extern penstock_status pen_encoder_append(pen_encoder *encoder, const pen_chunk *chunk,
										  pen_wire_buf *buf, pen_error *error);

#endif
