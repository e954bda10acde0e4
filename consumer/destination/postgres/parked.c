/* parked.c -- changes that wait for their table's rows.
 *
 * A table is recorded as `resync` before its changes are parked. Its rows come in a session of
 * their own, as of an LSN; parked changes of transactions from there on follow, a few at a time,
 * until none is left and the stream has passed that LSN: then it is `ready`. Whatever breaks in
 * between, it is still `resync`, and is copied anew: so the file need not outlive us. */
#include "destination/postgres/parked.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "copy/resync.h"
#include "destination/postgres/session.h"
#include "destination/postgres/stored.h"
#include "event/relation.h"

#define REPLAY_MAX  2000 /* parked changes in one destination transaction */
#define RESYNC_JOBS 2
#define LOOK_MS     1000 /* for a table that is not at the destination */

typedef enum parked_state
{
	PARKED_WAITING, /* for a copy to begin */
	PARKED_COPYING,
	PARKED_COPIED /* its rows are there, as of lsn */
} parked_state;

typedef struct parked_table
{
	char *schema;
	char *name;
	parked_state state;
	bool is_there;   /* at the destination, when last looked */
	int64_t look_ms; /* when to look again */
	uint64_t lsn;
	FILE *out; /* the same file twice, without a name */
	FILE *in;
	uint64_t written;
	uint64_t read;
	/* Of the stream: the transaction that changed it last, and how often; and the furthest of all
	 * that is parked. What comes again with a stream that begins anew is not behind that. */
	uint64_t commit_lsn;
	uint64_t ordinal;
	uint64_t parked_commit_lsn;
	uint64_t parked_ordinal;
	const penstock_relation **relations; /* versions that parked changes are of; references */
	uint32_t relation_count;
} parked_table;

struct pen_parked
{
	pen_stored_copies copies;
	parked_table *tables;
	size_t count;
	pen_resync *resync;
	bool published;       /* a table is ready in the transaction that is open, or sent */
	pthread_mutex_t lock; /* for the list, and lsn of what is COPYING: the copy's threads look */
	char *buffer;         /* of the change that is replayed */
	size_t buffer_size;
};

/* What stands before the rows of a parked change. */
typedef struct parked_head
{
	uint64_t commit_lsn;
	uint64_t new_len;
	uint64_t old_len;
	uint32_t relation; /* its index */
	uint8_t kind;
	bool restart_identity;
	bool has_old;
	bool old_identity_only;
} parked_head;

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* ---- tables ---- */

static parked_table *
find_table(const pen_parked *parked, const char *schema, const char *name)
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
	for (uint32_t i = 0; i < table->relation_count; i++)
		pen_relation_unref(table->relations[i]);
	free(table->relations);
	if (table->out != NULL)
		fclose(table->out);
	if (table->in != NULL)
		fclose(table->in);
	free(table->schema);
	free(table->name);
}

static penstock_status
open_files(parked_table *table, pen_error *error)
{
	const char *folder = getenv("TMPDIR");
	char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/penstock.parked.XXXXXX", folder != NULL ? folder : "/tmp") < 0)
		return out_of_memory(error);
	fd = mkstemp(path);
	if (fd >= 0)
	{
		table->out = fdopen(fd, "wb");
		table->in = fopen(path, "rb");
		(void) unlink(path);
	}
	if (table->out == NULL || table->in == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "could not make a file for parked changes in %s: %s",
					  folder != NULL ? folder : "/tmp", strerror(errno));
	free(path);
	return table->out != NULL && table->in != NULL ? PENSTOCK_OK : error->status;
}

