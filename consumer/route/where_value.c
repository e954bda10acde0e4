/* where_value.c -- literals and values, and PostgreSQL's order among them.
 * Numbers that are exact there are compared exactly here: as integers where both are, else digit
 * by digit. */
#include "route/where_value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "types.h"

#define INT64_DIGITS   18    /* that certainly fit */
#define POSTGRES_EPOCH 10957 /* 2000-01-01 in days since 1970-01-01 */
#define DAY_US         INT64_C(86400000000)

pen_comparison
pen_comparison_of(const penstock_column *column)
{
	switch (column->encoding)
	{
		case PEN_ENCODING_BOOL:
			return PEN_AS_BOOL;
		case PEN_ENCODING_INT:
			return PEN_AS_EXACT;
		case PEN_ENCODING_OID:
			return PEN_AS_OID;
		case PEN_ENCODING_FLOAT4:
		case PEN_ENCODING_FLOAT8:
			return PEN_AS_FLOAT;
		case PEN_ENCODING_TEXT:
			return column->base_type_oid == PEN_OID_TEXT ||
						   column->base_type_oid == PEN_OID_VARCHAR ||
						   column->base_type_oid == PEN_OID_BPCHAR
					   ? PEN_AS_TEXT
					   : PEN_AS_NOTHING;
		case PEN_ENCODING_DATE:
			return PEN_AS_DATE;
		case PEN_ENCODING_TIMESTAMP:
			return PEN_AS_TIMESTAMP;
		case PEN_ENCODING_TIMESTAMPTZ:
			return PEN_AS_TIMESTAMPTZ;
		case PEN_ENCODING_UUID:
			return PEN_AS_UUID;
		case PEN_ENCODING_OUTPUT:
			return column->base_type_oid == PEN_OID_NUMERIC ? PEN_AS_EXACT : PEN_AS_NOTHING;
		default:
			return PEN_AS_NOTHING;
	}
}

/* ---- literals ---- */

bool
pen_operand_from_number(pen_comparison as, const char *text, pen_operand *operand)
{
	size_t length = strlen(text);

	*operand = (pen_operand){.kind = PEN_OPERAND_DECIMAL, .bytes = text, .length = length};
	if (length <= INT64_DIGITS && strchr(text, '.') == NULL)
	{
		operand->kind = PEN_OPERAND_INTEGER;
		operand->integer = strtoll(text, NULL, 10);
	}
	if (as == PEN_AS_FLOAT)
	{
		operand->kind = PEN_OPERAND_DOUBLE;
		errno = 0;
		operand->number = strtod(text, NULL);
		return errno != ERANGE;
	}
	if (as == PEN_AS_OID)
		return operand->kind == PEN_OPERAND_INTEGER && operand->integer >= 0 &&
			   operand->integer <= UINT32_MAX;
	return as == PEN_AS_EXACT;
}

/* Exactly count digits, as a number. */
static bool
read_digits(const char **text, int count, int *number)
{
	*number = 0;
	for (int i = 0; i < count; i++)
	{
		if (!isdigit((unsigned char) **text))
			return false;
		*number = *number * 10 + (*(*text)++ - '0');
	}
	return true;
}

static bool
read_char(const char **text, char c)
{
	if (**text != c)
		return false;
	(*text)++;
	return true;
}

/* YYYY-MM-DD, to days since 2000-01-01. */
static bool
read_date(const char **text, int64_t *days)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year;
	int month;
	int day;
	int leap;
	int64_t before;

	if (!read_digits(text, 4, &year) || !read_char(text, '-') || !read_digits(text, 2, &month) ||
		!read_char(text, '-') || !read_digits(text, 2, &day))
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
		day > lengths[month - 1] + (month == 2 && leap))
		return false;
	/* Days before this year since year 1, of which there were 719162 before 1970. */
	before = (int64_t) (year - 1) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400;
	for (int m = 1; m < month; m++)
		before += lengths[m - 1] + (m == 2 && leap);
	*days = before + day - 1 - 719162 - POSTGRES_EPOCH;
	return true;
}

/* HH:MM:SS, with up to six decimals, to microseconds. */
static bool
read_time(const char **text, int64_t *us)
{
	int hour;
	int minute;
	int second;
	int64_t unit = 1000000;

	if (!read_digits(text, 2, &hour) || !read_char(text, ':') || !read_digits(text, 2, &minute) ||
		!read_char(text, ':') || !read_digits(text, 2, &second) || hour > 23 || minute > 59 ||
		second > 59)
		return false;
	*us = ((int64_t) hour * 3600 + minute * 60 + second) * 1000000;
	if (!read_char(text, '.'))
		return true;
	if (!isdigit((unsigned char) **text))
		return false;
	for (; isdigit((unsigned char) **text) && unit > 1; (*text)++)
	{
		unit /= 10;
		*us += unit * (**text - '0');
	}
	return true;
}

