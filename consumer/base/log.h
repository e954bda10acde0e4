/* log.h -- where messages go. The library itself prints nothing: its user gives it a sink. */
#ifndef PEN_LOG_H
#define PEN_LOG_H

#include "penstock/penstock.h"

/* write is called from any thread of the library, one call at a time. NULL: messages are
 * dropped. */
typedef struct pen_log
{
	penstock_log_callback write;
	void *context;
} pen_log;

/* Never pass row data or a password. component: the destination's name, "source", … */
extern void pen_log_write(const pen_log *log, penstock_log_level level, const char *component,
						  const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
