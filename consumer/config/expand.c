/* expand.c -- ${VAR} in values, so that secrets need not stand in files.
 * What was put in is not looked at again: a ${ in a variable's value is plain. */
#include "config/expand.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define NAME_BYTES_MAX 255

/* What stands behind "${"; *end is behind its "}". NULL and error. */
static const char *
look_up(const char *text, const char **end, pen_error *error)
{
	char name[NAME_BYTES_MAX + 1];
	size_t length = 0;
	const char *value;

	while (isalnum((unsigned char) text[length]) || text[length] == '_')
		length++;
	if (length == 0 || length > NAME_BYTES_MAX || isdigit((unsigned char) text[0]) ||
		text[length] != '}')
	{
		pen_error_set(error, PENSTOCK_E_CONFIG,
					  "${ is followed by the name of an environment variable and }; a plain ${ is "
					  "written $${");
		return NULL;
	}
	memcpy(name, text, length);
	name[length] = '\0';
	*end = text + length + 1;
	value = getenv(name);
	if (value == NULL)
		pen_error_set(error, PENSTOCK_E_CONFIG, "the environment variable %s is not set", name);
	return value;
}

char *
pen_expand(const char *value, bool *expanded, pen_error *error)
{
	pen_wire_buf buf;

	pen_buffer_init(&buf);
	*expanded = false;
	while (*value != '\0')
	{
		bool plain = strncmp(value, "$${", 3) == 0;

		if (plain)
			value++;
		if (!plain && strncmp(value, "${", 2) == 0)
		{
			const char *found = look_up(value + 2, &value, error);

			if (found == NULL)
			{
				pen_buffer_reset(&buf);
				return NULL;
			}
			pen_wire_append(&buf, found, strlen(found));
			*expanded = true;
			continue;
		}
		pen_wire_append(&buf, value, plain ? 2 : 1);
		value += plain ? 2 : 1;
	}
	pen_wire_append(&buf, "", 1);
	if (!buf.failed)
		return (char *) buf.data;
	pen_buffer_reset(&buf);
	pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a configuration file");
	return NULL;
}

/* password = something that is not a variable. */
static bool
has_keyword(const char *value)
{
	const char *found = value;

	while ((found = strstr(found, "password")) != NULL)
	{
		found += strlen("password");
		found += strspn(found, " ");
		if (*found != '=')
			continue;
		found += 1 + strspn(found + 1, " ");
		if (*found == '\'')
			found++;
		if (*found != '\0' && strncmp(found, "${", 2) != 0)
			return true;
	}
	return false;
}

/* scheme://user:password@… */
static bool
has_user_info(const char *value)
{
	const char *authority = strstr(value, "://");
	size_t length;
	const char *at;
	const char *colon;

	if (authority == NULL)
		return false;
	authority += 3;
	length = strcspn(authority, "/?");
	at = memchr(authority, '@', length);
	colon = at != NULL ? memchr(authority, ':', (size_t) (at - authority)) : NULL;
	return colon != NULL && colon + 1 < at && strncmp(colon + 1, "${", 2) != 0;
}

bool
pen_expand_has_password(const char *value)
{
	return has_keyword(value) || has_user_info(value);
}
