/* SPDX-License-Identifier: MIT */
/*
 * gate - see gate.h.
 *
 * Counts first and looks then: two proxies that let the last one in at the same time both
 * refuse, so that the limit holds without a lock.
 */
#include "config.h"

#include "stream/gate.h"

#include <netinet/in.h>
#include <string.h>

#include "base/counters.h"
#include "base/log.h"
#include "base/tally.h"

static uint64_t gate_hash(const struct sockaddr *from)
{
	const struct in6_addr *v6;

	if (from->sa_family == AF_INET)
		return counters_hash(&((const struct sockaddr_in *)from)->sin_addr, 4);
	if (from->sa_family != AF_INET6)
		return counters_hash("", 0);
	v6 = &((const struct sockaddr_in6 *)from)->sin6_addr;
	if (IN6_IS_ADDR_V4MAPPED(v6))
		return counters_hash(v6->s6_addr + 12, 4);
	return counters_hash(v6->s6_addr, 8);
}

static void gate_refused(const char *limit, uint64_t max)
{
	static struct log_limit often;
	unsigned dropped;

	counter_inc(METRIC_SESSIONS_OVER);
	if (log_limit_ok(&often, 6, &dropped))
		log_warning("connection refused limit=%s max=%llu dropped=%u", limit,
			    (unsigned long long)max, dropped);
}

bool gate_enter(struct gate_pass *pass, const struct conf_limits *limits)
{
	pass->counted = true;
	counter_inc(METRIC_SESSIONS);
	if (!limits->sessions || counters_sum(METRIC_SESSIONS) <= limits->sessions)
		return true;
	gate_refused("sessions", limits->sessions);
	gate_leave(pass);
	return false;
}

bool gate_address(struct gate_pass *pass, const struct conf_limits *limits,
		  const struct sockaddr *from)
{
	pass->address = gate_hash(from);
	pass->addressed = true;
	tally_add(pass->address);
	if (!limits->per_address || tally_count(pass->address) <= limits->per_address)
		return true;
	gate_refused("per-address", limits->per_address);
	return false;
}

void gate_leave(struct gate_pass *pass)
{
	if (pass->counted)
		counter_dec(METRIC_SESSIONS);
	if (pass->addressed)
		tally_remove(pass->address);
	*pass = (struct gate_pass){ 0 };
}
