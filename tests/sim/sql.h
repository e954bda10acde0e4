/* sql.h -- the statements of a step, for rows that the model knows. For free(). */
#ifndef SIM_SQL_H
#define SIM_SQL_H

#include "model.h"

extern char *sim_sql_create(const sim_schema *schema);
extern char *sim_sql_add_column(const sim_schema *schema, int column);
extern char *sim_sql_drop_column(const sim_schema *schema, int column);
extern char *sim_sql_identity(const sim_schema *schema);

/* Rows as statements, or as what COPY reads. */
extern char *sim_sql_insert(const sim_schema *schema, const sim_row **rows, size_t count);
extern char *sim_sql_copy(const sim_schema *schema);
extern char *sim_sql_copy_data(const sim_schema *schema, const sim_row **rows, size_t count);
extern char *sim_sql_update(const sim_schema *schema, int64_t first, int64_t last,
							const sim_assignment *assignment);
extern char *sim_sql_rekey(const sim_schema *schema, int64_t id, const sim_row *moved);
extern char *sim_sql_delete(const sim_schema *schema, int64_t first, int64_t last);
extern char *sim_sql_delete_row(const sim_schema *schema, const sim_row *row);
extern char *sim_sql_truncate(const sim_schema *schema, const sim_schema *other);
extern char *sim_sql_drop(const sim_schema *schema);

/* All rows, in the order of their ids; the columns that exist in their order. */
extern char *sim_sql_select(const sim_schema *schema);

#endif
