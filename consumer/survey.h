/* survey.h -- what the destinations are doing, looked at once a step, and what follows from it:
 * who is fed, from where, and what is held for those that are away. Private to the top level. */
#ifndef PEN_SURVEY_H
#define PEN_SURVEY_H

#include "follower.h"

typedef struct pen_survey
{
	size_t streaming; /* fed and well */
	size_t spooling;  /* away, or far behind: fed on disk */
	size_t stopped;
	bool wants_stream; /* one can take part once the stream begins anew */
	bool loading;      /* one that loads everything does not take part now */
	bool settled;      /* all that are fed have everything durably */
	bool waits;        /* one is down */
	pen_error stopped_error;
} pen_survey;

extern void pen_survey_look(penstock *p, pen_survey *found);

/* What a destination has or the disk has for it: where a stream may begin for it. 0: anywhere. */
extern uint64_t pen_survey_resume_lsn(penstock *p, size_t destination);

/* Before a stream begins: what is on disk and of no use to its destination is dropped. */
extern void pen_survey_check_spools(penstock *p);
/* It begins at lsn: a spool that ends before that has a gap, and is dropped too. */
extern void pen_survey_check_start(penstock *p, uint64_t lsn);
/* And: is this destination fed by it? */
extern bool pen_survey_is_fed(penstock *p, size_t destination);

#endif
