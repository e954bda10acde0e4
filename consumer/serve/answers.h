/* answers.h -- what the control socket can be asked, and its answers as JSON. */
#ifndef PEN_ANSWERS_H
#define PEN_ANSWERS_H

#include "serve/endpoints.h"

/* The protocol, for pen_endpoint_find. Later commands add their lines here. */
extern const pen_endpoint pen_answers[];

/* {"error": text, "status": status}. */
extern void pen_answer_error(pen_response *response, unsigned int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
