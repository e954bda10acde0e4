/* decoderbufs.h -- the message that decoderbufs.c writes: its tags, and its text for people. */
#ifndef PENSTOCK_DECODERBUFS_H
#define PENSTOCK_DECODERBUFS_H

#include "format.h"

typedef enum DecoderbufsOp
{
	DECODERBUFS_INSERT = 0,
	DECODERBUFS_UPDATE = 1,
	DECODERBUFS_DELETE = 2,
	DECODERBUFS_BEGIN = 3,
	DECODERBUFS_COMMIT = 4
} DecoderbufsOp;

/* Tag bytes: field number << 3 | wire type. */
enum
{
	/* RowMessage */
	TAG_TRANSACTION_ID = 1 << 3 | 0,
	TAG_COMMIT_TIME = 2 << 3 | 0,
	TAG_TABLE = 3 << 3 | 2,
	TAG_OP = 4 << 3 | 0,
	TAG_NEW_TUPLE = 5 << 3 | 2,
	TAG_OLD_TUPLE = 6 << 3 | 2,
	TAG_NEW_TYPEINFO = 7 << 3 | 2,
	/* DatumMessage */
	TAG_COLUMN_NAME = 1 << 3 | 2,
	TAG_COLUMN_TYPE = 2 << 3 | 0,
	TAG_DATUM_INT32 = 3 << 3 | 0,
	TAG_DATUM_INT64 = 4 << 3 | 0,
	TAG_DATUM_FLOAT = 5 << 3 | 5,
	TAG_DATUM_DOUBLE = 6 << 3 | 1,
	TAG_DATUM_BOOL = 7 << 3 | 0,
	TAG_DATUM_STRING = 8 << 3 | 2,
	TAG_DATUM_BYTES = 9 << 3 | 2,
	TAG_DATUM_POINT = 10 << 3 | 2,
	TAG_DATUM_MISSING = 11 << 3 | 0,
	/* Point, always both */
	TAG_POINT_X = 1 << 3 | 1,
	TAG_POINT_Y = 2 << 3 | 1,
	POINT_LEN = 2 * (1 + 8),
	/* TypeInfo */
	TAG_MODIFIER = 1 << 3 | 2,
	TAG_VALUE_OPTIONAL = 2 << 3 | 0
};

/* What the original tells its clients at the start, which some wait for. options: as given, a List
 * of DefElem. */
extern void decoderbufs_greet(List *options);

/*
 * Option debug-mode: replace the message that is being written by its text. Which tuples it has
 * must be told, as one without columns leaves no bytes.
 */
extern void decoderbufs_to_text(Emitter *emitter, bool old_tuple, bool new_tuple);

#endif
