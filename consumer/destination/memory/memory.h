/* memory.h -- the destination `memory:` for its users: snapshots and dumps. */
#ifndef PEN_MEMORY_H
#define PEN_MEMORY_H

#include <stdio.h>

#include "destination/destination.h"
#include "penstock/penstock.h"

/* As penstock_snapshot_begin, for a destination of kind memory. Any thread, from create to
 * destroy. */
extern penstock_snapshot *pen_memory_snapshot_begin(pen_destination *destination);

/*
 * Write every row of every memory table as a line {"schema":…,"table":…,"row":{…}}: tables by
 * schema and name, rows by key (integers by value, others by bytes), without a key by the whole
 * row. Any thread. E_RETRY: nothing is loaded yet, no memory, or out could not be written.
 */
extern penstock_status pen_memory_dump(pen_destination *destination, FILE *out, pen_error *error);

#endif
