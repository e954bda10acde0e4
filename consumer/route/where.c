/* where.c -- conditions over the columns of a table: bound, evaluated, and given back as SQL.
 * What cannot be said to be what PostgreSQL would say is refused when the condition is bound. */
#include "route/where_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "route/where_value.h"
#include "types.h"

/* What binding has found of a node: of a column, or of a value beside one. */
typedef struct bound_node
{
	int column; /* -1: none */
	pen_comparison as;
	pen_operand value;
} bound_node;

struct pen_where_bound
{
	const pen_where *where;
	const penstock_relation *relation;
	bool *used; /* by column */
	bound_node *nodes;
};

/* ---- binding ---- */

static bool
is_column(const pen_node *node)
{
	return node->kind == PEN_NODE_COLUMN;
}

static bound_node *
bound_of(const pen_where_bound *bound, const pen_node *node)
{
	return &bound->nodes[node->number];
}

static const penstock_column *
column_of(const pen_where_bound *bound, const pen_node *node)
{
	return &bound->relation->columns[bound_of(bound, node)->column];
}

static penstock_status
refuse(const pen_where_bound *bound, const char *column, const char *problem, pen_error *error)
{
	return pen_error_set(error, PENSTOCK_E_CONFIG, "table %s.%s: where: column \"%s\" %s",
						 bound->relation->schema, bound->relation->name, column, problem);
}

static penstock_status
bind_column(pen_where_bound *bound, const pen_node *node, pen_error *error)
{
	bound_node *into = bound_of(bound, node);

	into->column = penstock_column_index(bound->relation, node->text);
	if (into->column < 0)
		return refuse(bound, node->text, "does not exist", error);
	into->as = pen_comparison_of(&bound->relation->columns[into->column]);
	bound->used[into->column] = true;
	return PENSTOCK_OK;
}

/* A value that is compared with a column of that name and kind. */
static penstock_status
bind_value(pen_where_bound *bound, const pen_node *node, const char *column, pen_comparison as,
		   pen_error *error)
{
	bound_node *into = bound_of(bound, node);
	bool fits = false;
	char problem[160];

	into->as = as;
	into->column = -1;
	switch (node->kind)
	{
		case PEN_NODE_NULL:
			fits = true;
			break;
		case PEN_NODE_TRUE:
		case PEN_NODE_FALSE:
			into->value =
				(pen_operand){.kind = PEN_OPERAND_INTEGER, .integer = node->kind == PEN_NODE_TRUE};
			fits = as == PEN_AS_BOOL;
			break;
		case PEN_NODE_NUMBER:
			fits = pen_operand_from_number(as, node->text, &into->value);
			break;
		case PEN_NODE_STRING:
			fits = pen_operand_from_string(as, node->text, &into->value);
			break;
		default:
			break;
	}
	if (fits)
		return PENSTOCK_OK;
	snprintf(problem, sizeof(problem), "is compared with something that is not %s",
			 pen_operand_form(as));
	return refuse(bound, column, problem, error);
}

static penstock_status
check_op(const pen_where_bound *bound, const pen_node *column, pen_compare_op op, pen_error *error)
{
	pen_comparison as = bound_of(bound, column)->as;

	if (as == PEN_AS_NOTHING)
		return refuse(bound, column->text,
					  "is of a type that cannot be compared here; only IS NULL and IS NOT NULL can "
					  "be asked",
					  error);
	if (as == PEN_AS_TEXT && op != PEN_OP_EQUAL && op != PEN_OP_NOT_EQUAL)
		return refuse(bound, column->text,
					  "is a text, of which only = and <> can be asked: its order depends on a "
					  "collation",
					  error);
	return PENSTOCK_OK;
}

static bool
is_bpchar(const penstock_column *column)
{
	return column->base_type_oid == PEN_OID_BPCHAR;
}

/* bpchar = 'a ' compares without blanks at the end on both sides. */
static void
unpad_value(const pen_where_bound *bound, const pen_node *column, const pen_node *value)
{
	pen_operand *operand = &bound_of(bound, value)->value;

	if (is_bpchar(column_of(bound, column)) && operand->kind == PEN_OPERAND_BYTES)
		operand->length = pen_operand_unpadded(operand->bytes, operand->length);
}

