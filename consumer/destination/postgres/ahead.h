/* ahead.h -- a transaction in progress, applied ahead of its commit, in a session of its own.
 *
 * Its changes are applied in a second session, in one transaction, while what commits meanwhile is
 * applied in the first one, which holds the lock that guards the database. When it commits, and
 * everything before it is committed in the first session, the second one goes on with the rest of
 * its changes, moves progress, and commits.
 *
 * Why order holds: whoever changed a row before it at the source had committed by then, as the row
 * was locked, and that is committed here before a change is applied; whoever changes it later
 * commits after it, and comes after it. Where a destination has keys that the source has not, one
 * session may wait for the other: the second one does not wait long, and is undone where the first
 * one waits.
 *
 * Why it is once: progress moves in the transaction that commits, whichever session that is in; and
 * what is not claimed is rolled back before the same changes are applied in the first session. */
#ifndef PEN_POSTGRES_AHEAD_H
#define PEN_POSTGRES_AHEAD_H

#include "destination/postgres/session.h"

/* See destination.h. */
extern bool pen_postgres_ahead(pen_destination *destination, const penstock_event *event,
							   bool first);
extern bool pen_postgres_claim(pen_destination *destination,
							   const penstock_transaction *transaction);
extern void pen_postgres_forgo(pen_destination *destination);

/* An event of the transaction that is claimed. E_RETRY on any failure. */
extern penstock_status pen_postgres_apply_claimed(postgres_destination *self,
												  const penstock_event *event, pen_error *error);

/* The queue is drained: send what is gathered, where that is due; else when, in *poll_ms. */
extern penstock_status pen_postgres_ahead_idle(postgres_destination *self, int *poll_ms,
											   pen_error *error);

/* May changes of the table be applied ahead? E_RETRY: not what triggers and the like look at. */
extern penstock_status pen_postgres_check_ahead(const pen_target *target, pen_error *error);

#endif
