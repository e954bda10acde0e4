/* answers.h -- what the control socket can be asked, and its answers as JSON.
 *
 *   GET  /v1/status   {"version", "ready", "reasons": [text…], "age_ms", "finishing",
 *                      "transactions",
 *                      "source": {"slot", "temporary", "connected", "received_lsn",
 *                                 "confirmed_lsn", "retained_bytes", "wal_status", "safe_bytes"},
 *                      "destinations": [DESTINATION…],
 *                      "tables": {"schema.table": {"inserts", "updates", "deletes", "truncates"}…}}
 *   GET  /v1/tables   {"tables": [{"table", "destination", "state", "lsn", and the counts}…]}; one
 *                     that is brought there while the stream goes on has "rows", "bytes", what is
 *                     expected of both, and "error"
 *   POST /v1/tables   {"action": "add" | "resync" | "remove", "tables": [name…],
 *                      "destination": name}:
 *                     202 {"tables": […]} as above; without a destination all of them
 *   POST /v1/pause, /v1/resume
 *   POST /v1/destinations/NAME/pause, …/resume
 *                     202 {"destinations": [DESTINATION…]}: asked for, look at the status for when
 *                     it has come about
 *
 * DESTINATION is {"name", "kind", "state", "pausing", "applied_lsn", "durable_lsn", "queue_bytes",
 * "last_error"}; states are those of pen_worker_state_name, LSNs texts such as "0/16B3748". What is
 * not known yet is missing; before the first step of the receiver a status has no more than
 * version, ready, reasons and source.connected. A failure is {"error": text, "status": the HTTP
 * status}: 404 and 405 for what there is not, 413 for a body that is too large, 503 when the
 * receiver had no time and nothing was done. Members may be added; a reader leaves out those it
 * does not know. */
#ifndef PEN_ANSWERS_H
#define PEN_ANSWERS_H

#include "serve/endpoints.h"

/* The protocol, for pen_endpoint_find. Later commands add their lines here. */
extern const pen_endpoint pen_answers[];

/* {"error": text, "status": status}. */
extern void pen_answer_error(pen_response *response, unsigned int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
