/* store.h -- the memory tables of one destination: transactions by one writer, snapshots by any
 * thread. Readers see only what is committed as of the LSN that their snapshot pins, and what they
 * may see is not freed before their snapshot ends. */
#ifndef PEN_MEMORY_STORE_H
#define PEN_MEMORY_STORE_H

#include "base/error.h"
#include "destination/memory/table.h"
#include "penstock/event.h"
#include "penstock/penstock.h"

typedef struct pen_memory_store pen_memory_store;

/* bytes_max: of all rows and indexes together; 0: no limit. NULL without memory. */
extern pen_memory_store *pen_memory_store_new(size_t bytes_max);
/* All snapshots must have ended. NULL is harmless. */
extern void pen_memory_store_free(pen_memory_store *store);

/* ---- loading: the writer fills new tables, which nobody sees yet ---- */

/* Begin with no tables. What was being loaded before is dropped. */
extern void pen_memory_load_begin(pen_memory_store *store);
extern penstock_status pen_memory_load_table(pen_memory_store *store,
											 const penstock_relation *relation, pen_error *error);
/* A row of the last table: Values with NEW tags. */
extern penstock_status pen_memory_load_row(pen_memory_store *store, const uint8_t *data, size_t len,
										   pen_error *error);
/* A table that exists at the source but is not loaded (not taken, or not permanent): when it comes
 * into the stream later its rows must be loaded first. */
extern penstock_status pen_memory_load_other(pen_memory_store *store, uint32_t oid,
											 pen_error *error);
/* Everything committed before consistent_point is in the tables now. Readers see them, instead of
 * the old ones, once the stream starts: they are a state of the source, and a later one. */
extern void pen_memory_load_end(pen_memory_store *store, uint64_t consistent_point);
/* Drop what was being loaded. */
extern void pen_memory_load_abort(pen_memory_store *store);

/* ---- the stream: one writer ---- */

/* Everything before this LSN is in the tables, in the loaded ones where they wait to be seen. */
extern uint64_t pen_memory_store_lsn(const pen_memory_store *store);

/* The stream begins again: undo an open transaction, show what was loaded. E_RETRY: what lies
 * between the tables and start_lsn would be missing, load again. */
extern penstock_status pen_memory_start(pen_memory_store *store, uint64_t start_lsn,
										pen_error *error);
/* One event. Transactions that the tables contain are skipped. After a failure the transaction is
 * open still. E_RETRY: load again. */
extern penstock_status pen_memory_apply(pen_memory_store *store, const penstock_event *event,
										pen_error *error);
/* Between transactions: nothing comes from before lsn. */
extern void pen_memory_advance(pen_memory_store *store, uint64_t lsn);
/* Undo the open transaction, if there is one. */
extern void pen_memory_undo(pen_memory_store *store);
/* Between transactions: free what no snapshot holds any more. True when something is left. */
extern bool pen_memory_collect(pen_memory_store *store);
/* The same, at any time of the writer's thread: does nothing within a transaction. True when there
 * is nothing to come back for. */
extern bool pen_memory_idle(pen_memory_store *store);

/* Bytes of memory of all tables. The writer's thread. */
extern size_t pen_memory_store_bytes(const pen_memory_store *store);

/* ---- readers: any thread ---- */

/* NULL when nothing is loaded, or without memory. */
extern penstock_snapshot *pen_memory_store_snapshot(pen_memory_store *store);

#endif
