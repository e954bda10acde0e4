/* print.c -- values as PostgreSQL's output functions print them.
 * Whatever the value, no more than PEN_PRINT_MAX bytes are written, and what PostgreSQL cannot
 * have is refused here, so that no caller need look again. */
#include "print.h"

#include <string.h>

#include "shortest.h"

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY    (86400 * US_PER_SECOND)

/* PostgreSQL's limits: days and microseconds from 2000-01-01, the ends exclusive. */
#define DATE_MIN      INT64_C(-2451545)
#define DATE_END      INT64_C(2145031949)
#define TIMESTAMP_MIN INT64_C(-211813488000000000)
#define TIMESTAMP_END INT64_C(9223371331200000000)
#define YEAR_1        INT64_C(-63082281600000000) /* 0001-01-01 */

/* ---- numbers ---- */

static size_t
put_unsigned(char *to, uint64_t value)
{
	char reversed[20];
	size_t count = 0;

	do
		reversed[count++] = (char) ('0' + value % 10);
	while ((value /= 10) != 0);
	for (size_t i = 0; i < count; i++)
		to[i] = reversed[count - 1 - i];
	return count;
}

size_t
pen_print_int(char *to, int64_t value)
{
	if (value >= 0)
		return put_unsigned(to, (uint64_t) value);
	*to = '-';
	return 1 + put_unsigned(to + 1, -(uint64_t) value);
}

static size_t
put_hex32(char *to, uint32_t value)
{
	int shift = 28;
	size_t n = 0;

	while (shift > 0 && value >> shift == 0)
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		to[n++] = "0123456789ABCDEF"[value >> shift & 15];
	return n;
}

size_t
pen_print_lsn(char *to, uint64_t lsn)
{
	size_t n = put_hex32(to, (uint32_t) (lsn >> 32));

	to[n++] = '/';
	return n + put_hex32(to + n, (uint32_t) lsn);
}

/* ---- dates and times ---- */

static char *
put_two(char *p, int value)
{
	*p++ = (char) ('0' + value / 10);
	*p++ = (char) ('0' + value % 10);
	return p;
}

/* The year before year 1 is 0 in *year, as in astronomy; printed it is 1 BC. */
static void
split_days(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t shifted = days + 730425; /* days since 0000-03-01 */
	int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
	int64_t of_era = shifted - era * 146097;
	int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t march_month = (5 * of_year + 2) / 153;

	*day = (int) (of_year - (153 * march_month + 2) / 5 + 1);
	*month = (int) (march_month < 10 ? march_month + 3 : march_month - 9);
	*year = year_of_era + era * 400 + (*month <= 2);
}

/* *bc: the text has to end with " BC". */
static char *
put_days(char *p, int64_t days, bool *bc)
{
	char digits[20];
	int64_t year;
	int month;
	int day;
	size_t n;

	split_days(days, &year, &month, &day);
	*bc = year <= 0;
	n = put_unsigned(digits, (uint64_t) (year > 0 ? year : 1 - year));
	for (size_t i = n; i < 4; i++)
		*p++ = '0';
	memcpy(p, digits, n);
	p += n;
	*p++ = '-';
	p = put_two(p, month);
	*p++ = '-';
	return put_two(p, day);
}

static char *
put_clock(char *p, int64_t microseconds, bool all_decimals)
{
	int64_t seconds = microseconds / US_PER_SECOND;
	int fraction = (int) (microseconds % US_PER_SECOND);

	p = put_two(p, (int) (seconds / 3600));
	*p++ = ':';
	p = put_two(p, (int) (seconds / 60 % 60));
	*p++ = ':';
	p = put_two(p, (int) (seconds % 60));
	if (fraction == 0 && !all_decimals)
		return p;
	*p++ = '.';
	for (int unit = 100000; unit > 0 && (fraction != 0 || all_decimals); unit /= 10)
	{
		*p++ = (char) ('0' + fraction / unit);
		fraction %= unit;
	}
	return p;
}

static size_t
put_infinity(char *to, bool negative)
{
	const char *text = negative ? "-infinity" : "infinity";

	memcpy(to, text, strlen(text));
	return strlen(text);
}

