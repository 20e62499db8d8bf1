/* SPDX-License-Identifier: MIT */
/*
 * bench_relay - load for a relay, closed loop, both ends in one process.
 *
 * Opens connections through the relay to itself, says hello on each as a client and a server
 * would (so that a relay which reads XMPP is content), then keeps one message under way on
 * every connection: the next is written when the last byte of the one before has arrived.
 * Prints one JSON line: messages, bytes, seconds, CPU time of the relay's processes, and
 * their memory per connection. Not a test: it judges nothing. tests/bench/relay.py runs it.
 *
 *     bench_relay CONNECT-PORT LISTEN-PORT CONNECTIONS MESSAGE-BYTES SECONDS PID...
 */
#include "config.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER                                                              \
	"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' " \
	"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
#define FEATURES(inner) "<stream:features>" inner "</stream:features>"
#define SASL            " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
#define BIND            " xmlns='urn:ietf:params:xml:ns:xmpp-bind'"

/* What is said on a new connection; even entries by the client, odd ones by the server. */
static const char *const hello[] = {
	HEADER,
	HEADER FEATURES("<mechanisms" SASL "><mechanism>PLAIN</mechanism></mechanisms>"),
	"<auth" SASL " mechanism='PLAIN'>AGEAYQ==</auth>",
	"<success" SASL "/>",
	HEADER,
	HEADER FEATURES("<bind" BIND "/>"),
	"<iq type='set' id='b'><bind" BIND "/></iq>",
	"<iq type='result' id='b'><bind" BIND "><jid>a@localhost/b</jid></bind></iq>",
};

struct pair {
	int client;
	int server;
	size_t unsent;   /* bytes of the message that the socket did not take yet */
	size_t expected; /* bytes of it that have not arrived yet */
};

static char *message;
static size_t message_len;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The first number in a file; 0 when it is gone. */
static uint64_t read_number(const char *path)
{
	uint64_t n = 0;
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* Time on a CPU, in ns, of all threads of a process. */
static uint64_t cpu_ns(const char *pid)
{
	char path[300];
	uint64_t sum = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task/%.20s/schedstat", pid, entry->d_name);
		sum += read_number(path);
	}
	closedir(dir);
	return sum;
}

/* Anonymous resident memory of a process, in bytes. */
static uint64_t memory_bytes(const char *pid)
{
	char path[300], line[200];
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "RssAnon: %" SCNu64, &kib) == 1)
			break;
	fclose(f);
	return kib * 1024;
}

static uint64_t sum_of(uint64_t (*figure)(const char *pid), char *const *pids)
{
	uint64_t sum = 0;

	for (; *pids != NULL; pids++)
		sum += figure(*pids);
	return sum;
}

static struct sockaddr_in loopback(const char *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = htons((uint16_t)atoi(port));
	return addr;
}

static int listen_on(const char *port)
{
	struct sockaddr_in addr = loopback(port);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1 || listen(fd, 1024) == -1)
		err(1, "port %s", port);
	return fd;
}

static void write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1)
			err(1, "write");
		p += n;
		len -= (size_t)n;
	}
}

static void read_all(int fd, size_t len)
{
	char buf[4096];

	while (len > 0) {
		ssize_t n = read(fd, buf, len < sizeof(buf) ? len : sizeof(buf));

		if (n <= 0)
			err(1, "the relay closed a connection during the hello");
		len -= (size_t)n;
	}
}

