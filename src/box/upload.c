/* SPDX-License-Identifier: MIT */
/*
 * upload - see upload.h.
 *
 * A refusal is decided as early as possible. What a refused client sends all the same is read
 * and dropped up to a cap, because an answer on a connection that is reset under it is lost.
 */
#include "config.h"

#include "box/upload.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/counters.h"
#include "base/log.h"

#define URL_MAX      512
#define NAME_MAX_LEN 100

struct box_upload {
	const struct http_site *site;      /* borrowed */
	struct MHD_Connection *connection; /* borrowed */
	struct token token;
	struct store_draft *draft; /* owned */
	struct store_file file;
	uint64_t size; /* announced */
	unsigned code; /* of a refusal; 0: none */
	const char *reason;
	enum metric counted;
	bool begun; /* was let in */
	bool waits; /* for the bucket or its thumbnail; the connection is suspended */
	bool committed;
	bool offered;
	bool expects; /* 100-continue */
	char name[NAME_MAX_LEN + 1];
};

static void refuse(struct box_upload *u, unsigned code, const char *reason)
{
	u->code = code;
	u->reason = reason;
	u->counted = code == MHD_HTTP_INSUFFICIENT_STORAGE ? METRIC_BOX_FULL
		     : code >= 500                         ? METRIC_BOX_FAILED
							   : METRIC_BOX_REFUSED;
	store_abort(&u->draft);
}

/* A failure of the store's. */
static void refuse_store(struct box_upload *u, int rc)
{
	static struct log_limit limit;
	unsigned dropped;

	if (rc == ERR_FULL)
		refuse(u, MHD_HTTP_INSUFFICIENT_STORAGE, "there is no room for this file");
	else if (rc == ERR_EXISTS)
		refuse(u, MHD_HTTP_CONFLICT, "another file was uploaded to this address");
	else if (rc == ERR_BAD_FORMAT || rc == ERR_TOO_BIG)
		refuse(u, MHD_HTTP_BAD_REQUEST, "the file is not as long as announced");
	else if (u->site->conf->upload.s3[0])
		refuse(u, MHD_HTTP_SERVICE_UNAVAILABLE, "the store is out of reach, try again");
	else
		refuse(u, MHD_HTTP_INTERNAL_SERVER_ERROR, "the file could not be stored");
	if (u->code >= 500 && log_limit_ok(&limit, 10, &dropped))
		log_warning("an upload was not stored: %s dropped=%u", err_str(rc), dropped);
}

/* --- the header ------------------------------------------------------------------------- */

static const char *header(const struct box_upload *u, const char *name)
{
	return MHD_lookup_connection_value(u->connection, MHD_HEADER_KIND, name);
}

/* What stands between /up/ and the next slash is the token; the rest a name that the URL keeps. */
static void check_token(struct box_upload *u, const char *path)
{
	char text[TOKEN_TEXT_MAX];
	size_t len = strcspn(path, "/"), i;
	int rc = ERR_SYNTAX;

	if (len < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", (int)len, path);
		rc = token_parse(&u->token, u->site->conf->upload.key, text, http_now());
	}
	if (rc == ERR_TIMEOUT)
		refuse(u, MHD_HTTP_FORBIDDEN, "this upload address has expired");
	else if (rc)
		refuse(u, MHD_HTTP_FORBIDDEN, "this is no upload address");
	if (rc || path[len] != '/')
		return;
	path += len + 1;
	for (i = 0; path[i] && i < NAME_MAX_LEN; i++)
		u->name[i] =
			isalnum((unsigned char)path[i]) || strchr("-_.", path[i]) ? path[i] : '-';
}

/* What is announced, also of what is refused. False: nothing is. */
static bool read_length(struct box_upload *u)
{
	const char *text = header(u, "Content-Length");
	char *end;

	if (!text || *text < '0' || *text > '9' || header(u, "Transfer-Encoding"))
		return false;
	errno = 0;
	u->size = strtoull(text, &end, 10);
	if (errno || *end)
		u->size = UINT64_MAX;
	return true;
}

static void check_length(struct box_upload *u, bool announced)
{
	if (!announced)
		refuse(u, MHD_HTTP_LENGTH_REQUIRED, "content length not declared");
	else if (u->size > u->token.max_bytes || u->size > u->site->conf->upload.max_bytes)
		refuse(u, MHD_HTTP_CONTENT_TOO_LARGE, "the file is too large");
	else if (u->size == 0)
		refuse(u, MHD_HTTP_BAD_REQUEST, "the file is empty");
	else if (u->token.slot && u->size != u->token.max_bytes)
		refuse(u, MHD_HTTP_FORBIDDEN, "this upload address is for a file of another size");
}

/* A type that may stand in a header of ours: "main/sub", parameters are dropped. */
static bool type_parse(const char *text, char out[STORE_TYPE_MAX + 1])
{
	size_t i, n = strcspn(text, "; \t"), slash = strcspn(text, "/");

	if (n == 0 || n > STORE_TYPE_MAX || slash == 0 || slash + 1 >= n)
		return false;
	for (i = 0; i < n; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr("!#$&^_.+-/", text[i]))
			return false;
		out[i] = (char)tolower((unsigned char)text[i]);
	}
	out[n] = '\0';
	return !strchr(out + slash + 1, '/');
}

static void check_type(struct box_upload *u)
{
	const char *text = header(u, "Content-Type");

	if (!type_parse(text ? text : "application/octet-stream", u->file.type) ||
	    !token_type_matches(u->token.types, u->file.type))
		refuse(u, MHD_HTTP_NOT_ACCEPTABLE, "files of this type are not accepted");
}