/* Returns the length so far with " BC" where it belongs. */
static size_t
put_end(char *to, char *p, bool bc)
{
	if (bc)
	{
		memcpy(p, " BC", 3);
		p += 3;
	}
	return (size_t) (p - to);
}

size_t
pen_print_date(char *to, int64_t days)
{
	bool bc;
	char *p;

	if (days == INT32_MIN || days == INT32_MAX)
		return put_infinity(to, days == INT32_MIN);
	if (days < DATE_MIN || days >= DATE_END)
		return 0;
	p = put_days(to, days, &bc);
	return put_end(to, p, bc);
}

size_t
pen_print_time(char *to, int64_t microseconds)
{
	if (microseconds < 0 || microseconds > US_PER_DAY)
		return 0;
	return (size_t) (put_clock(to, microseconds, false) - to);
}

size_t
pen_print_timestamp(char *to, int64_t microseconds, pen_time_style style, bool zone)
{
	const char *utc = style == PEN_TIME_JSON ? "+00:00" : "+00";
	int64_t days;
	bool bc;
	char *p;

	if (microseconds == INT64_MIN || microseconds == INT64_MAX)
		return put_infinity(to, microseconds == INT64_MIN);
	if (microseconds < TIMESTAMP_MIN || microseconds >= TIMESTAMP_END)
		return 0;
	days = microseconds / US_PER_DAY - (microseconds % US_PER_DAY < 0);
	p = put_days(to, days, &bc);
	*p++ = style == PEN_TIME_JSON ? 'T' : ' ';
	p = put_clock(p, microseconds - days * US_PER_DAY, false);
	if (zone)
	{
		memcpy(p, utc, strlen(utc));
		p += strlen(utc);
	}
	return put_end(to, p, bc);
}

size_t
pen_print_moment(char *to, int64_t microseconds)
{
	int64_t days;
	bool bc;
	char *p;

	if (microseconds < YEAR_1 || microseconds >= TIMESTAMP_END)
		return 0;
	days = microseconds / US_PER_DAY - (microseconds % US_PER_DAY < 0);
	p = put_days(to, days, &bc);
	*p++ = 'T';
	p = put_clock(p, microseconds - days * US_PER_DAY, true);
	*p++ = 'Z';
	return (size_t) (p - to);
}

/* ---- bytes ---- */

static const char hex_digits[] = "0123456789abcdef";

size_t
pen_print_uuid(char *to, const uint8_t bytes[16])
{
	char *p = to;

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex_digits[bytes[i] >> 4];
		*p++ = hex_digits[bytes[i] & 15];
	}
	return (size_t) (p - to);
}

void
pen_print_hex(pen_wire_buf *buf, const uint8_t *data, size_t len)
{
	uint8_t *p;

	if (len > SIZE_MAX / 4)
		buf->failed = true;
	if (!pen_wire_reserve(buf, 2 + 2 * len))
		return;
	p = buf->data + buf->len;
	*p++ = '\\';
	*p++ = 'x';
	for (size_t i = 0; i < len; i++)
	{
		*p++ = (uint8_t) hex_digits[data[i] >> 4];
		*p++ = (uint8_t) hex_digits[data[i] & 15];
	}
	buf->len = (size_t) (p - buf->data);
}

