/* stdout.c -- the destination `stdout:`: every event as a line of JSON on standard output.
 *
 * A transaction counts once its lines have been written. Nothing is held back: when the stream
 * breaks off inside of a transaction, its lines so far are out and come again with all of it, and
 * after a restart of the program the stream begins where the slot stands. So this is "at least
 * once"; xid, lsn and seq tell a reader what he has seen. */
#include "destination/kinds.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/output.h"
#include "event/line.h"

typedef struct stdout_destination
{
	pen_destination base;
	pen_output output;
	uint64_t written_lsn;  /* end of the last transaction that has been written */
	uint64_t gathered_lsn; /* the same, of those in the buffer; never before written_lsn */
} stdout_destination;

static stdout_destination *
of(pen_destination *destination)
{
	return (stdout_destination *) destination;
}

static pen_destination *
stdout_create(const pen_destination_config *config, pen_error *error)
{
	stdout_destination *d = calloc(1, sizeof(*d));

	if (d == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	d->base.kind = &pen_destination_stdout;
	d->base.config = config;
	pen_output_init(&d->output, STDOUT_FILENO, "standard output");
	return &d->base;
}

static void
stdout_destroy(pen_destination *destination)
{
	stdout_destination *d = of(destination);

	if (d == NULL)
		return;
	pen_output_reset(&d->output);
	free(d);
}

static void
report(const stdout_destination *d, pen_position *position)
{
	position->applied_lsn = d->written_lsn;
	position->durable_lsn = d->written_lsn;
}

/* What was gathered and not written comes again. */
static void
forget_gathered(stdout_destination *d)
{
	d->output.buf.len = 0;
	d->output.buf.failed = false;
	d->gathered_lsn = d->written_lsn;
}

/* Nothing is stored: the position is that of this process, 0 at first. */
static penstock_status
stdout_open(pen_destination *destination, const pen_source_identity *source, pen_position *position,
			pen_error *error)
{
	(void) source;
	(void) error;
	forget_gathered(of(destination));
	report(of(destination), position);
	return PENSTOCK_OK;
}

static void
stdout_close(pen_destination *destination)
{
	forget_gathered(of(destination));
}

static penstock_status
stdout_start(pen_destination *destination, uint64_t start_lsn, pen_position *position,
			 pen_error *error)
{
	(void) start_lsn;
	return stdout_open(destination, NULL, position, error);
}

static penstock_status
write_out(stdout_destination *d, pen_position *position, pen_error *error)
{
	penstock_status status = pen_output_flush(&d->output, error);

	if (status < 0)
		return status;
	d->written_lsn = d->gathered_lsn;
	report(d, position);
	return PENSTOCK_OK;
}

static penstock_status
stdout_apply(pen_destination *destination, const penstock_event *event, pen_position *position,
			 pen_error *error)
{
	stdout_destination *d = of(destination);
	penstock_status status = pen_event_json(event, &d->output.buf, error);

	if (status < 0)
		return status;
	if (event->kind >= PENSTOCK_COMMIT && event->transaction->end_lsn > d->gathered_lsn)
		d->gathered_lsn = event->transaction->end_lsn;
	if (d->output.buf.len < PEN_OUTPUT_FLUSH_BYTES)
		return PENSTOCK_OK;
	return write_out(d, position, error);
}

static penstock_status
stdout_flush(pen_destination *destination, pen_position *position, pen_error *error)
{
	return write_out(of(destination), position, error);
}

static penstock_status
stdout_advance(pen_destination *destination, uint64_t lsn, pen_position *position, pen_error *error)
{
	stdout_destination *d = of(destination);

	if (lsn > d->gathered_lsn)
		d->gathered_lsn = lsn;
	return write_out(d, position, error);
}

static penstock_status
stdout_sync(pen_destination *destination, pen_position *position, int *poll_ms, pen_error *error)
{
	(void) error;
	report(of(destination), position);
	*poll_ms = -1;
	return PENSTOCK_OK;
}

const pen_destination_kind pen_destination_stdout = {.scheme = "stdout",
													 .prepares = true,
													 .create = stdout_create,
													 .destroy = stdout_destroy,
													 .open = stdout_open,
													 .close = stdout_close,
													 .start = stdout_start,
													 .apply = stdout_apply,
													 .flush = stdout_flush,
													 .advance = stdout_advance,
													 .sync = stdout_sync};
