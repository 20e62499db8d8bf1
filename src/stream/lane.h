/* SPDX-License-Identifier: MIT */
/*
 * lane - one direction of a session: bytes in, the same bytes out, in order.
 *
 * What inset answers itself (a stray <compress/>, compress.h) leaves between two units of the
 * other lane.
 *
 * Frames what it is fed, keeps back unfinished tags and the units that the filters (or the
 * session itself) want whole, and queues everything behind a unit that waits for its job.
 * Knows no sockets: output leaves through lane_ops. Both lanes of a session live in one
 * struct lanes, because each learns from the other (SASL, identity, opaque streams).
 *
 * Invariants
 *   - bytes leave in the order in which they came, each once, unchanged but for edits
 *   - pending[0] is the < of a tag or unit whose bytes have not left
 *   - while the FIFO has an entry, nothing passes it
 *   - nothing is put out by a lane behind a violation
 */
#pragma once

#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/list.h"
#include "filter/chain.h"
#include "stream/fifo.h"
#include "xmpp/framer.h"

struct lanes;
struct record_session;
struct track;

struct lane_ops {
	/* These bytes leave now. False: send no more from the FIFO until lane_resume(). */
	bool (*emit)(void *ctx, enum lane_dir dir, const struct iovec *v, int n);
	/* This unit waits no more (its job may be forgotten). Called once for each that waited. */
	void (*unhold)(void *ctx, struct fifo_entry *e);
	/*
	 * The peers have agreed on zlib, and all before has been emitted: from here on both
	 * legs are compressed; these bytes of the server's are the first ones. They are not
	 * fed; what they unpack to is. 0 or ERR_NOMEM.
	 */
	int (*compress)(void *ctx, const uint8_t *rest, size_t len);
	/* The server sends its users to this upload service, a scheme and an authority. May be
	 * NULL. */
	void (*listed)(void *ctx, const char *origin);
};

/* What happens to the bytes of the unit in progress. */
enum lane_mode {
	LANE_BETWEEN, /* no unit in progress */
	LANE_PASS,    /* cut through */
	LANE_CHILD,   /* iq: kept until its first child tells */
	LANE_KEEP     /* kept until its end */
};

struct lane {
	struct lanes *both;  /* borrowed: what it is part of */
	struct fifo *fifo;   /* owned; NULL until something was held */
	struct nsctx *ctx;   /* one reference; NULL before the header */
	struct buf pending;  /* kept back from earlier chunks */
	struct list keeping; /* in lanes.keepers while pending holds something */
	int64_t kept_at;     /* since when, ms */
	struct framer framer;
	uint64_t bytes;  /* fed so far */
	uint64_t since;  /* bytes since the last unit ended */
	uint64_t units;  /* framed so far */
	uint32_t heads;  /* stream headers so far */
	uint8_t dir;     /* enum lane_dir */
	uint8_t mode;    /* enum lane_mode */
	uint8_t kind;    /* enum unit_kind of the unit in progress */
	uint8_t iq_type; /* enum iq_type of it */
	bool wanted;     /* ... which the filters want */
	bool awaited;    /* ... for which one of them waits */
	bool valid;      /* ... which is a dialback result type='valid', or a stanza but no error */
	bool torn;       /* part of an unfinished tag has left */
	bool blocked;    /* emit() said so */
	bool headed;     /* a stream header has passed */
	bool closed;     /* the stream's end has passed */
	bool eof;        /* nothing more will be fed */
	bool awaits;     /* s2c: what would leave now waits for the features (lanes.prelude) */
};

/*
 * A stream header that waits for its features for a moment, so that both leave in one write:
 * there are clients and load tools that take them for one answer (testbed.md 1.5).
 */
struct prelude {
	int64_t until; /* when it leaves alone, ms */
	size_t len;
	uint8_t bytes[];
};

/* Both lanes of a session and what they have learned. */
struct lanes {
	struct lane lane[2]; /* by enum lane_dir */
	const struct lane_ops *ops;
	void *ctx;               /* for ops; borrowed */
	const struct conf *conf; /* borrowed from the session, as are listen and chain */
	const struct conf_listen *listen;
	struct chain *chain;
	struct list
		*keepers; /* of lanes that keep something back, longest first; NULL: not listed */
	char *jid;        /* owned; who the client is, by the server's word; NULL: unknown */
	struct track *slots; /* owned; slots.h; NULL: nothing was asked for */
	char *to; /* owned; raw `to` of the client's header until the server's header came */
	struct prelude *prelude;       /* owned; of the lane s2c; NULL: nothing waits */
	struct record_session *record; /* owned by the session; NULL: not recorded */
	uint64_t connection;           /* a hash, for rates of who is not known */
	uint32_t max_bytes;            /* XEP-0478 limit of the server; 0: none seen */
	bool authenticated;
	bool resumed; /* XEP-0198, XEP-0078: the next `to` with a resource tells who it is */
	bool opaque;  /* relayed blind from here */

	/* compress.h */
	uint32_t answers_from; /* answers stand behind so many headers of the server */
	uint8_t answers;       /* of ours that wait for a place between units of s2c */
	uint8_t refusals;      /* <compress/> that we answered, or are to answer */
	bool asked;            /* for zlib: the client waits for the server's word */
	bool compressed;
};

/* ops, conf, listen and chain are the caller's; chain may be replaced while nothing is held. */
void lanes_init(struct lanes *b, const struct lane_ops *ops, void *ctx);
void lanes_fini(struct lanes *b);

/*
 * The next bytes. 0, or a violation (a code with a stream error condition), ERR_NOMEM, or
 * ERR_UNSUPPORTED for an opaque stream that the listener does not relay: then everything
 * complete before it has left (out of memory: perhaps less), held units as they came, and the
 * lane must not be fed again.
 */
int lane_feed(struct lane *l, const uint8_t *p, size_t len) MUSTCHECK;

/* The peer has ended its direction: what was kept back leaves. 0 or ERR_NOMEM. */
int lane_end(struct lane *l) MUSTCHECK;

/* The job of a waiting unit has ended. */
void lane_result(struct fifo_entry *e, const struct job_result *r);
/* No answer will come for this unit: it leaves as it came. */
void lane_give_up(struct fifo_entry *e);
/* Gives up everything, whatever emit() says. */
void lane_release(struct lane *l);
/* The unit or tag that is kept back leaves unread, complete or not. 0, ERR_NOMEM, or ERR_POLICY for
 * what must not leave unread (then as with lane_feed()). */
int lane_let_go(struct lane *l) MUSTCHECK;
/* Gives up what is due now. */
void lane_expire(struct lane *l);
/* There is room again. */
void lane_resume(struct lane *l);

/* When lane_expire() is due; 0: nothing waits at the head. */
int64_t lane_deadline(const struct lane *l);
/* Nothing is held or queued. */
bool lane_is_drained(const struct lane *l);
/* No more should be read for now. */
bool lane_is_full(const struct lane *l);
/* What has left ends between units of an open, readable stream: a stream error of ours could
 * follow. */
bool lane_is_quiet(const struct lane *l);

static inline const struct conf_limits *lane_limits(const struct lane *l)
{
	return &l->both->conf->limits;
}

/* Length of the start tag that these bytes begin with; quoted values may hold a '>'. */
size_t lane_tag_len(const uint8_t *p, size_t len);
