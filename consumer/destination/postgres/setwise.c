/* setwise.c -- what is gathered, applied in sets.
 * Sets stand under a savepoint: whatever goes wrong with them, the same changes are replayed in
 * order, and only that decides whether a row is rejected. They are at work in the server while more
 * is gathered: their answers are judged by pen_postgres_settle, before anything else is sent. */
#include "destination/postgres/session.h"

#define DISTRUST_MAX 64 /* batches */

/* ---- the net change ---- */

/* No server has said so, but the rows cannot be those of the source. */
static penstock_status
disagrees(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_DATA, "the changes of a key do not follow one another");
}

/* An event that is not for a set, behind those that were sent. */
static penstock_status
in_turn(postgres_destination *self, const pen_batch_event *event, pen_reason reason,
		pen_error *error)
{
	return pen_postgres_begin_sets(self, error) < 0
			   ? error->status
			   : pen_postgres_apply_event(self, event, reason, error);
}

static penstock_status
add_keyed(postgres_destination *self, const pen_batch_event *event, pen_error *error)
{
	for (;;)
	{
		switch (pen_batch_net(&self->batch, event))
		{
			case PEN_NET_ADDED:
				return PENSTOCK_OK;
			case PEN_NET_DISAGREES:
				return disagrees(error);
			case PEN_NET_NO_MEMORY:
				return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
			case PEN_NET_FULL:
				if (pen_postgres_send_sets(self, event->table, error) < 0)
					return error->status;
				break; /* the entry is gone: once more */
			case PEN_NET_KEY_CHANGED:
			case PEN_NET_NO_KEY:
				return pen_postgres_send_sets(self, event->table, error) < 0
						   ? error->status
						   : in_turn(self, event, PEN_REASON_KEY_CHANGED, error);
		}
	}
}