static penstock_status
add_table(postgres_destination *self, const char *schema, const char *name, pen_error *error)
{
	pen_parked *parked = self->parked;
	parked_table table = {.schema = strdup(schema), .name = strdup(name)};
	parked_table *tables;

	if (table.schema == NULL || table.name == NULL || open_files(&table, error) < 0)
	{
		reset_table(&table);
		return error->status < 0 ? error->status : out_of_memory(error);
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

/* ---- the copy: what its threads ask and tell ---- */

static bool
takes(void *context, const char *schema, const char *table)
{
	(void) context, (void) schema, (void) table;
	return false; /* only what is recorded */
}

static PGconn *
connect_copy(void *context, pen_error *error)
{
	postgres_destination *self = context;

	return pen_postgres_connect(self->base.config, self->source, error);
}

/* The tables that are COPYING; these do not change while a copy runs. */
static penstock_status
recall(void *context, PGconn *conn, bool *begun, pen_copy_recall each, pen_copy_place *place,
	   pen_error *error)
{
	postgres_destination *self = context;
	pen_parked *parked = self->parked;
	pen_copy_mark mark = {.state = PEN_COPY_COPYING};
	penstock_status status = PENSTOCK_OK;

	(void) conn;
	*begun = true;
	pthread_mutex_lock(&parked->lock);
	for (size_t i = 0; status >= 0 && i < parked->count; i++)
	{
		const parked_table *table = &parked->tables[i];

		if (table->state == PARKED_COPYING && table->lsn == 0)
			status = each(place, table->schema, table->name, &mark, error);
	}
	pthread_mutex_unlock(&parked->lock);
	return status;
}

static penstock_status
begin_place(void *context, PGconn *conn, uint64_t lsn, pen_error *error)
{
	(void) context, (void) conn, (void) lsn;
	return pen_error_set(error, PENSTOCK_E_BUG, "a copy beside the stream has no position");
}

/* For the record a table stays `resync`: its parked changes are still to come. */
static penstock_status
mark_table(void *context, PGconn *conn, const penstock_relation *relation,
		   const pen_copy_mark *mark, pen_error *error)
{
	postgres_destination *self = context;
	pen_parked *parked = self->parked;
	pen_copy_mark recorded = *mark;
	parked_table *table;

	recorded.state = PEN_COPY_RESYNC;
	if (pen_stored_mark(conn, self->source, relation, &recorded, error) < 0)
		return error->status;
	if (mark->state != PEN_COPY_READY)
		return PENSTOCK_OK;
	pthread_mutex_lock(&parked->lock);
	table = find_table(parked, relation->schema, relation->name);
	if (table != NULL)
		table->lsn = mark->lsn;
	pthread_mutex_unlock(&parked->lock);
	return PENSTOCK_OK;
}

static penstock_status
complete(void *context, PGconn *conn, const penstock_relation *relation, pen_error *error)
{
	(void) context, (void) conn, (void) relation;
	return pen_error_set(error, PENSTOCK_E_BUG, "a copy beside the stream creates nothing");
}

static const char *
conninfo(void *context)
{
	postgres_destination *self = context;

	return self->base.config->uri;
}

static const pen_copy_place_kind copies_beside = {
	.takes = takes,
	.connect = connect_copy,
	.recall = recall,
	.begin = begin_place,
	.mark = mark_table,
	.complete = complete,
	.conninfo = conninfo,
};

static void
show_progress(void *context, const pen_copy_progress *progress)
{
	postgres_destination *self = context;

	if (progress != NULL)
		pen_board_progress(self->board, progress);
}

static penstock_status
start_copy(postgres_destination *self, pen_error *error)
{
	pen_parked *parked = self->parked;
	pen_resync_options options = {
		.source = self->source->conninfo,
		.connect_timeout_ms = self->base.config->connect_timeout_ms,
		.name = self->base.config->name,
		.kind = &copies_beside,
		.context = self,
		.mapping = self->base.config->mapping,
		.allow_triggers = self->base.config->allow_triggers,
		.jobs = RESYNC_JOBS,
		.tick = show_progress,
		.log = self->base.config->log,
	};

	for (size_t i = 0; i < parked->count; i++)
	{
		parked_table *table = &parked->tables[i];

		if (table->state != PARKED_WAITING || !table->is_there)
			continue;
		table->state = PARKED_COPYING;
		pen_board_set(self->board, table->schema, table->name, PEN_BOARD_COPYING, 0, NULL);
	}
	parked->resync = pen_resync_start(&options, error);
	return parked->resync != NULL ? PENSTOCK_OK : error->status;
}

/* Has it come to its end? */
static penstock_status
look_at_copy(postgres_destination *self, pen_error *error)
{
	pen_parked *parked = self->parked;
	penstock_status status;

	if (parked->resync == NULL)
		return PENSTOCK_OK;
	status = pen_resync_look(parked->resync, error);
	if (status == PENSTOCK_AGAIN)
		return PENSTOCK_OK;
	pen_resync_free(parked->resync);
	parked->resync = NULL;
	if (status < 0)
		return pen_error_context(error, "copying beside the stream");
	for (size_t i = 0; i < parked->count; i++)
	{
		parked_table *table = &parked->tables[i];

		if (table->state != PARKED_COPYING)
			continue;
		table->state = PARKED_COPIED;
		pen_board_set(self->board, table->schema, table->name, PEN_BOARD_CATCHING_UP, table->lsn,
					  NULL);
	}
	return PENSTOCK_OK;
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
	free(parked->buffer);
	pen_stored_copies_reset(&parked->copies);
	pthread_mutex_destroy(&parked->lock);
	free(parked);
	self->parked = NULL;
}

/* ---- parking ---- */

static penstock_status
number_of(parked_table *table, const penstock_relation *relation, uint32_t *number,
		  pen_error *error)
{
	const penstock_relation **relations;

	for (*number = table->relation_count; *number > 0; --*number)
	{
		if (table->relations[*number - 1] == relation)
		{
			--*number;
			return PENSTOCK_OK;
		}
	}
	relations = realloc(table->relations, (table->relation_count + 1) * sizeof(*relations));
	if (relations == NULL)
		return out_of_memory(error);
	table->relations = relations;
	*number = table->relation_count++;
	relations[*number] = pen_relation_ref(relation);
	return PENSTOCK_OK;
}

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
	bool row = event->kind != PENSTOCK_TRUNCATE;
	parked_head head;

	/* Whether it happens at all is not known yet, and the rows to come may be before it or after. */
	if (self->prepared.open)
		return pen_error_set(
			error, PENSTOCK_E_REFUSED,
			"destination %s: table %s.%s is being copied, and a transaction that is "
			"prepared changes it; end the transaction, or copy without --two-phase",
			self->base.config->name, relation->schema, relation->name);
	if (is_parked_already(table, self->commit_lsn))
		return PENSTOCK_OK;
	memset(&head, 0, sizeof(head));
	head.commit_lsn = self->commit_lsn;
	head.kind = (uint8_t) event->kind;
	head.restart_identity = event->restart_identity;
	head.new_len = row && event->new_row.relation != NULL ? event->new_row.len : 0;
	head.has_old = row && event->old_row.relation != NULL;
	head.old_len = head.has_old ? event->old_row.len : 0;
	head.old_identity_only = head.has_old && event->old_row.identity_only;
	if (number_of(table, relation, &head.relation, error) < 0)
		return error->status;
	if (fwrite(&head, sizeof(head), 1, table->out) != 1 ||
		(head.new_len > 0 && fwrite(event->new_row.data, head.new_len, 1, table->out) != 1) ||
		(head.old_len > 0 && fwrite(event->old_row.data, head.old_len, 1, table->out) != 1))
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "could not park a change of table %s.%s, which is being copied: %s",
							 table->schema, table->name, strerror(errno));
	table->written++;
	return PENSTOCK_OK;
}

