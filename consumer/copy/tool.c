/* tool.c -- run a program and read its complaints.
 * Passwords are passed by the environment only: everybody can see a command line. */
#include "copy/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMPLAINT_MAX 4096
#define POLL_MS       200

extern char **environ;

/* ---- login ---- */

static void
append_setting(FILE *out, const char *keyword, const char *value)
{
	fprintf(out, "%s='", keyword);
	for (; *value != '\0'; value++)
	{
		if (*value == '\'' || *value == '\\')
			fputc('\\', out);
		fputc(*value, out);
	}
	fputs("' ", out);
}

penstock_status
pen_tool_login_make(pen_tool_login *login, const char *conninfo, pen_error *error)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
	size_t length;
	FILE *out;

	*login = (pen_tool_login){0};
	out = open_memstream(&login->dbname, &length);
	for (const PQconninfoOption *o = parsed; out != NULL && o != NULL && o->keyword != NULL; o++)
	{
		if (o->val == NULL || strcmp(o->keyword, "replication") == 0)
			continue;
		if (strcmp(o->keyword, "password") == 0)
			login->password = strdup(o->val);
		else if (strcmp(o->keyword, "sslpassword") != 0)
			append_setting(out, o->keyword, o->val);
	}
	if (out == NULL || fclose(out) != 0 || parsed == NULL)
	{
		pen_tool_login_reset(login);
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		PQconninfoFree(parsed);
		return error->status;
	}
	PQconninfoFree(parsed);
	return PENSTOCK_OK;
}

void
pen_tool_login_reset(pen_tool_login *login)
{
	free(login->dbname);
	if (login->password != NULL)
		explicit_bzero(login->password, strlen(login->password));
	free(login->password);
	*login = (pen_tool_login){0};
}

/* ---- running ---- */

/* Our environment with the password in front, both for free();
 * *ours is that one string, or NULL. */
static char **
make_environment(const pen_tool_login *login, char **ours)
{
	size_t count = 0;
	size_t n = 0;
	char **all;

	*ours = NULL;
	while (environ[count] != NULL)
		count++;
	all = calloc(count + 2, sizeof(*all));
	if (all == NULL)
		return NULL;
	if (login != NULL && login->password != NULL)
	{
		if (asprintf(ours, "PGPASSWORD=%s", login->password) < 0)
		{
			*ours = NULL;
			free(all);
			return NULL;
		}
		all[n++] = *ours;
	}
	for (size_t i = 0; i < count; i++)
	{
		if (*ours == NULL || strncmp(environ[i], "PGPASSWORD=", 11) != 0)
			all[n++] = environ[i];
	}
	return all;
}

static penstock_status
start(pid_t *pid, int complaints[2], const char *const *argv, const pen_tool_login *login,
	  const char *output, pen_error *error)
{
	char *password;
	char **environment = make_environment(login, &password);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int failed;

	if (environment == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	/* Ctrl-C is for us: we end it. */
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, output != NULL ? output : "/dev/null",
									 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, complaints[1], 2);
	failed = posix_spawnp(pid, argv[0], &actions, &attributes, (char *const *) argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (password != NULL)
		explicit_bzero(password, strlen(password));
	free(password);
	free(environment);
	if (failed == ENOENT)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "there is no program %s in the PATH; install PostgreSQL's client "
							 "programs, of the source's version or newer",
							 argv[0]);
	return failed == 0 ? PENSTOCK_OK
					   : pen_error_set(error, PENSTOCK_E_RETRY, "could not start %s: %s", argv[0],
									   strerror(failed));
}

/* Until it has closed its standard error. What does not fit is read and dropped. */
static void
read_complaints(int fd, pid_t pid, const atomic_bool *interrupted, char *text, size_t size)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	size_t length = 0;

	for (;;)
	{
		char chunk[1024];
		ssize_t got;

		if (interrupted != NULL && atomic_load(interrupted))
			kill(pid, SIGTERM);
		if (poll(&poller, 1, POLL_MS) <= 0)
			continue;
		got = read(fd, chunk, sizeof(chunk));
		if (got <= 0)
			break;
		if (length + (size_t) got < size)
		{
			memcpy(text + length, chunk, (size_t) got);
			length += (size_t) got;
		}
	}
	text[length] = '\0';
}

/* The line with the first error, or the last line. */
static penstock_status
failure(const char *program, char *text, pen_error *error)
{
	char *line = strstr(text, "rror: ");
	char *last;

	while (line != NULL && line > text && line[-1] != '\n')
		line--;
	if (line == NULL)
	{
		size_t length = strlen(text);

		while (length > 0 && text[length - 1] == '\n')
			text[--length] = '\0';
		last = strrchr(text, '\n');
		line = last != NULL ? last + 1 : text;
	}
	line[strcspn(line, "\n")] = '\0';
	return pen_error_set(error, PENSTOCK_E_DATA, "%s failed: %s", program, line);
}

penstock_status
pen_tool_run(const char *const *argv, const pen_tool_login *login, const char *output,
			 const atomic_bool *interrupted, pen_error *error)
{
	char text[COMPLAINT_MAX];
	int complaints[2];
	pid_t pid;
	int result = 0;
	penstock_status status;

	if (pipe2(complaints, O_CLOEXEC) != 0)
		return pen_error_set(error, PENSTOCK_E_RETRY, "could not make a pipe: %s", strerror(errno));
	status = start(&pid, complaints, argv, login, output, error);
	close(complaints[1]);
	if (status >= 0)
	{
		read_complaints(complaints[0], pid, interrupted, text, sizeof(text));
		while (waitpid(pid, &result, 0) < 0 && errno == EINTR)
			;
	}
	close(complaints[0]);
	if (status < 0)
		return status;
	if (interrupted != NULL && atomic_load(interrupted))
		return pen_error_set(error, PENSTOCK_E_RETRY, "interrupted");
	return result == 0 ? PENSTOCK_OK : failure(argv[0], text, error);
}
