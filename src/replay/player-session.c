/* SPDX-License-Identifier: MIT */
/*
 * player-session - one session of the player: both its sides. See player.h.
 *
 * Up to the end of the login a unit waits for everything of the other direction that came before
 * it in the capture; behind that the directions run by their own times.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "replay/player-inside.h"

#define BACKLOG_MAX       (256 * 1024)
#define SESSIONS_A_SOURCE 25000 /* connections from one loopback address */

static void on_leg(evutil_socket_t fd, short what, void *arg);

/* --- what is said -------------------------------------------------------------------------- */

/* The unit as this session says it; the first one tells our server's side whose it is. */
int session_print(const struct player_session *s, int dir, uint64_t number, struct buf *out)
{
	const struct trace_unit *u = &s->trace->lane[dir].v[number];
	char mark[64];
	bool empty;
	int rc;

	rc = trace_print(u, s->clone, s->player->origin, out);
	if (rc || dir != CLIENT || number)
		return rc;
	empty = out->len > 1 && out->p[out->len - 2] == '/';
	snprintf(mark, sizeof(mark), " replay='%zu.%u'>", s->number, s->loop);
	if (empty || !out->len)
		return 0;
	out->len--;
	return buf_add_str(out, mark);
}

static const uint8_t *session_unit(void *ctx, uint64_t number, size_t *len_out,
				   enum unit_kind *kind_out)
{
	struct player_leg *hears = ctx;
	struct player_session *s = hears->session;
	int dir = hears == &s->leg[SERVER] ? CLIENT : SERVER;
	struct buf *b = &s->player->scratch[1];

	if (number >= s->trace->lane[dir].n)
		return NULL;
	buf_drop(b, b->len);
	if (session_print(s, dir, number, b))
		return NULL;
	*len_out = b->len;
	*kind_out = s->trace->lane[dir].v[number].kind;
	return b->p;
}

/* Will this one get a thumbnail, if the media server's answer decides? */
static bool session_expects(const struct player_session *s, const struct trace_unit *u)
{
	const struct media *media = s->player->media;
	uint32_t i;

	if (!u->candidate)
		return false;
	for (i = 0; media && i < u->marks_n; i++) {
		const char *path = (const char *)u->p + u->marks[i].at + u->marks[i].len;
		size_t left = u->len - u->marks[i].at - u->marks[i].len;
		const char *end = u->marks[i].kind == TRACE_ORIGIN ? memchr(path, '<', left) : NULL;

		if (end)
			return media_fault_of(media, path, (size_t)(end - path)) == MEDIA_NONE;
	}
	return !media;
}

/* --- sockets ------------------------------------------------------------------------------ */

void session_watch(struct player_leg *l)
{
	short events = EV_READ;

	if (l->fd == -1)
		return;
	if (l->connecting || l->out.len > l->out_at ||
	    (l->stage == STAGE_HANDSHAKE && l->tls && secure_wants_write(l->tls)))
		events |= EV_WRITE;
	if (events == l->events)
		return;
	if (l->events)
		event_del(&l->ev);
	event_assign(&l->ev, l->session->player->base, l->fd, events | EV_PERSIST, on_leg, l);
	l->events = event_add(&l->ev, NULL) == 0 ? events : 0;
}

static void leg_close(struct player_leg *l)
{
	if (l->events)
		event_del(&l->ev);
	l->events = 0;
	secure_free(&l->tls);
	if (l->fd != -1)
		close(l->fd);
	l->fd = -1;
	l->connecting = false;
	l->stage = STAGE_OPEN;
	buf_clear(&l->hello);
	buf_clear(&l->out);
	l->out_at = 0;
}

static ssize_t leg_send(const struct player_leg *l, const uint8_t *p, size_t len)
{
	return l->tls ? secure_send(l->tls, p, len) : send(l->fd, p, len, MSG_NOSIGNAL);
}

static ssize_t leg_recv(const struct player_leg *l, uint8_t *p, size_t len)
{
	return l->tls ? secure_recv(l->tls, p, len) : recv(l->fd, p, len, 0);
}

