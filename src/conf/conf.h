/* SPDX-License-Identifier: MIT */
/*
 * conf - one checked configuration, in C.
 *
 * Made by conf_read() (conf/read.h) in the master and by generation_parse()
 * (conf/generation.h) everywhere else; immutable once published, shared by reference
 * count. Its fields are the rows of options.def. Nothing here runs anything.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/picture.h"
#include "conf/rules.h"

/* Which lane; also bits of conf_listen.directions (1 << LANE_x). */
enum lane_dir { LANE_C2S, LANE_S2C };

enum conf_action {
#define ACTION(id, name, help) CONF_ACTION_##id,
#include "conf/actions.def"
#undef ACTION
	CONF_ACTION_COUNT
};
enum conf_compression { CONF_COMPRESSION_STRIP, CONF_COMPRESSION_RELAY };
enum conf_relay { CONF_RELAY, CONF_CLOSE };
enum conf_proxy { CONF_PROXY_OFF, CONF_PROXY_V1, CONF_PROXY_V2, CONF_PROXY_ANY };
enum conf_from { CONF_FROM_ANY, CONF_FROM_LISTED };
enum conf_caps { CONF_CAPS_STRIP, CONF_CAPS_REWRITE };
enum conf_record_at { CONF_RECORD_BEFORE, CONF_RECORD_AFTER, CONF_RECORD_BOTH };
enum conf_redact { CONF_REDACT_DEFAULT, CONF_REDACT_NONE };
enum conf_tls { CONF_TLS_OFF, CONF_TLS_STARTTLS, CONF_TLS_DIRECT };
/* Bits of conf_profile.formats (1 << FORMAT_x); one row each in filters/thumbnail/formats.c. */
enum conf_format {
	CONF_FORMAT_IBB,
	CONF_FORMAT_BOB,
	CONF_FORMAT_THUMBS0,
	CONF_FORMAT_SIMS,
	CONF_FORMAT_SFS,
	CONF_FORMAT_OGP,
	CONF_FORMAT_HTTP,
	CONF_FORMAT_COUNT
};

struct conf_list {
	char **v; /* owned, n entries */
	size_t n;
};

struct conf_rate {
	uint32_t count; /* 0: no limit */
	uint32_t per_ms;
};

/* C type of each option type. */
#define CONF_TYPE_SIZE            uint64_t
#define CONF_TYPE_TIME            uint32_t
#define CONF_TYPE_COUNT           uint64_t
#define CONF_TYPE_BOOL            bool
#define CONF_TYPE_STRING          char *
#define CONF_TYPE_USER            char *
#define CONF_TYPE_UPSTREAM        char *
#define CONF_TYPE_STRINGS         struct conf_list
#define CONF_TYPE_BIND            struct conf_list
#define CONF_TYPE_NETWORKS        struct conf_list
#define CONF_TYPE_ORIGIN          char *
#define CONF_TYPE_ORIGINS         struct conf_list
#define CONF_TYPE_SERVERS         struct conf_list
#define CONF_TYPE_PORTS           struct conf_list
#define CONF_TYPE_RATE            struct conf_rate
#define CONF_TYPE_ENUM_ACTION     int /* enum conf_action */
#define CONF_TYPE_ENUM_CAPS       int /* enum conf_caps */
#define CONF_TYPE_ENUM_COMPRESS   int /* enum conf_compression */
#define CONF_TYPE_ENUM_FROM       int /* enum conf_from */
#define CONF_TYPE_ENUM_LOG_FORMAT int /* enum log_format */
#define CONF_TYPE_ENUM_LOG_LEVEL  int /* enum log_level */
#define CONF_TYPE_ENUM_LOG_TARGET int /* enum log_target */
#define CONF_TYPE_ENUM_RELAY      int /* enum conf_relay */
#define CONF_TYPE_ENUM_PROXY_IN   int /* enum conf_proxy */
#define CONF_TYPE_ENUM_PROXY_OUT  int /* enum conf_proxy, not ANY */
#define CONF_TYPE_ENUM_RECORD_AT  int /* enum conf_record_at */
#define CONF_TYPE_ENUM_REDACT     int /* enum conf_redact */
#define CONF_TYPE_ENUM_TLS        int /* enum conf_tls */
#define CONF_TYPE_ENUM_OUTPUT     int /* enum picture_output */
#define CONF_TYPE_ENUMS_LANE      uint32_t
#define CONF_TYPE_ENUMS_FORMAT    uint32_t

