/* parked_log.h -- the parked changes of one table: a scratch log, read in order while it grows.
 * It need not outlive us: whoever loses it copies the table anew. One thread. */
#ifndef PEN_PARKED_LOG_H
#define PEN_PARKED_LOG_H

#include "base/error.h"
#include "penstock/event.h"

typedef struct pen_parked_log pen_parked_log;

/* A change that was read. Its relation and rows are borrowed from the log until the next call on
 * it; event.relations is this relation. event.transaction and sequence are not kept. */
typedef struct pen_parked_entry
{
	penstock_event event;
	const penstock_relation *relation;
	uint64_t commit_lsn;
} pen_parked_entry;

/* In a directory of its own. NULL and error: E_RETRY. */
extern pen_parked_log *pen_parked_log_new(pen_error *error);
/* With its files. NULL is harmless. */
extern void pen_parked_log_free(pen_parked_log *log);

/*
 * Park what an insert, update, delete or truncate does to this relation, to which the log keeps a
 * reference. commit_lsn: not below the last one. E_RETRY: no memory, no room on disk.
 */
extern PENSTOCK_MUST_CHECK penstock_status pen_parked_log_append(pen_parked_log *log,
																 const penstock_event *event,
																 const penstock_relation *relation,
																 uint64_t commit_lsn,
																 pen_error *error);

/* All that was parked has been read. */
extern bool pen_parked_log_is_read(const pen_parked_log *log);
/* pen_parked_log_next may have something; it is asked no more than once for nothing. */
extern bool pen_parked_log_has(const pen_parked_log *log, uint64_t before_lsn);

/*
 * Read the next change, if its commit is before this LSN. PENSTOCK_AGAIN: it is not, or all has
 * been read. E_RETRY: what is on disk is damaged or cannot be read. E_BUG: there is less than was
 * written, or it is no change.
 */
extern PENSTOCK_MUST_CHECK penstock_status pen_parked_log_next(pen_parked_log *log,
															   uint64_t before_lsn,
															   pen_parked_entry *entry,
															   pen_error *error);

/* What was read is not wanted again: give back its room on disk, as far as that is possible. */
extern void pen_parked_log_release(pen_parked_log *log);
/* Bytes on disk. */
extern uint64_t pen_parked_log_bytes(const pen_parked_log *log);

/* A record into what it says, as pen_parked_log_next does; commit_lsn is left alone. E_BUG. */
extern penstock_status pen_parked_log_parse(const pen_parked_log *log, const uint8_t *data,
											size_t len, pen_parked_entry *entry, pen_error *error);

#endif
