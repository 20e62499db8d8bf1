/* SPDX-License-Identifier: MIT */
/*
 * player-tls - a client's way to TLS, before it says anything that was captured.
 *
 * Direct: the handshake. STARTTLS (RFC 6120 5): the session's own stream header, <starttls/> when
 * the features offer it, the handshake behind <proceed/>. Nothing of it is in the capture, so the
 * checker does not see it, nor does our server, for whom a fresh stream follows.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "replay/player-inside.h"
#include "xmpp/tag.h"

#define DOMAIN_MAX 1023

/* The domain that the stream header names; "" if none. */
static void name_of(const struct buf *header, char *out, size_t room)
{
	const uint8_t *at = memmem(header->p, header->len, ":stream", 7);
	struct tag_span to;
	struct tag t;

	*out = '\0';
	while (at && at > header->p && *at != '<')
		at--;
	if (!at || tag_read(&t, at, header->len - (size_t)(at - header->p)))
		return;
	to = tag_attr(&t, "to");
	if (!to.p || tag_text(to, out, room))
		*out = '\0';
}

static void tls_begin(struct player_leg *l)
{
	struct player_session *s = l->session;
	const struct player *p = s->player;
	struct buf *header = &s->player->scratch[0];
	char name[DOMAIN_MAX + 1] = "";

	buf_drop(header, header->len);
	if (session_print(s, CLIENT, 0, header) == 0)
		name_of(header, name, sizeof(name));
	buf_clear(&l->hello);
	l->stage = STAGE_HANDSHAKE;
	l->tls = secure_new(p->secure, l->fd, name, p->config->tls == PLAYER_TLS_DIRECT);
	if (!l->tls)
		session_fail(s, p->config->ca_file && !*name
					? "no domain in the capture's stream header to verify"
					: err_str(ERR_NOMEM));
	else
		player_tls_on_event(l);
}

void player_tls_start(struct player_leg *l)
{
	struct player_session *s = l->session;

	if (s->player->config->tls == PLAYER_TLS_DIRECT) {
		tls_begin(l);
		return;
	}
	l->stage = STAGE_HELLO;
	if (session_print(s, CLIENT, 0, &l->out))
		session_fail(s, err_str(ERR_NOMEM));
	else
		session_flush(l);
}

/* In what has come so far. */
static bool hello_has(const struct player_leg *l, const char *text)
{
	return memmem(l->hello.p, l->hello.len, text, strlen(text)) != NULL;
}

static void tls_on_hello(struct player_leg *l)
{
	static const char ask[] = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
	struct player_session *s = l->session;

	if (l->stage == STAGE_HELLO && hello_has(l, "features>")) {
		if (!hello_has(l, "<starttls")) {
			session_fail(s, "no STARTTLS is offered");
			return;
		}
		buf_clear(&l->hello);
		l->stage = STAGE_PROCEED;
		if (buf_add_str(&l->out, ask))
			session_fail(s, err_str(ERR_NOMEM));
		else
			session_flush(l);
	} else if (l->stage == STAGE_PROCEED && hello_has(l, "<failure")) {
		session_fail(s, "STARTTLS was refused");
	} else if (l->stage == STAGE_PROCEED && hello_has(l, "<proceed") && hello_has(l, ">")) {
		tls_begin(l);
	}
}

static void tls_on_read(struct player_leg *l)
{
	struct player_session *s = l->session;
	uint8_t *p = s->player->read_buffer;
	ssize_t n = recv(l->fd, p, PLAYER_HELLO_MAX, 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		session_fail(s, n ? strerror(errno) : "closed before TLS");
		return;
	}
	s->progress_us = clock_us();
	if (buf_add(&l->hello, p, (size_t)n))
		session_fail(s, "a stream header without end before TLS");
	else
		tls_on_hello(l);
}

void player_tls_on_event(struct player_leg *l)
{
	struct player_session *s = l->session;
	char why[120];
	int rc;

	if (l->stage != STAGE_HANDSHAKE) {
		session_flush(l);
		tls_on_read(l);
		return;
	}
	rc = secure_handshake(l->tls);
	if (rc == ERR_AGAIN) {
		session_watch(l);
		return;
	}
	if (rc) {
		snprintf(why, sizeof(why), "TLS: %s", secure_error(l->tls));
		session_fail(s, why);
		return;
	}
	l->stage = STAGE_OPEN;
	s->progress_us = clock_us();
	session_pump(s);
}
