/* print.h -- values as PostgreSQL's output functions print them, with DateStyle ISO, TimeZone UTC
 * and bytea_output hex. Shared by the plugin and the consumer; neither allocates nor locks. */
#ifndef PEN_PRINT_H
#define PEN_PRINT_H

#include "types.h"
#include "wire.h"

/* Room for anything that the functions with a plain char pointer write. They write no NUL and
 * return the length, or 0 for a value that PostgreSQL cannot have. */
#define PEN_PRINT_MAX 48

typedef enum pen_time_style
{
	PEN_TIME_SQL, /* "2026-11-21 12:34:56.789", with zone "+00" */
	PEN_TIME_JSON /* "2026-11-21T12:34:56.789", with zone "+00:00" */
} pen_time_style;

extern size_t pen_print_int(char *to, int64_t value);
extern size_t pen_print_lsn(char *to, uint64_t lsn); /* "16/B374D848" */
extern size_t pen_print_date(char *to, int64_t days);
extern size_t pen_print_time(char *to, int64_t microseconds);
/* zone: it is a timestamptz, which gets the zone's offset, always of UTC. */
extern size_t pen_print_timestamp(char *to, int64_t microseconds, pen_time_style style, bool zone);
/* A moment, "2026-11-21T12:34:56.789000Z": always six decimals, no infinity, no BC. */
extern size_t pen_print_moment(char *to, int64_t microseconds);
extern size_t pen_print_uuid(char *to, const uint8_t bytes[16]);

/* Appends \x and two digits a byte. */
extern void pen_print_hex(pen_wire_buf *buf, const uint8_t *data, size_t len);

/*
 * Append a value's output text: every encoding but BINARY, which only its type can print. Returns
 * NULL, or what is wrong: the value does not fit the encoding, is NULL or unchanged, or there is
 * no memory; nothing has been appended then.
 */
extern const char *pen_print_value(pen_wire_buf *buf, pen_encoding encoding,
								   const pen_value *value);

/*
 * Whether a value that is there (not NULL, not unchanged) can be one of this encoding: its kind,
 * the size of a uuid, the range of dates and times. NULL, or what is wrong.
 */
extern const char *pen_check_value(pen_encoding encoding, uint32_t base_type_oid,
								   const pen_value *value);

/* The size in bytes of the valid UTF-8 sequence at data, or 0. len is at least 1. */
extern size_t pen_utf8_sequence(const uint8_t *data, size_t len);
extern bool pen_utf8_valid(const uint8_t *data, size_t len);

#endif
