/* SPDX-License-Identifier: MIT */
/*
 * site - see site.h.
 *
 * A request for health may have to wait: its connection is suspended, and asks again when woken.
 */
#include "config.h"

#include "web/site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "web/door.h"
#include "web/metrics.h"
#include "web/page.h"
#include "web/report.h"

#define METRICS_MAX (8 * 1024 * 1024) /* mostly rules */
#define HISTORY_MAX (2 * 1024 * 1024)
#define DROP_MAX    (64 * 1024) /* of a body, so that the answer is read */
#define THUMBNAIL   "/thumbnail/"

/* A request, from its header to its end. */
struct request {
	struct site *site;                 /* borrowed */
	struct MHD_Connection *connection; /* borrowed */
	struct inquiry_waiter waiter;
	bool waited;    /* once is enough */
	size_t dropped; /* of a body */
};

struct header {
	const char *name;
	const char *value;
};

/* --- answers ---------------------------------------------------------------------------- */

/* The page's own files and nothing else; no script inside of it. */
#define POLICY                                                                      \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " \
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const struct header always[] = {
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cache-Control", "no-store" },
	{ "Content-Security-Policy", POLICY },
};

static bool add_headers(struct MHD_Response *r, unsigned code, const char *type)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(always); i++)
		if (MHD_add_response_header(r, always[i].name, always[i].value) != MHD_YES)
			return false;
	if (code == MHD_HTTP_METHOD_NOT_ALLOWED &&
	    MHD_add_response_header(r, "Allow", "GET, HEAD") != MHD_YES)
		return false;
	if (code == MHD_HTTP_UNAUTHORIZED &&
	    MHD_add_response_header(r, "WWW-Authenticate",
				    "Basic realm=\"inset: any name, the token as password\", "
				    "charset=\"UTF-8\"") != MHD_YES)
		return false;
	return MHD_add_response_header(r, "Content-Type", type) == MHD_YES;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, const char *type,
			      const void *p, size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, (void *)(uintptr_t)p, mode);
	enum MHD_Result ok = MHD_NO;

	if (!r)
		return MHD_NO;
	if (add_headers(r, code, type))
		ok = MHD_queue_response(connection, code, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned code,
				   const char *text)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%s\n", text);

	return answer(connection, code, "text/plain; charset=utf-8", line,
		      MIN_OF((size_t)n, sizeof(line) - 1), MHD_RESPMEM_MUST_COPY);
}

/* What a printer has made; rc is its result. Gives the buffer back. */
static enum MHD_Result answer_buf(struct MHD_Connection *connection, const char *type,
				  struct buf *b, int rc)
{
	enum MHD_Result ok;

	if (rc)
		ok = answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
	else
		ok = answer(connection, MHD_HTTP_OK, type, b->p, b->len, MHD_RESPMEM_MUST_COPY);
	buf_fini(b);
	return ok;
}

static enum MHD_Result answer_metrics(const struct request *q)
{
	const struct conf *conf = q->site->conf;
	struct buf b;
	int rc;

	buf_init(&b, METRICS_MAX);
	rc = metrics_print(&b);
	if (!rc)
		rc = metrics_print_listeners(conf, &b);
	if (!rc)
		rc = metrics_print_rules(conf, &b);
	return answer_buf(q->connection, "text/plain; version=0.0.4; charset=utf-8", &b, rc);
}

static enum MHD_Result answer_status(const struct request *q)
{
	const struct site *s = q->site;
	struct buf b;

	inquiry_look(s->inquiry);
	buf_init(&b, REPORT_MAX);
	return answer_buf(q->connection, "application/json", &b,
			  report_print(s->conf, s->history, s->inquiry, &b));
}

static enum MHD_Result answer_history(const struct request *q, enum history_span span)
{
	struct buf b;

	buf_init(&b, HISTORY_MAX);
	return answer_buf(q->connection, "application/json", &b,
			  history_print(q->site->history, span, &b));
}

static enum MHD_Result answer_thumbnail(const struct request *q, const char *number)
{
	const struct inquiry_thumbnail *t = NULL;

