/* endpoints.c -- match a path against patterns, part by part.
 * A {…} never matches an empty part, more than one, or one that is too long to be a name. */
#include "serve/endpoints.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool
matches(const char *pattern, const char *path, char name[PEN_ENDPOINT_NAME_MAX])
{
	name[0] = '\0';
	while (*pattern != '\0')
	{
		if (*pattern == '{')
		{
			size_t length = strcspn(path, "/");

			if (length == 0 || length >= PEN_ENDPOINT_NAME_MAX)
				return false;
			memcpy(name, path, length);
			name[length] = '\0';
			path += length;
			pattern += strcspn(pattern, "}") + 1;
		}
		else if (*pattern++ != *path++)
			return false;
	}
	return *path == '\0';
}

static void
add_allowed(char *allow, size_t size, const char *method)
{
	size_t used = strlen(allow);

	if (used < size)
		snprintf(allow + used, size - used, "%s%s", used > 0 ? ", " : "", method);
}

const pen_endpoint *
pen_endpoint_find(const pen_endpoint *table, const char *method, const char *path,
				  char name[PEN_ENDPOINT_NAME_MAX], char *allow, size_t allow_size)
{
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	allow[0] = '\0';
	for (const pen_endpoint *endpoint = table; endpoint->method != NULL; endpoint++)
	{
		if (!matches(endpoint->pattern, path, name))
			continue;
		if (strcmp(endpoint->method, method) == 0)
			return endpoint;
		add_allowed(allow, allow_size, endpoint->method);
	}
	name[0] = '\0';
	return NULL;
}
