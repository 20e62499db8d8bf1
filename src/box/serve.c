/* SPDX-License-Identifier: MIT */
/*
 * serve - see serve.h.
 *
 * A file is named by its id alone; what stands behind that in the path is for people.
 */
#include "config.h"

#include "box/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/picture.h"
#include "box/byterange.h"

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool etag_matches(const char *list, const char *etag)
{
	return list && (strcmp(list, "*") == 0 || strstr(list, etag));
}

static bool add_headers(struct MHD_Connection *connection, struct MHD_Response *r,
			const struct store_file *f, const char *etag)
{
	char cache[64];
	uint64_t now = http_now();

	snprintf(cache, sizeof(cache), "public, max-age=%llu, immutable",
		 (unsigned long long)(f->expires > now ? f->expires - now : 0));
	return http_harden(connection, r) && MHD_add_response_header(r, "ETag", etag) == MHD_YES &&
	       MHD_add_response_header(r, "Cache-Control", cache) == MHD_YES &&
	       MHD_add_response_header(r, "Accept-Ranges", "bytes") == MHD_YES;
}

static enum MHD_Result answer_empty(struct MHD_Connection *connection, unsigned code,
				    const struct store_file *f, const char *etag)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ok = MHD_NO;
	char text[64];

	if (!r)
		return MHD_NO;
	snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)f->size);
	if (add_headers(connection, r, f, etag) &&
	    (code != MHD_HTTP_RANGE_NOT_SATISFIABLE ||
	     MHD_add_response_header(r, "Content-Range", text) == MHD_YES))
		ok = MHD_queue_response(connection, code, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result answer_file(struct MHD_Connection *connection, const struct store_file *f,
				   const char *etag, const struct byterange *range, int fd)
{
	struct MHD_Response *r =
		MHD_create_response_from_fd_at_offset64(range->len, fd, range->from);
	enum MHD_Result ok = MHD_NO;
	char text[96];

	if (!r) {
		close(fd);
		return MHD_NO;
	}
	snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)range->from,
		 (unsigned long long)(range->from + range->len - 1), (unsigned long long)f->size);
	if (add_headers(connection, r, f, etag) &&
	    MHD_add_response_header(r, "Content-Type", f->type) == MHD_YES &&
	    MHD_add_response_header(r, "Content-Disposition", "attachment") == MHD_YES &&
	    (!range->partial || MHD_add_response_header(r, "Content-Range", text) == MHD_YES))
		ok = MHD_queue_response(connection,
					range->partial ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return ok;
}

/* What is asked for of it; NULL: all. Only GET asks for parts (RFC 9110 section 14.2). */
static const char *part_of(struct MHD_Connection *connection, const char *method, const char *etag)
{
	const char *condition = header(connection, "If-Range");

	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 || (condition && strcmp(condition, etag) != 0))
		return NULL;
	return header(connection, "Range");
}

/* Takes fd. */
static enum MHD_Result serve_fd(const struct http_site *site, struct MHD_Connection *connection,
				const char *method, const struct store_file *f, int fd)
{
	char etag[2 * HASH_SHA256_LEN + 3] = "\"";
	struct byterange range;
	unsigned code = 0;

	hash_print_hex(f->sha256, sizeof(f->sha256), etag + 1);
	strcat(etag, "\"");
	if (etag_matches(header(connection, "If-None-Match"), etag))
		code = MHD_HTTP_NOT_MODIFIED;
	else if (!byterange_parse(part_of(connection, method, etag), f->size, &range))
		code = MHD_HTTP_RANGE_NOT_SATISFIABLE;
	if (code) {
		close(fd);
		return answer_empty(connection, code, f, etag);
	}
	counter_inc(METRIC_BOX_DOWNLOADS);
	http_allow(connection, site->conf, range.len);
	return answer_file(connection, f, etag, &range, fd);
}

/* "64 digits, then the end or a dot": a thumbnail's hash. */
static bool hash_parse(const char *text, uint8_t sum[HASH_SHA256_LEN])
{
	char digits[2 * HASH_SHA256_LEN + 1];
	size_t len = strspn(text, "0123456789abcdef");

	if (len != 2 * HASH_SHA256_LEN || (text[len] && text[len] != '.'))
		return false;
	snprintf(digits, sizeof(digits), "%s", text);
	return hash_parse_hex(digits, sum, HASH_SHA256_LEN) == 0;
}

/* Its type is what its bytes say. */
static int open_thumbnail(const struct http_site *site, const uint8_t sum[HASH_SHA256_LEN],
			  struct store_file *f)
{
	int fd = store_thumbnail(site->store, sum, http_now(), f);
	const char *type = NULL;
	uint8_t head[16];

	if (fd == -1)
		return -1;
	if (pread(fd, head, sizeof(head), 0) == sizeof(head))
		type = picture_mime(picture_sniff(head, sizeof(head)));
	snprintf(f->type, sizeof(f->type), "%s", type ? type : "application/octet-stream");
	return fd;
}

/* --- what is not here may be in the bucket --------------------------------------------- */

static void on_fetched(void *arg, int rc, const struct store_file *f UNUSED)
{
	struct http_connection *c = arg;

	c->answer = rc;
	http_resume(c->connection);
}

/*
 * An upload by its id, or a thumbnail by its hash. True: the connection is suspended. Else *rc_out:
 * ERR_NOT_FOUND, or why nobody knows.
 */
static bool ask_bucket(const struct http_site *site, struct MHD_Connection *connection,
		       const uint8_t *id, const uint8_t *sum, int *rc_out)
{
	struct http_connection *c = http_context(connection);

	*rc_out = ERR_NOT_FOUND;
	if (!site->conf->upload.s3[0])
		return false;
	*rc_out = !c ? ERR_NOMEM : c->answer;
	if (!c || c->asked)
		return false;
	*rc_out = id ? s3_fetch(site->s3, site->conf, site->store, id, on_fetched, c)
		     : s3_fetch_thumbnail(site->s3, site->conf, site->store, sum, on_fetched, c);
	if (*rc_out)
		return false;
	c->asked = true;
	http_allow(connection, site->conf, site->conf->upload.max_bytes);
	MHD_suspend_connection(connection);
	return true;
}

enum MHD_Result serve(const struct http_site *site, struct MHD_Connection *connection,
		      const char *path, const char *method)
{
	uint8_t id[TOKEN_ID_LEN], sum[HASH_SHA256_LEN];
	int fd = -1, rc = ERR_NOT_FOUND;
	struct store_file f;

	if (strncmp(path, "/f/", 3) == 0 && http_parse_id(path + 3, id)) {
		if (store_find(site->store, id, http_now(), &f) == 0)
			fd = store_read(site->store, &f);
		if (fd == -1 && ask_bucket(site, connection, id, NULL, &rc))
			return MHD_YES;
	} else if (strncmp(path, "/t/", 3) == 0 && hash_parse(path + 3, sum)) {
		fd = open_thumbnail(site, sum, &f);
		if (fd == -1 && ask_bucket(site, connection, NULL, sum, &rc))
			return MHD_YES;
	}
	if (fd != -1)
		return serve_fd(site, connection, method, &f, fd);
	if (rc == ERR_NOT_FOUND)
		return http_reason(connection, MHD_HTTP_NOT_FOUND, "not found");
	if (rc == ERR_FULL)
		return http_reason(connection, MHD_HTTP_INSUFFICIENT_STORAGE,
				   "there is no room for this file");
	return http_reason(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			   "the store is out of reach, try again");
}
