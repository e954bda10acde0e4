/* place.h -- what is known of a destination of the copy. Private to copy/. */
#ifndef PEN_PLACE_H
#define PEN_PLACE_H

#include "copy/copy.h"

/* Connect, and read what is recorded; place->takes_part is then known. fresh: also where nothing is
 * recorded. */
extern penstock_status pen_place_open(pen_copy_place *place, bool fresh, pen_error *error);
extern void pen_place_close(pen_copy_place *place);

/* Is a table wanted at a place that takes part, and how far is it there? */
extern pen_copy_state pen_place_state(pen_copy_place *place, const char *schema, const char *table,
									  pen_copy_mode mode);

/* Is it a table that we have created, and that still needs its indexes? */
extern bool pen_place_created(pen_copy_place *place, const char *schema, const char *table);

/* Remember one that is being created. */
extern penstock_status pen_place_add_created(pen_copy_place *place, const char *schema,
											 const char *table, pen_error *error);

/* E_REFUSED when a table of which rows may be there is gone from the source. */
extern penstock_status pen_place_check_seen(pen_copy_place *place, pen_error *error);

/* The first error stands. Thread-safe only under the jobs' lock. */
extern void pen_place_fail(pen_copy_place *place, const pen_error *error);

/* PENSTOCK_OK, or PENSTOCK_AGAIN if the table has rows; those that inherit from it do not count. */
extern penstock_status pen_place_is_empty(PGconn *conn, const char *quoted, bool partitioned,
										  pen_error *error);

/* PENSTOCK_OK, or PENSTOCK_NOT_FOUND if there is nothing of this name. */
extern penstock_status pen_place_has_table(pen_copy_place *place, const char *schema,
										   const char *table, pen_error *error);

#endif
