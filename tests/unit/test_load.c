/* test_load.c -- rows of a binary COPY as Values; and, where PENSTOCK_TEST_SOURCE names a database
 * to play in, loading from a real server
 * (PENSTOCK_TEST_PLUGIN: which plugin, pgoutput if unset). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>
#include <cmocka.h>
#include <libpq-fe.h>

#include "base/buffer.h"
#include "copy/binary.h"
#include "copy/load.h"
#include "destination/memory/store.h"
#include "event/relation.h"
#include "print.h"
#include "types.h"

/* ---- without a server ---- */

static const penstock_relation *
two_columns(void)
{
	penstock_column columns[] = {{.name = "a",
								  .type_oid = PEN_OID_INT4,
								  .base_type_oid = PEN_OID_INT4,
								  .attnum = 1,
								  .encoding = PEN_ENCODING_INT},
								 {.name = "b",
								  .type_oid = PEN_OID_TEXT,
								  .base_type_oid = PEN_OID_TEXT,
								  .attnum = 2,
								  .encoding = PEN_ENCODING_TEXT}};
	penstock_relation draft = {.schema = "public",
							   .name = "t",
							   .replica_identity = 'f',
							   .columns = columns,
							   .column_count = 2};
	pen_error error;

	return pen_relation_new(&draft, &error);
}

static const uint8_t copy_bytes[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
									"\0\2\0\0\0\4\377\377\377\376\0\0\0\2hi"
									"\0\2\377\377\377\377\0\0\0\0"
									"\377\377";
#define COPY_LEN (sizeof(copy_bytes) - 1)

/* Reads len bytes in a block of their own, so that reading past them is caught. */
static int
read_copy(const uint8_t *data, size_t len, penstock_status *status)
{
	const penstock_relation *relation = two_columns();
	pen_copy_reader reader = {.relation = relation};
	uint8_t *copy = malloc(len + 1);
	int rows = 0;

	memcpy(copy, data, len);
	copy = realloc(copy, len > 0 ? len : 1);
	pen_buffer_init(&reader.row);
	pen_copy_feed(&reader, copy, len);
	while ((*status = pen_copy_next_row(&reader)) == PENSTOCK_OK)
		rows++;
	if (*status == PENSTOCK_AGAIN && !reader.trailer_seen)
		*status = PENSTOCK_E_RETRY;
	pen_buffer_reset(&reader.row);
	pen_relation_unref(relation);
	free(copy);
	return rows;
}

static void
test_binary_copy_and_each_truncation(void **state)
{
	penstock_status status;
	uint8_t damaged[COPY_LEN];

	(void) state;
	assert_int_equal(read_copy(copy_bytes, COPY_LEN, &status), 2);
	assert_int_equal(status, PENSTOCK_AGAIN);
	for (size_t len = 0; len < COPY_LEN; len++)
	{
		read_copy(copy_bytes, len, &status);
		assert_true(status == PENSTOCK_E_DATA || status == PENSTOCK_E_RETRY);
	}
	for (size_t i = 0; i < COPY_LEN; i++)
	{
		memcpy(damaged, copy_bytes, COPY_LEN);
		damaged[i] ^= 0x80;
		read_copy(damaged, COPY_LEN, &status);
	}
}

/* ---- with a server ---- */

static const char *source;

static void
run_sql(const char *sql)
{
	PGconn *conn = PQconnectdb(source);
	PGresult *result = PQexec(conn, sql);

	if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(conn));
	PQclear(result);
	PQfinish(conn);
}

static bool
takes_play(void *context, const char *schema, const char *table)
{
	(void) context;
	(void) table;
	return strcmp(schema, "play") == 0;
}

static penstock_status
sink_table(void *context, const penstock_relation *relation, pen_error *error)
{
	return pen_memory_load_table(context, relation, error);
}

static penstock_status
sink_row(void *context, const uint8_t *data, size_t len, pen_error *error)
{
	return pen_memory_load_row(context, data, len, error);
}

static penstock_status
sink_other(void *context, uint32_t oid, pen_error *error)
{
	return pen_memory_load_other(context, oid, error);
}

static penstock_status
load_play(pen_memory_store *store, const char *plugin, pen_error *error)
{
	const char *from_environment = getenv("PENSTOCK_TEST_PLUGIN");
	pen_load_options options = {.conninfo = source, .connect_timeout_ms = 5000};
	pen_load_sink sink = {store, takes_play, sink_table, sink_row, sink_other};
	uint64_t point = 0;
	penstock_status status;

	options.plugin = plugin != NULL             ? plugin
					 : from_environment != NULL ? from_environment
												: "pgoutput";
	pen_memory_load_begin(store);
	status = pen_load_run(&options, &sink, &point, error);
	if (status < 0)
	{
		pen_memory_load_abort(store);
		return status;
	}
	assert_true(point > 0);
	pen_memory_load_end(store, point);
	return pen_memory_start(store, point, error);
}

