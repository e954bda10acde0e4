/* mapping_rules.h -- a table and a mapping of rules, and events whose rows are written as texts. */
#ifndef MAPPING_RULES_H
#define MAPPING_RULES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "event/relation.h"
#include "event/row.h"
#include "route/mapper.h"
#include "types.h"

#define RULES_MAX 8

typedef struct fixture
{
	pen_rule *rules[RULES_MAX];
	size_t rule_count;
	pen_route *run;
	pen_mapping *mapping;
	pen_mapper *mapper;
	const penstock_relation *relation; /* shop.users(id, name, note, age) */
	penstock_transaction transaction;
	pen_wire_buf rows[4];
	int row_count;
} fixture;

static inline const penstock_relation *
table(const char *schema, const char *name, uint32_t oid, char replica_identity)
{
	penstock_column columns[] = {
		{.name = "id",
		 .attnum = 1,
		 .base_type_oid = PEN_OID_INT4,
		 .encoding = PEN_ENCODING_INT,
		 .primary_key = 1},
		{.name = "name", .attnum = 2, .base_type_oid = PEN_OID_TEXT, .encoding = PEN_ENCODING_TEXT},
		{.name = "note", .attnum = 4, .base_type_oid = PEN_OID_TEXT, .encoding = PEN_ENCODING_TEXT},
		{.name = "age", .attnum = 5, .base_type_oid = PEN_OID_INT4, .encoding = PEN_ENCODING_INT},
	};
	penstock_relation draft = {.schema = schema,
							   .name = name,
							   .oid = oid,
							   .replica_identity = replica_identity,
							   .columns = columns,
							   .column_count = 4};
	const penstock_relation *made;
	pen_error error;

	for (int i = 0; i < 4; i++)
		columns[i].identity = replica_identity == 'f' ? i + 1 : replica_identity == 'd' && i == 0;
	made = pen_relation_new(&draft, &error);
	assert_non_null(made);
	return made;
}

static inline int
set_up(void **state)
{
	fixture *f = calloc(1, sizeof(*f));

	f->relation = table("shop", "users", 1, 'd');
	for (int i = 0; i < 4; i++)
		pen_buffer_init(&f->rows[i]);
	*state = f;
	return 0;
}

static inline void
forget_mapping(fixture *f)
{
	pen_mapper_free(f->mapper);
	pen_mapping_free(f->mapping);
	f->mapper = NULL;
	f->mapping = NULL;
	for (size_t i = 0; i < f->rule_count; i++)
		pen_rule_free(f->rules[i]);
	f->rule_count = 0;
}

static inline int
tear_down(void **state)
{
	fixture *f = *state;

	forget_mapping(f);
	pen_route_free(f->run);
	pen_relation_unref(f->relation);
	for (int i = 0; i < 4; i++)
		pen_buffer_reset(&f->rows[i]);
	free(f);
	return 0;
}

/* A rule of key, value, …, NULL. */
static inline pen_rule *
rule(fixture *f, const char *patterns, ...)
{
	pen_error error;
	pen_rule *made;
	const char *key;
	char stands_at[20];
	va_list keys;

	snprintf(stands_at, sizeof(stands_at), "f:%zu", f->rule_count + 1);
	made = pen_rule_new(patterns, stands_at, &error);
	if (made == NULL)
		fail_msg("%s: %s", patterns, error.text);
	va_start(keys, patterns);
	while ((key = va_arg(keys, const char *)) != NULL)
	{
		const char *value = va_arg(keys, const char *);

		if (pen_rule_set(made, key, value, &error) < 0)
			fail_msg("%s = %s: %s", key, value, error.text);
	}
	va_end(keys);
	f->rules[f->rule_count++] = made;
	return made;
}

static inline void
make_mapping(fixture *f, const char *tables)
{
	pen_error error;

	f->mapping = pen_mapping_new(f->run, tables, "crm", f->rules, f->rule_count, &error);
	assert_non_null(f->mapping);
	f->mapper = pen_mapper_new(f->mapping);
	assert_non_null(f->mapper);
}

/* ---- rows: a text for each column; NULL: NULL, "~": unchanged, "-": not in this row ---- */

