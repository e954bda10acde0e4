/* error.h -- one error on its way up: found low, given context, printed once in cli/. */
#ifndef PEN_ERROR_H
#define PEN_ERROR_H

#include "penstock/penstock.h"

#define PEN_ERROR_MAX 2048

/* Plain data: copy it freely. status PENSTOCK_OK and an empty text: no error. */
typedef struct pen_error
{
	penstock_status status;
	char sqlstate[6]; /* "" where no server said it */
	char text[PEN_ERROR_MAX];
} pen_error;

extern void pen_error_clear(pen_error *error);

/* Set status and text and return status, so that `return pen_error_set(…)` reads well. Longer
 * texts are cut. error may be NULL. Never pass row data or a password. */
extern penstock_status pen_error_set(pen_error *error, penstock_status status, const char *format,
									 ...) __attribute__((format(printf, 3, 4)));

/* Put "context: " before the text. Returns the error's status. */
extern penstock_status pen_error_context(pen_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
