/* parked.c -- changes that wait for their table's rows.
 *
 * A table is recorded as `resync` before its changes are parked. Its rows come in a session of
 * their own, as of an LSN; parked changes of transactions from there on, whole ones, follow, a few
 * at a time, until none is left and the stream has passed that LSN: then it is `ready`. Whatever
 * breaks in between, it is still `resync`, and is copied anew: so the log need not outlive us. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "destination/postgres/parked_private.h"
#include "destination/postgres/stored.h"

#define REPLAY_MAX 2000 /* parked changes in one destination transaction */
#define LOOK_MS    1000 /* for a table that is not at the destination */

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* ---- tables ---- */

parked_table *
pen_parked_find(const pen_parked *parked, const char *schema, const char *name)
{
	for (size_t i = 0; i < parked->count; i++)
	{
		parked_table *table = &parked->tables[i];

		if (strcmp(table->name, name) == 0 && strcmp(table->schema, schema) == 0)
			return table;
	}
	return NULL;
}

static void
reset_table(parked_table *table)
{
	pen_parked_log_free(table->log);
	free(table->schema);
	free(table->name);
}

static penstock_status
add_table(postgres_destination *self, const char *schema, const char *name, pen_error *error)
{
	pen_parked *parked = self->parked;
	parked_table table = {.schema = strdup(schema), .name = strdup(name)};
	parked_table *tables;

	if (table.schema == NULL || table.name == NULL)
		out_of_memory(error);
	else
		table.log = pen_parked_log_new(error);
	if (table.log == NULL)
	{
		reset_table(&table);
		return error->status;
	}
	pthread_mutex_lock(&parked->lock);
	tables = realloc(parked->tables, (parked->count + 1) * sizeof(*tables));
	if (tables != NULL)
	{
		parked->tables = tables;
		tables[parked->count++] = table;
	}
	pthread_mutex_unlock(&parked->lock);
	if (tables == NULL)
	{
		reset_table(&table);
		return out_of_memory(error);
	}
	pen_board_set(self->board, schema, name, PEN_BOARD_WAITING, 0, NULL);
	return PENSTOCK_OK;
}

static void
remove_table(pen_parked *parked, size_t i)
{
	pthread_mutex_lock(&parked->lock);
	reset_table(&parked->tables[i]);
	parked->tables[i] = parked->tables[--parked->count];
	pthread_mutex_unlock(&parked->lock);
}

/* ---- opening and closing ---- */

static penstock_status
park_unready(pen_copy_place *place, const char *schema, const char *table,
			 const pen_copy_mark *mark, pen_error *error)
{
	if (mark->state != PEN_COPY_RESYNC)
		return pen_error_set(error, PENSTOCK_E_REFUSED,
							 "the copy of table %s.%s is not complete; run with --copy", schema,
							 table);
	return add_table(place->context, schema, table, error);
}

penstock_status
pen_parked_open(postgres_destination *self, pen_error *error)
{
	pen_copy_place place = {.name = self->base.config->name};

	pen_parked_close(self);
	self->parked = calloc(1, sizeof(*self->parked));
	if (self->parked == NULL)
		return out_of_memory(error);
	pthread_mutex_init(&self->parked->lock, NULL);
	place.context = self;
	pen_board_reopen(self->board);
	if (self->stored_lsn != 0 &&
		pen_stored_unready(self->conn, self->source, park_unready, &place, error) < 0)
		return error->status;
	return pen_stored_load_copies(self->conn, self->source, self->stored_lsn, &self->parked->copies,
								  error);
}

void
pen_parked_close(postgres_destination *self)
{
	pen_parked *parked = self->parked;

	if (parked == NULL)
		return;
	pen_resync_free(parked->resync);
	for (size_t i = 0; i < parked->count; i++)
		reset_table(&parked->tables[i]);
	free(parked->tables);
	pen_stored_copies_reset(&parked->copies);
	pthread_mutex_destroy(&parked->lock);
	free(parked);
	self->parked = NULL;
}

/* ---- parking ---- */

/* Has this change come before? A stream that begins anew brings again what was not committed. */
static bool
is_parked_already(parked_table *table, uint64_t commit_lsn)
{
	if (commit_lsn != table->commit_lsn)
		table->ordinal = 0;
	table->commit_lsn = commit_lsn;
	table->ordinal++;
	if (commit_lsn < table->parked_commit_lsn ||
		(commit_lsn == table->parked_commit_lsn && table->ordinal <= table->parked_ordinal))
		return true;
	table->parked_commit_lsn = commit_lsn;
	table->parked_ordinal = table->ordinal;
	return false;
}

void
pen_parked_start(postgres_destination *self)
{
	pen_parked *parked = self->parked;

	for (size_t i = 0; parked != NULL && i < parked->count; i++)
		parked->tables[i].commit_lsn = 0;
}

