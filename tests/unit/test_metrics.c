/* SPDX-License-Identifier: MIT */
/*
 * test_metrics - the Prometheus text: HELP and TYPE once a name, histograms cumulative and
 * in agreement, caps. Over HTTP: integration/test_processes.py.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/counters.h"
#include "base/err.h"
#include "web/metrics.h"

static char *text(void)
{
	struct buf b;
	char *s;

	buf_init(&b, 256 * 1024);
	assert_int_equal(metrics_print(&b), 0);
	s = strndup((const char *)b.p, b.len);
	buf_fini(&b);
	assert_non_null(s);
	return s;
}

static unsigned count(const char *in, const char *what)
{
	unsigned n = 0;

	for (in = strstr(in, what); in; in = strstr(in + 1, what))
		n++;
	return n;
}

static void each_name_has_one_head(void **state UNUSED)
{
	char *s = text(), line[256];
	int i;

	for (i = 0; i < METRIC_COUNT; i++) {
		snprintf(line, sizeof(line), "# TYPE inset_%s ", metric_rows[i].name);
		if (count(s, line) != 1)
			fail_msg("%s", line);
		snprintf(line, sizeof(line), "# HELP inset_%s ", metric_rows[i].name);
		assert_int_equal(count(s, line), 1);
	}
	free(s);
}

static void counters_show(void **state UNUSED)
{
	char *s;

	counter_add(METRIC_BYTES_C2S, 12345);
	s = text();
	assert_non_null(strstr(s, "\ninset_bytes_total{direction=\"c2s\"} 12345\n"));
	assert_non_null(strstr(s, "\n# TYPE inset_sessions gauge\ninset_sessions 0\n"));
	free(s);
}

static void histograms_are_cumulative(void **state UNUSED)
{
	char *s;

	counter_observe(HISTOGRAM_HOLD, 0);
	counter_observe(HISTOGRAM_HOLD, 2);
	counter_observe(HISTOGRAM_HOLD, 10000);
	counter_observe(HISTOGRAM_HOLD, 10001);
	s = text();
	assert_non_null(strstr(s, "inset_hold_milliseconds_bucket{le=\"1\"} 1\n"));
	assert_non_null(strstr(s, "inset_hold_milliseconds_bucket{le=\"2\"} 2\n"));
	assert_non_null(strstr(s, "inset_hold_milliseconds_bucket{le=\"10000\"} 3\n"));
	assert_non_null(strstr(s, "inset_hold_milliseconds_bucket{le=\"+Inf\"} 4\n"));
	assert_non_null(strstr(s, "inset_hold_milliseconds_sum 20003\n"));
	assert_non_null(strstr(s, "inset_hold_milliseconds_count 4\n"));
	free(s);
}

static void listeners_show(void **state UNUSED)
{
	struct conf *conf = conf_new();
	struct conf_listen *l;
	int fd = counters_create();
	struct buf b;
	char *s;

	assert_non_null(conf);
	assert_non_null(conf_add_listen(conf, "c2s"));
	l = conf_add_listen(conf, "direct");
	assert_non_null(l);
	l->row = 5;
	assert_true(fd != -1);
	assert_int_equal(counters_map(fd, 1), 0);
	counters_listener_add(5, LISTENER_FIGURE_BYTES_S2C, 77);
	buf_init(&b, 4096);
	assert_int_equal(metrics_print_listeners(conf, &b), 0);
	s = strndup((const char *)b.p, b.len);
	assert_non_null(s);
	assert_non_null(strstr(
		s, "inset_listener_bytes_total{listener=\"direct\",direction=\"s2c\"} 77\n"));
	assert_non_null(
		strstr(s, "inset_listener_bytes_total{listener=\"c2s\",direction=\"s2c\"} 0\n"));
	assert_non_null(strstr(s, "# TYPE inset_listener_sessions "
				  "gauge\ninset_listener_sessions{listener=\"c2s\"} 0\n"));
	assert_int_equal(count(s, "# TYPE inset_listener_bytes_total counter\n"), 1);
	free(s);
	buf_fini(&b);
	conf_unref(&conf);
	close(fd);
}

static void health_needs_everything(void **state UNUSED)
{
	static const enum metric needed[] = { METRIC_PROCS_PROXY, METRIC_PROCS_MEDIA,
					      METRIC_PROCS_SCALER, METRIC_SCALER_FORMATS };
	const char *why;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		assert_false(metrics_is_healthy(&why));
		assert_true(strlen(why) > 5);
		counter_set(needed[i], 1);
	}
	assert_true(metrics_is_healthy(&why));
	assert_string_equal(why, "ok");
	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		counter_set(needed[i], 0);
		assert_false(metrics_is_healthy(&why));
		counter_set(needed[i], 1);
	}
	counter_set(METRIC_SCALER_PAUSED, 1);
	assert_false(metrics_is_healthy(&why));
	assert_non_null(strstr(why, "crash"));
	counter_set(METRIC_SCALER_PAUSED, 0);
	assert_true(metrics_is_healthy(&why));
}

static void a_full_buffer_is_an_error(void **state UNUSED)
{
	struct buf b;
	size_t max;

	for (max = 1; max < 3000; max += 7) {
		buf_init(&b, max);
		assert_int_equal(metrics_print(&b), ERR_FULL);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_has_one_head),
		cmocka_unit_test(counters_show),
		cmocka_unit_test(histograms_are_cumulative),
		cmocka_unit_test(listeners_show),
		cmocka_unit_test(health_needs_everything),
		cmocka_unit_test(a_full_buffer_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
