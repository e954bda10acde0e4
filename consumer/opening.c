/* opening.c -- from settings to a stream that runs.
 * Databases are opened before the slot is touched, and memory tables are loaded after it exists:
 * so no commit can fall between what they have and where the stream begins. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/failpoint.h"
#include "event/lsn.h"
#include "giving.h"
#include "pq/pq.h"
#include "receiver.h"
#include "survey.h"
#include "tables.h"
#include "wanted.h"

#define RETRY_FIRST_MS     200
#define RETRY_MAX_MS       15000
#define FINISH_MS          3000
#define SLOT_BUSY_MS       3000
#define PIPELINE_BYTES_MAX (8 * 1024 * 1024)

/* ---- destinations ---- */

static int64_t
random_key(void)
{
	int64_t key;

	if (getrandom(&key, sizeof(key), 0) != (ssize_t) sizeof(key))
		key = pen_clock_postgres_us() ^ (int64_t) getpid() << 40;
	return key & INT64_MAX;
}

/* A share of the memory limit: half is for chunks, a quarter for all pipelines. */
static size_t
pipeline_bytes(const pen_settings *settings)
{
	size_t share = (size_t) settings->memory_limit / 4 / settings->destination_count;

	return share < PIPELINE_BYTES_MAX ? share : PIPELINE_BYTES_MAX;
}

/* What waits for a destination. Only one that keeps its own position can be fed from disk: it can
 * tell what it has. A quarter of the memory is for one that is behind; the others need some too. */
static pen_feed *
new_feed(penstock *p, const pen_named_destination *named, const pen_destination_kind *kind)
{
	pen_feed_options options = {
		.spool = {.bytes_max = (uint64_t) named->options.spool_bytes_max,
				  .wake = pen_receiver_wake,
				  .wake_context = p},
		.queue_bytes_max = (size_t) p->settings.memory_limit / 4,
	};
	char *directory = NULL;
	char name[80];
	pen_feed *feed;

	if (kind->keeps_position && options.spool.bytes_max > 0 && pen_statedir_path(p->state) != NULL)
	{
		snprintf(name, sizeof(name), "spool/%.64s", named->name);
		directory = pen_statedir_make(p->state, name, &p->error);
		if (directory == NULL)
			return NULL;
	}
	options.spool.directory = directory;
	feed = pen_feed_new(&options, &p->error);
	if (feed == NULL)
		pen_error_context(&p->error, "destination %s", named->name);
	free(directory);
	return feed;
}