static penstock_status
park(postgres_destination *self, parked_table *table, const penstock_relation *relation,
	 const penstock_event *event, pen_error *error)
{
	/* Whether it happens at all is not known yet, and the rows to come may be before it or after. */
	if (self->prepared.open)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"destination %s: table %s.%s is being copied, and a transaction that is "
			"prepared changes it; take the table out (penstock tables remove), go on (penstock "
			"resume), and add it again when the transaction has ended",
			self->base.config->name, relation->schema, relation->name);
	if (is_parked_already(table, self->commit_lsn))
		return PENSTOCK_OK;
	if (pen_parked_log_append(table->log, event, relation, self->commit_lsn, error) < 0)
		return pen_error_context(error, "parking a change of table %s.%s, which is being copied",
								 table->schema, table->name);
	return PENSTOCK_OK;
}

static bool
is_brought(const postgres_destination *self, const penstock_relation *relation)
{
	return pen_stored_has(&self->parked->copies, relation, self->commit_lsn);
}

bool
pen_parked_is_idle(const postgres_destination *self)
{
	const pen_parked *parked = self->parked;

	return parked == NULL || (parked->count == 0 && parked->copies.max_lsn <= self->stored_lsn &&
							  !pen_board_has_asked(self->board));
}

/* What is left of a truncate when parked and brought tables are taken out. */
static penstock_status
filter_truncate(postgres_destination *self, const penstock_event *event, pen_parked_change change,
				pen_error *error)
{
	const penstock_relation **left = calloc(event->relation_count + 1, sizeof(*left));
	penstock_event rest = *event;
	penstock_status status = PENSTOCK_OK;

	if (left == NULL)
		return out_of_memory(error);
	rest.relations = left;
	rest.relation_count = 0;
	for (uint32_t i = 0; status >= 0 && i < event->relation_count; i++)
	{
		const penstock_relation *relation = event->relations[i];
		parked_table *table = pen_parked_find(self->parked, relation->schema, relation->name);

		if (table != NULL)
			status = park(self, table, relation, event, error);
		else if (!is_brought(self, relation))
			left[rest.relation_count++] = relation;
	}
	if (status >= 0 && rest.relation_count > 0)
		status = change(self, &rest, error);
	free(left);
	return status;
}

penstock_status
pen_parked_filter(postgres_destination *self, const penstock_event *event, pen_parked_change change,
				  pen_error *error)
{
	const pen_parked *parked = self->parked;
	parked_table *table;

	if (parked == NULL || (parked->count == 0 && self->commit_lsn >= parked->copies.max_lsn))
		return change(self, event, error);
	if (event->kind == PENSTOCK_TRUNCATE)
		return filter_truncate(self, event, change, error);
	table = pen_parked_find(parked, event->relation->schema, event->relation->name);
	if (table != NULL)
		return park(self, table, event->relation, event, error);
	return is_brought(self, event->relation) ? PENSTOCK_OK : change(self, event, error);
}

/* ---- replaying ---- */

/* The next change, if all of its transaction has come: one that the stream has broken off comes
 * again, and the table must not be ready before. PENSTOCK_AGAIN: there is none. */
static penstock_status
replay_one(postgres_destination *self, parked_table *table, pen_parked_change change,
		   pen_error *error)
{
	penstock_transaction transaction = {0};
	pen_parked_entry entry;
	penstock_status status = pen_parked_log_next(table->log, self->gathered_lsn, &entry, error);

	if (status != PENSTOCK_OK || entry.commit_lsn < table->lsn)
		return status;
	self->commit_lsn = transaction.commit_lsn = transaction.end_lsn = entry.commit_lsn;
	entry.event.transaction = &transaction;
	return change(self, &entry.event, error);
}

static penstock_status
publish(postgres_destination *self, const parked_table *table, pen_error *error)
{
	pen_log_write(self->base.config->log, PENSTOCK_LOG_INFO, self->base.config->name,
				  "table %s.%s is copied and in step again", table->schema, table->name);
	pen_board_set(self->board, table->schema, table->name, PEN_BOARD_DONE, table->lsn, NULL);
	self->parked->published = true;
	if (pen_postgres_settle(self, error) < 0)
		return error->status;
	return pen_stored_ready(self->pipeline, self->source, table->schema, table->name, error);
}

/* A part of what is parked for a table; ready, when that was all and the stream is past its copy. */
static penstock_status
catch_up(postgres_destination *self, size_t i, int *left, pen_parked_change change,
		 pen_error *error)
{
	parked_table *table = &self->parked->tables[i];
	penstock_status status = PENSTOCK_OK;

	if (table->state != PARKED_COPIED)
		return PENSTOCK_OK;
	/* What was read in earlier steps was sent with its COMMIT. Should that fail, the session ends,
	 * and the table is copied anew. */
	pen_parked_log_release(table->log);
	for (; status == PENSTOCK_OK && *left > 0; --*left)
		status = replay_one(self, table, change, error);
	if (status < 0)
		return pen_error_context(error, "changes of table %s.%s that were parked", table->schema,
								 table->name);
	if (!pen_parked_log_is_read(table->log) || self->gathered_lsn < table->lsn)
		return PENSTOCK_OK;
	if (publish(self, table, error) < 0)
		return error->status;
	remove_table(self->parked, i);
	return PENSTOCK_OK;
}

