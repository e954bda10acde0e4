/* rules.h -- what is said of some tables: [table PATTERN] of penstock.ini, parsed and checked as
 * far as it can be without the tables. */
#ifndef PEN_RULES_H
#define PEN_RULES_H

#include "base/error.h"

typedef struct pen_rule pen_rule;

/*
 * A rule for the tables that patterns (route.h) take. where_it_stands is for messages, as
 * "penstock.ini:12". NULL and error (E_CONFIG).
 */
extern pen_rule *pen_rule_new(const char *patterns, const char *where_it_stands, pen_error *error);
extern void pen_rule_free(pen_rule *rule);

/*
 * Set what it says:
 *   to           SCHEMA.TABLE at the destination; either may be *: as at the source. Without a dot
 *                the schema stays
 *   columns      NAME, …: these and no others
 *   rename.NAME  what a column is called at the destination
 *   where        only rows for which this is true: where.h
 *   destination  NAME: only there
 * E_CONFIG: unknown key, malformed value, or the same key twice. A value may only appear in the
 * error if it is a name.
 */
extern penstock_status pen_rule_set(pen_rule *rule, const char *key, const char *value,
									pen_error *error);

/* The keys of a rule, without rename.NAME; NULL at the end. For suggestions. */
extern const char *const pen_rule_keys[];

extern const char *pen_rule_stands_at(const pen_rule *rule);
/* The only destination it is for, or NULL. */
extern const char *pen_rule_destination(const pen_rule *rule);

/* Do the two say different things of a table that both certainly mean, or send two tables to one?
 * E_CONFIG: yes, and what. What only their wildcards have in common is seen when such a table
 * comes. */
extern penstock_status pen_rules_compare(const pen_rule *a, const pen_rule *b, pen_error *error);

#endif
