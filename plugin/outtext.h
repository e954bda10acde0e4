/* outtext.h -- the output text of numeric and jsonb, which rows are full of, without the detour
 * through their output functions: those allocate, and cost more than all the rest of a row. */
#ifndef PENSTOCK_OUTTEXT_H
#define PENSTOCK_OUTTEXT_H

#include "postgres.h"

#include "fmgr.h"

#include "emit.h"

/* How the values of one type become text. */
typedef struct OutputText
{
	FmgrInfo function;
	void (*print)(pen_wire_buf *buf, Datum value); /* instead of it, or NULL */
} OutputText;

/* What lasts is in the current context. */
extern void outtext_init(OutputText *how, Oid type);

/*
 * The text, in the database's encoding, *len bytes of it, byte for byte what the type's output
 * function gives. In scratch, which is overwritten, or in the current context.
 */
extern const char *outtext_get(OutputText *how, Emitter *scratch, Datum value, Size *len);

#endif
