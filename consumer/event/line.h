/* line.h -- an event as a line of JSON (proto/FORMAT.md). */
#ifndef PEN_LINE_H
#define PEN_LINE_H

#include "base/error.h"
#include "json.h"
#include "penstock/event.h"
#include "wire.h"

/*
 * Append the event's line, its newline included. PENSTOCK_OK; E_DATA (a string is not UTF-8, a
 * value does not fit its column) or E_RETRY (no memory), with nothing appended. Thread-safe for
 * different buffers.
 */
extern penstock_status pen_event_json(const penstock_event *event, pen_wire_buf *buf,
									  pen_error *error);

/* The same for an event that does not stand in a committed transaction: with the head that says
 * where it stands. */
extern penstock_status pen_event_json_under(const penstock_event *event, const pen_json_head *head,
											pen_wire_buf *buf, pen_error *error);

#endif
