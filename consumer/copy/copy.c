/* copy.c -- a copy from its beginning to its end.
 * What is to be copied is recorded at a place, together with its position in the stream, before the
 * first row is: whoever comes later knows what is missing and whose rows are there. */
#include "copy/copy.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "copy/jobs.h"
#include "copy/place.h"
#include "copy/plan.h"
#include "copy/definitions.h"
#include "copy/sequences.h"
#include "copy/snapshot.h"
#include "copy/waiting.h"
#include "event/lsn.h"
#include "event/relation.h"
#include "pq/pq.h"

#define TRIES          5 /* that complete no table */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS   15000

/* One try under one snapshot. */
typedef struct pass
{
	const pen_copy_options *options;
	pen_copy_place *places;
	size_t count;
	pen_plan plan;
	pen_snapshot snapshot;
	pen_definitions definitions;
	size_t completed;
	pen_error *error;
} pass;

static bool
takes(void *context, const char *schema, const char *table)
{
	pass *p = context;
	bool wanted = false;

	for (size_t i = 0; i < p->count; i++)
	{
		if (pen_place_state(&p->places[i], schema, table, p->options->mode) != PEN_COPY_NONE)
			wanted = true;
	}
	return wanted;
}

static bool
takes_part(const pen_copy_place *place)
{
	return place->takes_part && !atomic_load(&place->failed);
}

/* ---- recording what is begun ---- */

static penstock_status
record_tables(pass *p, pen_copy_place *place, pen_error *error)
{
	for (size_t i = 0; i < p->plan.table_count; i++)
	{
		const pen_plan_table *table = &p->plan.tables[i];

		for (size_t j = 0; j < table->target_count; j++)
		{
			const pen_plan_target *target = &table->targets[j];
			pen_copy_mark mark = {.state = target->state,
								  .created = target->created,
								  .lsn = p->snapshot.consistent_point};

			if (target->place == place && target->items_left > 0 &&
				place->kind->mark(place->context, place->conn, target->relation, &mark, error) < 0)
				return error->status;
		}
	}
	return PENSTOCK_OK;
}

static penstock_status
begin_place(pass *p, pen_copy_place *place, pen_error *error)
{
	if (pen_pq_execute(place->conn, "BEGIN", error) < 0)
		return error->status;
	if (!place->begun &&
		place->kind->begin(place->context, place->conn, p->snapshot.consistent_point, error) < 0)
		return error->status;
	if (record_tables(p, place, error) < 0)
		return error->status;
	return pen_pq_execute(place->conn, "COMMIT", error);
}

/* A table that comes in parts is emptied before the first of them. */
static penstock_status
clear_place(pass *p, pen_copy_place *place, pen_error *error)
{
	for (size_t i = 0; i < p->plan.table_count; i++)
	{
		const pen_plan_table *table = &p->plan.tables[i];

		for (size_t j = 0; j < table->target_count; j++)
		{
			const pen_plan_target *target = &table->targets[j];
			penstock_status status;
			char *sql;

			if (target->place != place || target->items_left < 2 ||
				(!target->resumed && p->options->mode == PEN_COPY_EMPTY))
				continue;
			sql = pen_plan_empty_sql(target, p->options->for_readers);
			status = sql == NULL
						 ? pen_error_set(error, PENSTOCK_E_RETRY, "out of memory")
						 : pen_waiting_execute(place->conn, sql, p->options->interrupted, error);
			free(sql);
			if (status < 0)
				return pen_error_context(error, "emptying table %s", target->quoted);
		}
	}
	return PENSTOCK_OK;
}

static void
begin_places(pass *p)
{
	for (size_t i = 0; i < p->count; i++)
	{
		pen_copy_place *place = &p->places[i];
		pen_error error;

		if (!takes_part(place))
			continue;
		pen_error_clear(&error);
		if (pen_place_check_seen(place, &error) < 0 || begin_place(p, place, &error) < 0 ||
			clear_place(p, place, &error) < 0)
			pen_place_fail(place, &error);
		else
			place->took_part = true;
	}
}

/* ---- definitions ---- */

