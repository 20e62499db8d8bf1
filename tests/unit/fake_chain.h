/* SPDX-License-Identifier: MIT */
/*
 * fake_chain - a chain for the tests of stream: no libxml2, no filters.
 *
 * Wants messages; those with the needle "jabber:x:oob" wait, or are edited at once if they
 * hold "edit-now". A unit is edited by putting FAKE_INSERT before its end tag. Waiting
 * units stand in fake_waiting until their result comes. With a host that can start jobs
 * one is started for each.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/chain.h"
#include "stream/fifo.h"

#define FAKE_INSERT  "<data/>"
#define FAKE_NEEDLE  "jabber:x:oob"
#define FAKE_AWAITED "awaited" /* id of errors that are waited for */

struct chain {
	const struct filter_host *host;
};

struct chain_unit {
	struct chain_input in;
	uint8_t *out;
	size_t out_len;
};

static struct fifo_entry *fake_waiting[4096];
static size_t fake_waiting_n;
static size_t fake_runs;
static size_t fake_units; /* alive */
static struct chain_input fake_last;
static char fake_last_from[256];

struct chain *chain_new(struct conf *conf, const struct conf_listen *listen,
			const struct filter_host *host)
{
	struct chain *c = calloc(1, sizeof(*c));

	(void)conf;
	(void)listen;
	if (c)
		c->host = host;
	return c;
}

void chain_free(struct chain **c)
{
	free(*c);
	*c = NULL;
}

void chain_inherit(struct chain *c, struct chain *old)
{
	(void)c;
	(void)old;
}

enum chain_want chain_wants(const struct chain *c, enum lane_dir dir, enum unit_kind kind,
			    enum iq_type iq, const struct tag_span *child_ns)
{
	(void)c;
	(void)dir;
	(void)iq;
	(void)child_ns;
	return kind == UNIT_MESSAGE ? CHAIN_YES : CHAIN_NO;
}

bool chain_awaits(struct chain *c, enum lane_dir dir, enum iq_type iq, const struct tag *tag)
{
	(void)c;
	(void)dir;
	return iq == IQ_ERROR && tag_span_is(tag_attr(tag, "id"), FAKE_AWAITED);
}

bool chain_has_needle(const struct chain *c, enum lane_dir dir, enum unit_kind kind,
		      const uint8_t *p, size_t len)
{
	(void)c;
	(void)dir;
	(void)kind;
	return memmem(p, len, FAKE_NEEDLE, strlen(FAKE_NEEDLE)) != NULL;
}

static void fake_edit(struct chain_unit *u)
{
	size_t end = strlen("</message>"), at = u->in.len - end, n = strlen(FAKE_INSERT);

	u->out = malloc(u->in.len + n);
	if (!u->out)
		abort();
	memcpy(u->out, u->in.bytes, at);
	memcpy(u->out + at, FAKE_INSERT, n);
	memcpy(u->out + at + n, u->in.bytes + at, end);
	u->out_len = u->in.len + n;
}

enum chain_result chain_run(struct chain *c, const struct chain_input *in, struct chain_unit **out)
{
	struct chain_unit *u = calloc(1, sizeof(*u));
	struct job job = { .url = "http://127.0.0.1/a",
			   .declared = "",
			   .width = 128,
			   .height = 128,
			   .max_bytes = 8192,
			   .fetch_max = 1000 };
	struct filter_unit fu = { .host_unit = in->host_unit,
				  .from = in->from,
				  .cached_only = in->cached_only };

	if (!u)
		abort();
	fake_runs++;
	fake_last = *in;
	snprintf(fake_last_from, sizeof(fake_last_from), "%s", in->from ? in->from : "");
	u->in = *in;
	*out = NULL;
	if (memmem(in->bytes, in->len, "edit-now", 8)) {
		fake_units++;
		fake_edit(u);
		*out = u;
		return CHAIN_EDITED;
	}
	if (c && c->host && c->host->start_job && !c->host->start_job(c->host->ctx, &fu, &job)) {
		free(u);
		return CHAIN_PASS;
	}
	fake_units++;
	fake_waiting[fake_waiting_n++] = in->host_unit;
	*out = u;
	return CHAIN_WAIT;
}

static void UNUSED fake_forget(const struct fifo_entry *e)
{
	size_t i;

	for (i = 0; i < fake_waiting_n; i++)
		if (fake_waiting[i] == e) {
			memmove(fake_waiting + i, fake_waiting + i + 1,
				(fake_waiting_n - i - 1) * sizeof(fake_waiting[0]));
			fake_waiting_n--;
			return;
		}
}

enum chain_result chain_unit_result(struct chain_unit *u, const struct job_result *r)
{
	if (r->status != JOB_OK)
		return CHAIN_PASS;
	fake_edit(u);
	return CHAIN_EDITED;
}

const uint8_t *chain_unit_bytes(const struct chain_unit *u, size_t *len_out)
{
	*len_out = u->out_len;
	return u->out;
}

void chain_unit_free(struct chain_unit **u)
{
	if (!*u)
		return;
	fake_units--;
	free((*u)->out);
	free(*u);
	*u = NULL;
}
