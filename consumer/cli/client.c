/* client.c -- HTTP over a Unix socket.
 * Only a socket that somebody listens to counts as a penstock that runs. */
#include "cli/client.h"

#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"

#define SOCKET_NAME      "control.sock"
#define ANSWER_MS        20000
#define ANSWER_BYTES_MAX (256 * 1024 * 1024)
#define SLOT_BYTES       64

struct pen_client
{
	int directory; /* <state-dir>/<slot> */
	char slot[SLOT_BYTES];
	CURL *curl;
};

/* ---- finding it ---- */

char *
pen_client_state_dir(const char *directory)
{
	const char *set = directory != NULL ? directory : getenv("STATE_DIRECTORY");

	if (set == NULL || set[0] == '\0')
		return NULL;
	/* systemd separates several by colons */
	return strndup(set, directory != NULL ? strlen(set) : strcspn(set, ":"));
}

/* An address has room for 107 bytes only: go by way of the open directory. */
static void
socket_path(int directory, char *path, size_t size)
{
	snprintf(path, size, "/proc/self/fd/%d/%s", directory, SOCKET_NAME);
}

static bool
somebody_listens(int directory)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool listens;

	if (fd < 0)
		return false;
	socket_path(directory, address.sun_path, sizeof(address.sun_path));
	listens =
		connect(fd, (const struct sockaddr *) &address, sizeof(address)) == 0 || errno == EAGAIN;
	close(fd);
	return listens;
}

/* Take the slot directory at name if somebody listens in it. */
static bool
try_slot(pen_client *client, int base, const char *name)
{
	int directory;

	if (name[0] == '.' || strchr(name, '/') != NULL || strlen(name) >= SLOT_BYTES)
		return false;
	directory = openat(base, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return false;
	if (!somebody_listens(directory))
	{
		close(directory);
		return false;
	}
	if (client->directory >= 0)
		close(client->directory);
	client->directory = directory;
	snprintf(client->slot, sizeof(client->slot), "%s", name);
	return true;
}

/* How many run there. */
static int
try_all(pen_client *client, int base)
{
	int copy = fcntl(base, F_DUPFD_CLOEXEC, 0);
	DIR *listing = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;
	int found = 0;

	if (listing == NULL)
	{
		if (copy >= 0)
			close(copy);
		return 0;
	}
	while ((entry = readdir(listing)) != NULL)
		found += try_slot(client, base, entry->d_name);
	closedir(listing);
	return found;
}

static penstock_status
find_socket(pen_client *client, const char *directory, const char *slot, pen_error *error)
{
	int base = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int found;

	if (base < 0)
	{
		pen_error_set(error, PENSTOCK_NOT_FOUND, "state directory %s: %s", directory,
					  strerror(errno));
		return error->status;
	}
	found = slot != NULL ? try_slot(client, base, slot) : try_all(client, base);
	close(base);
	if (found == 1)
		return PENSTOCK_OK;
	if (found > 1)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "several run with state directory %s; say which: --slot=NAME",
							 directory);
	if (slot != NULL)
		return pen_error_set(error, PENSTOCK_NOT_FOUND,
							 "nothing that reads slot \"%.63s\" runs with state directory %s", slot,
							 directory);
	return pen_error_set(error, PENSTOCK_NOT_FOUND, "nothing runs with state directory %s",
						 directory);
}

pen_client *
pen_client_open(const char *directory, const char *slot, pen_error *error)
{
	pen_client *client = calloc(1, sizeof(*client));
	char *base = pen_client_state_dir(directory);
	penstock_status status;

	if (base == NULL)
		status = pen_error_set(error, PENSTOCK_E_CONFIG, "no state directory: say --state-dir=DIR");
	else if (client == NULL)
		status = pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	else
	{
		client->directory = -1;
		status = find_socket(client, base, slot, error);
		if (status == PENSTOCK_OK && (client->curl = curl_easy_init()) == NULL)
			status = pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	}
	free(base);
	if (status == PENSTOCK_OK)
		return client;
	if (base != NULL)
		pen_client_close(client);
	else
		free(client);
	return NULL;
}

