/* parked_copy.c -- copies of tables beside the stream, in sessions of their own.
 * The copy's threads look at the list of tables under its lock; the worker's thread alone changes
 * it. */
#include "destination/postgres/parked_private.h"

#include "destination/postgres/stored.h"

#define RESYNC_JOBS 2

/* ---- what the copy's threads ask and tell ---- */

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
	table = pen_parked_find(parked, relation->schema, relation->name);
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

/* ---- beginning and end ---- */

static void
show_progress(void *context, const pen_copy_progress *progress)
{
	postgres_destination *self = context;

	if (progress != NULL)
		pen_board_progress(self->board, progress);
}

penstock_status
pen_parked_copy_start(postgres_destination *self, pen_error *error)
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

penstock_status
pen_parked_copy_look(postgres_destination *self, pen_error *error)
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
