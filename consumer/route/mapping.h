/* mapping.h -- what one destination gets: which tables, under which names, which of their columns
 * and rows. Pure functions of what was configured and of a table's description. */
#ifndef PEN_MAPPING_H
#define PEN_MAPPING_H

#include "penstock/event.h"
#include "route/amendments.h"
#include "route/route.h"
#include "route/rules.h"
#include "route/where.h"

typedef struct pen_mapping pen_mapping;

/*
 * For the destination of that name: what the run takes (NULL: all), of it what its own tables say
 * (NULL: all), and of rules those that are for it. run and rules must outlive it. Immutable, so
 * every function on it is thread-safe. NULL and error.
 */
extern pen_mapping *pen_mapping_new(const pen_route *run, const char *tables,
									const char *destination, pen_rule *const *rules,
									size_t rule_count, pen_error *error);
extern void pen_mapping_free(pen_mapping *mapping);

/* What was added and removed later (NULL: nothing) goes before all that; borrowed.
 * While nobody else uses the mapping. */
extern void pen_mapping_amend(pen_mapping *mapping, const pen_amendments *amendments);

/* By the table's name at the source. mapping NULL takes every table. */
extern bool pen_mapping_takes(const pen_mapping *mapping, const char *schema, const char *table);

/* The patterns of its tables: its own where it has some, else those of the run. */
extern const pen_route *pen_mapping_route(const pen_mapping *mapping);

/* What is filtered and mapped, as 16 hexadecimal digits and a NUL: that of the run's route where
 * nothing else is said; equal for equal rules, whatever their order. */
extern void pen_mapping_fingerprint(const pen_mapping *mapping, char fingerprint[17]);

/* Is anything said of tables beside which are taken? */
extern bool pen_mapping_has_rules(const pen_mapping *mapping);

typedef struct pen_table_name
{
	const char *schema;
	const char *name;
} pen_table_name;

/* What a table that it takes is called at the destination: strings of the mapping, or table's own.
 * E_CONFIG: sections contradict each other. */
extern penstock_status pen_mapping_name(const pen_mapping *mapping, const pen_table_name *table,
										pen_table_name *there, pen_error *error);

/* Of all tables of the source: E_CONFIG when sections contradict each other over one that is
 * taken, or two of them would be one at the destination. */
extern penstock_status pen_mapping_check_tables(const pen_mapping *mapping,
												const pen_table_name *tables, size_t count,
												pen_error *error);

/*
 * What becomes of a table that it takes. `relation` is how the destination sees it: other name,
 * columns left out or renamed; its number, oid and attnums stay. It is `source` itself where
 * nothing changes.
 */
typedef struct pen_mapped
{
	const penstock_relation *source;   /* referenced */
	const penstock_relation *relation; /* referenced */
	bool all_columns;                  /* rows stay as they are */
	const int *columns;     /* for each column of source, its index in relation, or -1: left out */
	pen_where_bound *where; /* NULL: all rows */
} pen_mapped;

/*
 * Resolve a table: source may come from the stream or from the catalog. The caller owns the result.
 * NULL and E_CONFIG: rules contradict each other, name columns that do not exist or cannot be
 * compared, or leave out the key; with table, column and where it is said.
 */
extern pen_mapped *pen_mapping_resolve(const pen_mapping *mapping, const penstock_relation *source,
									   pen_error *error);
extern void pen_mapped_free(pen_mapped *target);

#endif
