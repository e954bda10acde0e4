/* route.c -- patterns of tables: parsed once, matched without allocation.
 * A pattern is kept as text in which \ quotes and * is any run; only the dot that separates schema
 * from table has been found. */
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

typedef struct pattern
{
	char *schema;
	char *table;
} pattern;

struct pen_route
{
	pattern *patterns;
	size_t count;
};

#define PROGRESS_SCHEMA "penstock"

/* Does name match? Iterative, with one point to go back to: never worse than product of lengths. */
static bool
matches(const char *pat, const char *name)
{
	const char *star = NULL;
	const char *resume = NULL;

	while (*name != '\0')
	{
		if (*pat == '*')
		{
			star = ++pat;
			resume = name;
			continue;
		}
		if (*pat != '\0')
		{
			const char *literal = *pat == '\\' ? pat + 1 : pat;

			if (*literal == *name)
			{
				pat = literal + 1;
				name++;
				continue;
			}
		}
		if (star == NULL)
			return false;
		pat = star;
		name = ++resume;
	}
	while (*pat == '*')
		pat++;
	return *pat == '\0';
}

/* The first unquoted occurrence of c in [text, end), or end. */
static const char *
find_unquoted(const char *text, const char *end, char c)
{
	for (; text < end; text++)
	{
		if (*text == c)
			return text;
		if (*text == '\\' && text + 1 < end)
			text++;
	}
	return end;
}

/* Does [text, end) end in a \ that is not itself quoted? */
static bool
ends_in_quote(const char *text, const char *end)
{
	const char *p = end;

	while (p > text && p[-1] == '\\')
		p--;
	return (end - p) % 2 != 0;
}

static penstock_status
parse_pattern(pattern *into, const char *text, const char *end, pen_error *error)
{
	const char *dot = find_unquoted(text, end, '.');
	const char *table = dot < end ? dot + 1 : text;
	int length = (int) (end - text);

	if (text == end)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"a table pattern is empty; write schema.table, with * for any characters");
	if (dot == text || table == end || find_unquoted(table, end, '.') < end)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"table pattern \"%.*s\" is not schema.table (\\ before a dot that is part of a name)",
			length, text);
	if (ends_in_quote(text, end))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "table pattern \"%.*s\" ends in a \\ that quotes nothing", length,
							 text);
	into->schema = dot < end ? strndup(text, (size_t) (dot - text)) : strdup("public");
	into->table = strndup(table, (size_t) (end - table));
	if (into->schema == NULL || into->table == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	return PENSTOCK_OK;
}

static int
compare_patterns(const void *left, const void *right)
{
	const pattern *a = left;
	const pattern *b = right;
	int order = strcmp(a->schema, b->schema);

	return order != 0 ? order : strcmp(a->table, b->table);
}

pen_route *
pen_route_new(const char *patterns, pen_error *error)
{
	pen_route *route = calloc(1, sizeof(*route));
	const char *text = patterns != NULL ? patterns : "";
	const char *end = text + strlen(text);
	size_t most = 1;

	for (const char *p = text; p < end; p++)
		most += *p == ',';
	if (route != NULL)
		route->patterns = calloc(most, sizeof(*route->patterns));
	if (route == NULL || route->patterns == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		pen_route_free(route);
		return NULL;
	}
	while (*text != '\0')
	{
		const char *comma = find_unquoted(text, end, ',');

		if (parse_pattern(&route->patterns[route->count++], text, comma, error) < 0)
		{
			pen_route_free(route);
			return NULL;
		}
		if (comma == end)
			break;
		text = comma + 1;
		if (text == end)
		{
			pen_error_set(error, PENSTOCK_E_CONFIG, "the list of table patterns ends in a comma");
			pen_route_free(route);
			return NULL;
		}
	}
	qsort(route->patterns, route->count, sizeof(*route->patterns), compare_patterns);
	return route;
}

void
pen_route_free(pen_route *route)
{
	if (route == NULL)
		return;
	for (size_t i = 0; i < route->count; i++)
	{
		free(route->patterns[i].schema);
		free(route->patterns[i].table);
	}
	free(route->patterns);
	free(route);
}

bool
pen_route_takes(const pen_route *route, const char *schema, const char *table)
{
	if (strcmp(schema, PROGRESS_SCHEMA) == 0)
		return false;
	if (route == NULL || route->count == 0)
		return true;
	for (size_t i = 0; i < route->count; i++)
	{
		if (matches(route->patterns[i].schema, schema) && matches(route->patterns[i].table, table))
			return true;
	}
	return false;
}

void
pen_route_fingerprint(const pen_route *route, char fingerprint[17])
{
	XXH64_hash_t hash = 0;

	for (size_t i = 0; route != NULL && i < route->count; i++)
	{
		const pattern *p = &route->patterns[i];

		if (i > 0 && compare_patterns(p, p - 1) == 0)
			continue;
		hash = XXH64(p->schema, strlen(p->schema) + 1, hash);
		hash = XXH64(p->table, strlen(p->table) + 1, hash);
	}
	snprintf(fingerprint, 17, "%016llx", (unsigned long long) hash);
}