static penstock_status
bind_compare(pen_where_bound *bound, const pen_node *node, pen_error *error)
{
	const pen_node *column = is_column(node->left) ? node->left : node->right;
	const pen_node *other = is_column(node->left) ? node->right : node->left;

	if (!is_column(column))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "table %s.%s: where: two values are compared; one side must be a "
							 "column",
							 bound->relation->schema, bound->relation->name);
	if (bind_column(bound, column, error) < 0 || check_op(bound, column, node->op, error) < 0)
		return error->status;
	if (!is_column(other))
	{
		if (bind_value(bound, other, column->text, bound_of(bound, column)->as, error) < 0)
			return error->status;
		unpad_value(bound, column, other);
		return PENSTOCK_OK;
	}
	if (bind_column(bound, other, error) < 0)
		return error->status;
	if (bound_of(bound, other)->as != bound_of(bound, column)->as)
		return refuse(bound, other->text, "is compared with a column of another kind", error);
	return PENSTOCK_OK;
}

static penstock_status
bind_in(pen_where_bound *bound, const pen_node *node, pen_error *error)
{
	if (!is_column(node->left))
		return pen_error_set(error, PENSTOCK_E_CONFIG,
							 "table %s.%s: where: IN is asked of something that is not a column",
							 bound->relation->schema, bound->relation->name);
	if (bind_column(bound, node->left, error) < 0 ||
		check_op(bound, node->left, PEN_OP_EQUAL, error) < 0)
		return error->status;
	/* PostgreSQL makes the values real for a list of several, but double precision for one. */
	if (column_of(bound, node->left)->encoding == PEN_ENCODING_FLOAT4)
		return refuse(bound, node->left->text,
					  "is of type real, of which IN cannot be asked; use = and OR", error);
	for (const pen_node *value = node->right; value != NULL; value = value->next)
	{
		if (bind_value(bound, value, node->left->text, bound_of(bound, node->left)->as, error) < 0)
			return error->status;
		unpad_value(bound, node->left, value);
	}
	return PENSTOCK_OK;
}

static penstock_status
bind_condition(pen_where_bound *bound, const pen_node *node, pen_error *error)
{
	switch (node->kind)
	{
		case PEN_NODE_OR:
		case PEN_NODE_AND:
			if (bind_condition(bound, node->left, error) < 0)
				return error->status;
			return bind_condition(bound, node->right, error);
		case PEN_NODE_NOT:
			return bind_condition(bound, node->left, error);
		case PEN_NODE_COMPARE:
			return bind_compare(bound, node, error);
		case PEN_NODE_IN:
			return bind_in(bound, node, error);
		case PEN_NODE_IS_NULL:
			if (is_column(node->left))
				return bind_column(bound, node->left, error);
			break;
		case PEN_NODE_COLUMN:
			if (bind_column(bound, node, error) < 0)
				return error->status;
			if (bound_of(bound, node)->as == PEN_AS_BOOL)
				return PENSTOCK_OK;
			return refuse(bound, node->text,
						  "is not boolean, and stands where a condition is meant", error);
		case PEN_NODE_TRUE:
		case PEN_NODE_FALSE:
		case PEN_NODE_NULL:
			return PENSTOCK_OK;
		case PEN_NODE_NUMBER:
		case PEN_NODE_STRING:
			break;
	}
	return pen_error_set(error, PENSTOCK_E_CONFIG,
						 "table %s.%s: where: a value stands where a condition or column is meant",
						 bound->relation->schema, bound->relation->name);
}

pen_where_bound *
pen_where_bind(const pen_where *where, const penstock_relation *relation, pen_error *error)
{
	pen_where_bound *bound = calloc(1, sizeof(*bound));

	if (bound != NULL)
	{
		*bound = (pen_where_bound){.where = where, .relation = relation};
		bound->used = calloc((size_t) relation->column_count + 1, sizeof(*bound->used));
		bound->nodes = calloc((size_t) where->node_count, sizeof(*bound->nodes));
	}
	if (bound == NULL || bound->used == NULL || bound->nodes == NULL)
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a where");
	else if (bind_condition(bound, where->root, error) >= 0)
		return bound;
	pen_where_bound_free(bound);
	return NULL;
}

void
pen_where_bound_free(pen_where_bound *bound)
{
	if (bound == NULL)
		return;
	free(bound->used);
	free(bound->nodes);
	free(bound);
}

bool
pen_where_uses(const pen_where_bound *bound, int column)
{
	return bound->used[column];
}

/* ---- as SQL ---- */

static void
append(pen_wire_buf *buf, const char *text)
{
	pen_wire_append(buf, text, strlen(text));
}