#define CONF_FIELD(name, field, type, min, max, def, help) CONF_TYPE_##type field;

struct conf_log {
#define OPTION_LOG CONF_FIELD
#include "conf/options.def"
};

struct conf_profile {
	char *name;
#define OPTION_PROFILE CONF_FIELD
#include "conf/options.def"
};

struct conf_listen {
	char *name;
	const struct conf_profile *profile_ref; /* the profile that `profile` names */
	uint32_t row; /* its place in the shared figures; kept as long as its name lasts */
	bool strips;  /* a rule, or default-action, may strip; set by conf_link() */
	bool links;   /* a profile that may be chosen here has links; set by conf_link() */
	/* What reading found in the files, for processes that may not read them; secret. */
	struct conf_list keys; /* of certificates, PEM, in order */
	char *upstream_cas;    /* of upstream-ca, PEM; NULL: the system's */
#define OPTION_LISTEN CONF_FIELD
#include "conf/options.def"
};

struct conf_fetch {
	char *cas; /* of ca-file, PEM; NULL: the system's, or not for this process */
#define OPTION_FETCH CONF_FIELD
#include "conf/options.def"
};

/* An entry of fetch.origins. */
struct conf_origin {
	char *pem; /* of client-certificate; secret; NULL: not for this process */
#define OPTION_ORIGIN CONF_FIELD
#include "conf/options.def"
};

struct conf_scale {
#define OPTION_SCALE CONF_FIELD
#include "conf/options.def"
};

struct conf_cache {
#define OPTION_CACHE CONF_FIELD
#include "conf/options.def"
};

struct conf_web {
#define OPTION_WEB CONF_FIELD
#include "conf/options.def"
};

struct conf_record {
#define OPTION_RECORD CONF_FIELD
#include "conf/options.def"
};

struct conf_upload {
	/* Secret, as conf_listen.keys. */
	char *key;    /* 64 hexadecimal digits; signs upload addresses; NULL: not there */
	char *pem;    /* of certificate; NULL: none, or not for this process */
	char *s3_key; /* "id\nsecret"; the same */
	char *s3_cas; /* of s3-ca-file, PEM; NULL: the system's, or not for this process */
#define OPTION_UPLOAD CONF_FIELD
#include "conf/options.def"
};

/* An entry of upload.services. */
struct conf_service {
#define OPTION_SERVICE CONF_FIELD
#include "conf/options.def"
};

struct conf_limits {
#define OPTION_LIMITS CONF_FIELD
#include "conf/options.def"
};

struct conf {
	unsigned refs;
	uint64_t generation; /* number, from 1; 0 while unpublished */
#define OPTION_GLOBAL CONF_FIELD
#include "conf/options.def"
	struct conf_log log;
	struct conf_listen *listens; /* owned */
	size_t listens_n;
	struct conf_profile *profiles; /* owned; the built-in ones first, "default" before all */
	size_t profiles_n;
	struct conf_fetch fetch;
	struct conf_origin *origins; /* owned */
	size_t origins_n;
	struct conf_scale scale;
	struct conf_cache cache;
	struct conf_web web;
	struct conf_record record;
	struct conf_upload upload;
	struct conf_service *services; /* owned; at least one once it was read */
	size_t services_n;
	struct conf_limits limits;
	struct conf_rule *rules; /* owned; of the first that matches */
	size_t rules_n;
	struct conf_file *files; /* owned; that rules name */
	size_t files_n;
	/* The rules ready for use (rule/rule.h), where somebody has made them; freed with the rest.
	 */
	void *compiled;
	void (*compiled_free)(void **compiled);
};

/* What actions do, for the manual. */
const char *conf_action_help(enum conf_action action);

/* All defaults, the built-in profiles, no listener; NULL when out of memory. One reference. */
struct conf *conf_new(void) MUSTCHECK;
struct conf *conf_ref(struct conf *c);
/* Drops a reference, frees with the last; accepts NULL; sets *c to NULL. */
void conf_unref(struct conf **c);

/*
 * Gives every listener its row: that of the listener of the same name in old (may be NULL), else
 * one that none of old has. *fresh is called for each of the latter.
 */
void conf_number_listeners(struct conf *c, const struct conf *old, void (*fresh)(unsigned row));

const struct conf_listen *conf_listen_find(const struct conf *c, const char *name);

/* --- the option table: for reading, generations, manual and -o ------------------------- */