	/* Up to 18 digits fit; others are nobody's. */
	if (strspn(number, "0123456789") == strlen(number) && strlen(number) <= 18)
		t = inquiry_thumbnail(q->site->inquiry, strtoull(number, NULL, 10));
	if (!t)
		return answer_text(q->connection, MHD_HTTP_NOT_FOUND, "no such thumbnail");
	return answer(q->connection, MHD_HTTP_OK, t->type, t->bytes, t->len, MHD_RESPMEM_MUST_COPY);
}

/* --- health ----------------------------------------------------------------------------- */

static void on_wake(struct inquiry_waiter *w)
{
	struct request *q = CONTAINER_OF(w, struct request, waiter);

	q->waited = true;
	MHD_resume_connection(q->connection);
	q->site->wake(q->connection);
}

static enum MHD_Result answer_health(struct request *q)
{
	struct inquiry *i = q->site->inquiry;
	struct inquiry_health h;
	const char *why;

	if (!metrics_is_healthy(&why))
		return answer_text(q->connection, MHD_HTTP_SERVICE_UNAVAILABLE, why);
	if (q->waited) {
		h = *inquiry_last_health(i);
	} else if (!inquiry_health(i, &q->waiter, &h)) {
		MHD_suspend_connection(q->connection);
		return MHD_YES;
	}
	return answer_text(q->connection, h.ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, h.why);
}

/* --- requests --------------------------------------------------------------------------- */

static enum MHD_Result site_route(struct request *q, const char *url)
{
	const struct page_file *file = page_find(url);

	if (file)
		return answer(q->connection, MHD_HTTP_OK, file->type, file->bytes, file->len,
			      MHD_RESPMEM_PERSISTENT);
	if (strcmp(url, "/metrics") == 0)
		return answer_metrics(q);
	if (strcmp(url, "/health") == 0)
		return answer_health(q);
	if (strcmp(url, "/status.json") == 0)
		return answer_status(q);
	if (strcmp(url, "/history.json") == 0)
		return answer_history(q, HISTORY_MINUTES);
	if (strcmp(url, "/history-day.json") == 0)
		return answer_history(q, HISTORY_DAY);
	if (strncmp(url, THUMBNAIL, strlen(THUMBNAIL)) == 0)
		return answer_thumbnail(q, url + strlen(THUMBNAIL));
	return answer_text(q->connection, MHD_HTTP_NOT_FOUND,
			   "there are /, /status.json, /metrics and /health");
}

static enum MHD_Result site_answer(struct request *q, const char *url, const char *method)
{
	struct MHD_Connection *c = q->connection;
	const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
	const char *authorization =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization");

	switch (door_judge(&q->site->conf->web, host, authorization)) {
	case DOOR_OPEN:
		break;
	case DOOR_TOKEN:
		return answer_text(c, MHD_HTTP_UNAUTHORIZED, "web.token is needed");
	case DOOR_HOST:
		return answer_text(c, MHD_HTTP_FORBIDDEN,
				   "for requests by this name web.token is needed");
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET only");
	return site_route(q, url);
}

enum MHD_Result site_on_request(void *cls, struct MHD_Connection *connection, const char *url,
				const char *method, const char *version UNUSED,
				const char *upload UNUSED, size_t *upload_size, void **state)
{
	struct site *s = cls;
	struct request *q = *state;

	/* The first call is for the header alone; bodies are read and dropped, up to a cap. */
	if (!q) {
		q = calloc(1, sizeof(*q));
		if (!q)
			return MHD_NO;
		q->site = s;
		q->connection = connection;
		q->waiter.wake = on_wake;
		list_init(&q->waiter.in);
		*state = q;
		return MHD_YES;
	}
	if (*upload_size) {
		q->dropped += *upload_size;
		*upload_size = 0;
		return q->dropped <= DROP_MAX ? MHD_YES : MHD_NO;
	}
	return s->conf ? site_answer(q, url, method) : MHD_NO;
}

void site_on_completed(void *cls UNUSED, struct MHD_Connection *connection UNUSED, void **state,
		       enum MHD_RequestTerminationCode how UNUSED)
{
	struct request *q = *state;

	if (!q)
		return;
	inquiry_leave(&q->waiter);
	free(q);
	*state = NULL;
}
