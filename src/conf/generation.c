/* SPDX-License-Identifier: MIT */
/*
 * generation - see generation.h.
 *
 *   hash of the option table | u64 generation | u32 listeners, u32 profiles, u32 services
 *   u32 origins
 *   names of the listeners, names of the profiles, as texts
 *   each row of options.def, in order, for each struct of its section
 *   for each listener u32 row, its keys, a list, and its authorities, a text
 *   authorities for https, a text; for each origin its certificate and key, a text
 *   the key that signs uploads, the box's certificate and its key to a bucket, texts
 *   u32 rules; for each its name, profile, u32 action, mode, row, conditions, and for each of
 *   those its name and entries, a list
 *   u32 list files; for each its path and its text
 *   hash of all that
 *
 * Numbers in host order; a text is u32 length and bytes; a list u32 number and texts.
 */
#include "config.h"

#include "conf/generation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/hash.h"
#include "conf/value.h"

#define NAMES_MAX 256 /* listeners, and profiles */

/* What a reader of another build would trip over. */
static int table_hash(uint8_t out[HASH_SHA256_LEN])
{
	struct hash *h = hash_sha256_new();
	int rc = h ? 0 : ERR_NOMEM;
	char line[512];
	size_t i;

	for (i = 0; i < conf_options_n && !rc; i++) {
		const struct conf_option *o = &conf_options[i];
		int n = snprintf(line, sizeof(line), "%d %d %zu %llu %llu %s\n", (int)o->section,
				 (int)o->kind, o->offset, (unsigned long long)o->min,
				 (unsigned long long)o->max, o->name);

		rc = hash_update(h, line, (size_t)n);
	}
	if (!rc)
		rc = hash_update(h, PACKAGE_VERSION, sizeof(PACKAGE_VERSION));
	if (!rc)
		rc = hash_final(h, out);
	hash_free(&h);
	return rc;
}

/* --- printing -------------------------------------------------------------------------- */

static int put_u32(struct buf *out, size_t v)
{
	uint32_t n = (uint32_t)v;

	return buf_add(out, &n, sizeof(n));
}

static int put_text(struct buf *out, const char *s)
{
	int rc = put_u32(out, strlen(s));

	return rc ? rc : buf_add(out, s, strlen(s));
}

static int put_list(struct buf *out, const struct conf_list *l)
{
	int rc = put_u32(out, l->n);
	size_t i;

	for (i = 0; i < l->n && !rc; i++)
		rc = put_text(out, l->v[i]);
	return rc;
}

static int put_field(struct buf *out, const struct conf_option *o, const void *field)
{
	switch (conf_kind_store(o->kind)) {
	case CONF_STORE_U64:
		return buf_add(out, field, sizeof(uint64_t));
	case CONF_STORE_U32:
	case CONF_STORE_MASK:
		return buf_add(out, field, sizeof(uint32_t));
	case CONF_STORE_BOOL:
		return buf_add(out, *(const bool *)field ? "\1" : "\0", 1);
	case CONF_STORE_TEXT:
		return put_text(out, *(char *const *)field);
	case CONF_STORE_LIST:
		return put_list(out, field);
	case CONF_STORE_RATE:
		return buf_add(out, field, sizeof(struct conf_rate));
	case CONF_STORE_WORD:
		return buf_add(out, field, sizeof(int));
	}
	BUG();
}

/* There may be a password in cache.redis; web.token is one. */
static int put_option(struct buf *out, const struct conf_option *o, const void *field,
		      enum generation_for reader)
{
	if (o->section == CONF_CACHE && strcmp(o->name, "redis") == 0 &&
	    reader != GENERATION_FOR_MEDIA)
		return put_text(out, "");
	if (o->section == CONF_WEB && strcmp(o->name, "token") == 0 &&
	    reader != GENERATION_FOR_OTHERS)
		return put_text(out, "");
	return put_field(out, o, field);
}

static int put_secrets(const struct conf_listen *l, bool secrets, struct buf *out)
{
	static const struct conf_list none;
	int rc = put_u32(out, l->row);

	if (!rc)
		rc = put_list(out, secrets ? &l->keys : &none);
	return rc ? rc : put_text(out, secrets && l->upstream_cas ? l->upstream_cas : "");
}

static int put_upload_secrets(const struct conf_upload *u, enum generation_for reader,
			      struct buf *out)
{
	bool key = (reader == GENERATION_FOR_PROXY || reader == GENERATION_FOR_BOX) && u->key;
	bool pem = reader == GENERATION_FOR_BOX && u->pem;
	bool s3_key = reader == GENERATION_FOR_BOX && u->s3_key;
	int rc = put_text(out, key ? u->key : "");

