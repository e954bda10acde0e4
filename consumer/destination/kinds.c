/* kinds.c -- the registry of destinations, by the scheme of their URI. */
#include "destination/kinds.h"

#include <string.h>

static const struct
{
	const char *prefix;
	const pen_destination_kind *kind;
} kinds[] = {
	{"memory:", &pen_destination_memory},
	{"stdout:", &pen_destination_stdout},
	{"postgresql://", &pen_destination_postgres},
	{"postgres://", &pen_destination_postgres},
};

const pen_destination_kind *
pen_destination_find(const char *uri)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strncmp(uri, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return kinds[i].kind;
	}
	/* "host=… dbname=…", as libpq takes it; no scheme is written with an = before its colon. */
	return uri[strcspn(uri, ":=")] == '=' ? &pen_destination_postgres : NULL;
}
