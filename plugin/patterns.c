/* patterns.c -- lists of names with wildcards.
 * A client chooses both pattern and length, so matching is bounded: at most the product of the two
 * lengths, of which one is a name's. */
#include "patterns.h"

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *
skip_space(const char *text)
{
	while (is_space(*text))
		text++;
	return text;
}

/* Bytes up to the next unescaped dot, comma or end. */
static size_t
part_length(const char *text)
{
	const char *end = text;

	while (*end != '\0' && *end != '.' && *end != ',')
		end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
	return end - text;
}

/* Up to the next unescaped dot, comma or end. NULL: malformed. */
static const char *
parse_part(PatternPart *part, const char *text, const char **problem)
{
	size_t len = part_length(text);
	int kept = 0; /* of the length, what is not white space at the end */

	part->len = 0;
	part->text = palloc(len + 1);
	part->wild = palloc(len + 1);
	for (; *text != '\0' && *text != '.' && *text != ','; text++)
	{
		bool escaped = *text == '\\';

		if (escaped && *++text == '\0')
		{
			*problem = "a backslash stands at the end";
			return NULL;
		}
		/* Who quotes a name expects something else than a name with quotes in it. */
		if (!escaped && *text == '"')
		{
			*problem = "names are not quoted; a double quote that is part of one is written \\\"";
			return NULL;
		}
		part->wild[part->len] = !escaped && *text == '*';
		part->text[part->len++] = *text;
		if (escaped || !is_space(*text))
			kept = part->len;
	}
	part->len = kept;
	if (kept == 0)
	{
		*problem = "a name is empty";
		return NULL;
	}
	return text;
}

static const char *
parse_pattern(Pattern *pattern, const char *text, int parts, const char **problem)
{
	for (int i = 0; i < parts; i++)
	{
		text = parse_part(&pattern->parts[i], skip_space(text), problem);
		if (text == NULL)
			return NULL;
		if (i == parts - 1)
			break;
		if (*text != '.')
		{
			*problem = "a pattern has too few names";
			return NULL;
		}
		text++;
	}
	if (*text == '.')
	{
		*problem = "a pattern has too many names (a dot within one is written \\.)";
		return NULL;
	}
	return text;
}

bool
patterns_parse(PatternList *list, const char *text, int parts, const char **problem)
{
	Pattern *patterns = palloc(sizeof(Pattern) * PATTERNS_MAX);

	list->parts = parts;
	list->count = 0;
	list->patterns = patterns;
	for (;;)
	{
		if (list->count == PATTERNS_MAX)
		{
			*problem = "it has more than 1000 patterns";
			return false;
		}
		text = parse_pattern(&patterns[list->count++], text, parts, problem);
		if (text == NULL)
			return false;
		if (*text == '\0')
			break;
		text++;
	}
	list->patterns = repalloc(patterns, sizeof(Pattern) * list->count);
	return true;
}

/* Only the last `*` is ever gone back to, so there is no blow-up. */
bool
pattern_part_matches(const PatternPart *part, const char *name)
{
	int at = 0;
	int star = -1;
	const char *after_star = NULL;

	while (*name != '\0')
	{
		if (at < part->len && part->wild[at])
		{
			star = at++;
			after_star = name;
		}
		else if (at < part->len && part->text[at] == *name)
		{
			at++;
			name++;
		}
		else if (star >= 0)
		{
			at = star + 1;
			name = ++after_star;
		}
		else
			return false;
	}
	while (at < part->len && part->wild[at])
		at++;
	return at == part->len;
}

bool
patterns_match_start(const PatternList *list, const char *const *names, int parts)
{
	for (int i = 0; i < list->count; i++)
	{
		int matched = 0;

		while (matched < parts &&
			   pattern_part_matches(&list->patterns[i].parts[matched], names[matched]))
			matched++;
		if (matched == parts)
			return true;
	}
	return false;
}

bool
patterns_match(const PatternList *list, const char *const *names)
{
	return patterns_match_start(list, names, list->parts);
}
