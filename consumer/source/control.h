/* control.h -- the ordinary connection to the source, beside the stream: what the replication
 * protocol cannot tell. It holds an advisory lock by which destinations can see that they are
 * connected to the source itself. */
#ifndef PEN_CONTROL_H
#define PEN_CONTROL_H

#include "base/error.h"

typedef struct pen_control pen_control;

/* A row of pg_replication_slots. LSNs are 0 where it has none. */
typedef struct pen_slot_info
{
	bool exists;
	bool active;
	bool logical;
	bool two_phase;
	int active_pid;
	char plugin[64];
	char database[64];
	char wal_status[16];
	uint64_t confirmed_lsn;
} pen_slot_info;

/* Connect and take the lock advisory_key. */
extern pen_control *pen_control_open(const char *conninfo, int connect_timeout_ms,
									 int64_t advisory_key, pen_error *error);
extern void pen_control_close(pen_control *control);

/* E_CONFIG with the remedy when the server cannot do logical decoding at all. */
extern penstock_status pen_control_check_server(pen_control *control, pen_error *error);

extern penstock_status pen_control_slot(pen_control *control, const char *slot, pen_slot_info *info,
										pen_error *error);

/* Where the next record of WAL will begin (on a standby: what has been replayed). */
extern penstock_status pen_control_current_lsn(pen_control *control, uint64_t *lsn,
											   pen_error *error);

/* A position before which lies every commit that a client has been told of by now, and that the
 * stream will certainly reach. Waits for commits that are not flushed yet: at most three times the
 * server's wal_writer_delay. */
extern penstock_status pen_control_settled_lsn(pen_control *control, uint64_t *lsn,
											   pen_error *error);

/* ---- questions that are not waited for, one at a time ---- */

typedef enum pen_control_question
{
	PEN_CONTROL_RETAINED, /* how much WAL the source keeps for the slot */
	PEN_CONTROL_HEARTBEAT /* write an empty message into the WAL */
} pen_control_question;

typedef struct pen_retained
{
	int64_t bytes;
	int64_t safe_bytes; /* that may still be written before the slot is in danger; -1: no limit */
	char wal_status[16];
} pen_retained;

typedef struct pen_control_reply
{
	pen_control_question question;
	bool found; /* RETAINED: there is such a slot; HEARTBEAT: written, not so on a standby */
	pen_retained retained;
} pen_control_reply;

/* While nothing is asked: has the server ended the session? E_RETRY then. It does so when it shuts
 * down, and waits for who streams until that one has confirmed everything, or has gone. */
extern penstock_status pen_control_look(pen_control *control, pen_error *error);

/* E_RETRY: the connection is lost. */
extern penstock_status pen_control_send(pen_control *control, pen_control_question question,
										const char *slot, pen_error *error);
extern bool pen_control_is_asked(const pen_control *control);
/* PENSTOCK_OK and *reply, PENSTOCK_AGAIN: not yet, E_RETRY: the connection is lost. Another failure
 * is the question's, which stands in *reply. */
extern penstock_status pen_control_receive(pen_control *control, pen_control_reply *reply,
										   pen_error *error);
/* Tell take of every table that holds rows, outside of system schemas. E_RETRY when it says false:
 * no memory. */
extern penstock_status pen_control_each_table(pen_control *control,
											  bool (*take)(const char *schema, const char *name,
														   void *context),
											  void *context, pen_error *error);

/* Print all logical slots through print, one call each. */
extern penstock_status pen_control_list_slots(pen_control *control,
											  void (*print)(const char *const *columns,
															void *context),
											  void *context, pen_error *error);

#endif
