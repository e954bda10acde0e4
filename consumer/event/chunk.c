/* chunk.c -- events over borrowed bytes, with counted references.
 * Every event with a relation holds one reference to it, unless the event before holds the same
 * relation: rows of one table come in runs, and one reference a run is enough. */
#include "event/chunk.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "event/relation.h"

/* What a narrow row takes on the wire: the first guess at how many events the bytes hold. */
#define EVENT_BYTES_GUESS 40

pen_chunk *
pen_chunk_new(void *bytes, size_t byte_count, void (*free_bytes)(void *))
{
	pen_chunk *chunk = malloc(sizeof(*chunk));

	if (chunk == NULL)
	{
		if (free_bytes != NULL)
			free_bytes(bytes);
		return NULL;
	}
	memset(chunk, 0, offsetof(pen_chunk, few_transactions));
	chunk->events = chunk->few_events;
	chunk->capacity = PEN_CHUNK_EVENTS_FEW;
	chunk->bytes = bytes;
	chunk->byte_count = byte_count;
	chunk->free_bytes = free_bytes;
	atomic_init(&chunk->references, 1);
	return chunk;
}

/* More room. The first time it is as much as the bytes probably need: a chunk lives shortly, and
 * each copy of its events costs as much as decoding some of them. */
static bool
grow(pen_chunk *chunk)
{
	bool few = chunk->events == chunk->few_events;
	size_t capacity = chunk->capacity * 2;
	penstock_event *events;

	if (few && chunk->byte_count / EVENT_BYTES_GUESS > capacity)
		capacity = chunk->byte_count / EVENT_BYTES_GUESS;
	events = realloc(few ? NULL : chunk->events, capacity * sizeof(*events));
	if (events == NULL)
		return false;
	if (few)
		memcpy(events, chunk->few_events, chunk->count * sizeof(*events));
	chunk->events = events;
	chunk->capacity = capacity;
	return true;
}

penstock_event *
pen_chunk_add(pen_chunk *chunk)
{
	if (chunk->count == chunk->capacity && !grow(chunk))
		return NULL;
	chunk->events[chunk->count] = (penstock_event){0};
	return &chunk->events[chunk->count++];
}

static const penstock_relation *
relation_before(const pen_chunk *chunk, const penstock_event *event)
{
	return event > chunk->events ? event[-1].relation : NULL;
}

void
pen_chunk_hold(pen_chunk *chunk, penstock_event *event, const penstock_relation *relation)
{
	event->relation = relation;
	if (relation != NULL && relation != relation_before(chunk, event))
		pen_relation_ref(relation);
}

const penstock_transaction *
pen_chunk_transaction(pen_chunk *chunk, const penstock_transaction *transaction)
{
	penstock_transaction *copy;

	if (chunk->transaction_count < PEN_CHUNK_TRANSACTIONS_FEW)
		copy = &chunk->few_transactions[chunk->transaction_count++];
	else
		copy = pen_arena_alloc(&chunk->arena, sizeof(*copy));
	if (copy == NULL)
		return NULL;
	*copy = *transaction;
	if (transaction->gid != NULL)
	{
		size_t size = strlen(transaction->gid) + 1;
		char *gid = pen_arena_alloc(&chunk->arena, size);

		if (gid == NULL)
			return NULL;
		copy->gid = memcpy(gid, transaction->gid, size);
	}
	return copy;
}

bool
pen_chunk_relations(pen_chunk *chunk, penstock_event *event,
					const penstock_relation *const *relations, uint32_t count)
{
	const penstock_relation **copy = pen_arena_alloc(&chunk->arena, count * sizeof(*copy));

	if (copy == NULL)
		return false;
	for (uint32_t i = 0; i < count; i++)
		copy[i] = pen_relation_ref(relations[i]);
	event->relations = copy;
	event->relation_count = count;
	return true;
}

size_t
pen_chunk_size(const pen_chunk *chunk)
{
	size_t events =
		chunk->events != chunk->few_events ? chunk->capacity * sizeof(*chunk->events) : 0;

	return sizeof(*chunk) + chunk->byte_count + events + chunk->arena.size;
}

void
pen_chunk_seal(pen_chunk *chunk, pen_memory_budget *budget)
{
	chunk->budget = budget;
	chunk->charged = pen_chunk_size(chunk);
	atomic_fetch_add_explicit(&budget->used, chunk->charged, memory_order_relaxed);
}

pen_chunk *
pen_chunk_ref(pen_chunk *chunk)
{
	atomic_fetch_add_explicit(&chunk->references, 1, memory_order_relaxed);
	return chunk;
}

void
pen_chunk_unref(pen_chunk *chunk)
{
	if (chunk == NULL ||
		atomic_fetch_sub_explicit(&chunk->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < chunk->count; i++)
	{
		const penstock_event *event = &chunk->events[i];

		if (event->relation != NULL && event->relation != relation_before(chunk, event))
			pen_relation_unref(event->relation);
		for (uint32_t r = 0; r < event->relation_count; r++)
			pen_relation_unref(event->relations[r]);
	}
	if (chunk->budget != NULL)
		atomic_fetch_sub_explicit(&chunk->budget->used, chunk->charged, memory_order_relaxed);
	if (chunk->free_bytes != NULL)
		chunk->free_bytes(chunk->bytes);
	pen_arena_reset(&chunk->arena);
	if (chunk->events != chunk->few_events)
		free(chunk->events);
	free(chunk);
}
