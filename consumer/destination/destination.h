/* destination.h -- the one interface of everything that takes changes.
 * Each destination is driven by one worker thread (worker.c), which owns it between open and
 * close: no function here is called from two threads at once. Events come in commit order. */
#ifndef PEN_DESTINATION_H
#define PEN_DESTINATION_H

#include "base/error.h"
#include "base/log.h"
#include "event/identity.h"
#include "penstock/event.h"

/* What happens when a destination rejects a row. */
typedef enum pen_conflict_policy
{
	PEN_CONFLICT_ERROR,  /* the destination stops there */
	PEN_CONFLICT_UPSERT, /* an insert goes over what is there; what is missing stays so */
	PEN_CONFLICT_SKIP    /* the row is left out, and kept in penstock.conflicts */
} pen_conflict_policy;

/* What a destination is made from. Strings are borrowed for the destination's life. */
typedef struct pen_destination_config
{
	const char *name;
	const char *uri;
	/* Which tables it takes, and as what: route/mapping.h; NULL: all, as they are. The worker has
	 * applied it to the events that it hands over. */
	const struct pen_mapping *mapping;
	const pen_log *log;
	int64_t advisory_key;      /* to be held as a session lock in a destination database */
	size_t pipeline_bytes_max; /* sent and not yet answered */
	size_t batch_bytes_max;    /* of changes in one destination transaction while behind */
	size_t batch_rows_max;     /* the same in rows; also of what is sent in one go */
	int batch_ms;              /* how long one gathers at most */
	size_t table_bytes_max;    /* of memory tables; 0: no limit */
	int connect_timeout_ms;
	bool allow_triggers;
	bool apply_ahead; /* take changes before their commit, where the kind can */
	pen_conflict_policy on_conflict;
} pen_destination_config;

typedef struct pen_destination pen_destination;

/* Counters and position, written by the worker's thread, read under the worker's lock. */
typedef struct pen_position
{
	uint64_t applied_lsn; /* everything up to here has been handed over and committed */
	uint64_t durable_lsn; /* everything up to here survives a crash; what may be confirmed */
} pen_position;

/*
 * A kind of destination. Every function may fail with a status and error:
 *   E_RETRY    closed and opened again after a back-off, then fed again from its position
 *   E_WAITING  the same, but `probe` is asked before the stream is troubled
 *   others     the destination stops; it takes part in nothing more
 */
typedef struct pen_destination_kind
{
	const char *scheme; /* "postgresql", "memory", "stdout" */

	/* Its position is stored where its data is, and must fit the slot's. */
	bool keeps_position;
	/* It loads everything at each start, so it never holds back what may be confirmed. */
	bool loads_afresh;

	/* It takes prepared transactions (event.h). Without this --two-phase is refused. */
	bool prepares;

	/* A closed destination, or NULL and error. Does not connect. */
	pen_destination *(*create)(const pen_destination_config *config, pen_error *error);
	void (*destroy)(pen_destination *destination);

	/*
	 * Connect, check the source's identity against what is recorded, and fill position from what
	 * is stored: the first byte of WAL it has not got. durable_lsn 0: it has no position yet and
	 * begins where the stream does. Also called again after close.
	 */
	penstock_status (*open)(pen_destination *destination, const pen_source_identity *source,
							pen_position *position, pen_error *error);
	void (*close)(pen_destination *destination);

	/*
	 * The stream begins (again) at start_lsn: everything with a commit before it is there
	 * already, or will never come. An open transaction of before is undone. start_lsn is at most
	 * the position, unless there was none. What has been applied is skipped by the worker.
	 */
	penstock_status (*start)(pen_destination *destination, uint64_t start_lsn,
							 pen_position *position, pen_error *error);

	/* Take one event. It is borrowed until this returns. */
	penstock_status (*apply)(pen_destination *destination, const penstock_event *event,
							 pen_position *position, pen_error *error);

	/* The queue is drained, between transactions: commit what is gathered. */
	penstock_status (*flush)(pen_destination *destination, pen_position *position,
							 pen_error *error);

	/* There is nothing of interest before lsn: move the position there, durably, even though no
	 * transaction says so. Called between transactions and after flush. */
	penstock_status (*advance)(pen_destination *destination, uint64_t lsn, pen_position *position,
							   pen_error *error);

	/* Look whether more has become durable; *poll_ms: when to ask again, -1: no need. */
	penstock_status (*sync)(pen_destination *destination, pen_position *position, int *poll_ms,
							pen_error *error);

	/* After E_WAITING: PENSTOCK_OK when what was missing is there. NULL: never waits. */
	penstock_status (*probe)(pen_destination *destination, const pen_source_identity *source,
							 pen_error *error);

	/*
	 * Ahead of their commit: changes of one transaction in progress at a time, for kinds that can
	 * do and undo them beside everything else, unseen. All three, or NULL: then it never happens.
	 * They come a second time, behind a begin, when the transaction commits, so that nothing is
	 * lost where they are not taken, and none of these can fail. start and close undo them.
	 *
	 * ahead takes an insert, update or delete, in which only the xid of the transaction is set;
	 *   first: none of that was handed over before. Called after a flush, so that all that
	 *   committed before is there. False: nothing of the transaction is kept, of earlier calls
	 *   neither.
	 * claim comes after a flush and before the begin, when it has committed: what was taken
	 *   stands, all of it, and apply is handed the begin, the changes behind those that were taken,
	 *   and the commit. False: nothing was kept, and apply is handed everything. Once it is true,
	 *   apply fails with E_RETRY only, and what then comes again must not go ahead.
	 * forgo undoes what was taken. */
	bool (*ahead)(pen_destination *destination, const penstock_event *event, bool first);
	bool (*claim)(pen_destination *destination, const penstock_transaction *transaction);
	void (*forgo)(pen_destination *destination);
} pen_destination_kind;

/* A destination starts with its kind; each kind's own struct has this as its first member. */
struct pen_destination
{
	const pen_destination_kind *kind;
	const pen_destination_config *config;
	_Atomic bool interrupted; /* set from another thread: end what waits, with E_RETRY */
};

/* The kind that takes uri, by its scheme, or NULL. Thread-safe. */
extern const pen_destination_kind *pen_destination_find(const char *uri);

#endif
