/* flush.c -- how what is gathered is applied: in sets where that comes to the same as source order,
 * one by one where it might not. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "destination/postgres/ahead.h"
#include "destination/postgres/session.h"
#include "destination/postgres/stored.h"
#include "event/relation.h"

#define SETS_FROM 16 /* changes from which on sets and their savepoint are worth it */

/* ---- targets ---- */

void
pen_postgres_forget_targets(postgres_destination *self)
{
	pen_batch *batch = &self->batch;

	pen_batch_clear(batch);
	for (size_t i = 0; i < batch->table_capacity; i++)
	{
		if (batch->tables[i] != NULL)
			pen_target_free(batch->tables[i]->target);
	}
	pen_batch_free(batch);
	self->sets_sent = false;
	self->failed_set = NULL;
}

static penstock_status
deallocate(postgres_destination *self, const pen_target *target, pen_error *error)
{
	for (const pen_target_statement *s = target->statements; s != NULL; s = s->next)
	{
		char sql[80];

		snprintf(sql, sizeof(sql), "DEALLOCATE %s", s->name);
		if (s->prepared && pen_pipeline_send(self->pipeline, sql, 0, NULL, NULL, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

/* An older version of a table, or one that had its name: what was gathered for it is sent before
 * anything of the new one, and its statements may fit no longer. */
static penstock_status
drop_table(postgres_destination *self, pen_batch_table *table, pen_error *error)
{
	pen_target *target = table->target;

	if (self->is_ahead)
		return pen_error_set(error, PENSTOCK_E_RETRY, "table %s.%s changes within it",
							 table->relation->schema, table->relation->name);
	if (self->batch.event_count > 0 &&
		(pen_postgres_begin(self, error) < 0 || pen_postgres_flush_batch(self, error) < 0))
		return error->status;
	/* What was sent may be unanswered yet and refer to it. */
	if (pen_postgres_settle(self, error) < 0)
		return error->status;
	if (target != NULL &&
		(pen_pipeline_drain(self->pipeline, error) < 0 || deallocate(self, target, error) < 0))
		return error->status;
	if (self->failed_set == target)
		self->failed_set = NULL;
	pen_target_free(target);
	pen_batch_table_forget(&self->batch, table);
	return PENSTOCK_OK;
}

static pen_batch_table *
find_table(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	bool added;
	pen_batch_table *table = pen_batch_table_get(&self->batch, relation, &added);
	pen_batch_table *older;

	if (table == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	while (table != NULL && added &&
		   (older = pen_batch_table_older(&self->batch, relation)) != NULL)
	{
		if (drop_table(self, older, error) < 0)
			return NULL;
	}
	return table;
}

static penstock_status
no_target(postgres_destination *self, const penstock_relation *relation, uint64_t lsn,
		  pen_error *error)
{
	if (error->status == PENSTOCK_E_WAITING)
	{
		pen_relation_unref(self->missing);
		self->missing = pen_relation_ref(relation);
	}
	return pen_error_context(error, "destination %s: LSN " LSN_FORMAT, self->base.config->name,
							 LSN_ARGS(lsn));
}

static pen_target *
look_up(postgres_destination *self, pen_pipeline *pipeline, PGconn *conn,
		const penstock_relation *relation, pen_error *error)
{
	pen_target *target = pen_target_new(pipeline, conn, relation, self->base.config->allow_triggers,
										self->serial++, error);

	if (target != NULL &&
		(self->is_ahead || pen_stored_table(pipeline, self->source, target, error) >= 0))
		return target;
	pen_target_free(target);
	return NULL;
}

/* In a session of its own: what is recorded of a table in a transaction that stays prepared would
 * be waited for by the next who records it. */
static pen_target *
look_up_aside(postgres_destination *self, const penstock_relation *relation, pen_error *error)
{
	PGconn *conn = pen_postgres_connect(self->base.config, self->source, error);
	pen_pipeline *pipeline =
		conn != NULL
			? pen_pipeline_new(conn, self->base.config->pipeline_bytes_max, &self->base.interrupted)
			: NULL;
	pen_target *target = NULL;

	if (conn != NULL && pipeline == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	if (pipeline != NULL &&
		pen_pipeline_send(pipeline, "SET lock_timeout = '10s'", 0, NULL, NULL, error) >= 0 &&
		pen_pipeline_send(pipeline, "BEGIN", 0, NULL, NULL, error) >= 0)
		target = look_up(self, pipeline, conn, relation, error);
	if (target != NULL &&
		(pen_pipeline_send(pipeline, "COMMIT", 0, NULL, NULL, error) < 0 ||
		 pen_pipeline_sync(pipeline, error) < 0 || pen_pipeline_drain(pipeline, error) < 0))
	{
		pen_target_free(target);
		target = NULL;
	}
	pen_pipeline_free(pipeline);
	PQfinish(conn);
	return target;
}

static penstock_status
look_up_target(postgres_destination *self, pen_batch_table *table, uint64_t lsn, pen_error *error)
{
	pen_target *target;

	if (pen_postgres_settle(self, error) < 0)
		return error->status;
	target = self->prepared.open
				 ? look_up_aside(self, table->relation, error)
				 : look_up(self, self->pipeline, self->conn, table->relation, error);
	if (target == NULL)
		return no_target(self, table->relation, lsn, error);
	table->target = target;
	if (self->is_ahead && pen_postgres_check_ahead(target, error) < 0)
		return error->status;
	self->has_deferrable = self->has_deferrable || target->deferrable;
	return PENSTOCK_OK;
}

/* All that the batch needs, before anything of it is sent: so that no rollback to a savepoint takes
 * away what is recorded of a table. */
static penstock_status
look_up_targets(postgres_destination *self, pen_error *error)
{
	pen_batch *batch = &self->batch;

	for (size_t i = 0; i < batch->event_count; i++)
	{
		const pen_batch_event *event = &batch->events[i];

		if (event->table != NULL && event->table->target == NULL &&
			look_up_target(self, event->table, event->commit_lsn, error) < 0)
			return error->status;
		for (uint32_t t = 0; event->table == NULL && t < event->old_row.len; t++)
		{
			pen_batch_table *table = batch->truncated[event->old_row.at + t];

			if (table->target == NULL && look_up_target(self, table, event->commit_lsn, error) < 0)
				return error->status;
		}
	}
	return PENSTOCK_OK;
}

/* ---- gathering ---- */

static penstock_status
gather_truncate(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	pen_batch_table **tables = calloc((size_t) event->relation_count + 1, sizeof(*tables));
	penstock_status status = PENSTOCK_OK;
	uint32_t count = 0;

	if (tables == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	for (uint32_t i = 0; i < event->relation_count && status >= 0; i++)
	{
		tables[count] = find_table(self, event->relations[i], error);
		status = tables[count++] != NULL ? PENSTOCK_OK : error->status;
	}
	if (status >= 0 && count > 0)
		status = pen_batch_add_truncate(&self->batch, tables, count, event->restart_identity,
										self->commit_lsn, error);
	free(tables);
	return status;
}

penstock_status
pen_postgres_gather(postgres_destination *self, const penstock_event *event, pen_error *error)
{
	pen_batch *batch = &self->batch;
	pen_batch_table *table;

	if (pen_batch_is_full(batch, event) &&
		(pen_postgres_begin(self, error) < 0 || pen_postgres_flush_batch(self, error) < 0))
		return error->status;
	if (batch->event_count == 0)
		self->gathered_ms = pen_clock_ms();
	if (event->kind == PENSTOCK_TRUNCATE)
		return gather_truncate(self, event, error);
	table = find_table(self, event->relation, error);
	return table != NULL ? pen_batch_add(batch, table, event, self->commit_lsn, error)
						 : error->status;
}

/* ---- in order ---- */

penstock_status
pen_postgres_apply_event(postgres_destination *self, const pen_batch_event *event,
						 pen_reason reason, pen_error *error)
{
	penstock_event whole;

	self->commit_lsn = event->commit_lsn;
	self->counters.ordered[reason]++;
	if (event->kind == PENSTOCK_TRUNCATE)
		return pen_postgres_apply_truncate(self, event, error);
	pen_batch_event_get(&self->batch, event, &whole);
	return pen_postgres_apply_row(self, event->table->target, &whole, error);
}

penstock_status
pen_postgres_replay(postgres_destination *self, size_t from, size_t to, pen_reason reason,
					pen_error *error)
{
	for (size_t i = from; i < to; i++)
	{
		if (pen_postgres_apply_event(self, &self->batch.events[i], reason, error) < 0)
			return error->status;
	}
	return PENSTOCK_OK;
}

static penstock_status
apply_batch(postgres_destination *self, pen_error *error)
{
	if (!self->careful && self->batch.event_count >= SETS_FROM)
		return pen_postgres_apply_sets(self, error);
	if (pen_postgres_settle(self, error) < 0)
		return error->status;
	return self->careful
			   ? pen_conflict_apply(self, error)
			   : pen_postgres_replay(self, 0, self->batch.event_count, PEN_REASON_SMALL, error);
}

/* A replay may stop in the middle of what the source checked at once. */
static penstock_status
defer_constraints(postgres_destination *self, pen_error *error)
{
	if (!self->has_deferrable || self->deferred)
		return PENSTOCK_OK;
	if (pen_postgres_settle(self, error) < 0)
		return error->status;
	self->deferred = true;
	return pen_pipeline_send(self->pipeline, "SET CONSTRAINTS ALL DEFERRED", 0, NULL, NULL, error);
}

penstock_status
pen_postgres_flush_batch(postgres_destination *self, pen_error *error)
{
	uint64_t commit_lsn = self->commit_lsn;

	if (self->batch.event_count == 0)
		return PENSTOCK_OK;
	if (look_up_targets(self, error) < 0 || defer_constraints(self, error) < 0 ||
		apply_batch(self, error) < 0)
		return error->status;
	/* What comes next is of the source transaction that was being gathered. */
	self->commit_lsn = commit_lsn;
	self->counters.batches++;
	self->batch_number++;
	pen_batch_clear(&self->batch);
	return PENSTOCK_OK;
}
