/* identity.h -- who the source is: what a destination checks its recorded progress against. */
#ifndef PEN_IDENTITY_H
#define PEN_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

/* Where a timeline was left for the next one. */
typedef struct pen_timeline_switch
{
	uint32_t timeline;
	uint64_t lsn;
} pen_timeline_switch;

/* Who the source is. Filled before the destinations open, and again, while none of them runs,
 * after a reconnection. Strings that are pointers are borrowed for the destinations' life. */
typedef struct pen_source_identity
{
	const char *conninfo; /* without replication= */
	const char *slot;     /* NULL: a temporary one */
	char system_identifier[32];
	char database[64];
	uint32_t timeline;
	const pen_timeline_switch *history; /* the switches that led to timeline, oldest first */
	size_t history_count;
	char fingerprint[17];                    /* of what is filtered and mapped */
	char plain_fingerprint[17];              /* the same before what was added and removed later */
	const struct pen_amendments *amendments; /* that; NULL: nothing */
	int connect_timeout_ms;
	int64_t advisory_key;        /* a session lock that is held in the source database */
	const int64_t *sibling_keys; /* the same of all destinations */
	size_t sibling_count;
} pen_source_identity;

#endif