static penstock_status
need_dump(pass *p)
{
	if (p->definitions.toc != NULL)
		return PENSTOCK_OK;
	return pen_definitions_dump(&p->definitions, p->options, &p->snapshot, p->error);
}

/* pg_dump tells of tables as they are at the source, and of nothing else. */
static penstock_status
check_unchanged(const pen_copy_place *place, const penstock_relation *relation, pen_error *error)
{
	pen_mapped *mapped;
	bool unchanged;

	if (place->mapping == NULL)
		return PENSTOCK_OK;
	mapped = pen_mapping_resolve(place->mapping, relation, error);
	if (mapped == NULL)
		return error->status;
	unchanged = mapped->relation == relation;
	if (!unchanged)
		pen_error_set(error, PENSTOCK_E_CONFIG,
					  "there is no table %s.%s here, and --create-tables makes tables only as they "
					  "are at the source, but the [table] sections rename %s.%s, or some of its "
					  "columns, or leave some out: create it yourself",
					  mapped->relation->schema, mapped->relation->name, relation->schema,
					  relation->name);
	pen_mapped_free(mapped);
	return unchanged ? PENSTOCK_OK : error->status;
}

/* Note that a table is about to be created, so that it is known as ours whatever happens. */
static penstock_status
note_missing(pass *p, pen_copy_place *place, const pen_catalog_table *listed,
			 pen_definitions_tables *missing, pen_error *error)
{
	pen_copy_mark mark = {.state = PEN_COPY_CREATING, .created = true};
	const penstock_relation *relation;
	penstock_status status;

	status = pen_place_has_table(place, listed->schema, listed->name, error);
	if (status != PENSTOCK_NOT_FOUND)
		return status;
	relation = pen_catalog_read_relation(p->snapshot.reader, listed, error);
	if (relation == NULL)
		return error->status;
	status = check_unchanged(place, relation, error);
	if (status >= 0)
		status = place->kind->mark(place->context, place->conn, relation, &mark, error);
	pen_relation_unref(relation);
	if (status < 0 || pen_place_add_created(place, listed->schema, listed->name, error) < 0)
		return error->status;
	missing->oids[missing->count++] = listed->oid;
	return PENSTOCK_OK;
}

static penstock_status
create_at_place(pass *p, pen_copy_place *place, pen_definitions_tables *missing, pen_error *error)
{
	const pen_catalog_list *list = &p->snapshot.list;

	missing->count = 0;
	for (size_t i = 0; i < list->count; i++)
	{
		const pen_catalog_table *listed = &list->tables[i];

		if (listed->permanent &&
			pen_place_state(place, listed->schema, listed->name, p->options->mode) !=
				PEN_COPY_NONE &&
			note_missing(p, place, listed, missing, error) < 0)
			return error->status;
	}
	if (missing->count == 0)
		return PENSTOCK_OK;
	if (need_dump(p) < 0)
		return p->error->status;
	pen_log_write(p->options->log, PENSTOCK_LOG_INFO, place->name, "creating %zu tables",
				  missing->count);
	return pen_definitions_create(&p->definitions, p->options, &p->snapshot, place, missing, error);
}

static penstock_status
create_tables(pass *p)
{
	pen_definitions_tables missing = {
		.oids = calloc(p->snapshot.list.count + 1, sizeof(*missing.oids))};

	if (missing.oids == NULL)
		return pen_error_set(p->error, PENSTOCK_E_RETRY, "out of memory");
	for (size_t i = 0; i < p->count && p->error->status >= 0; i++)
	{
		pen_copy_place *place = &p->places[i];
		pen_error error;

		pen_error_clear(&error);
		if (takes_part(place) && !place->begun && create_at_place(p, place, &missing, &error) < 0 &&
			error.status < 0)
			pen_place_fail(place, &error);
	}
	free(missing.oids);
	return p->error->status;
}

