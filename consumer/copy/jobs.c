/* jobs.c -- several COPYs at a time.
 * A table that is copied in one piece is emptied, filled and recorded in one transaction of the
 * destination; one in several pieces is recorded when the last of them is committed. */
#include "copy/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "copy/pipe.h"
#include "copy/place.h"
#include "copy/waiting.h"
#include "pq/pq.h"

#define TICK_MS 250

typedef struct jobs
{
	const pen_copy_options *options;
	const pen_snapshot *snapshot;
	pen_plan *plan;
	pen_copy_place *places;
	size_t place_count;
	int64_t began_ms;
	atomic_bool stop;               /* an interrupt, or the source failed */
	pen_copy_table_progress *shown; /* by table, as of the last tick */

	pthread_mutex_t lock; /* for all below, and the plan's counts */
	pthread_cond_t ended;
	size_t next_item;
	size_t running; /* threads */
	size_t completed;
	pen_copy_table_progress *progress; /* by table */
	pen_error error;                   /* of the source */
} jobs;

/* One thread. */
typedef struct job
{
	jobs *all;
	pthread_t thread;
	PGconn *source;
	PGconn *conns[PEN_COPY_PLACES_MAX];
	pen_plan_item *item; /* that it is at */
	uint64_t counted;    /* its rows, by messages */
} job;

/* ---- failing ---- */

static void
source_failed(jobs *all, const pen_error *error)
{
	pthread_mutex_lock(&all->lock);
	if (all->error.status == PENSTOCK_OK)
		all->error = *error;
	pthread_mutex_unlock(&all->lock);
	atomic_store(&all->stop, true);
}

static void
place_failed(job *j, pen_plan_target *target, pen_error *error)
{
	jobs *all = j->all;

	/* What the destination does not take is about a row. */
	if (error->status == PENSTOCK_E_CONFIG && strncmp(error->sqlstate, "42", 2) != 0)
		error->status = PENSTOCK_E_DATA;
	pen_error_context(error, "copying table %s", target->quoted);
	pthread_mutex_lock(&all->lock);
	pen_place_fail(target->place, error);
	pthread_mutex_unlock(&all->lock);
}

/* ---- connections ---- */

static PGconn **
connection_of(job *j, const pen_plan_target *target)
{
	return &j->conns[target->place - j->all->places];
}

static penstock_status
connect_target(job *j, pen_plan_target *target, pen_error *error)
{
	PGconn **conn = connection_of(j, target);

	if (*conn == NULL)
		*conn = target->place->kind->connect(target->place->context, error);
	return *conn != NULL ? PENSTOCK_OK : error->status;
}

static penstock_status
connect_job_source(job *j, pen_error *error)
{
	if (j->source == NULL)
		j->source = pen_snapshot_join(j->all->snapshot, error);
	return j->source != NULL ? PENSTOCK_OK : error->status;
}

/* ---- an item at a target ---- */

/* Rows of an earlier try, or those that are to go. */
static penstock_status
clear_target(job *j, const pen_plan_target *target, PGconn *conn, pen_error *error)
{
	penstock_status status;
	char *sql;

	if (target->state == PEN_COPY_APPENDING)
		return PENSTOCK_OK;
	if (!target->resumed && j->all->options->mode == PEN_COPY_EMPTY)
	{
		status = pen_place_is_empty(conn, target->quoted, target->partitioned, error);
		return status != PENSTOCK_AGAIN
				   ? status
				   : pen_error_set(error, PENSTOCK_E_REFUSED,
								   "somebody else has put rows there in the meantime");
	}
	sql = pen_plan_empty_sql(target, j->all->options->for_readers);
	status = sql == NULL ? pen_error_set(error, PENSTOCK_E_RETRY, "out of memory")
						 : pen_waiting_execute(conn, sql, &j->all->stop, error);
	free(sql);
	return status;
}

static penstock_status
begin_target(job *j, pen_plan_target *target, pen_error *error)
{
	PGconn *conn;

	if (connect_target(j, target, error) < 0)
		return error->status;
	conn = *connection_of(j, target);
	if (pen_pq_execute(conn, "BEGIN", error) < 0)
		return error->status;
	return j->item->whole ? clear_target(j, target, conn, error) : PENSTOCK_OK;
}

static penstock_status
record(job *j, pen_plan_target *target, uint64_t rows, pen_error *error)
{
	pen_copy_mark mark = {
		.state = target->created ? PEN_COPY_COPIED : PEN_COPY_READY,
		.created = target->created,
		.lsn = j->all->snapshot->consistent_point,
		.rows = rows,
	};

	return target->place->kind->mark(target->place->context, *connection_of(j, target),
									 target->relation, &mark, error);
}

/* Counts the item; is the target complete by it? */
static bool
count_item(job *j, pen_plan_target *target, uint64_t rows)
{
	bool last;

	pthread_mutex_lock(&j->all->lock);
	target->rows += rows;
	last = --target->items_left == 0;
	pthread_mutex_unlock(&j->all->lock);
	return last;
}

