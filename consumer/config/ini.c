/* ini.c -- an INI file by way of libini-config.
 *
 * That library reads keys and values, knows their lines and collects what is malformed. But it
 * merges sections of one name, takes upper and lower case for the same, knows only ASCII in keys,
 * and with one bad line gives back nothing of the others. So it is handed the file in a form that
 * survives: sections and keys under the number of their line, keys with %XX for all but lower case
 * and digits, and, once they are told, bad lines as comments. */
#include "config/ini.h"

#include <ctype.h>
#include <ini_configobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "print.h"

#define KEY_BYTES_MAX 300 /* three of these for each byte must fit into libini-config's 1024 */

#define PARSE_FLAGS     (INI_PARSE_NOWRAP | INI_PARSE_NO_C_COMMENTS)
#define COLLISION_FLAGS (INI_MV1S_ALLOW | INI_MV2S_ALLOW | INI_MS_MERGE)

/* A line of the file, without its end and the white space around. */
typedef struct line
{
	const char *text;
	size_t length;
	bool bad; /* told already */
} line;

typedef struct parser
{
	line *lines;
	size_t line_count;
	pen_ini *ini;
	pen_ini_report report;
	void *context;
	bool reported;
	pen_error *error;
} parser;

static penstock_status
no_memory(parser *p)
{
	return pen_error_set(p->error, PENSTOCK_E_RETRY, "out of memory for a configuration file");
}

static void
report_line(parser *p, size_t number, const char *problem)
{
	p->reported = true;
	p->lines[number - 1].bad = true;
	p->report(p->context, (int) number, problem);
}

/* ---- lines ---- */

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static line
trim(const char *text, size_t length)
{
	while (length > 0 && is_white(*text))
		text++, length--;
	while (length > 0 && is_white(text[length - 1]))
		length--;
	return (line){.text = text, .length = length};
}

static penstock_status
split_lines(parser *p, const char *text, size_t length)
{
	const char *end = text + length;
	size_t count = 1;

	if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3;
	for (const char *c = text; c < end; c++)
		count += *c == '\n';
	p->lines = calloc(count, sizeof(*p->lines));
	if (p->lines == NULL)
		return no_memory(p);
	while (p->line_count < count)
	{
		const char *newline = memchr(text, '\n', (size_t) (end - text));
		const char *stop = newline != NULL ? newline : end;

		p->lines[p->line_count++] = trim(text, (size_t) (stop - text));
		text = stop < end ? stop + 1 : end;
	}
	return PENSTOCK_OK;
}

static bool
is_comment(const line *l)
{
	return l->length == 0 || l->text[0] == ';' || l->text[0] == '#';
}

static bool
is_header(const line *l)
{
	return l->length > 0 && l->text[0] == '[';
}

static line
header_name(const line *l)
{
	return trim(l->text + 1, l->length - 2);
}

/* What libini-config would not find, or only say of the file. */
static void
check_lines(parser *p)
{
	bool in_section = false;

	for (size_t i = 0; i < p->line_count; i++)
	{
		const line *l = &p->lines[i];
		const char *equal = l->length > 0 ? memchr(l->text, '=', l->length) : NULL;

		if (l->length > 0 && memchr(l->text, '\0', l->length) != NULL)
			report_line(p, i + 1, "a NUL byte");
		else if (!pen_utf8_valid((const uint8_t *) l->text, l->length))
			report_line(p, i + 1, "this is not UTF-8");
		else if (is_header(l))
			in_section = true;
		else if (!is_comment(l) && !in_section)
			report_line(p, i + 1, "this stands before any [section]");
		else if (!is_comment(l) && equal != NULL && equal - l->text > KEY_BYTES_MAX)
			report_line(p, i + 1, "the key is too long");
	}
}

/* ---- to libini-config ---- */

