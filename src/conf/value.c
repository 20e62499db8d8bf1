/* SPDX-License-Identifier: MIT */
/*
 * value - see value.h.
 */
#include "config.h"

#include "conf/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/address.h"

#define ENTRY_MAX 512 /* bytes of a list's entry */

struct unit_row {
	const char *name;
	uint64_t factor;
};

static const struct unit_row size_units[] = {
	{ "", 1 }, { "KiB", 1u << 10 }, { "MiB", 1u << 20 }, { "GiB", 1u << 30 }, { NULL, 0 }
};
static const struct unit_row time_units[] = { { "ms", 1 },      { "s", 1000 },     { "m", 60000 },
					      { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 } };
static const struct unit_row count_units[] = {
	{ "", 1 }, { "k", 1000 }, { "M", 1000000 }, { NULL, 0 }
};

static int bad(struct err_msg *msg, const char *text, const char *why)
{
	return err_msg_set(msg, ERR_SYNTAX, "\"%.100s\" %s", text, why);
}

static void unit_print(uint64_t v, const struct unit_row *units, char out[32])
{
	const struct unit_row *best = &units[0];

	for (; units->name; units++)
		if (v && v % units->factor == 0)
			best = units;
	snprintf(out, 32, "%" PRIu64 "%s", v / best->factor, best->name);
}

void value_print_size(uint64_t v, char out[32])
{
	unit_print(v, size_units, out);
}

void value_print_time(uint64_t ms, char out[32])
{
	unit_print(ms, time_units, out);
}

/* Digits, then exactly one of the units. 0 or ERR_SYNTAX. */
static int number_parse(const char *text, const struct unit_row *units, uint64_t *out)
{
	uint64_t v;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return ERR_SYNTAX;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return ERR_SYNTAX;
	for (; units->name; units++) {
		if (strcmp(end, units->name) != 0)
			continue;
		if (v > UINT64_MAX / units->factor)
			return ERR_SYNTAX;
		*out = v * units->factor;
		return 0;
	}
	/* Nothing is nothing in every unit. */
	if (v == 0 && *end == '\0') {
		*out = 0;
		return 0;
	}
	return ERR_SYNTAX;
}

static int number_set(const struct conf_option *o, uint64_t *out, const char *text,
		      struct err_msg *msg)
{
	const struct unit_row *units = o->kind == CONF_KIND_SIZE   ? size_units
				       : o->kind == CONF_KIND_TIME ? time_units
								   : count_units;
	char lo[32], hi[32];
	uint64_t v;

	if (number_parse(text, units, &v)) {
		if (units == size_units)
			return bad(msg, text,
				   "is no size: a number of bytes, or with KiB, MiB or GiB, such "
				   "as \"256KiB\"");
		if (units == time_units)
			return bad(msg, text,
				   "is no time: a number with ms, s, m, h or d, such as \"800ms\"");
		return bad(msg, text,
			   "is no number: digits, or with k or M for thousands and millions");
	}
	if (v >= o->min && v <= o->max) {
		*out = v;
		return 0;
	}
	unit_print(o->min, units, lo);
	unit_print(o->max, units, hi);
	return err_msg_set(msg, ERR_SYNTAX, "\"%.100s\" is out of range: %s to %s", text, lo, hi);
}

#define NO_ORIGIN "is no origin: scheme, host and port only, such as \"http://127.0.0.1:8080\""

/* --- the kinds ------------------------------------------------------------------------- */