static penstock_status
add_worker(penstock *p, size_t n)
{
	const pen_named_destination *named = &p->settings.destinations[n];
	const pen_destination_options *options = &named->options;
	const pen_destination_kind *kind = pen_destination_find(named->uri);
	pen_destination *destination;
	pen_feed *feed;

	if (kind == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "destination %s: unknown kind of URI \"%.*s…\"; memory:, stdout: and "
							 "postgresql:// are known",
							 named->name, (int) strcspn(named->uri, ":/@"), named->uri);
	p->mappings[n] = pen_mapping_new(p->route, options->tables, named->name, p->settings.rules,
									 p->settings.rule_count, &p->error);
	if (p->mappings[n] == NULL)
		return p->error.status;
	if (pen_amendments_pick(&p->amendments, named->name, &p->amended[n], &p->error) < 0)
		return p->error.status;
	pen_mapping_amend(p->mappings[n], &p->amended[n]);
	p->keys[n] = random_key();
	p->configs[n] = (pen_destination_config){
		.name = named->name,
		.uri = named->uri,
		.mapping = p->mappings[n],
		.log = &p->log,
		.advisory_key = p->keys[n],
		.pipeline_bytes_max = pipeline_bytes(&p->settings),
		.batch_bytes_max = (size_t) options->batch_bytes_max,
		.batch_rows_max = (size_t) options->batch_rows_max,
		.batch_ms = (int) options->batch_ms,
		.table_bytes_max = (size_t) p->settings.table_memory_limit,
		.connect_timeout_ms = (int) options->connect_timeout_ms,
		.allow_triggers = options->allow_triggers != 0,
		.apply_ahead = options->apply_ahead != 0,
		.on_conflict = (pen_conflict_policy) options->on_conflict,
	};
	destination = kind->create(&p->configs[n], &p->error);
	if (destination == NULL)
		return p->error.status;
	feed = new_feed(p, named, kind);
	if (feed == NULL)
	{
		kind->destroy(destination);
		return p->error.status;
	}
	p->workers[n] =
		pen_worker_new(destination, feed, &p->identities[n], &p->log, pen_receiver_wake, p);
	if (p->workers[n] == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	p->worker_count++;
	return PENSTOCK_OK;
}

/* What the settings ask for, against what the destinations are. */
static penstock_status
check_kinds(penstock *p)
{
	bool keeps_position = false;
	bool memory = false;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		const pen_destination_kind *kind = pen_worker_destination(p->workers[i])->kind;

		keeps_position = keeps_position || kind->keeps_position;
		if (p->settings.two_phase && !kind->prepares)
			return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
								 "destination %s cannot take prepared transactions; run without "
								 "--two-phase, and they come at their commit",
								 p->configs[i].name);
		memory = memory || kind == &pen_destination_memory;
	}
	if (p->settings.two_phase && p->subscription_count > 0)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "callbacks cannot take prepared transactions; without two-phase they "
							 "come at their commit");
	if (keeps_position && p->settings.slot == NULL)
		return pen_error_set(
			&p->error, PENSTOCK_E_CONFIG,
			"a database as destination needs a slot that outlives the consumer: --slot "
			"NAME, and --create-slot the first time");
	if (p->settings.dump_tables != NULL && !memory)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "--dump-tables needs a destination memory: beside the others; add "
							 "--to memory:");
	return PENSTOCK_OK;
}

/* What was changed while it ran goes on holding. */
static penstock_status
read_amendments(penstock *p)
{
	const char *directory = pen_statedir_path(p->state);
	char *path = NULL;

	if (directory == NULL)
		return PENSTOCK_OK;
	if (asprintf(&path, "%s/" PEN_TABLES_FILE, directory) < 0)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	(void) pen_amendments_read(&p->amendments, path, &p->error);
	free(path);
	return p->error.status;
}

penstock_status
pen_receiver_create_parts(penstock *p)
{
	p->route = pen_route_new(p->settings.each.tables, &p->error);
	if (p->route == NULL)
		return p->error.status;
	p->state = pen_statedir_open(p->settings.state_dir, p->settings.slot, &p->error);
	if (p->state == NULL)
		return p->error.status;
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->woken = false;
	p->decoder = pen_decoder_new();
	p->assembler = pen_assembler_new(p->route);
	if (p->wake_fd < 0 || p->decoder == NULL || p->assembler == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory or file descriptors");
	pen_decoder_defer_streams(p->decoder);
	if (read_amendments(p) < 0)
		return p->error.status;
	pen_assembler_amend(p->assembler, &p->amendments);
	pen_assembler_limit(p->assembler, p->state, (size_t) p->settings.memory_limit / 4);
	for (size_t i = 0; i < p->settings.destination_count; i++)
	{
		if (add_worker(p, i) < 0)
			return p->error.status;
	}
	pen_giving_begin(p);
	p->identity.advisory_key = random_key();
	p->backoff = (pen_backoff){.first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS};
	pen_progress_init(&p->progress, p->worker_count);
	return PENSTOCK_OK;
}

/* A stop that comes before it is known what is being opened is seen here, a later one there. */
static penstock_status
open_worker(penstock *p, pen_worker *worker, pen_error *error)
{
	penstock_status status;

	atomic_store(&p->opening, worker);
	if (p->stop_requested)
		pen_worker_interrupt(worker);
	status = pen_worker_open(worker, error);
	atomic_store(&p->opening, NULL);
	return status;
}

/*
 * Databases first (afresh false), later those that load everything. One that is down
 * does not keep the others waiting; but where nobody is up, there is nothing to begin.
 */
static penstock_status
open_destinations(penstock *p, bool afresh)
{
	pen_error first = {0};
	size_t open = 0;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_error down;
		bool up;

		if (pen_worker_destination(p->workers[i])->kind->loads_afresh != afresh)
			continue;
		pen_error_clear(&down);
		/* One whose copy has failed is told so by what was pushed to it. */
		up = p->refused[i] || open_worker(p, p->workers[i], &down) >= 0;
		if (!up && (down.status != PENSTOCK_E_RETRY || p->worker_count == 1))
		{
			p->error = down;
			return down.status;
		}
		if (!up && first.status >= 0)
			first = down;
		open += up;
		if (pen_worker_run(p->workers[i], up ? NULL : &down, &p->error) < 0)
			return p->error.status;
	}
	if (open > 0 || first.status >= 0)
		return PENSTOCK_OK;
	p->error = first;
	return first.status;
}

