/* SPDX-License-Identifier: MIT */
/*
 * bob - answers for data that is known by its cid (XEP-0231) when the one that was asked
 * cannot: the asked one's error becomes the result, one for one.
 *
 * The data is in the media process: thumbnails that inset named in somebody's message and,
 * with keep-bob, data that was seen on its way. This filter remembers who was asked for
 * what (request.h), looks up and writes. It answers nothing by itself: no error, no answer.
 *
 * Only the one form of a cid that inset writes counts, byte for byte: sha1+, 40 lower-case
 * digits, @bob.xmpp.org.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "bob/request.h"
#include "filter/filter.h"
#include "filter/owner.h"
#include "xmpp/ns.h"

/* NS_BOB itself is no constant expression; the tests compare the two. */
#define BOB_NEEDLE "urn:xmpp:bob"
#define BOTH       (1u << LANE_C2S | 1u << LANE_S2C)

#define CID_HEX       (2 * HASH_SHA1_LEN)
#define KEEP_MAX      4 /* data elements of one message that are looked at */
#define CID_HEAD      "sha1+"
#define CID_TAIL      "@bob.xmpp.org"
#define MAX_AGE_UNSET UINT32_MAX

struct bob {
	struct requests requests;
};

/* A reply that waits for its data, in its arena. */
struct reply {
	uint8_t cid[HASH_SHA1_LEN];
};

static const struct filter_want wants[] = {
	{ .kind = UNIT_IQ, .dirs = BOTH, .iq_types = 1u << IQ_GET, .child_ns = BOB_NEEDLE },
	/* keep-bob only */
	{ .kind = UNIT_MESSAGE, .dirs = BOTH, .needle = BOB_NEEDLE },
	{ .kind = UNIT_KIND_COUNT },
};

static bool bob_wants_row(const struct conf_listen *listen, const struct filter_want *want)
{
	return want->kind == UNIT_IQ || listen->keep_bob;
}

static int bob_open(struct filter_instance *f)
{
	f->state = NULL; /* made with the first request: most sessions have none */
	return 0;
}

static void bob_close(struct filter_instance *f)
{
	struct bob *b = f->state;

	if (b)
		requests_fini(&b->requests);
	free(b);
	f->state = NULL;
}

/* --- cids ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool cid_parse(const char *text, uint8_t cid[HASH_SHA1_LEN])
{
	const size_t head = strlen(CID_HEAD);
	const char *hex = text + head;
	size_t i;

	if (strlen(text) != head + CID_HEX + strlen(CID_TAIL) || strncmp(text, CID_HEAD, head) ||
	    strcmp(hex + CID_HEX, CID_TAIL) != 0)
		return false;
	for (i = 0; i < HASH_SHA1_LEN; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high == -1 || low == -1)
			return false;
		cid[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static void cid_print(char out[CID_HEX + 1], const uint8_t cid[HASH_SHA1_LEN])
{
	size_t i;

	for (i = 0; i < HASH_SHA1_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", cid[i]);
}

/* --- requests and replies -------------------------------------------------------------- */

static void bob_track(struct filter_instance *f, const struct filter_unit *u)
{
	const struct outline *o = u->outline;
	const char *id = outline_attr(o, 0, "", "id"), *to = outline_attr(o, 0, "", "to");
	const char *from = outline_attr(o, 0, "", "from");
	int data = outline_child(o, 0, NS_BOB, "data", 1);
	const char *cid = data == -1 ? NULL : outline_attr(o, data, "", "cid");
	uint8_t sum[HASH_SHA1_LEN];
	struct bob *b = f->state;

	if (!id || !*id || strlen(id) > REQUEST_ID_MAX || !to || !*to || !cid ||
	    !cid_parse(cid, sum))
		return;
	if (!b)
		f->state = b = calloc(1, sizeof(*b));
	if (!b || requests_add(&b->requests, u->dir, (unsigned)f->conf->limits.bob_requests, id, to,
			       from && *from ? from : NULL, sum))
		log_debug("out of memory for a request, its reply passes as it comes");
}

static bool bob_awaits(struct filter_instance *f, enum lane_dir dir, enum iq_type type,
		       const struct tag *iq)
{
	struct bob *b = f->state;
	struct request *q = b ? requests_find(&b->requests, dir, iq) : NULL;

	if (!q)
		return false;
	if (type == IQ_ERROR || f->listen->keep_bob)
		return true;
	requests_drop(&b->requests, q); /* answered, and nothing to do with it */
	return false;
}

/* Errors that say "I have no such thing". libpurple once left the <error/> around them out. */
static bool is_not_there(const struct outline *o)
{
	static const char *const conditions[] = { "item-not-found", "service-unavailable",
						  "feature-not-implemented" };
	size_t i, k;

	for (i = 1; i < o->elements_n; i++) {
		const struct outline_element *e = &o->elements[i];
		bool wrapped = e->depth == 2 && strcmp(o->elements[e->parent].local, "error") == 0;

		if ((e->depth != 1 && !wrapped) || strcmp(e->ns, NS_STANZAS) != 0)
			continue;
		for (k = 0; k < ARRAY_SIZE(conditions); k++)
			if (strcmp(e->local, conditions[k]) == 0)
				return true;
	}
	return false;
}

/* --- data in transit ------------------------------------------------------------------- */

/* Seconds; MAX_AGE_UNSET if the owner did not say. */
static uint32_t max_age_of(const struct outline *o, int data)
{
	const char *text = outline_attr(o, data, "", "max-age");
	unsigned long long v;

	if (!text || !*text || text[strspn(text, "0123456789")])
		return MAX_AGE_UNSET;
	v = strtoull(text, NULL, 10); /* too large: ULLONG_MAX */
	return (uint32_t)MIN_OF(v, MAX_AGE_UNSET);
}

