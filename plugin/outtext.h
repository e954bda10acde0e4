/* outtext.h -- the output text of numeric and jsonb, which rows are full of, without the detour
 * through their output functions: those allocate, and cost more than all the rest of a row. */
#ifndef PENSTOCK_OUTTEXT_H
#define PENSTOCK_OUTTEXT_H

#include "postgres.h"

#include "wire.h"

/* Append what numeric_out and jsonb_out print, byte for byte, in the database's encoding. */
extern void outtext_numeric(pen_wire_buf *buf, Datum value);
extern void outtext_jsonb(pen_wire_buf *buf, Datum value);

#endif