/* ---- the source ---- */

static penstock_status
connect_source(penstock *p)
{
	int timeout_ms = (int) p->settings.each.connect_timeout_ms;

	if (p->control == NULL)
		p->control =
			pen_control_open(p->settings.source, timeout_ms, p->identity.advisory_key, &p->error);
	if (p->control == NULL || pen_control_check_server(p->control, &p->error) < 0)
		return p->error.status;
	p->stream = pen_stream_open(p->settings.source, timeout_ms, &p->error);
	return p->stream != NULL ? PENSTOCK_OK : p->error.status;
}

/* What is filtered by the plugin is filtered too. */
static void
take_origin(penstock *p, char fingerprint[17])
{
	char text[64];

	if (p->settings.origin == PEN_ORIGIN_ANY)
		return;
	snprintf(text, sizeof(text), "%s origin=none", fingerprint);
	snprintf(fingerprint, 17, "%016llx", (unsigned long long) XXH64(text, strlen(text), 0));
}

static penstock_status
learn_identity(penstock *p)
{
	const pen_stream_system *system = pen_stream_identify(p->stream);
	pen_source_identity *identity = &p->identity;

	if (pen_stream_history(p->stream, &p->history, &identity->history_count, &p->error) < 0)
		return p->error.status;
	identity->history = p->history;
	memcpy(identity->system_identifier, system->identifier, sizeof(identity->system_identifier));
	memcpy(identity->database, system->database, sizeof(identity->database));
	identity->timeline = system->timeline;
	identity->conninfo = p->settings.source;
	identity->slot = p->settings.slot;
	identity->connect_timeout_ms = (int) p->settings.each.connect_timeout_ms;
	identity->sibling_keys = p->keys;
	identity->sibling_count = p->worker_count;
	pen_route_fingerprint(p->route, identity->fingerprint);
	take_origin(p, identity->fingerprint);
	for (size_t i = 0; i < p->worker_count; i++)
	{
		p->identities[i] = *identity;
		pen_mapping_fingerprint(p->mappings[i], p->identities[i].fingerprint);
		take_origin(p, p->identities[i].fingerprint);
		memcpy(p->identities[i].plain_fingerprint, p->identities[i].fingerprint,
			   sizeof(p->identities[i].plain_fingerprint));
		pen_tables_identify(p, i);
	}
	return PENSTOCK_OK;
}

/* After a reconnection: is this still the server that the destinations were checked against? */
static penstock_status
check_identity(penstock *p)
{
	const pen_stream_system *system = pen_stream_identify(p->stream);

	if (strcmp(system->identifier, p->identity.system_identifier) != 0)
		return pen_error_set(
			&p->error, PENSTOCK_E_REFUSED,
			"source: system %s answers where %s did: rows could be lost or doubled; check "
			"the connection string",
			system->identifier, p->identity.system_identifier);
	p->source_moved = system->timeline != p->identity.timeline;
	if (p->source_moved)
		return pen_error_set(
			&p->error, PENSTOCK_E_RETRY,
			"source: it is on timeline %u now, %u before (promoted); start again, so that "
			"progress is checked against its history",
			system->timeline, p->identity.timeline);
	return PENSTOCK_OK;
}

static bool
any_stored(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		if (status.stored_lsn != 0)
			return true;
	}
	return false;
}

