/* decode.c -- the SQL function penstock.decode(): captures of the native format as JSON.
 * The bytes come from anybody who may call it, so nothing in them is believed, and the memory that
 * they can make us hold is bounded. */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"

#include "emit.h"
#include "render.h"

/* Of all descriptions of tables in one call, as they stand in the capture. */
#define DESCRIPTION_BYTES_MAX (8 * 1024 * 1024)

typedef struct DescribedRelation
{
	uint32 number; /* hash key */
	const Penstock__V1__Relation *relation;
} DescribedRelation;

typedef struct Decoding
{
	Tuplestorestate *result;
	TupleDesc result_desc;
	MemoryContext call_context;  /* relations */
	MemoryContext event_context; /* reset after each event */
	HTAB *relations;             /* of the session; NULL before the first one */
	Size description_bytes;
	Emitter out; /* used as a buffer only */
	pen_narrator narrator;
	int element; /* where we are, for errors: both from 1 */
	Size offset;
} Decoding;

PG_FUNCTION_INFO_V1(penstock_decode);

static void
fail_decoding(const Decoding *decoding, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					errmsg("could not decode the event at byte %zu of element %d: %s",
						   decoding->offset, decoding->element, what),
					errhint("A capture is what a slot of the plugin penstock sends with format "
							"native, from the beginning of a session.")));
}

/* ---- tables ---- */

static const Penstock__V1__Relation *
find_relation(void *arg, uint32 number)
{
	Decoding *decoding = arg;
	DescribedRelation *found = hash_search(decoding->relations, &number, HASH_FIND, NULL);

	return found != NULL ? found->relation : NULL;
}

static void
start_session(Decoding *decoding, const pen_wire_event *event)
{
	const Penstock__V1__Session *session = pen_narrate_unpack(&decoding->narrator, event);
	HASHCTL control;

	if (session == NULL)
		fail_decoding(decoding, "a session event is damaged");
	if (session->protocol_version < PEN_PROTOCOL_VERSION_MIN ||
		session->protocol_version > PEN_PROTOCOL_VERSION_MAX)
		fail_decoding(decoding,
					  psprintf("it is in protocol version %u, this library reads %d to %d",
							   session->protocol_version, PEN_PROTOCOL_VERSION_MIN,
							   PEN_PROTOCOL_VERSION_MAX));
	/* Numbers begin anew, and nothing refers to what was described before. */
	MemoryContextReset(decoding->call_context);
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(uint32);
	control.entrysize = sizeof(DescribedRelation);
	control.hcxt = decoding->call_context;
	decoding->relations =
		hash_create("penstock decode", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	decoding->description_bytes = 0;
}

static void
add_relation(Decoding *decoding, const pen_wire_event *event)
{
	MemoryContext old_context = MemoryContextSwitchTo(decoding->call_context);
	const Penstock__V1__Relation *relation;
	DescribedRelation *entry;
	bool found;

	decoding->description_bytes += event->body_len;
	if (decoding->description_bytes > DESCRIPTION_BYTES_MAX)
		fail_decoding(decoding, "the descriptions of tables are longer than 8 MB");
	relation = pen_narrate_unpack(&decoding->narrator, event);
	if (relation == NULL)
		fail_decoding(decoding, "a relation event is damaged");
	entry = hash_search(decoding->relations, &relation->number, HASH_ENTER, &found);
	if (found)
		fail_decoding(decoding, psprintf("relation number %u is used twice", relation->number));
	entry->relation = relation;
	MemoryContextSwitchTo(old_context);
}

/* ---- events ---- */

/* Which LSN and transaction a row of the result belongs to, as far as the event tells. */
static void
put_place(const Decoding *decoding, const pen_wire_event *event, Datum *values, bool *nulls)
{
	const pen_json_head *head = &decoding->narrator.head;
	XLogRecPtr lsn = head->commit_lsn;
	TransactionId xid = head->xid;

	if (event->kind == PEN_EVENT_COMMIT)
		lsn = event->commit.end_lsn;
	else if (event->kind >= PEN_EVENT_STREAM_START && event->kind != PEN_EVENT_SUB_XACT)
	{
		pen_json_boundary boundary;

		if (pen_narrate_boundary(&decoding->narrator, event, &boundary) == NULL)
		{
			xid = event->kind == PEN_EVENT_STREAM_STOP ? head->xid : boundary.xid;
			lsn = boundary.end_lsn;
		}
	}
	else if (!decoding->narrator.in_transaction || event->kind == PEN_EVENT_RELATION)
	{
		xid = InvalidTransactionId;
		lsn = InvalidXLogRecPtr;
	}
	values[0] = LSNGetDatum(lsn);
	nulls[0] = XLogRecPtrIsInvalid(lsn);
	values[1] = TransactionIdGetDatum(xid);
	nulls[1] = !TransactionIdIsValid(xid);
}

static void
put_row(Decoding *decoding, const pen_wire_event *event)
{
	pen_wire_buf *out = &decoding->out.wire;
	Datum values[3];
	bool nulls[3] = {false};

	if (out->len > MaxAllocSize - 1)
		fail_decoding(decoding, "its JSON is longer than 1 GB");
	put_place(decoding, event, values, nulls);
	pen_wire_append(out, "", 1);
	values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum((char *) out->data));
	tuplestore_putvalues(decoding->result, decoding->result_desc, values, nulls);
}

