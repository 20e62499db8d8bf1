/* SPDX-License-Identifier: MIT */
/*
 * test_session - whole sessions on loopback sockets, with a fake chain and a fake media
 * process.
 *
 * Covers session*.c, leg.c, pool.c, jobs.c and listener.c. What a lane does with its bytes is
 * test_lane's; real servers, clients and processes are the integration tests'.
 */
#include "config.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "fake_chain.h"
#include "stream/listener.h"
#include "xmpp/outline.h"

#define HEADER                                                       \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' " \
	"xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>"
#define AUTH    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"
#define SUCCESS "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
#define PICTURE "<message><x xmlns='jabber:x:oob'/></message>"
#define EDITED  "<message><x xmlns='jabber:x:oob'/>" FAKE_INSERT "</message>"
#define CONDITION(name) \
	"<" name " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
#define ERROR(name) "<stream:error>" CONDITION(name)
#define START_MS    1000000
#define TRIES       20000 /* 10 s; only to end runs that hang */

static struct fixture {
	struct event_base *base;
	struct conf *conf;
	struct pool *pool;
	struct listener listener;
	int upstream; /* listening */
	int front;    /* port of the listener */
	int client;
	int server;
	int media; /* the media process's end */
} t;

static struct ipc_in in;
static struct ipc_out out;

