/* amendments.c -- a line each: `+ DESTINATION SCHEMA.TABLE`, or `-`, with \ as in patterns.
 * The file is replaced, never changed. */
#include "route/amendments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "route/route.h"

#define ENTRIES_MAX 10000

static penstock_status
out_of_memory(pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the list of tables");
}

static void
reset_entry(pen_amendment *entry)
{
	free(entry->destination);
	free(entry->schema);
	free(entry->table);
}

void
pen_amendments_reset(pen_amendments *list)
{
	for (size_t i = 0; i < list->count; i++)
		reset_entry(&list->entries[i]);
	free(list->entries);
	*list = (pen_amendments){0};
}

penstock_status
pen_amendments_add(pen_amendments *list, const pen_amendment *entry, pen_error *error)
{
	pen_amendment copy = {.added = entry->added};
	pen_amendment *grown;

	if (list->count >= ENTRIES_MAX)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "tables were added and removed %d times",
							 ENTRIES_MAX);
	if (strpbrk(entry->schema, "\r\n") != NULL || strpbrk(entry->table, "\r\n") != NULL ||
		strpbrk(entry->destination, " \r\n") != NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "a name with a line's end in it can only be listed in --tables");
	copy.destination = strdup(entry->destination);
	copy.schema = strdup(entry->schema);
	copy.table = strdup(entry->table);
	grown = realloc(list->entries, (list->count + 1) * sizeof(*grown));
	if (grown != NULL)
		list->entries = grown;
	if (grown == NULL || copy.destination == NULL || copy.schema == NULL || copy.table == NULL)
	{
		reset_entry(&copy);
		return out_of_memory(error);
	}
	grown[list->count++] = copy;
	return PENSTOCK_OK;
}

penstock_status
pen_amendments_pick(const pen_amendments *all, const char *destination, pen_amendments *own,
					pen_error *error)
{
	for (size_t i = 0; i < all->count; i++)
	{
		if (strcmp(all->entries[i].destination, destination) == 0 &&
			pen_amendments_add(own, &all->entries[i], error) < 0)
		{
			pen_amendments_reset(own);
			return error->status;
		}
	}
	return PENSTOCK_OK;
}

/* ---- asking ---- */

static bool
is_of(const pen_amendment *entry, const char *schema, const char *table)
{
	return strcmp(entry->table, table) == 0 && strcmp(entry->schema, schema) == 0;
}

int
pen_amendments_say(const pen_amendments *list, const char *schema, const char *table)
{
	for (size_t i = list != NULL ? list->count : 0; i > 0; i--)
	{
		if (is_of(&list->entries[i - 1], schema, table))
			return list->entries[i - 1].added ? 1 : -1;
	}
	return 0;
}

bool
pen_amendments_mention(const pen_amendments *list, const char *schema, const char *table)
{
	for (size_t i = 0; list != NULL && i < list->count; i++)
	{
		if (list->entries[i].added && is_of(&list->entries[i], schema, table))
			return true;
	}
	return false;
}

static void
write_part(FILE *out, const char *name)
{
	for (; *name != '\0'; name++)
	{
		if (strchr("\\.,* \t", *name) != NULL)
			fputc('\\', out);
		fputc(*name, out);
	}
}

static void
write_name(FILE *out, const pen_amendment *entry)
{
	write_part(out, entry->schema);
	fputc('.', out);
	write_part(out, entry->table);
}

char *
pen_amendments_patterns(const pen_amendments *list)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	bool any = false;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < list->count; i++)
	{
		if (!list->entries[i].added)
			continue;
		fputs(any ? "," : "", out);
		write_name(out, &list->entries[i]);
		any = true;
	}
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

void
pen_amendments_fingerprint(const pen_amendments *list, size_t count, const char plain[17],
						   char fingerprint[17])
{
	memmove(fingerprint, plain, 17);
	for (size_t i = 0; list != NULL && i < count; i++)
	{
		const pen_amendment *entry = &list->entries[i];
		XXH64_hash_t hash = XXH64(fingerprint, 16, entry->added);

		hash = XXH64(entry->schema, strlen(entry->schema) + 1, hash);
		hash = XXH64(entry->table, strlen(entry->table) + 1, hash);
		snprintf(fingerprint, 17, "%016llx", (unsigned long long) hash);
	}
}

