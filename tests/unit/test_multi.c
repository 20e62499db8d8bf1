/* SPDX-License-Identifier: MIT */
/*
 * libcurl on the loop: every socket that is added is removed, the timer runs while it is wanted,
 * and transfers end, begin and are freed wherever that is allowed.
 */
#include "config.h"

#include "loop/multi.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "unit.h"

#define TRANSFERS_MAX 8

struct transfer {
	CURL *easy;     /* owned */
	CURLcode code;  /* of its end */
	unsigned ended; /* how often */
	size_t bytes;
	bool aborts;             /* from within its write callback */
	struct transfer *starts; /* from within its end */
	struct transfer *takes;  /* along, from within its end */
};

static struct event_base *base;
static struct multi *multi;
static struct transfer transfers[TRANSFERS_MAX];
static struct event *door; /* the server's */
static int listener, conns[32];
static size_t conns_n; /* that were ever accepted */
static bool answers, forbids;
static unsigned short port;

/* Events of multi.c: the tests' own are made with event_assign() or not counted. */
static int events;
static bool no_new, no_add;

struct event *__real_event_new(struct event_base *b, evutil_socket_t fd, short what,
			       event_callback_fn fn, void *arg);
void __real_event_free(struct event *e);
int __real_event_add(struct event *e, const struct timeval *tv);
struct event *__wrap_event_new(struct event_base *b, evutil_socket_t fd, short what,
			       event_callback_fn fn, void *arg);
void __wrap_event_free(struct event *e);
int __wrap_event_add(struct event *e, const struct timeval *tv);

struct event *__wrap_event_new(struct event_base *b, evutil_socket_t fd, short what,
			       event_callback_fn fn, void *arg)
{
	struct event *e = no_new ? NULL : __real_event_new(b, fd, what, fn, arg);

	events += e != NULL;
	return e;
}

void __wrap_event_free(struct event *e)
{
	events--;
	__real_event_free(e);
}

int __wrap_event_add(struct event *e, const struct timeval *tv)
{
	return no_add ? -1 : __real_event_add(e, tv);
}

/* --- a server --------------------------------------------------------------------------- */

static void on_request(evutil_socket_t fd, short what UNUSED, void *arg UNUSED)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	char request[2000];

	if (read(fd, request, sizeof(request)) > 0 && answers)
		assert_int_equal(write(fd, answer, strlen(answer)), strlen(answer));
}

static void on_accept(evutil_socket_t fd, short what UNUSED, void *arg UNUSED)
{
	assert_true(conns_n < ARRAY_SIZE(conns));
	conns[conns_n] = accept(fd, NULL, NULL);
	assert_int_not_equal(conns[conns_n], -1);
	/* Until the connection is closed: then reading says so, which nobody minds. */
	assert_int_equal(event_base_once(base, conns[conns_n++], EV_READ, on_request, NULL, NULL),
			 0);
}

/* --- transfers -------------------------------------------------------------------------- */

static size_t on_write(char *p UNUSED, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	t->bytes += size * n;
	return t->aborts ? 0 : size * n;
}

static void start(struct transfer *t)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	t->easy = curl_easy_init();
	assert_non_null(t->easy);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_URL, url), CURLE_OK);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_PROXY, ""), CURLE_OK);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L), CURLE_OK);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t), CURLE_OK);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write), CURLE_OK);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t), CURLE_OK);
	assert_int_equal(curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, (long)forbids), CURLE_OK);
	assert_int_equal(multi_add(multi, t->easy), 0);
}

static void stop(struct transfer *t)
{
	multi_remove(multi, t->easy);
	curl_easy_cleanup(t->easy);
	t->easy = NULL;
}

static void on_done(void *private, CURLcode code)
{
	struct transfer *t = private;

	t->ended++;
	t->code = code;
	stop(t);
	if (t->starts)
		start(t->starts);
	if (t->takes && t->takes->easy)
		stop(t->takes);
}

