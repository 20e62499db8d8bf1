/* SPDX-License-Identifier: MIT */
/*
 * unit - what the framer cuts a stream into, and what kind each one is.
 */
#pragma once

#include <stdbool.h>

#include "xmpp/tag.h"

enum unit_kind {
#define UNIT(kind, local, ns) UNIT_##kind,
#include "xmpp/unit.def"
#undef UNIT
	UNIT_HEADER, /* stream header */
	UNIT_CLOSE,  /* stream end */
	UNIT_OTHER,  /* any other element at stream level */
	UNIT_KIND_COUNT
};

/* "message", "sasl-success" ...; for logs and tests. */
const char *unit_kind_name(enum unit_kind kind);

/*
 * Kind of a unit by its start tag: local name and namespace, never the prefix. MESSAGE,
 * PRESENCE and IQ count in jabber:client, jabber:server and jabber:component:accept.
 */
enum unit_kind unit_classify(const struct tag *t, const struct nsctx *ctx);
/* The same for a tag that is known to declare nothing: its attributes are not looked at. */
enum unit_kind unit_classify_plain(const struct tag *t, const struct nsctx *ctx);

enum iq_type { IQ_GET, IQ_SET, IQ_RESULT, IQ_ERROR, IQ_NONE };

/* The type attribute of an iq's start tag. */
enum iq_type unit_iq_type(const struct tag *t);