static bool
is_brought(const postgres_destination *self, const penstock_relation *relation)
{
	return pen_stored_has(&self->parked->copies, relation, self->commit_lsn);
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
		parked_table *table = find_table(self->parked, relation->schema, relation->name);

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
	table = find_table(parked, event->relation->schema, event->relation->name);
	if (table != NULL)
		return park(self, table, event->relation, event, error);
	return is_brought(self, event->relation) ? PENSTOCK_OK : change(self, event, error);
}

/* ---- replaying ---- */

static penstock_status
read_parked(pen_parked *parked, parked_table *table, parked_head *head, pen_error *error)
{
	size_t needed;

	if (fread(head, sizeof(*head), 1, table->in) != 1)
		return pen_error_set(error, PENSTOCK_E_RETRY, "could not read a parked change");
	needed = (size_t) (head->new_len + head->old_len);
	if (needed > parked->buffer_size)
	{
		char *larger = realloc(parked->buffer, needed);

		if (larger == NULL)
			return out_of_memory(error);
		parked->buffer = larger;
		parked->buffer_size = needed;
	}
	if (needed > 0 && fread(parked->buffer, needed, 1, table->in) != 1)
		return pen_error_set(error, PENSTOCK_E_RETRY, "could not read a parked change");
	table->read++;
	return PENSTOCK_OK;
}

