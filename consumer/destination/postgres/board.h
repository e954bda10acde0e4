/* board.h -- how the tables of one destination are that are, or were, copied beside the stream. Who
 * wants a copy writes it here, and whoever asks is told. Every function is for any thread. */
#ifndef PEN_BOARD_H
#define PEN_BOARD_H

#include "copy/copy.h"

typedef enum pen_board_state
{
	PEN_BOARD_PLANNED, /* to be ASKED for at the next pen_board_amend */
	PEN_BOARD_LEAVING, /* to be REMOVED then; nothing else changes that */
	PEN_BOARD_ASKED,   /* nothing is recorded of it */
	PEN_BOARD_WAITING, /* recorded; for its copy to begin */
	PEN_BOARD_COPYING,
	PEN_BOARD_CATCHING_UP, /* its rows are there; what was changed meanwhile is not */
	PEN_BOARD_DONE,        /* all is sent, and not known to be committed */
	PEN_BOARD_READY,
	PEN_BOARD_REMOVED /* it is not followed any more */
} pen_board_state;

typedef struct pen_board_entry
{
	char *schema;
	char *table;
	pen_board_state state;
	uint64_t lsn; /* what was committed before it is in the rows; 0: not known */
	uint64_t rows;
	uint64_t rows_expected;
	uint64_t bytes;
	uint64_t bytes_expected;
	char reason[160]; /* why it waits; "": for its turn */
} pen_board_entry;

typedef struct pen_board pen_board;

/* NULL without memory. */
extern pen_board *pen_board_new(void);
extern void pen_board_free(pen_board *board);

/* A copy of the table is wanted. Nothing happens where it has not begun, or is being made. E_RETRY
 * without memory. */
extern penstock_status pen_board_ask(pen_board *board, const char *schema, const char *table,
									 pen_error *error);

/* Its rows are being copied, or caught up with. */
extern bool pen_board_is_copied(pen_board *board, const char *schema, const char *table);

extern bool pen_board_has_asked(pen_board *board);
/* A table that is ASKED: its names, for free(). False: there is none, or no memory. */
extern bool pen_board_next_asked(pen_board *board, char **schema, char **table);

/* lsn 0 and reason NULL leave what was said before. What has no memory is not shown. */
extern void pen_board_set(pen_board *board, const char *schema, const char *table,
						  pen_board_state state, uint64_t lsn, const char *reason);
extern void pen_board_progress(pen_board *board, const pen_copy_progress *progress);

/* What is DONE was committed. */
extern void pen_board_settle(pen_board *board);

/* The destination is opened: what was neither recorded nor finished is asked for again. What is
 * recorded is to be set afterwards. */
extern void pen_board_reopen(pen_board *board);

/* The destination is closed, and will be opened with the new list of tables. */
extern void pen_board_amend(pen_board *board);

extern void pen_board_each(pen_board *board,
						   void (*tell)(void *context, const pen_board_entry *entry),
						   void *context);

#endif
