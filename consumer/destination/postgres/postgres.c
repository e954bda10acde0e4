/* postgres.c -- a PostgreSQL database as destination: source order, whole transactions, and
 * progress moved in the same destination transaction.
 *
 * stored_lsn   what the progress row will hold once all that was sent is committed
 * applied_lsn  committed, as far as answers have come
 * durable_lsn  committed and flushed to the destination's WAL
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "destination/destination.h"
#include "base/clock.h"
#include "destination/kinds.h"
#include "destination/postgres/pipeline.h"
#include "destination/postgres/row.h"
#include "destination/postgres/stored.h"
#include "destination/postgres/target.h"
#include "event/relation.h"
#include "pq/pq.h"

#define SYNC_POLL_MS  50
#define COMMITS_MAX   4096 /* committed and not yet known to be flushed */
#define LSN_FORMAT    "%X/%X"
#define LSN_ARGS(lsn) (unsigned int) ((lsn) >> 32), (unsigned int) (lsn)

/* What the source's plugin pins, so that whole rows compare as text; and our own safety. */
#define SESSION_SETTINGS                                                                           \
	"-c datestyle=ISO,YMD -c intervalstyle=postgres -c extra_float_digits=1 -c bytea_output=hex "  \
	"-c timezone=UTC -c synchronous_commit=off -c lock_timeout=0 -c statement_timeout=0 "          \
	"-c idle_in_transaction_session_timeout=0 -c search_path=pg_catalog"

/* A commit whose place in the destination's WAL is known, and not whether it is flushed. */
typedef struct pending_commit
{
	uint64_t source_lsn;
	uint64_t wal_lsn;
} pending_commit;

typedef struct postgres_destination
{
	pen_destination base;
	const pen_source_identity *source;
	PGconn *conn;
	pen_pipeline *pipeline;
	pen_target **targets;
	size_t target_count;
	size_t target_capacity;
	unsigned int serial;
	const penstock_relation *missing; /* what probe looks for; holds a reference */

	pen_position *position; /* of the call that runs */
	uint64_t stored_lsn;
	uint64_t applied_lsn;
	uint64_t durable_lsn;
	uint64_t gathered_lsn; /* end of the last source transaction in the open one */
	uint64_t commit_lsn;   /* of the source transaction that is being applied */
	bool in_transaction;   /* a BEGIN was sent */
	size_t batch_bytes;
	int64_t began_ms; /* when the open destination transaction did */

	pending_commit commits[COMMITS_MAX]; /* first..first+count: a ring */
	size_t first_commit;
	size_t commit_count;
	int64_t asked_ms; /* when we last looked how far it is flushed */

	pen_row row;
	pen_value *new_values;
	pen_value *old_values;
	uint8_t *left_out;
	int value_capacity;
} postgres_destination;

static postgres_destination *
self_of(pen_destination *destination)
{
	return (postgres_destination *) destination;
}

/* ---- life ---- */

