/* change.h -- one change of a row, deformed. */
#ifndef PENSTOCK_CHANGE_H
#define PENSTOCK_CHANGE_H

#include "postgres.h"

#include "options.h"

/* By attribute of the changed relation, from 0. values NULL: the WAL has no such row. */
typedef struct RowValues
{
	Datum *values;
	bool *nulls;
} RowValues;

/* insert: new_row. update: new_row, or none if the WAL has none, and old_row where the WAL has it.
 * delete: old_row where the WAL has it. */
typedef struct RowChange
{
	ChangeAction action;
	RowValues new_row;
	RowValues old_row;
} RowChange;

/* A TOASTed value of a new row that the change did not touch, so that the WAL does not have it.
 * is_varlena: its type's typlen is -1. */
#define IS_UNCHANGED(is_varlena, value)                                                            \
	((is_varlena) && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))

#endif
