/* where_parse.c -- the text of a condition to a tree.
 * Precedence is SQL's: OR, AND, NOT, then predicates, which do not chain. Errors say where, and
 * never repeat the text, which may have been put together from secrets. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "route/where_private.h"

#define EXPONENT_MAX 400

typedef enum token
{
	TOKEN_END,
	TOKEN_NAME,
	TOKEN_STRING,
	TOKEN_NUMBER,
	TOKEN_COMPARE,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_AND,
	TOKEN_OR,
	TOKEN_NOT,
	TOKEN_IS,
	TOKEN_IN,
	TOKEN_NULL,
	TOKEN_TRUE,
	TOKEN_FALSE
} token;

typedef struct parser
{
	pen_where *where;
	const char *text;
	const char *pos;   /* behind the token */
	const char *start; /* of the token */
	token token;
	const char *value; /* of a name, string or number */
	pen_compare_op op;
	int depth;
	pen_error *error;
} parser;

/* ---- tokens ---- */

static bool
fail(parser *p, const char *at, const char *problem)
{
	int character = 1;

	for (const char *c = p->text; c < at; c++)
		character += ((unsigned char) *c & 0xC0) != 0x80;
	if (p->error->status >= 0)
		pen_error_set(p->error, PENSTOCK_E_CONFIG, "where: at character %d: %s", character,
					  problem);
	return false;
}

static bool
no_memory(parser *p)
{
	pen_error_set(p->error, PENSTOCK_E_RETRY, "out of memory for a where");
	return false;
}

/* Between quotes of this kind, of which two stand for one. */
static bool
scan_quoted(parser *p, char quote)
{
	const char *end = p->start + 1;
	char *copy;
	size_t length = 0;

	while (*end != '\0' && (*end != quote || end[1] == quote))
		end += *end == quote ? 2 : 1;
	if (*end == '\0')
		return fail(p, p->start, "a quote is not closed");
	copy = pen_arena_alloc(&p->where->arena, (size_t) (end - p->start));
	if (copy == NULL)
		return no_memory(p);
	for (const char *from = p->start + 1; from < end; from += *from == quote ? 2 : 1)
		copy[length++] = *from;
	p->value = copy;
	p->pos = end + 1;
	if (quote == '"' && length == 0)
		return fail(p, p->start, "the name of a column is empty");
	return true;
}

static bool
is_name_byte(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '$' || (unsigned char) c >= 0x80;
}

/* A name or a keyword: PostgreSQL folds ASCII. */
static bool
scan_name(parser *p)
{
	static const struct
	{
		const char *word;
		token token;
	} keywords[] = {{"and", TOKEN_AND},   {"or", TOKEN_OR},      {"not", TOKEN_NOT},
					{"is", TOKEN_IS},     {"in", TOKEN_IN},      {"null", TOKEN_NULL},
					{"true", TOKEN_TRUE}, {"false", TOKEN_FALSE}};
	char *copy;

	while (is_name_byte(*p->pos))
		p->pos++;
	copy = pen_arena_alloc(&p->where->arena, (size_t) (p->pos - p->start) + 1);
	if (copy == NULL)
		return no_memory(p);
	for (size_t i = 0; p->start + i < p->pos; i++)
	{
		copy[i] = p->start[i];
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char) (copy[i] - 'A' + 'a');
	}
	p->token = TOKEN_NAME;
	p->value = copy;
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
	{
		if (strcmp(copy, keywords[i].word) == 0)
			p->token = keywords[i].token;
	}
	if (*p->pos == '.')
		return fail(p, p->pos, "columns are named without their table");
	if (*p->pos == '(' && p->token == TOKEN_NAME)
		return fail(p, p->start, "functions cannot be used here");
	return true;
}

/* Digits with the point moved by exponent: "1.5" and 2 are "150". */
static bool
write_number(parser *p, bool negative, const char *digits, size_t count, long point)
{
	size_t zeros_before = point < 0 ? (size_t) -point : 0;
	size_t whole = point > 0 ? (size_t) point : 0;
	size_t size = zeros_before + count + whole + 5;
	char *number = pen_arena_alloc(&p->where->arena, size);
	char *to = number;

	if (number == NULL)
		return no_memory(p);
	if (negative)
		*to++ = '-';
	if (whole == 0)
		*to++ = '0';
	for (size_t i = 0; i < whole; i++)
		*to++ = i < count ? digits[i] : '0';
	if (count > whole)
	{
		*to++ = '.';
		for (size_t i = 0; i < zeros_before; i++)
			*to++ = '0';
		memcpy(to, digits + whole, count - whole);
	}
	p->value = number;
	return true;
}