/* What is stored is served as the file: no part of one, nor packed. RFC 9110 sections 8.4, 14.5. */
static void check_whole(struct box_upload *u)
{
	const char *coding = header(u, "Content-Encoding");

	if (header(u, "Content-Range"))
		refuse(u, MHD_HTTP_BAD_REQUEST, "parts of files are not accepted");
	else if (coding && strcasecmp(coding, "identity") != 0)
		refuse(u, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "packed files are not accepted");
}

struct box_upload *box_upload_new(const struct http_site *site, struct MHD_Connection *connection,
				  const char *path)
{
	struct box_upload *u = calloc(1, sizeof(*u));
	bool announced;
	int rc;

	if (!u)
		return NULL;
	u->site = site;
	u->connection = connection;
	u->expects = header(u, "Expect") != NULL;
	announced = read_length(u);
	check_token(u, path);
	if (!u->code)
		check_length(u, announced);
	if (!u->code)
		check_type(u);
	if (!u->code)
		check_whole(u);
	if (u->code)
		return u;
	memcpy(u->file.id, u->token.id, sizeof(u->file.id));
	rc = store_begin(site->store, u->token.user, u->size, &u->draft);
	u->begun = rc == 0;
	if (rc)
		refuse_store(u, rc);
	else
		http_allow(connection, site->conf, u->size);
	return u;
}

void box_upload_free(struct box_upload **u)
{
	if (!*u)
		return;
	store_abort(&(*u)->draft);
	free(*u);
	*u = NULL;
}

bool box_upload_is_refused(const struct box_upload *u)
{
	return u->code && (u->expects || u->size > HTTP_DROP_MAX);
}

/* --- the body --------------------------------------------------------------------------- */

bool box_upload_add(struct box_upload *u, const void *p, size_t len)
{
	int rc;

	if (u->code) /* what was let in is read to its end, which has a deadline and a cap */
		return u->begun || http_drop(u->connection, len);
	rc = store_write(u->draft, p, len);
	if (rc)
		refuse_store(u, rc);
	return true;
}

/* --- the answer ------------------------------------------------------------------------- */

static const char *extension_of(const char *type)
{
	static const char *const known[][2] = {
		{ "image/jpeg", ".jpg" }, { "image/jpg", ".jpg" },       { "image/png", ".png" },
		{ "image/gif", ".gif" },  { "image/webp", ".webp" },     { "image/bmp", ".bmp" },
		{ "text/plain", ".txt" }, { "text/vcard", ".vcf" },      { "text/x-vcard", ".vcf" },
		{ "video/mp4", ".mp4" },  { "audio/mpeg", ".mp3" },      { "audio/ogg", ".ogg" },
		{ "audio/mp4", ".m4a" },  { "application/pdf", ".pdf" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(known[i][0], type) == 0)
			return known[i][1];
	return "";
}

static size_t print_url(const struct box_upload *u, char out[URL_MAX])
{
	char id[2 * TOKEN_ID_LEN + 1];

	hash_print_hex(u->file.id, sizeof(u->file.id), id);
	return (size_t)snprintf(out, URL_MAX, "%s/f/%s%s%s", u->site->conf->upload.public_url, id,
				u->name[0] ? "/" : "",
				u->name[0] ? u->name : extension_of(u->file.type));
}

static enum MHD_Result answer_url(struct box_upload *u)
{
	char url[URL_MAX];
	size_t len = print_url(u, url);
	struct MHD_Response *r = MHD_create_response_from_buffer(len, url, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok = MHD_NO;

	if (!r)
		return MHD_NO;
	counter_inc(METRIC_BOX_UPLOADS);
	if (http_harden(u->connection, r) &&
	    MHD_add_response_header(r, "Content-Type", "text/url") == MHD_YES)
		ok = MHD_queue_response(u->connection,
					u->token.slot ? MHD_HTTP_CREATED : MHD_HTTP_OK, r);
	MHD_destroy_response(r);
	return ok;
}

static void on_offered(void *arg)
{
	struct box_upload *u = arg;

	u->waits = false;
	http_resume(u->connection);
}

/* The bucket has it, or not. */
static void on_stored(void *arg, int rc, const struct store_file *f)
{
	struct box_upload *u = arg;

	u->waits = false;
	u->committed = rc == 0;
	if (rc)
		refuse_store(u, rc);
	else
		u->file = *f;
	http_resume(u->connection);
}

static void commit(struct box_upload *u)
{
	const struct conf_upload *c = &u->site->conf->upload;
	int rc;

	/* While its address can be used it is not free for another file. */
	u->file.expires = MAX_OF(http_now() + c->expire / 1000, u->token.expires);
	if (c->s3[0]) {
		rc = s3_store(u->site->s3, u->site->conf, u->site->store, &u->draft, &u->file,
			      on_stored, u);
		u->waits = rc == 0;
	} else {
		rc = store_commit(&u->draft, &u->file, http_now());
		u->committed = rc == 0;
	}
	if (rc)
		refuse_store(u, rc);
}

static bool offer(struct box_upload *u)
{
	char url[URL_MAX];

	u->offered = true;
	print_url(u, url);
	return offer_start(u->site->offers, url, &u->file, on_offered, u);
}

enum MHD_Result box_upload_end(struct box_upload *u)
{
	if (u->waits)
		return MHD_YES;
	if (!u->code && !u->committed) {
		http_allow(u->connection, u->site->conf, u->site->conf->upload.s3[0] ? u->size : 0);
		commit(u);
	}
	if (!u->code && u->committed && !u->offered) {
		http_allow(u->connection, u->site->conf, 0);
		u->waits = offer(u);
	}
	if (u->waits) {
		MHD_suspend_connection(u->connection);
		return MHD_YES;
	}
	if (u->code) {
		counter_inc(u->counted);
		return http_reason(u->connection, u->code, u->reason);
	}
	return answer_url(u);
}
