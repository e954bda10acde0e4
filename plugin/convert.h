/* convert.h -- texts of the database as UTF-8, whatever its encoding. */
#ifndef PENSTOCK_CONVERT_H
#define PENSTOCK_CONVERT_H

#include "postgres.h"

/*
 * *len bytes of text in the database's encoding as UTF-8: *converted points to them or to a
 * palloc'd conversion, and *len is its length. False: it cannot be converted (SQL_ASCII, which
 * may hold anything); nothing is raised.
 */
extern bool convert_to_utf8(const char *text, size_t *len, const char **converted);

#endif
