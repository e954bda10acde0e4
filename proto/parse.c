/* parse.c -- a value from the text that PostgreSQL prints for it.
 * All of the text has to be used, and the result is checked as one from the wire is. */
#include "parse.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY    (86400 * US_PER_SECOND)

/* What is left of a text. */
typedef struct cursor
{
	const char *pos;
	const char *end;
} cursor;

static bool
take(cursor *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t) (c->end - c->pos) < len || memcmp(c->pos, word, len) != 0)
		return false;
	c->pos += len;
	return true;
}

static bool
is(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* A number of min to max digits. */
static bool
take_digits(cursor *c, int min, int max, int64_t *number)
{
	int count = 0;

	for (*number = 0; count < max && c->pos < c->end && *c->pos >= '0' && *c->pos <= '9'; count++)
		*number = *number * 10 + (*c->pos++ - '0');
	return count >= min;
}

/* ---- numbers ---- */

static bool
parse_int(const char *text, size_t len, int64_t *number)
{
	bool negative = len > 0 && text[0] == '-';
	uint64_t limit = negative ? (uint64_t) INT64_MAX + 1 : INT64_MAX;
	uint64_t result = 0;

	if (len == negative)
		return false;
	for (size_t i = negative; i < len; i++)
	{
		uint64_t digit = (uint64_t) (text[i] - '0');

		if (text[i] < '0' || text[i] > '9' || result > (limit - digit) / 10)
			return false;
		result = result * 10 + digit;
	}
	*number = negative ? (int64_t) (0 - result) : (int64_t) result;
	return true;
}

#define FLOAT_TEXT_MAX 400

/* strtod reads the locale's decimal point, which a host program may have set: give it that one. */
static bool
parse_finite(const char *text, size_t len, bool single, double *number)
{
	const char *point = localeconv()->decimal_point;
	char copy[FLOAT_TEXT_MAX + 16];
	cursor c = {text, text + len};
	char *to = copy;
	char *end;

	if (len == 0 || len > FLOAT_TEXT_MAX || strlen(point) > 15)
		return false;
	for (bool seen = false; c.pos < c.end; c.pos++)
	{
		if (*c.pos == '.' && !seen)
		{
			seen = true;
			memcpy(to, point, strlen(point));
			to += strlen(point);
		}
		else if ((*c.pos >= '0' && *c.pos <= '9') || *c.pos == '-' || *c.pos == '+' ||
				 *c.pos == 'e' || *c.pos == 'E')
			*to++ = *c.pos;
		else
			return false;
	}
	*to = '\0';
	*number = single ? (double) strtof(copy, &end) : strtod(copy, &end);
	return end == to && isfinite(*number);
}

static bool
parse_float(const char *text, size_t len, bool single, double *number)
{
	if (is(text, len, "NaN"))
		*number = (double) NAN;
	else if (is(text, len, "Infinity"))
		*number = (double) INFINITY;
	else if (is(text, len, "-Infinity"))
		*number = -(double) INFINITY;
	else
		return parse_finite(text, len, single, number);
	return true;
}

static bool
parse_bool(const char *text, size_t len, bool *truth)
{
	*truth = is(text, len, "t") || is(text, len, "true");
	return *truth || is(text, len, "f") || is(text, len, "false");
}

/* ---- dates and times ---- */

/* Days from 2000-01-01; year 0 is 1 BC. */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t shifted = month <= 2 ? year - 1 : year;
	int64_t era = (shifted >= 0 ? shifted : shifted - 399) / 400;
	int64_t of_era = shifted - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730425;
}

static bool
day_exists(int64_t year, int64_t month, int64_t day)
{
	static const int lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	if (month < 1 || month > 12 || day < 1 || day > lengths[month - 1])
		return false;
	return month != 2 || day < 29 || leap;
}

/* YYYY-MM-DD; " BC" stands at the end of the whole text and has been cut off there. */
static bool
take_date(cursor *c, bool bc, int64_t *days)
{
	int64_t year;
	int64_t month;
	int64_t day;

	if (!take_digits(c, 4, 7, &year) || year == 0 || !take(c, "-") ||
		!take_digits(c, 2, 2, &month) || !take(c, "-") || !take_digits(c, 2, 2, &day))
		return false;
	if (bc)
		year = 1 - year;
	*days = days_of(year, month, day);
	return day_exists(year, month, day);
}

/* HH:MM:SS and up to six decimals. */
static bool
take_clock(cursor *c, int64_t *microseconds)
{
	int64_t hour;
	int64_t minute;
	int64_t second;
	int64_t fraction = 0;
	const char *start;

	if (!take_digits(c, 2, 2, &hour) || !take(c, ":") || !take_digits(c, 2, 2, &minute) ||
		!take(c, ":") || !take_digits(c, 2, 2, &second) || minute > 59 || second > 59)
		return false;
	if (take(c, "."))
	{
		start = c->pos;
		if (!take_digits(c, 1, 6, &fraction))
			return false;
		for (long digits = c->pos - start; digits < 6; digits++)
			fraction *= 10;
	}
	*microseconds = ((hour * 60 + minute) * 60 + second) * US_PER_SECOND + fraction;
	return *microseconds <= US_PER_DAY;
}