/* ---- requests ---- */

penstock_status
pen_postgres_resync(pen_destination *destination, const char *schema, const char *table,
					pen_error *error)
{
	return pen_board_ask(((postgres_destination *) destination)->board, schema, table, error);
}

/* Record it; its changes are parked from here on. */
static penstock_status
take_request(postgres_destination *self, const char *schema, const char *table, pen_error *error)
{
	if (pen_parked_find(self->parked, schema, table) != NULL)
		return pen_error_set(error, PENSTOCK_E_BUG, "table %s.%s is under copy already", schema,
							 table);
	if (pen_postgres_settle(self, error) < 0 ||
		pen_stored_recopy(self->pipeline, self->source, schema, table, error) < 0)
		return error->status;
	return add_table(self, schema, table, error);
}

static penstock_status
take_requests(postgres_destination *self, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;
	char *schema;
	char *table;

	while (status >= 0 && pen_board_next_asked(self->board, &schema, &table))
	{
		status = take_request(self, schema, table, error);
		free(schema);
		free(table);
	}
	return status;
}

/* ---- between transactions ---- */

static bool
table_is_due(const postgres_destination *self, const parked_table *table)
{
	if (table->state == PARKED_WAITING)
		return self->parked->resync == NULL && pen_clock_ms() >= table->look_ms;
	return table->state == PARKED_COPIED &&
		   (pen_parked_log_has(table->log, self->gathered_lsn) ||
			(pen_parked_log_is_read(table->log) && self->gathered_lsn >= table->lsn));
}

bool
pen_parked_due(postgres_destination *self)
{
	pen_parked *parked = self->parked;
	pen_error ignored;

	if (parked == NULL)
		return false;
	if (pen_board_has_asked(self->board))
		return true;
	if (parked->resync != NULL && pen_resync_look(parked->resync, &ignored) != PENSTOCK_AGAIN)
		return true;
	for (size_t i = 0; i < parked->count; i++)
	{
		if (table_is_due(self, &parked->tables[i]))
			return true;
	}
	return false;
}

bool
pen_parked_active(const postgres_destination *self)
{
	return self->parked != NULL && self->parked->count > 0;
}

/* Which of those that wait are there to be copied into? That one is not is no reason to stop. */
static penstock_status
look_for_tables(postgres_destination *self, bool *found, pen_error *error)
{
	for (size_t i = 0; i < self->parked->count; i++)
	{
		parked_table *table = &self->parked->tables[i];
		const char *params[] = {table->schema, table->name};
		PGresult *result;

		if (table->state != PARKED_WAITING || pen_clock_ms() < table->look_ms)
			continue;
		result = pen_pipeline_query(self->pipeline,
									"SELECT 1 FROM pg_catalog.pg_class c JOIN "
									"pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
									"WHERE n.nspname = $1 AND c.relname = $2",
									2, params, error);
		if (result == NULL)
			return error->status;
		table->is_there = PQntuples(result) > 0;
		table->look_ms = table->is_there ? 0 : pen_clock_ms() + LOOK_MS;
		PQclear(result);
		if (!table->is_there)
			pen_board_set(self->board, table->schema, table->name, PEN_BOARD_WAITING, 0,
						  "the destination has no such table; create it");
		*found = *found || table->is_there;
	}
	return PENSTOCK_OK;
}

penstock_status
pen_parked_step(postgres_destination *self, pen_parked_change change, pen_error *error)
{
	pen_parked *parked = self->parked;
	int left = REPLAY_MAX;
	bool waiting = false;

	if (pen_parked_copy_look(self, error) < 0)
		return error->status;
	/* What was recorded in an earlier transaction may be copied; never what this one records. */
	if (parked->resync == NULL && look_for_tables(self, &waiting, error) < 0)
		return error->status;
	if (waiting && pen_parked_copy_start(self, error) < 0)
		return error->status;
	for (size_t i = parked->count; i > 0; i--)
	{
		if (catch_up(self, i - 1, &left, change, error) < 0)
			return error->status;
	}
	return take_requests(self, error);
}

penstock_status
pen_parked_settle(postgres_destination *self, pen_error *error)
{
	if (self->parked == NULL || !self->parked->published)
		return PENSTOCK_OK;
	if (pen_pipeline_drain(self->pipeline, error) < 0)
		return error->status;
	self->parked->published = false;
	pen_board_settle(self->board);
	return PENSTOCK_OK;
}
