/* shortest.c -- floating-point numbers as PostgreSQL prints them, by exact arithmetic.
 *
 * What most columns hold, integers and short decimals, is found by a division that is known to
 * round correctly; everything else by the free-format algorithm of Steele and White in the form
 * of Burger and Dybvig, over integers of fixed size. As in PostgreSQL's Ryu, a decimal exactly
 * halfway to the neighbouring value does not count as reading back. */
#include "shortest.h"

#include <float.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DIGITS_MAX 20
/* The largest integer here is below 2^1150: 5e-324 times 10^324, and the shifts that align it. */
#define LIMBS_MAX 40

typedef struct decimal
{
	char digits[DIGITS_MAX]; /* '0' to '9', the first and the last not '0' */
	int count;
	int point; /* the value is 0.digits times 10^point */
} decimal;

typedef struct integer
{
	int count;
	uint32_t limbs[LIMBS_MAX]; /* the least first; the last of count is not 0 */
} integer;

/* ---- unsigned integers of fixed size ---- */

static void
integer_set(integer *a, uint64_t value)
{
	a->count = 0;
	for (; value != 0; value >>= 32)
		a->limbs[a->count++] = (uint32_t) value;
}

static void
integer_multiply(integer *a, uint32_t factor)
{
	uint64_t carry = 0;

	for (int i = 0; i < a->count; i++)
	{
		carry += (uint64_t) a->limbs[i] * factor;
		a->limbs[i] = (uint32_t) carry;
		carry >>= 32;
	}
	if (carry != 0)
		a->limbs[a->count++] = (uint32_t) carry;
}

static void
integer_multiply_power10(integer *a, int exponent)
{
	for (; exponent >= 9; exponent -= 9)
		integer_multiply(a, 1000000000);
	for (; exponent > 0; exponent--)
		integer_multiply(a, 10);
}

static void
integer_shift(integer *a, int bits)
{
	int limbs = bits / 32;
	uint32_t carry = 0;

	if (a->count == 0)
		return;
	bits %= 32;
	if (bits > 0)
		for (int i = 0; i < a->count; i++)
		{
			uint32_t limb = a->limbs[i];

			a->limbs[i] = limb << bits | carry;
			carry = limb >> (32 - bits);
		}
	if (carry != 0)
		a->limbs[a->count++] = carry;
	if (limbs > 0)
	{
		memmove(a->limbs + limbs, a->limbs, (size_t) a->count * sizeof(a->limbs[0]));
		memset(a->limbs, 0, (size_t) limbs * sizeof(a->limbs[0]));
		a->count += limbs;
	}
}

static int
integer_compare(const integer *a, const integer *b)
{
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	for (int i = a->count - 1; i >= 0; i--)
		if (a->limbs[i] != b->limbs[i])
			return a->limbs[i] < b->limbs[i] ? -1 : 1;
	return 0;
}

static void
integer_add(integer *sum, const integer *a, const integer *b)
{
	uint64_t carry = 0;

	sum->count = a->count > b->count ? a->count : b->count;
	for (int i = 0; i < sum->count; i++)
	{
		carry += (uint64_t) (i < a->count ? a->limbs[i] : 0) + (i < b->count ? b->limbs[i] : 0);
		sum->limbs[i] = (uint32_t) carry;
		carry >>= 32;
	}
	if (carry != 0)
		sum->limbs[sum->count++] = (uint32_t) carry;
}

/* a -= b * factor, which must not be more than a. */
static void
integer_subtract(integer *a, const integer *b, uint32_t factor)
{
	uint64_t carry = 0;
	uint64_t borrow = 0;

	for (int i = 0; i < a->count; i++)
	{
		uint64_t difference;

		carry += i < b->count ? (uint64_t) b->limbs[i] * factor : 0;
		difference = (uint64_t) a->limbs[i] - (uint32_t) carry - borrow;
		a->limbs[i] = (uint32_t) difference;
		borrow = difference >> 63;
		carry >>= 32;
	}
	while (a->count > 0 && a->limbs[a->count - 1] == 0)
		a->count--;
}

/* a / b, less than 10, leaving the remainder in a. The guess from the first limbs is never too
 * high, and at most one too low where b's first limb has 28 bits. */
static int
integer_divide(integer *a, const integer *b)
{
	uint32_t quotient = 0;

	if (a->count < b->count)
		return 0;
	if (a->count == b->count)
		quotient = (uint32_t) (a->limbs[a->count - 1] / ((uint64_t) b->limbs[b->count - 1] + 1));
	if (quotient > 0)
		integer_subtract(a, b, quotient);
	while (integer_compare(a, b) >= 0)
	{
		integer_subtract(a, b, 1);
		quotient++;
	}
	return (int) quotient;
}

