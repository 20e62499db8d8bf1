/* SPDX-License-Identifier: MIT */
/*
 * range - see range.h.
 */
#include "config.h"

#include "rule/range.h"

#include <stdio.h>
#include <string.h>

#include "conf/value.h"

static int number_parse(uint64_t *out, const char *text, size_t len, bool bytes,
			struct err_msg *msg)
{
	const struct conf_option row = { .kind = bytes ? CONF_KIND_SIZE : CONF_KIND_COUNT,
					 .max = UINT64_MAX };
	char number[32];

	if (len >= sizeof(number))
		return err_msg_set(msg, ERR_SYNTAX, "number of more than %zu characters",
				   sizeof(number) - 1);
	memcpy(number, text, len);
	number[len] = '\0';
	return value_set(&row, out, number, msg);
}

int range_parse(struct range *out, const char *text, bool bytes, struct err_msg *msg)
{
	const char *dots = strstr(text, "..");
	int rc = 0;

	*out = (struct range){ .from = 0, .to = UINT64_MAX };
	if (!dots) {
		rc = number_parse(&out->from, text, strlen(text), bytes, msg);
		out->to = out->from;
		return rc;
	}
	if (dots == text && !dots[2])
		return err_msg_set(msg, ERR_SYNTAX,
				   "a range needs an end: FROM..TO, FROM.. or ..TO");
	if (dots > text)
		rc = number_parse(&out->from, text, (size_t)(dots - text), bytes, msg);
	if (!rc && dots[2])
		rc = number_parse(&out->to, dots + 2, strlen(dots + 2), bytes, msg);
	if (!rc && out->from > out->to)
		rc = err_msg_set(msg, ERR_SYNTAX, "the range ends before it begins");
	return rc;
}

bool range_has(const struct range *r, uint64_t v)
{
	return v >= r->from && v <= r->to;
}