/* Z, or + or -, HH and perhaps :MM; to what is added to reach UTC. */
static bool
read_zone(const char **text, int64_t *us)
{
	bool east = **text == '+';
	int hour;
	int minute = 0;

	*us = 0;
	if (read_char(text, 'Z'))
		return true;
	if (!east && **text != '-')
		return false;
	(*text)++;
	if (!read_digits(text, 2, &hour) || hour > 15 ||
		(read_char(text, ':') && (!read_digits(text, 2, &minute) || minute > 59)))
		return false;
	*us = ((int64_t) hour * 60 + minute) * 60000000 * (east ? -1 : 1);
	return true;
}

static bool
read_timestamp(const char *text, bool with_zone, int64_t *us)
{
	int64_t days;
	int64_t time = 0;
	int64_t shift = 0;
	bool has_time;

	if (!read_date(&text, &days))
		return false;
	has_time = *text == ' ' || *text == 'T';
	if (has_time)
	{
		text++;
		if (!read_time(&text, &time))
			return false;
	}
	if (with_zone && (!has_time || !read_zone(&text, &shift)))
		return false;
	*us = days * DAY_US + time + shift;
	return *text == '\0';
}

/* 8-4-4-4-12 hexadecimal digits. */
static bool
read_uuid(const char *text, char uuid[16])
{
	int nibbles = 0;

	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		int digit;

		if (dash != (text[i] == '-') || (!dash && !isxdigit((unsigned char) text[i])))
			return false;
		if (dash)
			continue;
		digit = isdigit((unsigned char) text[i]) ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10;
		uuid[nibbles / 2] = (char) (nibbles % 2 == 0 ? digit << 4 : uuid[nibbles / 2] | digit);
		nibbles++;
	}
	return true;
}

bool
pen_operand_from_string(pen_comparison as, const char *text, pen_operand *operand)
{
	bool low = strcmp(text, "-infinity") == 0;
	bool infinite = low || strcmp(text, "infinity") == 0;

	*operand = (pen_operand){.kind = PEN_OPERAND_INTEGER};
	switch (as)
	{
		case PEN_AS_TEXT:
			*operand =
				(pen_operand){.kind = PEN_OPERAND_BYTES, .bytes = text, .length = strlen(text)};
			return true;
		case PEN_AS_UUID:
			*operand = (pen_operand){.kind = PEN_OPERAND_BYTES, .length = 16};
			return read_uuid(text, operand->uuid);
		case PEN_AS_DATE:
			operand->integer = low ? INT32_MIN : INT32_MAX;
			return infinite || (read_date(&text, &operand->integer) && *text == '\0');
		case PEN_AS_TIMESTAMP:
		case PEN_AS_TIMESTAMPTZ:
			operand->integer = low ? INT64_MIN : INT64_MAX;
			return infinite || read_timestamp(text, as == PEN_AS_TIMESTAMPTZ, &operand->integer);
		default:
			return false;
	}
}

const char *
pen_operand_form(pen_comparison as)
{
	switch (as)
	{
		case PEN_AS_BOOL:
			return "true or false";
		case PEN_AS_OID:
			return "a whole number from 0 to 4294967295";
		case PEN_AS_EXACT:
		case PEN_AS_FLOAT:
			return "a number, without quotes";
		case PEN_AS_TEXT:
			return "a text between single quotes";
		case PEN_AS_UUID:
			return "a uuid between single quotes";
		case PEN_AS_DATE:
			return "a date such as '2026-12-31'";
		case PEN_AS_TIMESTAMP:
			return "a timestamp such as '2026-12-31 23:59:59'";
		case PEN_AS_TIMESTAMPTZ:
			return "a timestamp with its zone, such as '2026-12-31 23:59:59+00'";
		case PEN_AS_NOTHING:
			break;
	}
	return "NULL";
}

/* ---- values ---- */

size_t
pen_operand_unpadded(const char *text, size_t length)
{
	while (length > 0 && text[length - 1] == ' ')
		length--;
	return length;
}

bool
pen_operand_from_value(pen_comparison as, const penstock_column *column, const pen_value *value,
					   pen_operand *operand)
{
	*operand = (pen_operand){.kind = PEN_OPERAND_NULL};
	if (value->kind == PEN_VALUE_NULL)
		return true;
	switch (as)
	{
		case PEN_AS_BOOL:
			*operand = (pen_operand){.kind = PEN_OPERAND_INTEGER, .integer = value->boolean};
			return value->kind == PEN_VALUE_BOOL;
		case PEN_AS_OID:
		case PEN_AS_DATE:
		case PEN_AS_TIMESTAMP:
		case PEN_AS_TIMESTAMPTZ:
			*operand = (pen_operand){.kind = PEN_OPERAND_INTEGER, .integer = value->integer};
			return value->kind == PEN_VALUE_INT;
		case PEN_AS_FLOAT:
			operand->kind = PEN_OPERAND_DOUBLE;
			operand->number =
				value->kind == PEN_VALUE_FLOAT ? (double) value->float4 : value->float8;
			return value->kind == PEN_VALUE_FLOAT || value->kind == PEN_VALUE_DOUBLE;
		case PEN_AS_EXACT:
			if (value->kind == PEN_VALUE_INT)
				*operand = (pen_operand){.kind = PEN_OPERAND_INTEGER, .integer = value->integer};
			else
				*operand = (pen_operand){.kind = PEN_OPERAND_DECIMAL,
										 .bytes = (const char *) value->data,
										 .length = value->len};
			return value->kind == PEN_VALUE_INT ||
				   (value->kind == PEN_VALUE_STRING && value->len > 0);
		case PEN_AS_TEXT:
		case PEN_AS_UUID:
			if (value->kind != PEN_VALUE_STRING && value->kind != PEN_VALUE_BYTES)
				return false;
			*operand = (pen_operand){.kind = PEN_OPERAND_BYTES,
									 .bytes = (const char *) value->data,
									 .length = value->len};
			if (column->base_type_oid == PEN_OID_BPCHAR)
				operand->length = pen_operand_unpadded(operand->bytes, operand->length);
			return as == PEN_AS_TEXT || value->len == 16;
		case PEN_AS_NOTHING:
			break;
	}
	return false;
}

