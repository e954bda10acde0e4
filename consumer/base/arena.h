/* arena.h -- memory that is freed all at once. Pointers stay where they are until then. */
#ifndef PEN_ARENA_H
#define PEN_ARENA_H

#include <stddef.h>

struct pen_arena_block;

/* All zero is an empty arena. size: bytes taken from the heap. */
typedef struct pen_arena
{
	struct pen_arena_block *blocks;
	size_t used; /* of the newest block */
	size_t size;
} pen_arena;

/* Zeroed memory, aligned for any type, or NULL without memory. */
extern void *pen_arena_alloc(pen_arena *arena, size_t size);
extern void pen_arena_reset(pen_arena *arena);

#endif
