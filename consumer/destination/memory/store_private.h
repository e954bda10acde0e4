/* store_private.h -- what store.c, transaction.c and its parts, and reader.c share. */
#ifndef PEN_MEMORY_STORE_PRIVATE_H
#define PEN_MEMORY_STORE_PRIVATE_H

#include "event/rowkey.h"
#include "destination/memory/store.h"

/* A row, or a run of rows, that the open transaction has touched. */
typedef struct pen_undo
{
	void *object;   /* the heap; of a truncate the table */
	uint32_t row;   /* PEN_NO_ROW: a truncate */
	uint32_t count; /* inserted rows from row on; 0: one row changed */
} pen_undo;

typedef enum pen_garbage_kind
{
	PEN_GARBAGE_VERSION,
	PEN_GARBAGE_DEAD_ROW, /* its newest version is this tombstone: take it out of the heap */
	PEN_GARBAGE_HEAP,
	PEN_GARBAGE_TABLE,
	PEN_GARBAGE_SET
} pen_garbage_kind;

/* Something that snapshots with a number below stamp may see. */
typedef struct pen_garbage
{
	uint64_t stamp;
	void *owner; /* of a version or row its heap, of a heap its table */
	void *object;
	uint32_t row;
	pen_garbage_kind kind;
} pen_garbage;

/* A relation of the stream and what we know it as. */
typedef struct pen_known_relation
{
	const penstock_relation *relation; /* one reference is ours; NULL: a free place */
	pen_table *table;
	uint16_t schema;
} pen_known_relation;

struct pen_memory_store
{
	size_t bytes_max;
	size_t bytes;

	pthread_mutex_t lock;    /* of the next five */
	pen_tableset *published; /* what new snapshots see; NULL: nothing yet */
	uint64_t published_lsn;
	uint64_t snapshot_counter;
	penstock_snapshot *first_snapshot; /* oldest first */
	penstock_snapshot *last_snapshot;

	/* The writer's own from here. */
	pen_tableset *working; /* published, and the tables that the open transaction brought */
	uint64_t applied_lsn;
	bool in_transaction;
	bool skipping; /* the open transaction: the tables contain it */
	uint64_t transaction_lsn;
	pen_undo *undo;
	size_t undo_count;
	size_t undo_size;
	pen_garbage *garbage; /* garbage_first..garbage_count wait, stamps ascending */
	size_t garbage_first;
	size_t garbage_count;
	size_t garbage_size;
	pen_known_relation *known; /* open addressing; known_size is a power of two */
	size_t known_count;
	size_t known_size;
	pen_known_relation last_known;
	pen_wire_buf key_scratch;
	pen_wire_buf other_key_scratch;
	pen_wire_buf row_scratch;
	int reloads; /* asked for since the table that asked last was found as it should be */
	uint32_t reload_oid;

	/* Tables that are being loaded, or loaded and waiting for the stream to start. */
	bool loaded;
	uint64_t consistent_point;
	pen_tableset *loading;
	pen_table *load_table;
	size_t loading_bytes;
	uint32_t *others; /* oids of tables that were not loaded */
	size_t other_count;
	size_t other_size;
};

typedef struct pen_mapped_rows pen_mapped_rows;

struct penstock_snapshot
{
	pen_memory_store *store;
	penstock_snapshot *next;
	penstock_snapshot *prev;
	uint64_t number;
	uint64_t lsn;
	const pen_tableset *set;
	pthread_mutex_t lock; /* of what follows: one snapshot may serve several threads */
	penstock_table **tables;
	pen_mapped_rows *mapped; /* copies of rows that follow an older description */
};

/* A table as a snapshot sees it. */
struct penstock_table
{
	const pen_table *table;
	const pen_heap *heap; /* NULL: empty */
	const pen_schema *schema;
};

/* What is retired must be out of reach for snapshots that begin from now on. */
extern void pen_memory_retire(pen_memory_store *store, pen_garbage_kind kind, void *owner,
							  void *object, uint32_t row);
/* The same with a stamp taken earlier. */
extern void pen_memory_retire_at(pen_memory_store *store, uint64_t stamp, pen_garbage_kind kind,
								 void *owner, void *object, uint32_t row);
/* Heaps of tables that nobody will write to any more. */
extern void pen_memory_retire_heap(pen_memory_store *store, pen_table *table, pen_heap *heap);
/* Show the loaded tables to readers, all at once. False without memory. */
extern bool pen_memory_publish_loaded(pen_memory_store *store);
extern void pen_memory_forget_relations(pen_memory_store *store);
/* Bring store->bytes up to date. */
extern penstock_status pen_memory_account(pen_memory_store *store, pen_heap *heap, size_t *total,
										  const penstock_relation *relation, pen_error *error);

#endif
