/* check.h -- what must hold whatever the bytes are. A breach aborts, and libFuzzer keeps the input. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

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

/* It is JSON; a numeric may have more digits than the reader's numbers. */
static inline void
check_is_json(const uint8_t *bytes, size_t len, size_t flags)
{
	json_error_t wrong;
	json_t *value = json_loadb((const char *) bytes, len,
							   flags | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &wrong);

	if (value == NULL && json_error_code(&wrong) != json_error_numeric_overflow)
	{
		fprintf(stderr, "%s: %.*s\n", wrong.text, (int) len, (const char *) bytes);
		abort();
	}
	json_decref(value);
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