void session_flush(struct player_leg *l)
{
	while (l->fd != -1 && !l->connecting && l->out.len > l->out_at) {
		ssize_t n = leg_send(l, l->out.p + l->out_at, l->out.len - l->out_at);

		if (n <= 0)
			break; /* a broken connection tells when it is read */
		l->out_at += (size_t)n;
	}
	if (l->out_at == l->out.len) {
		buf_clear(&l->out);
		l->out_at = 0;
	}
	session_watch(l);
}

/* --- the end ------------------------------------------------------------------------------ */

static void session_reset(struct player_session *s)
{
	int side;

	event_del(&s->timer);
	for (side = CLIENT; side <= SERVER; side++) {
		struct player_leg *l = &s->leg[side];

		leg_close(l);
		trace_cut_fini(&l->cut);
		trace_cut_init(&l->cut, side == CLIENT);
		free(l->planned);
		l->planned = NULL;
		l->next = 0;
		l->ticket = 0;
		l->checker.sent = l->checker.at = 0;
		l->checker.missed_n = 0;
	}
	if (s->open)
		s->player->open--;
	s->open = false;
}

/* This turn is over: the next one, or none. */
static void session_turn(struct player_session *s)
{
	const struct player_config *c = s->player->config;
	int64_t length = s->trace->end_us - s->trace->start_us;
	struct timeval tv = { 0, 0 };
	int64_t wait;

	session_reset(s);
	s->loop++;
	if (s->player->stopping || (c->loops && s->loop >= c->loops)) {
		s->done = true;
		if (++s->player->done == s->player->n)
			event_base_loopbreak(s->player->base);
		return;
	}
	if (c->speed > 0)
		s->base_us += (int64_t)((double)length / c->speed);
	s->base_us = MAX_OF(s->base_us, clock_us());
	wait = s->base_us - clock_us();
	tv.tv_sec = wait / 1000000;
	tv.tv_usec = wait % 1000000;
	event_add(&s->timer, &tv);
}

void session_fail(struct player_session *s, const char *why)
{
	struct player_result *r = s->player->result;
	int side;

	if (!s->open)
		return;
	r->failed++;
	if (!r->why[0])
		snprintf(r->why, sizeof(r->why), "session %zu: %s", s->number, why);
	for (side = CLIENT; side <= SERVER; side++)
		checker_end(&s->leg[side].checker);
	session_turn(s);
}

static bool session_is_over(const struct player_session *s)
{
	int dir;

	for (dir = CLIENT; dir <= SERVER; dir++)
		if (s->leg[!dir].checker.at < s->trace->lane[dir].n)
			return false;
	return true;
}

uint64_t session_in_flight(const struct player_session *s)
{
	return s->leg[CLIENT].checker.sent - s->leg[CLIENT].checker.at +
	       s->leg[SERVER].checker.sent - s->leg[SERVER].checker.at;
}

void session_check(struct player_session *s, int64_t now)
{
	int64_t planned;
	int dir;

	if (!s->open || now - s->progress_us < s->player->config->timeout_us)
		return;
	/* It may just have nothing to say yet. */
	for (dir = CLIENT; dir <= SERVER; dir++) {
		size_t next = s->leg[dir].next;

		if (s->player->config->speed <= 0 || next >= s->trace->lane[dir].n)
			continue;
		planned = s->base_us + (int64_t)((double)s->trace->lane[dir].v[next].t_us /
						 s->player->config->speed);
		if (planned + s->player->config->timeout_us > now && !session_in_flight(s))
			return;
	}
	session_fail(s, "nothing arrived for too long");
}

/* --- what is heard ------------------------------------------------------------------------- */

static int on_unit(void *ctx, const uint8_t *p, size_t len, enum unit_kind kind UNUSED)
{
	struct player_leg *l = ctx;
	struct player_session *s = l->session;
	struct player_result *r = s->player->result;
	int dir = l == &s->leg[SERVER] ? CLIENT : SERVER;
	enum checker_result result;
	uint64_t number = checker_arrived(&l->checker, p, len, &result);
	int64_t now = clock_us();

	r->units_arrived++;
	s->progress_us = now;
	if (number != UINT64_MAX && s->leg[dir].planned) {
		uint64_t us = (uint64_t)MAX_OF(now - s->leg[dir].planned[number], 0);
		bool candidate = s->trace->lane[dir].v[number].candidate;

		histogram_add(candidate ? &r->held : &r->latency, us);
		if (!candidate)
			histogram_add(s->player->now, us);
	}
	return 0;
}

