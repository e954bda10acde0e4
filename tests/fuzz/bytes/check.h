/* check.h -- what must hold whatever the bytes are. A breach aborts, and libFuzzer keeps the input. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

#define CHECK(condition)                                                                           \
	do                                                                                             \
	{                                                                                              \
		if (!(condition))                                                                          \
		{                                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
			abort();                                                                               \
		}                                                                                          \
	} while (0)

/* Bytes from outside are bad data at worst: they are never our own mistake. */
static inline void
check_status(penstock_status status, const pen_error *error)
{
	if (status != PENSTOCK_E_BUG)
		return;
	fprintf(stderr, "a bug is reported: %s\n", error->text);
	abort();
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
