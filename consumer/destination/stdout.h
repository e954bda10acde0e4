/* stdout.h -- the kind `stdout:`, for the registry. */
#ifndef PEN_DESTINATION_STDOUT_H
#define PEN_DESTINATION_STDOUT_H

#include "destination/destination.h"

extern const pen_destination_kind pen_destination_stdout;

#endif
