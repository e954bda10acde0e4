/* values.c -- every text here is canonical: PostgreSQL prints the value as it stands here, with
 * TimeZone UTC, DateStyle ISO and locale C. The comparison with the source tells if one is not. */
#include "values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

#define POOL(name, ...) static const char *const name[] = {__VA_ARGS__, NULL}

const char sim_types_sql[] =
	"CREATE SCHEMA app;"
	"CREATE COLLATION app.loose (provider = icu, locale = 'und-u-ks-level2',"
	" deterministic = false);"
	"CREATE TYPE app.mood AS ENUM ('calm', 'so \"so\"', 'wild, é');"
	"CREATE TYPE app.pair AS (a int, b text);"
	"CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);"
	"CREATE DOMAIN app.label AS varchar(40);"
	"CREATE DOMAIN app.feeling AS app.mood;"
	"CREATE TABLE app.beat (n int);"; /* no part of the model: see settle() */

/* ---- types of columns ---- */

static const char *
make_integer(sim_arena *arena, uint64_t number)
{
	return sim_arena_print(arena, "%" PRId32, (int32_t) (number >> 32));
}

static const char *
make_small_integer(sim_arena *arena, uint64_t number)
{
	return sim_arena_print(arena, "%d", (int) (number >> 32) % 100);
}

static const char *
make_bigint(sim_arena *arena, uint64_t number)
{
	return sim_arena_print(arena, "%" PRId64, (int64_t) number);
}

static const char *
make_money_like(sim_arena *arena, uint64_t number)
{
	return sim_arena_print(arena, "%d.%02d", (int) (number >> 48), (int) (number % 100));
}

static const char *
make_text(sim_arena *arena, uint64_t number)
{
	static const char *const pieces[] = {"a",  "B",    " ", "\"", "'", "\\", "{",    ",", "(",
										 "\n", "\t",   "é", "中", "😀", "0",  "NULL", "<", "\x01",
										 "  ", "\x7f", "ß", "-",  ")", "}",  "null", "&", "\\N"};
	char text[200] = "";
	size_t count = number % 12;

	for (size_t i = 0; i < count; i++)
		strcat(text, pieces[sim_hash(number, i, 0) % (sizeof(pieces) / sizeof(pieces[0]))]);
	return sim_arena_print(arena, "%s", text);
}

/* Toasted, most of the time: a column of this type is stored EXTERNAL. */
static const char *
make_long(sim_arena *arena, uint64_t number)
{
	size_t length = number % 5 == 0 ? number % 50 : 2100 + number % 6000;
	char *text = sim_arena_take(arena, length + 1);

	for (size_t i = 0; i < length; i++)
		text[i] = (char) ('a' + (number >> (i % 40)) % 26);
	text[length] = '\0';
	return text;
}

static const char *
make_bytea(sim_arena *arena, uint64_t number)
{
	return sim_arena_print(arena, "\\x%.*s%014" PRIx64, (int) (number % 9) * 2, "00ff5c2700017f80",
						   number >> 8);
}

static const char *
make_uuid(sim_arena *arena, uint64_t number)
{
	return sim_arena_print(arena, "%08" PRIx32 "-%04x-4%03x-8000-%012" PRIx64,
						   (uint32_t) (number >> 32), (unsigned int) (number & 0xffff),
						   (unsigned int) (number & 0xfff), number & 0xffffffffffff);
}

POOL(bools, "t", "f");
POOL(int2s, "0", "1", "-1", "32767", "-32768", "7");
POOL(oids, "0", "1", "4294967295", "16384");
POOL(float4s, "0", "-0", "1.5", "0.1", "NaN", "Infinity", "-Infinity", "3.4028235e+38", "1e-05");
POOL(float8s, "0", "-0", "1", "-1.5", "0.1", "NaN", "Infinity", "-Infinity", "1e+300",
	 "1.7976931348623157e+308", "5e-324", "0.30000000000000004", "1.2345678901234568e+17");
POOL(numerics, "0", "0.000", "1", "1.0", "1.00", "NaN", "Infinity", "-Infinity", "-10000",
	 "123456789012345678901234567890.00001", "0.00000000000000000001", "10000.0001", "-0.5");
