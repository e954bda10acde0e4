/* rowkey.c -- keys and rows as bytes: gather, compare, hash, merge.
 * Rows have been checked when they were decoded; what is damaged all the same ends in false. */
#include "event/rowkey.h"

#include <string.h>
#include <sys/random.h>
#include <pthread.h>
#include <xxhash.h>

/* Is this column in the row at all? */
static bool
travels(const penstock_row *row, int column)
{
	return !row->identity_only || row->relation->columns[column].identity > 0;
}

bool
pen_rowkey_of(const penstock_row *row, pen_wire_buf *scratch, pen_span *key)
{
	const penstock_relation *relation = row->relation;
	const uint8_t *pos = row->data;
	const uint8_t *end = pos + row->len;
	pen_span value;
	int found = 0;

	scratch->len = 0;
	for (int i = 0; found < relation->key_count && i < relation->column_count; i++)
	{
		if (!travels(row, i))
			continue;
		if (!pen_rowkey_next_value(&pos, end, &value))
			return false;
		if (i != relation->key_columns[found])
			continue;
		if (pen_rowkey_is_unchanged(value))
			return false;
		found++;
		if (relation->key_count == 1)
		{
			*key = value;
			return true;
		}
		pen_wire_append(scratch, value.data, value.len);
	}
	*key = (pen_span){scratch->data, scratch->len};
	return found == relation->key_count && !scratch->failed;
}

bool
pen_rowkey_matches(const penstock_relation *relation, const uint8_t *data, size_t len, pen_span key)
{
	const uint8_t *end = data + len;
	pen_span value;
	int found = 0;

	for (int i = 0; found < relation->key_count && i < relation->column_count; i++)
	{
		if (!pen_rowkey_next_value(&data, end, &value))
			return false;
		if (i != relation->key_columns[found])
			continue;
		if (value.len > key.len || memcmp(value.data, key.data, value.len) != 0)
			return false;
		key.data += value.len;
		key.len -= value.len;
		found++;
	}
	return found == relation->key_count && key.len == 0;
}

/* Rows come from anybody who may write to the source: a secret seed keeps chains short. */
static uint64_t hash_seed;

static void
make_hash_seed(void)
{
	if (getrandom(&hash_seed, sizeof(hash_seed), GRND_NONBLOCK) != (ssize_t) sizeof(hash_seed))
		hash_seed = (uintptr_t) &hash_seed;
}

uint32_t
pen_rowkey_hash(pen_span key)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_hash_seed);
	return (uint32_t) XXH3_64bits_withSeed(key.data, key.len, hash_seed);
}

bool
pen_rowkey_retag(const penstock_row *row, pen_wire_buf *scratch, pen_span *out)
{
	const uint8_t *pos = row->data;
	const uint8_t *end = pos + row->len;
	pen_span value;

	*out = (pen_span){row->data, row->len};
	if (row->len == 0 || row->data[0] == PEN_WIRE_NEW_TAG)
		return true;
	scratch->len = 0;
	pen_wire_append(scratch, row->data, row->len);
	if (scratch->failed)
		return false;
	while (pen_rowkey_next_value(&pos, end, &value))
		scratch->data[value.data - 1 - row->data] = PEN_WIRE_NEW_TAG;
	*out = (pen_span){scratch->data, scratch->len};
	return true;
}

bool
pen_rowkey_has_unchanged(const penstock_row *row)
{
	const uint8_t *pos = row->data;
	const uint8_t *end = pos + row->len;
	pen_span value;

	while (pen_rowkey_next_value(&pos, end, &value))
		if (pen_rowkey_is_unchanged(value))
			return true;
	return false;
}

/* A walk over a row's Values in the order of attnum. */
typedef struct walk
{
	const penstock_row *row;
	const uint8_t *pos;
	int column;
} walk;

/* The Value of the column with this attnum, or false. attnums must be asked for in order. */
static bool
walk_to(walk *w, int attnum, pen_span *value)
{
	const penstock_relation *relation = w->row->relation;

	while (w->column < relation->column_count && relation->columns[w->column].attnum <= attnum)
	{
		int column = w->column++;

		if (!travels(w->row, column))
			continue;
		if (!pen_rowkey_next_value(&w->pos, w->row->data + w->row->len, value))
			return false;
		if (relation->columns[column].attnum == attnum)
			return true;
	}
	return false;
}

bool
pen_rowkey_merge(const penstock_relation *relation, const penstock_row *row,
				 const penstock_row *stored, pen_wire_buf *scratch, pen_span *out)
{
	walk new_walk = {row, row->data, 0};
	walk old_walk = {stored, stored != NULL ? stored->data : NULL, 0};
	uint8_t tag = PEN_WIRE_NEW_TAG;
	pen_span value;

	scratch->len = 0;
	for (int i = 0; i < relation->column_count; i++)
	{
		int attnum = relation->columns[i].attnum;
		bool found = walk_to(&new_walk, attnum, &value);

		if (stored != NULL && (!found || pen_rowkey_is_unchanged(value)))
		{
			if (!walk_to(&old_walk, attnum, &value) || pen_rowkey_is_unchanged(value))
				return false;
			found = true;
		}
		if (!found)
		{
			pen_wire_write_null(scratch, PEN_TUPLE_NEW);
			continue;
		}
		pen_wire_append(scratch, &tag, 1);
		pen_wire_append(scratch, value.data, value.len);
	}
	*out = (pen_span){scratch->data, scratch->len};
	return !scratch->failed;
}
