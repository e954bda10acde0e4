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

#include "follower.h"
#include "event/lsn.h"
#include "pq/pq.h"
#include "receiver.h"

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

static penstock_status
add_worker(penstock *p, size_t n)
{
	const pen_named_uri *named = &p->settings.destinations[n];
	const pen_destination_kind *kind = pen_destination_find(named->uri);
	pen_destination *destination;

	if (kind == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "destination %s: unknown kind of URI \"%.*s…\"; memory:, stdout: and "
							 "postgresql:// are known",
							 named->name, (int) strcspn(named->uri, ":/@"), named->uri);
	p->keys[n] = random_key();
	p->configs[n] = (pen_destination_config){
		.name = named->name,
		.uri = named->uri,
		.route = p->route,
		.log = &p->log,
		.advisory_key = p->keys[n],
		.pipeline_bytes_max = pipeline_bytes(&p->settings),
		.batch_bytes_max = (size_t) p->settings.batch_bytes_max,
		.batch_rows_max = (size_t) p->settings.batch_rows_max,
		.batch_ms = (int) p->settings.batch_ms,
		.table_bytes_max = (size_t) p->settings.table_memory_limit,
		.connect_timeout_ms = (int) p->settings.connect_timeout_ms,
		.allow_triggers = p->settings.allow_triggers != 0,
		.on_conflict = p->settings.on_conflict,
	};
	destination = kind->create(&p->configs[n], &p->error);
	if (destination == NULL)
		return p->error.status;
	p->workers[n] = pen_worker_new(destination, &p->identity, &p->log, pen_receiver_wake, p);
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
		memory = memory || kind == &pen_destination_memory;
	}
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

static penstock_status
create_parts(penstock *p)
{
	p->route = pen_route_new(p->settings.tables, &p->error);
	if (p->route == NULL)
		return p->error.status;
	p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->decoder = pen_decoder_new();
	p->assembler = pen_assembler_new(p->route);
	if (p->wake_fd < 0 || p->decoder == NULL || p->assembler == NULL)
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory or file descriptors");
	for (size_t i = 0; i < p->settings.destination_count; i++)
	{
		if (add_worker(p, i) < 0)
			return p->error.status;
	}
	p->backoff = (pen_backoff){.first_ms = RETRY_FIRST_MS, .max_ms = RETRY_MAX_MS};
	pen_progress_init(&p->progress, p->worker_count);
	return check_kinds(p);
}

/* Databases first (afresh false), later those that load everything. */
static penstock_status
open_destinations(penstock *p, bool afresh)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		if (pen_worker_destination(p->workers[i])->kind->loads_afresh != afresh)
			continue;
		if (pen_worker_open(p->workers[i], &p->error) < 0 ||
			pen_worker_run(p->workers[i], &p->error) < 0)
			return p->error.status;
	}
	return PENSTOCK_OK;
}

/* ---- the source ---- */

static penstock_status
connect_source(penstock *p)
{
	int timeout_ms = (int) p->settings.connect_timeout_ms;

	if (p->control == NULL)
		p->control =
			pen_control_open(p->settings.source, timeout_ms, p->identity.advisory_key, &p->error);
	if (p->control == NULL || pen_control_check_server(p->control, &p->error) < 0)
		return p->error.status;
	p->stream = pen_stream_open(p->settings.source, timeout_ms, &p->error);
	return p->stream != NULL ? PENSTOCK_OK : p->error.status;
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
	identity->connect_timeout_ms = (int) p->settings.connect_timeout_ms;
	identity->sibling_keys = p->keys;
	identity->sibling_count = p->worker_count;
	pen_route_fingerprint(p->route, identity->fingerprint);
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
	if (strcmp(info->wal_status, "lost") == 0)
		return pen_error_set(
			&p->error, PENSTOCK_E_REFUSED,
			"source: slot \"%s\" has lost WAL that it needs (max_slot_wal_keep_size): "
			"changes are lost; drop it, bring the destinations in step, and begin anew",
			p->slot);
	return PENSTOCK_OK;
}

