/* arena.c -- blocks that are filled from their start, and given back together. */
#include "arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define BLOCK_SIZE ((size_t) 1 << 20)

struct sim_block
{
	struct sim_block *next;
	size_t used;
	size_t size;
	_Alignas(max_align_t) char data[];
};

static struct sim_block *
block_new(size_t size)
{
	struct sim_block *block = malloc(sizeof(*block) + size);

	if (block == NULL)
		sim_die("out of memory");
	block->used = 0;
	block->size = size;
	return block;
}

void *
sim_arena_take(sim_arena *arena, size_t size)
{
	struct sim_block *block = arena->blocks;

	size = (size + 7) & ~(size_t) 7;
	if (block == NULL || block->size - block->used < size)
	{
		block = block_new(size > BLOCK_SIZE ? size : BLOCK_SIZE);
		block->next = arena->blocks;
		arena->blocks = block;
	}
	block->used += size;
	return block->data + block->used - size;
}

char *
sim_arena_print(sim_arena *arena, const char *format, ...)
{
	va_list args;
	int length;
	char *text;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = sim_arena_take(arena, (size_t) length + 1);
	va_start(args, format);
	vsnprintf(text, (size_t) length + 1, format, args);
	va_end(args);
	return text;
}

void
sim_arena_reset(sim_arena *arena)
{
	while (arena->blocks != NULL)
	{
		struct sim_block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
}
