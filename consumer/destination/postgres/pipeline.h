/* pipeline.h -- statements sent ahead of their answers, bounded in bytes.
 * After the first error everything fails until pen_pipeline_recover, or until the connection is
 * closed: nothing is retried here. One thread. */
#ifndef PEN_PIPELINE_H
#define PEN_PIPELINE_H

#include <libpq-fe.h>

#include "base/error.h"

typedef struct pen_pipeline pen_pipeline;

/* What is expected of one statement's answer. context is borrowed until the answer is there. */
typedef struct pen_expectation
{
	/* Called with each result that is not an error, in the order sent. NULL: nothing to look at. */
	penstock_status (*check)(const struct pen_expectation *expected, const PGresult *result,
							 pen_error *error);
	/* Called to say what failed, on an error: adds context. May be NULL. */
	void (*explain)(const struct pen_expectation *expected, pen_error *error);
	void *context;
	const void *subject;
	uint64_t lsn;
	uint64_t count; /* rows that are expected */
} pen_expectation;

/* Borrows conn, which it puts into pipeline mode. Waiting ends with E_RETRY once *interrupted is
 * set. NULL without memory. */
extern pen_pipeline *pen_pipeline_new(PGconn *conn, size_t bytes_max,
									  const _Atomic bool *interrupted);
extern void pen_pipeline_free(pen_pipeline *pipeline);

/* Have silent called while the server is waited for and says nothing, about once a second. It may
 * use other connections. NULL: no more. */
extern void pen_pipeline_on_silence(pen_pipeline *pipeline, void (*silent)(void *context),
									void *context);

/* Text parameters, or none; one statement. */
extern penstock_status pen_pipeline_send(pen_pipeline *pipeline, const char *sql, int count,
										 const char *const *params, const pen_expectation *expected,
										 pen_error *error);

extern penstock_status pen_pipeline_prepare(pen_pipeline *pipeline, const char *name,
											const char *sql, int count, const Oid *types,
											const pen_expectation *expected, pen_error *error);

/* A prepared statement; values are copied. Waits when more than bytes_max are under way. */
extern penstock_status pen_pipeline_send_prepared(pen_pipeline *pipeline, const char *name,
												  int count, const char *const *values,
												  const int *lengths, const int *formats,
												  const pen_expectation *expected,
												  pen_error *error);

/* The end of a transaction: what was sent before it stands or falls together. */
extern penstock_status pen_pipeline_sync(pen_pipeline *pipeline, pen_error *error);

/* Wait until everything sent has been answered. */
extern penstock_status pen_pipeline_drain(pen_pipeline *pipeline, pen_error *error);

/* Send and wait for this one's answer, and all before it. The result, for PQclear, or NULL. */
extern PGresult *pen_pipeline_query(pen_pipeline *pipeline, const char *sql, int count,
									const char *const *params, pen_error *error);

/*
 * Hand everything that was sent to the server, without waiting for answers: these have an owner, who
 * judges them once it has called pen_pipeline_release. Until then whatever else is sent, or waited
 * for, is refused (E_BUG), so that nothing can depend on them before.
 */
extern penstock_status pen_pipeline_hold(pen_pipeline *pipeline, pen_error *error);
extern void pen_pipeline_release(pen_pipeline *pipeline);

/*
 * After an error of the server, in a transaction: what was sent behind it has no effect, its
 * answers are taken, and statements can be sent again (the first must roll back). E_RETRY where
 * the connection is gone.
 */
extern penstock_status pen_pipeline_recover(pen_pipeline *pipeline, pen_error *error);

/*
 * COPY … FROM STDIN, for which everything sent is first waited for. Data is sent at once; the
 * answer to the end, checked as expected says, is waited for.
 */
extern penstock_status pen_pipeline_copy_begin(pen_pipeline *pipeline, const char *sql,
											   const pen_expectation *expected, pen_error *error);
extern penstock_status pen_pipeline_copy_data(pen_pipeline *pipeline, const void *data, size_t size,
											  pen_error *error);
extern penstock_status pen_pipeline_copy_end(pen_pipeline *pipeline,
											 const pen_expectation *expected, pen_error *error);

#endif
