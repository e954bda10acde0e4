/* convert.c -- to UTF-8 without raising errors: a value that cannot be converted must not stop a
 * slot. */
#include "convert.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

static bool
is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(text[i]))
			return false;
	}
	return true;
}

/* Conversion procedures do not change in a database's life: looked up once. */
static Oid
conversion(void)
{
	static Oid procedure = InvalidOid;

	if (!OidIsValid(procedure))
		procedure = FindDefaultConversionProc(GetDatabaseEncoding(), PG_UTF8);
	return procedure;
}

static bool
convert(const char *text, size_t *len, const char **converted)
{
	Oid procedure = conversion();
	size_t size;
	char *buffer;
	int consumed;

	if (!OidIsValid(procedure) || *len > (MaxAllocHugeSize / 2) / MAX_CONVERSION_GROWTH)
		return false;
	size = *len * MAX_CONVERSION_GROWTH + 1;
	if (size > PG_INT32_MAX)
		return false;
	buffer = palloc_extended(size, MCXT_ALLOC_HUGE);
	consumed = pg_do_encoding_conversion_buf(procedure, GetDatabaseEncoding(), PG_UTF8,
											 (unsigned char *) unconstify(char *, text), (int) *len,
											 (unsigned char *) buffer, (int) size, true);
	if (consumed < 0 || (size_t) consumed != *len)
	{
		pfree(buffer);
		return false;
	}
	*len = strlen(buffer);
	*converted = buffer;
	return true;
}

bool
convert_to_utf8(const char *text, size_t *len, const char **converted)
{
	int encoding = GetDatabaseEncoding();

	*converted = text;
	if (encoding == PG_UTF8 || is_ascii(text, *len))
		return true;
	if (encoding == PG_SQL_ASCII)
		return *len <= PG_INT32_MAX && pg_verify_mbstr(PG_UTF8, text, (int) *len, true);
	return convert(text, len, converted);
}
