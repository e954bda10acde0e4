/* answers.c -- the protocol: one function an endpoint.
 * They run in threads of the HTTP server, so they touch nothing of the follower: they ask, and read
 * copies. */
#include "serve/answers.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "commands.h"
#include "serve/changes.h"

#define COMMAND_MS 5000
#define STATUS_MS  300

/* ---- JSON ---- */

/* A text that may have been cut within a character: JSON takes whole ones only. */
static json_t *
text_json(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json != NULL)
		return json;
	copy = strdup(text);
	for (char *c = copy; c != NULL && *c != '\0'; c++)
	{
		if ((unsigned char) *c >= 0x80)
			*c = '?';
	}
	json = copy != NULL ? json_string(copy) : NULL;
	free(copy);
	return json;
}

static json_t *
lsn_json(uint64_t lsn)
{
	char text[20];

	snprintf(text, sizeof(text), "%X/%X", (unsigned int) (lsn >> 32), (unsigned int) lsn);
	return json_string(text);
}

static json_t *
count_json(uint64_t count)
{
	return json_integer((json_int_t) count);
}

/* Takes over body; members that were NULL for lack of memory are missing in it. */
static void
respond(pen_response *response, unsigned int status, json_t *body)
{
	response->status = status;
	response->body = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
}

void
pen_answer_error(pen_response *response, unsigned int status, const char *format, ...)
{
	char text[PEN_ERROR_MAX];
	json_t *body = json_object();
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_object_set_new(body, "error", text_json(text));
	json_object_set_new(body, "status", json_integer((json_int_t) status));
	respond(response, status, body);
}

/* ---- status ---- */

static json_t *
source_json(const pen_status *status)
{
	json_t *source = json_object();

	json_object_set_new(source, "slot", text_json(status->slot));
	json_object_set_new(source, "temporary", json_boolean(status->temporary));
	json_object_set_new(source, "connected", json_boolean(status->connected));
	json_object_set_new(source, "received_lsn", lsn_json(status->received_lsn));
	json_object_set_new(source, "confirmed_lsn", lsn_json(status->confirmed_lsn));
	if (!status->retained_known)
		return source;
	json_object_set_new(source, "retained_bytes", json_integer(status->retained_bytes));
	json_object_set_new(source, "wal_status", text_json(status->wal_status));
	if (status->safe_bytes >= 0)
		json_object_set_new(source, "safe_bytes", json_integer(status->safe_bytes));
	return source;
}

static json_t *
destination_json(const pen_destination_status *destination)
{
	const pen_worker_status *worker = &destination->worker;
	json_t *json = json_object();

	json_object_set_new(json, "name", text_json(destination->name));
	json_object_set_new(json, "kind", text_json(destination->kind));
	json_object_set_new(json, "state", json_string(pen_worker_state_name(worker->state)));
	json_object_set_new(json, "pausing", json_boolean(worker->pausing));
	json_object_set_new(json, "applied_lsn", lsn_json(worker->position.applied_lsn));
	json_object_set_new(json, "durable_lsn", lsn_json(worker->position.durable_lsn));
	json_object_set_new(json, "queue_bytes", count_json(destination->feed.queue_bytes));
	json_object_set_new(json, "spooling", json_boolean(destination->feed.spooling));
	json_object_set_new(json, "spool_bytes", count_json(destination->feed.spool_bytes));
	json_object_set_new(json, "applied_ahead", count_json(worker->ahead));
	json_object_set_new(json, "ahead_undone", count_json(worker->ahead_undone));
	json_object_set_new(json, "last_error",
						worker->error.text[0] != '\0' ? text_json(worker->error.text)
													  : json_null());
	return json;
}

/* Those of this name, or all where it is "". */
static json_t *
destinations_json(const pen_status *status, const char *name)
{
	json_t *destinations = json_array();

	for (size_t i = 0; i < status->destination_count; i++)
	{
		if (name[0] == '\0' || strcmp(name, status->destinations[i].name) == 0)
			json_array_append_new(destinations, destination_json(&status->destinations[i]));
	}
	return destinations;
}

static json_t *
table_json(const pen_table_statistics *table)
{
	json_t *json = json_object();

	json_object_set_new(json, "inserts", count_json(table->inserts));
	json_object_set_new(json, "updates", count_json(table->updates));
	json_object_set_new(json, "deletes", count_json(table->deletes));
	json_object_set_new(json, "truncates", count_json(table->truncates));
	return json;
}

static json_t *
reasons_json(const pen_status *status)
{
	json_t *reasons = json_array();
	char text[256];

	for (size_t i = 0; pen_status_reason(status, i, text, sizeof(text)); i++)
		json_array_append_new(reasons, text_json(text));
	return reasons;
}

/* Before the first step there is nothing to tell: it is still opening. */
static void
answer_starting(pen_response *response)
{
	respond(response, 200,
			json_pack("{s:s, s:b, s:[s], s:{s:b}, s:[], s:{}}", "version", PENSTOCK_VERSION,
					  "ready", 0, "reasons", "it is starting: source and destinations are opened",
					  "source", "connected", 0, "destinations", "tables"));
}

static void
answer_status(const pen_request *request, pen_response *response)
{
	pen_status status;
	json_t *body;
	json_t *reasons;
	json_t *tables;

	if (!pen_commands_status(request->commands, &status, STATUS_MS))
	{
		answer_starting(response);
		return;
	}
	body = json_object();
	reasons = reasons_json(&status);
	tables = json_object();
	for (size_t i = 0; i < status.table_count; i++)
		json_object_set_new(tables, status.tables[i].name, table_json(&status.tables[i]));
	json_object_set_new(body, "version", json_string(PENSTOCK_VERSION));
	json_object_set_new(body, "ready", json_boolean(json_array_size(reasons) == 0));
	json_object_set_new(body, "reasons", reasons);
	json_object_set_new(body, "age_ms", json_integer(pen_clock_ms() - status.made_ms));
	json_object_set_new(body, "finishing", json_boolean(status.finishing));
	json_object_set_new(body, "source", source_json(&status));
	json_object_set_new(body, "destinations", destinations_json(&status, ""));
	json_object_set_new(body, "transactions", count_json(status.transactions));
	json_object_set_new(body, "tables", tables);
	respond(response, 200, body);
	pen_status_reset(&status);
}

