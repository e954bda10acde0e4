/* penstock.h -- the library: follow a PostgreSQL database, keep its tables in memory and in other
 * databases, and be told of every change, exactly once and in commit order.
 *
 *     penstock *p = penstock_new();
 *     penstock_set(p, "source", "dbname=shop");
 *     penstock_on_change(p, "public.users", print_change, NULL);
 *     if (penstock_open(p) == PENSTOCK_OK)
 *         while (!stop && penstock_step(p, 100) >= 0)
 *             ;
 *     penstock_free(p);
 *
 * Link with -lpenstock. One penstock is used by one thread, except where a function says
 * otherwise; snapshots are for every thread. */
#ifndef PENSTOCK_H
#define PENSTOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "penstock/event.h"

#ifdef __cplusplus
extern "C"
{
#endif

#define PENSTOCK_API        __attribute__((visibility("default")))
#define PENSTOCK_MUST_CHECK __attribute__((warn_unused_result))

	/*
 * What a function says of its work. Negative: it failed. The kinds of failure tell what can help:
 * another try (RETRY), another configuration (CONFIG), a person who looks at the data (REFUSED,
 * DATA), or a bug report (BUG).
 */
	typedef enum penstock_status
	{
		PENSTOCK_OK = 0,
		PENSTOCK_AGAIN = 1,     /* nothing was ready within the time given */
		PENSTOCK_DONE = 2,      /* `until` is reached: everything is delivered and confirmed */
		PENSTOCK_NULL = 3,      /* the value is NULL */
		PENSTOCK_UNCHANGED = 4, /* the value was not touched and did not travel */
		PENSTOCK_NOT_FOUND = 5,
		PENSTOCK_E_RETRY = -1,   /* connection lost, server starting, no memory */
		PENSTOCK_E_CONFIG = -2,  /* an option, a URI, a missing table, a missing right */
		PENSTOCK_E_REFUSED = -3, /* going on could lose or double rows: a person is needed */
		PENSTOCK_E_DATA = -4,    /* damaged input, or a row that a destination rejects */
		PENSTOCK_E_WAITING =
			-5, /* a destination lacks a table or column; goes on once it is there */
		PENSTOCK_E_BUG = -6
	} penstock_status;

	typedef struct penstock penstock;
	typedef struct penstock_snapshot penstock_snapshot;
	typedef struct penstock_table penstock_table;

	/* ---- life ---- */

	/* A new, closed penstock, or NULL without memory. penstock_free(NULL) is harmless; freeing
 * stops at a transaction boundary, as after penstock_stop. */
	PENSTOCK_API penstock *penstock_new(void);
	PENSTOCK_API void penstock_free(penstock *p);

	/*
 * Set an option by its name, before penstock_open. The names are those of `penstock run --help`
 * with - or _ between words; the value is text as on the command line. `to` may be set several
 * times. `config` reads a penstock.ini at once; what is set otherwise, before or after, wins, and
 * all that is wrong in it is logged. PENSTOCK_E_CONFIG: unknown name or malformed value.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_set(penstock *p, const char *name,
																  const char *value);

	/* The text of the last failure on p: one line, what was found and what to do. "" if none. Valid
 * until the next call on p. */
	PENSTOCK_API const char *penstock_error(const penstock *p);

	/*
 * Connect to the source and all destinations, check that going on is safe, copy what is to be
 * copied, load memory tables, and start streaming. Blocks; penstock_stop from another thread or a
 * signal handler ends it. PENSTOCK_DONE: stopped while rows were copied, where the next start goes
 * on, or while a slot or memory tables waited for open transactions.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_open(penstock *p);

	/*
 * Process what is ready, waiting at most timeout_ms (0: do not wait, -1: for ever).
 * Returns PENSTOCK_OK, PENSTOCK_AGAIN on timeout, PENSTOCK_DONE when `until` is reached, or a
 * negative status; penstock_error(p) tells more until the next call on p. A lost source is
 * reconnected inside, with back-off; its status is not returned.
 * Events handed to callbacks are borrowed until the callback returns. Not thread-safe for one p.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_step(penstock *p, int timeout_ms);

	/* Ask for a stop at the next transaction boundary. Safe in signal handlers and other threads.
 * penstock_step then returns PENSTOCK_DONE once everything applied is confirmed. */
	PENSTOCK_API void penstock_stop(penstock *p);

	/*
 * Let a destination finish its transaction, commit, and be closed: it takes nothing more, and the
 * slot keeps what it misses, until it is resumed. Others go on. destination is its name; NULL is
 * all of them. Returns at once; the log tells when it is paused. PENSTOCK_E_CONFIG: there is none
 * of that name.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_pause(penstock *p,
																	const char *destination);

	/* Open a destination again that was paused, or that stopped for good because of an error, and
 * go on where it is; what it rejected is tried afresh. As penstock_pause otherwise. */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_resume(penstock *p,
																	 const char *destination);

	/* The library's version, "0.2.0". */
	PENSTOCK_API const char *penstock_version(void);

	/* ---- messages ---- */

	typedef enum penstock_log_level
	{
		PENSTOCK_LOG_DEBUG,
		PENSTOCK_LOG_INFO,
		PENSTOCK_LOG_WARNING,
		PENSTOCK_LOG_ERROR
	} penstock_log_level;

	/* What happened, in one line without row data or passwords. component: "source" or the name of
 * a destination. Called from the library's threads, one call at a time. */
	typedef void (*penstock_log_callback)(penstock_log_level level, const char *component,
										  const char *text, void *context);

	/* Before penstock_open. Without a callback messages are dropped. */
	PENSTOCK_API void penstock_on_log(penstock *p, penstock_log_callback callback, void *context);

	/* ---- callbacks: called inside penstock_step, in commit order ---- */

	/*
 * Told of every event, or of the changes of one table. A negative status stops penstock_step with
 * it: the transaction is not confirmed and comes again at the next start.
 */
	typedef penstock_status (*penstock_callback)(penstock *p, const penstock_event *event,
												 void *context);

	/* Before penstock_open. table is `schema.table` or a pattern with *, or NULL for all. Several
 * may be registered; each matching one is called.
 * on_transaction is called for begin and commit. */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_on_change(penstock *p,
																		const char *table,
																		penstock_callback callback,
																		void *context);
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status
	penstock_on_transaction(penstock *p, penstock_callback callback, void *context);

	/* ---- memory tables: any thread, needs a `memory:` destination ---- */

	/*
 * Pin the state as of the last applied commit. Rows and pointers obtained through it stay valid
 * and do not change until penstock_snapshot_end, which must come before penstock_free. NULL when
 * there are no loaded memory tables (yet). Old versions of rows are kept while it is open.
 */
	PENSTOCK_API penstock_snapshot *penstock_snapshot_begin(penstock *p);
	PENSTOCK_API void penstock_snapshot_end(penstock_snapshot *snapshot);

	/* The end LSN of the last transaction that the snapshot sees. */
	PENSTOCK_API uint64_t penstock_snapshot_lsn(const penstock_snapshot *snapshot);

	/* The tables of a snapshot by name, or by position from 0; NULL when there is none. */
	PENSTOCK_API penstock_table *penstock_snapshot_table(penstock_snapshot *snapshot,
														 const char *schema, const char *name);
	PENSTOCK_API penstock_table *penstock_snapshot_table_at(penstock_snapshot *snapshot, size_t n);
	PENSTOCK_API const penstock_relation *penstock_table_relation(const penstock_table *table);
	/* Rows that the snapshot sees. Walks the table. */
	PENSTOCK_API uint64_t penstock_table_count(penstock_snapshot *snapshot, penstock_table *table);

	/*
 * Find a row by its key. keys holds one text for each key column of the relation, in the order of
 * relation->key_columns, in the form in which PostgreSQL prints the value. PENSTOCK_OK and *row,
 * PENSTOCK_NOT_FOUND, or PENSTOCK_E_CONFIG when the table has no key, a key does not parse or the
 * count is wrong.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_lookup(penstock_snapshot *snapshot,
																	 penstock_table *table,
																	 const char *const *keys,
																	 int key_count,
																	 penstock_row *row);
	/* The same for a key of one integer column. */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_lookup_int(
		penstock_snapshot *snapshot, penstock_table *table, int64_t key, penstock_row *row);

	/* Walk the rows of a table in no particular order: position starts at 0 and is the walk's own.
 * False at the end. */
	PENSTOCK_API bool penstock_next_row(penstock_snapshot *snapshot, penstock_table *table,
										uint64_t *position, penstock_row *row);

	/* ---- values ---- */

	/* The index of a column by name, or -1. */
	PENSTOCK_API int penstock_column_index(const penstock_relation *relation, const char *name);

	/*
 * Read a column of a row, by its index in relation->columns. PENSTOCK_OK and *value, PENSTOCK_NULL,
 * PENSTOCK_UNCHANGED, PENSTOCK_NOT_FOUND (not in an identity-only row), or PENSTOCK_E_CONFIG when
 * the column cannot be read as that type. Integers: int2, int4, int8, oid, date (days), time and
 * timestamps (microseconds) since 2000-01-01. Text: string types and every type that travels as
 * its output text. Bytes: bytea, uuid, and text. Borrowed like the row; not NUL-terminated.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_get_bool(const penstock_row *row,
																	   int column, bool *value);
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_get_int(const penstock_row *row,
																	  int column, int64_t *value);
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_get_double(const penstock_row *row,
																		 int column, double *value);
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_get_text(const penstock_row *row,
																	   int column,
																	   const char **data,
																	   size_t *len);
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_get_bytes(const penstock_row *row,
																		int column,
																		const uint8_t **data,
																		size_t *len);

	/*
 * A value as text, as PostgreSQL prints it (ISO dates, hex bytea), NUL-terminated, into buffer of
 * size bytes. Returns the status, and the length in *len, without the NUL; a *len >= size says
 * that it was cut.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status penstock_get_printed(const penstock_row *row,
																		  int column, char *buffer,
																		  size_t size, size_t *len);

	/* ---- rows as C structs ---- */

	/* Text and bytes in a struct: borrowed like the row. */
	typedef struct penstock_text
	{
		const char *data;
		size_t len;
	} penstock_text;

	typedef enum penstock_field_type
	{
		PENSTOCK_FIELD_BOOL,   /* bool */
		PENSTOCK_FIELD_INT16,  /* int16_t */
		PENSTOCK_FIELD_INT32,  /* int32_t */
		PENSTOCK_FIELD_INT64,  /* int64_t */
		PENSTOCK_FIELD_FLOAT,  /* float */
		PENSTOCK_FIELD_DOUBLE, /* double */
		PENSTOCK_FIELD_TEXT,   /* penstock_text */
		PENSTOCK_FIELD_BYTES   /* penstock_text */
	} penstock_field_type;

	/* One column and the field that takes it. null_offset: of a bool that becomes true for NULL, or
 * -1 for a column that is never NULL (then a NULL is PENSTOCK_E_DATA). `penstock gen-struct`
 * prints struct and fields of a live table. */
	typedef struct penstock_field
	{
		const char *column;
		penstock_field_type type;
		size_t offset;
		ptrdiff_t null_offset;
	} penstock_field;

	/*
 * Fill the struct at target from a row. A NULL leaves its field zero. A value out of the field's
 * range, a missing column or a type that does not fit is PENSTOCK_E_DATA, and *bad_field, where
 * given, is the index of that field. Values that did not travel (unchanged; not in an
 * identity-only row) leave the field as it is. Thread-safe.
 */
	PENSTOCK_API PENSTOCK_MUST_CHECK penstock_status
	penstock_row_to_struct(const penstock_row *row, const penstock_field *fields,
						   size_t field_count, void *target, size_t *bad_field);

#ifdef __cplusplus
}
#endif

#endif
