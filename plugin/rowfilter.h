/* rowfilter.h -- row filters of publications, evaluated for each change. */
#ifndef PENSTOCK_ROWFILTER_H
#define PENSTOCK_ROWFILTER_H

#include "change.h"
#include "filter.h"

typedef struct RowFilter RowFilter;

/*
 * Prepare the filters of sent for changes to a relation whose values, for each attribute of target,
 * stand at source[i] (from 0). Lives in the current context.
 */
extern RowFilter *row_filter_new(const SentRelation *sent, TupleDesc target, const int *source);

/*
 * Is the change sent? pgoutput's rules: an update by which a row enters or leaves the filter
 * becomes an insert or a delete. But one that enters it with a TOASTed value that the update did
 * not touch, and that the old row does not hold either, stays an update: as an insert it would
 * have a hole.
 */
extern bool row_filter_passes(RowFilter *filter, RowChange *change);

#endif