static void
append_key(pen_wire_buf *buf, const char *key, size_t length, size_t number)
{
	char prefix[32];

	if (length == 0) /* libini-config tells */
		return;
	snprintf(prefix, sizeof(prefix), "%zu.", number);
	pen_wire_append(buf, prefix, strlen(prefix));
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) key[i];
		char escaped[4];

		if ((c >= 'a' && c <= 'z') || isdigit(c) || c == '_' || c == '.' || c == '-')
			pen_wire_append(buf, &c, 1);
		else
		{
			snprintf(escaped, sizeof(escaped), "%%%02X", c);
			pen_wire_append(buf, escaped, 3);
		}
	}
}

static void
append_line(pen_wire_buf *buf, const line *l, size_t number)
{
	const char *equal;
	char header[32];

	/* Also a bad header ends what stands before it. */
	if (is_header(l) && (l->bad || (l->text[l->length - 1] == ']' && header_name(l).length > 0)))
	{
		snprintf(header, sizeof(header), "[%zu]", number);
		pen_wire_append(buf, header, strlen(header));
	}
	else if (!l->bad && !is_comment(l))
	{
		equal = memchr(l->text, '=', l->length);
		if (is_header(l) || equal == NULL)
			pen_wire_append(buf, l->text, l->length);
		else
		{
			line key = trim(l->text, (size_t) (equal - l->text));

			append_key(buf, key.text, key.length, number);
			pen_wire_append(buf, equal, (size_t) (l->text + l->length - equal));
		}
	}
	pen_wire_append(buf, "\n", 1);
}

/* "Error (5) on line 3: Equal sign is missing." */
static void
report_library_error(parser *p, const char *text)
{
	const char *number = strstr(text, " on line ");
	const char *problem = number != NULL ? strstr(number, ": ") : NULL;
	size_t at = number != NULL ? strtoul(number + 9, NULL, 10) : 0;
	char copy[200];
	size_t length;

	if (problem == NULL || at == 0 || at > p->line_count)
	{
		p->reported = true;
		p->report(p->context, 1, "the file cannot be read as one");
		return;
	}
	snprintf(copy, sizeof(copy), "%s", problem + 2);
	length = strlen(copy);
	if (length > 0 && copy[length - 1] == '.')
		copy[length - 1] = '\0';
	copy[0] = (char) tolower((unsigned char) copy[0]);
	report_line(p, at, copy);
}

/* One reading. PENSTOCK_AGAIN: bad lines were found and told. */
static penstock_status
read_once(parser *p, struct ini_cfgobj *config)
{
	struct ini_cfgfile *file = NULL;
	pen_wire_buf text;
	char **errors = NULL;
	int failed;

	pen_buffer_init(&text);
	for (size_t i = 0; i < p->line_count; i++)
		append_line(&text, &p->lines[i], i + 1);
	if (text.failed || ini_config_file_from_mem(text.data, (uint32_t) text.len, &file) != 0)
	{
		pen_buffer_reset(&text);
		return no_memory(p);
	}
	failed = ini_config_parse(file, INI_STOP_ON_NONE, COLLISION_FLAGS, PARSE_FLAGS, config);
	if (failed != 0 && ini_config_get_errors(config, &errors) == 0)
	{
		for (size_t i = 0; errors[i] != NULL; i++)
			report_library_error(p, errors[i]);
		ini_config_free_errors(errors);
	}
	ini_config_file_destroy(file);
	pen_buffer_reset(&text);
	if (failed == 0)
		return PENSTOCK_OK;
	return p->reported ? PENSTOCK_AGAIN : no_memory(p);
}

/* ---- from libini-config ---- */

static int
hex_digit(char c)
{
	return isdigit((unsigned char) c) ? c - '0' : c - 'A' + 10;
}

static char *
decode_key(const char *key)
{
	char *decoded = malloc(strlen(key) + 1);
	char *to = decoded;

	while (decoded != NULL && *key != '\0')
	{
		if (*key == '%')
		{
			*to++ = (char) (hex_digit(key[1]) << 4 | hex_digit(key[2]));
			key += 3;
		}
		else
			*to++ = *key++;
	}
	if (decoded != NULL)
		*to = '\0';
	return decoded;
}