POOL(dates, "2026-11-21", "infinity", "-infinity", "4713-01-01 BC", "0001-01-01", "1999-12-31",
	 "2000-01-01", "2000-02-29", "10000-01-01");
POOL(times, "00:00:00", "24:00:00", "23:59:59.999999", "12:34:56.7", "00:00:00.000001");
POOL(timestamps, "2026-11-21 00:00:00", "infinity", "-infinity", "0001-01-01 12:34:56.7 BC",
	 "1999-12-31 23:59:59.999999", "2000-01-01 00:00:00", "294276-12-31 23:59:59.999999");
POOL(timestamptzs, "2026-11-21 00:00:00+00", "infinity", "-infinity", "1900-01-01 12:34:56.7+00",
	 "1999-12-31 23:59:59.999999+00", "2000-01-01 00:00:00+00");
POOL(intervals, "00:00:00", "1 mon -2 days +03:04:05.6", "-1 years -11 mons", "178000000 years",
	 "00:00:00.000001", "-3 days");
POOL(jsons, "null", "{\"a\": 1, \"a\": [1e400, \"\\u0041\"]}", "  [ 1,2 ] ", "\"x\"", "{}");
POOL(jsonbs, "null", "{\"a\": 1, \"b\": [1.50, \"é\\\"\"]}", "[]", "12345678901234567890.12",
	 "\"x\"", "{\"t\": \"\\t\"}");
POOL(int_arrays, "{}", "{1,NULL,3}", "[5:6]={1,2}", "{{1,2},{3,4}}", "{-2147483648}");
POOL(text_arrays, "{}", "{\"a b\",NULL,\"c\\\"d,\",\"\\\\\"}", "{\"\",\"NULL\"}", "{é}");
POOL(inets, "10.0.0.1/8", "::1", "192.168.1.1");
POOL(bits, "10101", "00000");
POOL(varbits, "", "1", "101010101");
POOL(moods, "calm", "so \"so\"", "wild, é");
POOL(positives, "1", "42", "2147483647");
POOL(labels, "", "label", "a, \"b\"");
POOL(pairs, "(1,x)", "(,)", "(-5,\"a \"\"b\"\", \\\\ é\")");
POOL(ranges, "empty", "[1,5)", "(,)", "[3,)");
POOL(points, "(1,2)", "(0.1,-1e+300)", "(NaN,Infinity)");
POOL(names, "", "name", "a b");
POOL(chars, "x", "\"", "");
POOL(bpchars, "a     ", "bc    ", "      ", " é    ");
POOL(tsvectors, "", "'a':1A 'b':2", "'x y':3");
POOL(macaddrs, "08:00:2b:01:02:03", "00:00:00:00:00:00");
POOL(multiranges, "{}", "{[1,3),[7,9)}");
POOL(mood_arrays, "{}", "{calm,\"so \\\"so\\\"\",NULL}", "{\"wild, é\"}");

const sim_type sim_types[] = {
	{"integer", NULL, make_integer},
	{"integer", NULL, make_small_integer},
	{"bigint", NULL, make_bigint},
	{"text", NULL, make_text},
	{"varchar(80)", NULL, make_text},
	{"text", NULL, make_long},
	{"boolean", bools, NULL},
	{"smallint", int2s, NULL},
	{"numeric", numerics, NULL},
	{"numeric(12,2)", NULL, make_money_like},
	{"real", float4s, NULL},
	{"double precision", float8s, NULL},
	{"bytea", NULL, make_bytea},
	{"uuid", NULL, make_uuid},
	{"date", dates, NULL},
	{"time", times, NULL},
	{"timestamp", timestamps, NULL},
	{"timestamptz", timestamptzs, NULL},
	{"interval", intervals, NULL},
	{"json", jsons, NULL},
	{"jsonb", jsonbs, NULL},
	{"integer[]", int_arrays, NULL},
	{"text[]", text_arrays, NULL},
	{"inet", inets, NULL},
	{"bit(5)", bits, NULL},
	{"bit varying(9)", varbits, NULL},
	{"app.mood", moods, NULL},
	{"app.positive", positives, NULL},
	{"app.label", labels, NULL},
	{"app.pair", pairs, NULL},
	{"int4range", ranges, NULL},
	{"point", points, NULL},
	{"name", names, NULL},
	{"\"char\"", chars, NULL},
	{"char(6)", bpchars, NULL},
	{"tsvector", tsvectors, NULL},
	{"macaddr", macaddrs, NULL},
	{"int8multirange", multiranges, NULL},
	{"app.mood[]", mood_arrays, NULL},
	{"app.feeling", moods, NULL},
	{"oid", oids, NULL},
};
const int sim_type_count = sizeof(sim_types) / sizeof(sim_types[0]);

