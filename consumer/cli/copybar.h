/* copybar.h -- what is shown of a copy that runs. */
#ifndef PEN_CLI_COPYBAR_H
#define PEN_CLI_COPYBAR_H

#include <stdint.h>
#include <stdio.h>

#include "copy/copy.h"

/* All zero but for the first two. */
typedef struct pen_copybar
{
	FILE *out;
	bool live; /* lines are rewritten in place */
	int lines; /* of ours, above the cursor */
	int64_t told_ms;
	bool *told; /* tables whose end was told */
	size_t told_count;
} pen_copybar;

/* A pen_copy_options.tick, with a pen_copybar as context. progress NULL: nothing runs. */
extern void pen_copybar_show(void *bar, const pen_copy_progress *progress);
extern void pen_copybar_reset(pen_copybar *bar);

#endif
