/* endpoints.h -- which function answers which method and path. Pure: knows neither HTTP's library
 * nor what the functions do. */
#ifndef PEN_ENDPOINTS_H
#define PEN_ENDPOINTS_H

#include <stddef.h>

#define PEN_ENDPOINT_NAME_MAX 64

/* What was asked, for the function that answers. */
typedef struct pen_request
{
	struct pen_commands *commands;
	char name[PEN_ENDPOINT_NAME_MAX]; /* what stands for the pattern's {…}; "" without one */
	const char *body;                 /* NUL-terminated; "" without one */
	size_t body_size;
} pen_request;

/* JSON text, for free(), and an HTTP status. body NULL: no memory. */
typedef struct pen_response
{
	unsigned int status;
	char *body;
} pen_response;

typedef struct pen_endpoint
{
	const char *method;
	const char *pattern; /* "/v1/destinations/{name}/pause": {…} is one part of the path */
	void (*answer)(const pen_request *request, pen_response *response);
} pen_endpoint;

/*
 * The endpoint of table, which ends with a NULL method, for a path without its query; HEAD is GET
 * without a body. name receives what stands for {…}. NULL when there is none: then allow is "" for
 * a path that does not exist at all, else its methods, as in "GET, POST".
 */
extern const pen_endpoint *pen_endpoint_find(const pen_endpoint *table, const char *method,
											 const char *path, char name[PEN_ENDPOINT_NAME_MAX],
											 char *allow, size_t allow_size);

#endif
