/* SPDX-License-Identifier: MIT */
/*
 * notify - see notify.h.
 */
#include "config.h"

#include "master/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

static struct {
	struct sockaddr_un to;
	socklen_t len; /* 0: nobody to tell */
	uint64_t watchdog_ms;
} notify;

static uint64_t number_of(const char *name)
{
	const char *text = getenv(name);
	unsigned long long n;
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return 0;
	errno = 0;
	n = strtoull(text, &end, 10);
	return *end || errno ? 0 : n;
}

void notify_open(bool heir)
{
	const char *path = getenv("NOTIFY_SOCKET");
	uint64_t pid = number_of("WATCHDOG_PID");
	size_t len = path ? strlen(path) : 0;

	memset(&notify, 0, sizeof(notify));
	if (len < 2 || len >= sizeof(notify.to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	notify.to.sun_family = AF_UNIX;
	memcpy(notify.to.sun_path, path, len);
	if (path[0] == '@')
		notify.to.sun_path[0] = '\0';
	notify.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (heir || pid == 0 || pid == (uint64_t)getpid())
		notify.watchdog_ms = number_of("WATCHDOG_USEC") / 1000;
}

void notify_close(void)
{
	notify.len = 0;
	notify.watchdog_ms = 0;
}

uint64_t notify_watchdog_ms(void)
{
	return notify.watchdog_ms;
}

void notify_send(const char *fmt, ...)
{
	static struct log_limit limit;
	unsigned dropped;
	char text[1024];
	va_list ap;
	int fd, n;

	if (!notify.len)
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n <= 0 || (size_t)n >= sizeof(text))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || sendto(fd, text, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&notify.to,
			       notify.len) == -1) {
		if (log_limit_ok(&limit, 2, &dropped))
			log_warning("the service manager cannot be told: %m");
	}
	if (fd != -1)
		close(fd);
}