/* Inserts go together until something else comes. */
static penstock_status
add_unkeyed(postgres_destination *self, const pen_batch_event *event, pen_reason reason,
			pen_error *error)
{
	if (event->kind != PENSTOCK_INSERT)
		return pen_postgres_send_sets(self, event->table, error) < 0
				   ? error->status
				   : in_turn(self, event, reason, error);
	return pen_batch_append(&self->batch, event) == PEN_NET_ADDED
			   ? PENSTOCK_OK
			   : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

static penstock_status
add_to_sets(postgres_destination *self, const pen_batch_event *event, pen_error *error)
{
	const pen_target *target = event->table != NULL ? event->table->target : NULL;

	if (target == NULL)
		return pen_postgres_send_all_sets(self, error) < 0
				   ? error->status
				   : in_turn(self, event, PEN_REASON_TRUNCATE, error);
	/* It may be since a moment ago, by the sets of the last batch: what is merged goes first. */
	if (target->distrusted_until > self->batch_number)
		return pen_postgres_send_sets(self, event->table, error) < 0
				   ? error->status
				   : in_turn(self, event, PEN_REASON_FAILED, error);
	switch (target->mode)
	{
		case PEN_TARGET_SETS:
			return add_keyed(self, event, error);
		case PEN_TARGET_APPEND:
			return add_unkeyed(self, event, target->reason, error);
		case PEN_TARGET_ORDERED:
			break;
	}
	return pen_postgres_send_all_sets(self, error) < 0
			   ? error->status
			   : in_turn(self, event, target->reason, error);
}

static penstock_status
apply_sets(postgres_destination *self, pen_error *error)
{
	penstock_status status = PENSTOCK_OK;

	for (size_t i = 0; i < self->batch.event_count && status >= 0; i++)
		status = add_to_sets(self, &self->batch.events[i], error);
	return status < 0 ? status : pen_postgres_send_all_sets(self, error);
}

/* ---- answers ---- */

/* Whether a statement is there whose Parse has not been answered, nobody has read: it may be, and
 * gets another name. */
static void
unprepare(postgres_destination *self)
{
	for (size_t i = 0; i < self->batch.table_capacity; i++)
	{
		const pen_batch_table *table = self->batch.tables[i];
		pen_target *target = table != NULL ? table->target : NULL;

		for (pen_target_statement *s = target != NULL ? target->statements : NULL; s != NULL;
			 s = s->next)
		{
			if (s->prepared && !s->there)
				pen_target_statement_rename(s);
			s->prepared = s->there;
		}
	}
}

penstock_status
pen_postgres_recover(postgres_destination *self, pen_error *error)
{
	if (pen_pipeline_recover(self->pipeline, error) < 0)
		return error->status;
	unprepare(self);
	return PENSTOCK_OK;
}

/* The sets of a table that failed are not tried again for a while. */
static void
distrust(postgres_destination *self)
{
	pen_target *target = self->failed_set;
	unsigned int batches = 1;

	if (target == NULL)
		return;
	for (unsigned int i = 0; i < target->failures && batches < DISTRUST_MAX; i++)
		batches *= 2;
	target->failures++;
	target->distrusted_until = self->batch_number + 1 + batches;
}

/* The sets of what is in the batch failed: the same in order. */
static penstock_status
replay_batch(postgres_destination *self, pen_error *error)
{
	pen_log_write(self->base.config->log, PENSTOCK_LOG_DEBUG, self->base.config->name,
				  "%s; replaying %zu changes in order", error->text, self->batch.event_count);
	pen_error_clear(error);
	self->counters.rollbacks++;
	distrust(self);
	if (pen_postgres_recover(self, error) < 0 ||
		pen_pipeline_send(self->pipeline, "ROLLBACK TO sets", 0, NULL, NULL, error) < 0 ||
		pen_pipeline_send(self->pipeline, "RELEASE sets", 0, NULL, NULL, error) < 0)
		return error->status;
	return pen_postgres_replay(self, 0, self->batch.event_count, PEN_REASON_FAILED, error);
}

/* Is it an error that order may avoid, or that decides? */
static bool
is_of_rows(const pen_error *error)
{
	return error->status == PENSTOCK_E_DATA || error->status == PENSTOCK_E_CONFIG;
}

/* The kept events are in the batch. */
static penstock_status
judge(postgres_destination *self, pen_error *error)
{
	pen_pipeline_release(self->pipeline);
	if (pen_pipeline_drain(self->pipeline, error) >= 0)
		return pen_pipeline_send(self->pipeline, "RELEASE sets", 0, NULL, NULL, error);
	return is_of_rows(error) ? replay_batch(self, error) : error->status;
}

penstock_status
pen_postgres_settle(postgres_destination *self, pen_error *error)
{
	uint64_t commit_lsn = self->commit_lsn;
	penstock_status status;

	if (!self->sets_sent)
		return PENSTOCK_OK;
	self->sets_sent = false;
	pen_batch_exchange(&self->batch);
	status = judge(self, error);
	pen_batch_exchange(&self->batch);
	pen_batch_forget_kept(&self->batch);
	self->commit_lsn = commit_lsn;
	return status;
}

penstock_status
pen_postgres_begin_sets(postgres_destination *self, pen_error *error)
{
	if (self->sets_begun)
		return PENSTOCK_OK;
	self->sets_lost = true;
	/* An error of what was sent before is none of these sets. */
	if (pen_postgres_settle(self, error) < 0 || pen_pipeline_drain(self->pipeline, error) < 0 ||
		pen_pipeline_send(self->pipeline, "SAVEPOINT sets", 0, NULL, NULL, error) < 0)
		return error->status;
	self->sets_lost = false;
	self->sets_begun = true;
	self->failed_set = NULL;
	return PENSTOCK_OK;
}

penstock_status
pen_postgres_apply_sets(postgres_destination *self, pen_error *error)
{
	pen_error why;

	self->sets_begun = false;
	self->sets_lost = false;
	if (apply_sets(self, error) >= 0)
	{
		if (!self->sets_begun)
			return PENSTOCK_OK; /* it comes to nothing */
		if (pen_pipeline_hold(self->pipeline, error) < 0)
			return error->status;
		pen_batch_keep(&self->batch);
		self->sets_sent = true;
		return PENSTOCK_OK;
	}
	if (self->sets_lost || !is_of_rows(error))
		return error->status;
	/* What comes to nothing that a source can have done may not have been sent yet. */
	why = *error;
	if (pen_postgres_begin_sets(self, error) < 0)
		return error->status;
	*error = why;
	pen_batch_clear_net(&self->batch);
	return replay_batch(self, error);
}