static penstock_status
commit_target(job *j, pen_plan_target *target, uint64_t rows, pen_error *error)
{
	PGconn *conn = *connection_of(j, target);

	PEN_FAILPOINT("copied");
	if (j->item->whole && record(j, target, rows, error) < 0)
		return error->status;
	PEN_FAILPOINT("copy-recorded");
	if (pen_waiting_execute(conn, "COMMIT", NULL, error) < 0)
		return error->status;
	PEN_FAILPOINT("copy-committed");
	if (!count_item(j, target, rows))
		return PENSTOCK_OK;
	if (!j->item->whole && record(j, target, target->rows, error) < 0)
		return error->status;
	pthread_mutex_lock(&j->all->lock);
	target->done = true;
	j->all->completed++;
	pthread_mutex_unlock(&j->all->lock);
	return PENSTOCK_OK;
}

/* ---- an item ---- */

static void
count_passed(void *context, uint64_t rows, uint64_t bytes)
{
	job *j = context;
	pen_copy_table_progress *progress = &j->all->progress[j->item->table->number];

	j->counted += rows;
	pthread_mutex_lock(&j->all->lock);
	progress->rows += rows;
	progress->bytes += bytes;
	pthread_mutex_unlock(&j->all->lock);
}

typedef struct attempt
{
	pen_pipe_end ends[PEN_COPY_PLACES_MAX];
	pen_plan_target *targets[PEN_COPY_PLACES_MAX];
	size_t count;
} attempt;

static void
free_ends(attempt *a)
{
	for (size_t i = 0; i < a->count; i++)
		free((char *) a->ends[i].sql);
}

/* Begin a transaction in each place that still takes part. */
static void
begin_targets(job *j, attempt *a)
{
	pen_plan_table *table = j->item->table;

	for (size_t i = 0; i < table->target_count; i++)
	{
		pen_plan_target *target = &table->targets[i];
		pen_error error;
		char *sql = NULL;

		if ((j->item->targets >> i & 1) == 0 || atomic_load(&target->place->failed))
			continue;
		pen_error_clear(&error);
		if (begin_target(j, target, &error) >= 0)
		{
			sql = pen_plan_target_sql(j->item, target, *connection_of(j, target));
			if (sql == NULL)
				pen_error_set(&error, PENSTOCK_E_RETRY, "out of memory");
		}
		if (sql == NULL)
		{
			place_failed(j, target, &error);
			continue;
		}
		a->targets[a->count] = target;
		a->ends[a->count++] = (pen_pipe_end){.conn = *connection_of(j, target), .sql = sql};
	}
}

static void
end_targets(job *j, attempt *a, uint64_t rows)
{
	for (size_t i = 0; i < a->count; i++)
	{
		pen_pipe_end *end = &a->ends[i];

		if (end->failed || commit_target(j, a->targets[i], rows, &end->error) < 0)
			place_failed(j, a->targets[i], &end->error);
	}
}

static penstock_status
copy_item(job *j, pen_error *error)
{
	pen_pipe pipe = {
		.source = j->source, .interrupted = &j->all->stop, .passed = count_passed, .context = j};
	attempt a = {.count = 0};
	penstock_status status = PENSTOCK_OK;
	char *sql;

	j->counted = 0;
	begin_targets(j, &a);
	if (a.count == 0)
		return PENSTOCK_OK;
	sql = pen_plan_source_sql(j->item, j->source);
	pipe.sql = sql;
	pipe.ends = a.ends;
	pipe.end_count = a.count;
	status = sql == NULL ? pen_error_set(error, PENSTOCK_E_RETRY, "out of memory")
						 : pen_pipe_run(&pipe, error);
	if (status == PENSTOCK_OK)
		count_passed(j, pipe.rows - j->counted, 0); /* a message more than there are rows */
	if (status >= 0)
		end_targets(j, &a, pipe.rows);
	else
		pen_error_context(error, "copying table %s", a.targets[0]->quoted);
	if (status == PENSTOCK_AGAIN)
	{
		PQfinish(j->source);
		j->source = NULL;
	}
	free(sql);
	free_ends(&a);
	return status < 0 ? status : PENSTOCK_OK;
}

/* ---- threads ---- */

static bool
take_item(job *j)
{
	jobs *all = j->all;

	pthread_mutex_lock(&all->lock);
	j->item = all->next_item < all->plan->item_count ? &all->plan->items[all->next_item++] : NULL;
	if (j->item != NULL && !all->progress[j->item->table->number].running)
	{
		all->progress[j->item->table->number].running = true;
		all->progress[j->item->table->number].began_ms = pen_clock_ms() - all->began_ms;
	}
	pthread_mutex_unlock(&all->lock);
	return j->item != NULL;
}

