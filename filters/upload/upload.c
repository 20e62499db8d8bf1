/* SPDX-License-Identifier: MIT */
/*
 * upload - the sending half of Kontalk's media note: the server seems to have upload
 * services, and knows nothing of it.
 *
 * This file takes requests and replies apart; disco.c and answer.c say what becomes of them.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "upload/upload.h"
#include "xmpp/ns.h"

static const struct filter_want wants[] = {
	{ .kind = UNIT_IQ,
	  .dirs = 1u << LANE_C2S,
	  .iq_types = 1u << IQ_GET,
	  .child_ns = NS_DISCO_INFO },
	{ .kind = UNIT_IQ,
	  .dirs = 1u << LANE_C2S,
	  .iq_types = 1u << IQ_GET,
	  .child_ns = NS_DISCO_ITEMS },
	{ .kind = UNIT_IQ,
	  .dirs = 1u << LANE_C2S,
	  .iq_types = 1u << IQ_GET | 1u << IQ_SET,
	  .child_ns = NS_KONTALK_UPLOAD },
	{ .kind = UNIT_IQ,
	  .dirs = 1u << LANE_C2S,
	  .iq_types = 1u << IQ_GET | 1u << IQ_SET,
	  .child_ns = NS_KONTALK_UPLOAD_OLD },
	{ .kind = UNIT_IQ,
	  .dirs = 1u << LANE_C2S,
	  .iq_types = 1u << IQ_GET,
	  .child_ns = NS_HTTP_UPLOAD },
	{ .kind = UNIT_FEATURES,
	  .dirs = 1u << LANE_S2C,
	  .needle = "http://jabber.org/protocol/caps" },
	{ .kind = UNIT_FEATURES, .dirs = 1u << LANE_S2C, .needle = "urn:xmpp:caps" },
	{ .kind = UNIT_KIND_COUNT },
};

static int upload_check(const struct conf *conf, const struct conf_listen *listen UNUSED,
			struct err_msg *msg)
{
	size_t i;

	if (!conf->upload.domains.n)
		return err_msg_set(msg, ERR_CONFIG,
				   "upload.domains is missing: the domains that "
				   "offer the services");
	for (i = 0; i < conf->services_n; i++)
		if (!conf->services[i].uri[0] && !conf->upload.public_url[0])
			return err_msg_set(
				msg, ERR_CONFIG,
				"upload.public-url is missing, or a uri for each service");
	if (conf->upload.http_upload && !conf->upload.public_url[0])
		return err_msg_set(msg, ERR_CONFIG, "upload.public-url is missing for http-upload");
	return 0;
}

static int upload_open(struct filter_instance *f)
{
	struct upload *up = calloc(1, sizeof(*up));

	if (!up)
		return ERR_NOMEM;
	track_init(&up->track, UPLOAD_TRACKED);
	f->state = up;
	return 0;
}

static void upload_close(struct filter_instance *f)
{
	struct upload *up = f->state;

	track_fini(&up->track);
	free(up);
	f->state = NULL;
}

static bool upload_awaits(struct filter_instance *f, enum lane_dir dir, enum iq_type type UNUSED,
			  const struct tag *iq)
{
	const struct upload *up = f->state;

	return dir == LANE_S2C && track_awaits(&up->track, iq);
}

/* --- requests --------------------------------------------------------------------------- */

/* False: too long to be kept. NULL is "". */
static bool keep(char out[UPLOAD_TEXT_MAX], const char *text)
{
	return snprintf(out, UPLOAD_TEXT_MAX, "%s", text ? text : "") < UPLOAD_TEXT_MAX;
}

static bool is_kontalk_ns(const char *ns, bool *old_out)
{
	*old_out = strcmp(ns, NS_KONTALK_UPLOAD_OLD) == 0;
	return *old_out || strcmp(ns, NS_KONTALK_UPLOAD) == 0;
}

static bool ask_items(const struct filter_unit *u, int query, struct upload_request *r)
{
	const char *node = outline_attr(u->outline, query, "", "node");

	r->ask = UPLOAD_ASK_ITEMS;
	return node && is_kontalk_ns(node, &r->old);
}

static bool ask_file(const struct filter_unit *u, int upload, struct upload_request *r)
{
	const struct outline *o = u->outline;
	const char *node = outline_attr(o, upload, "", "node");
	int media = outline_child(o, upload, o->elements[upload].ns, "media", upload + 1);

	r->ask = UPLOAD_ASK_FILE;
	r->has_first = node != NULL;
	return keep(r->first, node) &&
	       keep(r->second, media == -1 ? NULL : outline_attr(o, media, "", "type"));
}

