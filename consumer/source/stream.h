/* stream.h -- the replication connection: slots, COPY BOTH, keepalives and feedback.
 * Bytes come out as they arrived; what they mean is decode/'s business. One stream is used by one
 * thread. */
#ifndef PEN_STREAM_H
#define PEN_STREAM_H

#include <signal.h>

#include "base/error.h"
#include "event/identity.h"

typedef struct pen_stream pen_stream;

/* What IDENTIFY_SYSTEM says. */
typedef struct pen_stream_system
{
	char identifier[32];
	uint32_t timeline;
	uint64_t flush_lsn;
	char database[64];
	int server_version; /* as 150020 */
	bool utf8;          /* the database's encoding is UTF8 */
} pen_stream_system;

typedef enum pen_stream_message_kind
{
	PEN_STREAM_DATA,
	PEN_STREAM_KEEPALIVE
} pen_stream_message_kind;

/* DATA: payload lies inside of bytes, which the caller frees with pen_stream_free_bytes.
 * KEEPALIVE: everything before wal_end has been sent; bytes is NULL. */
typedef struct pen_stream_message
{
	pen_stream_message_kind kind;
	void *bytes;
	const uint8_t *payload;
	size_t payload_size;
	uint64_t wal_end;
	bool reply_requested;
} pen_stream_message;

/* Connect and identify. NULL and error: see pen_pq_connect. */
extern pen_stream *pen_stream_open(const char *conninfo, int connect_timeout_ms, pen_error *error);
extern void pen_stream_close(pen_stream *stream);
extern const pen_stream_system *pen_stream_identify(const pen_stream *stream);

typedef struct pen_stream_slot
{
	const char *name;
	bool temporary;
	bool two_phase;                    /* prepared transactions can be had when they are prepared */
	const volatile sig_atomic_t *stop; /* cancel it once this is set; may be NULL */
} pen_stream_slot;

/* Only before pen_stream_start. Waits for every transaction that is open. consistent_lsn: commits
 * from there on are streamed; may be NULL. */
extern penstock_status pen_stream_create_slot(pen_stream *stream, const pen_stream_slot *slot,
											  uint64_t *consistent_lsn, pen_error *error);
extern penstock_status pen_stream_drop_slot(pen_stream *stream, const char *slot, pen_error *error);

/* The switches that led to the server's timeline, oldest first; *history is for free(). */
extern penstock_status pen_stream_history(pen_stream *stream, pen_timeline_switch **history,
										  size_t *count, pen_error *error);

/* An option of the plugin. */
typedef struct pen_stream_option
{
	const char *name;
	const char *value;
} pen_stream_option;

/* Begin COPY BOTH at lsn, or at the slot's confirmed position where that is later, with count
 * options for the plugin beside the versions of the protocol. */
extern penstock_status pen_stream_start(pen_stream *stream, const char *slot, uint64_t lsn,
										const pen_stream_option *options, size_t count,
										pen_error *error);

/* Take what has arrived, without waiting: PENSTOCK_OK and *message, or PENSTOCK_AGAIN. */
extern penstock_status pen_stream_receive(pen_stream *stream, pen_stream_message *message,
										  pen_error *error);
extern void pen_stream_free_bytes(void *bytes);

/* Tell the server what has been received and what is durable. Does not wait: what the socket does
 * not take goes out with the next call of feedback or receive. */
extern penstock_status pen_stream_feedback(pen_stream *stream, uint64_t received_lsn,
										   uint64_t durable_lsn, bool request_reply,
										   pen_error *error);

/* End COPY BOTH so that the last feedback has certainly been read, waiting at most timeout_ms. */
extern penstock_status pen_stream_finish(pen_stream *stream, int timeout_ms, pen_error *error);

/* For poll(): the socket, and whether it is to be polled for writing too. */
extern int pen_stream_socket(const pen_stream *stream, bool *want_write);

#endif
