/* SPDX-License-Identifier: MIT */
/*
 * source - see source.h.
 */
#include "config.h"

#include "thumbnail/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/job.h"
#include "rule/fold.h"
#include "thumbnail/encrypted.h"
#include "xmpp/ns.h"

/* RFC 6121 5.2.2; type='error' brings somebody's stanza back and is nobody's message. */
static bool type_is_eligible(const struct outline *o, int root)
{
	static const char *const types[] = { "normal", "chat", "groupchat", "headline" };
	const char *type = outline_attr(o, root, "", "type");
	size_t i;

	if (!type)
		return true;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/* --- what is there already ------------------------------------------------------------- */

/* BoB data next to the address is a thumbnail unless it says that it is something else. */
static bool is_picture_data(const struct outline *o, int data)
{
	const char *type = outline_attr(o, data, "", "type");

	return !type || !type[0] || strncasecmp(type, "image/", 6) == 0;
}

static bool is_thumbnail(const struct outline_element *e)
{
	return strcmp(e->local, "thumbnail") == 0 &&
	       (strcmp(e->ns, NS_THUMBS0) == 0 || strcmp(e->ns, NS_THUMBS1) == 0);
}

/* A few bytes that show colours until the picture is there; no picture themselves. Cheogram
 * says type for media-type. */
static bool is_placeholder(const struct outline *o, int thumbnail)
{
	static const char *const schemes[] = { "data:image/thumbhash", "data:image/blurhash" };
	const char *uri = outline_attr(o, thumbnail, "", "uri");
	size_t i;

	for (i = 0; uri && i < ARRAY_SIZE(schemes); i++)
		if (strncasecmp(uri, schemes[i], strlen(schemes[i])) == 0)
			return true;
	return false;
}

bool source_is_thumbnail(const struct outline *o, int root, int i)
{
	const struct outline_element *e = &o->elements[i];

	if (e->parent == root && strcmp(e->local, "data") == 0 &&
	    (strcmp(e->ns, NS_IBB) == 0 || (strcmp(e->ns, NS_BOB) == 0 && is_picture_data(o, i))))
		return true;
	return is_thumbnail(e);
}

static bool has_thumbnail(const struct outline *o, int root)
{
	size_t i, end = o->elements[root].end_end;

	for (i = (size_t)root + 1; i < o->elements_n && o->elements[i].start < end; i++)
		if (source_is_thumbnail(o, root, (int)i) &&
		    !(is_thumbnail(&o->elements[i]) && is_placeholder(o, (int)i)))
			return true;
	return false;
}

bool source_file_is_open(const struct outline *o, int file)
{
	const struct outline_element *f = &o->elements[file];
	size_t i;

	for (i = (size_t)file + 1; i < o->elements_n && o->elements[i].start < f->end_end; i++)
		if (is_thumbnail(&o->elements[i]))
			return false;
	return f->end != f->end_end;
}

/* --- addresses ------------------------------------------------------------------------- */

/* What a message says of a media file saves a request: a type that is no picture, a length over
 * the cap. */
static bool hints_allow(const char *type, const char *length, const struct conf *conf)
{
	unsigned long long bytes;
	char *end;

	if (type && type[strspn(type, " ")] &&
	    strncasecmp(type + strspn(type, " "), "image/", 6) != 0)
		return false;
	if (!length || length[0] < '0' || length[0] > '9')
		return true;
	errno = 0;
	bytes = strtoull(length, &end, 10);
	if (*end)
		return true; /* not a number: no hint */
	return !errno && bytes <= conf->fetch.max_bytes;
}

/* White space around an address goes; inside it makes it none. NULL if it is not usable. */
static const char *trimmed_url(struct arena *a, const char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		len--;
	if (!len || len > JOB_URL_MAX || strcspn(text, " \t\r\n") < len)
		return NULL;
	return arena_strndup(a, text, len);
}

static bool is_http(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

/* What all adding needs. */
struct finding {
	const struct outline *o;
	const struct conf *conf;
	struct arena *arena;
	struct sources *out;
	const char *first; /* address seen, usable or not; NULL: none yet */
	const char
		*refused[SOURCE_MAX]; /* addresses of which a place says that they are no picture */
	size_t refused_n;
};

/* One place's hint counts for all places that name the address: most say nothing of the type. */
static void refuse(struct finding *f, const char *url)
{
	struct sources *out = f->out;
	size_t i;

	if (f->refused_n < ARRAY_SIZE(f->refused))
		f->refused[f->refused_n++] = url;
	for (i = 0; i < out->n; i++)
		if (strcmp(out->v[i].url, url) == 0)
			break;
	if (i == out->n)
		return;
	out->n--;
	memmove(out->v + i, out->v + i + 1, (out->n - i) * sizeof(out->v[0]));
}

static bool is_known(const struct finding *f, const char *url)
{
	size_t i;

	for (i = 0; i < f->out->n; i++)
		if (strcmp(f->out->v[i].url, url) == 0)
			return true;
	for (i = 0; i < f->refused_n; i++)
		if (strcmp(f->refused[i], url) == 0)
			return true;
	return false;
}

static void add(struct finding *f, enum source_kind kind, const char *text, const char *type,
		const char *length)
{
	struct sources *out = f->out;
	const char *url = trimmed_url(f->arena, text);

	if (!url || !fold_is_plain(url))
		return;
	out->several |= f->first && strcmp(f->first, url) != 0;
	f->first = url;
	if (!hints_allow(type, length, f->conf))
		refuse(f, url);
	else if (!is_known(f, url) && out->n < f->conf->limits.urls)
		out->v[out->n++] = (struct source){ .kind = kind,
						    .url = url,
						    .declared = type ? type : "",
						    .exact = strcmp(url, text) == 0 };
}

static void add_oob(struct finding *f, int x)
{
	int url;

	for (url = outline_child(f->o, x, NS_OOB, "url", x + 1); url != -1;
	     url = outline_child(f->o, x, NS_OOB, "url", url + 1))
		add(f, SOURCE_OOB, f->o->elements[url].text, outline_attr(f->o, url, "", "type"),
		    outline_attr(f->o, url, "", "length"));
}

/* --- shared media and files ------------------------------------------------------------ */

/* One <reference/> with media-sharing, or one <file-sharing/>. */
struct sharing {
	int file;
	int sources;
};

/* Is element i a sharing of that kind? */
static bool sharing_read(const struct outline *o, int root, enum source_kind kind, int i,
			 struct sharing *out)
{
	int holder = i;

	if (o->elements[i].parent != root)
		return false;
	if (kind == SOURCE_SIMS) {
		if (strcmp(o->elements[i].ns, NS_REFERENCE) != 0)
			return false;
		holder = outline_child(o, i, NS_SIMS, "media-sharing", i + 1);
	} else if (strcmp(o->elements[i].ns, NS_SFS) != 0 ||
		   strcmp(o->elements[i].local, "file-sharing") != 0) {
		return false;
	}
	if (holder == -1)
		return false;
	/* Any version of file-transfer: clients take several. */
	out->file = outline_child(o, holder, NULL, "file", holder + 1);
	out->sources = outline_child(o, holder, o->elements[holder].ns, "sources", holder + 1);
	return out->file != -1;
}

/* The next address of a sharing behind index `from`, or -1. */
static int sharing_next(const struct outline *o, const struct sharing *s, enum source_kind kind,
			int from, const char **url_out)
{
	bool sims = kind == SOURCE_SIMS;
	int i = s->sources;

	if (i == -1)
		return -1;
	for (i = from == -1 ? i : from; i != -1;) {
		i = outline_child(o, s->sources, sims ? NS_REFERENCE : NS_URL_DATA,
				  sims ? "reference" : "url-data", i + 1);
		*url_out = i == -1 ? NULL : outline_attr(o, i, "", sims ? "uri" : "target");
		if (*url_out)
			return i;
	}
	return -1;
}

static const char *file_text(const struct outline *o, int file, const char *local)
{
	int at = outline_child(o, file, o->elements[file].ns, local, file + 1);

	return at == -1 ? NULL : o->elements[at].text;
}

static void add_sharings(struct finding *f, enum source_kind kind)
{
	const struct outline *o = f->o;
	struct sharing s;
	const char *url;
	int i, at;

	for (i = f->out->root + 1; i < (int)o->elements_n; i++) {
		if (o->elements[i].start >= o->elements[f->out->root].end_end)
			return;
		if (!sharing_read(o, f->out->root, kind, i, &s))
			continue;
		for (at = sharing_next(o, &s, kind, -1, &url); at != -1;
		     at = sharing_next(o, &s, kind, at, &url))
			if (is_http(url))
				add(f, kind, url, file_text(o, s.file, "media-type"),
				    file_text(o, s.file, "size"));
	}
}

enum source_shared source_shared(const struct outline *o, int root, enum source_kind kind,
				 const char *url, int *file_out)
{
	enum source_shared found = SHARED_NONE;
	struct sharing s;
	const char *other;
	int i, at;

	*file_out = -1;
	for (i = root + 1; i < (int)o->elements_n; i++) {
		if (o->elements[i].start >= o->elements[root].end_end)
			break;
		if (!sharing_read(o, root, kind, i, &s))
			continue;
		found = SHARED_OTHER;
		for (at = sharing_next(o, &s, kind, -1, &other); at != -1;
		     at = sharing_next(o, &s, kind, at, &other)) {
			if (strcmp(other, url) != 0)
				continue;
			*file_out = s.file;
			return SHARED_SAME;
		}
	}
	return found;
}

/* --- links ----------------------------------------------------------------------------- */

/* A body that is one address and nothing else, white space included. */
static void add_link(struct finding *f)
{
	const struct outline *o = f->o;
	const char *ns = o->elements[f->out->root].ns, *text;
	int body = outline_child(o, f->out->root, ns, "body", 0);

	if (body == -1 || outline_child(o, f->out->root, ns, "body", body + 1) != -1)
		return;
	text = o->elements[body].text;
	if (is_http(text) && !encrypted_address(text) && text[strcspn(text, " \t\r\n")] == '\0')
		add(f, SOURCE_LINK, text, NULL, NULL);
}

/* --- the message ----------------------------------------------------------------------- */

static bool has_delay(const struct outline *o, int parent)
{
	return outline_child(o, parent, NS_DELAY, "delay", 0) != -1 ||
	       outline_child(o, parent, NS_DELAY_OLD, "x", 0) != -1;
}

/* Also what wraps a forwarded message may say that it is old. */
static bool is_delayed(const struct outline *o, int root)
{
	for (; root != -1; root = o->elements[root].parent)
		if (has_delay(o, root))
			return true;
	return false;
}

static bool has_hint(const struct outline *o, int root, const char *local)
{
	return outline_child(o, root, NS_HINTS, local, 0) != -1;
}

const char *source_find(const struct outline *o, int root, bool links, const struct conf *conf,
			struct arena *a, struct sources *out)
{
	struct finding f = { .o = o, .conf = conf, .arena = a, .out = out };
	int x;

	*out = (struct sources){ .root = root };
	if (!type_is_eligible(o, root))
		return "type";
	for (x = outline_child(o, root, NS_OOB, "x", 0); x != -1;
	     x = outline_child(o, root, NS_OOB, "x", x + 1))
		add_oob(&f, x);
	add_sharings(&f, SOURCE_SIMS);
	add_sharings(&f, SOURCE_SFS);
	if (!f.first && links)
		add_link(&f);
	if (has_thumbnail(o, root))
		return "thumbnail-there"; /* the sources are for rules that strip */
	if (!out->n)
		return "no-source";
	out->delayed = is_delayed(o, root);
	out->no_store = has_hint(o, root, "no-store") || has_hint(o, root, "no-permanent-store");
	return NULL;
}

static bool is_wrapper(const struct outline_element *e)
{
	return (strcmp(e->ns, NS_CARBONS) == 0 &&
		(strcmp(e->local, "received") == 0 || strcmp(e->local, "sent") == 0)) ||
	       (strcmp(e->ns, NS_MAM) == 0 && strcmp(e->local, "result") == 0);
}

int source_forwarded(const struct outline *o, int from)
{
	const struct outline_element *e, *up;
	size_t i;

	for (i = (size_t)from + 1; i < o->elements_n; i++) {
		e = &o->elements[i];
		if (e->depth < 2 || strcmp(e->local, "message") != 0 ||
		    (strcmp(e->ns, o->elements[0].ns) != 0 && strcmp(e->ns, NS_CLIENT) != 0))
			continue;
		up = &o->elements[e->parent];
		if (strcmp(up->local, "forwarded") == 0 && strcmp(up->ns, NS_FORWARD) == 0 &&
		    (up->depth == 1 || (up->depth == 2 && is_wrapper(&o->elements[up->parent]))))
			return (int)i;
	}
	return -1;
}
