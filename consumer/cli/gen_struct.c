/* gen_struct.c -- `penstock gen-struct`: a C struct for the rows of a live table.
 * Whatever a column is called, what is printed compiles as C and as C++. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "copy/catalog.h"
#include "event/relation.h"
#include "types.h"

enum
{
	EXIT_RETRY = 1,
	EXIT_CONFIG = 2
};

/* An identifier may be 63 bytes at the source; suffixes make it longer. */
#define IDENTIFIER_MAX 128
#define NULL_SUFFIX    "_is_null"

typedef struct field_name
{
	char name[IDENTIFIER_MAX];
	char null_name[IDENTIFIER_MAX]; /* "": never NULL */
} field_name;

static const char help[] =
	"Usage: penstock gen-struct --source CONNINFO --table [SCHEMA.]TABLE\n"
	"\n"
	"Prints a C struct for the rows of a table, and the fields that penstock_row_to_struct takes.\n"
	"\n"
	"  --source=CONNINFO         the database: postgresql://… or \"host=… dbname=…\"\n"
	"  --table=[SCHEMA.]TABLE    the table; without a dot the schema is public\n"
	"  --help                    this text\n";

/* ---- names ---- */

/* Keywords of C and C++, and what the headers in use define. */
static const char *const reserved[] = {"NULL",
									   "EOF",
									   "alignas",
									   "alignof",
									   "and",
									   "and_eq",
									   "asm",
									   "assert",
									   "auto",
									   "bitand",
									   "bitor",
									   "bool",
									   "break",
									   "case",
									   "catch",
									   "char",
									   "class",
									   "compl",
									   "concept",
									   "const",
									   "const_cast",
									   "consteval",
									   "constexpr",
									   "constinit",
									   "continue",
									   "co_await",
									   "co_return",
									   "co_yield",
									   "decltype",
									   "default",
									   "delete",
									   "do",
									   "double",
									   "dynamic_cast",
									   "else",
									   "enum",
									   "errno",
									   "explicit",
									   "export",
									   "extern",
									   "false",
									   "float",
									   "for",
									   "friend",
									   "goto",
									   "if",
									   "inline",
									   "int",
									   "int16_t",
									   "int32_t",
									   "int64_t",
									   "linux",
									   "long",
									   "mutable",
									   "namespace",
									   "new",
									   "noexcept",
									   "not",
									   "not_eq",
									   "nullptr",
									   "offsetof",
									   "operator",
									   "or",
									   "or_eq",
									   "penstock_text",
									   "private",
									   "protected",
									   "public",
									   "register",
									   "reinterpret_cast",
									   "requires",
									   "restrict",
									   "return",
									   "short",
									   "signed",
									   "sizeof",
									   "static",
									   "static_assert",
									   "static_cast",
									   "stderr",
									   "stdin",
									   "stdout",
									   "struct",
									   "switch",
									   "template",
									   "this",
									   "thread_local",
									   "throw",
									   "true",
									   "try",
									   "typedef",
									   "typeid",
									   "typename",
									   "typeof",
									   "typeof_unqual",
									   "union",
									   "unix",
									   "unsigned",
									   "using",
									   "virtual",
									   "void",
									   "volatile",
									   "wchar_t",
									   "while",
									   "xor",
									   "xor_eq"};

static bool
is_reserved(const char *name)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strcmp(reserved[i], name) == 0)
			return true;
	return false;
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* ASCII letters, digits and single underscores stay; any other character becomes an underscore.
 * A leading digit or underscore gets a letter before it, as such names may be the compiler's. */
static void
mangle(const char *name, char *identifier)
{
	size_t len = 0;

	if (!is_letter(name[0]))
		identifier[len++] = 'c';
	if (name[0] >= '0' && name[0] <= '9')
		identifier[len++] = '_';
	for (; *name != '\0' && len < 64; name++)
	{
		if (is_letter(*name) || (*name >= '0' && *name <= '9'))
			identifier[len++] = *name;
		else if (((unsigned char) *name & 0xC0) != 0x80 && (len == 0 || identifier[len - 1] != '_'))
			identifier[len++] = '_';
	}
	identifier[len] = '\0';
	if (is_reserved(identifier))
		strcpy(identifier + len, "_");
}

static bool
is_taken(const field_name *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i].name, name) == 0 || strcmp(names[i].null_name, name) == 0)
			return true;
	return false;
}

/* Names for all columns and their _is_null, each once. */
static void
name_fields(const penstock_relation *relation, field_name *names)
{
	for (int i = 0; i < relation->column_count; i++)
	{
		field_name *field = &names[i];
		char base[IDENTIFIER_MAX];
		char null_name[IDENTIFIER_MAX];

		mangle(relation->columns[i].name, base);
		field->name[0] = field->null_name[0] = '\0';
		snprintf(null_name, sizeof(null_name), "%.100s" NULL_SUFFIX, base);
		for (int n = 2; is_taken(names, i, base) || is_taken(names, i, null_name); n++)
		{
			mangle(relation->columns[i].name, base);
			snprintf(base + strlen(base), 16, "_%d", n);
			snprintf(null_name, sizeof(null_name), "%.100s" NULL_SUFFIX, base);
		}
		strcpy(field->name, base);
		if (!relation->columns[i].not_null)
			strcpy(field->null_name, null_name);
	}
}

/* ---- printing ---- */

/* As a C string, which may also stand in a comment. */
static void
print_quoted(const char *text)
{
	putchar('"');
	for (char before = '\0'; *text != '\0'; before = *text++)
	{
		if (*text == '"' || *text == '\\' || *text == '?')
			printf("\\%c", *text);
		else if ((unsigned char) *text < 0x20 || *text == 0x7f || (before == '*' && *text == '/') ||
				 (before == '/' && *text == '*'))
			printf("\\%03o", (unsigned) (unsigned char) *text);
		else
			putchar(*text);
	}
	putchar('"');
}

