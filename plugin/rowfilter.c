/* rowfilter.c -- row filters of publications.
 * The server lets only immutable built-in functions into them, so they need no snapshot, and for
 * updates and deletes only columns that the old row holds. */
#include "postgres.h"

#include "rowfilter.h"

#include "executor/executor.h"

struct RowFilter
{
	EState *estate;
	ExprState *states[ROW_ACTION_COUNT]; /* NULL: every row */
	TupleTableSlot *slot;                /* a row of the target */
	const int *source;
	int width;    /* attributes of the slot */
	bool *filled; /* for each of them: the last new row took it from the old one */
};

RowFilter *
row_filter_new(const SentRelation *sent, TupleDesc target, const int *source)
{
	RowFilter *filter = palloc0(sizeof(*filter));

	filter->width = target->natts;
	filter->source = source;
	filter->filled = palloc0(sizeof(bool) * Max(target->natts, 1));
	filter->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(target), &TTSOpsVirtual);
	filter->estate = CreateExecutorState();
	for (int action = 0; action < ROW_ACTION_COUNT; action++)
	{
		if (sent->row_filters[action] != NULL)
			filter->states[action] =
				ExecPrepareExpr((Expr *) copyObject(sent->row_filters[action]), filter->estate);
	}
	return filter;
}

static bool
is_unchanged(const RowFilter *filter, int attribute, const RowValues *row)
{
	int i = filter->source[attribute];

	return i >= 0 && !row->nulls[i] &&
		   IS_UNCHANGED(TupleDescAttr(filter->slot->tts_tupleDescriptor, attribute)->attlen == -1,
						row->values[i]);
}

/* Load the slot. fallback: where else to look for unchanged values, or NULL. */
static void
load_row(RowFilter *filter, const RowValues *row, const RowValues *fallback)
{
	TupleTableSlot *slot = filter->slot;

	ExecClearTuple(slot);
	for (int attribute = 0; attribute < filter->width; attribute++)
	{
		int i = filter->source[attribute];
		const RowValues *from = row;

		filter->filled[attribute] = false;
		if (fallback != NULL && is_unchanged(filter, attribute, row) && !fallback->nulls[i] &&
			!is_unchanged(filter, attribute, fallback))
		{
			from = fallback;
			filter->filled[attribute] = true;
		}
		slot->tts_isnull[attribute] = i < 0 || from->nulls[i];
		slot->tts_values[attribute] = i < 0 ? (Datum) 0 : from->values[i];
	}
	ExecStoreVirtualTuple(slot);
}

static bool
matches(RowFilter *filter, ExprState *state, const RowValues *row, const RowValues *fallback)
{
	ExprContext *context = GetPerTupleExprContext(filter->estate);
	bool is_null;
	Datum result;

	ResetPerTupleExprContext(filter->estate);
	load_row(filter, row, fallback);
	context->ecxt_scantuple = filter->slot;
	result = ExecEvalExprSwitchContext(state, context, &is_null);
	return !is_null && DatumGetBool(result);
}

/* The row that was loaded last has entered the filter: an insert, if it is whole. */
static void
make_insert(RowFilter *filter, RowChange *change)
{
	for (int attribute = 0; attribute < filter->width; attribute++)
	{
		if (!filter->filled[attribute] && is_unchanged(filter, attribute, &change->new_row))
			return;
	}
	for (int attribute = 0; attribute < filter->width; attribute++)
	{
		if (filter->filled[attribute])
			change->new_row.values[filter->source[attribute]] =
				change->old_row.values[filter->source[attribute]];
	}
	change->action = ACTION_INSERT;
	change->old_row.values = NULL;
}

bool
row_filter_passes(RowFilter *filter, RowChange *change)
{
	ExprState *state = filter->states[change->action];
	bool old_matches;
	bool new_matches;

	if (state == NULL)
		return true;
	if (change->new_row.values == NULL && change->old_row.values == NULL)
		return true;
	if (change->new_row.values == NULL)
		return matches(filter, state, &change->old_row, NULL);
	if (change->old_row.values == NULL)
		return matches(filter, state, &change->new_row, NULL);
	old_matches = matches(filter, state, &change->old_row, NULL);
	new_matches = matches(filter, state, &change->new_row, &change->old_row);
	if (!old_matches && new_matches)
		make_insert(filter, change);
	else if (old_matches && !new_matches)
	{
		change->action = ACTION_DELETE;
		change->new_row.values = NULL;
	}
	return old_matches || new_matches;
}