/* ---- the file ---- */

static penstock_status
file_error(pen_error *error, const char *what, const char *path)
{
	return pen_error_set(error, PENSTOCK_E_RETRY, "could not %s %s: %s", what, path,
						 strerror(errno));
}

static void
print(const pen_amendments *list, FILE *out)
{
	for (size_t i = 0; i < list->count; i++)
	{
		fprintf(out, "%c %s ", list->entries[i].added ? '+' : '-', list->entries[i].destination);
		write_name(out, &list->entries[i]);
		fputc('\n', out);
	}
}

/* The line is cut into pieces. */
static penstock_status
read_line(pen_amendments *list, char *line, pen_error *error)
{
	char *name = line + 2;
	char *space = line[0] != '\0' && line[1] == ' ' ? strchr(name, ' ') : NULL;
	pen_amendment entry = {.destination = name, .added = line[0] == '+'};
	penstock_status status;

	if ((line[0] != '+' && line[0] != '-') || space == NULL)
		return pen_error_set(error, PENSTOCK_E_CONFIG, "a line is not + DESTINATION SCHEMA.TABLE");
	*space = '\0';
	if (pen_route_split_name(space + 1, &entry.schema, &entry.table, error) < 0)
		return error->status;
	if (entry.schema == NULL || entry.table == NULL)
		status = pen_error_set(error, PENSTOCK_E_CONFIG, "a line names no table");
	else
		status = pen_amendments_add(list, &entry, error);
	free(entry.schema);
	free(entry.table);
	return status;
}

penstock_status
pen_amendments_read(pen_amendments *list, const char *path, pen_error *error)
{
	FILE *in = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	penstock_status status = PENSTOCK_OK;

	if (in == NULL)
		return errno == ENOENT ? PENSTOCK_OK : file_error(error, "read", path);
	while (status >= 0 && (length = getline(&line, &size, in)) > 0)
	{
		if (line[length - 1] != '\n' || strlen(line) != (size_t) length)
			status = pen_error_set(error, PENSTOCK_E_CONFIG, "a line has no end");
		else
		{
			line[length - 1] = '\0';
			status = read_line(list, line, error);
		}
	}
	if (status >= 0 && ferror(in))
		status = file_error(error, "read", path);
	else if (status < 0)
		pen_error_context(error, "%s, which lists tables that were added and removed", path);
	free(line);
	fclose(in);
	if (status < 0)
		pen_amendments_reset(list);
	return status;
}

static penstock_status
sync_parent(const char *path, pen_error *error)
{
	char *parent = strndup(path, (size_t) (strrchr(path, '/') - path));
	int fd = parent != NULL ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	penstock_status status = PENSTOCK_OK;

	if (fd < 0 || fsync(fd) != 0)
		status = file_error(error, "write", path);
	if (fd >= 0)
		close(fd);
	free(parent);
	return status;
}

penstock_status
pen_amendments_write(const pen_amendments *list, const char *path, pen_error *error)
{
	char *temporary = NULL;
	penstock_status status = PENSTOCK_OK;
	FILE *out;

	if (asprintf(&temporary, "%s.new", path) < 0)
		return out_of_memory(error);
	out = fopen(temporary, "we");
	if (out != NULL)
		print(list, out);
	if (out == NULL || fflush(out) != 0 || ferror(out) || fsync(fileno(out)) != 0)
		status = file_error(error, "write", temporary);
	if (out != NULL && fclose(out) != 0 && status >= 0)
		status = file_error(error, "write", temporary);
	if (status >= 0 && rename(temporary, path) != 0)
		status = file_error(error, "write", path);
	if (status >= 0)
		status = sync_parent(path, error);
	free(temporary);
	return status;
}
