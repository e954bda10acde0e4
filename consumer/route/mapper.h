/* mapper.h -- rewrite events as a destination's mapping says. One mapper is used by one thread. */
#ifndef PEN_MAPPER_H
#define PEN_MAPPER_H

#include "penstock/event.h"
#include "route/mapping.h"

typedef struct pen_mapper pen_mapper;

/* mapping is borrowed. NULL without memory. */
extern pen_mapper *pen_mapper_new(const pen_mapping *mapping);
extern void pen_mapper_free(pen_mapper *mapper);

/*
 * The event as the destination is to have it, or *mapped = NULL: nothing of it. It may be event
 * itself; what it holds lives until the next call, its relations as long as the destination
 * refers to them.
 * E_CONFIG: see pen_mapping_resolve, or a second table for one at the destination. E_REFUSED: a
 * `where` cannot be decided, or a row that enters is not known whole; both need another REPLICA
 * IDENTITY. E_DATA: a row is damaged.
 */
extern penstock_status pen_mapper_map(pen_mapper *mapper, const penstock_event *event,
									  const penstock_event **mapped, pen_error *error);

/*
 * The same for a whole row of target's source that is read from the table, as Values: *data and
 * *len become those of the destination's row, borrowed until the next call, or *data NULL when it
 * does not pass the `where`.
 */
extern penstock_status pen_mapper_map_row(pen_mapper *mapper, const pen_mapped *target,
										  const uint8_t **data, size_t *len, pen_error *error);

/* What becomes of a table; borrowed until its next version comes. *target NULL: it is not
 * taken. */
extern penstock_status pen_mapper_table(pen_mapper *mapper, const penstock_relation *source,
										const pen_mapped **target, pen_error *error);

#endif
