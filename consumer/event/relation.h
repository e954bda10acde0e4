/* relation.h -- descriptions of tables, shared between threads and immutable.
 * They come from the stream (decode/) and from the source's catalog (copy/). */
#ifndef PEN_RELATION_H
#define PEN_RELATION_H

#include "base/error.h"
#include "penstock/event.h"

/* Limits on what a stream may make us allocate. */
#define PEN_RELATION_COLUMNS_MAX 1664

/*
 * A deep copy of draft with one reference, in which key_columns has been worked out; those of the
 * draft are ignored. NULL and error without memory, or when the draft contradicts itself (no name,
 * columns out of attnum order, too many columns).
 */
extern const penstock_relation *pen_relation_new(const penstock_relation *draft, pen_error *error);

/* Thread-safe. pen_relation_unref(NULL) is harmless. */
extern const penstock_relation *pen_relation_ref(const penstock_relation *relation);
extern void pen_relation_unref(const penstock_relation *relation);

/* How many columns have an identity: the Values of a key. */
extern int pen_relation_identity_count(const penstock_relation *relation);

/* Bytes of memory it takes. */
extern size_t pen_relation_size(const penstock_relation *relation);

#endif
