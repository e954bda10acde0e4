/* prepared.h -- prepared transactions of the source, prepared and ended at the destination: each
 * once, whatever dies in between.
 *
 * Data and progress are two transactions here, as the first stays open: what was prepared is found
 * by its name when it comes again, and a row that it wrote itself tells that it was committed. */
#ifndef PEN_PREPARED_H
#define PEN_PREPARED_H

#include "base/error.h"
#include "penstock/event.h"

struct postgres_destination;

/* Of the name that a transaction has here: PostgreSQL's GIDSIZE. */
#define PEN_PREPARED_NAME_MAX 200

typedef struct pen_prepared
{
	char name[PEN_PREPARED_NAME_MAX];
	bool open;         /* between begin and prepare */
	bool there;        /* it was prepared before: its changes are not wanted again */
	bool ready;        /* penstock.prepared is known to be there */
	char database[16]; /* its oid */
} pen_prepared;

/* A prepared transaction begins. No destination transaction is open. */
extern penstock_status pen_prepared_begin(struct postgres_destination *self,
										  const penstock_transaction *transaction,
										  pen_error *error);

/*
 * Its changes have come: they are prepared when this returns, durably. Then a transaction has been
 * begun that says so, for the caller to commit with progress.
 */
extern penstock_status pen_prepared_finish(struct postgres_destination *self, pen_error *error);

/* It is committed or rolled back, durably; then as above. No destination transaction is open. */
extern penstock_status pen_prepared_end(struct postgres_destination *self,
										const penstock_transaction *transaction, bool commits,
										pen_error *error);

#endif