/* A row as printed values with | between them; ~ for NULL. */
static void
print_row(const penstock_row *row, pen_wire_buf *out)
{
	pen_wire_reader reader;
	pen_value value;

	out->len = 0;
	pen_wire_reader_init(&reader, row->data, row->len);
	for (int i = 0; pen_wire_read_value(&reader, &value); i++)
	{
		if (i > 0)
			pen_wire_append(out, "|", 1);
		if (value.kind == PEN_VALUE_NULL)
			pen_wire_append(out, "~", 1);
		else
			assert_null(
				pen_print_value(out, (pen_encoding) row->relation->columns[i].encoding, &value));
	}
	pen_wire_append(out, "", 1);
}

static const char all_types[] =
	"DROP SCHEMA IF EXISTS play CASCADE; CREATE SCHEMA play;"
	"CREATE TYPE play.pair AS (a int, b text); CREATE DOMAIN play.small AS int CHECK (value < 9);"
	"CREATE DOMAIN play.smaller AS play.small; CREATE TYPE play.mood AS ENUM ('ok');"
	"CREATE TABLE play.\"all \"\"types\" (id bigint PRIMARY KEY, b bool, i2 int2, f4 float4, "
	"f8 float8, t text, v varchar(5), c char(4), j json, jb jsonb, n numeric(10,2), by bytea, "
	"d date, ti time, ts timestamp, tz timestamptz, u uuid, o oid, ia int[], tza timestamptz[], "
	"p play.pair, dom play.smaller, m play.mood, nm name, iv interval, "
	"gen int GENERATED ALWAYS AS (1 + 1) STORED, \"select\" int4range);"
	"ALTER TABLE play.\"all \"\"types\" DROP COLUMN i2;"
	"INSERT INTO play.\"all \"\"types\" VALUES (-5, true, 1.5, 0.1, 'tä', 'v', 'c', '{\"a\": 1}', "
	"'{\"a\":1}', 12.5, '\\x00ff', '2026-11-21', '12:34:56.5', '2026-11-21 12:34:56.789', "
	"'2026-11-21 12:34:56+01', '00112233-4455-6677-8899-aabbccddeeff', 4294967295, '{1,NULL}', "
	"'{2026-11-21 00:00:00+01}', ROW(NULL, NULL), 7, 'ok', 'name', '1 day 2 hours', DEFAULT, "
	"'[1,5)');"
	"INSERT INTO play.\"all \"\"types\" (id) VALUES (9);"
	"INSERT INTO play.\"all \"\"types\" (id, d, ts, f8) VALUES (10, 'infinity', '-infinity', "
	"'NaN');"
	"CREATE TABLE play.parted (id int PRIMARY KEY) PARTITION BY RANGE (id);"
	"CREATE TABLE play.leaf PARTITION OF play.parted FOR VALUES FROM (0) TO (10);"
	"INSERT INTO play.parted VALUES (1), (2);"
	"CREATE TABLE play.parent (a int); CREATE TABLE play.child () INHERITS (play.parent);"
	"INSERT INTO play.parent VALUES (1); INSERT INTO play.child VALUES (2), (2);"
	"CREATE TABLE play.nothing (); INSERT INTO play.nothing DEFAULT VALUES;"
	"CREATE UNLOGGED TABLE play.lost (a int); INSERT INTO play.lost VALUES (1);";

static penstock_table *
table_of(penstock_snapshot *snapshot, const char *name)
{
	penstock_table *table = penstock_snapshot_table(snapshot, "play", name);

	assert_non_null(table);
	return table;
}