/* The created tables of a place that have all their rows. */
static void
find_copied(const pass *p, const pen_copy_place *place, pen_definitions_tables *copied)
{
	copied->count = 0;
	for (size_t i = 0; i < p->plan.table_count; i++)
	{
		const pen_plan_table *table = &p->plan.tables[i];

		for (size_t j = 0; j < table->target_count; j++)
		{
			const pen_plan_target *target = &table->targets[j];

			if (target->place == place && target->created &&
				(target->done || target->state == PEN_COPY_COPIED))
				copied->oids[copied->count++] = table->relation->oid;
		}
	}
}

static penstock_status
complete_place(pass *p, pen_copy_place *place, const pen_definitions_tables *copied,
			   pen_error *error)
{
	size_t n = 0;

	if (need_dump(p) < 0)
		return p->error->status;
	pen_log_write(p->options->log, PENSTOCK_LOG_INFO, place->name,
				  "creating indexes and constraints of %zu tables", copied->count);
	if (pen_definitions_complete(&p->definitions, p->options, &p->snapshot, place, copied, error) <
			0 ||
		pen_pq_execute(place->conn, "BEGIN", error) < 0)
		return error->status;
	for (size_t i = 0; i < p->plan.table_count && n < copied->count; i++)
	{
		const penstock_relation *relation = p->plan.tables[i].relation;

		if (relation->oid != copied->oids[n])
			continue;
		if (place->kind->complete(place->context, place->conn, relation, error) < 0)
			return error->status;
		n++;
	}
	return pen_pq_execute(place->conn, "COMMIT", error);
}

static penstock_status
complete_tables(pass *p)
{
	pen_definitions_tables copied = {.oids = calloc(p->plan.table_count + 1, sizeof(*copied.oids))};

	if (copied.oids == NULL)
		return pen_error_set(p->error, PENSTOCK_E_RETRY, "out of memory");
	for (size_t i = 0; i < p->count && p->error->status >= 0; i++)
	{
		pen_copy_place *place = &p->places[i];
		pen_error error;

		if (!takes_part(place))
			continue;
		find_copied(p, place, &copied);
		pen_error_clear(&error);
		if (copied.count > 0 && complete_place(p, place, &copied, &error) < 0 && error.status < 0)
			pen_place_fail(place, &error);
	}
	free(copied.oids);
	return p->error->status;
}

/* ---- a pass ---- */

static bool
any_takes_part(const pass *p)
{
	for (size_t i = 0; i < p->count; i++)
	{
		if (takes_part(&p->places[i]))
			return true;
	}
	return false;
}

static void
tell_plan(const pass *p)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < p->plan.table_count; i++)
		bytes += p->plan.tables[i].bytes;
	pen_log_write(p->options->log, PENSTOCK_LOG_INFO, "copy",
				  "copying %zu tables (%llu MB) as of " LSN_FORMAT, p->plan.table_count,
				  (unsigned long long) (bytes >> 20), LSN_ARGS(p->snapshot.consistent_point));
}

static penstock_status
copy_tables(pass *p)
{
	if (p->options->create_tables && create_tables(p) < 0)
		return p->error->status;
	if (pen_plan_make(&p->plan, p->options, &p->snapshot, p->places, p->count, p->error) < 0)
		return p->error->status;
	begin_places(p);
	if (!any_takes_part(p))
		return PENSTOCK_OK;
	tell_plan(p);
	if (pen_jobs_run(p->options, &p->snapshot, &p->plan, p->places, p->count, &p->completed,
					 p->error) < 0)
		return p->error->status;
	return complete_tables(p);
}

static penstock_status
run_pass(pass *p)
{
	pen_snapshot_options wanted = {
		.conninfo = p->options->source,
		.connect_timeout_ms = p->options->connect_timeout_ms,
		.interrupted = p->options->interrupted,
		.takes = takes,
		.context = p,
	};
	penstock_status status = pen_snapshot_take(&p->snapshot, &wanted, p->error);

	if (status < 0)
		return status;
	status = copy_tables(p);
	pen_plan_reset(&p->plan);
	pen_definitions_reset(&p->definitions);
	pen_snapshot_end(&p->snapshot);
	return status;
}

/* ---- tries ---- */

