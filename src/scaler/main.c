/* SPDX-License-Identifier: MIT */
/*
 * inset-scaler - the picture decoder's executable. insetd starts it; it has no use alone.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/child.h"
#include "scaler/zygote.h"

#define EXIT_USAGE 2

static const char usage[] = "usage: inset-scaler --user NAME --index N\n"
			    "Scales pictures for insetd, which starts it. See insetd(8).\n\n"
			    "      --user NAME   become this user when started as root\n"
			    "      --index N     number of this process\n"
			    "      --help        show this text\n"
			    "      --version     show the version\n";

static bool has_channel(void)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return getsockopt(CHILD_FD, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET;
}

/* Decoders die before streams do. Now, for the children too: later landlock closes /proc. */
static void prefer_for_oom(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd == -1)
		return;
	if (write(fd, "1000", 4) == -1)
		log_debug("oom_score_adj: %s", strerror(errno));
	close(fd);
}

/* GraphicsMagick reads much from the environment; nothing of it comes from outside. */
static int own_environment(void)
{
	if (clearenv() != 0 || setenv("OMP_NUM_THREADS", "1", 1) == -1 ||
	    setenv("HOME", "/nonexistent", 1) == -1 ||
	    setenv("MAGICK_CODER_STABILITY", "PRIMARY", 1) == -1)
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "user", required_argument, NULL, 'u' },
		{ "index", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *user = "";
	unsigned long index = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (c == 'V') {
			puts("inset-scaler (inset) " PACKAGE_VERSION);
			return 0;
		}
		if (c == 'u')
			user = optarg;
		else if (c == 'i')
			index = strtoul(optarg, NULL, 10);
		else
			return EXIT_USAGE;
	}
	if (optind < argc || !has_channel()) {
		fputs("inset-scaler: insetd starts this program; it has no use alone\n", stderr);
		return EXIT_USAGE;
	}
	if (own_environment()) {
		fputs("inset-scaler: out of memory\n", stderr);
		return EXIT_FAILURE;
	}
	child_open(ROLE_SCALER, (unsigned)index);
	prefer_for_oom();
	return zygote_run(user);
}
