/* event.h -- what flows through Penstock: relations, rows, transactions and their changes.
 * The one vocabulary that the rooms of the consumer and the users of the library share. */
#ifndef PENSTOCK_EVENT_H
#define PENSTOCK_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
{
#endif

	/*
 * A column of a relation. All strings are NUL-terminated UTF-8 and live as long as the relation.
 * primary_key and identity are positions from 1, or 0 for a column that is not in it; identity is
 * what identifies old rows (REPLICA IDENTITY; for FULL it is every column).
 */
	typedef struct penstock_column
	{
		const char *name;
		const char *type_schema;
		const char *type_name;
		uint32_t type_oid;
		uint32_t base_type_oid; /* below all domains */
		int32_t typmod;
		int attnum;
		int primary_key;
		int identity;
		int encoding; /* a number of enum Encoding in penstock.proto */
		bool not_null;
		bool generated;
	} penstock_column;

	/*
 * One version of a table's description: immutable, a new one after DDL. The key columns are those
 * by which a row is found: the replica identity; with REPLICA IDENTITY FULL the primary key where
 * there is one; none (key_count 0) where rows can only be told apart by all their values, or not
 * at all.
 */
	typedef struct penstock_relation
	{
		uint32_t number; /* of this version, in its session */
		uint32_t oid;
		const char *schema;
		const char *name;
		char replica_identity; /* 'd'efault, 'n'othing, 'f'ull, 'i'ndex, as in pg_class */
		int column_count;
		const penstock_column *columns; /* in attnum order */
		int key_count;
		const int *key_columns; /* indexes in columns, ascending */
	} penstock_relation;

	/*
 * A row, or only its identity columns, borrowed: valid until the callback returns or the snapshot
 * ends. relation NULL: no row. Read it with the penstock_get_ functions.
 */
	typedef struct penstock_row
	{
		const penstock_relation *relation;
		const uint8_t *data; /* Values as on the wire */
		size_t len;
		bool identity_only; /* only the columns with identity > 0, in the order of the columns */
	} penstock_row;

	/*
 * A committed source transaction, or with gid one that was prepared; then the record is that of
 * PREPARE TRANSACTION from begin to prepare, and in the events that end it that of COMMIT PREPARED
 * or ROLLBACK PREPARED, and end_lsn is known from the begin. LSNs as PostgreSQL prints them: %X/%X
 * of the two halves.
 */
	typedef struct penstock_transaction
	{
		uint32_t xid;
		uint64_t commit_lsn; /* start of the commit record; of a rollback, the last byte of it */
		uint64_t end_lsn;    /* its end, in which progress is measured; 0 until the commit event */
		int64_t commit_time; /* microseconds since 2000-01-01 00:00:00 UTC */
		const char *gid;     /* of a prepared transaction; NULL: it was not prepared */
		uint64_t prepare_end_lsn; /* of the prepare that a rollback undoes */
		int64_t prepare_time;
	} penstock_transaction;

	typedef enum penstock_event_kind
	{
		PENSTOCK_BEGIN,
		PENSTOCK_INSERT,
		PENSTOCK_UPDATE,
		PENSTOCK_DELETE,
		PENSTOCK_TRUNCATE,
		PENSTOCK_COMMIT,
		PENSTOCK_PREPARE,
		PENSTOCK_COMMIT_PREPARED,
		PENSTOCK_ROLLBACK_PREPARED
	} penstock_event_kind;

	/*
 * One event. Begin and commit stand around the changes of one transaction.
 *
 * With two-phase, and only then, there are prepared transactions. Begin (with a gid) and prepare
 * stand around the changes; what they did is to be kept, and not to be seen. Later, between other
 * transactions, commit_prepared or rollback_prepared stands by itself, has no changes, and says
 * with the same gid and xid what became of it. All of them come in the order of their end_lsn,
 * which is what progress is measured in: whoever has progress of at least the end_lsn of one has
 * done it, so each is done once like a commit. A commit_prepared or rollback_prepared may name a
 * gid of which no prepare ever came (it was rolled back before it was decoded): that is nothing
 * to be done. A gid may be used again after its end; gid and xid together are not. A transaction
 * that was prepared before the stream could see it comes as an ordinary one at its commit.
 *
 * new_row: insert and update. It may hold values that are `unchanged`: TOASTed and not touched.
 * old_row: update, where the key changed (identity_only) or the table has REPLICA IDENTITY FULL;
 * delete, unless the table has no replica identity.
 * relations: truncate, all tables of the statement; relation is NULL then.
 */
	typedef struct penstock_event
	{
		penstock_event_kind kind;
		bool cascade;
		bool restart_identity;
		const penstock_transaction *transaction;
		uint64_t sequence; /* of a change within its transaction, from 1 */
		const penstock_relation *relation;
		penstock_row new_row;
		penstock_row old_row;
		const penstock_relation *const *relations;
		uint32_t relation_count;
	} penstock_event;

#ifdef __cplusplus
}
#endif

#endif
