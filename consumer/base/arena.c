/* arena.c -- blocks in a list, the newest first; a block is never moved. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4000

struct pen_arena_block
{
	struct pen_arena_block *next;
	size_t capacity;
	alignas(max_align_t) unsigned char bytes[];
};

void *
pen_arena_alloc(pen_arena *arena, size_t size)
{
	struct pen_arena_block *block = arena->blocks;
	size_t aligned =
		(size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
	void *memory;

	if (aligned < size)
		return NULL;
	if (block == NULL || aligned > block->capacity - arena->used)
	{
		size_t capacity = aligned > BLOCK_BYTES ? aligned : BLOCK_BYTES;

		block = malloc(sizeof(*block) + capacity);
		if (block == NULL)
			return NULL;
		block->next = arena->blocks;
		block->capacity = capacity;
		arena->blocks = block;
		arena->used = 0;
		arena->size += sizeof(*block) + capacity;
	}
	memory = block->bytes + arena->used;
	arena->used += aligned;
	return memset(memory, 0, aligned);
}

void
pen_arena_reset(pen_arena *arena)
{
	while (arena->blocks != NULL)
	{
		struct pen_arena_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	*arena = (pen_arena){0};
}