/* Make sure that the slot is there and ours: permanent by name, or a new temporary one. */
static penstock_status
provide_slot(penstock *p)
{
	pen_slot_info info;

	p->temporary = p->settings.slot == NULL;
	if (p->temporary)
	{
		snprintf(p->slot, sizeof(p->slot), "penstock_%d_%08x", (int) getpid(),
				 (unsigned int) random_key());
		return pen_stream_create_slot(p->stream, p->slot, true, NULL, &p->error);
	}
	if (snprintf(p->slot, sizeof(p->slot), "%s", p->settings.slot) >= (int) sizeof(p->slot))
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG,
							 "the slot's name is longer than 63 bytes");
	if (pen_control_slot(p->control, p->slot, &info, &p->error) < 0)
		return p->error.status;
	if (info.exists)
		return check_existing_slot(p, &info);
	if (any_stored(p))
		return pen_error_set(
			&p->error, PENSTOCK_E_REFUSED,
			"source: slot \"%s\" does not exist, but a destination has progress for it: "
			"what was committed since then is lost to a new slot; bring the tables in step, "
			"then DELETE FROM penstock.progress WHERE slot = '%s' at the destinations",
			p->slot, p->slot);
	if (!p->settings.create_slot || p->epoch > 0)
		return pen_error_set(
			&p->error, p->epoch > 0 ? PENSTOCK_E_REFUSED : PENSTOCK_E_CONFIG,
			"source: slot \"%s\" does not exist; create it with penstock slot create, or "
			"run with --create-slot",
			p->slot);
	return pen_stream_create_slot(p->stream, p->slot, false, NULL, &p->error);
}

/* ---- the stream ---- */

/* The lowest position that all destinations have, or 0. */
static uint64_t
lowest_position(penstock *p)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		if (status.state != PEN_WORKER_STOPPED && status.position.durable_lsn < lowest)
			lowest = status.position.durable_lsn;
	}
	return p->temporary || p->subscription_count > 0 || lowest == UINT64_MAX ? 0 : lowest;
}

/* Each destination's stored position against the slot's, before the first feedback. */
static penstock_status
check_positions(penstock *p, uint64_t confirmed_lsn, uint64_t current_lsn)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		/* One that is down is looked at when it is open again: it may have lost what it had. */
		if (status.state == PEN_WORKER_STOPPED || status.state == PEN_WORKER_DOWN ||
			p->refused[i] || !pen_worker_destination(p->workers[i])->kind->keeps_position)
			continue;
		if (pen_progress_check_slot(p->configs[i].name, p->slot, status.position.durable_lsn,
									confirmed_lsn, current_lsn, &p->error) < 0)
		{
			if (p->epoch == 0)
				return p->error.status;
			/* The others go on. */
			p->refused[i] = true;
			if (pen_worker_push_refusal(p->workers[i], &p->error) < 0)
				return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
			pen_error_clear(&p->error);
		}
	}
	return PENSTOCK_OK;
}

static penstock_status
push_start(penstock *p, uint64_t start_lsn)
{
	p->epoch++;
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_worker_status status;

		pen_worker_status_get(p->workers[i], &status);
		p->fed[i] = !p->refused[i] &&
					(status.state == PEN_WORKER_READY || status.state == PEN_WORKER_STREAMING);
		if (p->fed[i] && pen_worker_push_start(p->workers[i], p->epoch, start_lsn) < 0)
			return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	}
	return PENSTOCK_OK;
}

static void
forget_stream(penstock *p, uint64_t start_lsn)
{
	pen_decoder_reset(p->decoder);
	pen_assembler_reset(p->assembler);
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

	if (!connected && (connect_source(p) < 0 || check_identity(p) < 0 || provide_slot(p) < 0))
		return p->error.status;
	from = lowest_position(p);
	if (pen_stream_start(p->stream, p->slot, from, &p->error) < 0 ||
		pen_control_slot(p->control, p->slot, &info, &p->error) < 0 ||
		pen_control_current_lsn(p->control, &current, &p->error) < 0)
		return p->error.status;
	if (check_positions(p, info.confirmed_lsn, current) < 0)
		return p->error.status;
	if (from < info.confirmed_lsn)
		from = info.confirmed_lsn;
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
	if (p->route != NULL)
		return pen_error_set(&p->error, PENSTOCK_E_CONFIG, "already open");
	if (pen_settings_check(&p->settings, p->subscription_count == 0, &p->error) < 0 ||
		pen_pq_check_conninfo(p->settings.source, "source", &p->error) < 0 || create_parts(p) < 0)
		return p->error.status;
	p->identity.advisory_key = random_key();
	if (connect_source(p) < 0 || learn_identity(p) < 0 || open_destinations(p, false) < 0 ||
		find_target(p) < 0 || provide_slot(p) < 0 || open_destinations(p, true) < 0)
		return p->error.status;
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
	pen_stream_close(p->stream);
	pen_control_close(p->control);
	pen_assembler_free(p->assembler);
	pen_decoder_free(p->decoder);
	pen_route_free(p->route);
	pen_statistics_reset(&p->statistics);
	free(p->history);
	if (p->wake_fd >= 0)
		close(p->wake_fd);
	p->stream = NULL;
	p->control = NULL;
	p->assembler = NULL;
	p->decoder = NULL;
	p->route = NULL;
	p->history = NULL;
	p->wake_fd = -1;
}
