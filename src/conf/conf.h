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

/* Which lane; also bits of conf_listen.directions (1 << LANE_x). */
enum lane_dir { LANE_C2S, LANE_S2C };

enum conf_action { CONF_ACTION_THUMBNAIL, CONF_ACTION_PASS };
enum conf_opaque { CONF_OPAQUE_RELAY, CONF_OPAQUE_CLOSE };
/* Bits of conf_profile.formats (1 << FORMAT_x); one row each in filters/thumbnail/formats.c. */
enum conf_format { CONF_FORMAT_IBB, CONF_FORMAT_COUNT };

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
#define CONF_TYPE_PORTS           struct conf_list
#define CONF_TYPE_RATE            struct conf_rate
#define CONF_TYPE_ENUM_ACTION     int /* enum conf_action */
#define CONF_TYPE_ENUM_LOG_FORMAT int /* enum log_format */
#define CONF_TYPE_ENUM_LOG_LEVEL  int /* enum log_level */
#define CONF_TYPE_ENUM_LOG_TARGET int /* enum log_target */
#define CONF_TYPE_ENUM_OPAQUE     int /* enum conf_opaque */
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
#define OPTION_LISTEN CONF_FIELD
#include "conf/options.def"
};

struct conf_fetch {
#define OPTION_FETCH CONF_FIELD
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
	struct conf_profile *profiles; /* owned; "default" is always among them */
	size_t profiles_n;
	struct conf_fetch fetch;
	struct conf_scale scale;
	struct conf_cache cache;
	struct conf_web web;
	struct conf_limits limits;
};

/* All defaults, profile "default", no listener; NULL when out of memory. One reference. */
struct conf *conf_new(void) MUSTCHECK;
struct conf *conf_ref(struct conf *c);
/* Drops a reference, frees with the last; accepts NULL; sets *c to NULL. */
void conf_unref(struct conf **c);

const struct conf_listen *conf_listen_find(const struct conf *c, const char *name);

/* The option table, for -t, -o, manual and dump. */
enum conf_section { CONF_GLOBAL, CONF_LOG, CONF_LISTEN, CONF_PROFILE, CONF_FETCH, CONF_SCALE, CONF_CACHE, CONF_WEB, CONF_LIMITS, CONF_SECTION_COUNT };
