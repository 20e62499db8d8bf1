/* SPDX-License-Identifier: MIT */
/*
 * http - see http.h.
 */
#include "config.h"

#include "box/http.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define PATIENCE_MS 30000 /* on top of the time for a request's bytes */
#define METHODS     "GET, HEAD, POST, PUT"

uint64_t http_now(void)
{
	return (uint64_t)clock_wall();
}

struct http_connection *http_context(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void http_allow(struct MHD_Connection *connection, const struct conf *conf, uint64_t bytes)
{
	struct http_connection *c = http_context(connection);

	if (c)
		c->deadline = clock_now() + PATIENCE_MS +
			      (int64_t)(bytes / conf->upload.low_speed * 1000);
}

/* --- requests that are odd -------------------------------------------------------------- */

struct form {
	unsigned lengths, encodings, hosts;
	bool spaced; /* "Name :" */
};

static enum MHD_Result on_header(void *arg, enum MHD_ValueKind kind UNUSED, const char *name,
				 const char *value UNUSED)
{
	struct form *f = arg;

	f->lengths += strcasecmp(name, "Content-Length") == 0;
	f->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
	f->hosts += strcasecmp(name, "Host") == 0;
	f->spaced |= strpbrk(name, " \t") != NULL;
	return MHD_YES;
}

bool http_is_ambiguous(struct MHD_Connection *connection)
{
	struct form f = { 0 };

	(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, on_header, &f);
	return f.lengths + f.encodings > 1 || f.hosts > 1 || f.spaced;
}

bool http_drop(struct MHD_Connection *connection, size_t len)
{
	struct http_connection *c = http_context(connection);

	if (!c)
		return false;
	c->dropped += len;
	return c->dropped <= HTTP_DROP_MAX;
}

/* --- pages of other origins ------------------------------------------------------------- */

static bool is_for_all(const struct conf_list *origins)
{
	return origins->n == 1 && strcmp(origins->v[0], "*") == 0;
}

/* The page's origin, "*", or NULL: it may not, or it is no page of another origin. */
static const char *origin_of(struct MHD_Connection *connection, const struct conf_list *origins)
{
	const char *origin = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Origin");
	size_t i;

	if (is_for_all(origins))
		return "*";
	for (i = 0; i < origins->n; i++)
		if (origin && strcmp(origins->v[i], origin) == 0)
			return origins->v[i];
	return NULL;
}

/* No credentials: who has an address may use it, and nothing else is asked for. */
static bool add_cors(struct MHD_Connection *connection, struct MHD_Response *r)
{
	const struct http_connection *c = http_context(connection);
	const struct conf_list *origins = c ? &c->conf->upload.cors : NULL;
	const char *origin = origins ? origin_of(connection, origins) : NULL;

	if (!origins || !origins->n)
		return true;
	if (!is_for_all(origins) && MHD_add_response_header(r, "Vary", "Origin") != MHD_YES)
		return false;
	return !origin ||
	       (MHD_add_response_header(r, "Access-Control-Allow-Origin", origin) == MHD_YES &&
		MHD_add_response_header(r, "Access-Control-Expose-Headers",
					"Accept-Ranges, Content-Range, ETag") == MHD_YES);
}

bool http_harden(struct MHD_Connection *connection, struct MHD_Response *r)
{
	return MHD_add_response_header(r, "X-Content-Type-Options", "nosniff") == MHD_YES &&
	       MHD_add_response_header(r, "Content-Security-Policy",
				       "default-src 'none'; sandbox; frame-ancestors 'none'") ==
		       MHD_YES &&
	       add_cors(connection, r);
}

enum MHD_Result http_preflight(struct MHD_Connection *connection)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	const struct http_connection *c = http_context(connection);
	enum MHD_Result ok = MHD_NO;

	if (!r)
		return MHD_NO;
	if (http_harden(connection, r) &&
	    MHD_add_response_header(r, "Allow", METHODS ", OPTIONS") == MHD_YES &&
	    (!c || !origin_of(connection, &c->conf->upload.cors) ||
	     (MHD_add_response_header(r, "Access-Control-Allow-Methods", METHODS) == MHD_YES &&
	      MHD_add_response_header(r, "Access-Control-Allow-Headers",
				      "Content-Type, If-None-Match, If-Range, Range") == MHD_YES &&
	      MHD_add_response_header(r, "Access-Control-Max-Age", "7200") == MHD_YES)))
		ok = MHD_queue_response(connection, MHD_HTTP_NO_CONTENT, r);
	MHD_destroy_response(r);
	return ok;
}

/* --- requests and answers --------------------------------------------------------------- */

enum MHD_Result http_reason(struct MHD_Connection *connection, unsigned code, const char *text)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%s\n", text);
	struct MHD_Response *r = MHD_create_response_from_buffer(
		MIN_OF((size_t)n, sizeof(line) - 1), line, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok = MHD_NO;

	if (!r)
		return MHD_NO;
	if (http_harden(connection, r) &&
	    MHD_add_response_header(r, "Content-Type", "text/plain; charset=utf-8") == MHD_YES &&
	    (code != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     MHD_add_response_header(r, "Allow", METHODS ", OPTIONS") == MHD_YES))
		ok = MHD_queue_response(connection, code, r);
	MHD_destroy_response(r);
	return ok;
}

const char *http_path(const struct conf *conf, const char *url)
{
	const char *host = strstr(conf->upload.public_url, "//");
	const char *own = host ? strchr(host + 2, '/') : NULL;
	size_t len = own ? strlen(own) : 0;

	return len && strncmp(url, own, len) == 0 && url[len] == '/' ? url + len : url;
}

bool http_parse_id(const char *text, uint8_t id[TOKEN_ID_LEN])
{
	char digits[2 * TOKEN_ID_LEN + 1];
	size_t len = strspn(text, "0123456789abcdef");

	if (len != 2 * TOKEN_ID_LEN || (text[len] && text[len] != '.' && text[len] != '/'))
		return false;
	snprintf(digits, sizeof(digits), "%s", text);
	return hash_parse_hex(digits, id, TOKEN_ID_LEN) == 0;
}

void http_resume(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *daemon =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_DAEMON);
	struct http_connection *c = http_context(connection);
	struct event *wake = c ? c->wake : NULL;

	MHD_resume_connection(connection);
	/* Its epoll descriptor does not tell of this, nor of what is left of an answer then. */
	if (daemon)
		MHD_run(daemon->daemon);
	if (wake)
		event_active(wake, EV_TIMEOUT, 0);
}