static int listen_on(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static void turn(void)
{
	event_base_loop(t.base, EVLOOP_NONBLOCK);
	pool_reap(t.pool);
	usleep(500);
}

static void set_time(int64_t ms)
{
	clock_fake(ms);
	event_active(t.pool->sweep, EV_TIMEOUT, 0);
	turn();
}

static struct conf *make_conf(uint64_t generation, int port)
{
	struct conf *c = conf_new();
	struct conf_listen *l = conf_add_listen(c, "main");
	char address[64];

	assert_non_null(l);
	c->generation = generation;
	c->limits.features_wait = 0; /* the clock stands still */
	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	free(l->upstream);
	l->upstream = strdup(address);
	return c;
}

static int setup(void **state)
{
	int port, fd, fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	outline_setup();
	clock_fake(START_MS);
	t.client = t.server = -1;
	t.base = event_base_new();
	t.pool = pool_new(t.base);
	assert_non_null(t.pool);
	t.upstream = listen_on(&port);
	t.conf = make_conf(1, port);
	pool_set_conf(t.pool, t.conf);
	assert_int_equal(ipc_pair(fds), 0);
	jobs_set_channel(t.pool->jobs, fds[0]);
	t.media = fds[1];
	fd = listen_on(&t.front);
	assert_int_equal(listener_init(&t.listener, t.pool, "main", fd), 0);
	assert_int_equal(listener_start(&t.listener), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (t.client != -1)
		close(t.client);
	if (t.server != -1)
		close(t.server);
	if (t.media != -1)
		close(t.media);
	close(t.upstream);
	listener_fini(&t.listener);
	pool_free(&t.pool);
	conf_unref(&t.conf);
	event_base_free(t.base);
	assert_int_equal(fake_units, 0);
	assert_int_equal(counters_mine->value[METRIC_SESSIONS], 0);
	fake_waiting_n = 0;
	return 0;
}

/* --- peers ------------------------------------------------------------------------------- */

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void expect_bytes(int fd, const char *want, size_t len)
{
	char *got = malloc(len + 1);
	size_t n = 0;
	int tries;

	assert_non_null(got);
	for (tries = 0; n < len && tries < TRIES; tries++) {
		ssize_t r = read(fd, got + n, len - n);

		if (r > 0)
			n += (size_t)r;
		else if (r == 0 || errno != EAGAIN)
			break;
		else
			turn();
	}
	got[n] = '\0';
	if (n != len || memcmp(got, want, len) != 0)
		fail_msg("got %zu bytes '%.400s'\nwant '%.400s'", n, got, want);
	free(got);
}

static void expect(int fd, const char *want)
{
	expect_bytes(fd, want, strlen(want));
}

static void expect_eof(int fd)
{
	int tries;
	char c;

	for (tries = 0; tries < TRIES; tries++) {
		ssize_t r = read(fd, &c, 1);

		if (r == 0)
			return;
		if (r == 1)
			fail_msg("more bytes: '%c'", c);
		assert_int_equal(errno, EAGAIN);
		turn();
	}
	fail_msg("no end of file");
}

static void expect_nothing(int fd)
{
	char c;
	int i;

	for (i = 0; i < 20; i++)
		turn();
	assert_int_equal(read(fd, &c, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

static void expect_sessions(size_t n)
{
	int tries;

	for (tries = 0; tries < TRIES && t.pool->sessions != n; tries++)
		turn();
	assert_int_equal(t.pool->sessions, n);
}

static void dial(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons((uint16_t)t.front) };

	t.client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(t.client, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(fcntl(t.client, F_SETFL, O_NONBLOCK), 0);
}

static void meet(void)
{
	int tries;

	dial();
	for (tries = 0; tries < TRIES && t.server == -1; tries++) {
		turn();
		t.server = accept4(t.upstream, NULL, NULL, SOCK_NONBLOCK);
	}
	assert_int_not_equal(t.server, -1);
}

static void relay(int from, int to, const char *text)
{
	say(from, text);
	expect(to, text);
}

static void login(void)
{
	meet();
	relay(t.client, t.server, HEADER AUTH);
	relay(t.server, t.client, HEADER SUCCESS);
	relay(t.client, t.server, HEADER);
	relay(t.server, t.client, HEADER);
}

static struct session *only_session(void)
{
	struct list *first = list_first(&t.pool->state[SESSION_OPEN]);

	BUG_ON(!first);
	return CONTAINER_OF(first, struct session, link);
}

/* --- how many ----------------------------------------------------------------------------- */

static bool is_turned_away(int fd)
{
	int tries;
	char c;

	for (tries = 0; tries < TRIES; tries++) {
		ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return true;
		turn();
		if (t.pool->sessions && tries > 50)
			return false;
	}
	return false;
}

static int connect_client(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				   .sin_port = htons((uint16_t)t.front) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

/* The third of two is closed without a word; when they leave there is room again. */
static void check_limit(uint64_t *limit)
{
	uint64_t over = counters_mine->value[METRIC_SESSIONS_OVER];
	int fd[3], i;

	*limit = 2;
	for (i = 0; i < 2; i++)
		fd[i] = connect_client();
	for (i = 0; i < TRIES && t.pool->sessions < 2; i++)
		turn();
	assert_int_equal(t.pool->sessions, 2);
	fd[2] = connect_client();
	for (i = 0; i < TRIES && counters_mine->value[METRIC_SESSIONS_OVER] == over; i++)
		turn();
	assert_true(is_turned_away(fd[2]));
	close(fd[2]);
	assert_int_equal(counters_mine->value[METRIC_SESSIONS], 2);
	/* Too slow with their headers: they go, and there is room again. */
	close(fd[0]);
	close(fd[1]);
	for (i = 0; i < TRIES && t.pool->sessions; i++)
		set_time(START_MS + i * 1000);
	assert_int_equal(t.pool->sessions, 0);
	for (i = 0; i < 2; i++)
		fd[i] = connect_client();
	for (i = 0; i < TRIES && t.pool->sessions < 2; i++)
		turn();
	assert_int_equal(t.pool->sessions, 2);
	assert_int_equal(counters_mine->value[METRIC_SESSIONS_OVER], over + 1);
	close(fd[0]);
	close(fd[1]);
}

static void test_limit_of_all_sessions(void **state)
{
	(void)state;
	check_limit(&t.conf->limits.sessions);
}

static void test_limit_of_one_address(void **state)
{
	(void)state;
	check_limit(&t.conf->limits.per_address);
}

/* --- relaying ---------------------------------------------------------------------------- */

static void test_login_and_end(void **state)
{
	struct session *s;

	(void)state;
	login();
	s = only_session();
	assert_null(s->leg[0].out.p);
	assert_null(s->leg[1].out.p);
	assert_null(s->lanes.lane[0].pending.p);
	assert_true(sizeof(*s) < 1400);
	relay(t.client, t.server, "<presence/></stream:stream>");
	relay(t.server, t.client, "</stream:stream>");
	shutdown(t.client, SHUT_WR);
	expect_eof(t.server);
	relay(t.server, t.client, "\n"); /* the other direction goes on */
	shutdown(t.server, SHUT_WR);
	expect_eof(t.client);
	expect_sessions(0);
}

static void test_bulk_both_ways(void **state)
{
	size_t len = 8 << 20, sent[2] = { 0 }, got[2] = { 0 };
	char *text = malloc(len), *part = malloc(65536);
	const char *unit = "<message><body>0123456789 abcdefghijklmnopqrstuvwxyz</body></message>";
	int fds[2], i;
	size_t at;

	(void)state;
	login();
	fds[0] = t.client;
	fds[1] = t.server;
	for (at = 0; at + strlen(unit) < len; at += strlen(unit))
		memcpy(text + at, unit, strlen(unit));
	len = at;
	/* Nobody reads for a while: both legs fill and reading stops. */
	for (i = 0; i < 400; i++) {
		ssize_t n = write(t.client, text + sent[0], len - sent[0]);

		sent[0] += n > 0 ? (size_t)n : 0;
		event_base_loop(t.base, EVLOOP_NONBLOCK);
	}
	if (sent[0] < len) {
		assert_true(leg_is_full(&only_session()->leg[SESSION_SERVER]));
		assert_true(leg_backlog(&only_session()->leg[SESSION_SERVER]) <
			    t.conf->limits.write_high + 2 * LEG_READ_MAX);
	}
	while (got[0] < len || got[1] < len) {
		for (i = 0; i < 2; i++) {
			ssize_t n = write(fds[i], text + sent[i], len - sent[i]);

			sent[i] += n > 0 ? (size_t)n : 0;
			n = read(fds[!i], part, 65536);
			if (n > 0) {
				assert_memory_equal(part, text + got[i], (size_t)n);
				got[i] += (size_t)n;
			}
		}
		event_base_loop(t.base, EVLOOP_NONBLOCK);
	}
	free(text);
	free(part);
}

static void test_peer_that_takes_nothing(void **state)
{
	char block[4096];
	int i;

	(void)state;
	login();
	memset(block, ' ', sizeof(block));
	for (i = 0; i < 20000 && !leg_is_full(&only_session()->leg[SESSION_SERVER]); i++) {
		(void)!write(t.client, block, sizeof(block));
		event_base_loop(t.base, EVLOOP_NONBLOCK);
	}
	assert_true(leg_is_full(&only_session()->leg[SESSION_SERVER]));
	set_time(clock_now() + t.conf->limits.drain_peer - 1);
	assert_int_equal(t.pool->sessions, 1);
	set_time(clock_now() + 1);
	expect_sessions(0);
}

static void test_reset_ends_the_session(void **state)
{
	struct linger linger = { .l_onoff = 1 };

	(void)state;
	login();
	setsockopt(t.server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(t.server);
	t.server = -1;
	expect_sessions(0);
	expect_eof(t.client);
}

/* What a peer had said is still read when it is a write to it that finds out that it has gone. */
static void test_last_words(void **state)
{
	static const char words[] = "<message><body>last words</body></message>";
	struct linger linger = { .l_onoff = 1 };
	char bulk[8000] = "<presence><status>"; /* nobody waits for its end */
	int i, on = 1, *from, *to;

	(void)state;
	memset(bulk + strlen(bulk), 'x', sizeof(bulk) - 1 - strlen(bulk));
	for (i = 0; i < 2; i++) {
		t.client = t.server = -1;
		login();
		from = i ? &t.server : &t.client;
		to = i ? &t.client : &t.server;
		setsockopt(*from, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		say(*to, bulk); /* its event comes first */
		say(*from, words);
		setsockopt(*from, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(*from);
		*from = -1;
		expect(*to, words);
		close(*to);
		*to = -1;
		expect_sessions(0);
	}
}

/* --- errors ------------------------------------------------------------------------------ */

static void test_client_violation(void **state)
{
	(void)state;
	login();
	say(t.client, "<presence/><message><!-- x -->");
	expect(t.server, "<presence/>");
	expect_eof(t.server); /* and no </stream:stream> */
	expect(t.client, ERROR("restricted-xml"));
	expect_eof(t.client);
	set_time(clock_now() + 2000);
	expect_sessions(0);
}

/* The server's lane towards the client stands in a stanza: nothing can be said there. */
static void test_violation_inside_a_stanza(void **state)
{
	(void)state;
	login();
	relay(t.server, t.client, "<presence><status>ab");
	say(t.client, "</nonsense>");
	expect_eof(t.client);
	expect_eof(t.server);
}

static void test_server_violation(void **state)
{
	(void)state;
	login();
	say(t.server, "<presence/><?pi?>");
	expect(t.client, "<presence/>");
	expect_eof(t.client);
	expect(t.server, ERROR("restricted-xml"));
	expect_eof(t.server);
}

static void expect_own_header(void)
{
	char c = 0, text[600] = "";
	size_t n = 0;
	int tries;

	for (tries = 0; tries < TRIES && !strstr(text, "<stream:error>") && n < sizeof(text) - 1;
	     tries++) {
		if (read(t.client, &c, 1) == 1)
			text[n++] = c;
		else
			turn();
	}
	assert_non_null(strstr(text, "<?xml version='1.0'?><stream:stream xmlns='jabber:client'"));
	assert_non_null(strstr(text, "from='example.org'"));
	assert_non_null(strstr(text, " id='"));
}

static void test_violation_before_the_servers_header(void **state)
{
	(void)state;
	meet();
	say(t.client, HEADER "text");
	expect(t.server, HEADER);
	expect_eof(t.server);
	expect_own_header();
	expect(t.client, CONDITION("bad-format"));
	expect_eof(t.client);
}

static void test_upstream_unreachable(void **state)
{
	(void)state;
	close(t.upstream);
	dial();
	expect_nothing(t.client);
	assert_int_equal(t.pool->sessions, 1);
	say(t.client, HEADER);
	expect_own_header();
	expect(t.client, CONDITION("remote-connection-failed"));
	expect_eof(t.client);
	close(t.client);
	t.client = -1;
	expect_sessions(0);
	t.upstream = socket(AF_INET, SOCK_STREAM, 0);
}

static void test_timeouts(void **state)
{
	(void)state;
	meet();
	expect_nothing(t.server);
	set_time(clock_now() + t.conf->limits.header_timeout);
	expect_eof(t.server);
	close(t.client);
	close(t.server);
	expect_sessions(0);
	t.server = -1;
	meet();
	relay(t.client, t.server, HEADER);
	relay(t.server, t.client, HEADER);
	set_time(clock_now() + t.conf->limits.auth_timeout - 1);
	assert_int_equal(list_is_empty(&t.pool->state[SESSION_AUTH]), false);
	set_time(clock_now() + 1);
	expect(t.client, ERROR("policy-violation"));
	expect_eof(t.client);
	expect_eof(t.server);
}

/* What follows a balancer's header that did not come in time is read, up to the end. */
static void test_timeout_of_an_announcement(void **state)
{
	struct conf_listen *l = &t.conf->listens[0];
	struct list *closing;
	struct leg *leg;

	(void)state;
	l->proxy_accept = CONF_PROXY_ANY;
	l->proxy_from.v = calloc(1, sizeof(*l->proxy_from.v));
	assert_non_null(l->proxy_from.v);
	l->proxy_from.v[l->proxy_from.n++] = strdup("127.0.0.0/8");
	dial();
	say(t.client, "PROXY TCP4");
	expect_nothing(t.client);
	set_time(clock_now() + t.conf->limits.handshake_timeout);
	closing = list_first(&t.pool->state[SESSION_CLOSING]);
	BUG_ON(!closing);
	leg = &CONTAINER_OF(closing, struct session, link)->leg[SESSION_CLIENT];
	assert_false(leg->peeks); /* the loop would come back for the same bytes for ever */
	say(t.client, " 192.0.2.1");
	assert_int_equal(shutdown(t.client, SHUT_WR), 0);
	expect_sessions(0);
}

/* <proceed/> is put off until the turn's end, and then finds the socket full. */
static void test_handshake_behind_what_is_not_taken(void **state)
{
	static const char proceed[] = "<proceed/>";
	static uint8_t much[65536];
	const struct iovec v = { .iov_base = (void *)(uintptr_t)proceed, .iov_len = 10 };
	struct leg leg;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	while (write(fds[0], much, sizeof(much)) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	leg_init(&leg, &t.pool->legs, 65536, 1024);
	assert_int_equal(leg_open(&leg, fds[0]), 0);
	leg_writev(&leg, &v, 1);
	assert_int_equal(leg_backlog(&leg), 0);
	assert_int_equal(leg_secure(&leg, NULL, NULL), ERR_FULL);
	assert_int_equal(leg_backlog(&leg), 10);
	leg_close(&leg);
	close(fds[1]);
}

/* --- jobs -------------------------------------------------------------------------------- */

static uint64_t expect_job(void)
{
	struct job j;
	int tries, rc = ERR_AGAIN;

	for (tries = 0; tries < TRIES && rc == ERR_AGAIN; tries++) {
		rc = ipc_recv(t.media, &in, ROLE_MEDIA, ROLE_PROXY);
		if (rc == ERR_AGAIN)
			turn();
	}
	assert_int_equal(rc, 0);
	assert_int_equal(in.type, IPC_JOB);
	assert_int_equal(job_get(&in, &j), 0);
	assert_int_equal(j.deadline_ms, t.conf->listens[0].hold);
	assert_int_equal(j.rate_per_min, 10);
	assert_int_equal(j.rate_burst, 5);
	ipc_in_fini(&in);
	return j.id;
}

static void answer(uint64_t id, enum job_status status)
{
	struct job_result r = { .id = id, .status = status };

	if (status == JOB_OK) {
		r.format = PICTURE_PNG;
		r.width = r.height = 1;
		r.bytes = (const uint8_t *)"x";
		r.len = 1;
	}
	ipc_begin(&out, IPC_RESULT);
	job_result_put(&out, &r);
	assert_int_equal(ipc_send(t.media, &out), 0);
}

static void test_jobs(void **state)
{
	uint64_t first, second;

	(void)state;
	login();
	say(t.client, PICTURE "<a/>" PICTURE "<b/>");
	first = expect_job();
	second = expect_job();
	assert_int_not_equal(first, second);
	answer(second, JOB_OK);
	answer(12345, JOB_OK); /* unknown: ignored */
	expect_nothing(t.server);
	answer(first, JOB_HTTP);
	expect(t.server, PICTURE "<a/>" EDITED "<b/>");
	answer(first, JOB_OK); /* twice: ignored */
	relay(t.client, t.server, "<presence/>");
}

static void test_deadline_cancels(void **state)
{
	uint64_t id;
	int tries, rc = ERR_AGAIN;

	(void)state;
	login();
	say(t.client, PICTURE);
	id = expect_job();
	set_time(clock_now() + t.conf->listens[0].hold);
	expect(t.server, PICTURE);
	for (tries = 0; tries < TRIES && rc == ERR_AGAIN; tries++) {
		turn();
		rc = ipc_recv(t.media, &in, ROLE_MEDIA, ROLE_PROXY);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(in.type, IPC_CANCEL);
	assert_int_equal(ipc_get_u64(&in), id);
	ipc_in_fini(&in);
}

static void test_media_gone(void **state)
{
	(void)state;
	login();
	say(t.client, PICTURE "<a/>" PICTURE);
	expect_job();
	close(t.media);
	t.media = -1;
	expect(t.server, PICTURE "<a/>" PICTURE);
	relay(t.client, t.server, PICTURE "<b/>"); /* and without media at once */
}

static void test_media_talks_nonsense(void **state)
{
	(void)state;
	login();
	say(t.client, PICTURE);
	expect_job();
	assert_int_equal(send(t.media, "nonsense", 8, 0), 8);
	expect(t.server, PICTURE);
}

static void test_session_ends_while_held(void **state)
{
	uint64_t id;

	(void)state;
	login();
	say(t.client, PICTURE);
	id = expect_job();
	shutdown(t.client, SHUT_WR);
	expect_nothing(t.server); /* the end waits, too */
	answer(id, JOB_OK);
	expect(t.server, EDITED);
	expect_eof(t.server);
	close(t.server);
	t.server = -1;
	expect_sessions(0);
}

/* --- stop and reload --------------------------------------------------------------------- */

static void test_stop(void **state)
{
	(void)state;
	login();
	say(t.client, PICTURE "<r/>");
	expect_job();
	pool_stop(t.pool, 1000);
	expect_nothing(t.server);
	set_time(clock_now() + 1000);
	expect(t.server, PICTURE "<r/>");
	expect_eof(t.server);
	expect(t.client, ERROR("system-shutdown"));
	expect_eof(t.client);
	expect_sessions(0);
}

static void test_reload_waits_for_held_units(void **state)
{
	struct conf *next = make_conf(2, 1);
	struct session *s;
	uint64_t id;

	(void)state;
	login();
	s = only_session();
	say(t.client, PICTURE);
	id = expect_job();
	pool_set_conf(t.pool, next);
	relay(t.server, t.client, "<presence/>");
	assert_ptr_equal(s->conf, t.conf);
	answer(id, JOB_OK);
	expect(t.server, EDITED);
	relay(t.client, t.server, "<presence/>");
	assert_ptr_equal(s->conf, next);
	conf_unref(&next);
	/* A generation without this listener: the session keeps what it has. */
	next = conf_new();
	next->generation = 3;
	pool_set_conf(t.pool, next);
	relay(t.client, t.server, "<presence/>");
	assert_int_equal(s->conf->generation, 2);
	conf_unref(&next);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_limit_of_all_sessions),
		TEST(test_limit_of_one_address),
		TEST(test_login_and_end),
		TEST(test_bulk_both_ways),
		TEST(test_peer_that_takes_nothing),
		TEST(test_reset_ends_the_session),
		TEST(test_last_words),
		TEST(test_client_violation),
		TEST(test_violation_inside_a_stanza),
		TEST(test_server_violation),
		TEST(test_violation_before_the_servers_header),
		TEST(test_upstream_unreachable),
		TEST(test_timeouts),
		TEST(test_timeout_of_an_announcement),
		TEST(test_handshake_behind_what_is_not_taken),
		TEST(test_jobs),
		TEST(test_deadline_cancels),
		TEST(test_media_gone),
		TEST(test_media_talks_nonsense),
		TEST(test_session_ends_while_held),
		TEST(test_stop),
		TEST(test_reload_waits_for_held_units),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
