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
#include "xmpp/ns.h"

/* RFC 6121 5.2.2; type='error' brings somebody's stanza back and is nobody's message. */
static bool type_is_eligible(const struct outline *o)
{
	static const char *const types[] = { "normal", "chat", "groupchat", "headline" };
	const char *type = outline_attr(o, 0, "", "type");
	size_t i;

	if (!type)
		return true;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/* BoB data next to the address is a thumbnail unless it says that it is something else. */
static bool is_picture_data(const struct outline *o, int data)
{
	const char *type = outline_attr(o, data, "", "type");

	return !type || !type[0] || strncasecmp(type, "image/", 6) == 0;
}

static bool has_thumbnail(const struct outline *o)
{
	size_t i;

	for (i = 1; i < o->elements_n; i++) {
		const struct outline_element *e = &o->elements[i];

		if (e->depth == 1 && strcmp(e->local, "data") == 0 &&
		    (strcmp(e->ns, NS_IBB) == 0 ||
		     (strcmp(e->ns, NS_BOB) == 0 && is_picture_data(o, (int)i))))
			return true;
		if (strcmp(e->local, "thumbnail") == 0 &&
		    (strcmp(e->ns, NS_THUMBS0) == 0 || strcmp(e->ns, NS_THUMBS1) == 0))
			return true;
	}
	return false;
}

/* Kontalk's hints save a request: a type that is no picture, a length over the cap. */
static bool hints_allow(const struct outline *o, int url, const struct conf *conf)
{
	const char *type = outline_attr(o, url, "", "type");
	const char *length = outline_attr(o, url, "", "length");
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

static void add_urls(const struct outline *o, int x, const struct conf *conf, struct arena *a,
		     struct sources *out)
{
	int url;

	for (url = outline_child(o, x, NS_OOB, "url", x + 1);
	     url != -1 && out->n < conf->limits.urls;
	     url = outline_child(o, x, NS_OOB, "url", url + 1)) {
		const char *text, *type = outline_attr(o, url, "", "type");

		if (!hints_allow(o, url, conf))
			continue;
		text = trimmed_url(a, o->elements[url].text);
		if (text)
			out->v[out->n++] =
				(struct source){ .url = text, .declared = type ? type : "" };
	}
}

static bool has_hint(const struct outline *o, const char *local)
{
	return outline_child(o, 0, NS_HINTS, local, 1) != -1;
}

const char *source_find(const struct outline *o, const struct conf *conf, struct arena *a,
			struct sources *out)
{
	int x;

	*out = (struct sources){ 0 };
	if (!type_is_eligible(o))
		return "type";
	if (has_thumbnail(o))
		return "thumbnail-there";
	for (x = outline_child(o, 0, NS_OOB, "x", 1); x != -1;
	     x = outline_child(o, 0, NS_OOB, "x", x + 1))
		add_urls(o, x, conf, a, out);
	if (!out->n)
		return "no-source";
	out->delayed = outline_child(o, 0, NS_DELAY, "delay", 1) != -1 ||
		       outline_child(o, 0, NS_DELAY_OLD, "x", 1) != -1;
	out->no_store = has_hint(o, "no-store") || has_hint(o, "no-permanent-store");
	return NULL;
}
