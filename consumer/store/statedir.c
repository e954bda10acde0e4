/* statedir.c -- the directory of a run.
 * Only what this user alone can write is used: others could put words in our mouth. */
#include "store/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/scratch.h"

#define SCRATCH_MAX 8
#define REMOVE_FDS  16

struct pen_statedir
{
	char *path; /* NULL: there is none */
	int lock_fd;
	char *temporary; /* the private one for scratch files, once it is wanted */
	char *scratch[SCRATCH_MAX];
	size_t scratch_count;
};

static penstock_status
system_error(const char *what, const char *path, pen_error *error)
{
	char reason[128];

	return pen_error_set(error, PENSTOCK_E_RETRY, "state directory: could not %s %s: %s", what,
						 path, strerror_r(errno, reason, sizeof(reason)));
}

static penstock_status
no_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "state directory: out of memory");
}

/* ---- directories ---- */

static char *
join(const char *directory, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static penstock_status
check_private(const char *path, pen_error *error)
{
	struct stat file;

	if (stat(path, &file) != 0)
		return system_error("look at", path, error);
	if (!S_ISDIR(file.st_mode))
		return pen_error_set(error, PENSTOCK_E_CONFIG, "state directory: %s is not a directory",
							 path);
	if (file.st_uid != geteuid())
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "state directory: %s belongs to user %u, not to the one that runs "
							 "this (%u); choose another with --state-dir, or chown it",
							 path, (unsigned int) file.st_uid, (unsigned int) geteuid());
	if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "state directory: others may write to %s; chmod 700 %s", path, path);
	return PENSTOCK_OK;
}

/* The entry of a new directory must outlive a crash as what is put into it does. */
static void
sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
	{
		(void) fsync(fd);
		close(fd);
	}
}

/* Make path and what is missing above it; parts before `from` are there. path is as it was in the
 * end. */
static penstock_status
make_directories(char *path, size_t from, pen_error *error)
{
	for (char *slash = path + from;; slash++)
	{
		char was;

		slash += strcspn(slash, "/");
		was = *slash;
		*slash = '\0';
		if (path[0] != '\0' && mkdir(path, 0700) != 0 && errno != EEXIST)
		{
			system_error("make", path, error);
			*slash = was;
			return PENSTOCK_E_RETRY;
		}
		*slash = was;
		if (was == '\0')
			return PENSTOCK_OK;
	}
}

static int
remove_entry(const char *path, const struct stat *file, int type, struct FTW *walk)
{
	(void) file;
	(void) walk;
	if (type == FTW_DP)
		(void) rmdir(path);
	else
		(void) unlink(path);
	return 0;
}