/* Between quotes; a backslash needs E'' to mean itself in every server. */
static void
append_quoted(pen_wire_buf *buf, const char *text, char quote)
{
	bool escape = quote == '\'' && strchr(text, '\\') != NULL;

	if (escape)
		append(buf, "E");
	pen_wire_append(buf, &quote, 1);
	for (; *text != '\0'; text++)
	{
		if (*text == quote || (escape && *text == '\\'))
			pen_wire_append(buf, text, 1);
		pen_wire_append(buf, text, 1);
	}
	pen_wire_append(buf, &quote, 1);
}

static void
append_operand(pen_wire_buf *buf, const pen_where_bound *bound, const pen_node *node)
{
	switch (node->kind)
	{
		case PEN_NODE_COLUMN:
			append_quoted(buf, node->text, '"');
			/* Whatever the column's collation: bytes. */
			if (bound != NULL && bound_of(bound, node)->as == PEN_AS_TEXT)
				append(buf, " COLLATE \"C\"");
			break;
		case PEN_NODE_STRING:
			append_quoted(buf, node->text, '\'');
			break;
		case PEN_NODE_NUMBER:
			append(buf, node->text);
			break;
		case PEN_NODE_TRUE:
			append(buf, "true");
			break;
		case PEN_NODE_FALSE:
			append(buf, "false");
			break;
		default:
			append(buf, "NULL");
	}
}

static void
append_in(pen_wire_buf *buf, const pen_where_bound *bound, const pen_node *node)
{
	append_operand(buf, bound, node->left);
	append(buf, node->negated ? " NOT IN (" : " IN (");
	for (const pen_node *value = node->right; value != NULL; value = value->next)
	{
		append_operand(buf, bound, value);
		append(buf, value->next != NULL ? ", " : ")");
	}
}

static void
append_condition(pen_wire_buf *buf, const pen_where_bound *bound, const pen_node *node)
{
	static const char *const ops[] = {" = ", " <> ", " < ", " <= ", " > ", " >= "};

	switch (node->kind)
	{
		case PEN_NODE_OR:
		case PEN_NODE_AND:
			append(buf, "(");
			append_condition(buf, bound, node->left);
			append(buf, node->kind == PEN_NODE_OR ? " OR " : " AND ");
			append_condition(buf, bound, node->right);
			append(buf, ")");
			break;
		case PEN_NODE_NOT:
			append(buf, "(NOT ");
			append_condition(buf, bound, node->left);
			append(buf, ")");
			break;
		case PEN_NODE_COMPARE:
			append_operand(buf, bound, node->left);
			append(buf, ops[node->op]);
			append_operand(buf, bound, node->right);
			break;
		case PEN_NODE_IN:
			append_in(buf, bound, node);
			break;
		case PEN_NODE_IS_NULL:
			append_operand(buf, NULL, node->left);
			/* IS NULL looks into composite values. */
			if (bound != NULL)
				append(buf,
					   node->negated ? " IS DISTINCT FROM NULL" : " IS NOT DISTINCT FROM NULL");
			else
				append(buf, node->negated ? " IS NOT NULL" : " IS NULL");
			break;
		default:
			append_operand(buf, bound, node);
	}
}

void
pen_where_write(const pen_where *where, const pen_where_bound *bound, pen_wire_buf *buf)
{
	pen_buffer_init(buf);
	append_condition(buf, bound, where->root);
	pen_wire_append(buf, "", 1);
}

void
pen_where_write_sql(const pen_where_bound *bound, pen_wire_buf *buf)
{
	append_condition(buf, bound, bound->where->root);
}

/* ---- evaluating ---- */

typedef struct evaluation
{
	const pen_where_bound *bound;
	const pen_value *values;
	pen_error *error;
} evaluation;

static penstock_status
operand_of(const evaluation *e, const pen_node *node, pen_operand *operand)
{
	const bound_node *bound = bound_of(e->bound, node);
	const penstock_column *column;

	if (!is_column(node))
	{
		*operand = bound->value;
		return PENSTOCK_OK;
	}
	column = column_of(e->bound, node);
	if (pen_operand_from_value(bound->as, column, &e->values[bound->column], operand))
		return PENSTOCK_OK;
	return pen_error_set(e->error, PENSTOCK_E_DATA,
						 "table %s.%s: a value of column \"%s\" is not of its type",
						 e->bound->relation->schema, e->bound->relation->name, column->name);
}

static pen_truth
negate(pen_truth truth)
{
	return truth == PEN_UNKNOWN ? PEN_UNKNOWN : truth == PEN_TRUE ? PEN_FALSE : PEN_TRUE;
}

