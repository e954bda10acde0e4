/* catalog.h -- the source's tables as the plugin would describe them, read from the catalog. */
#ifndef PEN_CATALOG_H
#define PEN_CATALOG_H

#include <libpq-fe.h>

#include "base/error.h"
#include "penstock/event.h"

/* A permanent, unlogged or partition leaf table; strings belong to the list. */
typedef struct pen_catalog_table
{
	uint32_t oid;
	char *schema;
	char *name;
	char replica_identity;
	bool permanent;
} pen_catalog_table;

typedef struct pen_catalog_list
{
	pen_catalog_table *tables; /* in order of oid */
	size_t count;
} pen_catalog_list;

/* All tables that hold rows, outside of system schemas and of the schema penstock. Works on
 * replication connections too. pen_catalog_list_reset frees what it holds, also after a failure. */
extern penstock_status pen_catalog_read_list(PGconn *conn, pen_catalog_list *list,
											 pen_error *error);
extern void pen_catalog_list_reset(pen_catalog_list *list);

/* The description of one table, number 0. The caller owns one reference. NULL and error. */
extern const penstock_relation *
pen_catalog_read_relation(PGconn *conn, const pen_catalog_table *table, pen_error *error);

/* The same for a table, partitioned ones too, by name and over a connection of its own. E_CONFIG:
 * there is no such table. */
extern const penstock_relation *pen_catalog_describe(const char *conninfo, const char *schema,
													 const char *name, pen_error *error);

#endif
