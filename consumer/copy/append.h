/* append.h -- tables of immutable events: rows with a greater key are added to those that are
 * there. Private to copy/. */
#ifndef PEN_APPEND_H
#define PEN_APPEND_H

#include "copy/plan.h"

/* The one column whose order tells new rows from old ones: its index, or -1 when there is none. */
extern int pen_append_key(const penstock_relation *relation);

/*
 * Are the rows at the target the source's first ones? Then target->after is the greatest key there.
 * E_REFUSED otherwise, with what was found; E_CONFIG for a table that has no such key. Failures of
 * the source go to source_error instead.
 */
extern penstock_status pen_append_check(pen_plan_target *target, const penstock_relation *relation,
										PGconn *source, pen_error *error, pen_error *source_error);

#endif
