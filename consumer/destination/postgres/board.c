/* board.c -- a list under one lock, which nobody holds while he waits for anything.
 * A wish stays ASKED until it is recorded at the destination: no failure in between loses it. */
#include "destination/postgres/board.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pen_board
{
	pthread_mutex_t lock;
	pen_board_entry *entries;
	size_t count;
	atomic_size_t asked; /* how many are */
};

pen_board *
pen_board_new(void)
{
	pen_board *board = calloc(1, sizeof(*board));

	if (board != NULL)
		pthread_mutex_init(&board->lock, NULL);
	return board;
}

static void
reset_entry(pen_board_entry *entry)
{
	free(entry->schema);
	free(entry->table);
}

void
pen_board_free(pen_board *board)
{
	if (board == NULL)
		return;
	for (size_t i = 0; i < board->count; i++)
		reset_entry(&board->entries[i]);
	free(board->entries);
	pthread_mutex_destroy(&board->lock);
	free(board);
}

/* ---- under the lock ---- */

static pen_board_entry *
find(const pen_board *board, const char *schema, const char *table)
{
	for (size_t i = 0; i < board->count; i++)
	{
		pen_board_entry *entry = &board->entries[i];

		if (strcmp(entry->table, table) == 0 && strcmp(entry->schema, schema) == 0)
			return entry;
	}
	return NULL;
}

/* NULL without memory. */
static pen_board_entry *
find_or_add(pen_board *board, const char *schema, const char *table)
{
	pen_board_entry *found = find(board, schema, table);
	pen_board_entry added = {.schema = strdup(schema), .table = strdup(table)};

	if (found == NULL && added.schema != NULL && added.table != NULL)
	{
		pen_board_entry *grown =
			realloc(board->entries, (board->count + 1) * sizeof(*board->entries));

		if (grown != NULL)
		{
			added.state = PEN_BOARD_READY;
			board->entries = grown;
			grown[board->count] = added;
			return &grown[board->count++];
		}
	}
	reset_entry(&added);
	return found;
}

static void
set_state(pen_board *board, pen_board_entry *entry, pen_board_state state)
{
	if (state == PEN_BOARD_ASKED && entry->state != PEN_BOARD_ASKED)
		atomic_fetch_add(&board->asked, 1);
	if (state != PEN_BOARD_ASKED && entry->state == PEN_BOARD_ASKED)
		atomic_fetch_sub(&board->asked, 1);
	if (state <= PEN_BOARD_WAITING)
		entry->rows = entry->rows_expected = entry->bytes = entry->bytes_expected = entry->lsn = 0;
	entry->state = state;
	entry->reason[0] = '\0';
}

/* ---- asking ---- */

penstock_status
pen_board_ask(pen_board *board, const char *schema, const char *table, pen_error *error)
{
	pen_board_entry *entry;

	pthread_mutex_lock(&board->lock);
	entry = find_or_add(board, schema, table);
	if (entry != NULL && entry->state >= PEN_BOARD_DONE)
		set_state(board, entry, PEN_BOARD_ASKED);
	pthread_mutex_unlock(&board->lock);
	return entry != NULL ? PENSTOCK_OK : pen_error_set(error, PENSTOCK_E_RETRY, "out of memory");
}

bool
pen_board_is_copied(pen_board *board, const char *schema, const char *table)
{
	const pen_board_entry *entry;
	bool copied;

	pthread_mutex_lock(&board->lock);
	entry = find(board, schema, table);
	copied = entry != NULL && entry->state >= PEN_BOARD_COPYING && entry->state <= PEN_BOARD_DONE;
	pthread_mutex_unlock(&board->lock);
	return copied;
}

bool
pen_board_has_asked(pen_board *board)
{
	return atomic_load_explicit(&board->asked, memory_order_relaxed) > 0;
}

bool
pen_board_next_asked(pen_board *board, char **schema, char **table)
{
	*schema = NULL;
	*table = NULL;
	pthread_mutex_lock(&board->lock);
	for (size_t i = 0; i < board->count; i++)
	{
		if (board->entries[i].state != PEN_BOARD_ASKED)
			continue;
		*schema = strdup(board->entries[i].schema);
		*table = strdup(board->entries[i].table);
		break;
	}
	pthread_mutex_unlock(&board->lock);
	if (*schema != NULL && *table != NULL)
		return true;
	free(*schema);
	free(*table);
	return false;
}

/* ---- telling ---- */

void
pen_board_set(pen_board *board, const char *schema, const char *table, pen_board_state state,
			  uint64_t lsn, const char *reason)
{
	pen_board_entry *entry;

	pthread_mutex_lock(&board->lock);
	entry = find_or_add(board, schema, table);
	if (entry != NULL && entry->state != PEN_BOARD_LEAVING)
	{
		set_state(board, entry, state);
		if (lsn != 0)
			entry->lsn = lsn;
		if (reason != NULL)
			snprintf(entry->reason, sizeof(entry->reason), "%s", reason);
	}
	pthread_mutex_unlock(&board->lock);
}

void
pen_board_progress(pen_board *board, const pen_copy_progress *progress)
{
	pthread_mutex_lock(&board->lock);
	for (size_t i = 0; i < progress->table_count; i++)
	{
		const pen_copy_table_progress *table = &progress->tables[i];
		pen_board_entry *entry = find(board, table->schema, table->name);

		if (entry == NULL)
			continue;
		entry->rows = table->rows;
		entry->rows_expected = table->rows_expected;
		entry->bytes = table->bytes;
		entry->bytes_expected = table->bytes_expected;
	}
	pthread_mutex_unlock(&board->lock);
}

void
pen_board_settle(pen_board *board)
{
	pthread_mutex_lock(&board->lock);
	for (size_t i = 0; i < board->count; i++)
	{
		if (board->entries[i].state == PEN_BOARD_DONE)
			board->entries[i].state = PEN_BOARD_READY;
	}
	pthread_mutex_unlock(&board->lock);
}

/* What was DONE and is not recorded as `resync` any more, was committed. */
void
pen_board_reopen(pen_board *board)
{
	pen_board_settle(board);
	pthread_mutex_lock(&board->lock);
	for (size_t i = 0; i < board->count; i++)
	{
		if (board->entries[i].state > PEN_BOARD_ASKED && board->entries[i].state < PEN_BOARD_DONE)
			set_state(board, &board->entries[i], PEN_BOARD_ASKED);
	}
	pthread_mutex_unlock(&board->lock);
}

void
pen_board_amend(pen_board *board)
{
	pthread_mutex_lock(&board->lock);
	for (size_t i = 0; i < board->count; i++)
	{
		pen_board_entry *entry = &board->entries[i];

		if (entry->state == PEN_BOARD_PLANNED)
			set_state(board, entry, PEN_BOARD_ASKED);
		else if (entry->state == PEN_BOARD_LEAVING)
			set_state(board, entry, PEN_BOARD_REMOVED);
	}
	pthread_mutex_unlock(&board->lock);
}

void
pen_board_each(pen_board *board, void (*tell)(void *context, const pen_board_entry *entry),
			   void *context)
{
	pthread_mutex_lock(&board->lock);
	for (size_t i = 0; i < board->count; i++)
		tell(context, &board->entries[i]);
	pthread_mutex_unlock(&board->lock);
}
