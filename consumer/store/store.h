/* store.h -- a log on disk: records in, the same records out, in order, until they are given up.
 * What a sync has covered is there after any crash, or opening the log says what is missing: bytes
 * that are read are believed only after their checksum.
 *
 * On disk, a directory with segments, files named by their number (%020u.log) without a gap:
 *
 *     segment: "PENSTORE", u32 version, u32 0, u64 number, u64 length of the segment before,
 *              u64 last position in that, u64 first position in this, u64 xxh64 of all this
 *     record:  u64 xxh64 of the rest (seed: the segment's number and the record's offset),
 *              u32 length, u32 length here, u64 position, bytes; lz4 where that is shorter
 *
 * and the file `synced`: "PENSYNCD", u64 segment, u64 length, u64 xxh64: everything before has been
 * made durable, so that damage there is no torn end of a crash. All numbers are little-endian.
 *
 * One thread at a time appends (append, segment_full, roll); sync, truncate, cursors and what only
 * asks are for any thread, a cursor for one thread at a time. */
#ifndef PEN_STORE_H
#define PEN_STORE_H

#include "base/error.h"

/* No record is longer: what lz4 takes at once. */
#define PEN_STORE_RECORD_BYTES_MAX ((size_t) 0x7E000000)

/* What pen_store_append says when there is no room: nothing failed, and the error tells why. */
#define PEN_STORE_FULL PENSTOCK_AGAIN

typedef struct pen_store pen_store;
typedef struct pen_store_cursor pen_store_cursor;

/* All zero is a scratch log without a limit. */
typedef struct pen_store_options
{
	uint64_t segment_bytes_max; /* 0: 64 MB; at most a quarter of bytes_max */
	uint64_t bytes_max;         /* on disk; 0: no limit */
	bool durable;               /* false: never synced, of no use after a crash, gone at close */
} pen_store_options;

/* A record as it was appended. data is borrowed until the next call on the cursor. */
typedef struct pen_store_record
{
	const uint8_t *data;
	size_t len;
	uint64_t position;
	uint64_t segment; /* its number: another one than before means that a segment begins */
} pen_store_record;

/*
 * Open the log in a directory, which is made (0700) if it is not there. A durable one is taken up:
 * a record that a crash has cut short is cut off with all after it, if it was not synced; what is
 * there then is durable. New records go to a new segment. Of a scratch log nothing is taken up.
 * NULL and error: E_REFUSED names file and offset of damage to what was synced; E_RETRY: the
 * operating system's reason.
 */
extern pen_store *pen_store_open(const char *directory, const pen_store_options *options,
								 pen_error *error);
/* Syncs a durable log as well as it can; removes a scratch log with its directory. After all its
 * cursors. NULL is harmless. */
extern void pen_store_close(pen_store *store);

/*
 * Append a record of len bytes (at least one). position: not below the last one's. PEN_STORE_FULL:
 * bytes_max would be exceeded, or there is no space; the log is as before. E_RETRY: could not
 * write; a later try may help.
 */
extern PENSTOCK_MUST_CHECK penstock_status pen_store_append(pen_store *store, const void *data,
															size_t len, uint64_t position,
															pen_error *error);

/* The segment has its size, or there is none: before the next append, have another one begin. Who
 * never does so has one segment, of which nothing can be truncated. */
extern bool pen_store_segment_full(const pen_store *store);
/* Have the next record begin a segment. The one that ends is synced first. */
extern PENSTOCK_MUST_CHECK penstock_status pen_store_roll(pen_store *store, pen_error *error);

/*
 * Make durable what was appended before the call, while appends go on. *position, which may be
 * NULL: that of the last record that is durable now, or 0. After a failure the log takes no more
 * records, and what was not durable is gone. Does nothing for a scratch log.
 */
extern PENSTOCK_MUST_CHECK penstock_status pen_store_sync(pen_store *store, uint64_t *position,
														  pen_error *error);

/* Remove the segments all of whose records are before position, but never the last one, nor the
 * last of a durable log of which anything has been synced. A cursor in one of them reads it to its
 * end, and then the first that is left. */
extern void pen_store_truncate(pen_store *store, uint64_t position);
/* Remove everything; positions may begin anywhere then. While nobody appends or syncs. */
extern PENSTOCK_MUST_CHECK penstock_status pen_store_reset(pen_store *store, pen_error *error);

/* Bytes on disk. */
extern uint64_t pen_store_bytes(const pen_store *store);
/* Positions of the first and the last record; false: there is none. */
extern bool pen_store_positions(const pen_store *store, uint64_t *first, uint64_t *last);
/* How many bytes opening has cut off. */
extern uint64_t pen_store_cut(const pen_store *store);

/*
 * A cursor at the beginning of the segment with the first record at or after from_position (0: at
 * the first of all). NULL without memory. pen_store_cursor_free(NULL) is harmless.
 */
extern pen_store_cursor *pen_store_cursor_new(pen_store *store, uint64_t from_position);
extern void pen_store_cursor_free(pen_store_cursor *cursor);

/* The next record. PENSTOCK_OK; PENSTOCK_AGAIN at the end of what has been appended; E_REFUSED:
 * damaged, with file and offset; E_RETRY: could not read. */
extern PENSTOCK_MUST_CHECK penstock_status pen_store_next(pen_store_cursor *cursor,
														  pen_store_record *record,
														  pen_error *error);
/* The bytes of the record that came last are the caller's from now on, for free(). */
extern void *pen_store_take(pen_store_cursor *cursor);

#endif
