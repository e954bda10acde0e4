/* jobs.h -- the threads that copy the items of a plan. Private to copy/. */
#ifndef PEN_JOBS_H
#define PEN_JOBS_H

#include "copy/plan.h"

/*
 * Copy all items of the plan, with at most options->jobs threads, and record each table when it is
 * complete. A place that fails is left out from then on. Negative: the source failed, or an
 * interrupt came. *completed counts tables that became complete at a place.
 */
extern penstock_status pen_jobs_run(const pen_copy_options *options, const pen_snapshot *snapshot,
									pen_plan *plan, pen_copy_place *places, size_t place_count,
									size_t *completed, pen_error *error);

#endif
