/* amendments.h -- tables that were added to a running follower, or removed from it, in their order.
 * The file that holds them is the truth: a destination that is behind it is brought up to it. */
#ifndef PEN_AMENDMENTS_H
#define PEN_AMENDMENTS_H

#include "base/error.h"

typedef struct pen_amendment
{
	char *destination;
	char *schema;
	char *table;
	bool added; /* else removed */
} pen_amendment;

/* All zero is empty. */
typedef struct pen_amendments
{
	pen_amendment *entries;
	size_t count;
} pen_amendments;

extern void pen_amendments_reset(pen_amendments *list);

/* E_RETRY without memory; E_CONFIG: there are too many, or a name has a line's end in it. */
extern penstock_status pen_amendments_add(pen_amendments *list, const pen_amendment *entry,
										  pen_error *error);

/* Those of a destination into own, which is empty. */
extern penstock_status pen_amendments_pick(const pen_amendments *all, const char *destination,
										   pen_amendments *own, pen_error *error);

/* What the last entry says of a table: 1 it was added, -1 removed, 0 nothing. list may be NULL. */
extern int pen_amendments_say(const pen_amendments *list, const char *schema, const char *table);
/* Does any entry add it? */
extern bool pen_amendments_mention(const pen_amendments *list, const char *schema,
								   const char *table);

/* The patterns of all that was ever added, for pen_route_new and free(); "" is none, NULL without
 * memory. */
extern char *pen_amendments_patterns(const pen_amendments *list);

/* The fingerprint after the first count entries, from the one before them. */
extern void pen_amendments_fingerprint(const pen_amendments *list, size_t count,
									   const char plain[17], char fingerprint[17]);

/* Fill list, which is empty, from a file, which may be missing; write it, durably and whole or not
 * at all. E_CONFIG: it is damaged; E_RETRY. */
extern penstock_status pen_amendments_read(pen_amendments *list, const char *path,
										   pen_error *error);
extern penstock_status pen_amendments_write(const pen_amendments *list, const char *path,
											pen_error *error);

#endif
