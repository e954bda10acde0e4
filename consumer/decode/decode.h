/* decode.h -- bytes to events: the protocol state and the schema cache of one stream.
 * A stream begins with a Session; everything is checked here so that nobody after it has to. */
#ifndef PEN_DECODE_H
#define PEN_DECODE_H

#include "base/error.h"
#include "json.h"
#include "penstock/event.h"
#include "wire.h"

/* What one stream may make us hold. Past the bytes the status is E_RETRY: descriptions pile up
 * over many changes of tables, and a new session starts without them. */
#define PEN_DECODER_NUMBER_MAX          (1U << 22)
#define PEN_DECODER_RELATION_BYTES_MAX  ((size_t) 256 << 20)
#define PEN_DECODER_DESCRIPTION_LEN_MAX ((size_t) 2 << 20) /* of one Session or Relation */

typedef struct pen_decoder pen_decoder;

/* From a Session. Strings live until the next Session or reset. */
typedef struct pen_session_info
{
	uint32_t protocol_version;
	uint32_t server_version; /* as 150020 */
	const char *server_encoding;
	const char *plugin_version;
} pen_session_info;

/*
 * One event. For Session only `session` is set and for Relation only `event.relation`; for the
 * others up to Truncate `event` is whole, its transaction and its number (sequence) included.
 * Rows are borrowed from the bytes that were read, the transaction and a truncate's list from the
 * decoder until the next event. Relations live until the decoder forgets them (a Session, reset,
 * free): who keeps them longer takes a reference (event/relation.h). Strings in rows have not been
 * checked to be UTF-8; the plugin vouches for that, and writers of JSON look again.
 */
typedef struct pen_decoded
{
	pen_event_kind kind;
	penstock_event event;
	pen_session_info session;
	pen_wire_event wire; /* as it was read: all that there is of MESSAGE and ORIGIN */
	/* Of the kinds from STREAM_START on, without SUB_XACT; borrowed until the next event. */
	const pen_json_boundary *boundary;
	const uint8_t *bytes; /* the event as it stood in what was read */
	size_t len;
} pen_decoded;

/* NULL without memory. pen_decoder_free(NULL) is harmless. */
extern pen_decoder *pen_decoder_new(void);
extern void pen_decoder_free(pen_decoder *decoder);
/* A new stream: forget everything. */
extern void pen_decoder_reset(pen_decoder *decoder);

/*
 * Decode the event at the reader. PENSTOCK_OK; PENSTOCK_E_DATA with what was found; E_RETRY
 * without memory. After an error the stream is of no use: reset the decoder. Not thread-safe.
 */
extern penstock_status pen_decode_event(pen_decoder *decoder, pen_wire_reader *reader,
										pen_decoded *out, pen_error *error);

/* What follows stands in this transaction, although its begin was in other bytes: they were kept
 * in pieces. After a Session. */
extern void pen_decoder_resume(pen_decoder *decoder, const penstock_transaction *transaction);

/* Do not look into changes in parts of streams: they are kept as bytes, and decoded by
 * pen_decode_kept when their transaction has committed. `event` is empty then. */
extern void pen_decoder_defer_streams(pen_decoder *decoder);

/* Decode an event that was kept in this session: a change, whose sequence and transaction are the
 * caller's business, or a SUB_XACT. Otherwise as pen_decode_event. */
extern penstock_status pen_decode_kept(pen_decoder *decoder, pen_wire_reader *reader,
									   pen_decoded *out, pen_error *error);

/* Between a Begin and its Commit, or the begin and end of a prepared transaction or a stream's
 * part. */
extern bool pen_decoder_in_transaction(const pen_decoder *decoder);

/* Where the stream is, for telling its events as JSON; find_relation is not set. What it allocates
 * lives until the next event. */
extern struct pen_narrator *pen_decoder_narrator(pen_decoder *decoder);

#endif
