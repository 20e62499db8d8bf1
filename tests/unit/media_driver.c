/* SPDX-License-Identifier: MIT */
/*
 * media_driver - the media process without a master, for tests/integration/test_media.py.
 *
 * `media_driver generation PATH=VALUE...` prints the bytes of such a configuration;
 * `media_driver run` is the process itself, with its channel on descriptor 3.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "conf/generation.h"
#include "conf/read.h"
#include "media/service.h"

static int print_generation(const char *const *overrides, size_t n)
{
	struct conf_source src = { .listen = "127.0.0.1:1",
				   .upstream = "127.0.0.1:2",
				   .overrides = overrides,
				   .overrides_n = n };
	struct conf_problems problems = { 0 };
	struct conf *conf;
	struct buf b;
	size_t i;

	if (conf_read(&src, &conf, &problems)) {
		for (i = 0; i < problems.n; i++)
			fprintf(stderr, "%s\n", problems.v[i]);
		return 1;
	}
	buf_init(&b, GENERATION_MAX);
	if (generation_print(conf, GENERATION_FOR_PROXY, &b) ||
	    fwrite(b.p, 1, b.len, stdout) != b.len || fflush(stdout) != 0)
		return 1;
	buf_fini(&b);
	conf_unref(&conf);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "generation") == 0)
		return print_generation((const char *const *)argv + 2, (size_t)argc - 2);
	if (argc == 2 && strcmp(argv[1], "run") == 0)
		return media_main(0);
	return 2;
}
