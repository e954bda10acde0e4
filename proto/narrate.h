/* narrate.h -- events of the native format, retold one by one.
 * What the plugin's formats json and text, its SQL function decode() and `penstock decode` have in
 * common: where the story is, and the JSON of each event. Shared by the plugin and the consumer;
 * needs protobuf-c. */
#ifndef PEN_NARRATE_H
#define PEN_NARRATE_H

#include "json.h"
#include "penstock.pb-c.h"
#include "wire.h"

/*
 * Where the story is. At the start of a stream all zero but for what the owner sets: allocator,
 * find_relation and arg.
 */
typedef struct pen_narrator
{
	pen_json_head head; /* of the open transaction or part */
	bool in_transaction;
	pen_event_kind begun_by; /* while in_transaction: Begin, begin_prepare or StreamStart */
	/* Messages are unpacked with it and never freed: the owner drops it all after each event. */
	ProtobufCAllocator *allocator;
	/* The relation of that number, or NULL; borrowed for the present event. */
	const Penstock__V1__Relation *(*find_relation)(void *arg, uint32_t number);
	void *arg;
} pen_narrator;

/*
 * Append to out what becomes of the event, without a newline at the end; nothing for a Session.
 * NULL, or what is wrong with the event, in static text; a part may have been appended then.
 */
typedef const char *(*pen_narrate_function)(pen_narrator *narrator, pen_wire_event *event,
											pen_wire_buf *out);

extern const char *pen_narrate_json(pen_narrator *narrator, pen_wire_event *event,
									pen_wire_buf *out);

/*
 * To be called before an event is narrated: keeps head, numbers changes and checks that the event
 * may stand where it does. NULL, or what is wrong.
 */
extern const char *pen_narrate_follow(pen_narrator *narrator, const pen_wire_event *event);

/* The event's own message, unpacked; NULL: it is damaged, is read by hand (wire.h), or there is no
 * memory. */
extern const void *pen_narrate_unpack(const pen_narrator *narrator, const pen_wire_event *event);

/* An event of streamed and prepared transactions as the writers of JSON want it. */
extern const char *pen_narrate_boundary(const pen_narrator *narrator, const pen_wire_event *event,
										pen_json_boundary *boundary);

#endif