/* ---- the digits ---- */

/*
 * The state of the digit loop: the value is r/s, and everything nearer than low/s below and
 * high/s above it reads back as the value.
 */
typedef struct scaled
{
	integer r, s, low, high;
} scaled;

static void
multiply_by_10(scaled *v)
{
	integer_multiply(&v->r, 10);
	integer_multiply(&v->low, 10);
	integer_multiply(&v->high, 10);
}

/* The value mantissa * 2^exponent. narrow: the neighbour below is at half the distance. Returns
 * the position of the decimal point. */
static int
scale(scaled *v, uint64_t mantissa, int exponent, bool narrow)
{
	int bits = 64 - __builtin_clzll(mantissa);
	double estimate = (exponent + bits - 1) * 0.30102999566398120 - 1e-10;
	int point = (int) estimate + (estimate > 0);
	int up = exponent > 0 ? exponent : 0;
	integer sum;

	integer_set(&v->r, mantissa);
	integer_set(&v->s, 1);
	integer_set(&v->low, 1);
	integer_set(&v->high, 1);
	integer_shift(&v->r, up + 1 + narrow);
	integer_shift(&v->s, up - exponent + 1 + narrow);
	integer_shift(&v->low, up);
	integer_shift(&v->high, up + narrow);
	if (point >= 0)
		integer_multiply_power10(&v->s, point);
	else
	{
		integer_multiply_power10(&v->r, -point);
		integer_multiply_power10(&v->low, -point);
		integer_multiply_power10(&v->high, -point);
	}
	/* The estimate is right or one too low. */
	integer_add(&sum, &v->r, &v->high);
	if (integer_compare(&sum, &v->s) > 0)
		return point + 1;
	multiply_by_10(v);
	return point;
}

/* Shift everything so that s's first limb has 28 bits, which makes the division's guess good and
 * keeps ten times s in the same limbs. */
static void
align(scaled *v)
{
	int bits = 32 - __builtin_clz(v->s.limbs[v->s.count - 1]);
	int shift = (28 - bits + 32) % 32;

	integer_shift(&v->r, shift);
	integer_shift(&v->s, shift);
	integer_shift(&v->low, shift);
	integer_shift(&v->high, shift);
}

static void
digits_by_generation(decimal *result, uint64_t mantissa, int exponent, bool narrow)
{
	scaled v;
	integer sum;

	result->point = scale(&v, mantissa, exponent, narrow);
	result->count = 0;
	align(&v);
	for (;;)
	{
		int digit = integer_divide(&v.r, &v.s);
		bool low = integer_compare(&v.r, &v.low) < 0;
		bool high;

		integer_add(&sum, &v.r, &v.high);
		high = integer_compare(&sum, &v.s) > 0;
		if (low && high)
		{
			int half;

			integer_shift(&v.r, 1);
			half = integer_compare(&v.r, &v.s);
			high = half > 0 || (half == 0 && digit % 2 == 1);
		}
		else if (!low && !high)
		{
			result->digits[result->count++] = (char) ('0' + digit);
			multiply_by_10(&v);
			continue;
		}
		result->digits[result->count++] = (char) ('0' + digit + high);
		return;
	}
}

/* The digits of n / 10^scale, n not 0. */
static void
digits_of_integer(decimal *result, uint64_t n, int scale)
{
	char reversed[DIGITS_MAX];
	int count = 0;

	result->count = 0;
	for (; n != 0; n /= 10)
		reversed[count++] = (char) ('0' + n % 10);
	result->point = count - scale;
	while (count > 0)
		result->digits[result->count++] = reversed[--count];
	while (result->digits[result->count - 1] == '0')
		result->count--;
}

#define DECIMALS_MAX 8
static const double power10_float8[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
static const float power10_float4[] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f};

/*
 * Decimals of at most DBL_DIG digits: no two of them read back as the same value, so the first
 * that does is the only one. Both operands of the division are exact and it rounds correctly.
 */
static bool
digits_by_division_float8(decimal *result, double value)
{
	if (FLT_EVAL_METHOD != 0 || value >= 1e15)
		return false;
	for (int i = 0; i <= DECIMALS_MAX; i++)
	{
		double scaled_value = value * power10_float8[i];
		uint64_t n;

		if (scaled_value >= 999999999999999.0)
			return false;
		n = (uint64_t) (scaled_value + 0.5);
		if ((double) n / power10_float8[i] == value)
		{
			digits_of_integer(result, n, i);
			return true;
		}
	}
	return false;
}