static pen_destination *
postgres_create(const pen_destination_config *config, pen_error *error)
{
	char what[100];
	postgres_destination *self;

	snprintf(what, sizeof(what), "destination %.80s", config->name);
	if (pen_pq_check_conninfo(config->uri, what, error) < 0)
		return NULL;
	self = calloc(1, sizeof(*self));
	if (self == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	self->base.kind = &pen_destination_postgres;
	self->base.config = config;
	return &self->base;
}

static void
postgres_close(pen_destination *destination)
{
	postgres_destination *self = self_of(destination);

	for (size_t i = 0; i < self->target_count; i++)
		pen_target_free(self->targets[i]);
	free(self->targets);
	self->targets = NULL;
	self->target_count = self->target_capacity = 0;
	pen_pipeline_free(self->pipeline);
	self->pipeline = NULL;
	PQfinish(self->conn);
	self->conn = NULL;
	pen_row_free(&self->row);
	self->in_transaction = false;
	self->commit_count = 0;
	self->batch_bytes = 0;
}

static void
postgres_destroy(pen_destination *destination)
{
	postgres_destination *self = self_of(destination);

	postgres_close(destination);
	pen_relation_unref(self->missing);
	free(self->new_values);
	free(self->old_values);
	free(self->left_out);
	free(self);
}

/* ---- opening ---- */

/* The lock that we hold here tells others that this database is taken; the locks that others hold
 * tell us what this database is. */
static penstock_status
check_siblings(postgres_destination *self, const pen_source_identity *source, pen_error *error)
{
	char own[32];
	const char *params[] = {own};
	PGresult *result;
	penstock_status status = PENSTOCK_OK;

	snprintf(own, sizeof(own), "%lld", (long long) self->base.config->advisory_key);
	result = pen_pq_query(
		self->conn,
		"SELECT ((l.classid::bigint << 32) | l.objid::bigint)::text FROM pg_locks l "
		"WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT oid "
		"FROM pg_database WHERE datname = current_database())",
		0, NULL, error);
	if (result == NULL)
		return error->status;
	for (int i = 0; i < PQntuples(result) && status >= 0; i++)
	{
		int64_t key = strtoll(PQgetvalue(result, i, 0), NULL, 10);

		if (key == source->advisory_key)
			status = pen_error_set(error, PENSTOCK_E_CONFIG,
								   "this is the source database itself; name another one");
		for (size_t s = 0; s < source->sibling_count && status >= 0; s++)
		{
			if (key == source->sibling_keys[s] && key != self->base.config->advisory_key)
				status = pen_error_set(
					error, PENSTOCK_E_CONFIG,
					"this database is a destination already, under another name; name "
					"it once");
		}
	}
	PQclear(result);
	if (status < 0)
		return status;
	result =
		pen_pq_query(self->conn, "SELECT pg_advisory_lock_shared($1::bigint)", 1, params, error);
	PQclear(result);
	return result != NULL ? PENSTOCK_OK : error->status;
}

static penstock_status
open_session(postgres_destination *self, const pen_source_identity *source, pen_error *error)
{
	pen_pq_options options = {
		.connect_timeout_ms = self->base.config->connect_timeout_ms,
		.settings = SESSION_SETTINGS,
	};
	char what[100];
	pen_error ignored;

	snprintf(what, sizeof(what), "destination %.80s", self->base.config->name);
	self->conn = pen_pq_connect(self->base.config->uri, &options, what, error);
	if (self->conn == NULL)
		return error->status;
	if (PQserverVersion(self->conn) < 120000)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "the server is too old; PostgreSQL 12 or newer is needed");
	if (check_siblings(self, source, error) < 0)
		return error->status;
	/* Where the role may not, tables with triggers are refused one by one. */
	(void) pen_pq_execute(self->conn, "SET session_replication_role = replica", &ignored);
	return PENSTOCK_OK;
}

static penstock_status
open_progress(postgres_destination *self, const pen_source_identity *source, pen_position *position,
			  pen_error *error)
{
	uint64_t lsn = 0;

	if (pen_pq_execute(self->conn, "SET lock_timeout = '10s'", error) < 0 ||
		pen_stored_prepare(self->conn, error) < 0 ||
		pen_stored_load(self->conn, source, &lsn, error) < 0 ||
		pen_pq_execute(self->conn, "SET lock_timeout = 0", error) < 0)
		return error->status;
	self->stored_lsn = self->applied_lsn = self->durable_lsn = self->gathered_lsn = lsn;
	*position = (pen_position){.applied_lsn = lsn, .durable_lsn = lsn};
	return PENSTOCK_OK;
}

static penstock_status
postgres_open(pen_destination *destination, const pen_source_identity *source,
			  pen_position *position, pen_error *error)
{
	postgres_destination *self = self_of(destination);

	self->source = source;
	if (open_session(self, source, error) < 0)
		return self->conn == NULL
				   ? error->status
				   : pen_error_context(error, "destination %s", self->base.config->name);
	if (open_progress(self, source, position, error) < 0)
		return pen_error_context(error, "destination %s", self->base.config->name);
	return PENSTOCK_OK;
}

