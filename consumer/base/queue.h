/* queue.h -- a first-in first-out queue between two threads that knows how many bytes it holds.
 * It never blocks the writer: who writes asks for its size first. Behind it is a second line, for
 * what is taken when there is nothing else. All functions are thread-safe. */
#ifndef PEN_QUEUE_H
#define PEN_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pen_queue pen_queue;

/* An item; what it means is between writer and reader. */
typedef struct pen_item
{
	int kind;
	void *pointer;
	uint64_t number;
	size_t size;    /* bytes that it stands for */
	bool from_disk; /* it did not come through the queue */
} pen_item;

extern pen_queue *pen_queue_new(void);
/* release is called for each item that is left; it may be NULL. */
extern void pen_queue_free(pen_queue *queue, void (*release)(pen_item *item));

/* False without memory: the item is not taken. */
extern bool pen_queue_push(pen_queue *queue, const pen_item *item);
/* The same, into the second line. */
extern bool pen_queue_push_late(pen_queue *queue, const pen_item *item);
/* What is in the second line comes before what is pushed from now on. False without memory. */
extern bool pen_queue_join(pen_queue *queue);
/* Empty the second line; release is called for each item. How many there were. */
extern size_t pen_queue_drop_late(pen_queue *queue, void (*release)(pen_item *item));
/* Wait at most timeout_ms (0: do not wait, -1: for ever). False when nothing came or the queue was
 * interrupted. */
extern bool pen_queue_pop(pen_queue *queue, pen_item *item, int timeout_ms);
/* End a pop that waits, or the next one, without an item. */
extern void pen_queue_interrupt(pen_queue *queue);

/* Bytes of the items in it, both lines, and of the one last popped until the next pop. */
extern size_t pen_queue_bytes(pen_queue *queue);
extern bool pen_queue_empty(pen_queue *queue);

#endif
