/* SPDX-License-Identifier: MIT */
/*
 * formats - see formats.h.
 *
 * Forms are written in one order and, when they are too large together, left out in another
 * one: what fewest clients draw goes first. ibb is written last, because Kontalk's note wants
 * it to be the message's last child. Two forms that need the same XEP-0231 data share it.
 */
#include "config.h"

#include "thumbnail/formats.h"

#include <string.h>

#include "base/err.h"

static const struct format *const table[CONF_FORMAT_COUNT] = {
	[CONF_FORMAT_IBB] = &format_ibb,         [CONF_FORMAT_BOB] = &format_bob,
	[CONF_FORMAT_THUMBS0] = &format_thumbs0, [CONF_FORMAT_SIMS] = &format_sims,
	[CONF_FORMAT_SFS] = &format_sfs,         [CONF_FORMAT_OGP] = &format_ogp,
	[CONF_FORMAT_HTTP] = &format_http,
};

static const enum conf_format written[CONF_FORMAT_COUNT] = {
	CONF_FORMAT_SIMS, CONF_FORMAT_SFS,  CONF_FORMAT_THUMBS0, CONF_FORMAT_BOB,
	CONF_FORMAT_OGP,  CONF_FORMAT_HTTP, CONF_FORMAT_IBB,
};

static const enum conf_format dropped[CONF_FORMAT_COUNT] = {
	CONF_FORMAT_OGP, CONF_FORMAT_HTTP,    CONF_FORMAT_IBB,  CONF_FORMAT_SFS,
	CONF_FORMAT_BOB, CONF_FORMAT_THUMBS0, CONF_FORMAT_SIMS,
};

/* What each form would insert. bob's piece is the data, which others may need as well. */
struct draft {
	struct pieces forms[CONF_FORMAT_COUNT];
	uint32_t chosen;
	bool without_data;
};

bool formats_publish(uint32_t mask)
{
	size_t i;

	for (i = 0; i < CONF_FORMAT_COUNT; i++)
		if ((mask & 1u << i) && table[i]->publishes)
			return true;
	return false;
}

uint32_t formats_fitting(const struct outline *o, const struct sources *all, const struct source *s,
			 uint32_t mask)
{
	uint32_t fitting = 0;
	size_t i;

	for (i = 0; i < CONF_FORMAT_COUNT; i++)
		if ((mask & 1u << i) && (!table[i]->fits || table[i]->fits(o, all, s)))
			fitting |= 1u << i;
	return fitting;
}

/* Does one of these forms need data in the message? */
static bool has_data(uint32_t mask)
{
	size_t i;

	for (i = 0; i < CONF_FORMAT_COUNT; i++)
		if ((mask & 1u << i) && table[i]->with_data)
			return true;
	return false;
}

/* The chosen forms and the data that one of them needs. */
static uint32_t with_data(const struct draft *d)
{
	return d->chosen | (has_data(d->chosen) ? 1u << CONF_FORMAT_BOB : 0);
}

/* A bare cid without data anywhere would be a promise that nobody keeps. */
static void drop_promises(struct draft *d)
{
	if (!d->without_data && !(with_data(d) & 1u << CONF_FORMAT_BOB))
		d->chosen &= ~(1u << CONF_FORMAT_THUMBS0);
}

static size_t draft_len(const struct draft *d)
{
	uint32_t mask = with_data(d);
	size_t len = 0, i, k;

	for (i = 0; i < CONF_FORMAT_COUNT; i++)
		for (k = 0; (mask & 1u << i) && k < d->forms[i].n; k++)
			len += d->forms[i].v[k].len;
	return len;
}

static int draft_make(struct draft *d, const struct form *f, uint32_t mask)
{
	bool data = has_data(mask);
	size_t i;
	int rc = 0;

	for (i = 0; i < CONF_FORMAT_COUNT && !rc; i++) {
		bool asked = mask & 1u << i;

		if (asked || (data && i == CONF_FORMAT_BOB))
			rc = table[i]->write(f, &d->forms[i]);
		if (asked && d->forms[i].n)
			d->chosen |= 1u << i;
	}
	return rc;
}

/* The thumbnail that one of the asked forms has room for. */
static uint32_t draft_fit(struct draft *d, uint32_t asked, size_t base64_len, size_t room)
{
	uint32_t fit = 0;
	size_t i, len;

	for (i = 0; i < CONF_FORMAT_COUNT; i++) {
		d->chosen = asked & 1u << i;
		drop_promises(d);
		len = draft_len(d);
		if (!d->chosen || len < base64_len || len - base64_len >= room)
			continue;
		len = (room - (len - base64_len)) / 4 * 3;
		fit = MAX_OF(fit, (uint32_t)MIN_OF(len, (size_t)UINT16_MAX));
	}
	while (fit & (fit - 1))
		fit &= fit - 1;
	return fit;
}

static int draft_insert(const struct draft *d, struct filter_unit *u)
{
	uint32_t mask = with_data(d);
	size_t i, k;
	int rc = 0;

	for (i = 0; i < CONF_FORMAT_COUNT; i++) {
		const struct pieces *p = &d->forms[written[i]];

		for (k = 0; (mask & 1u << written[i]) && k < p->n && !rc; k++)
			rc = edit_insert(u->edits, u->arena, u->outline, p->v[k].at, p->v[k].xml,
					 p->v[k].len);
	}
	return rc;
}

int formats_write(struct filter_unit *u, const struct sources *all, const struct source *s,
		  uint32_t mask, bool without_data, const struct job_result *r, uint32_t *fit_out)
{
	struct form f = { .u = u,
			  .sources = all,
			  .source = s,
			  .r = r,
			  .has_cid = has_data(mask) || formats_publish(mask) };
	struct draft d = { .without_data = without_data };
	size_t len = edit_length(u->edits, u->outline->len), i;
	const struct edits before = *u->edits;
	int rc = pieces_prepare(&f);
	uint32_t asked;

	*fit_out = 0;
	if (!rc)
		rc = draft_make(&d, &f, formats_fitting(u->outline, all, s, mask));
	if (rc)
		return rc;
	drop_promises(&d);
	if (!d.chosen)
		return ERR_NOT_FOUND;
	asked = d.chosen;
	for (i = 0; i < CONF_FORMAT_COUNT && len + draft_len(&d) > u->max_final; i++) {
		d.chosen &= ~(1u << dropped[i]);
		drop_promises(&d);
	}
	if (!d.chosen) {
		*fit_out = draft_fit(&d, asked, strlen(f.base64),
				     u->max_final - MIN_OF(len, u->max_final));
		return ERR_TOO_BIG;
	}
	rc = draft_insert(&d, u);
	if (rc)
		*u->edits = before;
	return rc;
}