enum conf_section {
	CONF_GLOBAL,
	CONF_LOG,
	CONF_LISTEN,  /* once per listener */
	CONF_PROFILE, /* once per profile */
	CONF_FETCH,
	CONF_ORIGIN, /* once per entry of fetch.origins */
	CONF_SCALE,
	CONF_CACHE,
	CONF_WEB,
	CONF_RECORD,
	CONF_UPLOAD,
	CONF_SERVICE, /* once per entry of upload.services */
	CONF_LIMITS,
	CONF_SECTION_COUNT
};

/* Option types as in options.def; value.c parses each. */
enum conf_kind {
	CONF_KIND_BIND,
	CONF_KIND_BOOL,
	CONF_KIND_COUNT,
	CONF_KIND_ENUMS_FORMAT,
	CONF_KIND_ENUMS_LANE,
	CONF_KIND_ENUM_ACTION,
	CONF_KIND_ENUM_CAPS,
	CONF_KIND_ENUM_COMPRESS,
	CONF_KIND_ENUM_FROM,
	CONF_KIND_ENUM_LOG_FORMAT,
	CONF_KIND_ENUM_LOG_LEVEL,
	CONF_KIND_ENUM_LOG_TARGET,
	CONF_KIND_ENUM_RELAY,
	CONF_KIND_ENUM_PROXY_IN,
	CONF_KIND_ENUM_PROXY_OUT,
	CONF_KIND_ENUM_RECORD_AT,
	CONF_KIND_ENUM_REDACT,
	CONF_KIND_ENUM_TLS,
	CONF_KIND_ENUM_OUTPUT,
	CONF_KIND_NETWORKS,
	CONF_KIND_ORIGIN,
	CONF_KIND_ORIGINS,
	CONF_KIND_PORTS,
	CONF_KIND_RATE,
	CONF_KIND_SERVERS,
	CONF_KIND_SIZE,
	CONF_KIND_STRING,
	CONF_KIND_STRINGS,
	CONF_KIND_TIME,
	CONF_KIND_UPSTREAM,
	CONF_KIND_USER,
	CONF_KIND_TYPE_COUNT
};

/* How the C type of a kind is kept: what copying, freeing and sending need to know. */
enum conf_store {
	CONF_STORE_U64,
	CONF_STORE_U32,
	CONF_STORE_BOOL,
	CONF_STORE_TEXT,
	CONF_STORE_LIST,
	CONF_STORE_RATE,
	CONF_STORE_WORD, /* int, index into the kind's words */
	CONF_STORE_MASK  /* uint32_t, a bit for each of the kind's words */
};

struct conf_option {
	enum conf_section section;
	enum conf_kind kind;
	size_t offset; /* of the field in the struct of its section */
	uint64_t min;
	uint64_t max;
	const char *name;
	const char *def;
	const char *help;
};

extern const struct conf_option conf_options[];
extern const size_t conf_options_n;

/* The row of that name in a section, or NULL. */
const struct conf_option *conf_option_find(enum conf_section section, const char *name);

/* "" for CONF_GLOBAL, "listen", "profiles", "fetch" ... */
const char *conf_section_name(enum conf_section section);

/* "SIZE", "TIME" ...: as in options.def. */
const char *conf_kind_name(enum conf_kind kind);
enum conf_store conf_kind_store(enum conf_kind kind);
/* The words of an ENUM or ENUMS kind, NULL at the end; NULL for other kinds. */
const char *const *conf_kind_words(enum conf_kind kind);

/* Are there any number of structs of this section? */
bool conf_section_is_many(enum conf_section section);
/* How many structs of a section c has (1 unless there may be many), and each of them. */
size_t conf_section_count(const struct conf *c, enum conf_section section);
void *conf_section_at(struct conf *c, enum conf_section section, size_t i);
/* The field of an option in the struct that conf_section_at() returned. */
void *conf_field(void *section, const struct conf_option *o);

/* --- filling an unpublished configuration; for read-*.c and generation.c ---------------- */

/* A new one with all defaults, or NULL when out of memory; moves the array. */
struct conf_listen *conf_add_listen(struct conf *c, const char *name) MUSTCHECK;
struct conf_profile *conf_add_profile(struct conf *c, const char *name) MUSTCHECK;
struct conf_service *conf_add_service(struct conf *c) MUSTCHECK;
struct conf_origin *conf_add_origin(struct conf *c) MUSTCHECK;

/* Sets every profile_ref, when all listeners and profiles are there. False: a listener names an
 * unknown one. */
bool conf_link(struct conf *c);