	if (!rc)
		rc = put_text(out, pem ? u->pem : "");
	if (!rc)
		rc = put_text(out, s3_key ? u->s3_key : "");
	return rc ? rc : put_text(out, reader == GENERATION_FOR_BOX && u->s3_cas ? u->s3_cas : "");
}

/* Who may not see secrets needs no rules either, but for names and rows. */
static int put_rule(const struct conf_rule *r, bool whole, struct buf *out)
{
	size_t i, n = whole ? r->conditions_n : 0;
	int rc = put_text(out, r->name);

	if (!rc)
		rc = put_text(out, whole ? r->profile : "");
	if (!rc)
		rc = put_u32(out, (size_t)r->action);
	if (!rc)
		rc = put_u32(out, r->shadow);
	if (!rc)
		rc = put_u32(out, r->row);
	if (!rc)
		rc = put_u32(out, n);
	for (i = 0; i < n && !rc; i++) {
		struct conf_list entries = { .v = r->conditions[i].v, .n = r->conditions[i].n };

		rc = put_text(out, r->conditions[i].name);
		if (!rc)
			rc = put_list(out, &entries);
	}
	return rc;
}

static int put_rules(const struct conf *c, bool whole, struct buf *out)
{
	size_t i, files = whole ? c->files_n : 0;
	int rc = put_u32(out, c->rules_n);

	for (i = 0; i < c->rules_n && !rc; i++)
		rc = put_rule(&c->rules[i], whole, out);
	if (!rc)
		rc = put_u32(out, files);
	for (i = 0; i < files && !rc; i++) {
		rc = put_text(out, c->files[i].path);
		if (!rc)
			rc = put_text(out, c->files[i].text);
	}
	return rc;
}

static int put_all(const struct conf *c, enum generation_for reader, struct buf *out)
{
	struct conf *fields = (struct conf *)(uintptr_t)c; /* read only here */
	size_t i, k;
	int rc = buf_add(out, &c->generation, sizeof(c->generation));

	if (!rc)
		rc = put_u32(out, c->listens_n);
	if (!rc)
		rc = put_u32(out, c->profiles_n);
	if (!rc)
		rc = put_u32(out, c->services_n);
	if (!rc)
		rc = put_u32(out, c->origins_n);
	for (i = 0; i < c->listens_n && !rc; i++)
		rc = put_text(out, c->listens[i].name);
	for (i = 0; i < c->profiles_n && !rc; i++)
		rc = put_text(out, c->profiles[i].name);
	for (i = 0; i < conf_options_n && !rc; i++) {
		const struct conf_option *o = &conf_options[i];

		for (k = 0; k < conf_section_count(c, o->section) && !rc; k++)
			rc = put_option(out, o,
					conf_field(conf_section_at(fields, o->section, k), o),
					reader);
	}
	for (i = 0; i < c->listens_n && !rc; i++)
		rc = put_secrets(&c->listens[i], reader == GENERATION_FOR_PROXY, out);
	if (!rc)
		rc = put_text(out,
			      reader == GENERATION_FOR_MEDIA && c->fetch.cas ? c->fetch.cas : "");
	for (i = 0; i < c->origins_n && !rc; i++)
		rc = put_text(out, reader == GENERATION_FOR_MEDIA && c->origins[i].pem
					   ? c->origins[i].pem
					   : "");
	if (!rc)
		rc = put_upload_secrets(&c->upload, reader, out);
	return rc ? rc : put_rules(c, reader == GENERATION_FOR_PROXY, out);
}

int generation_print(const struct conf *c, enum generation_for reader, struct buf *out)
{
	uint8_t sum[HASH_SHA256_LEN];
	size_t start = out->len;
	int rc = table_hash(sum);

	if (!rc)
		rc = buf_add(out, sum, sizeof(sum));
	if (!rc)
		rc = put_all(c, reader, out);
	if (!rc)
		rc = hash_sha256(out->p + start, out->len - start, sum);
	return rc ? rc : buf_add(out, sum, sizeof(sum));
}

/* --- parsing --------------------------------------------------------------------------- */

/* error is sticky: the first failure. */
struct reader {
	const uint8_t *p;
	size_t left;
	int error;
};

static void get_bytes(struct reader *r, void *out, size_t n)
{
	if (!r->error && n > r->left)
		r->error = ERR_BAD_MESSAGE;
	if (r->error) {
		memset(out, 0, n);
		return;
	}
	memcpy(out, r->p, n);
	r->p += n;
	r->left -= n;
}

