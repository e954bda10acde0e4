/* wanted.c -- which of the source's tables a run wants: checked before it begins, and told to the
 * plugin. What is told is never less than what the routes take. */
#include "wanted.h"

#include <stdlib.h>
#include <string.h>

/* The tables of the source. */
typedef struct table_list
{
	pen_table_name *tables;
	size_t count;
} table_list;

static bool
take_table(const char *schema, const char *name, void *context)
{
	table_list *list = context;
	pen_table_name *grown = realloc(list->tables, (list->count + 1) * sizeof(*grown));
	pen_table_name copy = {strdup(schema), strdup(name)};

	if (grown != NULL)
		list->tables = grown;
	if (grown == NULL || copy.schema == NULL || copy.name == NULL)
	{
		free((char *) copy.schema);
		free((char *) copy.name);
		return false;
	}
	grown[list->count++] = copy;
	return true;
}

penstock_status
pen_wanted_check(penstock *p)
{
	table_list list = {0};
	penstock_status status = PENSTOCK_OK;

	for (size_t i = 0; i < p->worker_count && status >= 0; i++)
	{
		if (!pen_mapping_has_rules(p->mappings[i]))
			continue;
		if (list.count == 0)
			status = pen_control_each_table(p->control, take_table, &list, &p->error);
		if (status >= 0)
			status = pen_mapping_check_tables(p->mappings[i], list.tables, list.count, &p->error);
		if (status < 0)
			pen_error_context(&p->error, "destination %s", p->configs[i].name);
	}
	for (size_t i = 0; i < list.count; i++)
	{
		free((char *) list.tables[i].schema);
		free((char *) list.tables[i].name);
	}
	free(list.tables);
	return status;
}

/* Those that were added later, as a route, or NULL; false without memory. */
static bool
added_tables(penstock *p, pen_route **added)
{
	char *patterns = pen_amendments_patterns(&p->amendments);
	pen_error ignored;

	*added = patterns != NULL && patterns[0] != '\0' ? pen_route_new(patterns, &ignored) : NULL;
	if (patterns == NULL || (patterns[0] != '\0' && *added == NULL))
	{
		free(patterns);
		return false;
	}
	free(patterns);
	return true;
}

/*
 * The tables that somebody here wants, for the plugin to send no others; for free(), or NULL: all.
 * In other encodings than UTF8 names may look different to the two sides.
 */
static char *
wanted_tables(penstock *p)
{
	size_t most = p->worker_count + p->subscription_count + 2;
	pen_route *added = NULL;
	const pen_route **routes = calloc(most, sizeof(*routes));
	char *patterns;
	size_t count = 0;

	if (routes == NULL || !pen_stream_identify(p->stream)->utf8 || !added_tables(p, &added))
	{
		free(routes);
		return NULL;
	}
	if (added != NULL)
		routes[count++] = added;
	for (size_t i = 0; i < p->worker_count; i++)
		routes[count++] = pen_mapping_route(p->mappings[i]);
	/* Who asks for begin and commit is told of every transaction of the run. */
	for (size_t i = 0; i < p->subscription_count; i++)
		routes[count++] = p->subscriptions[i].route;
	patterns = pen_route_plugin_patterns(routes, count);
	/* What the run does not take, nobody gets. */
	if (patterns == NULL)
	{
		routes[0] = p->route;
		routes[1] = added;
		patterns = pen_route_plugin_patterns(routes, added != NULL ? 2 : 1);
	}
	pen_route_free(added);
	free(routes);
	return patterns;
}

penstock_status
pen_wanted_start(penstock *p, uint64_t from)
{
	char *tables = wanted_tables(p);
	pen_stream_option options[4]; /* only what differs from the plugin's defaults */
	size_t count = 0;
	penstock_status status;

	if (tables != NULL)
		options[count++] = (pen_stream_option){"include_tables", tables};
	if (p->settings.streaming)
		options[count++] = (pen_stream_option){"streaming", "on"};
	if (p->settings.two_phase)
		options[count++] = (pen_stream_option){"two_phase", "on"};
	if (p->settings.origin == PEN_ORIGIN_NONE)
		options[count++] = (pen_stream_option){"origin", "none"};
	status = pen_stream_start(p->stream, p->slot, from, options, count, &p->error);
	free(tables);
	return status;
}