static bool
scan_number(parser *p)
{
	bool negative = *p->pos == '-';
	const char *problem = "a number is malformed";
	char digits[512];
	size_t count = 0;
	long point = 0;
	bool after_point = false;

	p->token = TOKEN_NUMBER;
	if (*p->pos == '-' || *p->pos == '+')
		p->pos++;
	while (*p->pos == ' ')
		p->pos++;
	for (; isdigit((unsigned char) *p->pos) || (*p->pos == '.' && !after_point); p->pos++)
	{
		if (*p->pos == '.')
			after_point = true;
		else if (count == sizeof(digits))
			return fail(p, p->start, "a number is too long");
		else
		{
			digits[count++] = *p->pos;
			point += !after_point;
		}
	}
	if (count == 0)
		return fail(p, p->start, problem);
	if (*p->pos == 'e' || *p->pos == 'E')
	{
		char *end;
		long exponent;

		if (p->pos[1] != '-' && p->pos[1] != '+' && !isdigit((unsigned char) p->pos[1]))
			return fail(p, p->start, problem);
		exponent = strtol(p->pos + 1, &end, 10);
		if (!isdigit((unsigned char) end[-1]))
			return fail(p, p->start, problem);
		if (exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX)
			return fail(p, p->start, "the exponent of a number is too large");
		point += exponent;
		p->pos = end;
	}
	if (is_name_byte(*p->pos) || *p->pos == '.')
		return fail(p, p->start, problem);
	return write_number(p, negative, digits, count, point);
}

static bool
scan_compare(parser *p)
{
	static const struct
	{
		const char *text;
		pen_compare_op op;
	} ops[] = {{"<>", PEN_OP_NOT_EQUAL},     {"!=", PEN_OP_NOT_EQUAL}, {"<=", PEN_OP_LESS_EQUAL},
			   {">=", PEN_OP_GREATER_EQUAL}, {"=", PEN_OP_EQUAL},      {"<", PEN_OP_LESS},
			   {">", PEN_OP_GREATER}};

	p->token = TOKEN_COMPARE;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		size_t length = strlen(ops[i].text);

		if (strncmp(p->pos, ops[i].text, length) != 0)
			continue;
		p->pos += length;
		p->op = ops[i].op;
		if (strchr("=<>!~@#%^&|?*/", *p->pos) != NULL && *p->pos != '\0')
			break;
		return true;
	}
	return fail(p, p->start,
				"this is no operator; there are = <> != < <= > >=, AND, OR, NOT, IN, "
				"IS NULL");
}

/* Step to the next token; false at an error. */
static bool
advance(parser *p)
{
	static const char singles[] = "(),";

	while (*p->pos == ' ' || *p->pos == '\t' || *p->pos == '\n' || *p->pos == '\r')
		p->pos++;
	p->start = p->pos;
	if (*p->pos == '\0')
	{
		p->token = TOKEN_END;
		return true;
	}
	if (strchr(singles, *p->pos) != NULL)
	{
		p->token = *p->pos == '(' ? TOKEN_OPEN : *p->pos == ')' ? TOKEN_CLOSE : TOKEN_COMMA;
		p->pos++;
		return true;
	}
	if (*p->pos == '\'' || *p->pos == '"')
	{
		p->token = *p->pos == '"' ? TOKEN_NAME : TOKEN_STRING;
		if (!scan_quoted(p, *p->pos))
			return false;
		if (is_name_byte(*p->pos) || *p->pos == '.' || *p->pos == '\'' || *p->pos == '"')
			return fail(p, p->pos, "white space or an operator is missing");
		return true;
	}
	if (isdigit((unsigned char) *p->pos) || strchr("+-.", *p->pos) != NULL)
		return scan_number(p);
	if (is_name_byte(*p->pos) && *p->pos != '$')
	{
		if (!scan_name(p))
			return false;
		if (*p->pos == '\'' || *p->pos == '"')
			return fail(p, p->pos, "white space or an operator is missing");
		return true;
	}
	return scan_compare(p);
}

/* ---- the tree ---- */

static pen_node *
new_node(parser *p, pen_node_kind kind, pen_node *left, pen_node *right)
{
	pen_node *node = pen_arena_alloc(&p->where->arena, sizeof(*node));

	if (node == NULL)
	{
		no_memory(p);
		return NULL;
	}
	*node = (pen_node){.kind = kind, .left = left, .right = right};
	node->number = p->where->node_count++;
	return node;
}

static pen_node *
fail_node(parser *p, const char *problem)
{
	fail(p, p->start, problem);
	return NULL;
}

static bool
is_value(token t)
{
	return t == TOKEN_STRING || t == TOKEN_NUMBER || t == TOKEN_TRUE || t == TOKEN_FALSE ||
		   t == TOKEN_NULL;
}

/* A column (if it may be one) or a value. */
static pen_node *
parse_operand(parser *p, bool may_be_column)
{
	static const pen_node_kind kinds[] = {
		[TOKEN_NAME] = PEN_NODE_COLUMN,   [TOKEN_STRING] = PEN_NODE_STRING,
		[TOKEN_NUMBER] = PEN_NODE_NUMBER, [TOKEN_TRUE] = PEN_NODE_TRUE,
		[TOKEN_FALSE] = PEN_NODE_FALSE,   [TOKEN_NULL] = PEN_NODE_NULL};
	pen_node *node;

	if (!is_value(p->token) && !(may_be_column && p->token == TOKEN_NAME))
		return fail_node(p,
						 may_be_column ? "a column or a value is expected" : "a value is expected");
	node = new_node(p, kinds[p->token], NULL, NULL);
	if (node == NULL)
		return NULL;
	node->text = p->value;
	return advance(p) ? node : NULL;
}