const char *
sim_value(sim_arena *arena, int type, uint64_t number)
{
	const char *const *pool = sim_types[type].pool;
	size_t count = 0;

	if (pool == NULL)
		return sim_types[type].make(arena, number);
	while (pool[count] != NULL)
		count++;
	return pool[number % count];
}

/* ---- keys ---- */

static const char *
text_key(sim_arena *arena, int part, int64_t id, int variant)
{
	(void) part;
	return sim_arena_print(arena, "%s%" PRId64 "%s", variant % 2 == 0 ? "k" : "'\\é\t", id,
						   variant % 3 == 0 ? "" : "/");
}

static const char *
loose_key(sim_arena *arena, int part, int64_t id, int variant)
{
	(void) part;
	return sim_arena_print(arena, "%s%" PRId64, variant % 2 == 0 ? "key" : "KeY", id);
}

static const char *
pair_key(sim_arena *arena, int part, int64_t id, int variant)
{
	return part == 0 ? sim_arena_print(arena, "%" PRId64, id / 4)
					 : sim_arena_print(arena, "b%d%s", (int) (id % 4), variant % 2 == 0 ? "" : " ");
}

static const char *
uuid_key(sim_arena *arena, int part, int64_t id, int variant)
{
	(void) part;
	return sim_arena_print(arena, "00000000-0000-0000-%04x-%012" PRIx64, (unsigned int) variant,
						   (uint64_t) id & 0xffffffffffff);
}

/* Equal for PostgreSQL, and not the same. */
static const char *
numeric_key(sim_arena *arena, int part, int64_t id, int variant)
{
	static const char *const zeros[] = {"", ".0", ".000"};

	(void) part;
	return sim_arena_print(arena, "%" PRId64 "%s", id, zeros[variant % 3]);
}

static const char *
bytea_key(sim_arena *arena, int part, int64_t id, int variant)
{
	(void) part;
	return sim_arena_print(arena, "\\x%02x00%016" PRIx64, (unsigned int) variant & 0xff,
						   (uint64_t) id);
}

static const char *
char_key(sim_arena *arena, int part, int64_t id, int variant)
{
	(void) part, (void) variant;
	return sim_arena_print(arena, "%-12" PRId64, id);
}

/* A day for each id, a microsecond for each variant. */
static const char *
time_key(sim_arena *arena, int part, int64_t id, int variant)
{
	int month = (int) (id / 28 % 12 + 1);

	(void) part;
	return sim_arena_print(arena, "%04d-%02d-%02d 00:00:0%d+00", (int) (2000 + id / 336), month,
						   (int) (id % 28 + 1), variant % 10);
}

const sim_key sim_keys[] = {
	{{NULL, NULL}, "integer", NULL, 0, 0},
	{{NULL, NULL}, "integer", NULL, 0, 1},
	{{NULL, NULL}, "bigint", NULL, 0, 1},
	{{"text", NULL}, "integer", text_key, 1, 1},
	{{"integer", "text"}, "integer", pair_key, 2, 1},
	{{"uuid", NULL}, "integer", uuid_key, 1, 1},
	{{"numeric", NULL}, "integer", numeric_key, 1, 1},
	{{"text COLLATE app.loose", NULL}, "integer", loose_key, 1, 1},
	{{"bytea", NULL}, "integer", bytea_key, 1, 1},
	{{"char(12)", NULL}, "integer", char_key, 1, 1},
	{{"timestamptz", NULL}, "integer", time_key, 1, 1},
	{{"varchar(30)", NULL}, "integer", text_key, 1, 1},
};
const int sim_key_count = sizeof(sim_keys) / sizeof(sim_keys[0]);