static penstock_status
enter_pipeline(postgres_destination *self, pen_error *error)
{
	if (self->pipeline == NULL)
		self->pipeline = pen_pipeline_new(self->conn, self->base.config->pipeline_bytes_max,
										  &self->base.interrupted);
	return self->pipeline != NULL ? PENSTOCK_OK
								  : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* ---- committing ---- */

static void
report(const postgres_destination *self, pen_position *position)
{
	position->applied_lsn = self->applied_lsn;
	position->durable_lsn = self->durable_lsn;
}

/* Commits that the destination's WAL holds durably move the durable position. */
static void
flushed_up_to(postgres_destination *self, uint64_t wal_lsn)
{
	while (self->commit_count > 0 && self->commits[self->first_commit].wal_lsn <= wal_lsn)
	{
		self->durable_lsn = self->commits[self->first_commit].source_lsn;
		self->first_commit = (self->first_commit + 1) % COMMITS_MAX;
		self->commit_count--;
	}
}

static penstock_status
check_commit(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	postgres_destination *self = expected->context;

	if (strcmp(PQcmdStatus((PGresult *) result), "COMMIT") != 0)
		return pen_error_set(error, PENSTOCK_E_BUG, "COMMIT was answered with %s",
							 PQcmdStatus((PGresult *) result));
	self->applied_lsn = expected->lsn;
	return PENSTOCK_OK;
}

/* insert and flush position, read after the commit of expected->lsn (0: only to look). */
static penstock_status
check_wal(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	postgres_destination *self = expected->context;
	uint64_t inserted;
	uint64_t flushed;
	size_t last = (self->first_commit + self->commit_count) % COMMITS_MAX;

	if (PQntuples(result) != 1 || !pen_pq_parse_lsn(PQgetvalue(result, 0, 0), &inserted) ||
		!pen_pq_parse_lsn(PQgetvalue(result, 0, 1), &flushed))
		return pen_error_set(error, PENSTOCK_E_BUG, "unreadable WAL position");
	if (expected->lsn != 0 && self->commit_count == COMMITS_MAX)
		self->commits[(last + COMMITS_MAX - 1) % COMMITS_MAX] =
			(pending_commit){expected->lsn, inserted};
	else if (expected->lsn != 0)
	{
		self->commits[last] = (pending_commit){expected->lsn, inserted};
		self->commit_count++;
	}
	flushed_up_to(self, flushed);
	return PENSTOCK_OK;
}

static const char *const wal_sql =
	"SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_wal_flush_lsn()";

static penstock_status
begin(postgres_destination *self, pen_error *error)
{
	if (self->in_transaction)
		return PENSTOCK_OK;
	if (pen_pipeline_send(self->pipeline, "BEGIN", 0, NULL, NULL, error) < 0)
		return error->status;
	self->in_transaction = true;
	self->began_ms = pen_clock_ms();
	return PENSTOCK_OK;
}

/* Send progress up to lsn and COMMIT; do not wait for that. But for all before it: a row that is not
 * there is no error to the server, which would commit the others. */
static penstock_status
commit(postgres_destination *self, uint64_t lsn, pen_error *error)
{
	pen_expectation committed = {.check = check_commit, .context = self, .lsn = lsn};
	pen_expectation wal = {.check = check_wal, .context = self, .lsn = lsn};

	if ((self->in_transaction && pen_pipeline_drain(self->pipeline, error) < 0) ||
		begin(self, error) < 0 ||
		pen_stored_advance(self->pipeline, self->source, self->stored_lsn, lsn, error) < 0 ||
		pen_pipeline_send(self->pipeline, "COMMIT", 0, NULL, &committed, error) < 0 ||
		pen_pipeline_send(self->pipeline, wal_sql, 0, NULL, &wal, error) < 0 ||
		pen_pipeline_sync(self->pipeline, error) < 0)
		return error->status;
	self->stored_lsn = self->gathered_lsn = lsn;
	self->in_transaction = false;
	self->batch_bytes = 0;
	return PENSTOCK_OK;
}

/* ---- targets ---- */

static penstock_status
wait_for_table(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	if (error->status == PENSTOCK_E_WAITING)
	{
		pen_relation_unref(self->missing);
		self->missing = pen_relation_ref(relation);
	}
	return pen_error_context(error, "destination %s: LSN " LSN_FORMAT, self->base.config->name,
							 LSN_ARGS(self->commit_lsn));
}

static pen_target *
add_target(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	pen_target *target;

	if (self->target_count == self->target_capacity)
	{
		size_t capacity = self->target_capacity == 0 ? 16 : self->target_capacity * 2;
		pen_target **targets = realloc(self->targets, capacity * sizeof(pen_target *));

		if (targets == NULL)
		{
			pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
			return NULL;
		}
		self->targets = targets;
		self->target_capacity = capacity;
	}
	target = pen_target_new(self->pipeline, self->conn, relation, self->base.config->allow_triggers,
							self->serial++, error);
	if (target == NULL || pen_stored_table(self->pipeline, self->source, target, error) < 0)
	{
		wait_for_table(self, relation, error);
		pen_target_free(target);
		return NULL;
	}
	return self->targets[self->target_count++] = target;
}

/* An older version of the same table: its statements may fit no longer. */
static void
drop_old_target(postgres_destination *self, const penstock_relation *relation)
{
	for (size_t i = 0; i < self->target_count; i++)
	{
		if (self->targets[i]->relation->oid == relation->oid)
		{
			pen_target_free(self->targets[i]);
			self->targets[i] = self->targets[--self->target_count];
			return;
		}
	}
}

/* The newest is looked at first: rows of one table come in runs. */
static pen_target *
find_target(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	for (size_t i = self->target_count; i > 0; i--)
	{
		pen_target *target = self->targets[i - 1];

		if (target->relation != relation)
			continue;
		if (i < self->target_count)
		{
			self->targets[i - 1] = self->targets[self->target_count - 1];
			self->targets[self->target_count - 1] = target;
		}
		return target;
	}
	/* What was sent for the old version may still be unanswered and refer to it. */
	if (pen_pipeline_drain(self->pipeline, error) < 0)
		return NULL;
	drop_old_target(self, relation);
	return add_target(self, relation, error);
}

/* ---- rows ---- */

static const char *
operation_name(pen_target_operation operation)
{
	static const char *const names[] = {"INSERT into", "UPDATE of", "DELETE from"};

	return names[operation];
}

/* Data exceptions quote the value, which is nobody's business: from the first quote to the last. */
static void
hide_value(pen_error *error)
{
	char *first = strchr(error->text, '"');
	char *last = strrchr(error->text, '"');

	if (strncmp(error->sqlstate, "22", 2) != 0 || first == last || last - first < 4)
		return;
	memcpy(first + 1, "...", 3);
	memmove(first + 4, last, strlen(last) + 1);
}

static void
explain_row(const pen_expectation *expected, pen_error *error)
{
	const postgres_destination *self = expected->context;
	const pen_target_statement *statement = expected->subject;

	hide_value(error);
	/* What does not fit in this place is about the row, whatever the class of the SQLSTATE says. */
	if (error->status == PENSTOCK_E_CONFIG && strncmp(error->sqlstate, "42", 2) != 0)
		error->status = PENSTOCK_E_DATA;
	pen_error_context(error, "destination %s: %s %s, LSN " LSN_FORMAT, self->base.config->name,
					  operation_name(statement->operation), statement->target->quoted,
					  LSN_ARGS(expected->lsn));
}

/* "(id, part)": the names, never the values. */
static void
print_key(const pen_target *target, char *into, size_t size)
{
	size_t used = 0;

	into[0] = '\0';
	for (int i = 0; i < target->relation->key_count && used < size; i++)
		used += (size_t) snprintf(into + used, size - used, "%s%s", i > 0 ? ", " : "",
								  target->relation->columns[target->relation->key_columns[i]].name);
}

static penstock_status
check_row(const pen_expectation *expected, const PGresult *result, pen_error *error)
{
	const pen_target_statement *statement = expected->subject;
	const char *affected = PQcmdTuples((PGresult *) result);
	char key[200];

	if (strcmp(affected, "1") == 0)
		return PENSTOCK_OK;
	print_key(statement->target, key, sizeof(key));
	pen_error_set(
		error, PENSTOCK_E_DATA,
		"%s rows were affected instead of 1: the destination's rows are not the source's%s%s%s",
		affected, key[0] != '\0' ? " (key " : "", key, key[0] != '\0' ? ")" : "");
	explain_row(expected, error);
	return error->status;
}

static penstock_status
prepare(postgres_destination *self, pen_target_statement *statement, pen_error *error)
{
	pen_expectation expected = {
		.explain = explain_row,
		.context = self,
		.subject = statement,
		.lsn = self->commit_lsn,
	};
	const pen_target_column *columns = statement->target->columns;
	int count = statement->new_count + statement->where_count;
	Oid *types = calloc((size_t) count + 1, sizeof(*types));
	penstock_status status;

	if (types == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	for (int i = 0; i < statement->new_count; i++)
		types[i] = columns[statement->new_columns[i]].param_type;
	for (int i = 0; i < statement->where_count; i++)
		types[statement->new_count + i] = columns[statement->where_columns[i]].param_type;
	status = pen_pipeline_prepare(self->pipeline, statement->name, statement->sql, count, types,
								  &expected, error);
	free(types);
	statement->prepared = status >= 0;
	return status;
}

static penstock_status
reserve_values(postgres_destination *self, int columns, pen_error *error)
{
	size_t n = (size_t) columns + 1;

	if (columns < self->value_capacity)
		return PENSTOCK_OK;
	free(self->new_values);
	free(self->old_values);
	free(self->left_out);
	self->new_values = calloc(n, sizeof(*self->new_values));
	self->old_values = calloc(n, sizeof(*self->old_values));
	self->left_out = calloc(1, n / 8 + 1);
	self->value_capacity = (int) n;
	if (self->new_values != NULL && self->old_values != NULL && self->left_out != NULL)
		return PENSTOCK_OK;
	self->value_capacity = 0;
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

/* The Values of a row into an array by column. decode/ has checked their number and form. */
static void
spread(const penstock_row *row, pen_value *values)
{
	pen_tuple tuple = {.data = row->data, .len = row->len};
	pen_wire_reader reader;

	pen_wire_tuple_reader(&reader, &tuple);
	for (int i = 0; i < row->relation->column_count; i++)
	{
		values[i].kind = PEN_VALUE_NULL;
		if (!row->identity_only || row->relation->columns[i].identity > 0)
			(void) pen_wire_read_value(&reader, &values[i]);
	}
}

static bool
same_value(const pen_value *a, const pen_value *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind)
	{
		case PEN_VALUE_NULL:
		case PEN_VALUE_UNCHANGED:
			return true;
		case PEN_VALUE_BOOL:
			return a->boolean == b->boolean;
		case PEN_VALUE_FLOAT:
			return memcmp(&a->float4, &b->float4, sizeof(a->float4)) == 0;
		case PEN_VALUE_INT:
		case PEN_VALUE_DOUBLE:
			return a->integer == b->integer;
		case PEN_VALUE_STRING:
		case PEN_VALUE_BYTES:
			return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
	}
	return false;
}

/* What an UPDATE does not set: values that did not travel, and a key that stayed, so that the
 * destination need not look at its indexes. */
static void
choose_left_out(postgres_destination *self, const penstock_event *event)
{
	const penstock_relation *relation = event->relation;

	memset(self->left_out, 0, (size_t) relation->column_count / 8 + 1);
	for (int i = 0; i < relation->column_count; i++)
	{
		if (self->new_values[i].kind == PEN_VALUE_UNCHANGED)
			self->left_out[i / 8] |= (uint8_t) (1 << i % 8);
	}
	for (int k = 0; k < relation->key_count; k++)
	{
		int i = relation->key_columns[k];

		if (same_value(&self->new_values[i], &self->old_values[i]))
			self->left_out[i / 8] |= (uint8_t) (1 << i % 8);
	}
}

static penstock_status
no_identity(const penstock_event *event, pen_error *error)
{
	return pen_error_set(
		error, PENSTOCK_E_REFUSED,
		"table %s.%s has no replica identity, so it cannot be told which row was %s; at "
		"the source: ALTER TABLE %s.%s ADD PRIMARY KEY …, or REPLICA IDENTITY FULL; then "
		"bring the table in step",
		event->relation->schema, event->relation->name,
		event->kind == PENSTOCK_UPDATE ? "updated" : "deleted", event->relation->schema,
		event->relation->name);
}

/* Old values by column: from the old row or key; for an update whose key stayed, the new row's. */
static penstock_status
spread_old(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	const penstock_relation *relation = event->relation;

	if (event->old_row.relation != NULL)
		spread(&event->old_row, self->old_values);
	else if (event->kind == PENSTOCK_UPDATE && relation->key_count > 0)
		memcpy(self->old_values, self->new_values,
			   (size_t) relation->column_count * sizeof(pen_value));
	else
		return no_identity(event, error);
	return relation->key_count > 0 || pen_target_by_whole_row(relation) ? PENSTOCK_OK
																		: no_identity(event, error);
}

static penstock_status
apply_row(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	pen_target *target = find_target(self, event->relation, error);
	pen_target_operation operation = event->kind == PENSTOCK_INSERT   ? PEN_TARGET_INSERT
									 : event->kind == PENSTOCK_UPDATE ? PEN_TARGET_UPDATE
																	  : PEN_TARGET_DELETE;
	pen_target_statement *statement;
	pen_expectation expected = {.check = check_row, .explain = explain_row, .context = self};
	const uint8_t *left_out = NULL;

	if (target == NULL || reserve_values(self, event->relation->column_count, error) < 0)
		return error->status;
	if (event->kind != PENSTOCK_DELETE)
		spread(&event->new_row, self->new_values);
	if (event->kind != PENSTOCK_INSERT && spread_old(self, event, error) < 0)
		return error->status;
	if (event->kind == PENSTOCK_UPDATE)
	{
		choose_left_out(self, event);
		left_out = self->left_out;
	}
	statement = pen_target_statement_get(target, operation, left_out, error);
	if (statement == NULL || (!statement->prepared && prepare(self, statement, error) < 0))
		return error->status;
	expected.subject = statement;
	expected.lsn = self->commit_lsn;
	if (pen_row_bind(&self->row, statement, self->new_values, self->old_values, error) < 0)
	{
		explain_row(&expected, error);
		return error->status;
	}
	self->batch_bytes += event->new_row.len + event->old_row.len + 32;
	return pen_pipeline_send_prepared(self->pipeline, statement->name, self->row.count,
									  self->row.values, self->row.lengths, self->row.formats,
									  &expected, error);
}

static penstock_status
apply_truncate(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	char *sql = NULL;
	size_t length;
	FILE *out;
	penstock_status status;
	char *tables = strdup("");

	/* No CASCADE: what it took at the source is in the list. */
	for (uint32_t i = 0; i < event->relation_count && tables != NULL; i++)
	{
		pen_target *target = find_target(self, event->relations[i], error);
		char *longer = NULL;

		if (target == NULL ||
			asprintf(&longer, "%s%s%s", tables, i > 0 ? ", " : "", target->quoted) < 0)
		{
			free(tables);
			return target == NULL ? error->status
								  : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		}
		free(tables);
		tables = longer;
	}
	out = open_memstream(&sql, &length);
	if (out == NULL || tables == NULL)
	{
		free(tables);
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	}
	fprintf(out, "TRUNCATE %s%s", tables, event->restart_identity ? " RESTART IDENTITY" : "");
	fclose(out);
	free(tables);
	status = pen_pipeline_send(self->pipeline, sql, 0, NULL, NULL, error);
	free(sql);
	return status;
}

/* ---- the interface ---- */

static penstock_status
postgres_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
			   pen_error *error)
{
	postgres_destination *self = self_of(destination);

	if (self->pipeline != NULL)
	{
		/* What was sent of an unfinished transaction is rolled back; commits before it stand. */
		if (self->in_transaction &&
			(pen_pipeline_send(self->pipeline, "ROLLBACK", 0, NULL, NULL, error) < 0 ||
			 pen_pipeline_sync(self->pipeline, error) < 0))
			return error->status;
		if (pen_pipeline_drain(self->pipeline, error) < 0)
			return error->status;
		for (size_t i = 0; self->in_transaction && i < self->target_count; i++)
			pen_target_free(self->targets[i]);
		if (self->in_transaction)
			self->target_count = 0;
		self->in_transaction = false;
	}
	else if (self->stored_lsn == 0)
	{
		if (pen_stored_begin(self->conn, self->source, start_lsn, error) < 0)
			return pen_error_context(error, "destination %s", self->base.config->name);
		self->stored_lsn = self->applied_lsn = start_lsn;
	}
	self->gathered_lsn = self->stored_lsn;
	self->batch_bytes = 0;
	report(self, position);
	return enter_pipeline(self, error);
}

static penstock_status
finish_transaction(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	const pen_destination_config *config = self->base.config;

	self->gathered_lsn = event->transaction->end_lsn;
	if (!self->in_transaction || (self->batch_bytes < config->batch_bytes_max &&
								  pen_clock_ms() - self->began_ms < config->batch_ms))
		return PENSTOCK_OK;
	return commit(self, self->gathered_lsn, error);
}

static penstock_status
postgres_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
			   pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status = PENSTOCK_OK;

	switch (event->kind)
	{
		case PENSTOCK_BEGIN:
			self->commit_lsn = event->transaction->commit_lsn;
			break;
		case PENSTOCK_INSERT:
		case PENSTOCK_UPDATE:
		case PENSTOCK_DELETE:
			status = begin(self, error);
			if (status >= 0)
				status = apply_row(self, event, error);
			break;
		case PENSTOCK_TRUNCATE:
			status = begin(self, error);
			if (status >= 0)
				status = apply_truncate(self, event, error);
			break;
		case PENSTOCK_COMMIT:
			status = finish_transaction(self, event, error);
			break;
	}
	report(self, position);
	return status;
}

