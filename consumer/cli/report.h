/* report.h -- what a run tells: a live line, a line of JSON on request, a summary at the end. */
#ifndef PEN_CLI_REPORT_H
#define PEN_CLI_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "penstock/penstock.h"

/* One line on a terminal, rewritten in place. */
extern void pen_cli_report_live(penstock *p, FILE *out, int64_t started_ms);
/* End the live line. */
extern void pen_cli_report_live_end(FILE *out);

/*
 * {"tables":{"public.users":N,…},"transactions":N,"changes":N,"destinations":{"NAME":{"lsn":…,
 * "state":…},…}}, one line: the rows of memory tables, what was received, where everybody is.
 */
extern void pen_cli_report_status(penstock *p, FILE *out);

extern void pen_cli_report_summary(penstock *p, FILE *out, int64_t started_ms);

#endif