penstock_status
pen_copy_look(const pen_copy_options *options, pen_copy_place *places, size_t count, bool *needed,
			  pen_error *error)
{
	*needed = false;
	for (size_t i = 0; i < count; i++)
	{
		if (pen_place_open(&places[i], options->fresh, error) < 0)
		{
			/* Nothing is to be copied that we know of: whoever opens it tells the others apart. */
			if (error->status != PENSTOCK_E_RETRY || options->fresh || count == 1)
				return error->status;
			pen_error_clear(error);
		}
		*needed = *needed || places[i].takes_part;
	}
	return PENSTOCK_OK;
}

/* After a pass: open again the places that may succeed in another one. */
static bool
look_again(const pen_copy_options *options, pen_copy_place *places, size_t count, pen_error *error)
{
	bool again = false;

	for (size_t i = 0; i < count; i++)
	{
		pen_copy_place *place = &places[i];
		pen_error own;

		if (!place->takes_part)
			continue;
		if (atomic_load(&place->failed) && place->error.status != PENSTOCK_E_RETRY)
			continue;
		if (atomic_load(&place->failed))
			pen_log_write(options->log, PENSTOCK_LOG_WARNING, place->name, "%s; trying again",
						  place->error.text);
		pen_error_clear(&own);
		if (pen_place_open(place, options->fresh, &own) < 0)
		{
			place->takes_part = true;
			pen_place_fail(place, &own);
			again = again || own.status == PENSTOCK_E_RETRY;
		}
		again = again || place->takes_part;
	}
	if (error->status < 0)
		pen_log_write(options->log, PENSTOCK_LOG_WARNING, "source", "%s; trying again",
					  error->text);
	return again;
}

/* False when an interrupt came. */
static bool
pause_before(const pen_copy_options *options, pen_backoff *backoff)
{
	int64_t until = pen_clock_ms() + pen_backoff_next(backoff);

	while (!atomic_load(options->interrupted) && pen_clock_ms() < until)
	{
		(void) poll(NULL, 0, 50);
		if (options->tick != NULL)
			options->tick(options->tick_context, NULL);
	}
	return !atomic_load(options->interrupted);
}

/* Failed everywhere: then nothing can go on. */
static penstock_status
outcome(pen_copy_place *places, size_t count, pen_error *error)
{
	const pen_error *first = NULL;

	for (size_t i = 0; i < count; i++)
	{
		if (!atomic_load(&places[i].failed))
			return PENSTOCK_OK;
		first = first == NULL ? &places[i].error : first;
	}
	if (first == NULL)
		return PENSTOCK_OK;
	*error = *first;
	return error->status;
}

static penstock_status
run_passes(const pen_copy_options *options, pen_copy_place *places, size_t count, pen_error *error)
{
	pen_backoff backoff = {.first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS};
	int tries = 0;

	for (;;)
	{
		pass p = {.options = options, .places = places, .count = count, .error = error};
		penstock_status status;

		pen_error_clear(error);
		status = run_pass(&p);
		if (atomic_load(options->interrupted))
			return PENSTOCK_DONE;
		if (status < 0 && status != PENSTOCK_E_RETRY)
			return status;
		tries = p.completed > 0 ? 0 : tries + 1;
		if (p.completed > 0)
			backoff.delay_ms = 0;
		if (tries >= TRIES && status < 0)
			return status;
		if (tries >= TRIES || !look_again(options, places, count, error))
			return outcome(places, count, error);
		if (!pause_before(options, &backoff))
			return PENSTOCK_DONE;
	}
}

penstock_status
pen_copy_run(const pen_copy_options *options, pen_copy_place *places, size_t count,
			 pen_error *error)
{
	penstock_status status = run_passes(options, places, count, error);
	size_t set;

	if (status != PENSTOCK_OK || !options->sequences)
		return status;
	status = pen_sequences_set(options, places, count, &set, error);
	if (status < 0)
		return status;
	pen_log_write(options->log, PENSTOCK_LOG_INFO, "copy", "%zu sequences set", set);
	return outcome(places, count, error);
}

void
pen_copy_places_reset(pen_copy_place *places, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pen_place_close(&places[i]);
}