static pen_truth
compare(pen_comparison as, pen_compare_op op, const pen_operand *left, const pen_operand *right)
{
	int order;

	if (left->kind == PEN_OPERAND_NULL || right->kind == PEN_OPERAND_NULL)
		return PEN_UNKNOWN;
	order = pen_operand_compare(as, left, right);
	switch (op)
	{
		case PEN_OP_EQUAL:
			return order == 0 ? PEN_TRUE : PEN_FALSE;
		case PEN_OP_NOT_EQUAL:
			return order != 0 ? PEN_TRUE : PEN_FALSE;
		case PEN_OP_LESS:
			return order < 0 ? PEN_TRUE : PEN_FALSE;
		case PEN_OP_LESS_EQUAL:
			return order <= 0 ? PEN_TRUE : PEN_FALSE;
		case PEN_OP_GREATER:
			return order > 0 ? PEN_TRUE : PEN_FALSE;
		case PEN_OP_GREATER_EQUAL:
			return order >= 0 ? PEN_TRUE : PEN_FALSE;
	}
	return PEN_UNKNOWN;
}

static penstock_status
evaluate_compare(const evaluation *e, const pen_node *node, pen_truth *truth)
{
	const pen_node *column = is_column(node->left) ? node->left : node->right;
	pen_operand left;
	pen_operand right;

	if (operand_of(e, node->left, &left) < 0 || operand_of(e, node->right, &right) < 0)
		return e->error->status;
	*truth = compare(bound_of(e->bound, column)->as, node->op, &left, &right);
	return PENSTOCK_OK;
}

static penstock_status
evaluate_in(const evaluation *e, const pen_node *node, pen_truth *truth)
{
	pen_operand left;

	if (operand_of(e, node->left, &left) < 0)
		return e->error->status;
	*truth = PEN_FALSE;
	for (const pen_node *value = node->right; value != NULL && *truth != PEN_TRUE;
		 value = value->next)
	{
		pen_truth equal = compare(bound_of(e->bound, node->left)->as, PEN_OP_EQUAL, &left,
								  &bound_of(e->bound, value)->value);

		if (equal != PEN_FALSE)
			*truth = equal;
	}
	if (node->negated)
		*truth = negate(*truth);
	return PENSTOCK_OK;
}

static penstock_status evaluate(const evaluation *e, const pen_node *node, pen_truth *truth);

/* AND as OR of what is negated. */
static penstock_status
evaluate_or(const evaluation *e, const pen_node *node, pen_truth *truth)
{
	pen_truth decides = node->kind == PEN_NODE_OR ? PEN_TRUE : PEN_FALSE;
	pen_truth right;

	if (evaluate(e, node->left, truth) < 0 || *truth == decides)
		return e->error->status;
	if (evaluate(e, node->right, &right) < 0)
		return e->error->status;
	if (right == decides || *truth != PEN_UNKNOWN)
		*truth = right;
	return PENSTOCK_OK;
}

static penstock_status
evaluate(const evaluation *e, const pen_node *node, pen_truth *truth)
{
	switch (node->kind)
	{
		case PEN_NODE_OR:
		case PEN_NODE_AND:
			return evaluate_or(e, node, truth);
		case PEN_NODE_NOT:
			if (evaluate(e, node->left, truth) < 0)
				return e->error->status;
			*truth = negate(*truth);
			return PENSTOCK_OK;
		case PEN_NODE_COMPARE:
			return evaluate_compare(e, node, truth);
		case PEN_NODE_IN:
			return evaluate_in(e, node, truth);
		case PEN_NODE_IS_NULL:
			*truth = (e->values[bound_of(e->bound, node->left)->column].kind == PEN_VALUE_NULL) !=
							 node->negated
						 ? PEN_TRUE
						 : PEN_FALSE;
			return PENSTOCK_OK;
		case PEN_NODE_COLUMN:
		{
			pen_operand operand;

			if (operand_of(e, node, &operand) < 0)
				return e->error->status;
			*truth = operand.kind == PEN_OPERAND_NULL ? PEN_UNKNOWN
					 : operand.integer != 0           ? PEN_TRUE
													  : PEN_FALSE;
			return PENSTOCK_OK;
		}
		default:
			*truth = node->kind == PEN_NODE_TRUE    ? PEN_TRUE
					 : node->kind == PEN_NODE_FALSE ? PEN_FALSE
													: PEN_UNKNOWN;
			return PENSTOCK_OK;
	}
}

penstock_status
pen_where_evaluate(const pen_where_bound *bound, const pen_value *values, pen_truth *truth,
				   pen_error *error)
{
	evaluation e = {.bound = bound, .values = values, .error = error};

	pen_error_clear(error);
	return evaluate(&e, bound->where->root, truth);
}
