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

/* What the writer needs to know of a column. name is NUL-terminated UTF-8. */
typedef struct pen_json_column
{
	const char *name;
	pen_encoding encoding;
	uint32_t base_type_oid;
	bool identity; /* a key has its value */
} pen_json_column;

/* A table, its columns described one by one by its owner, who keeps them in a form of his own. */
typedef struct pen_json_relation
{
	const char *schema;
	const char *name;
	uint32_t column_count;
	const void *columns;
	void (*describe)(const void *columns, uint32_t index, pen_json_column *column);
} pen_json_relation;

/* What all objects begin with. Changes are numbered from 1 within their transaction. */
typedef struct pen_json_head
{
	uint32_t xid;
	uint64_t commit_lsn;
	int64_t commit_time;
	uint64_t sequence;
} pen_json_head;

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

/* One value by itself, anything but `unchanged`. */
extern const char *pen_json_value(pen_wire_buf *buf, pen_encoding encoding, uint32_t base_type_oid,
								  const pen_value *value);

/* A string with its quotes; what is wrong when it is not UTF-8. */
extern const char *pen_json_string(pen_wire_buf *buf, const void *data, size_t len);

#endif
