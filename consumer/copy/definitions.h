/* definitions.h -- bring the definitions of tables: what they need before rows come, and indexes,
 * constraints and triggers after. Private to copy/. */
#ifndef PEN_DEFINITIONS_H
#define PEN_DEFINITIONS_H

#include "copy/plan.h"
#include "copy/snapshot.h"

/* A dump of the source's definitions. All zero: none. */
typedef struct pen_definitions
{
	char *folder;
	char *archive;
	char *toc; /* the text of its table of contents */
} pen_definitions;

/* Tables at the source, by their oids. */
typedef struct pen_definitions_tables
{
	uint32_t *oids;
	size_t count;
} pen_definitions_tables;

/* Dump as of the snapshot. E_CONFIG where pg_dump is missing or too old. */
extern penstock_status pen_definitions_dump(pen_definitions *definitions,
											const pen_copy_options *options,
											const pen_snapshot *snapshot, pen_error *error);

/* Create at a place the tables and all they need, where that is not there. */
extern penstock_status pen_definitions_create(const pen_definitions *definitions,
											  const pen_copy_options *options,
											  const pen_snapshot *snapshot, pen_copy_place *place,
											  const pen_definitions_tables *tables,
											  pen_error *error);

/* Indexes, constraints and triggers of the tables, where they are not there. */
extern penstock_status pen_definitions_complete(const pen_definitions *definitions,
												const pen_copy_options *options,
												const pen_snapshot *snapshot, pen_copy_place *place,
												const pen_definitions_tables *tables,
												pen_error *error);

/* Removes the dump. */
extern void pen_definitions_reset(pen_definitions *definitions);

#endif