/* Keeps the data of this element if it is what its cid says. */
static void bob_keep(struct filter_instance *f, const struct filter_unit *u, int data,
		     const char *owner)
{
	const struct outline *o = u->outline;
	const char *cid = outline_attr(o, data, "", "cid");
	const char *text = o->elements[data].text;
	struct job_keep k = { .type = outline_attr(o, data, "", "type"),
			      .max_age = max_age_of(o, data) };
	uint8_t claimed[HASH_SHA1_LEN], sum[HASH_SHA1_LEN], *bytes;
	size_t len = strlen(text);

	/* A third of room for white space is enough. */
	if (!cid || !cid_parse(cid, claimed) || !k.type || !job_type_is_ok(k.type) || !k.max_age ||
	    !len || len > 2 * BASE64_LEN(f->conf->limits.bob_bytes))
		return;
	bytes = arena_alloc(u->arena, len / 4 * 3 + 3);
	if (!bytes || base64_parse(bytes, &k.len, text, len) || !k.len ||
	    k.len > f->conf->limits.bob_bytes || hash_sha1(bytes, k.len, sum) ||
	    memcmp(sum, claimed, sizeof(sum)) != 0 || owner_of(owner, k.owner))
		return;
	k.bytes = bytes;
	f->host->keep(f->host->ctx, &k);
}

static void bob_keep_message(struct filter_instance *f, const struct filter_unit *u)
{
	const struct outline *o = u->outline;
	const char *type = outline_attr(o, 0, "", "type");
	int data, n;

	/* An error brings back what somebody else sent. */
	if (!u->from || (type && strcmp(type, "error") == 0) ||
	    outline_child(o, 0, NS_HINTS, "no-store", 1) != -1 ||
	    outline_child(o, 0, NS_HINTS, "no-permanent-store", 1) != -1)
		return;
	data = outline_child(o, 0, NS_BOB, "data", 1);
	for (n = 0; data != -1 && n < KEEP_MAX; n++) {
		bob_keep(f, u, data, u->from);
		data = outline_child(o, 0, NS_BOB, "data", data + 1);
	}
}

/* --- the filter ------------------------------------------------------------------------ */

static enum filter_verdict bob_on_reply(struct filter_instance *f, struct filter_unit *u,
					bool error)
{
	struct bob *b = f->state;
	struct job job = { .url = "", .declared = "", .find_cid = true };
	struct reply *reply = arena_alloc(u->arena, sizeof(*reply));
	struct request *q;
	struct tag tag;
	int data, rc;

	if (!b || tag_read(&tag, u->outline->bytes, u->outline->elements[0].start_end))
		return FILTER_PASS;
	q = requests_find(&b->requests, u->dir, &tag);
	if (!q)
		return FILTER_PASS;
	data = outline_child(u->outline, 0, NS_BOB, "data", 1);
	if (!error && data != -1)
		bob_keep(f, u, data, q->asked);
	memcpy(job.cid, q->cid, sizeof(job.cid));
	rc = owner_of(q->asked, job.owner);
	requests_drop(&b->requests, q);
	if (rc || !error || !reply || !is_not_there(u->outline))
		return FILTER_PASS;
	memcpy(reply->cid, job.cid, sizeof(reply->cid));
	u->state = reply;
	return f->host->start_job(f->host->ctx, u, &job) ? FILTER_WAIT : FILTER_PASS;
}

static enum filter_verdict bob_on_unit(struct filter_instance *f, struct filter_unit *u)
{
	const char *type = outline_attr(u->outline, 0, "", "type");

	if (u->kind == UNIT_MESSAGE)
		bob_keep_message(f, u);
	else if (type && strcmp(type, "get") == 0)
		bob_track(f, u);
	else if (type)
		return bob_on_reply(f, u, strcmp(type, "error") == 0);
	return FILTER_PASS;
}

static enum filter_verdict bob_on_result(struct filter_instance *f UNUSED, struct filter_unit *u,
					 const struct job_result *r)
{
	static const char head[] = "<data xmlns='urn:xmpp:bob' cid='" CID_HEAD "%s" CID_TAIL
				   "' max-age='%u' type='%s'>";
	static const char foot[] = "</data>";
	const struct reply *reply = u->state;
	const char *type = r->type[0] ? r->type : picture_mime(r->format);
	char hex[CID_HEX + 1];
	size_t room = sizeof(head) + CID_HEX + 16 + JOB_TYPE_MAX + sizeof(foot), n;
	char *xml;

	if (r->status != JOB_OK)
		return FILTER_PASS;
	room += BASE64_LEN(r->len);
	xml = arena_alloc(u->arena, room);
	if (!xml)
		return FILTER_PASS;
	cid_print(hex, reply->cid);
	n = (size_t)snprintf(xml, room, head, hex, r->max_age, type);
	n += base64_print(xml + n, r->bytes, r->len);
	memcpy(xml + n, foot, sizeof(foot) - 1);
	n += sizeof(foot) - 1;
	if (edit_substitute(u->edits, u->arena, u->outline, "result", xml, n))
		return FILTER_PASS;
	counter_inc(METRIC_BOB_ANSWERS);
	return FILTER_EDIT;
}

const struct filter_ops filter_bob = {
	.abi = FILTER_ABI,
	.name = "bob",
	.help = "answers requests for data by its cid (XEP-0231) in place of an error",
	.wants = wants,
	.open = bob_open,
	.close = bob_close,
	.wants_row = bob_wants_row,
	.awaits = bob_awaits,
	.on_unit = bob_on_unit,
	.on_result = bob_on_result,
};
