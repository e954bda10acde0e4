/* patterns.h -- lists of names with wildcards, as options give them.
 *
 *   list     pattern, pattern, …        white space around a pattern does not count
 *   pattern  name.name                  as many names as its kind of list has
 *   name     any characters; `*` stands for any number of any; `\` makes the next character plain,
 *            as is needed for a double quote, too
 *
 * Names are compared as they are stored, in the encoding of the database and with their case. */
#ifndef PENSTOCK_PATTERNS_H
#define PENSTOCK_PATTERNS_H

#include "postgres.h"

#define PATTERN_PARTS_MAX 3
#define PATTERNS_MAX      1000

/* A name with `*` as wildcard: escape sequences resolved, wild[i] tells which `*` are wild. */
typedef struct PatternPart
{
	char *text;
	bool *wild;
	int len;
} PatternPart;

typedef struct Pattern
{
	PatternPart parts[PATTERN_PARTS_MAX];
} Pattern;

typedef struct PatternList
{
	Pattern *patterns;
	int count; /* 0: the option was not given */
	int parts; /* names a pattern */
} PatternList;

/*
 * Parse text, palloc'd in the current context. False: it is malformed, and *problem says how, in
 * static text.
 */
extern bool patterns_parse(PatternList *list, const char *text, int parts, const char **problem);

extern bool pattern_part_matches(const PatternPart *part, const char *name);

/* Does a pattern of the list match all of these names? */
extern bool patterns_match(const PatternList *list, const char *const *names);

/* The first `parts` names only: is there a pattern for such a table? */
extern bool patterns_match_start(const PatternList *list, const char *const *names, int parts);

#endif