/* ---- comparing ---- */

static int
sign_of(int64_t left, int64_t right)
{
	return (left > right) - (left < right);
}

/* The digits of a number as it is printed. */
typedef struct decimal
{
	int rank; /* -1: -Infinity, 0: finite, 1: Infinity, 2: NaN */
	bool negative;
	const char *whole; /* without zeros before */
	size_t whole_length;
	const char *fraction; /* without zeros behind */
	size_t fraction_length;
} decimal;

static decimal
split_decimal(const char *text, size_t length)
{
	decimal d = {0};
	const char *end = text + length;
	const char *point;

	if (length > 0 && (*text == '-' || *text == '+'))
		d.negative = *text++ == '-';
	if (text < end && (*text == 'N' || *text == 'I'))
	{
		d.rank = *text == 'N' ? 2 : d.negative ? -1 : 1;
		return d;
	}
	while (text < end && *text == '0')
		text++;
	point = memchr(text, '.', (size_t) (end - text));
	d.whole = text;
	d.whole_length = (size_t) ((point != NULL ? point : end) - text);
	if (point != NULL)
	{
		while (end > point + 1 && end[-1] == '0')
			end--;
		d.fraction = point + 1;
		d.fraction_length = (size_t) (end - d.fraction);
	}
	if (d.whole_length == 0 && d.fraction_length == 0)
		d.negative = false;
	return d;
}

/* Without regard to sign. */
static int
compare_digits(const decimal *left, const decimal *right)
{
	size_t common = left->fraction_length < right->fraction_length ? left->fraction_length
																   : right->fraction_length;
	int order;

	if (left->whole_length != right->whole_length)
		return left->whole_length < right->whole_length ? -1 : 1;
	order = left->whole_length > 0 ? memcmp(left->whole, right->whole, left->whole_length) : 0;
	if (order == 0 && common > 0)
		order = memcmp(left->fraction, right->fraction, common);
	if (order == 0)
		order = sign_of((int64_t) left->fraction_length, (int64_t) right->fraction_length);
	return order;
}

static int
compare_decimals(const decimal *left, const decimal *right)
{
	if (left->rank != right->rank || left->rank != 0)
		return left->rank - right->rank;
	if (left->negative != right->negative)
		return left->negative ? -1 : 1;
	return left->negative ? compare_digits(right, left) : compare_digits(left, right);
}

static decimal
to_decimal(const pen_operand *operand, char digits[24])
{
	if (operand->kind == PEN_OPERAND_DECIMAL)
		return split_decimal(operand->bytes, operand->length);
	snprintf(digits, 24, "%lld", (long long) operand->integer);
	return split_decimal(digits, strlen(digits));
}

/* NaN is above everything and equal to itself. */
static int
compare_doubles(double left, double right)
{
	if (isnan(left) || isnan(right))
		return !!isnan(left) - !!isnan(right);
	return (left > right) - (left < right);
}

static int
compare_bytes(const pen_operand *left, const pen_operand *right)
{
	const char *l = left->bytes != NULL ? left->bytes : left->uuid;
	const char *r = right->bytes != NULL ? right->bytes : right->uuid;
	size_t common = left->length < right->length ? left->length : right->length;
	int order = common > 0 ? memcmp(l, r, common) : 0;

	return order != 0 ? order : sign_of((int64_t) left->length, (int64_t) right->length);
}

int
pen_operand_compare(pen_comparison as, const pen_operand *left, const pen_operand *right)
{
	char left_digits[24];
	char right_digits[24];
	decimal l;
	decimal r;

	if (as == PEN_AS_FLOAT)
		return compare_doubles(left->number, right->number);
	if (as == PEN_AS_TEXT || as == PEN_AS_UUID)
		return compare_bytes(left, right);
	if (left->kind == PEN_OPERAND_INTEGER && right->kind == PEN_OPERAND_INTEGER)
		return sign_of(left->integer, right->integer);
	l = to_decimal(left, left_digits);
	r = to_decimal(right, right_digits);
	return compare_decimals(&l, &r);
}