static penstock_status
postgres_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status = PENSTOCK_OK;

	if (self->in_transaction)
		status = commit(self, self->gathered_lsn, error);
	if (status >= 0 && self->pipeline != NULL)
		status = pen_pipeline_drain(self->pipeline, error);
	report(self, position);
	return status;
}

static penstock_status
postgres_advance(pen_destination *destination, uint64_t lsn, pen_position *position,
				 pen_error *error)
{
	postgres_destination *self = self_of(destination);
	penstock_status status = PENSTOCK_OK;

	if (lsn > self->stored_lsn)
		status = commit(self, lsn, error);
	if (status >= 0)
		status = pen_pipeline_drain(self->pipeline, error);
	report(self, position);
	return status;
}

static penstock_status
postgres_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	postgres_destination *self = self_of(destination);
	pen_expectation wal = {.check = check_wal, .context = self};

	if (self->commit_count > 0 && !self->in_transaction &&
		pen_clock_ms() - self->asked_ms >= SYNC_POLL_MS)
	{
		self->asked_ms = pen_clock_ms();
		if (pen_pipeline_send(self->pipeline, wal_sql, 0, NULL, &wal, error) < 0 ||
			pen_pipeline_sync(self->pipeline, error) < 0 ||
			pen_pipeline_drain(self->pipeline, error) < 0)
			return error->status;
	}
	report(self, position);
	*poll_ms = self->commit_count > 0 ? SYNC_POLL_MS : -1;
	return PENSTOCK_OK;
}

/* Is what was missing there now? A session of its own, which changes nothing. */
static penstock_status
postgres_probe(pen_destination *destination, const pen_source_identity *source, pen_error *error)
{
	postgres_destination *self = self_of(destination);
	pen_target *target = NULL;

	if (self->missing == NULL)
		return PENSTOCK_OK;
	if (open_session(self, source, error) >= 0 && enter_pipeline(self, error) >= 0)
		target = pen_target_new(self->pipeline, self->conn, self->missing,
								self->base.config->allow_triggers, 0, error);
	if (target != NULL)
	{
		pen_relation_unref(self->missing);
		self->missing = NULL;
		pen_error_clear(error);
	}
	pen_target_free(target);
	postgres_close(destination);
	return error->status;
}

const pen_destination_kind pen_destination_postgres = {
	.scheme = "postgresql",
	.keeps_position = true,
	.create = postgres_create,
	.destroy = postgres_destroy,
	.open = postgres_open,
	.close = postgres_close,
	.start = postgres_start,
	.apply = postgres_apply,
	.flush = postgres_flush,
	.advance = postgres_advance,
	.sync = postgres_sync,
	.probe = postgres_probe,
};