void
pen_client_close(pen_client *client)
{
	if (client == NULL)
		return;
	curl_easy_cleanup(client->curl);
	if (client->directory >= 0)
		close(client->directory);
	free(client);
}

/* ---- asking ---- */

typedef struct answer
{
	char *data;
	size_t size;
} answer;

static size_t
take(char *data, size_t size, size_t count, void *context)
{
	answer *a = context;
	char *grown;

	size *= count;
	if (size > ANSWER_BYTES_MAX - a->size || (grown = realloc(a->data, a->size + size + 1)) == NULL)
		return 0;
	memcpy(grown + a->size, data, size);
	a->data = grown;
	a->size += size;
	return size;
}

/* What an answer says, or why there is none. */
static json_t *
understand(CURL *curl, const answer *a, pen_error *error)
{
	json_t *json = a->data != NULL ? json_loadb(a->data, a->size, 0, NULL) : NULL;
	const char *text = json_string_value(json_object_get(json, "error"));
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (json != NULL && status < 300)
		return json;
	pen_error_set(error,
				  status == 0 || json == NULL ? PENSTOCK_NOT_FOUND
				  : status < 500              ? PENSTOCK_E_CONFIG
											  : PENSTOCK_E_RETRY,
				  "%s", text != NULL ? text : "the answer is not one of penstock");
	json_decref(json);
	return NULL;
}

static json_t *
request(pen_client *client, const char *path, const char *body, pen_error *error)
{
	CURL *curl = client->curl;
	char socket[64];
	char url[512];
	answer a = {0};
	json_t *json = NULL;
	CURLcode code;

	socket_path(client->directory, socket, sizeof(socket));
	snprintf(url, sizeof(url), "http://localhost%s", path);
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long) ANSWER_MS);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &a);
	if (body != NULL)
	{
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long) strlen(body));
	}
	code = curl_easy_perform(curl);
	if (code == CURLE_OK)
		json = understand(curl, &a, error);
	else
		pen_error_set(error, PENSTOCK_NOT_FOUND, "no answer from the penstock of slot \"%s\": %s",
					  client->slot, curl_easy_strerror(code));
	free(a.data);
	return json;
}

json_t *
pen_client_get(pen_client *client, const char *path, pen_error *error)
{
	return request(client, path, NULL, error);
}

json_t *
pen_client_post(pen_client *client, const char *before, const char *name, const char *after,
				json_t *body, pen_error *error)
{
	char *escaped = name != NULL ? curl_easy_escape(client->curl, name, 0) : NULL;
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : strdup("");
	char *path = NULL;
	json_t *json = NULL;

	if ((name != NULL && escaped == NULL) || text == NULL ||
		asprintf(&path, "%s%s%s", before, escaped != NULL ? escaped : "", after) < 0)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
	else
	{
		json = request(client, path, text, error);
		free(path);
	}
	free(text);
	curl_free(escaped);
	return json;
}

int
pen_client_exit_code(const pen_error *error)
{
	switch (error->status)
	{
		case PENSTOCK_NOT_FOUND:
			return 3;
		case PENSTOCK_E_CONFIG:
			return 2;
		default:
			return 1;
	}
}

/* ---- commands that ask ---- */

const char *
pen_client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

int
pen_client_show(pen_client *client, const char *path, bool as_json,
				void (*print)(const json_t *json), pen_error *error)
{
	json_t *json = pen_client_get(client, path, error);

	if (json == NULL)
		return pen_client_exit_code(error);
	if (as_json)
	{
		json_dumpf(json, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	else
		print(json);
	json_decref(json);
	return 0;
}

int
pen_client_run(const char *command, const pen_settings *settings,
			   int (*ask)(const void *context, pen_client *client, pen_error *error),
			   const void *context)
{
	pen_client *client;
	pen_error error;
	int code;

	pen_error_clear(&error);
	client = pen_client_open(settings->state_dir, settings->slot, &error);
	code = client != NULL ? ask(context, client, &error) : pen_client_exit_code(&error);
	pen_client_close(client);
	if (error.status != PENSTOCK_OK)
		fprintf(stderr, "penstock %s: %s\n", command, error.text);
	return code;
}
