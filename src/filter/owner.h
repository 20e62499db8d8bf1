/* SPDX-License-Identifier: MIT */
/*
 * owner - in whose name data with a cid (XEP-0231) was published: a bare JID as a short sum.
 *
 * A plain SHA-256, cut to 128 bits: it must come out the same in every worker, run and
 * machine, for the cache may be shared, so there is no key to agree on. The sum stays
 * between inset's own processes and in its caches, and 128 bits leave nobody a second
 * address with the same one.
 */
#pragma once

#include "base/job.h"

/* jid: bare or full; the domain's case does not matter. 0 or ERR_SYNTAX, ERR_NOMEM. */
int owner_of(const char *jid, uint8_t owner_out[JOB_OWNER_LEN]) MUSTCHECK;