static bool
digits_by_division_float4(decimal *result, float value)
{
	if (FLT_EVAL_METHOD != 0 || value >= 1e6f)
		return false;
	for (int i = 0; i <= DECIMALS_MAX; i++)
	{
		float scaled_value = value * power10_float4[i];
		uint32_t n;

		if (scaled_value >= 999999.0f)
			return false;
		n = (uint32_t) (scaled_value + 0.5f);
		if ((float) n / power10_float4[i] == value)
		{
			digits_of_integer(result, n, i);
			return true;
		}
	}
	return false;
}

/* ---- the text ---- */

static size_t
put_exponent(char *to, int exponent)
{
	size_t n = 0;
	int size = exponent < 0 ? -exponent : exponent;

	to[n++] = 'e';
	to[n++] = exponent < 0 ? '-' : '+';
	if (size >= 100)
		to[n++] = (char) ('0' + size / 100);
	to[n++] = (char) ('0' + size / 10 % 10);
	to[n++] = (char) ('0' + size % 10);
	return n;
}

/* Fixed-point from 1e-4 up to 10^limit, as PostgreSQL has it, else with an exponent. */
static size_t
put_decimal(char *to, const decimal *d, int limit)
{
	size_t n = 0;
	int i = 0;

	if (d->point - 1 < -4 || d->point - 1 >= limit)
	{
		to[n++] = d->digits[i++];
		if (d->count > 1)
			to[n++] = '.';
		while (i < d->count)
			to[n++] = d->digits[i++];
		return n + put_exponent(to + n, d->point - 1);
	}
	if (d->point <= 0)
		to[n++] = '0';
	while (i < d->point)
	{
		to[n++] = i < d->count ? d->digits[i] : '0';
		i++;
	}
	if (d->count > d->point)
		to[n++] = '.';
	for (int zeros = d->point; zeros < 0; zeros++)
		to[n++] = '0';
	while (i < d->count)
		to[n++] = d->digits[i++];
	return n;
}

/* What needs no digits: not-a-number, infinity and zero. Returns 0 for others. */
static size_t
put_special(char *to, bool negative, bool is_nan, bool is_infinite)
{
	const char *text = is_nan ? "NaN" : is_infinite ? "-Infinity" : "-0";

	if (!negative && !is_nan)
		text++;
	memcpy(to, text, strlen(text));
	return strlen(text);
}

size_t
pen_float8_text(char *to, double value)
{
	uint64_t bits;
	uint64_t fraction;
	int exponent;
	bool negative;
	decimal d;

	memcpy(&bits, &value, sizeof(bits));
	negative = bits >> 63 != 0;
	exponent = (int) (bits >> 52 & 0x7ff);
	fraction = bits & ((UINT64_C(1) << 52) - 1);
	if (exponent == 0x7ff || (exponent == 0 && fraction == 0))
		return put_special(to, negative, exponent != 0 && fraction != 0, exponent != 0);
	if (negative)
		*to++ = '-';
	if (!digits_by_division_float8(&d, negative ? -value : value))
	{
		if (exponent == 0)
			digits_by_generation(&d, fraction, -1074, false);
		else
			digits_by_generation(&d, fraction | UINT64_C(1) << 52, exponent - 1075,
								 fraction == 0 && exponent > 1);
	}
	return put_decimal(to, &d, 15) + negative;
}

size_t
pen_float4_text(char *to, float value)
{
	uint32_t bits;
	uint32_t fraction;
	int exponent;
	bool negative;
	decimal d;

	memcpy(&bits, &value, sizeof(bits));
	negative = bits >> 31 != 0;
	exponent = (int) (bits >> 23 & 0xff);
	fraction = bits & ((UINT32_C(1) << 23) - 1);
	if (exponent == 0xff || (exponent == 0 && fraction == 0))
		return put_special(to, negative, exponent != 0 && fraction != 0, exponent != 0);
	if (negative)
		*to++ = '-';
	if (!digits_by_division_float4(&d, negative ? -value : value))
	{
		if (exponent == 0)
			digits_by_generation(&d, fraction, -149, false);
		else
			digits_by_generation(&d, fraction | UINT32_C(1) << 23, exponent - 150,
								 fraction == 0 && exponent > 1);
	}
	return put_decimal(to, &d, 6) + negative;
}