/* Z or +HH[:MM[:SS]]. */
static bool
take_zone(cursor *c, int64_t *seconds)
{
	bool west = false;
	int64_t hour;
	int64_t minute = 0;
	int64_t second = 0;

	*seconds = 0;
	if (take(c, "Z"))
		return true;
	if (!take(c, "+"))
	{
		west = take(c, "-");
		if (!west)
			return false;
	}
	if (!take_digits(c, 2, 2, &hour))
		return false;
	if (take(c, ":") && !take_digits(c, 2, 2, &minute))
		return false;
	if (take(c, ":") && !take_digits(c, 2, 2, &second))
		return false;
	*seconds = (hour * 60 + minute) * 60 + second;
	if (west)
		*seconds = -*seconds;
	return hour < 16 && minute < 60 && second < 60;
}

static bool
take_bc(cursor *c)
{
	if (c->end - c->pos < 3 || memcmp(c->end - 3, " BC", 3) != 0)
		return false;
	c->end -= 3;
	return true;
}

static bool
parse_date(const char *text, size_t len, int64_t *days)
{
	cursor c = {text, text + len};
	bool bc;

	if (is(text, len, "infinity") || is(text, len, "-infinity"))
	{
		*days = *text == '-' ? INT32_MIN : INT32_MAX;
		return true;
	}
	bc = take_bc(&c);
	return take_date(&c, bc, days) && c.pos == c.end && *days > INT32_MIN && *days < INT32_MAX;
}

static bool
parse_timestamp(const char *text, size_t len, bool zone, int64_t *microseconds)
{
	cursor c = {text, text + len};
	int64_t days;
	int64_t clock;
	int64_t offset = 0;
	bool bc;

	if (is(text, len, "infinity") || is(text, len, "-infinity"))
	{
		*microseconds = *text == '-' ? INT64_MIN : INT64_MAX;
		return true;
	}
	bc = take_bc(&c);
	if (!take_date(&c, bc, &days) || (!take(&c, " ") && !take(&c, "T")) || !take_clock(&c, &clock))
		return false;
	if (zone && !take_zone(&c, &offset))
		return false;
	/* The type ends early in the year 294277. */
	if (c.pos != c.end || days > INT64_MAX / US_PER_DAY - 2 || days < INT64_MIN / US_PER_DAY + 2)
		return false;
	*microseconds = days * US_PER_DAY + clock - offset * US_PER_SECOND;
	return true;
}

static bool
parse_time(const char *text, size_t len, int64_t *microseconds)
{
	cursor c = {text, text + len};

	return take_clock(&c, microseconds) && c.pos == c.end;
}

/* ---- bytes ---- */

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
		   : c >= 'a' && c <= 'f' ? c - 'a' + 10
		   : c >= 'A' && c <= 'F' ? c - 'A' + 10
								  : -1;
}

/* Pairs of digits; with dashes, any number of them between pairs. */
static bool
parse_hex(const char *text, size_t len, bool dashes, pen_wire_buf *space, pen_value *value)
{
	size_t start = space->len;

	for (size_t i = 0; i < len; i += 2)
	{
		int high;
		int low;

		while (dashes && i < len && text[i] == '-')
			i++;
		high = i < len ? hex_digit(text[i]) : -1;
		low = i + 1 < len ? hex_digit(text[i + 1]) : -1;
		if (high < 0 || low < 0)
			return false;
		pen_wire_append(space, &(uint8_t){(uint8_t) (high << 4 | low)}, 1);
	}
	value->kind = PEN_VALUE_BYTES;
	value->len = space->len - start;
	value->data = value->len > 0 ? space->data + start : (const uint8_t *) "";
	return !space->failed;
}

/* ---- any value ---- */

static bool
parse(pen_encoding encoding, const char *text, size_t len, pen_wire_buf *space, pen_value *value)
{
	double number;

	value->kind = PEN_VALUE_INT;
	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			value->kind = PEN_VALUE_BOOL;
			return parse_bool(text, len, &value->boolean);
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
			return parse_int(text, len, &value->integer);
		case PEN_ENCODING_DATE:
			return parse_date(text, len, &value->integer);
		case PEN_ENCODING_TIME:
			return parse_time(text, len, &value->integer);
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			return parse_timestamp(text, len, encoding == PEN_ENCODING_TIMESTAMPTZ,
								   &value->integer);
		case PEN_ENCODING_FLOAT4:
			value->kind = PEN_VALUE_FLOAT;
			if (!parse_float(text, len, true, &number))
				return false;
			value->float4 = (float) number;
			return true;
		case PEN_ENCODING_FLOAT8:
			value->kind = PEN_VALUE_DOUBLE;
			return parse_float(text, len, false, &value->float8);
		case PEN_ENCODING_BYTEA:
			return len >= 2 && text[0] == '\\' && text[1] == 'x' &&
				   parse_hex(text + 2, len - 2, false, space, value);
		case PEN_ENCODING_UUID:
			return parse_hex(text, len, true, space, value);
		case PEN_ENCODING_TEXT:
		case PEN_ENCODING_OUTPUT:
			value->data = (const uint8_t *) text;
			value->len = len;
			/* What is not UTF-8 travels as bytes. */
			value->kind = pen_utf8_valid(value->data, len) ? PEN_VALUE_STRING : PEN_VALUE_BYTES;
			return true;
		default:
			return false;
	}
}

const char *
pen_parse_value(pen_encoding encoding, uint32_t base_type_oid, const char *text, size_t len,
				pen_wire_buf *space, pen_value *value)
{
	if (!parse(encoding, text, len, space, value))
		return space->failed ? "out of memory" : "not as PostgreSQL prints values of this type";
	return pen_check_value(encoding, base_type_oid, value);
}
