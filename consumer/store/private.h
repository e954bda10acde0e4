/* private.h -- what a log consists of. Private to store/. */
#ifndef PEN_STORE_PRIVATE_H
#define PEN_STORE_PRIVATE_H

#include <pthread.h>

#include "store/segment.h"
#include "store/store.h"

/* A file of the log. References, counted under the store's mutex: one of the store's list, one of
 * each cursor in it, which may read a removed one to its end. */
typedef struct segment
{
	struct segment *next;
	uint64_t number;
	uint64_t bytes; /* that count; the file may be longer */
	uint64_t first_position;
	uint64_t last_position;
	unsigned int references;
} segment;

struct pen_store
{
	char *directory;
	pen_store_options options;
	int directory_fd;
	int mark_fd; /* -1: not durable */
	uint64_t cut;

	/* The appender's. */
	uint8_t *record;
	size_t record_capacity;

	/* One sync at a time. Taken before mutex. */
	pthread_mutex_t sync_mutex;
	sync_mark synced;
	uint64_t synced_position;

	/* The rest under this one; held for moments only, but when a segment begins or ends. */
	pthread_mutex_t mutex;
	segment *first;
	segment *last;
	int fd; /* of the last segment, where records are appended to it; -1: the next one begins a new */
	uint64_t next_number;
	uint64_t bytes;
	uint64_t last_position;
	unsigned int generation; /* a reset begins a new one */
	bool failed;             /* a sync failed */
};

struct pen_store_cursor
{
	pen_store *store;
	uint64_t from_position;
	segment *at; /* NULL: nowhere yet */
	unsigned int generation;
	segment_reader reader;
};

/* "…/name: " before what strerror says of code. Returns E_RETRY. */
extern penstock_status pen_store_system_error(const pen_store *store, const char *what,
											  uint64_t number, int code, pen_error *error);

/* All with the mutex held. */
extern segment *pen_store_add_segment(pen_store *store, const segment_head *head, uint64_t bytes);
extern void pen_store_unref_segment(segment *at);
extern int pen_store_open_segment(const pen_store *store, uint64_t number, int flags);

/* recover.c: find what is in the directory. */
extern penstock_status pen_store_recover(pen_store *store, pen_error *error);
extern penstock_status pen_store_remove_files(pen_store *store, pen_error *error);

#endif
