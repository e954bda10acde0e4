/* follower.h -- what a penstock consists of. Private to penstock.c, receiver.c and cli/. */
#ifndef PEN_FOLLOWER_H
#define PEN_FOLLOWER_H

#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "commands.h"
#include "config/settings.h"
#include "copy/copy.h"
#include "decode/decode.h"
#include "destination/kinds.h"
#include "destination/worker.h"
#include "guard.h"
#include "progress/progress.h"
#include "route/mapping.h"
#include "source/control.h"
#include "source/stream.h"
#include "store/statedir.h"
#include "statistics.h"
#include "transaction/transaction.h"

typedef struct subscription
{
	penstock_callback callback;
	void *context;
	pen_route *route; /* whose changes */
	bool bounds;      /* begin and commit instead */
} subscription;

struct penstock
{
	pen_settings settings;
	pen_error error;
	pen_log log;
	subscription *subscriptions;
	size_t subscription_count;
	volatile sig_atomic_t stop_requested;
	_Atomic(pen_worker *) opening; /* what a stop must interrupt, or NULL */
	/* Called now and then while rows are copied; progress is NULL while nothing is. */
	void (*on_copy)(void *context, const pen_copy_progress *progress);
	void *on_copy_context;
	_Atomic int wake_fd;    /* an eventfd: a worker's status has changed, or somebody asks */
	atomic_bool woken;      /* it says so, and that has not been heard yet */
	pen_commands *commands; /* of other threads; NULL: nobody asks */
	pen_status next_status;
	const struct pen_tables_engine *tables_engine; /* tables.h */

	/* From open to close. */
	pen_statedir *state;
	pen_route *route;
	pen_source_identity identity;
	pen_timeline_switch *history;
	int64_t keys[PEN_SETTINGS_DESTINATIONS_MAX]; /* advisory locks of the destinations */
	pen_destination_config configs[PEN_SETTINGS_DESTINATIONS_MAX];
	pen_mapping *mappings[PEN_SETTINGS_DESTINATIONS_MAX];
	pen_source_identity identities[PEN_SETTINGS_DESTINATIONS_MAX]; /* with its own fingerprint */
	pen_amendments amendments; /* as in the file; of each destination, when it was last opened: */
	pen_amendments amended[PEN_SETTINGS_DESTINATIONS_MAX];
	bool
		amending[PEN_SETTINGS_DESTINATIONS_MAX]; /* it is to be closed and brought up to the file */
	bool amend_resume[PEN_SETTINGS_DESTINATIONS_MAX]; /* and then goes on */
	pen_worker *workers[PEN_SETTINGS_DESTINATIONS_MAX];
	bool fed[PEN_SETTINGS_DESTINATIONS_MAX];          /* takes part in the stream that runs */
	bool refused[PEN_SETTINGS_DESTINATIONS_MAX];      /* told to stop: takes part in nothing more */
	bool parked[PEN_SETTINGS_DESTINATIONS_MAX];       /* away, and fed on disk */
	bool detached[PEN_SETTINGS_DESTINATIONS_MAX];     /* its spool was full: needs a new copy */
	bool spool_failed[PEN_SETTINGS_DESTINATIONS_MAX]; /* said so */
	int64_t mend_ms[PEN_SETTINGS_DESTINATIONS_MAX];   /* when to try a disk again that failed */
	int64_t absent_since_ms[PEN_SETTINGS_DESTINATIONS_MAX]; /* 0: it is not */
	unsigned int resumed[PEN_SETTINGS_DESTINATIONS_MAX];    /* the opening that was told to go on */
	/* giving.h; one transaction in progress at a time: */
	bool takes_ahead[PEN_SETTINGS_DESTINATIONS_MAX];
	bool given[PEN_SETTINGS_DESTINATIONS_MAX]; /* has all of it so far, or will get it */
	size_t sated_bytes;                        /* that wait for those who have enough of it */
	int64_t sated_ms;                          /* since when these are as many */
	size_t worker_count;
	pen_control *control;
	pen_stream *stream; /* NULL: not connected */
	char slot[64];
	bool temporary;
	bool source_moved; /* to another timeline: everything must be checked anew */
	pen_decoder *decoder;
	pen_assembler *assembler;
	pen_memory_budget budget;
	pen_progress progress;
	pen_statistics statistics;
	pen_guard guard;

	unsigned int epoch; /* of the stream */
	pen_backoff backoff;
	int64_t retry_ms;       /* when to connect again */
	uint64_t delivered_lsn; /* everything before it has been handed to the workers */
	uint64_t called_lsn;    /* and to the callbacks */
	bool skipping_callbacks;
	uint64_t slot_lsn;      /* what the slot had been confirmed up to when it was last looked at */
	uint64_t confirmed_lsn; /* last told to the source */
	uint64_t advanced_lsn;  /* last pushed as an advance */
	uint64_t target_lsn;    /* of `until`; 0: none */
	int64_t fed_back_ms;
	int64_t advanced_ms;
	bool reply_wanted;
	bool finishing; /* read no further than the next boundary; then drain, confirm and end */
	bool done;
};

#endif
