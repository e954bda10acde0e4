/* batch.h -- changes gathered for one go: each as it came, and what they come to for each key.
 * The events stay in source order until the batch is cleared, so that it can always be replayed. */
#ifndef PEN_BATCH_H
#define PEN_BATCH_H

#include "base/error.h"
#include "event/rowkey.h"
#include "penstock/event.h"

#define PEN_BATCH_NONE UINT32_MAX

/* What the changes to one key since the last send come to. */
typedef enum pen_net_state
{
	PEN_NET_NOTHING, /* inserted and deleted again */
	PEN_NET_INSERT,
	PEN_NET_UPDATE,
	PEN_NET_DELETE,
	PEN_NET_REPLACE /* deleted, then inserted */
} pen_net_state;

/* A table of the batch. Remembered when the batch is cleared, so that target stays. */
typedef struct pen_batch_table
{
	const penstock_relation *relation; /* holds a reference */
	void *target;                      /* the owner's; NULL at first */
	uint32_t first;                    /* entries in the order of their first change */
	uint32_t last;
	uint32_t entry_count;
	uint32_t generation; /* entries of older ones have been sent */
	bool touched;        /* stands in pen_batch.touched */
} pen_batch_table;

/* Bytes within pen_batch.bytes. */
typedef struct pen_batch_span
{
	uint32_t at;
	uint32_t len;
} pen_batch_span;

/* A change as it came. */
typedef struct pen_batch_event
{
	pen_batch_table *table; /* NULL: truncate */
	uint64_t commit_lsn;
	pen_batch_span new_row;
	pen_batch_span old_row; /* of a truncate: places in pen_batch.truncated */
	uint8_t kind;           /* penstock_event_kind */
	bool has_old;
	bool identity_only;    /* the old row */
	bool restart_identity; /* truncate */
} pen_batch_event;

/* The net change of one key. */
typedef struct pen_batch_entry
{
	pen_batch_table *table;
	uint64_t commit_lsn; /* of its last change */
	pen_batch_span row;  /* the new row; of a DELETE the old one */
	pen_batch_span key;  /* Values without tags */
	uint32_t hash;
	uint32_t next; /* of the table */
	uint32_t generation;
	uint8_t state; /* pen_net_state */
	bool sent;     /* the sender's mark */
	bool identity_only;
} pen_batch_entry;

/* The events of a batch that were sent. */
typedef struct pen_batch_kept
{
	pen_batch_event *events;
	size_t event_count;
	size_t event_capacity;
	pen_wire_buf bytes;
	size_t row_bytes;
	pen_batch_table **truncated;
	size_t truncated_count;
	size_t truncated_capacity;
} pen_batch_kept;

/* All zero but buffers: see pen_batch_init. */
typedef struct pen_batch
{
	pen_batch_event *events;
	size_t event_count;
	size_t event_capacity;
	pen_wire_buf bytes;
	size_t row_bytes; /* of the events: what limits are measured by */
	pen_batch_table **truncated;
	size_t truncated_count;
	size_t truncated_capacity;

	/* Tables by relation: open addressing, a power of two. */
	pen_batch_table **tables;
	size_t table_count;
	size_t table_capacity;
	pen_batch_table *last_table;

	/* The net change. */
	pen_batch_entry *entries;
	uint32_t entry_count;
	uint32_t entry_capacity;
	uint64_t *slots; /* hash and place in entries + 1; 0: free */
	size_t slot_count;
	size_t merged_bytes;
	pen_batch_table **touched; /* tables that have entries */
	size_t touched_count;
	size_t touched_capacity;
	pen_wire_buf scratch;

	pen_batch_kept kept;
} pen_batch;

extern void pen_batch_init(pen_batch *batch);
extern void pen_batch_free(pen_batch *batch);

/*
 * The table of a relation, made at first use: *added says so. NULL without memory. Whoever adds one
 * sends what is gathered of the older ones, and forgets them.
 */
extern pen_batch_table *pen_batch_table_get(pen_batch *batch, const penstock_relation *relation,
											bool *added);
/* Another description of the same source table, or of one that had its name;
 * NULL: there is none. */
extern pen_batch_table *pen_batch_table_older(const pen_batch *batch,
											  const penstock_relation *relation);
/* The batch must be clear. */
extern void pen_batch_table_forget(pen_batch *batch, pen_batch_table *table);

/* Copy a change of table, or a truncate of relation_count tables. E_RETRY without memory. */
extern penstock_status pen_batch_add(pen_batch *batch, pen_batch_table *table,
									 const penstock_event *event, uint64_t commit_lsn,
									 pen_error *error);
extern penstock_status pen_batch_add_truncate(pen_batch *batch, pen_batch_table *const *tables,
											  uint32_t count, bool restart_identity,
											  uint64_t commit_lsn, pen_error *error);

/* Would an event of this size go beyond what a batch can address? Then clear it first. */
extern bool pen_batch_is_full(const pen_batch *batch, const penstock_event *event);

/* Events and net change are forgotten; tables, and what is kept, are not. */
extern void pen_batch_clear(pen_batch *batch);
/* Keep the events, which were sent, while others are gathered; the net change is forgotten. */
extern void pen_batch_keep(pen_batch *batch);
/* Have the events that are kept in the place of those that are gathered, to replay them; and back.
 * What these come to stays as it is. */
extern void pen_batch_exchange(pen_batch *batch);
/* The events that are kept are not needed any more. */
extern void pen_batch_forget_kept(pen_batch *batch);
/* The net change alone. */
extern void pen_batch_clear_net(pen_batch *batch);

/* An event as one of event.h, for the calls that take those. Borrows from the batch. */
extern void pen_batch_event_get(const pen_batch *batch, const pen_batch_event *event,
								penstock_event *into);

typedef enum pen_net_result
{
	PEN_NET_ADDED,
	PEN_NET_KEY_CHANGED, /* an update of the key: not added */
	PEN_NET_DISAGREES,   /* no source could have done that: only replay can tell what is wrong */
	PEN_NET_NO_KEY,      /* a value of the key is missing: not added */
	PEN_NET_FULL,        /* too much was merged: not added; send what there is, and add again */
	PEN_NET_NO_MEMORY
} pen_net_result;

/* Merge an insert, update or delete of a table with a key into the net change. */
extern pen_net_result pen_batch_net(pen_batch *batch, const pen_batch_event *event);
/* An insert that no key is asked of: it stands for itself. */
extern pen_net_result pen_batch_append(pen_batch *batch, const pen_batch_event *event);

/* The table's entries have been sent: what comes next begins anew. */
extern void pen_batch_sent(pen_batch_table *table);

/* The row of an entry: whole, or for a DELETE perhaps its identity only. */
extern void pen_batch_entry_row(const pen_batch *batch, const pen_batch_entry *entry,
								penstock_row *row);

#endif