static uint32_t get_u32(struct reader *r)
{
	uint32_t v;

	get_bytes(r, &v, sizeof(v));
	return v;
}

/* Owned by the caller; NULL after an error. */
static char *get_text(struct reader *r)
{
	uint32_t len = get_u32(r);
	char *s;

	if (!r->error && (len > r->left || memchr(r->p, '\0', len)))
		r->error = ERR_BAD_MESSAGE;
	if (r->error)
		return NULL;
	s = malloc((size_t)len + 1);
	if (!s) {
		r->error = ERR_NOMEM;
		return NULL;
	}
	get_bytes(r, s, len);
	s[len] = '\0';
	return s;
}

static void get_list(struct reader *r, uint64_t max, struct conf_list *l)
{
	uint32_t i, n = get_u32(r);

	if (!r->error && n > max)
		r->error = ERR_BAD_MESSAGE;
	if (r->error || n == 0)
		return;
	l->v = calloc(n, sizeof(*l->v));
	if (!l->v) {
		r->error = ERR_NOMEM;
		return;
	}
	for (i = 0; i < n && !r->error; i++) {
		l->v[i] = get_text(r);
		l->n = i + 1;
	}
}

/* A field that holds its default so far. */
static void get_field(struct reader *r, const struct conf_option *o, void *field)
{
	uint8_t flag;

	value_clear(o, field);
	switch (conf_kind_store(o->kind)) {
	case CONF_STORE_U64:
		get_bytes(r, field, sizeof(uint64_t));
		break;
	case CONF_STORE_U32:
	case CONF_STORE_MASK:
		get_bytes(r, field, sizeof(uint32_t));
		break;
	case CONF_STORE_BOOL:
		get_bytes(r, &flag, 1);
		if (flag > 1)
			r->error = ERR_BAD_MESSAGE;
		*(bool *)field = flag == 1;
		break;
	case CONF_STORE_TEXT:
		*(char **)field = get_text(r);
		break;
	case CONF_STORE_LIST:
		get_list(r, o->max, field);
		break;
	case CONF_STORE_RATE:
		get_bytes(r, field, sizeof(struct conf_rate));
		break;
	case CONF_STORE_WORD:
		get_bytes(r, field, sizeof(int));
		break;
	}
	if (!r->error && !value_is_in_range(o, field))
		r->error = ERR_BAD_MESSAGE;
}

/* A text that stands for none when it is empty. */
static char *get_optional(struct reader *r)
{
	char *text = get_text(r);

	if (text && !text[0]) {
		free(text);
		text = NULL;
	}
	return text;
}

static void get_secrets(struct reader *r, struct conf_listen *l)
{
	l->row = get_u32(r);
	if (!r->error && l->row >= COUNTERS_LISTENERS)
		r->error = ERR_BAD_MESSAGE;
	get_list(r, l->certificates.n, &l->keys);
	l->upstream_cas = get_optional(r);
}

static void get_services(struct reader *r, struct conf *c, uint32_t n)
{
	for (; n && !r->error; n--)
		if (!conf_add_service(c))
			r->error = ERR_NOMEM;
}

static void get_origins(struct reader *r, struct conf *c, uint32_t n)
{
	for (; n && !r->error; n--)
		if (!conf_add_origin(c))
			r->error = ERR_NOMEM;
}

static void get_condition(struct reader *r, struct conf_rule *rule)
{
	char *name = get_text(r);
	struct conf_condition *c = name ? conf_add_condition(rule, name) : NULL;
	struct conf_list entries = { 0 };

	if (name && !c)
		r->error = ERR_NOMEM;
	free(name);
	get_list(r, CONF_ENTRIES_MAX, &entries);
	if (c) {
		c->v = entries.v;
		c->n = entries.n;
	} else {
		free(entries.v); /* without entries: an error came before them */
	}
}

static void get_rule(struct reader *r, struct conf *c)
{
	char *name = get_text(r), *profile = get_text(r);
	uint32_t action = get_u32(r), shadow = get_u32(r), row = get_u32(r), n = get_u32(r), i;
	struct conf_rule *rule = !r->error ? conf_add_rule(c, name) : NULL;

	free(name);
	if (!r->error && !rule)
		r->error = ERR_NOMEM;
	if (!r->error && (action >= CONF_ACTION_COUNT || shadow > 1 || row >= COUNTERS_RULES ||
			  n > CONF_CONDITIONS_MAX))
		r->error = ERR_BAD_MESSAGE;
	if (r->error) {
		free(profile);
		return;
	}
	free(rule->profile);
	rule->profile = profile;
	rule->action = (int)action;
	rule->shadow = shadow;
	rule->row = row;
	for (i = 0; i < n && !r->error; i++)
		get_condition(r, rule);
}

