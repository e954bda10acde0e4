/* heap.c -- rows in segments that never move, found by linear hashing.
 * The index grows by one bucket at a time, so no insert waits for a rehash. */
#include "destination/memory/heap.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS_IN_PIECE 4096u
#define BUCKETS_FIRST    16u
/* Rows a bucket: each step in a chain is a cache miss, each bucket costs six bytes. */
#define BUCKET_FILL    2u
#define DIRECTORY_SIZE 16u
#define BUCKET_BYTES   (sizeof(uint32_t) + sizeof(uint16_t))

static uint32_t
segment_size(uint32_t segment)
{
	if (segment == 0)
		return 64;
	return segment < 8 ? 32u << segment : 8192;
}

pen_heap *
pen_heap_new(void)
{
	pen_heap *heap = calloc(1, sizeof(*heap));

	if (heap == NULL)
		return NULL;
	pen_slab_init(&heap->slab);
	atomic_init(&heap->directory, NULL);
	atomic_init(&heap->limit, 0);
	pthread_mutex_init(&heap->lock, NULL);
	heap->free_row = PEN_NO_ROW;
	heap->bytes = sizeof(*heap);
	return heap;
}

static uint32_t
piece_count(uint32_t bucket_count)
{
	return (bucket_count + BUCKETS_IN_PIECE - 1) / BUCKETS_IN_PIECE;
}

void
pen_heap_free(pen_heap *heap)
{
	pen_heap_directory *directory;

	if (heap == NULL)
		return;
	directory = atomic_load_explicit(&heap->directory, memory_order_relaxed);
	for (uint32_t i = 0; i < heap->segment_count; i++)
		free(directory->segments[i]);
	while (directory != NULL)
	{
		pen_heap_directory *older = directory->older;

		free(directory);
		directory = older;
	}
	for (uint32_t i = 0; i < piece_count(heap->bucket_count); i++)
	{
		free(heap->buckets[i]);
		free(heap->traces[i]);
	}
	free(heap->buckets);
	free(heap->traces);
	pen_slab_reset(&heap->slab);
	pthread_mutex_destroy(&heap->lock);
	free(heap);
}

size_t
pen_heap_bytes(const pen_heap *heap)
{
	return heap->bytes + heap->slab.bytes;
}

pen_version *
pen_heap_new_version(pen_heap *heap, uint64_t lsn, uint16_t schema, uint32_t len)
{
	pen_version *version = pen_slab_alloc(&heap->slab, sizeof(*version) + len);

	if (version != NULL)
		*version = (pen_version){.lsn = lsn, .schema = schema, .len = len};
	return version;
}

void
pen_heap_free_version(pen_heap *heap, pen_version *version)
{
	if (version != NULL)
		pen_slab_free(&heap->slab, version, sizeof(*version) + version->len);
}

/* ---- slots ---- */

static bool
grow_directory(pen_heap *heap)
{
	pen_heap_directory *old = atomic_load_explicit(&heap->directory, memory_order_relaxed);
	uint32_t size = old == NULL ? DIRECTORY_SIZE : old->size * 2;
	size_t bytes = sizeof(*old) + size * sizeof(old->segments[0]);
	pen_heap_directory *directory = malloc(bytes);

	if (directory == NULL)
		return false;
	memset(directory, 0, bytes);
	if (old != NULL)
		memcpy(directory->segments, old->segments, old->size * sizeof(old->segments[0]));
	directory->older = old;
	directory->size = size;
	heap->bytes += bytes;
	atomic_store_explicit(&heap->directory, directory, memory_order_release);
	return true;
}

static bool
add_segment(pen_heap *heap)
{
	uint32_t size = segment_size(heap->segment_count);
	pen_heap_directory *directory = atomic_load_explicit(&heap->directory, memory_order_relaxed);
	pen_row_cell *segment;

	if (directory == NULL || heap->segment_count == directory->size)
	{
		if (!grow_directory(heap))
			return false;
		directory = atomic_load_explicit(&heap->directory, memory_order_relaxed);
	}
	segment = malloc(size * sizeof(*segment));
	if (segment == NULL)
		return false;
	for (uint32_t i = 0; i < size; i++)
		atomic_init(&segment[i].newest, NULL);
	heap->bytes += size * sizeof(*segment);
	directory->segments[heap->segment_count++] = segment; /* published by `limit` */
	return true;
}