static void
decode_event(Decoding *decoding, pen_wire_event *event)
{
	pen_wire_buf *out = &decoding->out.wire;
	const char *wrong;

	emit_discard(&decoding->out);
	if (event->kind == PEN_EVENT_SESSION)
		start_session(decoding, event);
	else if (decoding->relations == NULL)
		fail_decoding(decoding, "it does not begin with a session event");
	if (event->kind == PEN_EVENT_RELATION)
		add_relation(decoding, event);
	wrong = pen_narrate_follow(&decoding->narrator, event);
	if (wrong == NULL)
		wrong = pen_narrate_json(&decoding->narrator, event, out);
	if (wrong != NULL)
		fail_decoding(decoding, wrong);
	if (GetDatabaseEncoding() != PG_UTF8 && GetDatabaseEncoding() != PG_SQL_ASCII)
		render_escape(out, 0);
	if (out->len > 0)
		put_row(decoding, event);
}

/* Events, and the newlines that pg_recvlogical puts after each message. */
static void
decode_element(Decoding *decoding, const uint8 *bytes, Size len)
{
	pen_wire_reader reader;

	pen_wire_reader_init(&reader, bytes, len);
	while (reader.pos < reader.end)
	{
		MemoryContext old_context;
		pen_wire_event event;

		CHECK_FOR_INTERRUPTS();
		decoding->offset = reader.pos - bytes + 1;
		if (*reader.pos == PEN_WIRE_NEWLINE_TAG)
		{
			reader.pos++;
			continue;
		}
		old_context = MemoryContextSwitchTo(decoding->event_context);
		if (!pen_wire_read_event(&reader, &event))
			fail_decoding(decoding, reader.error != NULL ? reader.error : "it is cut off");
		decode_event(decoding, &event);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(decoding->event_context);
	}
}

/* ---- the function ---- */

static void
start_result(Decoding *decoding, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *info = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old_context;

	if (info == NULL || !IsA(info, ReturnSetInfo) || (info->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	old_context = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &decoding->result_desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	decoding->result_desc = CreateTupleDescCopy(decoding->result_desc);
	decoding->result =
		tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
	info->returnMode = SFRM_Materialize;
	info->setResult = decoding->result;
	info->setDesc = decoding->result_desc;
	MemoryContextSwitchTo(old_context);
}

Datum
penstock_decode(PG_FUNCTION_ARGS)
{
	ArrayType *capture = PG_GETARG_ARRAYTYPE_P(0);
	Decoding decoding = {0};
	Datum *elements;
	bool *nulls;
	int count;

	start_result(&decoding, fcinfo);
	decoding.call_context =
		AllocSetContextCreate(CurrentMemoryContext, "penstock decode", ALLOCSET_DEFAULT_SIZES);
	decoding.event_context =
		AllocSetContextCreate(CurrentMemoryContext, "penstock event", ALLOCSET_DEFAULT_SIZES);
	emit_init(&decoding.out, CurrentMemoryContext, 0);
	decoding.narrator.allocator = &render_allocator;
	decoding.narrator.find_relation = find_relation;
	decoding.narrator.arg = &decoding;
	deconstruct_array(capture, BYTEAOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		bytea *element;

		if (nulls[i])
			continue;
		decoding.element = i + 1;
		element = DatumGetByteaPP(elements[i]);
		decode_element(&decoding, (const uint8 *) VARDATA_ANY(element), VARSIZE_ANY_EXHDR(element));
	}
	return (Datum) 0;
}