static pen_node *
parse_in(parser *p, pen_node *left, bool negated)
{
	pen_node *in = new_node(p, PEN_NODE_IN, left, NULL);
	pen_node **last;

	if (in == NULL || !advance(p))
		return NULL;
	if (p->token != TOKEN_OPEN)
		return fail_node(p, "IN is followed by values in parentheses");
	in->negated = negated;
	last = &in->right;
	do
	{
		if (!advance(p) || (*last = parse_operand(p, false)) == NULL)
			return NULL;
		last = &(*last)->next;
	} while (p->token == TOKEN_COMMA);
	if (p->token != TOKEN_CLOSE)
		return fail_node(p, "a comma or a closing parenthesis is expected");
	return advance(p) ? in : NULL;
}

/* What follows a first operand. */
static pen_node *
parse_predicate(parser *p)
{
	pen_node *left = parse_operand(p, true);
	pen_node *node;
	pen_node *right;
	bool negated = false;

	if (left == NULL)
		return NULL;
	if (p->token == TOKEN_COMPARE)
	{
		pen_compare_op op = p->op;

		if (!advance(p) || (right = parse_operand(p, true)) == NULL)
			return NULL;
		node = new_node(p, PEN_NODE_COMPARE, left, right);
		if (node != NULL)
			node->op = op;
		return node;
	}
	if (p->token == TOKEN_IS)
	{
		if (!advance(p))
			return NULL;
		negated = p->token == TOKEN_NOT;
		if (negated && !advance(p))
			return NULL;
		if (p->token != TOKEN_NULL)
			return fail_node(p, "IS is followed by NULL or NOT NULL");
		node = new_node(p, PEN_NODE_IS_NULL, left, NULL);
		if (node == NULL || !advance(p))
			return NULL;
		node->negated = negated;
		return node;
	}
	if (p->token == TOKEN_NOT)
	{
		negated = true;
		if (!advance(p))
			return NULL;
		if (p->token != TOKEN_IN)
			return fail_node(p, "IN is expected after NOT");
	}
	return p->token == TOKEN_IN ? parse_in(p, left, negated) : left;
}

static pen_node *parse_or(parser *p);

static pen_node *
parse_not(parser *p)
{
	pen_node *node;
	bool negated = p->token == TOKEN_NOT;

	if (!negated && p->token != TOKEN_OPEN)
		return parse_predicate(p);
	if (++p->depth > PEN_WHERE_DEPTH_MAX)
		return fail_node(p, "it is nested too deeply");
	if (!advance(p))
		return NULL;
	node = negated ? parse_not(p) : parse_or(p);
	p->depth--;
	if (node == NULL)
		return NULL;
	if (negated)
		return new_node(p, PEN_NODE_NOT, node, NULL);
	if (p->token != TOKEN_CLOSE)
		return fail_node(p, "AND, OR or a closing parenthesis is expected");
	return advance(p) ? node : NULL;
}

static pen_node *
parse_and(parser *p)
{
	pen_node *node = parse_not(p);

	while (node != NULL && p->token == TOKEN_AND)
	{
		pen_node *right = advance(p) ? parse_not(p) : NULL;

		node = right != NULL ? new_node(p, PEN_NODE_AND, node, right) : NULL;
	}
	return node;
}

static pen_node *
parse_or(parser *p)
{
	pen_node *node = parse_and(p);

	while (node != NULL && p->token == TOKEN_OR)
	{
		pen_node *right = advance(p) ? parse_and(p) : NULL;

		node = right != NULL ? new_node(p, PEN_NODE_OR, node, right) : NULL;
	}
	return node;
}

static penstock_status
parse(parser *p)
{
	if (strlen(p->text) > PEN_WHERE_BYTES_MAX)
		return pen_error_set(p->error, PENSTOCK_E_CONFIG, "where: it is longer than %d bytes",
							 PEN_WHERE_BYTES_MAX);
	if (!advance(p))
		return p->error->status;
	p->where->root = parse_or(p);
	if (p->where->root != NULL && p->token != TOKEN_END)
		fail(p, p->start, "AND, OR or the end is expected");
	return p->error->status;
}

pen_where *
pen_where_parse(const char *text, pen_error *error)
{
	pen_where *where = calloc(1, sizeof(*where));
	parser p = {.where = where, .text = text, .pos = text, .error = error};
	pen_wire_buf canonical;

	pen_error_clear(error);
	if (where == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a where");
		return NULL;
	}
	if (parse(&p) < 0)
	{
		pen_where_free(where);
		return NULL;
	}
	pen_where_write(where, NULL, &canonical);
	where->canonical = (char *) canonical.data;
	if (canonical.failed)
	{
		pen_where_free(where);
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for a where");
		return NULL;
	}
	return where;
}

void
pen_where_free(pen_where *where)
{
	if (where == NULL)
		return;
	pen_arena_reset(&where->arena);
	free(where->canonical);
	free(where);
}

const char *
pen_where_canonical(const pen_where *where)
{
	return where->canonical;
}