/* ---- tables ---- */

/* A table that is brought to a destination, or NULL. */
static const pen_table_status *
find_copy(const pen_status *status, const char *table, size_t destination)
{
	for (size_t i = 0; i < status->copy_count; i++)
	{
		if (status->copies[i].destination == destination &&
			strcmp(status->copies[i].name, table) == 0)
			return &status->copies[i];
	}
	return NULL;
}

static json_t *
copy_json(const pen_status *status, const pen_table_status *copy)
{
	json_t *json = json_object();

	json_object_set_new(json, "table", text_json(copy->name));
	if (copy->destination < status->destination_count)
		json_object_set_new(json, "destination",
							text_json(status->destinations[copy->destination].name));
	json_object_set_new(json, "state", json_string(copy->state));
	json_object_set_new(json, "lsn", lsn_json(copy->lsn));
	json_object_set_new(json, "rows", count_json(copy->rows));
	json_object_set_new(json, "rows_expected", count_json(copy->rows_expected));
	json_object_set_new(json, "bytes", count_json(copy->bytes));
	json_object_set_new(json, "bytes_expected", count_json(copy->bytes_expected));
	if (copy->error[0] != '\0')
		json_object_set_new(json, "error", text_json(copy->error));
	return json;
}

/* Tables that are brought there, and every other one of which a change has been received, at every
 * destination. */
static void
respond_tables(const pen_request *request, pen_response *response, unsigned int code)
{
	pen_status status;
	json_t *tables = json_array();

	memset(&status, 0, sizeof(status));
	(void) pen_commands_status(request->commands, &status, STATUS_MS);
	for (size_t i = 0; i < status.copy_count; i++)
		json_array_append_new(tables, copy_json(&status, &status.copies[i]));
	for (size_t t = 0; t < status.table_count; t++)
	{
		for (size_t i = 0; i < status.destination_count; i++)
		{
			const pen_destination_status *destination = &status.destinations[i];
			json_t *table;

			if (find_copy(&status, status.tables[t].name, i) != NULL)
				continue;
			table = table_json(&status.tables[t]);
			json_object_set_new(table, "table", text_json(status.tables[t].name));
			json_object_set_new(table, "destination", text_json(destination->name));
			json_object_set_new(table, "state",
								json_string(pen_worker_state_name(destination->worker.state)));
			json_object_set_new(table, "lsn", lsn_json(destination->worker.position.applied_lsn));
			json_array_append_new(tables, table);
		}
	}
	pen_status_reset(&status);
	respond(response, code, json_pack("{s:o}", "tables", tables));
}

static void
answer_tables(const pen_request *request, pen_response *response)
{
	respond_tables(request, response, 200);
}

/* ---- commands ---- */

/* Have it carried out; false: it was not, and why is in the response. */
static bool
carry_out(const pen_request *request, pen_response *response, pen_command *command)
{
	if (!pen_commands_ask(request->commands, command, COMMAND_MS))
		pen_answer_error(response, 503,
						 "it was not done: the receiver is busy for more than %d s, probably "
						 "connecting; see the log, and try again",
						 COMMAND_MS / 1000);
	else if (command->error.status == PENSTOCK_E_CONFIG)
		pen_answer_error(response, 404, "%s", command->error.text);
	else if (command->error.status < 0)
		pen_answer_error(response, 500, "%s", command->error.text);
	else
		return true;
	return false;
}

static void
answer_change(const pen_request *request, pen_response *response)
{
	pen_change *change = malloc(sizeof(*change));
	pen_error error;

	if (change == NULL)
		return;
	if (pen_change_parse(change, request->body, request->body_size, &error) < 0)
		pen_answer_error(response, 400, "%s", error.text);
	else if (carry_out(request, response, &change->command))
		respond_tables(request, response, 202);
	pen_change_reset(change);
	free(change);
}

static void
answer_command(const pen_request *request, pen_response *response, pen_command_kind kind)
{
	pen_command command = {.kind = kind};
	pen_status status;

	memset(&status, 0, sizeof(status));
	snprintf(command.destination, sizeof(command.destination), "%s", request->name);
	if (!carry_out(request, response, &command))
		return;
	(void) pen_commands_status(request->commands, &status, STATUS_MS);
	respond(response, 202,
			json_pack("{s:o}", "destinations", destinations_json(&status, request->name)));
	pen_status_reset(&status);
}

static void
answer_pause(const pen_request *request, pen_response *response)
{
	answer_command(request, response, PEN_COMMAND_PAUSE);
}

static void
answer_resume(const pen_request *request, pen_response *response)
{
	answer_command(request, response, PEN_COMMAND_RESUME);
}

const pen_endpoint pen_answers[] = {
	{"GET", "/v1/status", answer_status},
	{"GET", "/v1/tables", answer_tables},
	{"POST", "/v1/tables", answer_change},
	{"POST", "/v1/pause", answer_pause},
	{"POST", "/v1/resume", answer_resume},
	{"POST", "/v1/destinations/{name}/pause", answer_pause},
	{"POST", "/v1/destinations/{name}/resume", answer_resume},
	{NULL, NULL, NULL},
};
