/* log.c -- format a message and hand it to the sink, one at a time. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

void
pen_log_write(const pen_log *log, penstock_log_level level, const char *component,
			  const char *format, ...)
{
	char text[PEN_ERROR_MAX];
	va_list args;

	if (log == NULL || log->write == NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pthread_mutex_lock(&one_at_a_time);
	log->write(level, component, text, log->context);
	pthread_mutex_unlock(&one_at_a_time);
}
