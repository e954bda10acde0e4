/* where_private.h -- a parsed condition, shared by where_parse.c and where.c. */
#ifndef PEN_WHERE_PRIVATE_H
#define PEN_WHERE_PRIVATE_H

#include "base/arena.h"
#include "route/where.h"

#define PEN_WHERE_BYTES_MAX 16384
#define PEN_WHERE_DEPTH_MAX 100

typedef enum pen_node_kind
{
	PEN_NODE_OR,
	PEN_NODE_AND,
	PEN_NODE_NOT,
	PEN_NODE_COMPARE,
	PEN_NODE_IN, /* right: the first value; the others by next */
	PEN_NODE_IS_NULL,
	PEN_NODE_COLUMN, /* text: its name */
	PEN_NODE_NUMBER, /* text: digits, perhaps a sign and a point */
	PEN_NODE_STRING, /* text: without quotes */
	PEN_NODE_TRUE,
	PEN_NODE_FALSE,
	PEN_NODE_NULL
} pen_node_kind;

typedef enum pen_compare_op
{
	PEN_OP_EQUAL,
	PEN_OP_NOT_EQUAL,
	PEN_OP_LESS,
	PEN_OP_LESS_EQUAL,
	PEN_OP_GREATER,
	PEN_OP_GREATER_EQUAL
} pen_compare_op;

typedef struct pen_node pen_node;
struct pen_node
{
	pen_node_kind kind;
	pen_compare_op op;
	bool negated; /* IS NOT NULL, NOT IN */
	int number;   /* of this node in its condition, from 0 */
	const char *text;
	pen_node *left;
	pen_node *right;
	pen_node *next;
};

struct pen_where
{
	pen_arena arena;
	pen_node *root;
	int node_count;
	char *canonical;
};

/* The condition as SQL, NUL-terminated; bound NULL: without what depends on the columns' types.
 * Initializes buf. */
extern void pen_where_write(const pen_where *where, const pen_where_bound *bound,
							pen_wire_buf *buf);

#endif
