/* rules_private.h -- a rule's parts, shared by rules.c and mapping.c. */
#ifndef PEN_RULES_PRIVATE_H
#define PEN_RULES_PRIVATE_H

#include "route/route.h"
#include "route/rules.h"
#include "route/where.h"

typedef struct pen_rename
{
	char *from;
	char *to;
} pen_rename;

struct pen_rule
{
	char *stands_at;
	pen_route *route;
	char *destination; /* NULL: all */
	bool has_to;
	char *schema; /* at the destination; NULL: as at the source */
	char *table;
	char **columns; /* sorted, without doubles; count 0: all */
	size_t column_count;
	pen_rename *renames; /* sorted by from */
	size_t rename_count;
	pen_where *where;
};

/* A key of which the two say different things, or NULL. */
extern const char *pen_rule_contradicts(const pen_rule *a, const pen_rule *b);

#endif
