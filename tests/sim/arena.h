/* arena.h -- memory that lives as long as one run of a history. */
#ifndef SIM_ARENA_H
#define SIM_ARENA_H

#include <stddef.h>

typedef struct sim_arena
{
	struct sim_block *blocks; /* the first is being filled */
} sim_arena;

/* Never NULL: without memory the program ends. */
extern void *sim_arena_take(sim_arena *arena, size_t size);
extern char *sim_arena_print(sim_arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
extern void sim_arena_reset(sim_arena *arena);

#endif
