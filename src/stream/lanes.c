/* SPDX-License-Identifier: MIT */
/*
 * lanes - both lanes of a session: what the one tells the other. See lane.h.
 *
 * Stream headers, and units that change the stream: SASL and what follows it, resumption, TLS and
 * compression that inset takes no part in. Who the client is learn.c finds out; the switch to zlib
 * is lane.c's and compress.c's.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/err.h"
#include "stream/lane-inside.h"
#include "stream/slots.h"
#include "xmpp/ns.h"

void lanes_init(struct lanes *b, const struct lane_ops *ops, void *ctx)
{
	int dir;

	*b = (struct lanes){ .ops = ops, .ctx = ctx };
	for (dir = LANE_C2S; dir <= LANE_S2C; dir++) {
		struct lane *l = &b->lane[dir];

		l->both = b;
		l->dir = (uint8_t)dir;
		framer_init(&l->framer);
		list_init(&l->keeping);
		buf_init(&l->pending, SIZE_MAX / 2); /* lane_tail() caps it */
	}
}

void lanes_fini(struct lanes *b)
{
	int dir;

	for (dir = LANE_C2S; dir <= LANE_S2C; dir++) {
		struct lane *l = &b->lane[dir];

		lane_release(l);
		fifo_free(&l->fifo);
		list_remove(&l->keeping);
		nsctx_unref(&l->ctx);
		buf_fini(&l->pending);
		framer_fini(&l->framer);
	}
	slots_free(b);
	free(b->prelude);
	free(b->jid);
	free(b->to);
	b->prelude = NULL;
	b->jid = NULL;
	b->to = NULL;
}

int lanes_on_header(struct lane *l, const uint8_t *p, size_t len)
{
	struct lanes *b = l->both;
	bool readable;
	struct tag_span to;
	struct tag t;

	nsctx_unref(&l->ctx);
	l->torn = false;
	l->awaits = false;
	readable = p && tag_read(&t, p, len) == 0;
	if (readable) {
		if (!tag_span_is(tag_ns(&t, NULL), NS_STREAM) || !tag_span_is(t.local, "stream"))
			return ERR_NAMESPACE;
		l->ctx = nsctx_of_header(&t);
		if (!l->ctx)
			return ERR_NOMEM;
		to = tag_attr(&t, "to");
		if (l->dir == LANE_C2S && !b->to && !b->lane[LANE_S2C].headed && to.p)
			b->to = strndup(to.p, to.len);
	}
	l->headed = true;
	l->heads++;
	if (l->dir == LANE_S2C) {
		/* RFC 6120 4.3.2: features follow. A component's stream has neither (XEP-0114). */
		l->awaits = readable && tag_span_is(tag_attr(&t, "version"), "1.0") &&
			    lane_limits(l)->features_wait > 0;
		free(b->to);
		b->to = NULL;
	}
	return 0;
}

int lanes_go_opaque(struct lanes *b, const struct lane *now)
{
	if (b->listen->opaque == CONF_CLOSE)
		return ERR_UNSUPPORTED;
	b->opaque = true;
	counter_inc(METRIC_SESSIONS_OPAQUE);
	lane_await_end(&b->lane[LANE_S2C]);
	return lane_let_out(&b->lane[!now->dir]);
}

int lanes_on_end(struct lane *l)
{
	struct lanes *b = l->both;
	bool s2c = l->dir == LANE_S2C;

	switch ((enum unit_kind)l->kind) {
	case UNIT_SASL_AUTH:
	case UNIT_SASL_RESPONSE:
		/* RFC 6120 6.4.6: a client may not wait for <success/> with its new header. */
		if (!s2c)
			framer_allow_restart(&l->framer, true);
		break;
	case UNIT_SASL_SUCCESS:
		if (s2c) {
			b->authenticated = true;
			framer_allow_restart(&l->framer, true);
			framer_allow_restart(&b->lane[LANE_C2S].framer, true);
		}
		break;
	case UNIT_SASL2_SUCCESS:
	case UNIT_HANDSHAKE:
		b->authenticated |= s2c;
		break;
	case UNIT_DIALBACK_RESULT:
		b->authenticated |= s2c && l->valid;
		break;
	case UNIT_RESUMED:
		b->resumed |= s2c;
		break;
	case UNIT_COMPRESSED: /* that is not for us */
		return s2c ? lanes_go_opaque(b, l) : 0;
	case UNIT_COMPRESS_FAILURE:
		b->asked &= !s2c;
		break;
	case UNIT_PROCEED:
		return s2c ? lanes_go_opaque(b, l) : 0;
	case UNIT_MESSAGE:
	case UNIT_PRESENCE:
		/*
		 * To whom the server sends these has logged in, were it by XEP-0078. By an error it
		 * may refuse a stanza that came before the login (Openfire does).
		 */
		if (s2c && l->valid && !b->authenticated)
			b->authenticated = b->resumed = true;
		break;
	case UNIT_IQ:
	case UNIT_FEATURES:
	case UNIT_STREAM_ERROR:
	case UNIT_STARTTLS:
	case UNIT_COMPRESS:
	case UNIT_SASL_FAILURE:
	case UNIT_SASL2_AUTHENTICATE:
	case UNIT_ENABLED:
	case UNIT_HEADER:
	case UNIT_CLOSE:
	case UNIT_OTHER:
	case UNIT_KIND_COUNT:
		break;
	}
	return 0;
}
