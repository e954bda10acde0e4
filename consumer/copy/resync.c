/* resync.c -- a copy beside the stream.
 * What the stream must know is told by the kind's functions. */
#include "copy/resync.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pen_resync
{
	pen_copy_options options;
	pen_copy_place place;
	pthread_t thread;
	atomic_bool interrupted;
	atomic_bool finished; /* then status and error stand */
	penstock_status status;
	pen_error error;
};

static penstock_status
copy(pen_resync *resync)
{
	bool needed;
	penstock_status status =
		pen_copy_look(&resync->options, &resync->place, 1, &needed, &resync->error);

	if (status < 0 || !needed)
		return status;
	status = pen_copy_run(&resync->options, &resync->place, 1, &resync->error);
	if (status == PENSTOCK_DONE)
		return pen_error_set(&resync->error, PENSTOCK_E_RETRY, "copying was interrupted");
	return status;
}

static void *
run(void *argument)
{
	pen_resync *resync = argument;

	resync->status = copy(resync);
	pen_copy_places_reset(&resync->place, 1);
	atomic_store(&resync->finished, true);
	return NULL;
}

pen_resync *
pen_resync_start(const pen_resync_options *options, pen_error *error)
{
	pen_resync *resync = calloc(1, sizeof(*resync));
	sigset_t every;
	sigset_t before;
	int failed;

	if (resync == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	resync->options = (pen_copy_options){
		.source = options->source,
		.connect_timeout_ms = options->connect_timeout_ms,
		.mode = PEN_COPY_TRUNCATE,
		.for_readers = true,
		.jobs = options->jobs,
		.tick = options->tick,
		.tick_context = options->context,
		.log = options->log,
		.interrupted = &resync->interrupted,
	};
	resync->place.name = options->name;
	resync->place.kind = options->kind;
	resync->place.context = options->context;
	resync->place.mapping = options->mapping;
	resync->place.allow_triggers = options->allow_triggers;
	sigfillset(&every);
	pthread_sigmask(SIG_SETMASK, &every, &before);
	failed = pthread_create(&resync->thread, NULL, run, resync);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed == 0)
		return resync;
	free(resync);
	pen_error_set(error, PENSTOCK_E_RETRY, "could not start a thread");
	return NULL;
}

penstock_status
pen_resync_look(pen_resync *resync, pen_error *error)
{
	if (!atomic_load(&resync->finished))
		return PENSTOCK_AGAIN;
	if (resync->status < 0)
		*error = resync->error;
	return resync->status;
}

void
pen_resync_free(pen_resync *resync)
{
	if (resync == NULL)
		return;
	atomic_store(&resync->interrupted, true);
	pthread_join(resync->thread, NULL);
	free(resync);
}
