/* values.h -- what stands in an option's value, by its type. */
#ifndef PEN_VALUES_H
#define PEN_VALUES_H

#include "config/settings.h"

/*
 * Read value into *into, an int64_t, or for texts a char * that is replaced. E_CONFIG, with what is
 * allowed, and *into as it was; the value is repeated in the error only if may_show.
 */
extern penstock_status pen_setting_parse(const pen_setting *setting, const char *value,
										 bool may_show, void *into, pen_error *error);

/* A copy of what into holds; *into must be zero. */
extern penstock_status pen_setting_copy(const pen_setting *setting, const void *from, void *into,
										pen_error *error);

/* Free a text; numbers need nothing. */
extern void pen_setting_free(const pen_setting *setting, void *value);

/* What may be repeated in an error: not a connection string, which may hold a password. */
extern const char *pen_setting_shown(const char *value);

/* A destination's name: [a-z0-9_]+, at most 63 of them. */
extern bool pen_setting_is_name(const char *text, size_t length);

#endif
