/* receiver.h -- the one thread that receives: opening, one step, closing. Private to penstock.c. */
#ifndef PEN_RECEIVER_H
#define PEN_RECEIVER_H

#include "penstock/penstock.h"

/* opening.c: connect everywhere, check, load, begin to stream. */
extern penstock_status pen_receiver_open(penstock *p);
extern void pen_receiver_close(penstock *p);

/* opening.c: route, workers and the rest, out of the settings. Connects nowhere. */
extern penstock_status pen_receiver_create_parts(penstock *p);

/* opening.c: make sure that the slot is there and ours: permanent by name, or a new temporary one.
 * stored: a destination has a position in it, so a new one would leave a gap. */
extern penstock_status pen_receiver_provide_slot(penstock *p, bool stored);

/* copying.c: copy the rows that exist where that is asked for, or was begun, before the
 * destinations are opened. PENSTOCK_DONE: told to stop while at it. */
extern penstock_status pen_receiver_copy(penstock *p);

/* copying.c: set the sequences at all databases to what they are at the source. Only
 * pen_receiver_create_parts comes before; *set counts. */
extern penstock_status pen_receiver_set_sequences(penstock *p, size_t *set);

/* copying.c: have a table copied anew at a destination (NULL: at every database that takes it)
 * while the stream goes on. Returns at once; the destination tells in the log, and penstock.tables,
 * when it is ready. E_CONFIG: no such destination, or no database, or it
 * does not take the table. */
extern penstock_status pen_receiver_resync(penstock *p, const char *destination, const char *schema,
										   const char *table);

/* opening.c: begin a stream, on a new connection where there is none; the workers that are open
 * take part from its start. */
extern penstock_status pen_receiver_begin_stream(penstock *p);

/* receiver.c: see penstock_step. */
extern penstock_status pen_receiver_step(penstock *p, int timeout_ms);

/* End the wait of a step. Safe in signal handlers and other threads. */
extern void pen_receiver_wake(void *p);

#endif