/* By the writer, or under the lock. */
static inline pen_row_cell *
cell_of(const pen_heap *heap, uint32_t row)
{
	return pen_heap_cell(atomic_load_explicit(&heap->directory, memory_order_relaxed), row);
}

/* ---- the index ---- */

static inline uint32_t
bucket_number(const pen_heap *heap, uint32_t hash)
{
	uint32_t n = hash & heap->bucket_mask;

	return n < heap->bucket_count ? n : n & heap->bucket_mask >> 1;
}

static inline uint32_t *
bucket_of(const pen_heap *heap, uint32_t hash)
{
	uint32_t n = bucket_number(heap, hash);

	return &heap->buckets[n / BUCKETS_IN_PIECE][n % BUCKETS_IN_PIECE];
}

static inline uint16_t *
traces_of(const pen_heap *heap, uint32_t hash)
{
	uint32_t n = bucket_number(heap, hash);

	return &heap->traces[n / BUCKETS_IN_PIECE][n % BUCKETS_IN_PIECE];
}

/* A new key, as every insert has one, is then seldom looked for in a chain, where each row is a
 * cache miss; and sixteen bits a bucket stay in the cache longer than the chains' beginnings do.
 * The bit comes from the hash's other end than the bucket. */
static inline uint16_t
trace(uint32_t hash)
{
	return (uint16_t) (1u << (hash >> 28));
}

static bool
add_piece(pen_heap *heap, uint32_t size)
{
	uint32_t count = piece_count(heap->bucket_count);
	uint32_t **buckets = realloc(heap->buckets, (count + 1) * sizeof(*buckets));
	uint16_t **traces;

	if (buckets == NULL)
		return false;
	heap->buckets = buckets;
	traces = realloc(heap->traces, (count + 1) * sizeof(*traces));
	if (traces == NULL)
		return false;
	heap->traces = traces;
	buckets[count] = malloc(size * sizeof(**buckets));
	traces[count] = calloc(size, sizeof(**traces));
	if (buckets[count] == NULL || traces[count] == NULL)
	{
		free(buckets[count]);
		free(traces[count]);
		return false;
	}
	memset(buckets[count], 0xff, size * sizeof(**buckets));
	heap->bytes += size * BUCKET_BYTES + sizeof(*buckets) + sizeof(*traces);
	return true;
}

/* The first piece is as large as the table is, so that small tables stay small. */
static bool
grow_first_piece(pen_heap *heap)
{
	uint32_t size = heap->bucket_count * 2;
	uint32_t *piece = realloc(heap->buckets[0], size * sizeof(*piece));
	uint16_t *traces;

	if (piece == NULL)
		return false;
	heap->buckets[0] = piece;
	traces = realloc(heap->traces[0], size * sizeof(*traces));
	if (traces == NULL)
		return false;
	heap->traces[0] = traces;
	memset(piece + heap->bucket_count, 0xff, heap->bucket_count * sizeof(*piece));
	memset(traces + heap->bucket_count, 0, heap->bucket_count * sizeof(*traces));
	heap->bytes += heap->bucket_count * BUCKET_BYTES;
	return true;
}

/* The rows that the next split looks at lie anywhere: have the first of them fetched meanwhile. */
static void
prefetch_next_split(const pen_heap *heap)
{
	uint32_t row = *bucket_of(heap, heap->bucket_count);

	if (row != PEN_NO_ROW)
		__builtin_prefetch(cell_of(heap, row), 1);
}

/* Add one bucket and move to it what belongs there from the bucket that it divides. Without
 * memory the chains just get longer. */
static void
split_bucket(pen_heap *heap)
{
	uint32_t added = heap->bucket_count;
	uint16_t *traces;
	uint32_t *from;
	uint32_t *to;

	if (added % BUCKETS_IN_PIECE == 0)
	{
		if (!add_piece(heap, BUCKETS_IN_PIECE))
			return;
	}
	else if (added < BUCKETS_IN_PIECE && (added & (added - 1)) == 0 && !grow_first_piece(heap))
		return;
	if (added > heap->bucket_mask)
		heap->bucket_mask = heap->bucket_mask * 2 + 1;
	from = bucket_of(heap, added);
	traces = traces_of(heap, added);
	*traces = 0;
	heap->bucket_count++;
	to = bucket_of(heap, added);
	while (*from != PEN_NO_ROW)
	{
		uint32_t row = *from;
		pen_row_cell *cell = cell_of(heap, row);

		if ((cell->hash & heap->bucket_mask) == added)
		{
			*from = cell->next;
			cell->next = *to;
			*to = row;
			*traces_of(heap, added) |= trace(cell->hash);
		}
		else
		{
			*traces |= trace(cell->hash);
			from = &cell->next;
		}
	}
	prefetch_next_split(heap);
}

