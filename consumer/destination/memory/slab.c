/* slab.c -- small objects cut from chunks, one list of free objects for each size.
 * Freed objects are poisoned under AddressSanitizer: a reader that is too late is caught. */
#include "destination/memory/slab.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(data, size)   ASAN_POISON_MEMORY_REGION(data, size)
#define UNPOISON(data, size) ASAN_UNPOISON_MEMORY_REGION(data, size)
#else
#define POISON(data, size)   ((void) (data), (void) (size))
#define UNPOISON(data, size) ((void) (data), (void) (size))
#endif

/* Small tables stay small; large ones take memory in pieces that malloc hardly notices. Any small
 * object fits into the first chunk. */
#define CHUNK_FIRST 2048
#define CHUNK_MAX   ((size_t) 256 * 1024)
/* So that a chunk with what malloc adds fills whole pages. */
#define MALLOC_OVERHEAD 32

struct pen_slab_chunk
{
	pen_slab_chunk *next;
	size_t size;
};

struct pen_slab_large
{
	pen_slab_large *next;
	pen_slab_large *prev;
	size_t size;
	size_t padding;
};

void
pen_slab_init(pen_slab *slab)
{
	memset(slab, 0, sizeof(*slab));
	slab->chunk_size = CHUNK_FIRST;
}

void
pen_slab_reset(pen_slab *slab)
{
	pen_slab_chunk *chunk = slab->chunks;
	pen_slab_large *large = slab->large;

	while (chunk != NULL)
	{
		pen_slab_chunk *next = chunk->next;

		UNPOISON(chunk, chunk->size);
		free(chunk);
		chunk = next;
	}
	while (large != NULL)
	{
		pen_slab_large *next = large->next;

		free(large);
		large = next;
	}
	pen_slab_init(slab);
}

static void *
alloc_large(pen_slab *slab, size_t size)
{
	pen_slab_large *large;

	if (size > SIZE_MAX / 2)
		return NULL;
	large = malloc(sizeof(*large) + size);
	if (large == NULL)
		return NULL;
	large->size = sizeof(*large) + size;
	large->prev = NULL;
	large->next = slab->large;
	if (large->next != NULL)
		large->next->prev = large;
	slab->large = large;
	slab->bytes += large->size;
	return large + 1;
}

static void
free_large(pen_slab *slab, void *object)
{
	pen_slab_large *large = (pen_slab_large *) object - 1;

	if (large->prev != NULL)
		large->prev->next = large->next;
	else
		slab->large = large->next;
	if (large->next != NULL)
		large->next->prev = large->prev;
	slab->bytes -= large->size;
	free(large);
}

/* Put object, of a rounded size, on the list of its size. */
static void
keep(pen_slab *slab, void *object, size_t size)
{
	void **list = &slab->free_objects[size / 8];

	memcpy(object, list, sizeof(*list));
	*list = object;
	POISON(object, size);
}

static bool
add_chunk(pen_slab *slab)
{
	size_t rest = (size_t) (slab->chunk_end - slab->cut);
	pen_slab_chunk *chunk;

	if (slab->chunks != NULL && slab->chunk_size < CHUNK_MAX)
		slab->chunk_size *= 2;
	chunk = malloc(slab->chunk_size - MALLOC_OVERHEAD);
	if (chunk == NULL)
		return false;
	if (rest > 0)
	{
		UNPOISON(slab->cut, rest);
		keep(slab, slab->cut, rest < PEN_SLAB_SMALL_MAX ? rest : PEN_SLAB_SMALL_MAX);
	}
	chunk->next = slab->chunks;
	chunk->size = slab->chunk_size - MALLOC_OVERHEAD;
	slab->chunks = chunk;
	slab->cut = (char *) (chunk + 1);
	slab->chunk_end = (char *) chunk + chunk->size;
	slab->bytes += chunk->size;
	POISON(slab->cut, (size_t) (slab->chunk_end - slab->cut));
	return true;
}

void *
pen_slab_alloc(pen_slab *slab, size_t size)
{
	void *object;

	if (size > PEN_SLAB_SMALL_MAX)
		return alloc_large(slab, size);
	size = (size + 7) & ~(size_t) 7;
	object = slab->free_objects[size / 8];
	if (object != NULL)
	{
		UNPOISON(object, size);
		memcpy(&slab->free_objects[size / 8], object, sizeof(void *));
		return object;
	}
	if ((size_t) (slab->chunk_end - slab->cut) < size && !add_chunk(slab))
		return NULL;
	object = slab->cut;
	slab->cut += size;
	UNPOISON(object, size);
	return object;
}

void
pen_slab_free(pen_slab *slab, void *object, size_t size)
{
	if (object == NULL)
		return;
	if (size > PEN_SLAB_SMALL_MAX)
		free_large(slab, object);
	else
		keep(slab, object, (size + 7) & ~(size_t) 7);
}