static penstock_status
check_existing_slot(penstock *p, const pen_slot_info *info)
{
	if (!info->logical || strcmp(info->plugin, "penstock") != 0)
		return pen_error_set(
			&p->error, PENSTOCK_E_CONFIG,
			"source: slot \"%s\" belongs to %s%s, not to penstock; choose another name, or "
			"drop it if nobody needs it",
			p->slot, info->logical ? "plugin " : "physical replication", info->plugin);
	if (strcmp(info->database, p->identity.database) != 0)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "source: slot \"%s\" is of database \"%s\", but this is \"%s\"",
							 p->slot, info->database, p->identity.database);
	if (info->two_phase != (p->settings.two_phase != 0))
		return pen_error_set(
			&p->error, PENSTOCK_E_CONFIG,
			info->two_phase
				? "source: slot \"%s\" was created for prepared transactions, of which some may be "
				  "under way: run with --two-phase"
				: "source: slot \"%s\" was not created for prepared transactions: run without "
				  "--two-phase, or drop it, create it with --two-phase, and bring the "
				  "destinations in step",
			p->slot);
	if (strcmp(info->wal_status, "lost") == 0)
		return pen_error_set(
			&p->error, PENSTOCK_E_REFUSED,
			"source: slot \"%s\" has lost WAL that it needs (max_slot_wal_keep_size): "
			"changes are lost; drop it, bring the destinations in step, and begin anew",
			p->slot);
	return PENSTOCK_OK;
}

static penstock_status
create_slot(penstock *p)
{
	const pen_stream_slot slot = {.name = p->slot,
								  .temporary = p->temporary,
								  .two_phase = p->settings.two_phase != 0,
								  .stop = &p->stop_requested};

	if (pen_stream_create_slot(p->stream, &slot, NULL, &p->error) < 0)
		return p->error.status;
	PEN_FAILPOINT("slot-created");
	return PENSTOCK_OK;
}

penstock_status
pen_receiver_provide_slot(penstock *p, bool stored)
{
	pen_slot_info info;

	p->temporary = p->settings.slot == NULL;
	if (p->temporary)
	{
		snprintf(p->slot, sizeof(p->slot), "penstock_%d_%08x", (int) getpid(),
				 (unsigned int) random_key());
		return create_slot(p);
	}
	if (snprintf(p->slot, sizeof(p->slot), "%s", p->settings.slot) >= (int) sizeof(p->slot))
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "the slot's name is longer than 63 bytes");
	if (pen_control_slot(p->control, p->slot, &info, &p->error) < 0)
		return p->error.status;
	p->slot_lsn = info.exists ? info.confirmed_lsn : 0;
	if (info.exists)
		return check_existing_slot(p, &info);
	if (stored)
		return pen_error_set(
			&p->error, PENSTOCK_E_REFUSED,
			"source: slot \"%s\" does not exist, but a destination has progress for it: "
			"what was committed since then is lost to a new slot; bring the tables in step, "
			"then DELETE FROM penstock.progress WHERE slot = '%s' at the destinations",
			p->slot, p->slot);
	if ((!p->settings.create_slot && !p->settings.copy) || p->epoch > 0)
		return pen_error_set(
			&p->error, p->epoch > 0 ? PENSTOCK_E_REFUSED : PENSTOCK_E_CONFIG,
			"source: slot \"%s\" does not exist; create it with penstock slot create, or "
			"run with --create-slot, or --copy for the rows that exist, too",
			p->slot);
	return create_slot(p);
}

/* ---- the stream ---- */

/* The lowest position that all destinations have which may take part, or 0. */
static uint64_t
lowest_position(penstock *p)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;
		uint64_t lsn = pen_survey_resume_lsn(p, i);

		pen_worker_status_get(p->workers[i], &status);
		if (((status.state != PEN_WORKER_STOPPED && status.state != PEN_WORKER_PAUSED) ||
			 p->parked[i]) &&
			lsn < lowest)
			lowest = lsn;
	}
	return p->temporary || p->subscription_count > 0 || lowest == UINT64_MAX ? 0 : lowest;
}

/* One that cannot go on stops alone. */
static penstock_status
refuse_worker(penstock *p, size_t i, const pen_error *refusal)
{
	p->refused[i] = true;
	if (pen_worker_push_refusal(p->workers[i], refusal) < 0)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	return PENSTOCK_OK;
}