static void leg_on_bytes(struct player_leg *l, const uint8_t *p, size_t len)
{
	struct player_session *s = l->session;
	struct player_leg *other = l == &s->leg[CLIENT] ? &s->leg[SERVER] : &s->leg[CLIENT];
	int rc;

	s->player->result->bytes_arrived += len;
	rc = trace_cut_feed(&l->cut, &other->cut, p, len, on_unit, l);
	if (rc) {
		s->player->result->sums.n[CHECKER_FOREIGN]++;
		session_fail(s, err_str(rc));
		return;
	}
	if (session_is_over(s)) {
		s->player->result->finished++;
		session_turn(s);
		return;
	}
	session_pump(s);
}

static void on_leg(evutil_socket_t fd, short what, void *arg)
{
	struct player_leg *l = arg;
	struct player_session *s = l->session;
	ssize_t n;

	if (l->connecting) {
		int err = 0;
		socklen_t len = sizeof(err);

		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == -1 || err) {
			session_fail(s, strerror(err));
			return;
		}
		l->connecting = false;
		session_watch(l);
		if (s->player->secure)
			player_tls_start(l);
		else
			session_pump(s);
		return;
	}
	if (l->stage != STAGE_OPEN) {
		player_tls_on_event(l);
		return;
	}
	if (what & EV_WRITE) {
		session_flush(l);
		if (l->out.len - l->out_at < BACKLOG_MAX / 2)
			session_pump(s);
	}
	if (!(what & EV_READ) || l->fd != fd)
		return;
	do {
		n = leg_recv(l, s->player->read_buffer, PLAYER_READ_MAX);
		if (n > 0)
			leg_on_bytes(l, s->player->read_buffer, (size_t)n);
	} while (n > 0 && l->fd == fd && l->tls && secure_has_pending(l->tls));
	if (n > 0)
		return;
	if (n == 0)
		session_fail(s, l == &s->leg[CLIENT] ? "closed on the client's side"
						     : "closed on the server's side");
	else if (errno != EAGAIN && errno != EINTR)
		session_fail(s, strerror(errno));
}

/* --- when -------------------------------------------------------------------------------- */

/* When the next unit of this direction is planned; it may be said now. */
static int64_t leg_plan(struct player_session *s, int dir, const struct trace_unit *u, int64_t now)
{
	const struct player_config *c = s->player->config;
	struct player_leg *l = &s->leg[dir];
	bool login = l->next < (dir == CLIENT ? s->trace->login : s->trace->login_s2c);

	if (c->rate > 0 && !login) {
		if (!l->ticket)
			l->ticket = ++s->player->tickets;
		return s->player->start_us + (int64_t)((double)l->ticket * 1e6 / c->rate);
	}
	return c->speed > 0 ? s->base_us + (int64_t)((double)u->t_us / c->speed) : now;
}

/* Has everything come that it follows? */
static bool leg_may_say(const struct player_session *s, int dir, const struct trace_unit *u)
{
	const struct trace_session *t = s->trace;
	uint32_t login = dir == CLIENT ? t->login_s2c : t->login;

	return s->leg[dir].checker.at >= MIN_OF(u->before, login);
}

static void leg_say(struct player_session *s, int dir, int64_t planned, int64_t now)
{
	struct player_leg *l = &s->leg[dir];
	struct player_result *r = s->player->result;
	struct buf *b = &s->player->scratch[0];

	buf_drop(b, b->len);
	if (session_print(s, dir, l->next, b) || buf_add(&l->out, b->p, b->len)) {
		session_fail(s, err_str(ERR_NOMEM));
		return;
	}
	l->planned[l->next] = planned;
	r->sums.expected += session_expects(s, &s->trace->lane[dir].v[l->next]);
	r->late_us = MAX_OF(r->late_us, (uint64_t)MAX_OF(now - planned, 0));
	r->units_sent++;
	r->bytes_sent += b->len;
	l->ticket = 0;
	l->next++;
	s->leg[!dir].checker.sent++;
}

