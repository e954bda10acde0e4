/* server.c -- libmicrohttpd around the endpoints: one thread a connection, few connections.
 * Whatever is sent, it costs bounded memory and no more than its own thread. */
#include "serve/server.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/answers.h"
#include "serve/listen.h"

#define CONNECTIONS_MAX  16
#define IDLE_S           10
#define HEADER_BYTES_MAX (32 * 1024)
#define BODY_BYTES_MAX   (64 * 1024)
#define ALLOW_BYTES_MAX  64

struct pen_server
{
	struct MHD_Daemon *daemon;
	pen_commands *commands;
	int directory;
};

/* One request on its way in. */
typedef struct exchange
{
	const pen_endpoint *endpoint;
	pen_request request;
	char *body;
	size_t size;
} exchange;

/* ---- answering ---- */

/* Takes over the response's body. */
static enum MHD_Result
send_response(struct MHD_Connection *connection, pen_response *response, const char *allow)
{
	struct MHD_Response *message;
	enum MHD_Result queued;

	if (response->body == NULL)
		return MHD_NO;
	message = MHD_create_response_from_buffer(strlen(response->body), response->body,
											  MHD_RESPMEM_MUST_FREE);
	if (message == NULL)
	{
		free(response->body);
		return MHD_NO;
	}
	MHD_add_response_header(message, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	MHD_add_response_header(message, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (allow != NULL)
		MHD_add_response_header(message, MHD_HTTP_HEADER_ALLOW, allow);
	queued = MHD_queue_response(connection, response->status, message);
	MHD_destroy_response(message);
	return queued;
}

static enum MHD_Result
send_too_large(struct MHD_Connection *connection)
{
	pen_response response;

	pen_answer_error(&response, 413, "a body may have %d bytes", BODY_BYTES_MAX);
	return send_response(connection, &response, NULL);
}

/* Neither path nor method are repeated: they may hold anything. */
static enum MHD_Result
send_unknown(struct MHD_Connection *connection, const char *allow)
{
	pen_response response;

	if (allow[0] == '\0')
		pen_answer_error(&response, 404, "there is nothing at this path");
	else
		pen_answer_error(&response, 405, "this path takes %s only", allow);
	return send_response(connection, &response, allow[0] != '\0' ? allow : NULL);
}

/* ---- taking ---- */

static enum MHD_Result
begin(pen_server *server, struct MHD_Connection *connection, const char *path, const char *method,
	  void **context)
{
	const char *length =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	exchange *e = calloc(1, sizeof(*e));
	char allow[ALLOW_BYTES_MAX];

	if (e == NULL)
		return MHD_NO;
	*context = e;
	e->request.commands = server->commands;
	e->endpoint =
		pen_endpoint_find(pen_answers, method, path, e->request.name, allow, sizeof(allow));
	if (e->endpoint == NULL)
		return send_unknown(connection, allow);
	if (length != NULL && strtoull(length, NULL, 10) > BODY_BYTES_MAX)
		return send_too_large(connection);
	return MHD_YES;
}

/* A body whose length was not told beforehand may turn out to be too large: then the connection
 * ends. */
static enum MHD_Result
take_body(exchange *e, const char *data, size_t *size)
{
	char *grown;

	if (*size > BODY_BYTES_MAX - e->size)
		return MHD_NO;
	grown = realloc(e->body, e->size + *size + 1);
	if (grown == NULL)
		return MHD_NO;
	memcpy(grown + e->size, data, *size);
	e->body = grown;
	e->size += *size;
	e->body[e->size] = '\0';
	*size = 0;
	return MHD_YES;
}

static enum MHD_Result
on_request(void *context, struct MHD_Connection *connection, const char *path, const char *method,
		   const char *version, const char *data, size_t *size, void **request_context)
{
	exchange *e = *request_context;
	pen_response response = {0};

	(void) version;
	if (e == NULL)
		return begin(context, connection, path, method, request_context);
	if (*size > 0)
		return take_body(e, data, size);
	e->request.body = e->body != NULL ? e->body : "";
	e->request.body_size = e->size;
	e->endpoint->answer(&e->request, &response);
	return send_response(connection, &response, NULL);
}

static void
on_completed(void *context, struct MHD_Connection *connection, void **request_context,
			 enum MHD_RequestTerminationCode code)
{
	exchange *e = *request_context;

	(void) context;
	(void) connection;
	(void) code;
	if (e == NULL)
		return;
	free(e->body);
	free(e);
	*request_context = NULL;
}

/* ---- life ---- */

/* Its threads take no signals: those are for the main thread, whose waiting they end. */
static struct MHD_Daemon *
start_daemon(pen_server *server, int fd)
{
	struct MHD_Daemon *daemon;
	sigset_t all;
	sigset_t before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL, 0, NULL,
		NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int) CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int) IDLE_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) HEADER_BYTES_MAX, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, NULL, MHD_OPTION_END);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return daemon;
}

pen_server *
pen_server_start(const char *directory, pen_commands *commands, pen_error *error)
{
	pen_server *server = calloc(1, sizeof(*server));
	char path[4096];
	int fd = -1;

	if (server == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/%s", directory, PEN_SERVER_SOCKET);
	server->commands = commands;
	server->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (server->directory < 0)
		pen_error_set(error, PENSTOCK_E_CONFIG, "state directory %s: %s", directory,
					  strerror(errno));
	else
		fd = pen_listen(server->directory, PEN_SERVER_SOCKET, path, error);
	if (fd >= 0)
	{
		server->daemon = start_daemon(server, fd);
		if (server->daemon != NULL)
			return server;
		close(fd);
		(void) unlinkat(server->directory, PEN_SERVER_SOCKET, 0);
		pen_error_set(error, PENSTOCK_E_RETRY, "control socket %s: could not start threads", path);
	}
	if (server->directory >= 0)
		close(server->directory);
	free(server);
	return NULL;
}

void
pen_server_stop(pen_server *server)
{
	if (server == NULL)
		return;
	(void) unlinkat(server->directory, PEN_SERVER_SOCKET, 0);
	pen_commands_close(server->commands);
	MHD_stop_daemon(server->daemon);
	close(server->directory);
	free(server);
}
