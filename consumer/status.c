/* status.c -- copy what a follower is doing. Nothing here waits or asks a server. */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "follower.h"
#include "tables.h"

/* Room for so many of each: false without memory. */
static bool
make_arrays(pen_status *status, size_t destinations, size_t tables, size_t copies)
{
	if (destinations > status->destination_capacity)
	{
		pen_destination_status *grown =
			realloc(status->destinations, destinations * sizeof(*grown));

		if (grown == NULL)
			return false;
		status->destinations = grown;
		status->destination_capacity = destinations;
	}
	if (tables > status->table_capacity)
	{
		pen_table_statistics *grown = realloc(status->tables, tables * sizeof(*grown));

		if (grown == NULL)
			return false;
		status->tables = grown;
		status->table_capacity = tables;
	}
	if (copies > status->copy_capacity)
	{
		pen_table_status *grown = realloc(status->copies, copies * sizeof(*grown));

		if (grown == NULL)
			return false;
		status->copies = grown;
		status->copy_capacity = copies;
	}
	return true;
}

/* What the engine knows of, with as much room as it takes. */
static bool
make_copies(penstock *p, pen_status *status)
{
	size_t count;

	status->copy_count = 0;
	if (p->tables_engine == NULL)
		return true;
	count = p->tables_engine->list(p, status->copies, status->copy_capacity);
	if (count > status->copy_capacity)
	{
		if (!make_arrays(status, 0, 0, count))
			return false;
		count = p->tables_engine->list(p, status->copies, status->copy_capacity);
	}
	status->copy_count = count < status->copy_capacity ? count : status->copy_capacity;
	return true;
}

bool
pen_status_make(penstock *p, pen_status *status, int64_t now_ms)
{
	if (!make_arrays(status, p->worker_count, p->statistics.table_count, 0) ||
		!make_copies(p, status))
		return false;
	status->made_ms = now_ms;
	memcpy(status->slot, p->slot, sizeof(status->slot));
	status->temporary = p->temporary;
	status->connected = p->stream != NULL;
	status->finishing = p->finishing;
	status->received_lsn = p->delivered_lsn;
	status->confirmed_lsn = p->confirmed_lsn;
	status->retained_known = p->guard.known;
	status->retained_bytes = p->guard.retained.bytes;
	status->safe_bytes = p->guard.retained.safe_bytes;
	memcpy(status->wal_status, p->guard.retained.wal_status, sizeof(status->wal_status));
	status->retained_exceeded = p->guard.exceeded;
	status->transactions = p->statistics.transactions;
	status->destination_count = p->worker_count;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_destination_status *into = &status->destinations[i];

		into->name = p->configs[i].name;
		into->kind = pen_worker_destination(p->workers[i])->kind->scheme;
		pen_worker_status_get(p->workers[i], &into->worker);
		pen_feed_state_get(pen_worker_feed(p->workers[i]), &into->feed);
	}
	status->table_count = p->statistics.table_count;
	if (status->table_count > 0)
		memcpy(status->tables, p->statistics.tables, status->table_count * sizeof(*status->tables));
	return true;
}

bool
pen_status_copy(pen_status *into, const pen_status *from)
{
	*into = *from;
	into->destinations = NULL;
	into->destination_capacity = 0;
	into->tables = NULL;
	into->table_capacity = 0;
	into->copies = NULL;
	into->copy_capacity = 0;
	if (!make_arrays(into, from->destination_count, from->table_count, from->copy_count))
	{
		pen_status_reset(into);
		return false;
	}
	if (from->destination_count > 0)
		memcpy(into->destinations, from->destinations,
			   from->destination_count * sizeof(*from->destinations));
	if (from->table_count > 0)
		memcpy(into->tables, from->tables, from->table_count * sizeof(*from->tables));
	if (from->copy_count > 0)
		memcpy(into->copies, from->copies, from->copy_count * sizeof(*from->copies));
	return true;
}

void
pen_status_reset(pen_status *status)
{
	free(status->destinations);
	free(status->tables);
	free(status->copies);
	memset(status, 0, sizeof(*status));
}

static bool
destination_reason(const pen_destination_status *destination, char *text, size_t size)
{
	const pen_worker_status *worker = &destination->worker;

	switch (worker->state)
	{
		case PEN_WORKER_STREAMING:
		case PEN_WORKER_PAUSED:
			return false;
		case PEN_WORKER_READY:
			snprintf(text, size, "destination %s waits for the stream to begin", destination->name);
			return true;
		case PEN_WORKER_DOWN:
		case PEN_WORKER_STOPPED:
			snprintf(text, size, "destination %s is %s", destination->name,
					 pen_worker_state_name(worker->state));
			return true;
	}
	return false;
}

bool
pen_status_reason(const pen_status *status, size_t number, char *text, size_t size)
{
	if (!status->connected && number-- == 0)
	{
		snprintf(text, size, "the source is not connected");
		return true;
	}
	if (status->retained_exceeded && number-- == 0)
	{
		snprintf(text, size, "slot \"%s\" holds back %lld bytes of WAL, more than retained-wal-max",
				 status->slot, (long long) status->retained_bytes);
		return true;
	}
	for (size_t i = 0; i < status->destination_count; i++)
	{
		if (destination_reason(&status->destinations[i], text, size) && number-- == 0)
			return true;
	}
	return false;
}