static penstock_status
replay_one(postgres_destination *self, parked_table *table, pen_parked_change change,
		   pen_error *error)
{
	pen_parked *parked = self->parked;
	parked_head head;
	penstock_transaction transaction = {0};
	penstock_event event = {0};
	const penstock_relation *relation;

	if (read_parked(parked, table, &head, error) < 0)
		return error->status;
	if (head.commit_lsn < table->lsn)
		return PENSTOCK_OK;
	relation = table->relations[head.relation];
	self->commit_lsn = transaction.commit_lsn = transaction.end_lsn = head.commit_lsn;
	event.kind = (penstock_event_kind) head.kind;
	event.transaction = &transaction;
	event.restart_identity = head.restart_identity;
	if (event.kind == PENSTOCK_TRUNCATE)
	{
		event.relations = &relation;
		event.relation_count = 1;
		return change(self, &event, error);
	}
	event.relation = relation;
	if (event.kind != PENSTOCK_DELETE)
		event.new_row = (penstock_row){.relation = relation,
									   .data = (const uint8_t *) parked->buffer,
									   .len = (size_t) head.new_len};
	if (head.has_old)
		event.old_row = (penstock_row){.relation = relation,
									   .data = (const uint8_t *) parked->buffer + head.new_len,
									   .len = (size_t) head.old_len,
									   .identity_only = head.old_identity_only};
	return change(self, &event, error);
}

static penstock_status
publish(postgres_destination *self, const parked_table *table, pen_error *error)
{
	pen_log_write(self->base.config->log, PENSTOCK_LOG_INFO, self->base.config->name,
				  "table %s.%s is copied and in step again", table->schema, table->name);
	pen_board_set(self->board, table->schema, table->name, PEN_BOARD_DONE, table->lsn, NULL);
	self->parked->published = true;
	return pen_stored_ready(self->pipeline, self->source, table->schema, table->name, error);
}

/* A part of what is parked for a table; ready, when that was all and the stream is past its copy. */
static penstock_status
catch_up(postgres_destination *self, size_t i, int *left, pen_parked_change change,
		 pen_error *error)
{
	parked_table *table = &self->parked->tables[i];

	if (table->state != PARKED_COPIED)
		return PENSTOCK_OK;
	if (fflush(table->out) != 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "could not park changes: %s",
							 strerror(errno));
	for (; table->read<table->written && * left> 0; --*left)
	{
		if (replay_one(self, table, change, error) < 0)
			return pen_error_context(error, "changes that were parked");
	}
	if (table->read < table->written || self->gathered_lsn < table->lsn)
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
	if (find_table(self->parked, schema, table) != NULL)
		return pen_error_set(error, PENSTOCK_E_BUG, "table %s.%s is under copy already", schema,
							 table);
	if (pen_stored_recopy(self->pipeline, self->source, schema, table, error) < 0)
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
		   (table->read < table->written || self->gathered_lsn >= table->lsn);
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

	if (look_at_copy(self, error) < 0)
		return error->status;
	/* What was recorded in an earlier transaction may be copied; never what this one records. */
	if (parked->resync == NULL && look_for_tables(self, &waiting, error) < 0)
		return error->status;
	if (waiting && start_copy(self, error) < 0)
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
