/* schema.h -- the tables that a stream has described, found by their number in it.
 * A number is used once; descriptions stay until the stream ends,
 * since rows in queues name them. */
#ifndef PEN_SCHEMA_H
#define PEN_SCHEMA_H

#include "base/error.h"
#include "penstock/event.h"

typedef struct pen_schema_entry
{
	const penstock_relation *relation; /* NULL: the number has not been used */
	uint32_t identity_count;
} pen_schema_entry;

/* All zero: empty. */
typedef struct pen_schema
{
	pen_schema_entry *entries; /* by number */
	size_t size;
	size_t relation_bytes;
} pen_schema;

extern void pen_schema_reset(pen_schema *schema);

/* Take a Relation message. E_DATA: it is damaged, contradicts itself or reuses a number; E_RETRY:
 * no memory, or the stream has described too much. *relation is borrowed. */
extern penstock_status pen_schema_add(pen_schema *schema, const uint8_t *body, size_t len,
									  const penstock_relation **relation, pen_error *error);

static inline const pen_schema_entry *
pen_schema_find(const pen_schema *schema, uint32_t number)
{
	if (number >= schema->size || schema->entries[number].relation == NULL)
		return NULL;
	return &schema->entries[number];
}

#endif
