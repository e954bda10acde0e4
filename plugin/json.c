/* json.c -- the format json: the native events as lines of proto/FORMAT.md.
 * What writes them is shared with the consumer (proto/narrate.c, proto/json.c). */
#include "postgres.h"

#include "format.h"

const Format format_json = {
	.name = "json",
	.native = true,
	.narrate = pen_narrate_json,
	.begin = native_begin,
	.commit = native_commit,
	.change = native_change,
};
