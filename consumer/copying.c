/* copying.c -- the initial copy as part of opening: which destinations take part, and the slot that
 * keeps what is committed from then on.
 * The slot exists before the snapshot is taken, so that nothing falls between the two. */
#include <stdatomic.h>
#include <string.h>

#include "follower.h"
#include "destination/postgres/session.h"
#include "destination/postgres/stored.h"
#include "copy/sequences.h"
#include "event/lsn.h"
#include "receiver.h"

/* ---- a database as a place for copy/ ---- */

typedef struct database
{
	const pen_destination_config *config;
	const pen_source_identity *source;
	const pen_log *log;
	pen_feed *feed;
	size_t worker;
	uint64_t confirmed_lsn; /* of the slot, when everything may be copied anew; else 0 */
	uint64_t lost_lsn;      /* its progress, when it cannot be fed from there any more; else 0 */
} database;

static bool
takes(void *context, const char *schema, const char *table)
{
	const database *d = context;

	return pen_mapping_takes(d->config->mapping, schema, table);
}

static PGconn *
connect_database(void *context, pen_error *error)
{
	const database *d = context;

	return pen_postgres_connect(d->config, d->source, error);
}

/* It was detached, or restored to an earlier time: what the slot has let go of is lost to it, and
 * its disk does not have it either. Then what it has is as good as nothing. */
static penstock_status
look_for_loss(database *d, uint64_t lsn, pen_error *error)
{
	d->lost_lsn = 0;
	if (lsn == 0 || pen_feed_resume_lsn(d->feed, lsn) >= d->confirmed_lsn)
		return PENSTOCK_OK;
	pen_log_write(d->log, PENSTOCK_LOG_WARNING, d->config->name,
				  "it has only what was committed before " LSN_FORMAT
				  ", and the slot what comes after " LSN_FORMAT ": everything is copied anew",
				  LSN_ARGS(lsn), LSN_ARGS(d->confirmed_lsn));
	d->lost_lsn = lsn;
	return pen_feed_unpark(d->feed, error);
}

static penstock_status
recall(void *context, PGconn *conn, bool *begun, pen_copy_recall each, pen_copy_place *place,
	   pen_error *error)
{
	database *d = context;
	uint64_t lsn;

	if (pen_stored_prepare(conn, error) < 0 || pen_stored_load(conn, d->source, &lsn, error) < 0 ||
		look_for_loss(d, lsn, error) < 0)
		return error->status;
	*begun = lsn != 0 && d->lost_lsn == 0;
	return pen_stored_unready(conn, d->source, each, place, error);
}

static penstock_status
begin(void *context, PGconn *conn, uint64_t lsn, pen_error *error)
{
	const database *d = context;

	if (d->lost_lsn != 0 && pen_stored_forget(conn, d->source, d->lost_lsn, error) < 0)
		return error->status;
	return pen_stored_begin(conn, d->source, lsn, error);
}

static penstock_status
mark(void *context, PGconn *conn, const penstock_relation *relation, const pen_copy_mark *what,
	 pen_error *error)
{
	const database *d = context;

	return pen_stored_mark(conn, d->source, relation, what, error);
}

static penstock_status
complete(void *context, PGconn *conn, const penstock_relation *relation, pen_error *error)
{
	const database *d = context;

	return pen_stored_complete(conn, d->source, relation, error);
}

static const char *
conninfo(void *context)
{
	const database *d = context;

	return d->config->uri;
}

static const pen_copy_place_kind databases = {
	.takes = takes,
	.connect = connect_database,
	.recall = recall,
	.begin = begin,
	.mark = mark,
	.complete = complete,
	.conninfo = conninfo,
};

/* ---- the copy ---- */

typedef struct copying
{
	penstock *p;
	atomic_bool interrupted;
	pen_copy_options options;
	pen_copy_place places[PEN_SETTINGS_DESTINATIONS_MAX];
	database contexts[PEN_SETTINGS_DESTINATIONS_MAX];
	size_t count;
} copying;

static void
tick(void *context, const pen_copy_progress *progress)
{
	copying *c = context;

	if (c->p->stop_requested)
		atomic_store(&c->interrupted, true);
	if (c->p->on_copy != NULL)
		c->p->on_copy(c->p->on_copy_context, progress);
}

static void
find_places(copying *c)
{
	penstock *p = c->p;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (pen_worker_destination(p->workers[i])->kind != &pen_destination_postgres)
			continue;
		c->contexts[c->count] = (database){.config = &p->configs[i],
										   .source = &p->identities[i],
										   .log = &p->log,
										   .feed = pen_worker_feed(p->workers[i]),
										   .worker = i};
		c->places[c->count].name = p->configs[i].name;
		c->places[c->count].kind = &databases;
		c->places[c->count].context = &c->contexts[c->count];
		c->places[c->count].mapping = p->configs[i].mapping;
		c->places[c->count].allow_triggers = p->configs[i].allow_triggers;
		c->count++;
	}
}

