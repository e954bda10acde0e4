/* changes.c -- read what is to be done with which tables.
 * Nothing that is unknown or left over is passed by in silence: a mistyped member must not widen
 * what is done. */
#include "serve/changes.h"

#include <stdio.h>
#include <string.h>

/* A schema, a dot, a table, each with quotes inside doubled at the most. */
#define NAME_BYTES_MAX 135

static penstock_status
bad(pen_error *error, const char *what)
{
	return pen_error_set(error, PENSTOCK_E_CONFIG, "%s", what);
}

static penstock_status
parse_action(pen_change *change, pen_error *error)
{
	static const struct
	{
		const char *name;
		pen_command_kind kind;
	} actions[] = {{"add", PEN_COMMAND_TABLES_ADD},
				   {"resync", PEN_COMMAND_TABLES_RESYNC},
				   {"remove", PEN_COMMAND_TABLES_REMOVE}};
	const char *name = json_string_value(json_object_get(change->json, "action"));

	for (size_t i = 0; name != NULL && i < 3; i++)
	{
		if (strcmp(name, actions[i].name) == 0)
		{
			change->command.kind = actions[i].kind;
			return PENSTOCK_OK;
		}
	}
	return bad(error, "\"action\" is \"add\", \"resync\" or \"remove\"");
}

static penstock_status
parse_tables(pen_change *change, pen_error *error)
{
	const json_t *tables = json_object_get(change->json, "tables");
	const json_t *table;
	size_t i;

	if (!json_is_array(tables) || json_array_size(tables) == 0 ||
		json_array_size(tables) > PEN_CHANGES_TABLES_MAX)
		return bad(error, "\"tables\" is an array of 1 to 1000 names");
	json_array_foreach(tables, i, table)
	{
		if (!json_is_string(table) || json_string_length(table) == 0 ||
			json_string_length(table) > NAME_BYTES_MAX)
			return bad(error, "a table's name is a text of 1 to 135 bytes");
		change->tables[i] = json_string_value(table);
	}
	change->command.tables = change->tables;
	change->command.table_count = json_array_size(tables);
	return PENSTOCK_OK;
}

static penstock_status
parse_destination(pen_change *change, pen_error *error)
{
	const json_t *destination = json_object_get(change->json, "destination");
	size_t length;

	if (destination == NULL)
		return PENSTOCK_OK;
	length = json_string_length(destination);
	if (!json_is_string(destination) || length == 0 ||
		length >= sizeof(change->command.destination))
		return bad(error, "\"destination\" is the name of one");
	memcpy(change->command.destination, json_string_value(destination), length + 1);
	return PENSTOCK_OK;
}

penstock_status
pen_change_parse(pen_change *change, const char *body, size_t size, pen_error *error)
{
	size_t known;

	memset(change, 0, sizeof(*change));
	pen_error_clear(error);
	change->json = json_loadb(body, size, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(change->json))
		return bad(error, "the body is a JSON object: action, tables, destination");
	if (parse_action(change, error) < 0 || parse_tables(change, error) < 0 ||
		parse_destination(change, error) < 0)
		return error->status;
	known = 2 + (change->command.destination[0] != '\0');
	if (json_object_size(change->json) != known)
		return bad(error, "the body has more than action, tables and destination");
	return PENSTOCK_OK;
}

void
pen_change_reset(pen_change *change)
{
	json_decref(change->json);
	change->json = NULL;
}
