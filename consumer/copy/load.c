/* load.c -- all rows of the wanted tables as of one point, as the plugin would send them. */
#include "copy/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "copy/binary.h"
#include "copy/snapshot.h"
#include "copy/sql.h"
#include "copy/waiting.h"
#include "event/relation.h"
#include "pq/pq.h"

typedef struct load
{
	const pen_load_options *options;
	const pen_load_sink *sink;
	PGconn *copier; /* the snapshot's */
	pen_error *error;
} load;

/* The next message of the COPY: its length, 0 at the end, or a negative status. */
static int
next_message(load *l, char **message)
{
	for (;;)
	{
		int len = PQgetCopyData(l->copier, message, 1);
		penstock_status status;

		if (len > 0)
			return len;
		if (len == -1)
			return 0;
		if (len == -2)
			return pen_pq_error(l->error, l->copier, NULL);
		status = pen_waiting_input(l->copier, l->options->interrupted, l->error);
		if (status < 0)
			return status;
	}
}

static penstock_status
read_message(load *l, pen_copy_reader *reader, const char *message, int len)
{
	penstock_status status;

	pen_copy_feed(reader, message, (size_t) len);
	while ((status = pen_copy_next_row(reader)) == PENSTOCK_OK)
	{
		status = l->sink->row(l->sink->context, reader->row.data, reader->row.len, l->error);
		if (status < 0)
			return status;
	}
	if (status == PENSTOCK_AGAIN)
		return PENSTOCK_OK;
	return pen_error_set(l->error, status,
						 status == PENSTOCK_E_DATA ? "the source sent a row that is malformed"
												   : "out of memory for a row");
}

static penstock_status
read_rows(load *l, const penstock_relation *relation)
{
	const char *encoding = PQparameterStatus(l->copier, "server_encoding");
	pen_copy_reader reader = {.relation = relation,
							  .check_utf8 = encoding == NULL || strcmp(encoding, "SQL_ASCII") == 0};
	penstock_status status = PENSTOCK_OK;
	PGresult *result;
	char *message;
	int len;

	pen_buffer_init(&reader.row);
	while (status == PENSTOCK_OK && (len = next_message(l, &message)) != 0)
	{
		status = len < 0 ? (penstock_status) len : read_message(l, &reader, message, len);
		if (len > 0)
			PQfreemem(message);
	}
	pen_buffer_reset(&reader.row);
	if (status < 0)
		return status;
	while ((result = PQgetResult(l->copier)) != NULL)
	{
		if (PQresultStatus(result) != PGRES_COMMAND_OK && status == PENSTOCK_OK)
			status = pen_pq_error(l->error, l->copier, result);
		PQclear(result);
	}
	if (status == PENSTOCK_OK && !reader.trailer_seen)
		status = pen_error_set(l->error, PENSTOCK_E_RETRY, "the source's rows ended too early");
	return status;
}

/* COPY (SELECT …) TO STDOUT, NUL-terminated. */
static bool
write_copy(const load *l, const pen_catalog_table *table, const penstock_relation *relation,
		   pen_wire_buf *sql)
{
	bool ok = true;

	pen_sql_text(sql, "COPY (SELECT ");
	for (int i = 0; ok && i < relation->column_count; i++)
	{
		const char *name = relation->columns[i].name;
		char *quoted = PQescapeIdentifier(l->copier, name, strlen(name));

		ok = quoted != NULL;
		if (i > 0)
			pen_sql_text(sql, ", ");
		if (ok)
			pen_copy_append_expression(sql, &relation->columns[i], quoted);
		PQfreemem(quoted);
	}
	pen_sql_text(sql, " FROM ONLY ");
	ok = ok && pen_sql_table(sql, l->copier, table->schema, table->name);
	pen_sql_text(sql, ") TO STDOUT (FORMAT binary)");
	return pen_sql_end(sql) && ok;
}

static penstock_status
load_table(load *l, const pen_catalog_table *table)
{
	const penstock_relation *relation = pen_catalog_read_relation(l->copier, table, l->error);
	penstock_status status;
	PGresult *result;
	pen_wire_buf sql;

	if (relation == NULL)
		return l->error->status;
	pen_buffer_init(&sql);
	status = l->sink->table(l->sink->context, relation, l->error);
	if (status >= 0 && !write_copy(l, table, relation, &sql))
		status = pen_error_set(l->error, PENSTOCK_E_RETRY, "out of memory");
	if (status >= 0)
	{
		result = pen_pq_query(l->copier, (char *) sql.data, 0, NULL, l->error);
		status = result != NULL ? read_rows(l, relation) : l->error->status;
		PQclear(result);
	}
	pen_buffer_reset(&sql);
	pen_relation_unref(relation);
	if (status < 0)
		return pen_error_context(l->error, "loading table %s.%s", table->schema, table->name);
	return PENSTOCK_OK;
}

static penstock_status
load_all(load *l, const pen_snapshot *snapshot)
{
	penstock_status status = PENSTOCK_OK;

	for (size_t i = 0; status >= 0 && i < snapshot->list.count; i++)
	{
		if (pen_snapshot_wants(snapshot, &snapshot->list.tables[i]))
			status = load_table(l, &snapshot->list.tables[i]);
		else if (l->sink->other != NULL)
			status = l->sink->other(l->sink->context, snapshot->list.tables[i].oid, l->error);
	}
	return status;
}

penstock_status
pen_load_run(const pen_load_options *options, const pen_load_sink *sink, uint64_t *consistent_point,
			 pen_error *error)
{
	pen_snapshot_options wanted = {
		.conninfo = options->conninfo,
		.plugin = options->plugin,
		.connect_timeout_ms = options->connect_timeout_ms,
		.interrupted = options->interrupted,
		.takes = sink->takes,
		.context = sink->context,
	};
	load l = {.options = options, .sink = sink, .error = error};
	pen_snapshot snapshot;
	penstock_status status = pen_snapshot_take(&snapshot, &wanted, error);

	if (status < 0)
		return status;
	l.copier = snapshot.reader;
	*consistent_point = snapshot.consistent_point;
	status = load_all(&l, &snapshot);
	pen_snapshot_end(&snapshot);
	return status;
}