/* Says what is due in one direction. Returns when the next is, or 0. */
static int64_t leg_pump(struct player_session *s, int dir)
{
	struct player_leg *l = &s->leg[dir];
	const struct trace_lane *lane = &s->trace->lane[dir];
	int64_t now = clock_us(), planned = 0;

	while (s->open && l->fd != -1 && !l->connecting && l->stage == STAGE_OPEN &&
	       l->next < lane->n && l->out.len - l->out_at < BACKLOG_MAX &&
	       leg_may_say(s, dir, &lane->v[l->next])) {
		planned = leg_plan(s, dir, &lane->v[l->next], now);
		if (planned > now)
			break;
		leg_say(s, dir, planned, now);
		planned = 0;
	}
	if (s->open)
		session_flush(l);
	return planned;
}

void session_pump(struct player_session *s)
{
	int64_t due[2], at;
	struct timeval tv;

	if (!s->open || s->player->stopping)
		return;
	due[0] = leg_pump(s, CLIENT);
	due[1] = leg_pump(s, SERVER);
	at = due[0] && (!due[1] || due[0] < due[1]) ? due[0] : due[1];
	if (!s->open || !at)
		return;
	at = MAX_OF(at - clock_us(), 0);
	tv = (struct timeval){ at / 1000000, at % 1000000 };
	event_add(&s->timer, &tv);
}

/* --- birth ------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct player_session *s = arg;

	if (s->open)
		session_pump(s);
	else if (!s->done)
		session_begin(s);
}

void session_init(struct player_session *s, struct player *p, size_t number)
{
	static const char *const names[] = { "c2s", "s2c" };
	int side;

	*s = (struct player_session){ .player = p, .number = number };
	event_assign(&s->timer, p->base, -1, 0, on_timer, s);
	for (side = CLIENT; side <= SERVER; side++) {
		struct player_leg *l = &s->leg[side];

		l->session = s;
		l->fd = -1;
		buf_init(&l->out, TRACE_UNIT_MAX + BACKLOG_MAX);
		buf_init(&l->hello, PLAYER_HELLO_MAX);
		trace_cut_init(&l->cut, side == CLIENT);
		l->checker = (struct checker){ .sums = &p->result->sums,
					       .unit = session_unit,
					       .ctx = l };
		snprintf(l->checker.name, sizeof(l->checker.name), "session %zu %s", number,
			 names[!side]);
	}
}

void session_fini(struct player_session *s)
{
	int side;

	session_reset(s);
	for (side = CLIENT; side <= SERVER; side++)
		trace_cut_fini(&s->leg[side].cut);
}

static int session_connect(struct player_session *s)
{
	const struct player_config *c = s->player->config;
	const struct sockaddr_in *to = (const struct sockaddr_in *)&c->connect;
	int fd = socket(c->connect.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd == -1)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* One address has only so many ports; loopback has many addresses. */
	if (to->sin_family == AF_INET && ntohl(to->sin_addr.s_addr) >> 24 == 127 &&
	    s->number >= SESSIONS_A_SOURCE) {
		struct sockaddr_in from = { .sin_family = AF_INET };

		from.sin_addr.s_addr =
			htonl(INADDR_LOOPBACK + (uint32_t)(s->number / SESSIONS_A_SOURCE));
		(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == -1) {
			close(fd);
			return -1;
		}
	}
	if (connect(fd, (const struct sockaddr *)&c->connect, c->connect_len) == -1 &&
	    errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

void session_begin(struct player_session *s)
{
	int side;

	s->open = true;
	s->player->open++;
	s->player->result->sessions++;
	s->progress_us = clock_us();
	for (side = CLIENT; side <= SERVER; side++) {
		size_t n = s->trace->lane[side].n;

		s->leg[side].planned = calloc(n ? n : 1, sizeof(int64_t));
		if (!s->leg[side].planned) {
			session_fail(s, err_str(ERR_NOMEM));
			return;
		}
	}
	s->leg[CLIENT].fd = session_connect(s);
	if (s->leg[CLIENT].fd == -1) {
		session_fail(s, strerror(errno));
		return;
	}
	s->leg[CLIENT].connecting = true;
	session_watch(&s->leg[CLIENT]);
}

void session_on_server(struct player_session *s, int fd, const uint8_t *p, size_t len)
{
	struct player_leg *l = &s->leg[SERVER];

	if (!s->open || l->fd != -1) {
		s->player->result->unknown++;
		close(fd);
		return;
	}
	l->fd = fd;
	session_watch(l);
	leg_on_bytes(l, p, len);
}
