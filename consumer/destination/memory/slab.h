/* slab.h -- memory for many small objects of known size, without a header on each.
 * The owner of an object knows its size and says it again when giving the object back. */
#ifndef PEN_MEMORY_SLAB_H
#define PEN_MEMORY_SLAB_H

#include <stddef.h>

/* Objects are rounded up to multiples of 8 bytes; larger ones than this get a block each. */
#define PEN_SLAB_SMALL_MAX 1024
#define PEN_SLAB_CLASSES   (PEN_SLAB_SMALL_MAX / 8 + 1)

typedef struct pen_slab_chunk pen_slab_chunk;
typedef struct pen_slab_large pen_slab_large;

/*
 * Small objects are cut from chunks; what is freed waits in a list of its size for the next object
 * of that size. Chunks are only given back by pen_slab_reset. Not thread-safe.
 */
typedef struct pen_slab
{
	void *free_objects[PEN_SLAB_CLASSES];
	char *cut; /* the newest chunk: cut..chunk_end is untouched */
	char *chunk_end;
	size_t chunk_size;
	pen_slab_chunk *chunks;
	pen_slab_large *large;
	size_t bytes; /* taken from malloc */
} pen_slab;

extern void pen_slab_init(pen_slab *slab);
/* Free every object and all memory; the slab is as after init. */
extern void pen_slab_reset(pen_slab *slab);

/* size > 0 bytes, aligned to 8 and not initialised; NULL without memory. */
extern void *pen_slab_alloc(pen_slab *slab, size_t size);
/* object came from pen_slab_alloc with the same size. NULL is harmless. */
extern void pen_slab_free(pen_slab *slab, void *object, size_t size);

#endif
