/* queue.c -- a ring that grows, a mutex and a condition.
 * head..head+count (modulo capacity): items to read. */
#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct pen_queue
{
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pen_item *items;
	size_t capacity;
	size_t head;
	size_t count;
	size_t bytes;
	size_t popped_bytes;
	bool interrupted;
};

pen_queue *
pen_queue_new(void)
{
	pen_queue *queue = calloc(1, sizeof(*queue));
	pthread_condattr_t monotonic;

	if (queue == NULL)
		return NULL;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&queue->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return queue;
}

void
pen_queue_free(pen_queue *queue, void (*release)(pen_item *item))
{
	pen_item item;

	if (queue == NULL)
		return;
	queue->interrupted = false;
	while (queue->count > 0 && pen_queue_pop(queue, &item, 0))
	{
		if (release != NULL)
			release(&item);
	}
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue->items);
	free(queue);
}

static bool
grow(pen_queue *queue)
{
	size_t capacity = queue->capacity == 0 ? 64 : queue->capacity * 2;
	pen_item *items = malloc(capacity * sizeof(*items));

	if (items == NULL)
		return false;
	for (size_t i = 0; i < queue->count; i++)
		items[i] = queue->items[(queue->head + i) % queue->capacity];
	free(queue->items);
	queue->items = items;
	queue->capacity = capacity;
	queue->head = 0;
	return true;
}

bool
pen_queue_push(pen_queue *queue, const pen_item *item)
{
	bool taken;

	pthread_mutex_lock(&queue->lock);
	taken = queue->count < queue->capacity || grow(queue);
	if (taken)
	{
		queue->items[(queue->head + queue->count++) % queue->capacity] = *item;
		queue->bytes += item->size;
	}
	pthread_mutex_unlock(&queue->lock);
	/* Not before: who wakes up wants the lock. */
	if (taken)
		pthread_cond_signal(&queue->changed);
	return taken;
}

static void
deadline_after(struct timespec *deadline, int timeout_ms)
{
	clock_gettime(CLOCK_MONOTONIC, deadline);
	deadline->tv_sec += timeout_ms / 1000;
	deadline->tv_nsec += (long) (timeout_ms % 1000) * 1000000;
	if (deadline->tv_nsec >= 1000000000)
	{
		deadline->tv_sec++;
		deadline->tv_nsec -= 1000000000;
	}
}

bool
pen_queue_pop(pen_queue *queue, pen_item *item, int timeout_ms)
{
	struct timespec deadline;
	bool popped = false;

	if (timeout_ms > 0)
		deadline_after(&deadline, timeout_ms);
	pthread_mutex_lock(&queue->lock);
	queue->bytes -= queue->popped_bytes;
	queue->popped_bytes = 0;
	while (queue->count == 0 && !queue->interrupted && timeout_ms != 0)
	{
		if (timeout_ms < 0)
			pthread_cond_wait(&queue->changed, &queue->lock);
		else if (pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline) != 0)
			break;
	}
	if (queue->interrupted)
		queue->interrupted = false;
	else if (queue->count > 0)
	{
		*item = queue->items[queue->head];
		queue->head = (queue->head + 1) % queue->capacity;
		queue->count--;
		queue->popped_bytes = item->size;
		popped = true;
	}
	pthread_mutex_unlock(&queue->lock);
	return popped;
}

void
pen_queue_interrupt(pen_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->interrupted = true;
	pthread_cond_signal(&queue->changed);
	pthread_mutex_unlock(&queue->lock);
}

size_t
pen_queue_bytes(pen_queue *queue)
{
	size_t bytes;

	pthread_mutex_lock(&queue->lock);
	bytes = queue->bytes;
	pthread_mutex_unlock(&queue->lock);
	return bytes;
}

bool
pen_queue_empty(pen_queue *queue)
{
	bool empty;

	pthread_mutex_lock(&queue->lock);
	empty = queue->count == 0;
	pthread_mutex_unlock(&queue->lock);
	return empty;
}
