/* SPDX-License-Identifier: MIT */
/*
 * trace - shows the order of the calls that a filter gets; teaching code and test tool.
 *
 * Logs at debug level, changes nothing, starts no job. See filter/filter.h.
 */
#include "config.h"

#include "base/log.h"
#include "filter/filter.h"

#define BOTH (1u << LANE_C2S | 1u << LANE_S2C)

static const struct filter_want wants[] = {
	{ .kind = UNIT_MESSAGE, .dirs = BOTH },
	{ .kind = UNIT_IQ,
	  .dirs = BOTH,
	  .iq_types = 1u << IQ_GET | 1u << IQ_SET | 1u << IQ_RESULT | 1u << IQ_ERROR },
	{ .kind = UNIT_KIND_COUNT },
};

static int trace_open(struct filter_instance *f)
{
	log_debug("trace open listener=%s", f->listen->name);
	return 0;
}

static void trace_close(struct filter_instance *f)
{
	log_debug("trace close listener=%s", f->listen->name);
}

static enum filter_verdict trace_on_unit(struct filter_instance *f, struct filter_unit *u)
{
	log_debug("trace unit listener=%s lane=%s kind=%s elements=%zu bytes=%zu from=%s",
		  f->listen->name, u->dir == LANE_C2S ? "c2s" : "s2c", unit_kind_name(u->kind),
		  u->outline->elements_n, u->outline->len, u->from ? "known" : "unknown");
	return FILTER_PASS;
}

/* Never called: this filter starts no job. The chain needs the function all the same. */
static enum filter_verdict trace_on_result(struct filter_instance *f UNUSED,
					   struct filter_unit *u UNUSED,
					   const struct job_result *r UNUSED)
{
	BUG();
}

const struct filter_ops filter_trace = {
	.abi = FILTER_ABI,
	.name = "trace",
	.help = "logs the order of calls at debug level and changes nothing",
	.wants = wants,
	.open = trace_open,
	.close = trace_close,
	.on_unit = trace_on_unit,
	.on_result = trace_on_result,
};