static penstock_status
take_entry(parser *p, struct ini_cfgobj *config, const char *section, const char *numbered,
		   pen_ini_section *into)
{
	pen_ini_entry *entry = &into->entries[into->count];
	struct value_obj *value = NULL;
	int failed = 0;
	char *key;
	char *text;

	entry->line = (int) strtoul(numbered, &key, 10);
	if (*key != '.' ||
		ini_get_config_valueobj(section, numbered, config, INI_GET_FIRST_VALUE, &value) != 0 ||
		value == NULL)
		return no_memory(p);
	text = ini_get_string_config_value(value, &failed);
	entry->value = text != NULL ? text : strdup("");
	entry->key = decode_key(key + 1);
	into->count++;
	return entry->key != NULL && entry->value != NULL ? PENSTOCK_OK : no_memory(p);
}

static int
compare_entries(const void *left, const void *right)
{
	return ((const pen_ini_entry *) left)->line - ((const pen_ini_entry *) right)->line;
}

static penstock_status
take_section(parser *p, struct ini_cfgobj *config, size_t number, pen_ini_section *into)
{
	char section[32];
	char **keys;
	int count = 0;
	int failed = 0;
	penstock_status status = PENSTOCK_OK;

	snprintf(section, sizeof(section), "%zu", number);
	keys = ini_get_attribute_list(config, section, &count, &failed);
	if (keys == NULL)
		return failed == 0 ? PENSTOCK_OK : no_memory(p);
	into->entries = calloc((size_t) count + 1, sizeof(*into->entries));
	if (into->entries == NULL)
		status = no_memory(p);
	for (int i = 0; status >= 0 && i < count; i++)
		status = take_entry(p, config, section, keys[i], into);
	ini_free_attribute_list(keys);
	if (status < 0)
		return status;
	qsort(into->entries, into->count, sizeof(*into->entries), compare_entries);
	return PENSTOCK_OK;
}

static penstock_status
take_sections(parser *p, struct ini_cfgobj *config)
{
	pen_ini *ini = p->ini;

	ini->sections = calloc(p->line_count, sizeof(*ini->sections));
	if (ini->sections == NULL)
		return no_memory(p);
	for (size_t i = 0; i < p->line_count; i++)
	{
		const line *l = &p->lines[i];
		pen_ini_section *section = &ini->sections[ini->count];

		if (!is_header(l))
			continue;
		ini->count++;
		section->line = (int) i + 1;
		if (l->bad)
			continue;
		section->name = strndup(header_name(l).text, header_name(l).length);
		if (section->name == NULL)
			return no_memory(p);
		if (take_section(p, config, i + 1, section) < 0)
			return p->error->status;
	}
	return PENSTOCK_OK;
}

penstock_status
pen_ini_parse(const char *text, size_t length, pen_ini *ini, pen_ini_report report, void *context,
			  pen_error *error)
{
	parser p = {.ini = ini, .report = report, .context = context, .error = error};
	penstock_status status = PENSTOCK_AGAIN;

	*ini = (pen_ini){0};
	pen_error_clear(error);
	if (split_lines(&p, text, length) < 0)
		return error->status;
	check_lines(&p);
	/* The second time no bad line is left. */
	for (int i = 0; status == PENSTOCK_AGAIN && i < 2; i++)
	{
		struct ini_cfgobj *config = NULL;

		if (ini_config_create(&config) != 0)
			status = no_memory(&p);
		else
			status = read_once(&p, config);
		if (status == PENSTOCK_OK)
			status = take_sections(&p, config);
		ini_config_destroy(config);
	}
	free(p.lines);
	if (status >= 0 && p.reported)
		status = pen_error_set(error, PENSTOCK_E_CONFIG, "malformed lines");
	return status;
}

void
pen_ini_reset(pen_ini *ini)
{
	for (size_t i = 0; i < ini->count; i++)
	{
		pen_ini_section *section = &ini->sections[i];

		for (size_t j = 0; j < section->count; j++)
		{
			free(section->entries[j].key);
			free(section->entries[j].value);
		}
		free(section->entries);
		free(section->name);
	}
	free(ini->sections);
	*ini = (pen_ini){0};
}
