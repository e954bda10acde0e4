/* values.h -- the types of columns and keys, and their values as PostgreSQL prints them.
 * A value is made from a number alone. Histories hold numbers only: what a number means here is
 * what the histories that are kept mean, so add at the end, and change nothing else. */
#ifndef SIM_VALUES_H
#define SIM_VALUES_H

#include <stdint.h>

#include "arena.h"

typedef struct sim_type
{
	const char *sql;
	const char *const *pool;                                /* texts to choose from, or NULL */
	const char *(*make)(sim_arena *arena, uint64_t number); /* where there is no pool */
} sim_type;

#define SIM_TYPE_LONG 5 /* texts of kilobytes, which are stored apart and as they are */

extern const sim_type sim_types[];
extern const int sim_type_count;

/* The number's value of a type; lives as long as the arena. */
extern const char *sim_value(sim_arena *arena, int type, uint64_t number);

/*
 * How the rows of a table are told apart. Each row has an id; the columns of the key are made from
 * it, and from a variant: other texts that may be equal keys to PostgreSQL.
 */
typedef struct sim_key
{
	const char *part_sql[2]; /* types of the columns; none: the column id itself is the key */
	const char *id_sql;      /* type of the column id */
	const char *(*make)(sim_arena *arena, int part, int64_t id, int variant);
	int part_count;
	int unique; /* 0: no key, and rows may be equal */
} sim_key;

extern const sim_key sim_keys[];
extern const int sim_key_count;

#define SIM_KEY_NONE 0
#define SIM_KEY_INT  1

/* Needed before the tables, at each end. */
extern const char sim_types_sql[];

#endif
