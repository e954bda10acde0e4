/* kinds.h -- the kinds of destination there are. Adding one is a file or folder, and a line here
 * and in kinds.c. */
#ifndef PEN_KINDS_H
#define PEN_KINDS_H

#include "destination/destination.h"

extern const pen_destination_kind pen_destination_memory;
extern const pen_destination_kind pen_destination_postgres;
extern const pen_destination_kind pen_destination_stdout;

#endif