static inline penstock_row
row(fixture *f, const penstock_relation *relation, pen_tuple_field field, const char *id,
	const char *name, const char *note, const char *age)
{
	const char *texts[] = {id, name, note, age};
	pen_wire_buf *buf = &f->rows[f->row_count++ % 4];
	penstock_row made = {.relation = relation, .identity_only = field == PEN_TUPLE_KEY};

	buf->len = 0;
	for (int i = 0; i < 4; i++)
	{
		if (texts[i] == NULL)
			pen_wire_write_null(buf, field);
		else if (strcmp(texts[i], "~") == 0)
			pen_wire_write_unchanged(buf, field);
		else if (strcmp(texts[i], "-") == 0)
			continue;
		else if (i == 0 || i == 3)
			pen_wire_write_int(buf, field, atoi(texts[i]));
		else
			pen_wire_write_string(buf, field, texts[i], strlen(texts[i]));
	}
	made.data = buf->data;
	made.len = buf->len;
	return made;
}

/* The row as "name=value …". */
static inline const char *
shown(const penstock_row *r)
{
	static char text[500];

	text[0] = '\0';
	if (r->relation == NULL)
		return "none";
	for (int i = 0; i < r->relation->column_count; i++)
	{
		pen_value value;
		penstock_status status = pen_row_value(r, i, &value);
		size_t at = strlen(text);

		if (status == PENSTOCK_NOT_FOUND)
			continue;
		assert_true(status >= 0);
		snprintf(text + at, sizeof(text) - at, "%s%s=", at > 0 ? " " : "",
				 r->relation->columns[i].name);
		at = strlen(text);
		if (status == PENSTOCK_NULL)
			snprintf(text + at, sizeof(text) - at, "NULL");
		else if (status == PENSTOCK_UNCHANGED)
			snprintf(text + at, sizeof(text) - at, "~");
		else if (value.kind == PEN_VALUE_INT)
			snprintf(text + at, sizeof(text) - at, "%lld", (long long) value.integer);
		else
			snprintf(text + at, sizeof(text) - at, "%.*s", (int) value.len, value.data);
	}
	return text;
}

static inline const penstock_event *
map(fixture *f, const penstock_event *event)
{
	const penstock_event *mapped = (const penstock_event *) f;
	pen_error error;

	if (pen_mapper_map(f->mapper, event, &mapped, &error) < 0)
		fail_msg("%s", error.text);
	return mapped;
}

static inline penstock_event
insert(fixture *f, const char *id, const char *name, const char *note, const char *age)
{
	return (penstock_event){.kind = PENSTOCK_INSERT,
							.transaction = &f->transaction,
							.sequence = 7,
							.relation = f->relation,
							.new_row = row(f, f->relation, PEN_TUPLE_NEW, id, name, note, age)};
}

static inline penstock_event
delete_by(fixture *f, pen_tuple_field field, const char *id, const char *name, const char *note,
		  const char *age)
{
	return (penstock_event){.kind = PENSTOCK_DELETE,
							.transaction = &f->transaction,
							.relation = f->relation,
							.old_row = row(f, f->relation, field, id, name, note, age)};
}

static inline penstock_event
update(fixture *f, penstock_row old_row, penstock_row new_row)
{
	return (penstock_event){.kind = PENSTOCK_UPDATE,
							.transaction = &f->transaction,
							.sequence = 9,
							.relation = f->relation,
							.old_row = old_row,
							.new_row = new_row};
}

#define NEW(...) row(f, f->relation, PEN_TUPLE_NEW, __VA_ARGS__)
#define KEY(id)  row(f, f->relation, PEN_TUPLE_KEY, id, "-", "-", "-")
#define OLD(...) row(f, f->relation, PEN_TUPLE_OLD, __VA_ARGS__)
#define NO_ROW   ((penstock_row){0})

/* The event is refused with a text that holds part. */
static inline void
refused(fixture *f, const penstock_event *event, penstock_status status, const char *part)
{
	const penstock_event *mapped;
	pen_error error;

	pen_error_clear(&error);
	if (pen_mapper_map(f->mapper, event, &mapped, &error) != status ||
		strstr(error.text, part) == NULL)
		fail_msg("%d: %s", error.status, error.text);
}

#endif