static void
field_type(const penstock_column *column, const char **c_type, const char **constant)
{
	*c_type = "int64_t";
	*constant = "PENSTOCK_FIELD_INT64";
	switch ((pen_encoding) column->encoding)
	{
		case PEN_ENCODING_BOOL:
			*c_type = "bool";
			*constant = "PENSTOCK_FIELD_BOOL";
			return;
		case PEN_ENCODING_INT:
			if (column->base_type_oid == PEN_OID_INT8)
				return;
			*c_type = column->base_type_oid == PEN_OID_INT2 ? "int16_t" : "int32_t";
			*constant = column->base_type_oid == PEN_OID_INT2 ? "PENSTOCK_FIELD_INT16"
															  : "PENSTOCK_FIELD_INT32";
			return;
		case PEN_ENCODING_DATE:
			*c_type = "int32_t";
			*constant = "PENSTOCK_FIELD_INT32";
			return;
		case PEN_ENCODING_OID:
		case PEN_ENCODING_TIME:
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			return;
		case PEN_ENCODING_FLOAT4:
			*c_type = "float";
			*constant = "PENSTOCK_FIELD_FLOAT";
			return;
		case PEN_ENCODING_FLOAT8:
			*c_type = "double";
			*constant = "PENSTOCK_FIELD_DOUBLE";
			return;
		default:
			*c_type = "penstock_text";
			*constant = column->encoding == PEN_ENCODING_BYTEA ||
								column->encoding == PEN_ENCODING_UUID ||
								column->encoding == PEN_ENCODING_BINARY
							? "PENSTOCK_FIELD_BYTES"
							: "PENSTOCK_FIELD_TEXT";
	}
}

/* What the number in a field counts, where its type does not say it. */
static const char *
unit_of(const penstock_column *column)
{
	switch ((pen_encoding) column->encoding)
	{
		case PEN_ENCODING_DATE:
			return ", days since 2000-01-01";
		case PEN_ENCODING_TIME:
			return ", microseconds since midnight";
		case PEN_ENCODING_TIMESTAMP:
		case PEN_ENCODING_TIMESTAMPTZ:
			return ", microseconds since 2000-01-01 00:00:00";
		default:
			return "";
	}
}

static void
print_struct(const penstock_relation *relation, const field_name *names, const char *type)
{
	const char *c_type;
	const char *constant;

	printf("#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n\n"
		   "#include <penstock/penstock.h>\n\n/* A row of ");
	print_quoted(relation->schema);
	putchar('.');
	print_quoted(relation->name);
	printf(". */\ntypedef struct %s\n{\n", type);
	for (int i = 0; i < relation->column_count; i++)
	{
		const penstock_column *column = &relation->columns[i];

		field_type(column, &c_type, &constant);
		printf("\t%s %s; /* ", c_type, names[i].name);
		print_quoted(column->type_name);
		printf("%s */\n", unit_of(column));
		if (names[i].null_name[0] != '\0')
			printf("\tbool %s;\n", names[i].null_name);
	}
	printf("} %s;\n\nstatic const penstock_field %s_fields[] = {\n", type, type);
	for (int i = 0; i < relation->column_count; i++)
	{
		field_type(&relation->columns[i], &c_type, &constant);
		printf("\t{");
		print_quoted(relation->columns[i].name);
		printf(", %s, offsetof(%s, %s), ", constant, type, names[i].name);
		if (names[i].null_name[0] != '\0')
			printf("offsetof(%s, %s)},\n", type, names[i].null_name);
		else
			printf("-1},\n");
	}
	printf("};\n");
}

/* ---- the command ---- */

static int
usage(const char *what)
{
	fprintf(stderr, "penstock gen-struct: %s (try --help)\n", what);
	return EXIT_CONFIG;
}

static int
run(const char *source, char *table)
{
	char *dot = strchr(table, '.');
	const penstock_relation *relation;
	char type[IDENTIFIER_MAX];
	field_name *names;
	pen_error error;

	if (dot != NULL)
		*dot = '\0';
	relation = pen_catalog_describe(source, dot != NULL ? table : "public",
									dot != NULL ? dot + 1 : table, &error);
	if (relation == NULL)
	{
		fprintf(stderr, "penstock gen-struct: %s\n", error.text);
		return pen_cli_exit_code(error.status);
	}
	names =
		relation->column_count > 0 ? calloc((size_t) relation->column_count, sizeof(*names)) : NULL;
	if (names == NULL)
	{
		fprintf(stderr, "penstock gen-struct: %s\n",
				relation->column_count > 0 ? "out of memory" : "the table has no columns");
		pen_relation_unref(relation);
		return EXIT_RETRY;
	}
	name_fields(relation, names);
	mangle(relation->name, type);
	strcat(type, "_row");
	print_struct(relation, names, type);
	free(names);
	pen_relation_unref(relation);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_RETRY;
}

int
pen_cli_gen_struct(int argc, char **argv)
{
	static const struct option options[] = {{"source", required_argument, NULL, 's'},
											{"table", required_argument, NULL, 't'},
											{"help", no_argument, NULL, 'h'},
											{NULL, 0, NULL, 0}};
	const char *source = NULL;
	char *table = NULL;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		switch (option)
		{
			case 's':
				source = optarg;
				break;
			case 't':
				table = optarg;
				break;
			case 'h':
				fputs(help, stdout);
				return EXIT_SUCCESS;
			default:
				return EXIT_CONFIG;
		}
	}
	if (optind < argc)
		return usage("unexpected argument");
	if (source == NULL || table == NULL)
		return usage("--source and --table are needed");
	return run(source, table);
}
