/* queue.c -- two rings that grow, a mutex and a condition. */
#include "base/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* head..head+count (modulo capacity): items to read. */
typedef struct ring
{
	pen_item *items;
	size_t capacity;
	size_t head;
	size_t count;
	size_t bytes;
} ring;

struct pen_queue
{
	pthread_mutex_t lock;
	pthread_cond_t changed;
	ring line;
	ring late; /* read while line is empty */
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
	while (pen_queue_pop(queue, &item, 0))
	{
		if (release != NULL)
			release(&item);
	}
	pthread_cond_destroy(&queue->changed);
	pthread_mutex_destroy(&queue->lock);
	free(queue->line.items);
	free(queue->late.items);
	free(queue);
}

/* ---- a ring; with the lock held ---- */

static bool
grow(ring *r)
{
	size_t capacity = r->capacity == 0 ? 64 : r->capacity * 2;
	pen_item *items = malloc(capacity * sizeof(*items));

	if (items == NULL)
		return false;
	for (size_t i = 0; i < r->count; i++)
		items[i] = r->items[(r->head + i) % r->capacity];
	free(r->items);
	r->items = items;
	r->capacity = capacity;
	r->head = 0;
	return true;
}

static bool
append(ring *r, const pen_item *item)
{
	if (r->count == r->capacity && !grow(r))
		return false;
	r->items[(r->head + r->count++) % r->capacity] = *item;
	r->bytes += item->size;
	return true;
}

static void
take_first(ring *r, pen_item *item)
{
	*item = r->items[r->head];
	r->head = (r->head + 1) % r->capacity;
	r->count--;
	r->bytes -= item->size;
}

/* ---- writing ---- */

static bool
push(pen_queue *queue, ring *r, const pen_item *item)
{
	bool taken;

	pthread_mutex_lock(&queue->lock);
	taken = append(r, item);
	pthread_mutex_unlock(&queue->lock);
	/* Not before: who wakes up wants the lock. */
	if (taken)
		pthread_cond_signal(&queue->changed);
	return taken;
}

bool
pen_queue_push(pen_queue *queue, const pen_item *item)
{
	return push(queue, &queue->line, item);
}

bool
pen_queue_push_late(pen_queue *queue, const pen_item *item)
{
	return push(queue, &queue->late, item);
}

bool
pen_queue_join(pen_queue *queue)
{
	bool joined = true;

	pthread_mutex_lock(&queue->lock);
	while (joined && queue->late.count > 0)
	{
		pen_item item;

		joined = append(&queue->line, &queue->late.items[queue->late.head]);
		if (joined)
			take_first(&queue->late, &item);
	}
	pthread_mutex_unlock(&queue->lock);
	return joined;
}

size_t
pen_queue_drop_late(pen_queue *queue, void (*release)(pen_item *item))
{
	size_t dropped = 0;

	pthread_mutex_lock(&queue->lock);
	for (; queue->late.count > 0; dropped++)
	{
		pen_item item;

		take_first(&queue->late, &item);
		release(&item);
	}
	pthread_mutex_unlock(&queue->lock);
	return dropped;
}

/* ---- reading ---- */

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

static bool
is_empty(const pen_queue *queue)
{
	return queue->line.count == 0 && queue->late.count == 0;
}

bool
pen_queue_pop(pen_queue *queue, pen_item *item, int timeout_ms)
{
	struct timespec deadline;
	bool popped = false;

	if (timeout_ms > 0)
		deadline_after(&deadline, timeout_ms);
	pthread_mutex_lock(&queue->lock);
	queue->popped_bytes = 0;
	while (is_empty(queue) && !queue->interrupted && timeout_ms != 0)
	{
		if (timeout_ms < 0)
			pthread_cond_wait(&queue->changed, &queue->lock);
		else if (pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline) != 0)
			break;
	}
	if (queue->interrupted)
		queue->interrupted = false;
	else if (!is_empty(queue))
	{
		take_first(queue->line.count > 0 ? &queue->line : &queue->late, item);
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

/* ---- how much is in it ---- */

size_t
pen_queue_bytes(pen_queue *queue)
{
	size_t bytes;

	pthread_mutex_lock(&queue->lock);
	bytes = queue->line.bytes + queue->late.bytes + queue->popped_bytes;
	pthread_mutex_unlock(&queue->lock);
	return bytes;
}

bool
pen_queue_empty(pen_queue *queue)
{
	bool empty;

	pthread_mutex_lock(&queue->lock);
	empty = is_empty(queue);
	pthread_mutex_unlock(&queue->lock);
	return empty;
}
