/* chunk.h -- what one receive brought: its bytes and the events that borrow from them.
 * Built by one thread, then immutable and shared by the queues of all destinations. */
#ifndef PEN_CHUNK_H
#define PEN_CHUNK_H

#include "base/arena.h"
#include "base/error.h"
#include "penstock/event.h"

/* A small transaction needs no memory but that of its chunk. */
#define PEN_CHUNK_EVENTS_FEW       6
#define PEN_CHUNK_TRANSACTIONS_FEW 2

typedef struct pen_chunk
{
	penstock_event *events;
	size_t count;

	/* Private. */
	size_t capacity;
	size_t transaction_count; /* of the few */
	void *bytes;
	size_t byte_count;
	void (*free_bytes)(void *bytes);
	pen_arena arena;
	_Atomic unsigned int references;
	struct pen_memory_budget *budget;
	size_t charged;
	penstock_transaction few_transactions[PEN_CHUNK_TRANSACTIONS_FEW];
	penstock_event few_events[PEN_CHUNK_EVENTS_FEW];
} pen_chunk;

/*
 * How many bytes all living chunks hold: added when a chunk is sealed, given back when it is
 * freed. All functions on it are thread-safe.
 */
typedef struct pen_memory_budget
{
	_Atomic size_t used;
} pen_memory_budget;

/*
 * A chunk without events that owns bytes, which free_bytes frees with it; takes ownership also on
 * failure, which is NULL: no memory.
 */
extern pen_chunk *pen_chunk_new(void *bytes, size_t byte_count, void (*free_bytes)(void *));

/* Append a zeroed event, to be filled in before the next call. NULL without memory. */
extern penstock_event *pen_chunk_add(pen_chunk *chunk);
/* The event holds this relation: the chunk keeps a reference. relation NULL is harmless. */
extern void pen_chunk_hold(pen_chunk *chunk, penstock_event *event,
						   const penstock_relation *relation);
/* A copy of the transaction, its gid included, that lives as long as the chunk, or NULL. */
extern const penstock_transaction *pen_chunk_transaction(pen_chunk *chunk,
														 const penstock_transaction *transaction);
/* The same for the relations of a truncate; takes a reference of each. False without memory. */
extern bool pen_chunk_relations(pen_chunk *chunk, penstock_event *event,
								const penstock_relation *const *relations, uint32_t count);

/* No more events come: account its memory to budget, which must outlive it. */
extern void pen_chunk_seal(pen_chunk *chunk, pen_memory_budget *budget);
/* Bytes of memory that it holds. */
extern size_t pen_chunk_size(const pen_chunk *chunk);

extern pen_chunk *pen_chunk_ref(pen_chunk *chunk);
extern void pen_chunk_unref(pen_chunk *chunk);

#endif
