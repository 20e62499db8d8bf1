/* SPDX-License-Identifier: MIT */
/*
 * filter - the interface between inset and its filters.
 *
 * A filter sees whole units of the kinds that it declares, with their outline, and
 * answers with a verdict: pass, edit (edits were queued) or wait (a job was started). It
 * cannot drop, answer or reorder: a unit that goes wrong anywhere leaves as it came.
 *
 * A filter is a folder below filters/ with one `const struct filter_ops filter_<name>`, a
 * line INSET_FILTER([name],[yes]) in configure.ac and an include in filters/Makefile.inc.
 * Filters touch no socket, clock or file; what they need comes through struct filter_host.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/counters.h"
#include "base/job.h"
#include "conf/conf.h"
#include "rule/rule.h"
#include "xmpp/edit.h"
#include "xmpp/outline.h"
#include "xmpp/unit.h"

#define FILTER_ABI 1

enum filter_verdict {
	FILTER_PASS, /* nothing to do, or nothing more */
	FILTER_EDIT, /* edits were queued on unit->edits */
	FILTER_WAIT  /* a job was started; on_result() will be called, or the deadline passes */
};

/* One unit as filters see it. Borrowed for the time of a callback unless said otherwise. */
struct filter_unit {
	enum unit_kind kind;
	enum lane_dir dir;
	const struct outline *outline; /* valid until the unit has left */
	struct arena *arena; /* the unit's; all that a filter makes for it comes from here */
	struct edits *edits; /* add here, then return FILTER_EDIT */
	size_t max_final;    /* bytes that the edited unit may have */
	bool cached_only;    /* hold budget used up: only jobs with cached_only */
	const char *from; /* the sender's JID as learned from the server, or the stanza's own where
			     that counts; NULL: unknown */
	uint64_t connection;    /* a hash: stands for from where it is unknown */
	const struct nsctx *ns; /* what the stream's header declares */
	void *state;            /* this filter's, for this unit; NULL at first, from the arena */
	void *host_unit;        /* the host's own */
};

/*
 * What a filter needs from outside. Filled in by stream; tests fake it.
 */
struct filter_host {
	void *ctx;
	/*
	 * Starts a job for this unit. id, sender, deadline, cached_only and rates are filled in
	 * here; the rest is the filter's. True: return FILTER_WAIT now. False: media is away or
	 * busy, so return FILTER_PASS. At most one job per unit at a time.
	 */
	bool (*start_job)(void *ctx, struct filter_unit *u, const struct job *job);
	/* Has the media process keep this data, copied here. Nothing is told if it cannot. */
	void (*keep)(void *ctx, const struct job_keep *k);
	/* Seconds since 1970. */
	int64_t (*wall_clock)(void *ctx);
	/* Clocks and rates for the rules; NULL: none. */
	const struct rule_env *rules;
};

/* One instance per session and filter; its configuration is the generation's. */
struct filter_instance {
	const struct filter_ops *ops;
	const struct filter_host *host;   /* borrowed: lives as long as the session */
	const struct conf_listen *listen; /* borrowed: the session holds its generation */
	const struct conf *conf;
	/*
	 * The filter's own; made by ops->open, freed by ops->close. It outlives a reload with the
	 * session, so nothing in it may point into the configuration.
	 */
	void *state;
};

/* Units that a filter wants whole. */
struct filter_want {
	enum unit_kind kind;
	unsigned dirs;        /* 1 << LANE_x */
	unsigned iq_types;    /* iq only: 1 << IQ_x; 0 for other kinds */
	const char *child_ns; /* iq only: namespace of the first child; NULL: any */
	/*
	 * A byte string without which the filter cannot apply; NULL: none. A unit without any
	 * wanting filter's needle goes on at its end tag, unparsed.
	 */
	const char *needle;
};

struct filter_ops {
	unsigned abi; /* FILTER_ABI */
	const char *name;
	const char *help;
	const struct filter_want *wants; /* ends with kind UNIT_KIND_COUNT */

	/* --- configuration: in the master, and for -t. NULL: nothing to check. -----------------
	 */
	int (*check)(const struct conf *conf, const struct conf_listen *listen,
		     struct err_msg *msg);

	/* --- session: may be NULL. open fails only for want of memory. -------------------------
	 */
	int (*open)(struct filter_instance *f);
	void (*close)(struct filter_instance *f);

	/* --- unit ----------------------------------------------------------------------------- */
	/* Does this configuration want that row now? NULL: yes, always. Called when a generation
	 * starts. */
	bool (*wants_row)(const struct conf_listen *listen, const struct filter_want *want);
	/*
	 * Is this iq, a result or an error, a reply that the filter waits for? Such a one is wanted
	 * without a row and without a needle. Asked with the start tag of every reply, so it must
	 * be cheap when nothing is waited for; asked again before on_unit(). NULL: none.
	 */
	bool (*awaits)(struct filter_instance *f, enum lane_dir dir, enum iq_type type,
		       const struct tag *iq);
	/* A wanted unit with its needle, complete and parsed. Must not block; bounded work. */
	enum filter_verdict (*on_unit)(struct filter_instance *f, struct filter_unit *u);
	/* The job has ended; r is valid for the call. FILTER_WAIT again after another start_job. */
	enum filter_verdict (*on_result)(struct filter_instance *f, struct filter_unit *u,
					 const struct job_result *r);
};

/* All built-in filters, NULL at the end; and one by name, or NULL. */
extern const struct filter_ops *const filter_registry[];
const struct filter_ops *filter_find(const char *name);