static bool
all_failed(const pen_plan_table *table)
{
	for (size_t i = 0; i < table->target_count; i++)
	{
		if (!atomic_load(&table->targets[i].place->failed))
			return false;
	}
	return true;
}

static void
leave_item(job *j)
{
	jobs *all = j->all;
	pen_copy_table_progress *progress = &all->progress[j->item->table->number];

	pthread_mutex_lock(&all->lock);
	if (--j->item->table->items_left == 0)
	{
		progress->running = false;
		progress->done = !all_failed(j->item->table);
	}
	pthread_mutex_unlock(&all->lock);
}

static void
close_connections(job *j)
{
	PQfinish(j->source);
	for (size_t i = 0; i < j->all->place_count; i++)
		PQfinish(j->conns[i]);
}

static void *
run(void *argument)
{
	job *j = argument;
	jobs *all = j->all;
	pen_error error;

	pen_error_clear(&error);
	while (!atomic_load(&all->stop) && take_item(j))
	{
		if (connect_job_source(j, &error) < 0 || copy_item(j, &error) < 0)
			source_failed(all, &error);
		else
			leave_item(j);
	}
	close_connections(j);
	pthread_mutex_lock(&all->lock);
	all->running--;
	pthread_cond_signal(&all->ended);
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

static void
show(jobs *all, bool finished)
{
	pen_copy_progress progress = {.tables = all->shown,
								  .table_count = all->plan->table_count,
								  .elapsed_ms = pen_clock_ms() - all->began_ms,
								  .finished = finished};

	if (all->options->tick == NULL)
		return;
	for (size_t i = 0; i < progress.table_count; i++)
		progress.tables_done += all->shown[i].done;
	all->options->tick(all->options->tick_context, &progress);
}

/* Until all threads have ended; now and then show how far they are, and look for an interrupt. */
static void
watch(jobs *all)
{
	bool over;

	do
	{
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		pthread_mutex_lock(&all->lock);
		if (all->running > 0)
			pthread_cond_timedwait(&all->ended, &all->lock, &until);
		over = all->running == 0;
		memcpy(all->shown, all->progress, all->plan->table_count * sizeof(*all->shown));
		pthread_mutex_unlock(&all->lock);
		show(all, over);
		if (atomic_load(all->options->interrupted))
			atomic_store(&all->stop, true);
	} while (!over);
}

static size_t
start_threads(jobs *all, job *threads, size_t count)
{
	sigset_t every;
	sigset_t before;
	size_t started = 0;

	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	for (size_t i = 0; i < count; i++)
	{
		threads[started].all = all;
		pthread_mutex_lock(&all->lock);
		all->running++;
		pthread_mutex_unlock(&all->lock);
		if (pthread_create(&threads[started].thread, NULL, run, &threads[started]) == 0)
			started++;
		else
		{
			pthread_mutex_lock(&all->lock);
			all->running--;
			pthread_mutex_unlock(&all->lock);
		}
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

static void
prepare_progress(jobs *all)
{
	for (size_t i = 0; i < all->plan->table_count; i++)
	{
		const pen_plan_table *table = &all->plan->tables[i];

		all->progress[i] = (pen_copy_table_progress){
			.schema = table->relation->schema,
			.name = table->relation->name,
			.rows_expected = table->rows_expected,
			.bytes_expected = table->bytes,
			.done = table->items_left == 0,
		};
	}
}

penstock_status
pen_jobs_run(const pen_copy_options *options, const pen_snapshot *snapshot, pen_plan *plan,
			 pen_copy_place *places, size_t place_count, size_t *completed, pen_error *error)
{
	jobs all = {.options = options,
				.snapshot = snapshot,
				.plan = plan,
				.places = places,
				.place_count = place_count,
				.began_ms = pen_clock_ms()};
	size_t count =
		plan->item_count < (size_t) options->jobs ? plan->item_count : (size_t) options->jobs;
	job *threads = calloc(count + 1, sizeof(*threads));
	size_t started = 0;

	pthread_mutex_init(&all.lock, NULL);
	pthread_cond_init(&all.ended, NULL);
	all.progress = calloc(plan->table_count + 1, sizeof(*all.progress));
	all.shown = calloc(plan->table_count + 1, sizeof(*all.shown));
	if (threads == NULL || all.progress == NULL || all.shown == NULL)
		pen_error_set(&all.error, PENSTOCK_E_RETRY, "out of memory");
	else
	{
		prepare_progress(&all);
		started = start_threads(&all, threads, count);
		if (started == 0 && count > 0)
			pen_error_set(&all.error, PENSTOCK_E_RETRY, "could not start a thread");
		watch(&all);
	}
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i].thread, NULL);
	pthread_cond_destroy(&all.ended);
	pthread_mutex_destroy(&all.lock);
	free(all.progress);
	free(all.shown);
	free(threads);
	*completed = all.completed;
	if (all.error.status < 0)
		*error = all.error;
	return all.error.status;
}
