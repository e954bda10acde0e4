/* shrink.c -- without halves, quarters, eighths, and at last single steps. */
#include "shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"

/* history without count steps from `from`. */
static sim_history
without(const sim_history *history, size_t from, size_t count)
{
	sim_history less = {.seed = history->seed};

	for (size_t i = 0; i < history->count; i++)
	{
		if (i < from || i >= from + count)
			sim_history_add(&less, history->steps[i]);
	}
	return less;
}

/* What comes after the step that failed does not matter, unless it failed at the end. */
static void
cut(sim_history *history, const sim_outcome *outcome)
{
	if (outcome->failed_step > 0)
		history->count = (size_t) outcome->failed_step;
}

/* Does it fail, too? Then it takes the place of the history. */
static bool
try_without(sim_history *history, size_t from, size_t count, const char *scratch,
			sim_outcome *outcome)
{
	sim_history less = without(history, from, count);
	sim_outcome other;

	sim_run(&less, scratch, &other);
	if (!other.failure.is)
	{
		sim_history_reset(&less);
		return false;
	}
	*outcome = other;
	cut(&less, outcome);
	sim_history_reset(history);
	*history = less;
	return true;
}

void
sim_shrink(sim_history *history, const char *scratch, long seconds, sim_outcome *outcome)
{
	time_t until = time(NULL) + seconds;
	size_t count;

	cut(history, outcome);
	count = history->count / 2;
	while (count > 0)
	{
		bool any = false;

		/* From the end: what is needed stands mostly before what needs it. */
		for (size_t end = history->count; end > 0 && time(NULL) < until;)
		{
			size_t from = end > count ? end - count : 0;

			any = try_without(history, from, end - from, scratch, outcome) || any;
			end = from < history->count ? from : history->count;
		}
		if (time(NULL) >= until)
			return;
		if (count > 1)
			count /= 2;
		else if (!any)
			return;
	}
}