static bool ask_slot(const struct filter_unit *u, int request, struct upload_request *r)
{
	const struct outline *o = u->outline;
	const char *name = outline_attr(o, request, "", "filename");
	const char *size = outline_attr(o, request, "", "size");
	char *end;

	r->ask = UPLOAD_ASK_SLOT;
	errno = 0;
	r->size = size && *size >= '0' && *size <= '9' ? strtoull(size, &end, 10) : 0;
	r->has_first = name && *name && r->size && !errno && !*end;
	return keep(r->first, name) &&
	       keep(r->second, outline_attr(o, request, "", "content-type"));
}

/* The domain itself, or (Kontalk's clients from 2015 on) its user "upload". */
static bool is_upload_address(const struct conf *conf, const char *to)
{
	return upload_is_domain(conf, strncasecmp(to, "upload@", 7) == 0 ? to + 7 : to);
}

static enum filter_verdict on_request(struct filter_instance *f, struct filter_unit *u)
{
	const struct outline *o = u->outline;
	struct upload *up = f->state;
	const char *to = outline_attr(o, 0, "", "to"), *id = outline_attr(o, 0, "", "id");
	enum filter_verdict verdict = FILTER_PASS;
	struct upload_request r = { 0 };
	bool ours = false;
	const char *ns;

	if (!to || !id || o->elements_n < 2 || o->elements[1].depth != 1)
		return FILTER_PASS;
	ns = o->elements[1].ns;
	if (strcmp(ns, NS_DISCO_INFO) == 0 && strcmp(o->elements[1].local, "query") == 0)
		ours = upload_is_domain(f->conf, to) && upload_ask_info(f, u, 1, &r, &verdict);
	else if (strcmp(ns, NS_DISCO_ITEMS) == 0 && strcmp(o->elements[1].local, "query") == 0)
		ours = upload_is_domain(f->conf, to) && ask_items(u, 1, &r);
	else if (is_kontalk_ns(ns, &r.old) && strcmp(o->elements[1].local, "upload") == 0)
		ours = is_upload_address(f->conf, to) && ask_file(u, 1, &r);
	else if (strcmp(ns, NS_HTTP_UPLOAD) == 0 && strcmp(o->elements[1].local, "request") == 0)
		ours = f->conf->upload.http_upload && upload_is_domain(f->conf, to) &&
		       ask_slot(u, 1, &r);
	/* Not remembered, the reply passes as it comes: then the node may not be changed either. */
	if (!ours || track_add(&up->track, id, to, &r, sizeof(r)))
		return FILTER_PASS;
	return verdict;
}

/* --- replies ---------------------------------------------------------------------------- */

static enum filter_verdict on_reply(struct filter_instance *f, struct filter_unit *u)
{
	const struct outline *o = u->outline;
	struct upload *up = f->state;
	const char *id = outline_attr(o, 0, "", "id");
	struct track_request *t;
	const struct upload_request *r;
	enum filter_verdict verdict = FILTER_PASS;

	t = id ? track_take(&up->track, id, outline_attr(o, 0, "", "from")) : NULL;
	if (!t)
		return FILTER_PASS;
	r = (const void *)t->data;
	switch (r->ask) {
	case UPLOAD_ASK_INFO:
		verdict = upload_on_info(f, u, r);
		break;
	case UPLOAD_ASK_ITEMS:
		verdict = upload_on_items(f, u, t);
		break;
	case UPLOAD_ASK_FILE:
		verdict = upload_on_file(f, u, t);
		break;
	case UPLOAD_ASK_SLOT:
		verdict = upload_on_slot(f, u, t);
		break;
	}
	track_request_free(&t);
	return verdict;
}

static enum filter_verdict upload_on_unit(struct filter_instance *f, struct filter_unit *u)
{
	if (u->kind == UNIT_FEATURES)
		return upload_on_features(f, u);
	return u->dir == LANE_C2S ? on_request(f, u) : on_reply(f, u);
}

/* Never called: this filter starts no job. */
static enum filter_verdict upload_on_result(struct filter_instance *f UNUSED,
					    struct filter_unit *u UNUSED,
					    const struct job_result *r UNUSED)
{
	BUG();
}

const struct filter_ops filter_upload = {
	.abi = FILTER_ABI,
	.name = "upload",
	.help = "upload services for clients of a server that has none",
	.wants = wants,
	.check = upload_check,
	.open = upload_open,
	.close = upload_close,
	.awaits = upload_awaits,
	.on_unit = upload_on_unit,
	.on_result = upload_on_result,
};
