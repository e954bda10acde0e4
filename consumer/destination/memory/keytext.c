/* keytext.c -- read key values as PostgreSQL prints them.
 * Strict: a text that PostgreSQL would not print finds nothing anyway. */
#include "destination/memory/keytext.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static bool
read_int(const char *text, int64_t min, int64_t max, int64_t *value)
{
	char *end;
	long long number;

	if (!isdigit((unsigned char) text[0]) && text[0] != '-')
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	*value = number;
	return errno == 0 && end != text && *end == '\0' && number >= min && number <= max;
}

static bool
read_double(const char *text, double *value)
{
	char *end;

	*value = strtod(text, &end);
	return end != text && *end == '\0' && !isspace((unsigned char) text[0]);
}

static int
hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, tolower((unsigned char) c)) : NULL;

	return at != NULL ? (int) (at - digits) : -1;
}

/* Pairs of digits until the end of text; dashes between them are skipped where allowed. */
static bool
read_hex(const char *text, bool dashes, uint8_t *bytes, size_t size, size_t *len)
{
	*len = 0;
	while (*text != '\0')
	{
		int high;
		int low;

		if (dashes && *text == '-')
		{
			text++;
			continue;
		}
		high = hex_digit(text[0]);
		low = high >= 0 ? hex_digit(text[1]) : -1;
		if (low < 0 || *len == size)
			return false;
		bytes[(*len)++] = (uint8_t) (high << 4 | low);
		text += 2;
	}
	return true;
}

/* Days since 2000-01-01 in the Gregorian calendar. */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
	int64_t era;
	int64_t year_of_era;
	int64_t day_of_year;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	year_of_era = year - era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
		   730425;
}

/* "2026-11-21", consumed from *text. */
static bool
read_date(const char **text, int64_t *days)
{
	unsigned year;
	unsigned month;
	unsigned day;
	int used = 0;

	if (sscanf(*text, "%7u-%2u-%2u%n", &year, &month, &day, &used) != 3 || used == 0 || month < 1 ||
		month > 12 || day < 1 || day > 31)
		return false;
	*days = days_of(year, month, day);
	*text += used;
	return true;
}

/* "12:34:56.789", consumed from *text. */
static bool
read_time(const char **text, int64_t *microseconds)
{
	unsigned hour;
	unsigned minute;
	unsigned second;
	int used = 0;
	int64_t fraction = 0;

	if (sscanf(*text, "%2u:%2u:%2u%n", &hour, &minute, &second, &used) != 3 || used == 0 ||
		hour > 24 || minute > 59 || second > 60)
		return false;
	*text += used;
	if (**text == '.')
	{
		int64_t unit = 100000;

		for ((*text)++; isdigit((unsigned char) **text); (*text)++, unit /= 10)
			fraction += (**text - '0') * unit;
	}
	*microseconds = ((int64_t) (hour * 60 + minute) * 60 + second) * 1000000 + fraction;
	return true;
}

static bool
read_timestamp(const char *text, bool zone, int64_t *value)
{
	int64_t days;
	int64_t time;

	if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0)
	{
		*value = text[0] == '-' ? INT64_MIN : INT64_MAX;
		return true;
	}
	if (!read_date(&text, &days) || *text++ != ' ' || !read_time(&text, &time))
		return false;
	*value = days * INT64_C(86400000000) + time;
	return strcmp(text, zone ? "+00" : "") == 0;
}

static bool
read_moment(const char *text, pen_encoding encoding, int64_t *value)
{
	if (encoding == PEN_ENCODING_TIMESTAMP || encoding == PEN_ENCODING_TIMESTAMPTZ)
		return read_timestamp(text, encoding == PEN_ENCODING_TIMESTAMPTZ, value);
	if (encoding == PEN_ENCODING_TIME)
		return read_time(&text, value) && *text == '\0';
	if (strcmp(text, "infinity") == 0 || strcmp(text, "-infinity") == 0)
	{
		*value = text[0] == '-' ? INT32_MIN : INT32_MAX;
		return true;
	}
	return read_date(&text, value) && *text == '\0';
}

static bool
write_uuid(pen_wire_buf *value, const char *text)
{
	uint8_t bytes[16];
	size_t len;

	if (!read_hex(text, true, bytes, sizeof(bytes), &len) || len != sizeof(bytes))
		return false;
	pen_wire_write_bytes(value, PEN_TUPLE_NEW, bytes, len);
	return true;
}

/* "\x00ff" */
static bool
write_bytea(pen_wire_buf *value, const char *text)
{
	size_t size = strlen(text) / 2;
	uint8_t *bytes;
	size_t len;
	bool ok;

	if (text[0] != '\\' || text[1] != 'x')
		return false;
	bytes = malloc(size);
	ok = bytes != NULL && read_hex(text + 2, false, bytes, size, &len);
	if (ok)
		pen_wire_write_bytes(value, PEN_TUPLE_NEW, bytes, len);
	free(bytes);
	return ok;
}

penstock_status
pen_keytext_write(pen_wire_buf *value, const penstock_column *column, const char *text)
{
	pen_encoding encoding = (pen_encoding) column->encoding;
	int64_t integer;
	double number;
	bool ok = text != NULL;

	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			ok = ok && (strcmp(text, "t") == 0 || strcmp(text, "f") == 0);
			if (ok)
				pen_wire_write_bool(value, PEN_TUPLE_NEW, text[0] == 't');
			break;
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
			ok = ok && read_int(text, INT64_MIN, INT64_MAX, &integer);
			if (ok)
				pen_wire_write_int(value, PEN_TUPLE_NEW, integer);
			break;
		case PEN_ENCODING_DATE:
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			ok = ok && read_moment(text, encoding, &integer);
			if (ok)
				pen_wire_write_int(value, PEN_TUPLE_NEW, integer);
			break;
		case PEN_ENCODING_FLOAT4:
			ok = ok && read_double(text, &number);
			if (ok)
				pen_wire_write_float(value, PEN_TUPLE_NEW, strtof(text, NULL));
			break;
		case PEN_ENCODING_FLOAT8:
			ok = ok && read_double(text, &number);
			if (ok)
				pen_wire_write_double(value, PEN_TUPLE_NEW, number);
			break;
		case PEN_ENCODING_TEXT:
		case PEN_ENCODING_OUTPUT:
			if (ok)
				pen_wire_write_string(value, PEN_TUPLE_NEW, text, strlen(text));
			break;
		case PEN_ENCODING_BYTEA:
			ok = ok && write_bytea(value, text);
			break;
		case PEN_ENCODING_UUID:
			ok = ok && write_uuid(value, text);
			break;
		default:
			ok = false;
	}
	return ok ? PENSTOCK_OK : PENSTOCK_E_CONFIG;
}
