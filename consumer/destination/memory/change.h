/* change.h -- a change on its way into the tables: what transaction.c, relations.c and rows.c
 * share. */
#ifndef PEN_MEMORY_CHANGE_H
#define PEN_MEMORY_CHANGE_H

#include "destination/memory/store_private.h"

typedef struct pen_change
{
	pen_memory_store *store;
	const penstock_relation *relation;
	pen_error *error;

	/* From pen_memory_find_table. */
	pen_table *table;
	pen_heap *heap;
	uint16_t schema;
} pen_change;

/* ---- relations.c ---- */

/* The table that a change is about: what the stream says of its relation may be new. E_RETRY: load
 * again. */
extern penstock_status pen_memory_find_table(pen_change *change);
extern penstock_status pen_memory_truncate(pen_change *change, const penstock_event *event);

/* ---- rows.c ---- */

/* INSERT, UPDATE or DELETE, in the table that was found. */
extern penstock_status pen_memory_change_row(pen_change *change, const penstock_event *event);

/* Make room to note one more change. False without memory. */
extern bool pen_memory_reserve_undo(pen_memory_store *store);
extern penstock_status pen_memory_no_memory(const pen_change *change);

#endif