static void run_until(const unsigned *ended)
{
	while (!*ended)
		assert_int_not_equal(event_base_loop(base, EVLOOP_ONCE), -1);
}

static void begin_with(enum multi_connections connections)
{
	forbids = connections == MULTI_CONNECTIONS_OWN;
	multi = multi_new(base, connections, on_done);
	assert_non_null(multi);
}

static int begin(void **state UNUSED)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	memset(transfers, 0, sizeof(transfers));
	conns_n = 0;
	answers = true;
	base = event_base_new();
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (!base || listener == -1 || bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(listener, 32) == -1 ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) == -1)
		return -1;
	port = ntohs(sin.sin_port);
	door = event_new(base, listener, EV_READ | EV_PERSIST, on_accept, NULL);
	if (!door || event_add(door, NULL) == -1)
		return -1;
	events = 0;
	return 0;
}

/* Whatever a test did, multi.c has taken its events away. */
static int end(void **state UNUSED)
{
	multi_free(&multi);
	assert_null(multi);
	assert_int_equal(events, 0);
	event_free(door);
	close(listener);
	event_base_free(base);
	while (conns_n)
		close(conns[--conns_n]);
	return 0;
}

/* --- tests ------------------------------------------------------------------------------ */

/* Its socket is watched, and that ends with it where connections are not kept. */
static void test_sockets_come_and_go(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_OWN);
	assert_int_equal(events, 1); /* the timer */
	start(&transfers[0]);
	while (events == 1)
		assert_int_not_equal(event_base_loop(base, EVLOOP_ONCE), -1);
	run_until(&transfers[0].ended);
	assert_int_equal(transfers[0].code, CURLE_OK);
	assert_int_equal(transfers[0].bytes, 2);
	assert_int_equal(transfers[0].ended, 1);
	assert_int_equal(events, 1);
}

/* One connection serves two transfers. */
static void test_connections_are_kept(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_KEPT);
	start(&transfers[0]);
	run_until(&transfers[0].ended);
	assert_int_equal(event_base_once(base, conns[0], EV_READ, on_request, NULL, NULL), 0);
	start(&transfers[1]);
	run_until(&transfers[1].ended);
	assert_int_equal(transfers[1].code, CURLE_OK);
	assert_int_equal(conns_n, 1);
}

/* Nothing happens on its socket: only the timer ends it. */
static void test_timer_ends_what_is_late(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_OWN);
	answers = false;
	start(&transfers[0]);
	assert_int_equal(curl_easy_setopt(transfers[0].easy, CURLOPT_TIMEOUT_MS, 50L), CURLE_OK);
	run_until(&transfers[0].ended);
	assert_int_equal(transfers[0].code, CURLE_OPERATION_TIMEDOUT);
	assert_int_equal(events, 1);
}

/* No memory for the event of its socket: it ends all the same. */
static void test_socket_without_event(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_OWN);
	start(&transfers[0]);
	assert_int_equal(curl_easy_setopt(transfers[0].easy, CURLOPT_TIMEOUT_MS, 50L), CURLE_OK);
	no_new = true;
	run_until(&transfers[0].ended);
	no_new = false;
	assert_int_equal(transfers[0].code, CURLE_OPERATION_TIMEDOUT);
	assert_int_equal(transfers[0].ended, 1);
}

/* Its event cannot be added, nor can the timer: libcurl is told, and nothing is left over. */
static void test_nothing_can_be_added(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_OWN);
	transfers[0].easy = curl_easy_init();
	assert_non_null(transfers[0].easy);
	no_add = true;
	assert_int_equal(multi_add(multi, transfers[0].easy), ERR_NOMEM);
	no_add = false;
	stop(&transfers[0]); /* as its owner does who knows nothing of that */
	assert_int_equal(events, 1);
}