/* With all that is in it; symbolic links are not followed. */
static void
remove_tree(const char *path)
{
	(void) nftw(path, remove_entry, REMOVE_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* ---- open and close ---- */

/* A name that cannot lead elsewhere: what the server takes as the name of a slot. */
static bool
is_slot_name(const char *slot)
{
	return slot[0] != '\0' && strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(slot);
}

static penstock_status
lock(pen_statedir *state, const char *slot, pen_error *error)
{
	char *path = join(state->path, "lock");
	char pid[32] = "";
	ssize_t length;

	if (path == NULL)
		return no_memory(error);
	state->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (state->lock_fd < 0)
		system_error("open", path, error);
	free(path);
	if (state->lock_fd < 0)
		return PENSTOCK_E_RETRY;
	if (flock(state->lock_fd, LOCK_EX | LOCK_NB) != 0)
	{
		length = pread(state->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[length > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		return pen_error_set(error, PENSTOCK_E_RETRY,
							 "state directory: another consumer%s%s follows slot \"%s\" with %s; "
							 "stop that one, or use another --slot or --state-dir",
							 pid[0] != '\0' ? ", process " : "", pid, slot, state->path);
	}
	length = snprintf(pid, sizeof(pid), "%d\n", (int) getpid());
	if (ftruncate(state->lock_fd, 0) != 0 || pwrite(state->lock_fd, pid, (size_t) length, 0) < 0)
		return system_error("write the lock in", state->path, error);
	return PENSTOCK_OK;
}

/* Only the last of its parts is made: a name that was mistyped should not become a tree. */
static penstock_status
open_root(const char *root, pen_error *error)
{
	char reason[128];

	if (mkdir(root, 0700) != 0 && errno != EEXIST)
		return pen_error_set(
			error, PENSTOCK_E_CONFIG,
			"state directory: could not make %s (%s); make the directory above it, "
			"and see that this user may write there",
			root, strerror_r(errno, reason, sizeof(reason)));
	return check_private(root, error);
}

static penstock_status
open_slot(pen_statedir *state, const char *root, const char *slot, pen_error *error)
{
	char *left;

	if (!is_slot_name(slot))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "slot name \"%.63s\" may only have lower-case letters, digits and _",
							 slot);
	if (open_root(root, error) < 0)
		return error->status;
	state->path = join(root, slot);
	if (state->path == NULL)
		return no_memory(error);
	if (mkdir(state->path, 0700) != 0 && errno != EEXIST)
		return system_error("make", state->path, error);
	if (check_private(state->path, error) < 0)
		return error->status;
	sync_directory(root);
	if (lock(state, slot, error) < 0)
		return error->status;
	left = join(state->path, PEN_STATEDIR_STREAMS);
	if (left == NULL)
		return no_memory(error);
	remove_tree(left);
	free(left);
	return PENSTOCK_OK;
}

pen_statedir *
pen_statedir_open(const char *directory, const char *slot, pen_error *error)
{
	pen_statedir *state = calloc(1, sizeof(*state));
	const char *given = directory != NULL ? directory : getenv("STATE_DIRECTORY");
	char *root = NULL;
	penstock_status status = PENSTOCK_OK;

	if (state == NULL)
	{
		no_memory(error);
		return NULL;
	}
	state->lock_fd = -1;
	if (given != NULL && given[0] != '\0' && slot != NULL)
	{
		root = directory != NULL ? strdup(given) : strndup(given, strcspn(given, ":"));
		status = root != NULL ? open_slot(state, root, slot, error) : no_memory(error);
	}
	free(root);
	if (status >= 0)
		return state;
	pen_statedir_close(state);
	return NULL;
}

void
pen_statedir_close(pen_statedir *state)
{
	if (state == NULL)
		return;
	for (size_t i = 0; i < state->scratch_count; i++)
	{
		remove_tree(state->scratch[i]);
		free(state->scratch[i]);
	}
	if (state->temporary != NULL)
		remove_tree(state->temporary);
	free(state->temporary);
	if (state->lock_fd >= 0)
		close(state->lock_fd);
	free(state->path);
	free(state);
}

const char *
pen_statedir_path(const pen_statedir *state)
{
	return state->path;
}

/* ---- sub-directories ---- */

char *
pen_statedir_make(pen_statedir *state, const char *name, pen_error *error)
{
	char *path;

	if (state->path == NULL)
	{
		pen_error_set(error, PENSTOCK_E_CONFIG,
					  "there is no state directory; name one with --state-dir");
		return NULL;
	}
	path = join(state->path, name);
	if (path == NULL)
		no_memory(error);
	else if (make_directories(path, strlen(state->path) + 1, error) < 0)
	{
		free(path);
		return NULL;
	}
	if (path != NULL)
		sync_directory(state->path);
	return path;
}

static penstock_status
make_temporary(pen_statedir *state, pen_error *error)
{
	if (state->temporary == NULL)
		state->temporary = pen_scratch_directory("scratch", error);
	return state->temporary != NULL ? PENSTOCK_OK : error->status;
}

char *
pen_statedir_scratch(pen_statedir *state, const char *name, pen_error *error)
{
	char *path;
	char *copy;

	if (state->scratch_count == SCRATCH_MAX)
	{
		pen_error_set(error, PENSTOCK_E_BUG, "too many scratch directories");
		return NULL;
	}
	if (state->path == NULL && make_temporary(state, error) < 0)
		return NULL;
	path = join(state->path != NULL ? state->path : state->temporary, name);
	copy = path != NULL ? strdup(path) : NULL;
	if (copy == NULL)
	{
		no_memory(error);
		free(path);
		return NULL;
	}
	remove_tree(path); /* what a consumer that was killed has left */
	if (mkdir(path, 0700) != 0)
	{
		system_error("make", path, error);
		free(path);
		free(copy);
		return NULL;
	}
	state->scratch[state->scratch_count++] = copy;
	return path;
}
