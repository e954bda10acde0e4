/* model.h -- what the tables must hold: the rows as text, after each commit.
 * Nothing here is ever changed once it is made: a change makes a new version of a table, which
 * shares rows with the old one. So savepoints, rollbacks and the state at a commit are pointers. */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "arena.h"
#include "values.h"

#define SIM_TABLES_MAX  48
#define SIM_COLUMNS_MAX 40
#define SIM_PART_IDS    20 /* ids in a partition; the last has all that are greater */

typedef enum sim_role
{
	SIM_ROLE_ID,
	SIM_ROLE_KEY,
	SIM_ROLE_UNIQUE,    /* of replica identity USING INDEX: ten times the id, and the variant */
	SIM_ROLE_GENERATED, /* from the id */
	SIM_ROLE_VALUE
} sim_role;

typedef struct sim_column
{
	sim_role role;
	int type; /* of sim_types; of a key, which part */
	char name[24];
	const char *initial; /* in rows older than the column; NULL is NULL */
	bool dropped;
} sim_column;

typedef struct sim_schema
{
	int number; /* of the table */
	char name[32];
	int key;       /* of sim_keys */
	char identity; /* as in pg_class: d, n, f, i */
	int parts;     /* partitions, 0 for an ordinary table */
	int column_count;
	sim_column columns[SIM_COLUMNS_MAX];
} sim_schema;

/* A row: the text of each column; NULL is NULL. Columns that came later are not in it. */
typedef struct sim_row
{
	int64_t id;
	int variant;
	int count;
	const char *values[];
} sim_row;

/* A table: its rows by id. */
typedef struct sim_version
{
	int references;
	const sim_schema *schema;
	size_t count;
	const sim_row *rows[];
} sim_version;

/* All tables at once; NULL where there is none. Holds references. */
typedef struct sim_state
{
	sim_version *tables[SIM_TABLES_MAX];
} sim_state;

/* A commit: its end lies beyond `before` and is not beyond `after`. */
typedef struct sim_commit
{
	uint64_t before;
	uint64_t after;
	long step;
	bool was_prepared;
	sim_state state;
} sim_commit;

typedef struct sim_model
{
	sim_arena arena;
	sim_commit *commits; /* the first is the empty database */
	size_t commit_count;
	int column_serial; /* of the last column that was added: a name is never used again */
} sim_model;

extern void sim_model_init(sim_model *model);
extern void sim_model_reset(sim_model *model);
extern void sim_model_commit(sim_model *model, const sim_state *state, uint64_t before,
							 uint64_t after, long step, bool was_prepared);
extern const sim_commit *sim_model_last(const sim_model *model);

/*
 * The state of a database whose progress is lsn: that of *first or any commit up to *last. They
 * differ only where lsn lies in a commit's bracket, and where the next commit was prepared before:
 * COMMIT PREPARED stands in no transaction, so that progress is recorded after it.
 */
extern void sim_model_at(const sim_model *model, uint64_t lsn, size_t *first, size_t *last);

/* ---- states ---- */

extern void sim_state_copy(sim_state *into, const sim_state *from);
extern void sim_state_reset(sim_state *state);

/* Takes over the reference to version. */
extern void sim_state_put(sim_state *state, int table, sim_version *version);

/* ---- tables ---- */

extern const sim_schema *sim_schema_new(sim_model *model, int number, int key, char identity,
										int parts);
/* The same with a column more; NULL when there is no room. */
extern const sim_schema *sim_schema_add(sim_model *model, const sim_schema *schema, int type,
										const char *initial);
extern const sim_schema *sim_schema_drop(sim_model *model, const sim_schema *schema, int column);
extern const sim_schema *sim_schema_identify(sim_model *model, const sim_schema *schema,
											 char identity);

/* May rows be updated and deleted, as far as those who follow are concerned? */
extern bool sim_schema_has_identity(const sim_schema *schema);

extern void sim_print_quoted(FILE *out, const char *name);

/* app."name", and of a partition. */
extern void sim_schema_print_name(FILE *out, const sim_schema *schema);
extern void sim_schema_print_part(FILE *out, const sim_schema *schema, int part);
extern int sim_part_of(const sim_schema *schema, int64_t id);

extern const char *sim_row_value(const sim_schema *schema, const sim_row *row, int column);

/* ---- changes: a new version, with a reference for the caller ---- */

extern sim_version *sim_version_new(const sim_schema *schema);
extern void sim_version_release(sim_version *version);

/* The same rows under another schema. */
extern sim_version *sim_version_alter(const sim_version *version, const sim_schema *schema);

/* The first and last row whose id is in the range; count is how many. */
extern size_t sim_version_find(const sim_version *version, int64_t first, int64_t last,
							   size_t *count);

/* Rows for the ids of the range that are free; without a key, for all. *added are they. */
extern sim_version *sim_version_insert(sim_model *model, const sim_version *version, int64_t first,
									   int64_t last, uint64_t seed, const sim_row ***added,
									   size_t *added_count);

/* What an update sets: values has one for each column, set says of which. */
typedef struct sim_assignment
{
	const char *values[SIM_COLUMNS_MAX];
	bool set[SIM_COLUMNS_MAX];
} sim_assignment;

extern void sim_assignment_make(sim_model *model, const sim_schema *schema, uint64_t seed,
								sim_assignment *assignment);
extern sim_version *sim_version_update(sim_model *model, const sim_version *version, int64_t first,
									   int64_t last, const sim_assignment *assignment);

/* The rows of an id get another id and variant: *moved is what one of them is afterwards. NULL
 * when there is no such row, or the other id is taken. */
extern sim_version *sim_version_rekey(sim_model *model, const sim_version *version, int64_t id,
									  int64_t new_id, int variant, const sim_row **moved);
extern sim_version *sim_version_delete(const sim_version *version, int64_t first, int64_t last);

/* Only the first of the rows with an id, in the order of their texts. */
extern sim_version *sim_version_delete_one(const sim_version *version, int64_t id);

/* The order of rows: by id, then by the texts of the columns that exist, NULL first. */
extern int sim_row_compare(const sim_schema *schema, const sim_row *a, const sim_row *b);

#endif
