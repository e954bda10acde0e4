/* json.h -- writes an event as the one JSON object that FORMAT.md specifies.
 * Shared by the plugin and the consumer; it appends to a pen_wire_buf and allocates nothing else.
 *
 * Every function that returns a const char pointer returns NULL when the object has been appended
 * whole, without a newline, or else what is wrong, in static text, with nothing appended. Whatever
 * the input, what is appended is valid JSON in valid UTF-8 on one line. */
#ifndef PEN_JSON_H
#define PEN_JSON_H

#include "types.h"
#include "wire.h"

/* What the writer needs to know of a column. Strings are NUL-terminated UTF-8. */
typedef struct pen_json_column
{
	const char *name;
	pen_encoding encoding;
	uint32_t base_type_oid;
	bool identity; /* a key has its value */
} pen_json_column;

/* And what a line about the table itself says of it, besides. */
typedef struct pen_json_type
{
	const char *schema;
	const char *name;
	uint32_t oid;
	int32_t typmod;
	uint32_t attnum;
	bool not_null;
	uint32_t primary_key; /* position from 1, or 0 */
	uint32_t identity;
	bool generated;
} pen_json_type;

/* A table, its columns described one by one by its owner, who keeps them in a form of his own. */
typedef struct pen_json_relation
{
	const char *schema;
	const char *name;
	uint32_t column_count;
	const void *columns;
	void (*describe)(const void *columns, uint32_t index, pen_json_column *column);
	/* What follows is for pen_json_write_relation only. */
	uint32_t oid;
	bool partitioned;
	const char *replica_identity; /* "default", "nothing", "full", "index" */
	void (*describe_type)(const void *columns, uint32_t index, pen_json_type *type);
} pen_json_relation;

/*
 * What all objects begin with. Changes are numbered from 1 within their transaction. Of a streamed
 * change the transaction is still in progress, so that only its xids are known.
 */
typedef struct pen_json_head
{
	uint32_t xid;
	uint64_t commit_lsn;
	int64_t commit_time;
	uint64_t sequence;
	bool streamed;
	uint32_t subxid; /* of a streamed change: 0 or xid for the top-level transaction's own */
} pen_json_head;

/* Bytes that are text more often than not. */
typedef struct pen_json_bytes
{
	const void *data;
	size_t len;
} pen_json_bytes;

/* Begin or end of a part or of a whole of a transaction;
 * which members count depends on the kind. */
typedef struct pen_json_boundary
{
	uint32_t xid;
	uint32_t subxid;
	bool first;
	pen_json_bytes gid;
	uint64_t lsn; /* start of the record of the commit or prepare */
	uint64_t end_lsn;
	int64_t time; /* of that record */
	uint64_t prepare_end_lsn;
	int64_t prepare_time;
} pen_json_boundary;

/* pg_logical_emit_message. head NULL: not transactional. */
typedef struct pen_json_message
{
	const pen_json_head *head;
	uint64_t lsn;
	pen_json_bytes prefix;
	pen_json_bytes content;
} pen_json_message;

/* The rows of a change. key and old with len 0 are left out; so is new_tuple for a delete. */
typedef struct pen_json_change
{
	pen_event_kind kind; /* insert, update or delete */
	pen_tuple new_tuple;
	pen_tuple key;
	pen_tuple old;
} pen_json_change;

extern const char *pen_json_begin(pen_wire_buf *buf, const pen_json_head *head);
extern const char *pen_json_commit(pen_wire_buf *buf, const pen_json_head *head, uint64_t end_lsn);
extern const char *pen_json_write_change(pen_wire_buf *buf, const pen_json_head *head,
										 const pen_json_relation *relation,
										 const pen_json_change *change);

/* A truncate's tables are appended one at a time between the two others; when one fails the caller
 * sets buf->len back to where the truncate began. */
extern const char *pen_json_truncate_begin(pen_wire_buf *buf, const pen_json_head *head);
extern const char *pen_json_truncate_table(pen_wire_buf *buf, const char *schema, const char *name);
extern const char *pen_json_truncate_end(pen_wire_buf *buf, bool cascade, bool restart_identity);

/* A table as it is described; belongs to no transaction. */
extern const char *pen_json_write_relation(pen_wire_buf *buf, const pen_json_relation *relation);
extern const char *pen_json_write_message(pen_wire_buf *buf, const pen_json_message *message);
extern const char *pen_json_write_origin(pen_wire_buf *buf, const pen_json_head *head,
										 pen_json_bytes name, uint64_t origin_lsn);
/* kind: any of stream_start to rollback_prepared, but not sub_xact. */
extern const char *pen_json_write_boundary(pen_wire_buf *buf, pen_event_kind kind,
										   const pen_json_boundary *boundary);

/* One value by itself, anything but `unchanged`. */
extern const char *pen_json_value(pen_wire_buf *buf, pen_encoding encoding, uint32_t base_type_oid,
								  const pen_value *value);

/* A string with its quotes; what is wrong when it is not UTF-8. */
extern const char *pen_json_string(pen_wire_buf *buf, const void *data, size_t len);

#endif
