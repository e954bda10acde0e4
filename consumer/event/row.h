/* row.h -- a row's values as the codec has them; the public readers are in penstock.h. */
#ifndef PEN_ROW_H
#define PEN_ROW_H

#include "penstock/penstock.h"
#include "wire.h"

/* The value of a column. PENSTOCK_OK, NULL, UNCHANGED, NOT_FOUND (no row, or not in an
 * identity-only one), E_CONFIG (no such column), E_DATA (the row is damaged). */
extern penstock_status pen_row_value(const penstock_row *row, int column, pen_value *value);

#endif