/* One that is down is looked at when it is open again: it may have lost what it had. */
static bool
fits_slot(penstock *p, size_t i, const pen_worker_status *status, uint64_t confirmed_lsn,
		  uint64_t current_lsn)
{
	return status->state == PEN_WORKER_DOWN || status->state == PEN_WORKER_PAUSED ||
		   !pen_worker_destination(p->workers[i])->kind->keeps_position ||
		   pen_progress_check_slot(p->configs[i].name, p->slot, pen_survey_resume_lsn(p, i),
								   confirmed_lsn, current_lsn, &p->error) >= 0;
}

/* Each destination's stored position against the slot's, before the first feedback. At the start,
 * where none is left, that is the error of all. */
static penstock_status
check_positions(penstock *p, uint64_t confirmed_lsn, uint64_t current_lsn)
{
	pen_error *refusals = calloc(p->worker_count + 1, sizeof(*refusals));
	size_t first = p->worker_count;
	size_t left = 0;

	if (refusals == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		if (status.state == PEN_WORKER_STOPPED || p->refused[i])
			continue;
		if (fits_slot(p, i, &status, confirmed_lsn, current_lsn))
			left++;
		else
		{
			refusals[i] = p->error;
			first = first < i ? first : i;
		}
	}
	pen_error_clear(&p->error);
	if (p->epoch == 0 && left == 0 && first < p->worker_count)
		p->error = refusals[first];
	for (size_t i = 0; i < p->worker_count && p->error.status >= 0; i++)
	{
		if (refusals[i].status < 0)
			(void) refuse_worker(p, i, &refusals[i]);
	}
	free(refusals);
	return p->error.status;
}

static penstock_status
push_start(penstock *p, uint64_t start_lsn)
{
	p->epoch++;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		p->fed[i] = pen_survey_is_fed(p, i);
		if (p->fed[i] && pen_worker_push_start(p->workers[i], p->epoch, start_lsn, &p->error) < 0)
			return p->error.status;
	}
	return PENSTOCK_OK;
}

static void
forget_stream(penstock *p, uint64_t start_lsn)
{
	pen_decoder_reset(p->decoder);
	pen_assembler_reset(p->assembler);
	pen_assembler_start(p->assembler, start_lsn);
	pen_statistics_forget_relations(&p->statistics);
	if (p->called_lsn != 0 && start_lsn > p->called_lsn && p->subscription_count > 0)
		pen_log_write(&p->log, PENSTOCK_LOG_WARNING, "source",
					  "the temporary slot was lost: changes from " LSN_FORMAT " to " LSN_FORMAT
					  " were not reported; use a slot of your own",
					  LSN_ARGS(p->called_lsn), LSN_ARGS(start_lsn));
	p->skipping_callbacks = false;
	p->delivered_lsn = start_lsn;
	p->advanced_lsn = 0;
	p->finishing = p->stop_requested != 0;
}

penstock_status
pen_receiver_begin_stream(penstock *p)
{
	uint64_t from;
	uint64_t current;
	pen_slot_info info;
	bool connected = p->stream != NULL;

	if (!connected && (connect_source(p) < 0 || check_identity(p) < 0 ||
					   pen_receiver_provide_slot(p, any_stored(p)) < 0))
		return p->error.status;
	pen_survey_check_spools(p);
	from = lowest_position(p);
	if (pen_wanted_start(p, from) < 0 ||
		pen_control_slot(p->control, p->slot, &info, &p->error) < 0 ||
		pen_control_current_lsn(p->control, &current, &p->error) < 0)
		return p->error.status;
	if (check_positions(p, info.confirmed_lsn, current) < 0)
		return p->error.status;
	if (from < info.confirmed_lsn)
		from = info.confirmed_lsn;
	pen_survey_check_start(p, from);
	forget_stream(p, from);
	pen_log_write(&p->log, PENSTOCK_LOG_INFO, "source", "streaming from slot \"%s\" at " LSN_FORMAT,
				  p->slot, LSN_ARGS(from));
	return push_start(p, from);
}

