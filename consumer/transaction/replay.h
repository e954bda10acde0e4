/* replay.h -- from records that event/encode.h wrote to chunks.
 * Each comes out as it went in. What is read may have been damaged: it is checked like a stream. */
#ifndef PEN_REPLAY_H
#define PEN_REPLAY_H

#include "base/error.h"
#include "event/chunk.h"

typedef struct pen_replay pen_replay;

/* NULL without memory. pen_replay_free(NULL) is harmless. */
extern pen_replay *pen_replay_new(void);
extern void pen_replay_free(pen_replay *replay);

/*
 * The chunk of a record. The first record, and any later one, may be the first after a reset of
 * the encoder; else records come in the order in which they were written. Takes ownership of bytes
 * (for free()), also on failure. The chunk is not sealed. NULL and error: E_DATA, damaged; E_RETRY,
 * no memory.
 */
extern pen_chunk *pen_replay_chunk(pen_replay *replay, void *bytes, size_t len, pen_error *error);

#endif
