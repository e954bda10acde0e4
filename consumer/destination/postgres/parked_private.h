/* parked_private.h -- what parked.c, which parks and replays, and parked_copy.c, which copies
 * beside the stream, share. */
#ifndef PEN_PARKED_PRIVATE_H
#define PEN_PARKED_PRIVATE_H

#include <pthread.h>

#include "copy/resync.h"
#include "destination/postgres/parked_log.h"
#include "destination/postgres/session.h"
#include "destination/postgres/stored.h"

typedef enum parked_state
{
	PARKED_WAITING, /* for a copy to begin */
	PARKED_COPYING,
	PARKED_COPIED /* its rows are there, as of lsn */
} parked_state;

typedef struct parked_table
{
	char *schema;
	char *name;
	parked_state state;
	bool is_there;   /* at the destination, when last looked */
	int64_t look_ms; /* when to look again */
	uint64_t lsn;
	pen_parked_log *log;
	/* Of the stream: the transaction that changed it last, and how often; and the furthest of all
	 * that is parked. What comes again with a stream that begins anew is not behind that. */
	uint64_t commit_lsn;
	uint64_t ordinal;
	uint64_t parked_commit_lsn;
	uint64_t parked_ordinal;
} parked_table;

struct pen_parked
{
	pen_stored_copies copies;
	parked_table *tables;
	size_t count;
	pen_resync *resync;
	bool published;       /* a table is ready in the transaction that is open, or sent */
	pthread_mutex_t lock; /* for the list, and lsn of what is COPYING: the copy's threads look */
};

/* The table of that name, or NULL. With the lock, where it is not the worker's thread. */
extern parked_table *pen_parked_find(const pen_parked *parked, const char *schema,
									 const char *name);

/* ---- parked_copy.c ---- */

/* Copy all that are WAITING and at the destination; while no copy runs. */
extern penstock_status pen_parked_copy_start(postgres_destination *self, pen_error *error);
/* Has a copy come to its end? Then what was COPYING is COPIED. */
extern penstock_status pen_parked_copy_look(postgres_destination *self, pen_error *error);

#endif
