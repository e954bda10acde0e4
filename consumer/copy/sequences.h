/* sequences.h -- bring sequences to where the source's are: the stream does not carry them. */
#ifndef PEN_SEQUENCES_H
#define PEN_SEQUENCES_H

#include "copy/copy.h"

/*
 * Set, at each of the places, every sequence that a wanted table owns or uses, or whose own name is
 * wanted as a table's would be. Those that are not at the place are left out, with a warning. What
 * fails at a place is in its error; *set counts those that were set. Negative: the source failed.
 */
extern penstock_status pen_sequences_set(const pen_copy_options *options, pen_copy_place *places,
										 size_t count, size_t *set, pen_error *error);

#endif
