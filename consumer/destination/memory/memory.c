/* memory.c -- the destination `memory:`: tables of this process, loaded anew at each open.
 * It stores nothing, so it never holds back what may be confirmed: durable follows applied. */
#include "destination/memory/memory.h"

#include <stdlib.h>
#include <string.h>

#include "copy/load.h"
#include "destination/kinds.h"
#include "destination/memory/store.h"
#include "event/relation.h"
#include "route/mapper.h"

/* Garbage that waits for a snapshot to end is looked at this often when nothing else happens. */
#define COLLECT_MS 200

typedef struct memory_destination
{
	pen_destination base; /* first */
	pen_memory_store *store;

	/* While it loads. */
	pen_mapper *mapper;       /* NULL: rows stay as they are */
	const pen_mapped *target; /* what becomes of the table that is being read */
} memory_destination;

static memory_destination *
self_of(pen_destination *destination)
{
	return (memory_destination *) destination;
}

static void
tell_position(const memory_destination *self, pen_position *position)
{
	position->applied_lsn = position->durable_lsn = pen_memory_store_lsn(self->store);
}

static pen_destination *
memory_create(const pen_destination_config *config, pen_error *error)
{
	memory_destination *self = calloc(1, sizeof(*self));

	if (strcmp(config->uri, "memory:") != 0)
	{
		free(self);
		pen_error_set(error, PENSTOCK_E_CONFIG, "destination %s: write just memory:", config->name);
		return NULL;
	}
	if (self != NULL)
		self->store = pen_memory_store_new(config->table_bytes_max);
	if (self == NULL || self->store == NULL)
	{
		free(self);
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for memory tables");
		return NULL;
	}
	self->base.kind = &pen_destination_memory;
	self->base.config = config;
	return &self->base;
}

static void
memory_destroy(pen_destination *destination)
{
	if (destination == NULL)
		return;
	pen_memory_store_free(self_of(destination)->store);
	free(destination);
}

/* ---- loading ---- */

static bool
load_takes(void *context, const char *schema, const char *table)
{
	const memory_destination *self = context;

	return pen_mapping_takes(self->base.config->mapping, schema, table);
}

static penstock_status
load_table(void *context, const penstock_relation *relation, pen_error *error)
{
	memory_destination *self = context;

	if (self->mapper != NULL)
	{
		if (pen_mapper_table(self->mapper, relation, &self->target, error) < 0)
			return error->status;
		relation = self->target->relation;
	}
	return pen_memory_load_table(self->store, relation, error);
}

static penstock_status
load_row(void *context, const uint8_t *data, size_t len, pen_error *error)
{
	memory_destination *self = context;

	if (self->mapper != NULL &&
		pen_mapper_map_row(self->mapper, self->target, &data, &len, error) < 0)
		return error->status;
	return data != NULL ? pen_memory_load_row(self->store, data, len, error) : PENSTOCK_OK;
}

static penstock_status
load_other(void *context, uint32_t oid, pen_error *error)
{
	return pen_memory_load_other(((memory_destination *) context)->store, oid, error);
}

static penstock_status
memory_open(pen_destination *destination, const pen_source_identity *source, pen_position *position,
			pen_error *error)
{
	memory_destination *self = self_of(destination);
	pen_load_options options = {.conninfo = source->conninfo,
								.connect_timeout_ms = destination->config->connect_timeout_ms,
								.interrupted = &destination->interrupted};
	pen_load_sink sink = {.context = self,
						  .takes = load_takes,
						  .table = load_table,
						  .row = load_row,
						  .other = load_other};
	uint64_t consistent_point;
	penstock_status status;

	if (destination->config->mapping != NULL)
	{
		self->mapper = pen_mapper_new(destination->config->mapping);
		if (self->mapper == NULL)
			return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for memory tables");
	}
	pen_memory_load_begin(self->store);
	status = pen_load_run(&options, &sink, &consistent_point, error);
	pen_mapper_free(self->mapper);
	self->mapper = NULL;
	if (status < 0)
	{
		pen_memory_load_abort(self->store);
		return pen_error_context(error, "memory tables");
	}
	pen_memory_load_end(self->store, consistent_point);
	tell_position(self, position);
	return PENSTOCK_OK;
}

/* Readers keep what they have; what is open or half loaded goes. */
static void
memory_close(pen_destination *destination)
{
	pen_memory_undo(self_of(destination)->store);
	pen_memory_load_abort(self_of(destination)->store);
}

/* ---- the stream ---- */

static penstock_status
memory_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
			 pen_error *error)
{
	memory_destination *self = self_of(destination);
	penstock_status status = pen_memory_start(self->store, start_lsn, error);

	tell_position(self, position);
	return status;
}

static penstock_status
memory_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
			 pen_error *error)
{
	memory_destination *self = self_of(destination);
	penstock_status status = pen_memory_apply(self->store, event, error);

	if (event->kind == PENSTOCK_COMMIT)
		tell_position(self, position);
	return status;
}

static penstock_status
memory_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	(void) error;
	tell_position(self_of(destination), position);
	return PENSTOCK_OK;
}

static penstock_status
memory_advance(pen_destination *destination, uint64_t lsn, pen_position *position, pen_error *error)
{
	(void) error;
	pen_memory_advance(self_of(destination)->store, lsn);
	tell_position(self_of(destination), position);
	return PENSTOCK_OK;
}

static penstock_status
memory_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	(void) error;
	*poll_ms = pen_memory_idle(self_of(destination)->store) ? -1 : COLLECT_MS;
	tell_position(self_of(destination), position);
	return PENSTOCK_OK;
}

penstock_snapshot *
pen_memory_snapshot_begin(pen_destination *destination)
{
	return pen_memory_store_snapshot(self_of(destination)->store);
}

const pen_destination_kind pen_destination_memory = {
	.scheme = "memory",
	.loads_afresh = true,
	.create = memory_create,
	.destroy = memory_destroy,
	.open = memory_open,
	.close = memory_close,
	.start = memory_start,
	.apply = memory_apply,
	.flush = memory_flush,
	.advance = memory_advance,
	.sync = memory_sync,
};