size_t
pen_utf8_sequence(const uint8_t *data, size_t len)
{
	uint8_t first = data[0];
	size_t n = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (n == 1)
		return 1;
	if (n == 0 || first > 0xf4 || len < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((data[i] & 0xc0) != 0x80)
			return 0;
	/* Not longer than needed, not a surrogate, not above U+10FFFF. */
	if ((first == 0xe0 && data[1] < 0xa0) || (first == 0xed && data[1] > 0x9f) ||
		(first == 0xf0 && data[1] < 0x90) || (first == 0xf4 && data[1] > 0x8f))
		return 0;
	return n;
}

bool
pen_utf8_valid(const uint8_t *data, size_t len)
{
	while (len > 0)
	{
		size_t n = pen_utf8_sequence(data, len);

		if (n == 0)
			return false;
		data += n;
		len -= n;
	}
	return true;
}

/* ---- any value ---- */

static bool
int_fits(pen_encoding encoding, uint32_t base_type_oid, int64_t n)
{
	switch (encoding)
	{
		case PEN_ENCODING_INT:
			if (base_type_oid == PEN_OID_INT2)
				return n >= INT16_MIN && n <= INT16_MAX;
			return base_type_oid != PEN_OID_INT4 || (n >= INT32_MIN && n <= INT32_MAX);
		case PEN_ENCODING_OID:
			return n >= 0 && n <= UINT32_MAX;
		case PEN_ENCODING_DATE:
			return n == INT32_MIN || n == INT32_MAX || (n >= DATE_MIN && n < DATE_END);
		case PEN_ENCODING_TIME:
			return n >= 0 && n <= US_PER_DAY;
		default:
			return n == INT64_MIN || n == INT64_MAX || (n >= TIMESTAMP_MIN && n < TIMESTAMP_END);
	}
}

const char *
pen_check_value(pen_encoding encoding, uint32_t base_type_oid, const pen_value *value)
{
	bool fits = false;

	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			fits = value->kind == PEN_VALUE_BOOL;
			break;
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
		case PEN_ENCODING_DATE:
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			fits = value->kind == PEN_VALUE_INT;
			if (fits && !int_fits(encoding, base_type_oid, value->integer))
				return "a value is out of its type's range";
			break;
		case PEN_ENCODING_FLOAT4:
			fits = value->kind == PEN_VALUE_FLOAT;
			break;
		case PEN_ENCODING_FLOAT8:
			fits = value->kind == PEN_VALUE_DOUBLE;
			break;
		case PEN_ENCODING_TEXT:
		case PEN_ENCODING_OUTPUT:
			fits = value->kind == PEN_VALUE_STRING || value->kind == PEN_VALUE_BYTES;
			break;
		case PEN_ENCODING_BYTEA:
		case PEN_ENCODING_BINARY:
			fits = value->kind == PEN_VALUE_BYTES;
			break;
		case PEN_ENCODING_UUID:
			fits = value->kind == PEN_VALUE_BYTES && value->len == 16;
			break;
		case PEN_ENCODING_UNSPECIFIED:
			break;
	}
	return fits ? NULL : "a value does not fit its column's encoding";
}

/* The encodings of bounded size. Returns the length, or 0. */
static size_t
print_small(char *to, pen_encoding encoding, const pen_value *value)
{
	switch (encoding)
	{
		case PEN_ENCODING_BOOL:
			*to = value->boolean ? 't' : 'f';
			return 1;
		case PEN_ENCODING_INT:
		case PEN_ENCODING_OID:
			return pen_print_int(to, value->integer);
		case PEN_ENCODING_FLOAT4:
			return pen_float4_text(to, value->float4);
		case PEN_ENCODING_FLOAT8:
			return pen_float8_text(to, value->float8);
		case PEN_ENCODING_DATE:
			return pen_print_date(to, value->integer);
		case PEN_ENCODING_TIME:
			return pen_print_time(to, value->integer);
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			return pen_print_timestamp(to, value->integer, PEN_TIME_SQL,
									   encoding == PEN_ENCODING_TIMESTAMPTZ);
		case PEN_ENCODING_UUID:
			return pen_print_uuid(to, value->data);
		default:
			return 0;
	}
}

const char *
pen_print_value(pen_wire_buf *buf, pen_encoding encoding, const pen_value *value)
{
	const char *error = pen_check_value(encoding, 0, value);
	char small[PEN_PRINT_MAX];
	size_t start = buf->len;

	if (error != NULL)
		return error;
	if (encoding == PEN_ENCODING_BINARY)
		return "a value in its type's binary form cannot be printed";
	if (encoding == PEN_ENCODING_TEXT || encoding == PEN_ENCODING_OUTPUT)
		pen_wire_append(buf, value->data, value->len);
	else if (encoding == PEN_ENCODING_BYTEA)
		pen_print_hex(buf, value->data, value->len);
	else
		pen_wire_append(buf, small, print_small(small, encoding, value));
	if (buf->failed)
	{
		buf->len = start;
		return "out of memory";
	}
	return NULL;
}