static void
test_rows_of_every_type_arrive(void **state)
{
	pen_memory_store *store;
	const char *id = "9";
	penstock_snapshot *snapshot;
	penstock_table *table;
	penstock_row row;
	pen_wire_buf out;
	pen_error error;

	(void) state;
	if (source == NULL)
		skip();
	store = pen_memory_store_new(0);
	run_sql(all_types);
	if (load_play(store, NULL, &error) != PENSTOCK_OK)
		fail_msg("%s", error.text);
	pen_buffer_init(&out);
	snapshot = pen_memory_store_snapshot(store);
	table = table_of(snapshot, "all \"types");
	assert_int_equal(penstock_lookup_int(snapshot, table, -5, &row), PENSTOCK_OK);
	print_row(&row, &out);
	assert_string_equal(
		(char *) out.data,
		"-5|t|1.5|0.1|tä|v|c   |{\"a\": 1}|{\"a\": 1}|12.50|\\x00ff|2026-11-21|12:34:56.5|"
		"2026-11-21 12:34:56.789|2026-11-21 11:34:56+00|00112233-4455-6677-8899-aabbccddeeff|"
		"4294967295|{1,NULL}|{\"2026-11-20 23:00:00+00\"}|(,)|7|ok|name|1 day 02:00:00|2|[1,5)");
	assert_int_equal(penstock_lookup(snapshot, table, &id, 1, &row), PENSTOCK_OK);
	print_row(&row, &out);
	assert_string_equal((char *) out.data, "9|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|2|~");
	assert_int_equal(penstock_lookup_int(snapshot, table, 10, &row), PENSTOCK_OK);
	print_row(&row, &out);
	assert_non_null(strstr((char *) out.data, "|NaN|"));
	assert_non_null(strstr((char *) out.data, "|infinity|~|-infinity|"));
	assert_int_equal(penstock_table_relation(table)->columns[1].attnum, 2);
	assert_int_equal(penstock_table_relation(table)->columns[2].attnum, 4);
	assert_int_equal(penstock_table_relation(table)->columns[20].base_type_oid, PEN_OID_INT4);
	assert_int_equal(penstock_table_count(snapshot, table_of(snapshot, "leaf")), 2);
	assert_int_equal(penstock_table_count(snapshot, table_of(snapshot, "parent")), 1);
	assert_int_equal(penstock_table_count(snapshot, table_of(snapshot, "child")), 2);
	assert_int_equal(penstock_table_count(snapshot, table_of(snapshot, "nothing")), 1);
	assert_null(penstock_snapshot_table(snapshot, "play", "lost"));
	assert_null(penstock_snapshot_table(snapshot, "play", "parted"));
	penstock_snapshot_end(snapshot);
	pen_buffer_reset(&out);
	pen_memory_store_free(store);
}

static void
test_a_missing_plugin_is_a_matter_of_configuration(void **state)
{
	pen_memory_store *store;
	pen_error error;

	(void) state;
	if (source == NULL)
		skip();
	store = pen_memory_store_new(0);
	assert_int_equal(load_play(store, "no_such_plugin", &error), PENSTOCK_E_CONFIG);
	/* The remedy depends on whether the server has a list of plugins that it allows. */
	assert_true(strstr(error.text, "output_plugin_libraries") != NULL ||
				strstr(error.text, "install the plugin") != NULL);
	pen_memory_store_free(store);
}

static void *
alter_later(void *argument)
{
	(void) argument;
	run_sql("BEGIN; SELECT pg_current_xact_id(); SELECT pg_sleep(0.5); "
			"ALTER TABLE play.leaf ADD COLUMN IF NOT EXISTS later int; COMMIT");
	return NULL;
}

/* The slot waits for the transaction, which waits for our lock: no server sees that circle. */
static void
test_an_alter_table_does_not_hang_with_the_loading(void **state)
{
	pen_memory_store *store;
	pthread_t thread;
	pen_error error;

	(void) state;
	if (source == NULL)
		skip();
	store = pen_memory_store_new(0);
	run_sql("DROP SCHEMA IF EXISTS play CASCADE; CREATE SCHEMA play; "
			"CREATE TABLE play.leaf (id int primary key); INSERT INTO play.leaf VALUES (1)");
	pthread_create(&thread, NULL, alter_later, NULL);
	usleep(200000);
	if (load_play(store, NULL, &error) != PENSTOCK_OK)
		fail_msg("%s", error.text);
	pthread_join(thread, NULL);
	pen_memory_store_free(store);
}

static void
test_a_million_rows_load_fast(void **state)
{
	pen_memory_store *store;
	penstock_snapshot *snapshot;
	struct timespec start;
	struct timespec end;
	pen_error error;

	(void) state;
	if (source == NULL)
		skip();
	store = pen_memory_store_new(0);
	run_sql("DROP SCHEMA IF EXISTS play CASCADE; CREATE SCHEMA play; "
			"CREATE TABLE play.narrow (id int primary key, grp int, payload text); "
			"INSERT INTO play.narrow SELECT i, i % 1000, 'payload of row ' || i "
			"FROM generate_series(1, 1000000) i");
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (load_play(store, NULL, &error) != PENSTOCK_OK)
		fail_msg("%s", error.text);
	clock_gettime(CLOCK_MONOTONIC, &end);
	print_message("%.2f s for a million rows\n", (double) (end.tv_sec - start.tv_sec) +
													 (double) (end.tv_nsec - start.tv_nsec) / 1e9);
	snapshot = pen_memory_store_snapshot(store);
	assert_int_equal(penstock_table_count(snapshot, table_of(snapshot, "narrow")), 1000000);
	penstock_snapshot_end(snapshot);
	pen_memory_store_free(store);
	run_sql("DROP SCHEMA play CASCADE");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_binary_copy_and_each_truncation),
		cmocka_unit_test(test_rows_of_every_type_arrive),
		cmocka_unit_test(test_a_missing_plugin_is_a_matter_of_configuration),
		cmocka_unit_test(test_an_alter_table_does_not_hang_with_the_loading),
		cmocka_unit_test(test_a_million_rows_load_fast),
	};

	source = getenv("PENSTOCK_TEST_SOURCE");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
