/* SPDX-License-Identifier: MIT */
/*
 * caps - entity capabilities: the hashes of a disco#info result (XEP-0115, XEP-0390).
 *
 * Reads a <query/> of an outline into a set, takes additions, computes. Decides nothing
 * about whom to believe. Everything lives in the arena given.
 */
#pragma once

#include "base/base64.h"
#include "base/hash.h"
#include "xmpp/outline.h"

#define CAPS_HASH_MAX (BASE64_LEN(HASH_LEN_MAX) + 1)

struct caps_identity {
	const char *category;
	const char *type;
	const char *lang;  /* its own xml:lang, "" for none: for XEP-0115 */
	const char *scope; /* the one in scope, "" for none: for XEP-0390 */
	const char *name;
};

struct caps_field {
	const char *var;
	const char **values;
	size_t values_n;
};

struct caps_form {
	struct caps_field *fields;
	size_t fields_n;
	const char *type; /* value of a hidden FORM_TYPE; NULL: none */
};

struct caps {
	struct arena *arena; /* borrowed */
	const char *scope;   /* xml:lang of the query, for what is added */
	struct caps_identity *identities;
	size_t identities_n;
	const char **features;
	size_t features_n;
	struct caps_form *forms;
	size_t forms_n;
	bool odd; /* holds what XEP-0390 has no place for */
};

enum caps_algo {
	CAPS_115_SHA1, /* XEP-0115, hash='sha-1' */
		       /* XEP-0390, in the order of enum hash_kind */
#define HASH_KIND(name, text, len, md) CAPS_390_##name,
#include "base/hash.def"
	CAPS_ALGO_COUNT
};

/* As XEP-0390 names it (XEP-0300), and back: CAPS_ALGO_COUNT, unknown. */
const char *caps_algo_name(enum caps_algo algo);
enum caps_algo caps_390_algo(const char *name);

/*
 * The set that element `query` of the outline describes. 0; ERR_SYNTAX: ill-formed, an
 * identity, feature or form stands twice, nothing may be computed of it; ERR_NOMEM.
 */
int caps_read(struct caps *c, struct arena *a, const struct outline *o, int query) MUSTCHECK;

bool caps_has_feature(const struct caps *c, const char *var);
bool caps_has_identity(const struct caps *c, const char *category, const char *type);

/* Texts are borrowed. 0 or ERR_NOMEM. */
int caps_add_feature(struct caps *c, const char *var) MUSTCHECK;
int caps_add_identity(struct caps *c, const struct caps_identity *id) MUSTCHECK;
/* A form of one text field besides its FORM_TYPE. */
int caps_add_form(struct caps *c, const char *form_type, const char *var,
		  const char *value) MUSTCHECK;

/* The hash in base64; sorts the set. 0, ERR_UNSUPPORTED (odd, XEP-0390) or ERR_NOMEM. */
int caps_hash(struct caps *c, enum caps_algo algo, char out[CAPS_HASH_MAX]) MUSTCHECK;
