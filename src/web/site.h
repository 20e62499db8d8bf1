/* SPDX-License-Identifier: MIT */
/*
 * site - what is answered to which request: the page, /status.json, its history, /metrics and
 * /health.
 *
 * GET and HEAD only; nothing that is asked changes anything. Every answer keeps a browser from
 * running, framing or storing it.
 */
#pragma once

#include <event2/event.h>
#include <microhttpd.h>

#include "conf/conf.h"
#include "web/history.h"
#include "web/inquiry.h"

/* What requests are answered from; all borrowed. */
struct site {
	const struct conf *conf; /* NULL: not live */
	struct history *history;
	struct inquiry *inquiry;
	/* A connection goes on: its daemon is to be run. */
	void (*wake)(struct MHD_Connection *connection);
};

/* For MHD_start_daemon(), cls the site; and for MHD_OPTION_NOTIFY_COMPLETED. */
enum MHD_Result site_on_request(void *cls, struct MHD_Connection *connection, const char *url,
				const char *method, const char *version, const char *upload,
				size_t *upload_size, void **state);
void site_on_completed(void *cls, struct MHD_Connection *connection, void **state,
		       enum MHD_RequestTerminationCode how);
