/* route.h -- which tables go where. Pure functions over names. */
#ifndef PEN_ROUTE_H
#define PEN_ROUTE_H

#include "base/error.h"

typedef struct pen_route pen_route;

/*
 * A route from a list of patterns, separated by commas: `schema.table`, where * stands for any
 * run of characters and \ takes the next character as it is; without a dot the schema is public.
 * NULL or "" takes every table. The schema `penstock`, where progress is kept, is never taken.
 * NULL and error (E_CONFIG) when a pattern is malformed.
 */
extern pen_route *pen_route_new(const char *patterns, pen_error *error);
extern void pen_route_free(pen_route *route);

/* Thread-safe. route NULL takes every table. */
extern bool pen_route_takes(const pen_route *route, const char *schema, const char *table);

/* What is filtered, as 16 hexadecimal digits and a NUL: equal for equal routes, whatever the order
 * of their patterns. */
extern void pen_route_fingerprint(const pen_route *route, char fingerprint[17]);

#endif