static void open_pair(struct pair *pair, const char *port, int listener)
{
	struct sockaddr_in addr = loopback(port);
	int on = 1;

	pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair->client == -1 ||
	    connect(pair->client, (struct sockaddr *)&addr, sizeof(addr)) == -1)
		err(1, "connect to port %s", port);
	setsockopt(pair->client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	pair->server = -1;
	for (size_t i = 0; i < sizeof(hello) / sizeof(hello[0]); i++) {
		size_t len = strlen(hello[i]);

		write_all(i % 2 == 0 ? pair->client : pair->server, hello[i], len);
		if (pair->server == -1) { /* some relays connect at the first byte only */
			pair->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			if (pair->server == -1)
				err(1, "accept");
			setsockopt(pair->server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		}
		read_all(i % 2 == 0 ? pair->server : pair->client, len);
	}
}

/* A message of exactly len bytes. */
static void make_message(size_t len)
{
	static const char head[] = "<message to='bob@localhost' type='chat' id='m1'><body>";
	static const char tail[] = "</body></message>";

	if (len < sizeof(head) + sizeof(tail))
		errx(1, "messages have at least %zu bytes", sizeof(head) + sizeof(tail));
	message = malloc(len);
	if (message == NULL)
		err(1, NULL);
	memcpy(message, head, sizeof(head) - 1);
	for (size_t i = sizeof(head) - 1; i < len; i++)
		message[i] = i % 7 == 0 ? ' ' : 'x';
	memcpy(message + len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
	message_len = len;
}

static void send_some(struct pair *pair)
{
	while (pair->unsent > 0) {
		ssize_t n = write(pair->client, message + message_len - pair->unsent, pair->unsent);

		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0)
			err(1, "write");
		pair->unsent -= (size_t)n;
	}
}

static void next_message(struct pair *pair)
{
	pair->unsent = pair->expected = message_len;
	send_some(pair);
}

/* Takes what has come. True when that was a whole message. */
static bool receive_some(struct pair *pair)
{
	static char buf[65536];
	ssize_t n = read(pair->server, buf, sizeof(buf));

	if (n == -1 && errno == EAGAIN)
		return false;
	if (n <= 0 || (size_t)n > pair->expected)
		errx(1, "the relay closed a connection or sent more than it got");
	pair->expected -= (size_t)n;
	return pair->expected == 0;
}

static void watch(int epoll, int fd, uint32_t events, struct pair *pair)
{
	struct epoll_event event = { .events = events, .data.ptr = pair };

	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == -1)
		err(1, "epoll");
}

/* Keeps all connections busy until the time is over and everything has arrived; returns the
 * messages. */
static uint64_t run(struct pair *pairs, size_t count, double seconds)
{
	struct epoll_event events[256];
	uint64_t done = 0, stop = now_ns() + (uint64_t)(seconds * 1e9);
	size_t busy = count;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (size_t i = 0; i < count; i++) {
		watch(epoll, pairs[i].server, EPOLLIN, &pairs[i]);
		watch(epoll, pairs[i].client, EPOLLOUT | EPOLLET, &pairs[i]);
		next_message(&pairs[i]);
	}
	while (busy > 0) {
		int n = epoll_wait(epoll, events, 256, 30000);
		bool more = now_ns() < stop;

		if (n == 0)
			errx(1, "nothing moves: %zu messages are under way", busy);
		for (int i = 0; i < n; i++) {
			struct pair *pair = events[i].data.ptr;

			if (pair->unsent > 0)
				send_some(pair);
			if ((events[i].events & EPOLLIN) == 0 || !receive_some(pair))
				continue;
			done++;
			if (more)
				next_message(pair);
			else
				busy--;
		}
	}
	close(epoll);
	return done;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	struct pair *pairs;
	uint64_t memory, cpu, begin, done;
	double seconds, cpu_seconds;
	size_t count;
	int listener;

	if (argc < 7)
		errx(2, "usage: bench_relay CONNECT-PORT LISTEN-PORT CONNECTIONS MESSAGE-BYTES "
			"SECONDS PID...");
	count = (size_t)atoi(argv[3]);
	make_message((size_t)atoi(argv[4]));
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	pairs = calloc(count, sizeof(*pairs));
	if (pairs == NULL)
		err(1, NULL);
	listener = listen_on(argv[2]);

	memory = sum_of(memory_bytes, argv + 6);
	for (size_t i = 0; i < count; i++)
		open_pair(&pairs[i], argv[1], listener);
	memory = sum_of(memory_bytes, argv + 6) - memory;

	cpu = sum_of(cpu_ns, argv + 6);
	begin = now_ns();
	done = run(pairs, count, atof(argv[5]));
	seconds = (double)(now_ns() - begin) / 1e9;
	cpu_seconds = (double)(sum_of(cpu_ns, argv + 6) - cpu) / 1e9;
	printf("{\"connections\": %zu, \"message_bytes\": %zu, \"messages\": %" PRIu64
	       ", \"seconds\": %.4f, \"cpu_seconds\": %.6f, \"memory_per_connection\": %.0f}\n",
	       count, message_len, done, seconds, cpu_seconds,
	       (double)(int64_t)memory / (double)count);
	return 0;
}
