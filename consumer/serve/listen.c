/* listen.c -- a Unix socket that nobody else may open, at a path of any length.
 * Only a socket that refuses connections is replaced: its process is dead. */
#include "serve/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static penstock_status
fail(const char *path, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_CONFIG, "control socket %s: %s", path, strerror(errno));
}

/* E_REFUSED when somebody listens there. */
static penstock_status
remove_dead(int directory, const char *name, const char *path, const struct sockaddr_un *address,
			pen_error *error)
{
	struct stat found;
	int fd;
	int connected;

	if (fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? PENSTOCK_OK : fail(path, error);
	if (!S_ISSOCK(found.st_mode))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "control socket %s: there is something else of that name; remove it",
							 path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(path, error);
	connected = connect(fd, (const struct sockaddr *) address, sizeof(*address));
	/* EAGAIN: somebody listens and has much to do */
	if (connected == 0 || errno == EAGAIN)
		pen_error_set(error, PENSTOCK_E_REFUSED,
					  "control socket %s: another penstock runs with this state directory and "
					  "slot; stop it, or use a slot of your own",
					  path);
	else if (errno != ECONNREFUSED || unlinkat(directory, name, 0) != 0)
		fail(path, error);
	else
		pen_error_clear(error);
	close(fd);
	return error->status;
}

int
pen_listen(int directory, const char *name, const char *path, pen_error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	/* By way of the open directory, since an address has room for 107 bytes only. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", directory, name);
	if (remove_dead(directory, name, path, &address, error) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* The file gets the socket's own mode: unlike umask(), that concerns no other thread. */
	if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
		bind(fd, (const struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(fd, BACKLOG) != 0)
	{
		fail(path, error);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}