/* ---- open and close ---- */

/* Memory tables can be read once their worker has seen the stream begin: wait for that, so that
 * look-ups work as soon as all is open. */
static void
wait_for_tables(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		if (!pen_worker_destination(p->workers[i])->kind->loads_afresh)
			continue;
		do
		{
			(void) poll(NULL, 0, 1);
			pen_worker_status_get(p->workers[i], &status);
		} while (status.state == PEN_WORKER_READY && status.wants_epoch <= p->epoch);
	}
}

/* The walsender of a consumer that has just died may hold the slot for a moment. */
static penstock_status
begin_first_stream(penstock *p)
{
	int64_t deadline = pen_clock_ms() + SLOT_BUSY_MS;
	penstock_status status;

	for (;;)
	{
		status = pen_receiver_begin_stream(p);
		if (status >= 0 || strcmp(p->error.sqlstate, "55006") != 0 || p->stop_requested ||
			pen_clock_ms() >= deadline)
			return status;
		(void) poll(NULL, 0, SLOT_BUSY_MS / 20);
	}
}

/* Where `until` ends. Commits with synchronous_commit=off may not be flushed yet; the WAL writer
 * does that within a second, and what it does not flush holds no commit. */
static penstock_status
find_target(penstock *p)
{
	uint64_t lsn;

	if (p->settings.until == NULL)
		return PENSTOCK_OK;
	if (strcmp(p->settings.until, "current") != 0)
	{
		(void) pen_pq_parse_lsn(p->settings.until, &p->target_lsn);
		return PENSTOCK_OK;
	}
	if (pen_control_settled_lsn(p->control, &lsn, &p->error) < 0)
		return p->error.status;
	p->target_lsn = lsn;
	return PENSTOCK_OK;
}

penstock_status
pen_receiver_open(penstock *p)
{
	penstock_status status;

	if (p->route != NULL)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG, "already open");
	if (pen_settings_check(&p->settings, p->subscription_count == 0, &p->error) < 0 ||
		pen_pq_check_conninfo(p->settings.source, "source", &p->error) < 0 ||
		pen_receiver_create_parts(p) < 0 || check_kinds(p) < 0)
		return p->error.status;
	if (connect_source(p) < 0 || learn_identity(p) < 0 || pen_wanted_check(p) < 0)
		return p->error.status;
	status = pen_receiver_copy(p);
	if (status != PENSTOCK_OK)
		return status;
	if (p->stream == NULL && (connect_source(p) < 0 || check_identity(p) < 0))
		return p->error.status;
	if (open_destinations(p, false) < 0 || find_target(p) < 0)
		return p->error.status;
	if (pen_receiver_provide_slot(p, any_stored(p)) < 0 || open_destinations(p, true) < 0)
		return p->stop_requested ? PENSTOCK_DONE : p->error.status;
	if (begin_first_stream(p) < 0)
		return p->error.status;
	wait_for_tables(p);
	return PENSTOCK_OK;
}

void
pen_receiver_close(penstock *p)
{
	pen_error ignored;

	if (p->stream != NULL && p->done)
		(void) pen_stream_finish(p->stream, FINISH_MS, &ignored);
	for (size_t i = 0; i < p->worker_count; i++)
		pen_worker_free(p->workers[i]);
	p->worker_count = 0;
	for (size_t i = 0; i < PEN_SETTINGS_DESTINATIONS_MAX; i++)
	{
		pen_mapping_free(p->mappings[i]);
		p->mappings[i] = NULL;
		pen_amendments_reset(&p->amended[i]);
	}
	pen_stream_close(p->stream);
	pen_control_close(p->control);
	pen_assembler_free(p->assembler);
	pen_decoder_free(p->decoder);
	pen_amendments_reset(&p->amendments);
	pen_route_free(p->route);
	pen_statistics_reset(&p->statistics);
	pen_statedir_close(p->state);
	free(p->history);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	p->stream = NULL;
	p->control = NULL;
	p->assembler = NULL;
	p->decoder = NULL;
	p->route = NULL;
	p->state = NULL;
	p->history = NULL;
	p->wake_fd = -1;
}
