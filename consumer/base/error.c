/* error.c -- one error on its way up. Texts are cut, never lost. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
pen_error_clear(pen_error *error)
{
	error->status = PENSTOCK_OK;
	error->sqlstate[0] = '\0';
	error->text[0] = '\0';
}

penstock_status
pen_error_set(pen_error *error, penstock_status status, const char *format, ...)
{
	va_list args;

	if (error == NULL)
		return status;
	error->status = status;
	error->sqlstate[0] = '\0';
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return status;
}

penstock_status
pen_error_context(pen_error *error, const char *format, ...)
{
	char before[PEN_ERROR_MAX];
	char after[PEN_ERROR_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(before, sizeof(before), format, args);
	va_end(args);
	memcpy(after, error->text, sizeof(after));
	if (snprintf(error->text, sizeof(error->text), "%s: %s", before, after) < 0)
		memcpy(error->text, after, sizeof(after));
	return error->status;
}
