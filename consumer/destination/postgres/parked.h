/* parked.h -- tables that are copied while the stream goes on. Their changes wait, on disk, until
 * the rows are there; those of other tables do not. All functions are the worker thread's, except
 * pen_postgres_resync. */
#ifndef PEN_PARKED_H
#define PEN_PARKED_H

#include "base/error.h"
#include "penstock/event.h"

struct postgres_destination;
struct pen_destination;

typedef struct pen_parked pen_parked;

/* How the destination takes a change, in an open destination transaction. */
typedef penstock_status (*pen_parked_change)(struct postgres_destination *self,
											 const penstock_event *event, pen_error *error);

/* The session is open at self->stored_lsn: read which tables are ahead of it, or not complete. */
extern penstock_status pen_parked_open(struct postgres_destination *self, pen_error *error);
/* Ends copies that run; they begin anew at the next opening. */
extern void pen_parked_close(struct postgres_destination *self);

/*
 * Hand a change or a truncate on to change; but park what is for a table under copy, and leave out
 * what a table's copy has brought.
 */
extern penstock_status pen_parked_filter(struct postgres_destination *self,
										 const penstock_event *event, pen_parked_change change,
										 pen_error *error);

/* Nothing is parked or left out of transactions that commit after self->stored_lsn, and nobody has
 * asked for it. */
extern bool pen_parked_is_idle(const struct postgres_destination *self);

/* The stream begins anew: what was not committed comes again, and is parked already. */
extern void pen_parked_start(struct postgres_destination *self);

/* Is there something to do between two source transactions? */
extern bool pen_parked_due(struct postgres_destination *self);

/*
 * Do it: in a destination transaction that is begun, with nothing else in it, and that is committed
 * afterwards with self->gathered_lsn as progress. A bounded number of parked changes a call.
 */
extern penstock_status pen_parked_step(struct postgres_destination *self, pen_parked_change change,
									   pen_error *error);

/* Tables are under copy: look again soon. */
extern bool pen_parked_active(const struct postgres_destination *self);

/* The destination transaction of a step was sent: tell of the tables that are ready by it, once it
 * is committed. */
extern penstock_status pen_parked_settle(struct postgres_destination *self, pen_error *error);

/*
 * Ask for a table, by its name there, to be copied anew; from any thread. It happens soon after, or
 * once the destination is open again. The worker's queue wants an interrupt to notice at once.
 * E_RETRY without memory.
 */
extern penstock_status pen_postgres_resync(struct pen_destination *destination, const char *schema,
										   const char *table, pen_error *error);

#endif
