/* schema.c -- the tables that a stream has described.
 * What a Relation says is checked before it is believed: names, encodings, and memory. */
#include "decode/schema.h"

#include <stdlib.h>
#include <string.h>

#include "decode/decode.h"
#include "event/relation.h"
#include "penstock.pb-c.h"
#include "print.h"
#include "types.h"

void
pen_schema_reset(pen_schema *schema)
{
	for (size_t i = 0; i < schema->size; i++)
		pen_relation_unref(schema->entries[i].relation);
	free(schema->entries);
	*schema = (pen_schema){0};
}

static bool
is_utf8(const char *text)
{
	return pen_utf8_valid((const uint8_t *) text, strlen(text));
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Two columns of one name would make two members of one JSON object. */
static penstock_status
check_unique(const penstock_relation *draft, pen_error *error)
{
	size_t count = (size_t) draft->column_count;
	const char **names = malloc((count + 1) * sizeof(*names));
	penstock_status status = PENSTOCK_OK;

	if (names == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the columns of a table");
	for (size_t i = 0; i < count; i++)
		names[i] = draft->columns[i].name;
	qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 1; i < count && status >= 0; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			status = pen_error_set(error, PENSTOCK_E_DATA, "table %s.%s has two columns named %s",
								   draft->schema, draft->name, names[i]);
	free(names);
	return status;
}

static penstock_status
draft_column(const Penstock__V1__Column *message, penstock_column *column, pen_error *error)
{
	if (!is_utf8(message->name) || !is_utf8(message->type_schema) || !is_utf8(message->type_name))
		return pen_error_set(error, PENSTOCK_E_DATA, "a column's name is not valid UTF-8");
	if ((int) message->encoding <= PEN_ENCODING_UNSPECIFIED ||
		(int) message->encoding > PEN_ENCODING_BINARY)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "column %s has encoding %d, which this program does not know",
							 message->name, message->encoding);
	if (message->attnum > INT16_MAX || message->primary_key > PEN_RELATION_COLUMNS_MAX ||
		message->identity > PEN_RELATION_COLUMNS_MAX)
		return pen_error_set(error, PENSTOCK_E_DATA, "column %s has a position out of range",
							 message->name);
	*column = (penstock_column){.name = message->name,
								.type_schema = message->type_schema,
								.type_name = message->type_name,
								.type_oid = message->type_oid,
								.base_type_oid = message->base_type_oid,
								.typmod = message->typmod,
								.attnum = (int) message->attnum,
								.primary_key = (int) message->primary_key,
								.identity = (int) message->identity,
								.encoding = (int) message->encoding,
								.not_null = message->not_null,
								.generated = message->generated != 0};
	return PENSTOCK_OK;
}

/* The relation that a message describes, or NULL and error. */
static const penstock_relation *
relation_of(const Penstock__V1__Relation *message, pen_error *error)
{
	static const char identities[] = {'d', 'd', 'n', 'f', 'i'};
	const penstock_relation *relation = NULL;
	penstock_column *columns;
	penstock_relation draft = {.number = message->number,
							   .oid = message->oid,
							   .schema = message->schema,
							   .name = message->name,
							   .column_count = (int) message->n_columns};

	if (!is_utf8(message->schema) || !is_utf8(message->name) || message->replica_identity < 1 ||
		(size_t) message->replica_identity >= sizeof(identities) ||
		message->n_columns > PEN_RELATION_COLUMNS_MAX)
	{
		pen_error_set(error, PENSTOCK_E_DATA,
					  "relation number %u has a name that is not UTF-8, an unknown replica "
					  "identity (%d) or too many columns (%zu)",
					  message->number, message->replica_identity, message->n_columns);
		return NULL;
	}
	draft.replica_identity = identities[message->replica_identity];
	columns = calloc(message->n_columns + 1, sizeof(*columns));
	if (columns == NULL)
	{
		pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for the columns of a table");
		return NULL;
	}
	draft.columns = columns;
	for (size_t i = 0; i < message->n_columns; i++)
		if (draft_column(message->columns[i], &columns[i], error) < 0)
		{
			pen_error_context(error, "table %s.%s", draft.schema, draft.name);
			goto done;
		}
	if (check_unique(&draft, error) >= 0)
		relation = pen_relation_new(&draft, error);
done:
	free(columns);
	return relation;
}

/* Room for an entry of this number. */
static penstock_status
reserve(pen_schema *schema, uint32_t number, pen_error *error)
{
	size_t size = schema->size < 64 ? 64 : schema->size;
	pen_schema_entry *entries;

	if (number == 0 || number > PEN_DECODER_NUMBER_MAX)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "a relation has number %u, possible are 1 to %u", number,
							 PEN_DECODER_NUMBER_MAX);
	if (pen_schema_find(schema, number) != NULL)
		return pen_error_set(error, PENSTOCK_E_DATA,
							 "relation number %u is used a second time in one session", number);
	while (size <= number)
		size *= 2;
	if (size == schema->size)
		return PENSTOCK_OK;
	entries = realloc(schema->entries, size * sizeof(*entries));
	if (entries == NULL)
		return pen_error_set(error, PENSTOCK_E_RETRY, "out of memory for %zu tables", size);
	memset(entries + schema->size, 0, (size - schema->size) * sizeof(*entries));
	schema->entries = entries;
	schema->size = size;
	return PENSTOCK_OK;
}

penstock_status
pen_schema_add(pen_schema *schema, const uint8_t *body, size_t len,
			   const penstock_relation **relation, pen_error *error)
{
	Penstock__V1__Relation *message;
	penstock_status status;

	if (len > PEN_DECODER_DESCRIPTION_LEN_MAX)
		return pen_error_set(error, PENSTOCK_E_DATA, "a relation event is %zu bytes long", len);
	message = penstock__v1__relation__unpack(NULL, len, body);
	if (message == NULL)
		return pen_error_set(error, PENSTOCK_E_DATA, "a relation event is damaged");
	status = reserve(schema, message->number, error);
	if (status >= 0)
	{
		*relation = relation_of(message, error);
		status = *relation != NULL ? PENSTOCK_OK : error != NULL ? error->status : PENSTOCK_E_DATA;
	}
	if (status >= 0)
	{
		schema->entries[message->number] =
			(pen_schema_entry){*relation, (uint32_t) pen_relation_identity_count(*relation)};
		schema->relation_bytes += pen_relation_size(*relation);
		if (schema->relation_bytes > PEN_DECODER_RELATION_BYTES_MAX)
			status = pen_error_set(error, PENSTOCK_E_RETRY,
								   "the session has described more than %zu MB of tables; a new "
								   "one begins afresh",
								   PEN_DECODER_RELATION_BYTES_MAX >> 20);
	}
	penstock__v1__relation__free_unpacked(message, NULL);
	return status;
}
