/* SPDX-License-Identifier: MIT */
/*
 * The sample rules in data/rules with the cases beside them (data/rules/README.md): both phases,
 * as the filter goes through them.
 */
#include "config.h"

#include "unit.h"

#include <dirent.h>
#include <stdio.h>

#include "rule_conf.h"

static unsigned cases;

struct sample {
	char lane[8];
	char from[200];
	char media[100];
	char wall[32];
	char fetch[16];
	char action[16];
	char rule[200];
};

static enum picture_format format_of(const char *mime)
{
	int i;

	for (i = 0; i < PICTURE_FORMAT_COUNT; i++)
		if (picture_mime((enum picture_format)i) &&
		    strcmp(picture_mime((enum picture_format)i), mime) == 0)
			return (enum picture_format)i;
	fail_msg("no such media: %s", mime);
	return PICTURE_FORMAT_COUNT;
}

static struct job_result media_of(const char *text)
{
	char mime[64];
	unsigned long long bytes;
	unsigned pixels;

	assert_int_equal(sscanf(text, "%63[^,],%llu,%u", mime, &bytes, &pixels), 3);
	return (struct job_result){ .status = JOB_OK,
				    .media_format = format_of(mime),
				    .media_size = bytes,
				    .media_width = pixels,
				    .media_height = 1 };
}

static void run_case(struct conf *conf, const char *where, const struct sample *s, const char *xml)
{
	const char *const *words = conf_kind_words(CONF_KIND_ENUM_ACTION);
	const char *fetch, *rule;
	struct rule_input in;
	struct rule_case c;
	bool decided;

	input_of(&in, xml, strcmp(s->lane, "s2c") == 0 ? LANE_S2C : LANE_C2S,
		 strcmp(s->from, "-") == 0 ? NULL : s->from);
	rule_wall = strcmp(s->wall, "-") == 0 ? 1704100000 : (time_t)atoll(s->wall);
	rule_trace[0] = '\0';
	decided = rule_before(&c, conf, &conf->listens[0], &rule_env, &in);
	fetch = !decided ? "fetch" : c.action == CONF_ACTION_THUMBNAIL ? "decided" : "none";
	if (!decided) {
		struct job_result media = media_of(s->media);

		assert_int_equal(c.action, CONF_ACTION_THUMBNAIL);
		rule_after(&c, &media);
	}
	rule = c.rule == -1 ? "-" : conf->rules[c.rule].name;
	if (strcmp(fetch, s->fetch) != 0 || strcmp(words[c.action], s->action) != 0 ||
	    strcmp(rule, s->rule) != 0)
		fail_msg("%s: %s %s %s, expected %s %s %s\n%s%s", where, fetch, words[c.action],
			 rule, s->fetch, s->action, s->rule, xml, rule_trace);
	if (c.action == CONF_ACTION_THUMBNAIL)
		assert_non_null(c.profile);
	cases++;
}

static void run_file(const char *conf_path)
{
	char path[512], line[4096], xml[8192] = "", where[600];
	struct conf *conf = conf_of_file(conf_path);
	struct sample s = { 0 };
	unsigned number = 0;
	bool open = false;
	FILE *f;

	if (!conf)
		fail_msg("%s: %s", conf_path, all_of(&problems));
	if (warnings.n)
		fail_msg("%s: %s", conf_path, all_of(&warnings));
	snprintf(path, sizeof(path), "%.*s.test", (int)strlen(conf_path) - 5, conf_path);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s has no cases: %s", conf_path, path);
	for (;;) {
		bool more = fgets(line, sizeof(line), f) != NULL;

		number++;
		if (open && (!more || line[0] == '\n')) {
			run_case(conf, where, &s, xml);
			open = false;
		}
		if (!more)
			break;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (line[0] != '=') {
			assert_true(open);
			strncat(xml, line, strcspn(line, "\n"));
			continue;
		}
		snprintf(where, sizeof(where), "%s:%u", path, number);
		xml[0] = '\0';
		open = true;
		if (sscanf(line, "= %7s %199s %99s %31s -> %15s %15s %199[^\n]", s.lane, s.from,
			   s.media, s.wall, s.fetch, s.action, s.rule) != 7)
			fail_msg("%s: no case", where);
	}
	fclose(f);
	conf_unref(&conf);
}

static void the_samples_decide_as_their_cases_say(void **state UNUSED)
{
	DIR *d = opendir(RULES_DIR);
	const struct dirent *e;
	unsigned files = 0;
	char path[512];

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		if (n < 5 || strcmp(e->d_name + n - 5, ".conf") != 0)
			continue;
		snprintf(path, sizeof(path), RULES_DIR "/%.200s", e->d_name);
		run_file(path);
		files++;
	}
	closedir(d);
	assert_true(files >= 6);
	assert_true(cases >= 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_samples_decide_as_their_cases_say),
	};

	return cmocka_run_group_tests(tests, rule_setup, rule_teardown);
}