/* What libcurl calls ends the transfer, and another goes on beside it. */
static void test_end_within_its_own_callback(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_OWN);
	transfers[0].aborts = true;
	start(&transfers[0]);
	start(&transfers[1]);
	run_until(&transfers[0].ended);
	run_until(&transfers[1].ended);
	assert_int_equal(transfers[0].code, CURLE_WRITE_ERROR);
	assert_int_equal(transfers[0].ended, 1);
	assert_int_equal(transfers[1].code, CURLE_OK);
	assert_int_equal(events, 1);
}

/* The end of one is the start of the next one, as redirects are. */
static void test_chain(void **state UNUSED)
{
	size_t i;

	begin_with(MULTI_CONNECTIONS_OWN);
	for (i = 0; i + 1 < TRANSFERS_MAX; i++)
		transfers[i].starts = &transfers[i + 1];
	start(&transfers[0]);
	run_until(&transfers[TRANSFERS_MAX - 1].ended);
	for (i = 0; i < TRANSFERS_MAX; i++) {
		assert_int_equal(transfers[i].code, CURLE_OK);
		assert_int_equal(transfers[i].ended, 1);
	}
	assert_int_equal(conns_n, TRANSFERS_MAX);
	assert_int_equal(events, 1);
}

/*
 * Both time out at once, so that the end of the second waits to be read when the first is done:
 * removed then, it is not told any more.
 */
static void test_end_takes_another_along(void **state UNUSED)
{
	size_t i;

	begin_with(MULTI_CONNECTIONS_OWN);
	answers = false;
	for (i = 0; i < 2; i++) {
		transfers[i].takes = &transfers[1 - i];
		start(&transfers[i]);
		assert_int_equal(curl_easy_setopt(transfers[i].easy, CURLOPT_TIMEOUT_MS, 50L),
				 CURLE_OK);
	}
	while (transfers[0].easy || transfers[1].easy)
		assert_int_not_equal(event_base_loop(base, EVLOOP_ONCE), -1);
	assert_int_equal(transfers[0].ended + transfers[1].ended, 1);
	assert_int_equal(events, 1);
}

/* Removed in the midst of it: nothing is called any more, and all can be freed. */
static void test_free_with_transfers_under_way(void **state UNUSED)
{
	size_t i;

	begin_with(MULTI_CONNECTIONS_OWN);
	answers = false;
	for (i = 0; i < TRANSFERS_MAX; i++)
		start(&transfers[i]);
	while (conns_n < TRANSFERS_MAX / 2)
		assert_int_not_equal(event_base_loop(base, EVLOOP_ONCE), -1);
	assert_true(events > 1);
	for (i = 0; i < TRANSFERS_MAX; i++)
		stop(&transfers[i]);
	assert_int_equal(events, 1);
	multi_free(&multi);
	assert_int_equal(events, 0);
	assert_int_not_equal(event_base_loop(base, EVLOOP_NONBLOCK), -1);
	for (i = 0; i < TRANSFERS_MAX; i++)
		assert_int_equal(transfers[i].ended, 0);
}

/* A kept connection that nobody uses goes with its event. */
static void test_free_with_kept_connection(void **state UNUSED)
{
	begin_with(MULTI_CONNECTIONS_KEPT);
	start(&transfers[0]);
	run_until(&transfers[0].ended);
	assert_int_equal(transfers[0].code, CURLE_OK);
	multi_free(&multi);
	assert_int_equal(events, 0);
}

static void test_new_without_memory(void **state UNUSED)
{
	no_new = true;
	multi = multi_new(base, MULTI_CONNECTIONS_KEPT, on_done);
	no_new = false;
	assert_null(multi);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sockets_come_and_go),
		TEST(test_connections_are_kept),
		TEST(test_timer_ends_what_is_late),
		TEST(test_socket_without_event),
		TEST(test_nothing_can_be_added),
		TEST(test_end_within_its_own_callback),
		TEST(test_chain),
		TEST(test_end_takes_another_along),
		TEST(test_free_with_transfers_under_way),
		TEST(test_free_with_kept_connection),
		TEST(test_new_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
