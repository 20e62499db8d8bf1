/* SPDX-License-Identifier: MIT */
/*
 * window - see window.h. UTC has no summer time, so every day has 1440 minutes.
 */
#include "config.h"

#include "rule/window.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DAY_MINUTES 1440

static const char *const days[] = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" };

/* The day at *text, which moves behind it; -1 for none. */
static int day_read(const char **text)
{
	int i;

	for (i = 0; i < 7; i++)
		if (strncasecmp(*text, days[i], 3) == 0) {
			*text += 3;
			return i;
		}
	return -1;
}

/* "mon-fri,sun": a mask; 0 if it is wrong. */
static unsigned days_read(const char **text)
{
	unsigned mask = 0;
	int from, to;

	for (;;) {
		from = to = day_read(text);
		if (from == -1)
			return 0;
		if (**text == '-') {
			(*text)++;
			to = day_read(text);
			if (to == -1)
				return 0;
		}
		for (;; from = (from + 1) % 7) {
			mask |= 1u << from;
			if (from == to)
				break;
		}
		if (**text != ',')
			return mask;
		(*text)++;
	}
}

/* "HH:MM" up to 24:00; -1 if it is wrong. */
static int minutes_read(const char **text)
{
	const char *t = *text;
	int i, v;

	for (i = 0; i < 5; i++)
		if (i == 2 ? t[i] != ':' : t[i] < '0' || t[i] > '9')
			return -1;
	v = ((t[0] - '0') * 10 + t[1] - '0') * 60 + (t[3] - '0') * 10 + t[4] - '0';
	*text += 5;
	return t[3] > '5' || v > DAY_MINUTES ? -1 : v;
}

int window_parse(struct window *out, const char *text, struct err_msg *msg)
{
	int from = 0, to = DAY_MINUTES;

	*out = (struct window){ .days = 0x7f, .to = DAY_MINUTES };
	text += strspn(text, " ");
	if (*text < '0' || *text > '9') {
		out->days = days_read(&text);
		if (!out->days || (*text && *text != ' '))
			goto wrong;
		text += strspn(text, " ");
	}
	if (*text) {
		from = minutes_read(&text);
		if (from == -1 || *text++ != '-')
			goto wrong;
		to = minutes_read(&text);
		if (to == -1 || text[strspn(text, " ")])
			goto wrong;
		if (from == to)
			return err_msg_set(msg, ERR_SYNTAX, "the window has no length");
	}
	out->from = (unsigned)from;
	out->to = (unsigned)to;
	return 0;
wrong:
	return err_msg_set(
		msg, ERR_SYNTAX,
		"a window is needed, such as \"08:00-18:00\" or \"mon-fri 22:00-06:00\"");
}

bool window_has(const struct window *w, time_t at)
{
	struct tm tm;
	unsigned now, today, yesterday;

	if (!gmtime_r(&at, &tm))
		return false;
	now = (unsigned)(tm.tm_hour * 60 + tm.tm_min);
	today = 1u << tm.tm_wday;
	yesterday = 1u << (tm.tm_wday + 6) % 7;
	if (w->from < w->to)
		return (w->days & today) && now >= w->from && now < w->to;
	return ((w->days & today) && now >= w->from) || ((w->days & yesterday) && now < w->to);
}

void window_print(time_t at, char out[16])
{
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(out, 16, "%a %H:%M", &tm))
		snprintf(out, 16, "?");
}
