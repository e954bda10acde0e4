/* guard.h -- keep the slot from holding back more WAL than it must: a heartbeat where nothing
 * arrives, and a look at what the source keeps for it. */
#ifndef PEN_GUARD_H
#define PEN_GUARD_H

#include "source/control.h"

/* All zero at first. The receiver's thread only. */
typedef struct pen_guard
{
	pen_retained retained; /* as last heard */
	bool known;
	bool exceeded; /* it is more than retained-wal-max */

	/* Private. */
	int64_t asked_ms;     /* for what is retained */
	int64_t looked_ms;    /* at the connection itself */
	int64_t moved_ms;     /* when the stream last moved, or a heartbeat was sent */
	uint64_t moved_lsn;   /* to where */
	bool started;         /* moved_ms is set */
	bool standby_told;    /* that no heartbeat can be written here */
	bool heartbeat_fails; /* and was complained about */
	bool look_fails;
} pen_guard;

/*
 * Send what is due and take what has been answered, without waiting. Only while a stream runs.
 * E_RETRY and p->error: the connection beside the stream is lost.
 */
extern penstock_status pen_guard_run(penstock *p);

#endif
