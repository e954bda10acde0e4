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

/* What the plugin takes (plugin/patterns.h, options.c), the second with room to spare. */
#define PLUGIN_PATTERNS_MAX 1000
#define PLUGIN_BYTES_MAX    60000

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

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Leave out white space at both ends, but not where it is quoted. */
static void
trim(const char **text, const char **end)
{
	while (*text < *end && is_space(**text))
		(*text)++;
	while (*text < *end && is_space((*end)[-1]) && !ends_in_quote(*text, *end - 1))
		(*end)--;
}

static penstock_status
parse_pattern(pattern *into, const char *text, const char *end, pen_error *error)
{
	const char *dot;
	const char *schema_end;
	const char *table;
	int length;

	trim(&text, &end);
	dot = find_unquoted(text, end, '.');
	schema_end = dot;
	table = dot < end ? dot + 1 : text;
	length = (int) (end - text);
	if (text == end)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"a table pattern is empty; write schema.table, with * for any characters");
	if (dot < end)
	{
		const char *schema = text;

		trim(&schema, &schema_end);
		trim(&table, &end);
	}
	if (schema_end == text || table == end || find_unquoted(table, end, '.') < end)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"table pattern \"%.*s\" is not schema.table (\\ before a dot that is part of a name)",
			length, text);
	if (ends_in_quote(text, end))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "table pattern \"%.*s\" ends in a \\ that quotes nothing", length,
							 text);
	into->schema = table > text ? strndup(text, (size_t) (schema_end - text)) : strdup("public");
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
		while (is_space(*text))
			text++;
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

/* ---- the plugin's patterns ---- */

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		   (unsigned char) c >= 0x80;
}

/* Every character that may mean something is quoted. At most twice as long. */
static char *
write_part(char *to, const char *pat)
{
	for (; *pat != '\0'; pat++)
	{
		bool wild = *pat == '*';

		if (*pat == '\\')
			pat++;
		if (!wild && !is_plain(*pat))
			*to++ = '\\';
		*to++ = *pat;
	}
	return to;
}

char *
pen_route_plugin_patterns(const pen_route *const *routes, size_t count)
{
	size_t patterns = 0;
	size_t bytes = 1;
	char *list;
	char *to;

	for (size_t i = 0; i < count; i++)
	{
		if (routes[i] == NULL || routes[i]->count == 0)
			return NULL;
		patterns += routes[i]->count;
		for (size_t j = 0; j < routes[i]->count; j++)
			bytes += 2 * (strlen(routes[i]->patterns[j].schema) +
						  strlen(routes[i]->patterns[j].table) + 1);
	}
	list = patterns > 0 && patterns <= PLUGIN_PATTERNS_MAX && bytes <= PLUGIN_BYTES_MAX
			   ? malloc(bytes)
			   : NULL;
	if (list == NULL)
		return NULL;
	to = list;
	for (size_t i = 0; i < count; i++)
	{
		for (size_t j = 0; j < routes[i]->count; j++)
		{
			if (to > list)
				*to++ = ',';
			to = write_part(to, routes[i]->patterns[j].schema);
			*to++ = '.';
			to = write_part(to, routes[i]->patterns[j].table);
		}
	}
	*to = '\0';
	return list;
}

/* ---- names ---- */

/* A copy without the quoting; NULL without memory. */
static char *
unquote(const char *text, const char *end)
{
	char *name = malloc((size_t) (end - text) + 1);
	char *to = name;

	if (name == NULL)
		return NULL;
	while (text < end)
	{
		if (*text == '\\' && text + 1 < end)
			text++;
		*to++ = *text++;
	}
	*to = '\0';
	return name;
}

static bool
is_literal(const char *pat)
{
	const char *end = pat + strlen(pat);

	return find_unquoted(pat, end, '*') == end;
}

bool
pen_route_is_literal(const pen_route *route)
{
	for (size_t i = 0; i < route->count; i++)
	{
		if (!is_literal(route->patterns[i].schema) || !is_literal(route->patterns[i].table))
			return false;
	}
	return route->count > 0;
}

/* Does route take a table that a pattern of others names? Without memory: no. */
static bool
takes_a_name(const pen_route *route, const pen_route *others)
{
	bool taken = false;

	for (size_t i = 0; i < others->count && !taken; i++)
	{
		const pattern *p = &others->patterns[i];
		char *schema;
		char *table;

		if (!is_literal(p->schema) || !is_literal(p->table))
			continue;
		schema = unquote(p->schema, p->schema + strlen(p->schema));
		table = unquote(p->table, p->table + strlen(p->table));
		taken = schema != NULL && table != NULL && pen_route_takes(route, schema, table);
		free(schema);
		free(table);
	}
	return taken;
}

bool
pen_route_shares_name(const pen_route *a, const pen_route *b)
{
	return takes_a_name(a, b) || takes_a_name(b, a);
}

/* Of a name that is given, where a * alone is NULL. */
static penstock_status
take_part(const char *text, const char *end, char **name, pen_error *error)
{
	trim(&text, &end);
	*name = NULL;
	if (end - text == 1 && *text == '*')
		return PENSTOCK_OK;
	if (text == end || find_unquoted(text, end, '*') < end || find_unquoted(text, end, '.') < end ||
		ends_in_quote(text, end))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "to: write SCHEMA.TABLE; * alone for a name that stays, \\ before a "
							 "special character that is part of one");
	*name = unquote(text, end);
	return *name != NULL ? PENSTOCK_OK : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

penstock_status
pen_route_split_name(const char *text, char **schema, char **table, pen_error *error)
{
	const char *end = text + strlen(text);
	const char *dot = find_unquoted(text, end, '.');

	*schema = NULL;
	if (dot < end && take_part(text, dot, schema, error) < 0)
		return error->status;
	if (take_part(dot < end ? dot + 1 : text, end, table, error) >= 0)
		return PENSTOCK_OK;
	free(*schema);
	*schema = NULL;
	return error->status;
}

const char *
pen_route_next_name(const char *text, char **name)
{
	const char *end = text + strlen(text);
	const char *comma = find_unquoted(text, end, ',');
	const char *name_end = comma;

	trim(&text, &name_end);
	*name = unquote(text, name_end);
	return comma < end ? comma + 1 : NULL;
}
