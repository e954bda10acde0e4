/* binary.h -- rows of COPY … (FORMAT binary) as Values. */
#ifndef PEN_COPY_BINARY_H
#define PEN_COPY_BINARY_H

#include "penstock/penstock.h"
#include "wire.h"

/* One table's COPY, message by message. */
typedef struct pen_copy_reader
{
	const penstock_relation *relation;
	bool header_seen;
	bool trailer_seen;
	bool check_utf8; /* the server does not see to it (SQL_ASCII) */
	const uint8_t *pos;
	const uint8_t *end;
	pen_wire_buf row; /* of the caller's making */
} pen_copy_reader;

/* Give it the next message, which must stay until all its rows are read. */
extern void pen_copy_feed(pen_copy_reader *reader, const void *data, size_t len);

/*
 * The next row in reader->row (NEW tags). PENSTOCK_OK; PENSTOCK_AGAIN when the message is used up;
 * PENSTOCK_E_DATA when it is no such row; PENSTOCK_E_RETRY without memory.
 */
extern penstock_status pen_copy_next_row(pen_copy_reader *reader);

/* The SQL expression, appended as text to sql, that makes a column's value travel as it should.
 * quoted is its quoted name. */
extern void pen_copy_append_expression(pen_wire_buf *sql, const penstock_column *column,
									   const char *quoted);

#endif
