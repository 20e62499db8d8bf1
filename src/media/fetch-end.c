/* SPDX-License-Identifier: MIT */
/*
 * fetch-end - what follows from the end of a transfer. See fetch-inside.h.
 *
 * Called outside of libcurl, with all that its callbacks noted: the result, or the next hop, or the
 * next address that the proxy is asked for.
 *
 * Invariant: f is not touched after what may have freed it, which ends each way through here.
 */
#include "config.h"

#include "media/fetch-inside.h"

#include "base/counters.h"
#include "base/err.h"
#include "media/refusal.h"

/* A callback of ours ended the transfer. */
static void fetch_on_stop(struct fetch *f)
{
	int stop = f->stop;

	if (stop == ERR_NOT_FOUND)
		fetch_finish(f, JOB_HTTP, f->reply.status >= 500 || f->reply.status == 429);
	else if (stop == ERR_UNSUPPORTED)
		fetch_finish(f, JOB_NOT_PICTURE, false);
	else if (stop == ERR_TOO_BIG && f->reply.ended)
		fetch_finish(f, JOB_TOO_BIG, false);
	else if (stop == ERR_CLOSED) /* nobody waits, and it may not be kept */
		fetch_finish(f, JOB_DEADLINE, false);
	else if (stop == ERR_TOO_BIG) /* a flood of header lines */
		fetch_finish(f, JOB_HTTP, true);
	else
		fetch_finish(f, JOB_OVERLOAD, false);
}

/* Of connections that came about; those that are used again took no time. */
static void fetch_note_connect(const struct fetch *f)
{
	curl_off_t tcp = 0, tls = 0;
	long fresh = 0;

	if (curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &fresh) == CURLE_OK && fresh > 0 &&
	    curl_easy_getinfo(f->easy, CURLINFO_CONNECT_TIME_T, &tcp) == CURLE_OK &&
	    curl_easy_getinfo(f->easy, CURLINFO_APPCONNECT_TIME_T, &tls) == CURLE_OK && tcp > 0)
		counter_observe(HISTOGRAM_CONNECT, (uint64_t)MAX_OF(tcp, tls) / 1000);
}

/* No connection, or the proxy could make none: to the next address, if there is one. */
static void fetch_on_no_reply(struct fetch *f, long connect_code)
{
	if (f->proxied && connect_code && f->addrs_at + 1 < f->addrs_n) {
		f->addrs_at++;
		fetch_connect(f);
		return;
	}
	if (f->proxied && !connect_code)
		refusal_complain("fetch.proxy does not answer");
	fetch_finish(f, JOB_CONNECT, !f->proxied || connect_code);
}

void fetch_on_end(void *private, CURLcode code)
{
	struct fetch *f = private;
	long connect_code = 0;

	fetch_note_connect(f);
	(void)curl_easy_getinfo(f->easy, CURLINFO_HTTP_CONNECTCODE, &connect_code);
	fetch_close_hop(f);
	if (f->denied) {
		fetch_refuse(f, NULL);
	} else if (f->stop == ERR_NOT_FOUND && reply_is_redirect(&f->reply)) {
		fetch_redirect(f);
	} else if (f->stop) {
		fetch_on_stop(f);
	} else if (code == CURLE_FILESIZE_EXCEEDED) {
		fetch_finish(f, JOB_TOO_BIG, false);
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		fetch_finish(f, JOB_TIMEOUT, true);
	} else if (code == CURLE_OK && fetch_is_unchanged(f)) {
		fetch_finish(f, JOB_OK, false);
	} else if (code == CURLE_OK && f->reply.status == 200) {
		f->stop = body_seal(&f->body);
		if (f->stop)
			fetch_on_stop(f);
		else
			fetch_finish(f, JOB_OK, false);
	} else if (f->reply.status) {
		fetch_finish(f, JOB_HTTP, true); /* broke off */
	} else {
		fetch_on_no_reply(f, connect_code);
	}
}