static void
choose_options(copying *c)
{
	const pen_settings *settings = &c->p->settings;

	c->options = (pen_copy_options){
		.source = settings->source,
		.connect_timeout_ms = (int) settings->each.connect_timeout_ms,
		.fresh = settings->copy != 0,
		.mode = (pen_copy_mode) settings->copy_mode,
		.jobs = (int) settings->copy_jobs,
		.split_bytes = settings->copy_jobs > 1 ? (uint64_t) settings->copy_split_bytes : 0,
		.create_tables = settings->create_tables != 0,
		.sequences = settings->sequences != 0,
		.log = &c->p->log,
		.interrupted = &c->interrupted,
		.tick = tick,
		.tick_context = c,
	};
}

/* The destinations whose copy has failed take part in nothing more; the others go on. */
static penstock_status
leave_out_failed(copying *c)
{
	for (size_t i = 0; i < c->count; i++)
	{
		size_t worker = c->contexts[i].worker;
		pen_error error = c->places[i].error;

		if (error.status >= 0)
			continue;
		/* Whatever it was, the worker cannot mend it. */
		error.status = PENSTOCK_E_REFUSED;
		c->p->refused[worker] = true;
		if (pen_worker_push_refusal(c->p->workers[worker], &error) < 0)
			return pen_error_set(&c->p->error, PENSTOCK_E_RETRY, "out of memory");
	}
	return PENSTOCK_OK;
}

/* Where it is asked for, a destination that has lost something is copied anew. */
static penstock_status
learn_confirmed(copying *c)
{
	penstock *p = c->p;
	pen_slot_info info;

	if (!c->options.fresh)
		return PENSTOCK_OK;
	if (pen_control_slot(p->control, p->settings.slot, &info, &p->error) < 0)
		return p->error.status;
	for (size_t i = 0; i < c->count && info.exists; i++)
		c->contexts[i].confirmed_lsn = info.confirmed_lsn;
	return PENSTOCK_OK;
}

static bool
any_begun(const copying *c)
{
	for (size_t i = 0; i < c->count; i++)
	{
		if (c->places[i].begun)
			return true;
	}
	return false;
}

static penstock_status
copy(copying *c)
{
	penstock *p = c->p;
	bool needed = false;
	penstock_status status;

	if (learn_confirmed(c) < 0)
		return p->error.status;
	if (pen_copy_look(&c->options, c->places, c->count, &needed, &p->error) < 0)
		return p->error.status;
	if (!needed)
		return PENSTOCK_OK;
	if (pen_receiver_provide_slot(p, any_begun(c)) < 0)
		return p->error.status;
	status = pen_copy_run(&c->options, c->places, c->count, &p->error);
	/* They have been idle for as long as it took. */
	pen_stream_close(p->stream);
	pen_control_close(p->control);
	p->stream = NULL;
	p->control = NULL;
	return status == PENSTOCK_OK ? leave_out_failed(c) : status;
}

penstock_status
pen_receiver_copy(penstock *p)
{
	copying c = {.p = p};
	penstock_status status;

	find_places(&c);
	if (c.count == 0)
		return p->settings.copy ? pen_error_set(&p->error, PENSTOCK_E_CONFIG,
												"--copy needs a database as destination; tables in "
												"memory load existing rows anyway")
								: PENSTOCK_OK;
	choose_options(&c);
	status = copy(&c);
	pen_copy_places_reset(c.places, c.count);
	return status;
}

/* ---- sequences, on request ---- */

static penstock_status
first_failure(copying *c)
{
	for (size_t i = 0; i < c->count; i++)
	{
		if (c->places[i].error.status < 0)
		{
			c->p->error = c->places[i].error;
			return c->p->error.status;
		}
	}
	return PENSTOCK_OK;
}

penstock_status
pen_receiver_set_sequences(penstock *p, size_t *set)
{
	copying c = {.p = p};
	penstock_status status;

	find_places(&c);
	if (c.count == 0)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "sequences are set in databases: name one with --to");
	choose_options(&c);
	p->identity.sibling_keys = p->keys;
	p->identity.sibling_count = p->worker_count;
	for (size_t i = 0; i < p->worker_count; i++)
		p->identities[i] = p->identity;
	p->control = pen_control_open(p->settings.source, (int) p->settings.each.connect_timeout_ms,
								  p->identity.advisory_key, &p->error);
	if (p->control == NULL)
		return p->error.status;
	status = pen_sequences_set(&c.options, c.places, c.count, set, &p->error);
	pen_copy_places_reset(c.places, c.count);
	return status < 0 ? status : first_failure(&c);
}

/* ---- one table anew, on request ---- */

penstock_status
pen_receiver_resync(penstock *p, const char *destination, const char *schema, const char *table)
{
	const pen_table_name here = {schema, table};
	pen_table_name there;
	size_t asked = 0;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_destination *d = pen_worker_destination(p->workers[i]);

		if (d->kind != &pen_destination_postgres || p->refused[i] ||
			(destination != NULL && strcmp(destination, p->configs[i].name) != 0) ||
			!pen_mapping_takes(p->configs[i].mapping, schema, table))
			continue;
		if (pen_mapping_name(p->configs[i].mapping, &here, &there, &p->error) < 0 ||
			pen_postgres_resync(d, there.schema, there.name, &p->error) < 0)
			return p->error.status;
		pen_worker_nudge(p->workers[i]);
		asked++;
	}
	if (asked > 0)
		return PENSTOCK_OK;
	return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
						 "no database %s%stakes table %s.%s, so it cannot be copied anew",
						 destination != NULL ? destination : "", destination != NULL ? " " : "",
						 schema, table);
}
