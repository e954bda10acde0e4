/* ini.h -- the text of an INI file to sections, keys and values with their lines.
 * What they mean is file.c's business. */
#ifndef PEN_INI_H
#define PEN_INI_H

#include "base/error.h"

typedef struct pen_ini_entry
{
	int line;
	char *key;   /* any bytes but =, without white space around */
	char *value; /* the same with any bytes; "" if empty */
} pen_ini_entry;

typedef struct pen_ini_section
{
	int line;
	char *name; /* NULL: malformed, and told; what follows it is to be passed over */
	pen_ini_entry *entries;
	size_t count;
} pen_ini_section;

/* Strings are owned. */
typedef struct pen_ini
{
	pen_ini_section *sections;
	size_t count;
} pen_ini;

/* A problem of a line, from 1. */
typedef void (*pen_ini_report)(void *context, int line, const char *problem);

/*
 * Lines: [section], key = value, and comments, which begin with ; or #; a value is the rest of its
 * line. Sections come in the file's order, of the same name too. Every malformed line is reported,
 * and the others are there all the same. E_CONFIG: some were; E_RETRY: no memory.
 * pen_ini_reset frees *ini in any case.
 */
extern penstock_status pen_ini_parse(const char *text, size_t length, pen_ini *ini,
									 pen_ini_report report, void *context, pen_error *error);
extern void pen_ini_reset(pen_ini *ini);

#endif