bool
pen_heap_reindex(pen_heap *heap, uint32_t row)
{
	pen_row_cell *cell = cell_of(heap, row);
	uint32_t *bucket;
	bool ok = true;

	pthread_mutex_lock(&heap->lock);
	if (heap->bucket_count == 0)
	{
		ok = add_piece(heap, BUCKETS_FIRST);
		if (ok)
		{
			heap->bucket_count = BUCKETS_FIRST;
			heap->bucket_mask = BUCKETS_FIRST - 1;
		}
	}
	if (ok)
	{
		if (heap->indexed >= heap->bucket_count * BUCKET_FILL)
			split_bucket(heap);
		bucket = bucket_of(heap, cell->hash);
		cell->next = *bucket;
		*bucket = row;
		*traces_of(heap, cell->hash) |= trace(cell->hash);
		heap->indexed++;
	}
	pthread_mutex_unlock(&heap->lock);
	return ok;
}

void
pen_heap_unindex(pen_heap *heap, uint32_t row)
{
	pen_row_cell *cell = cell_of(heap, row);
	uint32_t *link;

	pthread_mutex_lock(&heap->lock);
	link = bucket_of(heap, cell->hash);
	while (*link != row)
		link = &cell_of(heap, *link)->next;
	*link = cell->next;
	if (*bucket_of(heap, cell->hash) == PEN_NO_ROW)
		*traces_of(heap, cell->hash) = 0;
	heap->indexed--;
	pthread_mutex_unlock(&heap->lock);
}

static uint32_t
same_hash(const pen_heap *heap, uint32_t row, uint32_t hash)
{
	while (row != PEN_NO_ROW)
	{
		const pen_row_cell *cell = cell_of(heap, row);

		if (cell->hash == hash)
			break;
		row = cell->next;
	}
	return row;
}

uint32_t
pen_heap_first(const pen_heap *heap, uint32_t hash)
{
	if (heap->bucket_count == 0 || (*traces_of(heap, hash) & trace(hash)) == 0)
		return PEN_NO_ROW;
	return same_hash(heap, *bucket_of(heap, hash), hash);
}

uint32_t
pen_heap_next(const pen_heap *heap, uint32_t row)
{
	const pen_row_cell *cell = cell_of(heap, row);

	return same_hash(heap, cell->next, cell->hash);
}

/* ---- rows ---- */

uint32_t
pen_heap_add_row(pen_heap *heap, uint32_t hash, pen_version *version)
{
	uint32_t row = heap->free_row;
	uint32_t limit = atomic_load_explicit(&heap->limit, memory_order_relaxed);
	uint32_t capacity = heap->segment_count <= 8
							? (heap->segment_count == 0 ? 0 : 32u << heap->segment_count)
							: (heap->segment_count - 7) * 8192;
	pen_row_cell *cell;

	if (row == PEN_NO_ROW)
	{
		row = limit;
		if (row >= PEN_NO_ROW - 8192 || (row == capacity && !add_segment(heap)))
			return PEN_NO_ROW;
	}
	cell = cell_of(heap, row);
	if (row != limit)
		heap->free_row = cell->next;
	cell->hash = hash;
	if (!pen_heap_reindex(heap, row))
	{
		if (row != limit)
		{
			cell->next = heap->free_row;
			heap->free_row = row;
		}
		return PEN_NO_ROW;
	}
	pen_heap_set_newest(heap, row, version);
	if (row == limit)
		atomic_store_explicit(&heap->limit, limit + 1, memory_order_release);
	return row;
}

void
pen_heap_remove_row(pen_heap *heap, uint32_t row)
{
	pen_row_cell *cell = cell_of(heap, row);

	pen_heap_set_newest(heap, row, NULL);
	cell->next = heap->free_row;
	heap->free_row = row;
}
