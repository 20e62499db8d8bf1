/* SPDX-License-Identifier: MIT */
/*
 * single - keeps the codecs within one thread: functions that take the place of those in shared
 * libraries, for this executable.
 *
 * The sandbox has no threads. Neither libheif nor its callers can say so to libde265 (HEVC), which
 * it tells to start one and which then waits for it, nor to dav1d (AV1), which takes one for each
 * CPU that it may use. Should a library no longer ask here, its self-test fails and the format is
 * off.
 */
#include "config.h"

#include <pthread.h>
#include <sched.h>

#include "base/util.h"

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wmissing-declarations"

/* 0 is libde265's DE265_OK: without workers it decodes in the caller's thread. */
int de265_start_worker_threads(void *decoder UNUSED, int n UNUSED)
{
	return 0;
}

/* One CPU: dav1d then starts no thread. */
int pthread_getaffinity_np(pthread_t thread UNUSED, size_t size, cpu_set_t *set)
{
	CPU_ZERO_S(size, set);
	CPU_SET_S(0, size, set);
	return 0;
}
