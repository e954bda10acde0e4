/* file.h -- penstock.ini: the options of a run, its destinations, and the mapping of tables.
 *
 *   [source]            conninfo, slot, and every other option of `penstock run`
 *   [destination NAME]  to, and what a destination may have for itself
 *   [table PATTERN]     what becomes of these tables: route/rules.h
 *
 * _ and - are the same in keys. ${VAR} in a value is the environment's, $${ a plain ${. */
#ifndef PEN_FILE_H
#define PEN_FILE_H

#include "config/settings.h"

#define PEN_FILE_BYTES_MAX (1024 * 1024)

/* A problem (ERROR) or something to be told (WARNING), with file and line. Values are not in it. */
typedef void (*pen_file_report)(void *context, penstock_log_level level, const char *text);

/*
 * Read the file at path into settings; what the caller has set there stays. Everything that is
 * wrong in it is reported (report may be NULL), and the first of it is the error: E_CONFIG.
 * E_RETRY: no memory.
 */
extern penstock_status pen_file_load(pen_settings *settings, const char *path,
									 pen_file_report report, void *context, pen_error *error);

/* The same for a text, of which path is the name. */
extern penstock_status pen_file_load_text(pen_settings *settings, const char *path,
										  const char *text, size_t length, pen_file_report report,
										  void *context, pen_error *error);

/* Of names, NULL at the end, the one that name was probably meant to be, or NULL. */
extern const char *pen_file_nearest(const char *name, const char *const *names);

#endif
