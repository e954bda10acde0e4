/* control.c -- start the control socket of a run.
 * Its directory is ours alone: 0700, whatever the umask. */
#include "cli/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/client.h"
#include "follower.h"
#include "receiver.h"
#include "serve/server.h"
#include "tables.h"

static penstock_status
make_directory(penstock *p, const char *path)
{
	if (mkdir(path, S_IRWXU) == 0 || errno == EEXIST)
		return PENSTOCK_OK;
	return pen_error_set(&p->error, PENSTOCK_E_CONFIG, "state directory %s: %s", path,
						 strerror(errno));
}

/* A slot's name is the name of its part of the state directory, so it must be no path. */
static bool
is_slot_name(const char *slot)
{
	return slot[strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

penstock_status
pen_cli_control_start(penstock *p, pen_server **server)
{
	char *base = pen_client_state_dir(p->settings.state_dir);
	char *path = NULL;

	*server = NULL;
	if (base == NULL || p->settings.slot == NULL || !is_slot_name(p->settings.slot))
	{
		free(base);
		return PENSTOCK_OK;
	}
	p->commands = pen_commands_new(pen_receiver_wake, p);
	p->tables_engine = &pen_tables;
	if (p->commands == NULL || asprintf(&path, "%s/%s", base, p->settings.slot) < 0)
		pen_error_set(&p->error, PENSTOCK_E_RETRY, "out of memory");
	else
	{
		if (make_directory(p, base) >= 0 && make_directory(p, path) >= 0)
			*server = pen_server_start(path, p->commands, &p->error);
		free(path);
	}
	free(base);
	return *server != NULL ? PENSTOCK_OK : p->error.status;
}