static void get_rules(struct reader *r, struct conf *c)
{
	uint32_t i, n = get_u32(r);
	char *path, *text;

	if (!r->error && n > CONF_RULES_MAX)
		r->error = ERR_BAD_MESSAGE;
	for (i = 0; i < n && !r->error; i++)
		get_rule(r, c);
	n = get_u32(r);
	if (!r->error && n > CONF_FILES_MAX)
		r->error = ERR_BAD_MESSAGE;
	for (i = 0; i < n && !r->error; i++) {
		path = get_text(r);
		text = get_text(r);
		if (r->error)
			free(text);
		else if (!conf_add_file(c, path, text, strlen(text)))
			r->error = ERR_NOMEM;
		free(path);
	}
}

static void get_names(struct reader *r, struct conf *c, uint32_t listens, uint32_t profiles)
{
	size_t built_in = c->profiles_n;
	uint32_t i;

	for (i = 0; i < listens + profiles && !r->error; i++) {
		char *name = get_text(r);
		bool made = name && (i < listens ? conf_add_listen(c, name) != NULL
				     : i - listens < built_in
					     ? strcmp(name, c->profiles[i - listens].name) == 0
					     : conf_add_profile(c, name) != NULL);

		if (!r->error && !made)
			r->error = ERR_NOMEM;
		free(name);
	}
}

static void get_all(struct reader *r, struct conf *c)
{
	uint32_t listens, profiles, services, origins;
	size_t i, k;

	get_bytes(r, &c->generation, sizeof(c->generation));
	listens = get_u32(r);
	profiles = get_u32(r);
	services = get_u32(r);
	origins = get_u32(r);
	if (!r->error && (listens > NAMES_MAX || profiles > NAMES_MAX || services > NAMES_MAX ||
			  origins > NAMES_MAX))
		r->error = ERR_BAD_MESSAGE;
	if (!r->error)
		get_names(r, c, listens, profiles);
	get_services(r, c, services);
	get_origins(r, c, origins);
	/* The built-in ones were there before: they must have been the first names, in the order
	 * that conf_new() has. */
	if (!r->error && c->profiles_n != profiles)
		r->error = ERR_BAD_MESSAGE;
	for (i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		for (k = 0; k < conf_section_count(c, o->section) && !r->error; k++)
			get_field(r, o, conf_field(conf_section_at(c, o->section, k), o));
	}
	for (i = 0; i < c->listens_n && !r->error; i++)
		get_secrets(r, &c->listens[i]);
	c->fetch.cas = get_optional(r);
	for (i = 0; i < c->origins_n && !r->error; i++)
		c->origins[i].pem = get_optional(r);
	c->upload.key = get_optional(r);
	c->upload.pem = get_optional(r);
	c->upload.s3_key = get_optional(r);
	c->upload.s3_cas = get_optional(r);
	if (!r->error)
		get_rules(r, c);
	if (!r->error && (r->left || !conf_link(c)))
		r->error = ERR_BAD_MESSAGE;
}

int generation_parse(const uint8_t *p, size_t len, struct conf **out, struct err_msg *msg)
{
	uint8_t sum[HASH_SHA256_LEN];
	struct reader r;
	struct conf *c;
	int rc;

	*out = NULL;
	if (len < 2 * sizeof(sum) || len > GENERATION_MAX)
		return err_msg_set(msg, ERR_BAD_MESSAGE, "generation of %zu bytes", len);
	rc = table_hash(sum);
	if (rc)
		return rc;
	if (memcmp(sum, p, sizeof(sum)) != 0)
		return err_msg_set(msg, ERR_BAD_MESSAGE,
				   "generation made by another build of insetd");
	rc = hash_sha256(p, len - sizeof(sum), sum);
	if (rc)
		return rc;
	if (memcmp(sum, p + len - sizeof(sum), sizeof(sum)) != 0)
		return err_msg_set(msg, ERR_BAD_MESSAGE, "generation damaged");
	c = conf_new();
	if (!c)
		return err_msg_set(msg, ERR_NOMEM, "out of memory");
	r = (struct reader){ .p = p + sizeof(sum), .left = len - 2 * sizeof(sum) };
	get_all(&r, c);
	if (r.error) {
		conf_unref(&c);
		return err_msg_set(msg, r.error, "generation: %s", err_str(r.error));
	}
	*out = c;
	return 0;
}
