/* postgres.h -- what the plugin's pure functions need of the server's header, for unit tests.
 * There is one memory context, which shim_reset() empties. */
#ifndef TEST_SHIM_POSTGRES_H
#define TEST_SHIM_POSTGRES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct shim_chunk
{
	struct shim_chunk *next;
	size_t size;
} shim_chunk;

static shim_chunk *shim_chunks;

static inline void *
palloc(size_t size)
{
	shim_chunk *chunk = malloc(sizeof(*chunk) + size);

	if (chunk == NULL)
		abort();
	*chunk = (shim_chunk){shim_chunks, size};
	shim_chunks = chunk;
	return chunk + 1;
}

static inline void *
repalloc(void *pointer, size_t size)
{
	size_t old_size = ((shim_chunk *) pointer - 1)->size;
	void *moved = palloc(size);

	memcpy(moved, pointer, old_size < size ? old_size : size);
	return moved;
}

static inline void
shim_reset(void)
{
	while (shim_chunks != NULL)
	{
		shim_chunk *chunk = shim_chunks;

		shim_chunks = chunk->next;
		free(chunk);
	}
}

#endif
