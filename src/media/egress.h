/* SPDX-License-Identifier: MIT */
/*
 * egress - how transfers leave: through a proxy or not, and with which client certificate.
 *
 * Prepared once for a configuration. Whether they may leave is the guard's business, and a proxy
 * changes nothing about it.
 */
#pragma once

#include "conf/conf.h"
#include "media/target.h"

struct egress;

/* With a reference to c; NULL when out of memory. One reference: a transfer has its own. */
struct egress *egress_new(struct conf *c) MUSTCHECK;
struct egress *egress_ref(struct egress *e);
/* Accepts NULL. */
void egress_unref(struct egress **e);

/* The HTTP proxy; NULL: none. */
const struct target *egress_proxy(const struct egress *e);

/* Certificate, chain and key for exactly this origin, PEM; NULL: none. */
const char *egress_certificate(const struct egress *e, const struct target *t);