static bool is_clean_text(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static bool is_user_name(const char *text)
{
	return text[0] == '\0' ||
	       (text[0] != '-' &&
		text[strspn(text,
			    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
			'\0');
}

static int text_set(const struct conf_option *o, char **field, const char *text,
		    struct err_msg *msg)
{
	char *new = NULL;
	int rc = 0;

	if (!is_clean_text(text))
		return bad(msg, text, "holds a control character");
	if (strlen(text) < o->min)
		return err_msg_set(msg, ERR_SYNTAX, "may not be empty");
	if (strlen(text) > o->max)
		return err_msg_set(msg, ERR_SYNTAX, "\"%.40s...\" is longer than %" PRIu64 " bytes",
				   text, o->max);
	if (o->kind == CONF_KIND_USER && !is_user_name(text))
		return bad(msg, text, "is no user name");
	if (o->kind == CONF_KIND_ORIGIN && text[0] && !address_is_origin(text))
		return bad(msg, text, NO_ORIGIN);
	if (o->kind == CONF_KIND_UPSTREAM)
		rc = address_upstream(text, &new, msg);
	else
		new = strdup(text);
	if (rc)
		return rc;
	if (!new)
		return ERR_NOMEM;
	free(*field);
	*field = new;
	return 0;
}

/* "N/1m", "N/10s"; "" and "0": no limit. */
static int rate_set(struct conf_rate *r, const char *text, struct err_msg *msg)
{
	static const struct unit_row none[] = { { "", 1 }, { NULL, 0 } };
	const char *slash = strchr(text, '/');
	uint64_t count = 0, per = 0;
	char digits[16];

	if (text[0] == '\0' || strcmp(text, "0") == 0) {
		*r = (struct conf_rate){ 0 };
		return 0;
	}
	if (!slash || slash - text >= (ptrdiff_t)sizeof(digits))
		return bad(msg, text, "is no rate: a number in a time, such as \"10/1m\"");
	snprintf(digits, sizeof(digits), "%.*s", (int)(slash - text), text);
	if (number_parse(digits, none, &count) || number_parse(slash + 1, time_units, &per))
		return bad(msg, text, "is no rate: a number in a time, such as \"10/1m\"");
	if (count > 1000000 || per < 1000 || per > 86400000)
		return bad(msg, text, "is out of range: 0 to 1M in 1s to 1d");
	*r = count ? (struct conf_rate){ (uint32_t)count, (uint32_t)per } : (struct conf_rate){ 0 };
	return 0;
}

static int word_find(const struct conf_option *o, const char *text, struct err_msg *msg)
{
	const char *const *words = conf_kind_words(o->kind);
	char all[200];
	size_t n = 0;
	int i;

	for (i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", words[i]);
		BUG_ON(n >= sizeof(all));
	}
	return err_msg_set(msg, ERR_SYNTAX, "\"%.100s\" is none of: %s", text, all);
}

static int list_append(struct conf_list *l, char *entry)
{
	char **v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v)
		return ERR_NOMEM;
	l->v = v;
	v[l->n++] = entry;
	return 0;
}

/* Checks an entry and makes the owned text that is kept of it. */
static int entry_parse(const struct conf_option *o, const char *text, char **out,
		       struct err_msg *msg)
{
	uint16_t port;

	if (!is_clean_text(text) || text[0] == '\0' || strlen(text) > ENTRY_MAX)
		return bad(msg, text, "is empty, too long or holds a control character");
	if (o->kind == CONF_KIND_BIND)
		return address_bind(text, out, msg);
	if (o->kind == CONF_KIND_PORTS && address_port(text, &port))
		return bad(msg, text, "is no port: 1 to 65535");
	if (o->kind == CONF_KIND_NETWORKS && !address_is_network(text))
		return bad(msg, text, "is no network: \"203.0.113.0/24\" or \"2001:db8::/32\"");
	if (o->kind == CONF_KIND_ORIGINS && !address_is_origin(text))
		return bad(msg, text, NO_ORIGIN);
	if (o->kind == CONF_KIND_SERVERS && !address_is_server(text))
		return bad(msg, text, "is no name server: \"192.0.2.53\" or \"192.0.2.53:5353\"");
	*out = strdup(text);
	return *out ? 0 : ERR_NOMEM;
}

int value_add(const struct conf_option *o, void *field, const char *text, struct err_msg *msg)
{
	struct conf_list *l = field;
	char *entry = NULL;
	size_t i;
	int rc;

	if (conf_kind_store(o->kind) == CONF_STORE_MASK) {
		rc = word_find(o, text, msg);
		if (rc >= 0)
			*(uint32_t *)field |= 1u << rc;
		return MIN_OF(rc, 0);
	}
	rc = entry_parse(o, text, &entry, msg);
	if (rc)
		return rc;
	for (i = 0; i < l->n && !rc; i++)
		if (strcmp(l->v[i], entry) == 0)
			rc = bad(msg, text, "stands here twice");
	if (!rc)
		rc = list_append(l, entry);
	if (rc)
		free(entry);
	return rc;
}

int value_check_entries(const struct conf_option *o, const void *field, struct err_msg *msg)
{
	enum conf_store store = conf_kind_store(o->kind);
	uint64_t n;

	if (store == CONF_STORE_LIST)
		n = ((const struct conf_list *)field)->n;
	else if (store == CONF_STORE_MASK)
		n = (uint64_t)__builtin_popcount(*(const uint32_t *)field);
	else
		return 0;
	if (n >= o->min && n <= o->max)
		return 0;
	return n == 0 ? err_msg_set(msg, ERR_SYNTAX, "needs at least one entry")
		      : err_msg_set(msg, ERR_SYNTAX,
				    "has %" PRIu64 " entries: %" PRIu64 " to %" PRIu64
				    " are allowed",
				    n, o->min, o->max);
}

/* Entries between commas, white space around them dropped. */
static int list_set(const struct conf_option *o, void *field, const char *text, struct err_msg *msg)
{
	char *copy = strdup(text), *rest = copy, *entry;
	int rc = copy ? 0 : ERR_NOMEM;

	value_clear(o, field);
	while (!rc && text[0] && (entry = strsep(&rest, ",")) != NULL) {
		size_t len;

		entry += strspn(entry, " \t");
		for (len = strlen(entry); len && strchr(" \t", entry[len - 1]); len--)
			entry[len - 1] = '\0';
		rc = value_add(o, field, entry, msg);
	}
	free(copy);
	return rc;
}

static int value_put(const struct conf_option *o, void *field, const char *text,
		     struct err_msg *msg)
{
	uint64_t v = 0;
	int rc;

	switch (conf_kind_store(o->kind)) {
	case CONF_STORE_U64:
		return number_set(o, field, text, msg);
	case CONF_STORE_U32:
		rc = number_set(o, &v, text, msg);
		if (!rc)
			*(uint32_t *)field = (uint32_t)v;
		return rc;
	case CONF_STORE_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return bad(msg, text, "is neither true nor false");
		*(bool *)field = text[0] == 't';
		return 0;
	case CONF_STORE_TEXT:
		return text_set(o, field, text, msg);
	case CONF_STORE_LIST:
	case CONF_STORE_MASK:
		return list_set(o, field, text, msg);
	case CONF_STORE_RATE:
		return rate_set(field, text, msg);
	case CONF_STORE_WORD:
		rc = word_find(o, text, msg);
		if (rc >= 0)
			*(int *)field = rc;
		return MIN_OF(rc, 0);
	}
	BUG();
}

int value_set(const struct conf_option *o, void *field, const char *text, struct err_msg *msg)
{
	int rc = value_put(o, field, text, msg);

	return rc ? rc : value_check_entries(o, field, msg);
}

int value_set_default(const struct conf_option *o, void *field)
{
	int rc;

	/* What has no default must be given: who checks its group asks for it. */
	if (o->def[0] == '\0' && conf_kind_store(o->kind) == CONF_STORE_TEXT) {
		*(char **)field = strdup("");
		return *(char **)field ? 0 : ERR_NOMEM;
	}
	rc = value_put(o, field, o->def, NULL);
	BUG_ON(rc && rc != ERR_NOMEM);
	return rc;
}

int value_address(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out)
{
	return address_parse(text, ss_out, len_out);
}

int value_server(const char *text, struct sockaddr_storage *ss_out, socklen_t *len_out,
		 bool *tls_out)
{
	return address_server(text, ss_out, len_out, tls_out);
}

bool value_in_networks(const struct conf_list *networks, const struct sockaddr *sa)
{
	size_t i;

	for (i = 0; i < networks->n; i++)
		if (address_in_network(sa, networks->v[i]))
			return true;
	return false;
}

bool value_is_in_range(const struct conf_option *o, const void *field)
{
	const char *const *words = conf_kind_words(o->kind);
	const struct conf_rate *rate = field;
	uint64_t n = 0;
	size_t len;

	while (words && words[n])
		n++;
	switch (conf_kind_store(o->kind)) {
	case CONF_STORE_U64:
		return *(const uint64_t *)field >= o->min && *(const uint64_t *)field <= o->max;
	case CONF_STORE_U32:
		return *(const uint32_t *)field >= o->min && *(const uint32_t *)field <= o->max;
	case CONF_STORE_BOOL:
		return true;
	case CONF_STORE_TEXT:
		len = strlen(*(char *const *)field);
		return len >= o->min && len <= o->max && is_clean_text(*(char *const *)field);
	case CONF_STORE_LIST:
		return value_check_entries(o, field, NULL) == 0;
	case CONF_STORE_RATE:
		return rate->count <= 1000000 && (rate->count == 0 || rate->per_ms >= 1000) &&
		       rate->per_ms <= 86400000;
	case CONF_STORE_WORD:
		return *(const int *)field >= 0 && (uint64_t) * (const int *)field < n;
	case CONF_STORE_MASK:
		return *(const uint32_t *)field >> n == 0 &&
		       value_check_entries(o, field, NULL) == 0;
	}
	BUG();
}

void value_clear(const struct conf_option *o, void *field)
{
	struct conf_list *l = field;
	size_t i;

	switch (conf_kind_store(o->kind)) {
	case CONF_STORE_TEXT:
		free(*(char **)field);
		*(char **)field = NULL;
		return;
	case CONF_STORE_LIST:
		for (i = 0; i < l->n; i++)
			free(l->v[i]);
		free(l->v);
		*l = (struct conf_list){ 0 };
		return;
	case CONF_STORE_MASK:
		*(uint32_t *)field = 0;
		return;
	case CONF_STORE_U64:
	case CONF_STORE_U32:
	case CONF_STORE_BOOL:
	case CONF_STORE_RATE:
	case CONF_STORE_WORD:
		return;
	}
	BUG();
}
