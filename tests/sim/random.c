/* random.c -- splitmix64: a counter, well mixed. */
#include "random.h"

#define STEP UINT64_C(0x9e3779b97f4a7c15)

static uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void
sim_random_init(sim_random *random, uint64_t seed)
{
	random->state = mix(seed + STEP);
}

uint64_t
sim_random_next(sim_random *random)
{
	random->state += STEP;
	return mix(random->state);
}

uint32_t
sim_random_below(sim_random *random, uint32_t below)
{
	return (uint32_t) ((sim_random_next(random) >> 32) * below >> 32);
}

long
sim_random_between(sim_random *random, long least, long most)
{
	return least + (long) sim_random_below(random, (uint32_t) (most - least + 1));
}

bool
sim_random_chance(sim_random *random, uint32_t percent)
{
	return sim_random_below(random, 100) < percent;
}

uint64_t
sim_hash(uint64_t a, uint64_t b, uint64_t c)
{
	return mix(mix(mix(a + STEP) + b + STEP) + c + STEP);
}
