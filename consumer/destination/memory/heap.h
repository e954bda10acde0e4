/* heap.h -- the rows of a table and the hash index over them.
 * One thread writes; others may read the newest versions at any time without a lock, and the index
 * under the heap's lock. What a version holds never changes once it is in a heap. */
#ifndef PEN_MEMORY_HEAP_H
#define PEN_MEMORY_HEAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "destination/memory/slab.h"

#define PEN_NO_ROW            UINT32_MAX
#define PEN_VERSION_TOMBSTONE 1 /* the row is deleted as of this version */

/* One state of a row: from the commit at lsn until the next newer version. */
typedef struct pen_version pen_version;
struct pen_version
{
	pen_version *older; /* dangling once nobody can need it */
	uint64_t lsn;       /* commit LSN; 0: loaded */
	uint32_t len;
	uint16_t schema; /* which description of the table the values follow */
	uint16_t flags;
	uint8_t data[]; /* Values as on the wire */
};

/*
 * A row: its newest version (the slot), and its place in the index, which is the next row of its
 * chain (or of the free list) and its hash. Side by side, because whoever looks a row up needs all
 * of it, and each cache line that a scan has driven out costs as much as the rest of a change.
 */
typedef struct pen_row_cell
{
	_Atomic(pen_version *) newest;
	uint32_t next;
	uint32_t hash;
} pen_row_cell;

/*
 * Rows have numbers. Segments hold the cells of 64, 64, 128 … 4096 and then 8192 rows each, so that
 * small tables are small and nothing ever moves; only the directory is replaced as it grows.
 */
typedef struct pen_heap_directory pen_heap_directory;
struct pen_heap_directory
{
	pen_heap_directory *older; /* kept for readers until the heap goes */
	uint32_t size;
	pen_row_cell *segments[];
};

typedef struct pen_heap pen_heap;
struct pen_heap
{
	_Atomic(pen_heap_directory *) directory;
	atomic_uint limit; /* row numbers below it have been in use */

	/* The writer's own. */
	pen_slab slab;
	uint32_t segment_count;
	uint32_t free_row;
	uint32_t live; /* rows whose newest version is no tombstone, committed or not */
	size_t bytes;  /* of segments, directories and index; the slab counts its own */

	/* Linear hashing: buckets 0..bucket_count; those below `split` are divided already. */
	pthread_mutex_t lock; /* of everything below, and of next and hash of indexed rows */
	uint32_t **buckets;   /* pieces of BUCKETS_IN_PIECE */
	uint16_t **traces;    /* of each bucket: a bit for each hash that is, or was, in its chain */
	uint32_t bucket_count;
	uint32_t bucket_mask;
	uint32_t indexed;

	/* Of the table: the heap before the TRUNCATE at lsn. */
	pen_heap *older;
	uint64_t lsn;
	bool retired;   /* all of it waits to be freed */
	bool keyed;     /* deleted rows stay in the index as long as a snapshot may look for them */
	size_t counted; /* bytes that the store has counted */
};

/* An empty heap, or NULL without memory. */
extern pen_heap *pen_heap_new(void);
extern void pen_heap_free(pen_heap *heap);
extern size_t pen_heap_bytes(const pen_heap *heap);

/* A new version with room for len bytes, older NULL and flags 0; or NULL without memory. */
extern pen_version *pen_heap_new_version(pen_heap *heap, uint64_t lsn, uint16_t schema,
										 uint32_t len);
/* Nobody may be able to see it any more. NULL is harmless. */
extern void pen_heap_free_version(pen_heap *heap, pen_version *version);

/* Put a new row with this first version into slots and index; its number, or PEN_NO_ROW without
 * memory. */
extern uint32_t pen_heap_add_row(pen_heap *heap, uint32_t hash, pen_version *version);
/* Empty the row's slot, which leaves its number to be used again. It must not be indexed. */
extern void pen_heap_remove_row(pen_heap *heap, uint32_t row);

/* Take a row out of the index, and put it back. */
extern void pen_heap_unindex(pen_heap *heap, uint32_t row);
extern bool pen_heap_reindex(pen_heap *heap, uint32_t row);

/* Rows whose hash is the same, one after the other, until PEN_NO_ROW. Called by the writer, or
 * under the lock. */
extern uint32_t pen_heap_first(const pen_heap *heap, uint32_t hash);
extern uint32_t pen_heap_next(const pen_heap *heap, uint32_t row);

/* The cell of a row below the limit. Any thread; what of it they may touch is said above. */
static inline pen_row_cell *
pen_heap_cell(const pen_heap_directory *directory, uint32_t row)
{
	uint32_t k;

	if (row >= 8192)
		return &directory->segments[7 + (row >> 13)][row & 8191];
	if (row < 64)
		return &directory->segments[0][row];
	k = 26 - (uint32_t) __builtin_clz(row);
	return &directory->segments[k][row - (32u << k)];
}

static inline _Atomic(pen_version *) *
pen_heap_slot(const pen_heap *heap, uint32_t row)
{
	return &pen_heap_cell(atomic_load_explicit(&heap->directory, memory_order_acquire), row)
				->newest;
}

static inline pen_version *
pen_heap_newest(const pen_heap *heap, uint32_t row)
{
	return atomic_load_explicit(pen_heap_slot(heap, row), memory_order_acquire);
}

static inline void
pen_heap_set_newest(pen_heap *heap, uint32_t row, pen_version *version)
{
	atomic_store_explicit(pen_heap_slot(heap, row), version, memory_order_release);
}

#endif
