/* pipe.h -- one COPY from the source into several destinations, bytes as they come. */
#ifndef PEN_PIPE_H
#define PEN_PIPE_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "base/error.h"

/* Where the rows go: a connection in a transaction. */
typedef struct pen_pipe_end
{
	PGconn *conn;
	const char *sql; /* COPY … FROM STDIN */
	pen_error error; /* why it failed; its connection is then of no further use */
	bool failed;
	bool unsent; /* libpq holds bytes that the socket did not take */
} pen_pipe_end;

typedef struct pen_pipe
{
	PGconn *source;
	const char *sql; /* COPY … TO STDOUT */
	pen_pipe_end *ends;
	size_t end_count;
	const atomic_bool *interrupted;
	/* Called for every so many bytes. */
	void (*passed)(void *context, uint64_t rows, uint64_t bytes);
	void *context;
	uint64_t rows; /* as the source counted them */
} pen_pipe;

/*
 * Copy. The slowest end sets the pace. A failure of an end ends only that one; the source goes on
 * to the end for the others. Negative: the source failed or an interrupt came, and no end has
 * finished its COPY; the connections are then of no further use. On success every end that has not
 * failed has taken pipe->rows rows, in its transaction, which is still open. PENSTOCK_AGAIN: all
 * have failed, and the source's connection is in the middle of its COPY.
 */
extern penstock_status pen_pipe_run(pen_pipe *pipe, pen_error *error);

#endif
