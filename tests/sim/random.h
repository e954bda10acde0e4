/* random.h -- numbers that a seed makes, the same on every machine. */
#ifndef SIM_RANDOM_H
#define SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sim_random
{
	uint64_t state;
} sim_random;

extern void sim_random_init(sim_random *random, uint64_t seed);
extern uint64_t sim_random_next(sim_random *random);

/* From 0 to below - 1; below is not 0. */
extern uint32_t sim_random_below(sim_random *random, uint32_t below);

/* From least to most, both included. */
extern long sim_random_between(sim_random *random, long least, long most);

/* True in so many of a hundred. */
extern bool sim_random_chance(sim_random *random, uint32_t percent);

/* A number that a, b and c determine, for values that are not drawn one after the other. */
extern uint64_t sim_hash(uint64_t a, uint64_t b, uint64_t c);

#endif
