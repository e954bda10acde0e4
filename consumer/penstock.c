/* penstock.c -- the library's front: options, callbacks, and the life of a follower.
 * What happens in one step is written in receiver.c. */
#include "penstock/penstock.h"

#include <stdlib.h>
#include <string.h>

#include "config/file.h"
#include "destination/memory/memory.h"
#include "follower.h"
#include "receiver.h"
#include "steering.h"

penstock *
penstock_new(void)
{
	penstock *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	if (pen_settings_init(&p->settings, &p->error) < 0)
	{
		pen_settings_reset(&p->settings);
		free(p);
		return NULL;
	}
	p->wake_fd = -1;
	return p;
}

void
penstock_free(penstock *p)
{
	if (p == NULL)
		return;
	pen_receiver_close(p);
	for (size_t i = 0; i < p->subscription_count; i++)
		pen_route_free(p->subscriptions[i].route);
	free(p->subscriptions);
	pen_commands_free(p->commands);
	pen_status_reset(&p->next_status);
	pen_settings_reset(&p->settings);
	free(p);
}

const char *
penstock_version(void)
{
	return PENSTOCK_VERSION;
}

const char *
penstock_error(const penstock *p)
{
	return p->error.text;
}

/* Of a file there may be many problems; the error has room for one. */
static void
log_problem(void *context, penstock_log_level level, const char *text)
{
	const penstock *p = context;

	pen_log_write(&p->log, level, "config", "%s", text);
}

penstock_status
penstock_set(penstock *p, const char *name, const char *value)
{
	const pen_setting *setting = pen_setting_find(name);

	pen_error_clear(&p->error);
	if (setting != NULL && setting->type == PEN_SETTING_FILE)
		return pen_file_load(&p->settings, value, log_problem, p, &p->error);
	return pen_settings_set(&p->settings, name, value, PEN_FROM_CALLER, &p->error);
}

void
penstock_on_log(penstock *p, penstock_log_callback callback, void *context)
{
	p->log = (pen_log){.write = callback, .context = context};
}

static penstock_status
subscribe(penstock *p, subscription added)
{
	subscription *all = realloc(p->subscriptions, (p->subscription_count + 1) * sizeof(*all));

	if (all == NULL)
	{
		pen_route_free(added.route);
		return pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	}
	p->subscriptions = all;
	all[p->subscription_count++] = added;
	return PENSTOCK_OK;
}

penstock_status
penstock_on_change(penstock *p, const char *table, penstock_callback callback, void *context)
{
	subscription added = {.callback = callback, .context = context};

	added.route = pen_route_new(table, &p->error);
	return added.route == NULL ? p->error.status : subscribe(p, added);
}

penstock_status
penstock_on_transaction(penstock *p, penstock_callback callback, void *context)
{
	return subscribe(p, (subscription){.callback = callback, .context = context, .bounds = true});
}

penstock_status
penstock_open(penstock *p)
{
	pen_error_clear(&p->error);
	return pen_receiver_open(p);
}

penstock_status
penstock_step(penstock *p, int timeout_ms)
{
	pen_error_clear(&p->error);
	return pen_receiver_step(p, timeout_ms);
}

void
penstock_stop(penstock *p)
{
	pen_worker *opening;

	p->stop_requested = 1;
	opening = atomic_load(&p->opening);
	if (opening != NULL)
		pen_worker_interrupt(opening);
	pen_receiver_wake(p);
}

penstock_status
penstock_pause(penstock *p, const char *destination)
{
	pen_error_clear(&p->error);
	return pen_steering_pause(p, destination);
}

penstock_status
penstock_resume(penstock *p, const char *destination)
{
	pen_error_clear(&p->error);
	return pen_steering_resume(p, destination);
}

penstock_snapshot *
penstock_snapshot_begin(penstock *p)
{
	for (size_t i = 0; i < p->worker_count; i++)
	{
		pen_destination *destination = pen_worker_destination(p->workers[i]);

		if (destination->kind == &pen_destination_memory)
			return pen_memory_snapshot_begin(destination);
	}
	return NULL;
}
