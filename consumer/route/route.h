/* route.h -- which tables go where. Pure functions over names. */
#ifndef PEN_ROUTE_H
#define PEN_ROUTE_H

#include "base/error.h"

typedef struct pen_route pen_route;

/*
 * A route from a list of patterns, separated by commas: `schema.table`, where * stands for any
 * run of characters and \ takes the next character as it is; without a dot the schema is public.
 * White space around a name does not count. NULL or "" takes every table. The schema `penstock`,
 * where progress is kept, is never taken. NULL and error (E_CONFIG) when a pattern is malformed.
 */
extern pen_route *pen_route_new(const char *patterns, pen_error *error);
extern void pen_route_free(pen_route *route);

/* Thread-safe. route NULL takes every table. */
extern bool pen_route_takes(const pen_route *route, const char *schema, const char *table);

/* What is filtered, as 16 hexadecimal digits and a NUL: equal for equal routes, whatever the order
 * of their patterns. */
extern void pen_route_fingerprint(const pen_route *route, char fingerprint[17]);

/*
 * The patterns of all of these as the plugin's option include_tables wants them, for free(): a
 * table that one of the routes takes is one that matches. NULL where that cannot be said: one of
 * them takes every table, it would be longer than the plugin allows, or there is no memory.
 */
extern char *pen_route_plugin_patterns(const pen_route *const *routes, size_t count);

/* Has it patterns, and all of them without *? */
extern bool pen_route_is_literal(const pen_route *route);
/* Is there a table that both certainly take: a pattern without * of one that the other takes? */
extern bool pen_route_shares_name(const pen_route *a, const pen_route *b);

/*
 * A name as `schema.table` or `table`, with \ as in patterns; a part that is * is NULL, as is the
 * schema where there is none. For free(). E_CONFIG.
 */
extern penstock_status pen_route_split_name(const char *text, char **schema, char **table,
											pen_error *error);

/* The first of a list of names, separated by commas, with \ as in patterns; for free(), NULL
 * without memory. Returns where the next one begins, or NULL. */
extern const char *pen_route_next_name(const char *text, char **name);

#endif
