/* SPDX-License-Identifier: MIT */
/*
 * insetctl-preview - the thumbnail of one file or address, and the facts about how it was made.
 *
 * Through media and scaler processes of its own (insetctl-fetch.c), with guard, limits and
 * sandbox: what comes out is what a message would get. A file is not fetched, it goes to the
 * scaler. Talks to no daemon.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "conf/read.h"
#include "insetctl.h"
#include "rule/rule.h"

#define DEFAULT_FILE SYSCONFDIR "/inset/inset.conf"
#define DEADLINE_MS  30000

struct making {
	const char *file; /* the configuration */
	const char *profile_name;
	const char *out; /* NULL: nothing is written; "-": standard output */
	const char *source;
	bool as_json;
	struct conf *conf;
	const struct conf_profile *profile;
	struct fetch *fetch;
	int64_t began_us;
	const char *why;          /* no thumbnail; NULL: there is one */
	struct job_result result; /* whole if there is one */
};

static int refuse(const char *what, const char *why)
{
	fprintf(stderr, "insetctl: %s: %s\n", what, why);
	return EXIT_REFUSED;
}

/* --- what there is to do --------------------------------------------------------------- */

static int read_conf(struct making *p)
{
	struct conf_problems problems = { 0 }, warnings = { 0 };
	const struct conf_source source = { .file = p->file,
					    .check_rules = rule_check,
					    .warnings = &warnings };
	int rc = conf_read(&source, &p->conf, &problems);
	size_t i;

	for (i = 0; i < problems.n; i++)
		fprintf(stderr, "%s\n", problems.v[i]);
	conf_problems_free(&problems);
	conf_problems_free(&warnings);
	if (rc)
		return rc == ERR_CONFIG ? EXIT_REFUSED : EXIT_FAULT;
	for (i = 0; i < p->conf->profiles_n; i++)
		if (strcmp(p->conf->profiles[i].name, p->profile_name) == 0)
			p->profile = &p->conf->profiles[i];
	if (p->profile)
		return 0;
	fprintf(stderr, "insetctl: no profile \"%s\"; there are", p->profile_name);
	for (i = 0; i < p->conf->profiles_n; i++)
		fprintf(stderr, " %s", p->conf->profiles[i].name);
	fprintf(stderr, "\n");
	return EXIT_REFUSED;
}

static bool is_url(const char *source)
{
	return strncasecmp(source, "http://", 7) == 0 || strncasecmp(source, "https://", 8) == 0;
}

/* A sealed copy, so that it can no longer change; -1 and *code. */
static int read_file(struct making *p, enum picture_format *format, int *code)
{
	uint64_t max = p->conf->fetch.max_bytes;
	FILE *f = fopen(p->source, "rbe");
	struct stat st;
	uint8_t *bytes;
	size_t len = 0;
	int fd = -1;

	*code = EXIT_REFUSED;
	if (!f && strstr(p->source, "://")) {
		refuse(p->source, "only http and https are fetched");
	} else if (!f || fstat(fileno(f), &st) == -1) {
		refuse(p->source, strerror(errno));
	} else if (!S_ISREG(st.st_mode)) {
		refuse(p->source, "neither a file nor an http or https address");
	} else if ((uint64_t)st.st_size > max) {
		refuse(p->source, "larger than fetch.max-bytes");
	} else if ((bytes = malloc((size_t)max + 1)) == NULL) {
		*code = EXIT_FAULT;
	} else {
		len = fread(bytes, 1, (size_t)max + 1, f);
		*format = picture_sniff(bytes, len);
		if (ferror(f) || len > max)
			refuse(p->source, "cannot be read, or it grows");
		else if (*format == PICTURE_NONE)
			refuse(p->source, "no picture of a known type");
		else if ((fd = ipc_memfd("inset-preview", bytes, len)) == -1 ||
			 hash_sha256(bytes, len, p->result.media_sha256))
			*code = EXIT_FAULT;
		free(bytes);
	}
	if (f)
		fclose(f);
	p->result.media_size = len;
	return fd;
}

/* --- making it ------------------------------------------------------------------------- */

static const char *scaler_why(enum picture_status status)
{
	switch (status) {
	case PICTURE_OK:
		break;
	case PICTURE_FAILED:
		return "the picture cannot be decoded";
	case PICTURE_TOO_BIG:
		return "more pixels, or a longer side, than section scale allows";
	case PICTURE_NO_FIT:
		return "no thumbnail fits into the profile's max-bytes";
	case PICTURE_KILLED:
		return "the decoder crashed, or took more time or memory than section scale allows";
	case PICTURE_UNAVAILABLE:
		return "the scaler does not decode this type here";
	}
	return NULL;
}

static const char *job_why(enum job_status status)
{
	switch (status) {
	case JOB_OK:
		return NULL;
	case JOB_ADDRESS:
		return "the address, its port or where it leads is refused (see "
		       "fetch.allow-origin)";
	case JOB_CONNECT:
		return "the name is unknown, or the host does not answer";
	case JOB_HTTP:
		return "the host does not send it: no status 200, or it broke off";
	case JOB_NOT_PICTURE:
		return "no picture of a known type";
	case JOB_TIMEOUT:
	case JOB_DEADLINE:
		return "the host took longer than fetch.timeout";
	case JOB_TOO_BIG:
		return "larger than fetch.max-bytes, or than section scale allows";
	case JOB_SCALER:
		return "the picture cannot be decoded";
	case JOB_UNAVAILABLE:
		return "the scaler does not decode this type here";
	case JOB_BREAKER:
	case JOB_CACHED_ONLY:
	case JOB_OVERLOAD:
	case JOB_RATE:
	case JOB_STATUS_COUNT:
		break;
	}
	return job_status_name(status);
}

static struct picture_limits limits_of(const struct conf_scale *c)
{
	return (struct picture_limits){ .max_pixels = c->max_pixels,
					.max_pixels_jpeg = c->max_pixels_jpeg,
					.max_side = (uint32_t)c->max_side,
					.memory = c->memory,
					.wall_ms = c->wall,
					.cpu_ms = c->cpu };
}

/* What media checks of a scaler's answer. */
static bool is_clean(const struct picture_request *what, const struct picture_result *r)
{
	return r->width <= what->width && r->height <= what->height && r->len <= what->max_bytes &&
	       picture_is_clean(r->format, r->bytes, r->len, r->width, r->height);
}

static int make_of_file(struct making *p, enum picture_format format, int fd)
{
	const struct picture_request what = { .format = format,
					      .output = (enum picture_output)p->profile->type,
					      .width = (uint16_t)p->profile->width,
					      .height = (uint16_t)p->profile->height,
					      .max_bytes = (uint32_t)p->profile->max_bytes,
					      .limits = limits_of(&p->conf->scale) };
	struct picture_result r;
	int rc = fetch_scale(p->fetch, &what, fd, &r);

	if (rc)
		return rc;
	p->why = scaler_why(r.status);
	if (r.status == PICTURE_OK && !is_clean(&what, &r))
		return ERR_BAD_MESSAGE;
	p->result.media_format = format;
	p->result.media_width = r.original_width;
	p->result.media_height = r.original_height;
	p->result.format = r.format;
	p->result.width = r.width;
	p->result.height = r.height;
	p->result.thumbhash = r.thumbhash;
	p->result.bytes = r.bytes;
	p->result.len = r.len;
	return 0;
}

static int make_of_url(struct making *p)
{
	const struct job job = { .url = p->source,
				 .declared = "",
				 .deadline_ms = DEADLINE_MS,
				 .no_store = true,
				 .output = (enum picture_output)p->profile->type,
				 .width = (uint16_t)p->profile->width,
				 .height = (uint16_t)p->profile->height,
				 .max_bytes = (uint32_t)p->profile->max_bytes,
				 .fetch_max = p->conf->fetch.max_bytes };
	const struct fetch_scaling *s;
	int rc = fetch_do(p->fetch, &job, &p->result);

	if (rc)
		return rc;
	s = fetch_scaling(p->fetch);
	p->why = job_why(p->result.status);
	if (p->why && s->answered && scaler_why(s->status))
		p->why = scaler_why(s->status);
	return 0;
}

static int make(struct making *p)
{
	enum picture_format format = PICTURE_NONE;
	int fd = -1, code = 0, rc;

	if (!is_url(p->source)) {
		fd = read_file(p, &format, &code);
		if (fd == -1)
			return code;
	} else if (strlen(p->source) > JOB_URL_MAX) {
		return refuse("the address", "longer than 2048 bytes");
	}
	p->fetch = fetch_open(p->conf);
	p->began_us = clock_us();
	rc = !p->fetch ? ERR_IO : fd != -1 ? make_of_file(p, format, fd) : make_of_url(p);
	if (fd != -1)
		close(fd);
	if (rc && p->fetch)
		fprintf(stderr, "insetctl: the media process or the scaler: %s\n", err_str(rc));
	return rc ? EXIT_FAULT : 0;
}

/* --- showing it ------------------------------------------------------------------------ */

static json_t *text_new(const char *s)
{
	json_t *t = s ? json_string(s) : json_null();

	return t ? t : json_string("(not UTF-8)");
}

static json_t *hex_new(const void *p, size_t len)
{
	char text[2 * HASH_SHA256_LEN + 1];

	BUG_ON(len > HASH_SHA256_LEN);
	hash_print_hex(p, len, text);
	return json_string(text);
}

static json_t *times_new(const struct making *p)
{
	const struct fetch_scaling *s = fetch_scaling(p->fetch);
	json_t *times = json_pack("{s:I}", "total", (json_int_t)(clock_us() - p->began_us));

	if (is_url(p->source) && s->asked)
		json_object_set_new(times, "fetch",
				    json_integer((json_int_t)(s->asked_us - p->began_us)));
	if (s->answered) {
		json_object_set_new(times, "scale", json_integer((json_int_t)s->scale_us));
		json_object_set_new(times, "decoder", json_integer(s->decoder_us));
	}
	return times;
}

static int facts_new(const struct making *p, json_t **out)
{
	const struct job_result *r = &p->result;
	uint8_t sum[HASH_SHA256_LEN];

	*out = json_pack("{s:o, s:s, s:o, s:o}", "source", text_new(p->source), "profile",
			 p->profile->name, "why", text_new(p->why), "microseconds", times_new(p));
	if (!*out)
		return ERR_NOMEM;
	if (p->why)
		return 0;
	if (hash_sha256(r->bytes, r->len, sum))
		return ERR_NOMEM;
	json_object_set_new(*out, "media",
			    json_pack("{s:s, s:I, s:i, s:i, s:o}", "type",
				      picture_mime(r->media_format), "bytes",
				      (json_int_t)r->media_size, "width", (int)r->media_width,
				      "height", (int)r->media_height, "sha-256",
				      hex_new(r->media_sha256, sizeof(r->media_sha256))));
	json_object_set_new(*out, "thumbnail",
			    json_pack("{s:s, s:I, s:i, s:i, s:o, s:i, s:o}", "type",
				      picture_mime(r->format), "bytes", (json_int_t)r->len, "width",
				      r->width, "height", r->height, "sha-256",
				      hex_new(sum, sizeof(sum)), "step",
				      fetch_scaling(p->fetch)->step, "thumbhash",
				      hex_new(r->thumbhash.bytes, r->thumbhash.len)));
	return 0;
}

static void print_picture(FILE *to, const char *name, const json_t *o)
{
	const char *type, *sum;
	json_int_t bytes;
	int w, h;

	if (json_unpack((json_t *)(uintptr_t)o, "{s:s, s:I, s:i, s:i, s:s}", "type", &type, "bytes",
			&bytes, "width", &w, "height", &h, "sha-256", &sum) == 0)
		fprintf(to, "%-10s %s, %d x %d, %lld bytes, sha-256 %s\n", name, type, w, h,
			(long long)bytes, sum);
}

static void print_times(FILE *to, json_t *times)
{
	bool more = false;
	const char *name;
	json_t *v;

	fprintf(to, "%-10s", "time");
	json_object_foreach(times, name, v)
	{
		fprintf(to, "%s %s %.1f ms", more ? "," : "", name,
			(double)json_integer_value(v) / 1000);
		more = true;
	}
	fprintf(to, "\n");
}

static void print_facts(const struct making *p, FILE *to, json_t *facts)
{
	json_t *thumbnail = json_object_get(facts, "thumbnail");

	if (thumbnail) {
		print_picture(to, "media", json_object_get(facts, "media"));
		print_picture(to, "thumbnail", thumbnail);
		fprintf(to, "%-10s %lld of the ladder\n", "step",
			(long long)json_integer_value(json_object_get(thumbnail, "step")));
	}
	print_times(to, json_object_get(facts, "microseconds"));
	if (p->why)
		fprintf(stderr, "insetctl: no thumbnail: %s\n", p->why);
}

static int write_out(const struct making *p)
{
	bool to_stdout = strcmp(p->out, "-") == 0;
	FILE *f = to_stdout ? stdout : fopen(p->out, "wbe");
	bool ok = f && fwrite(p->result.bytes, 1, p->result.len, f) == p->result.len;

	if (f && (to_stdout ? fflush(f) : fclose(f)) != 0)
		ok = false;
	return ok ? 0 : refuse(p->out, strerror(errno));
}

/* Facts give way to a picture on standard output. */
static int show(struct making *p)
{
	FILE *to = p->out && strcmp(p->out, "-") == 0 && !p->why ? stderr : stdout;
	int code = p->why ? EXIT_REFUSED : 0;
	json_t *facts;

	if (facts_new(p, &facts)) {
		json_decref(facts);
		return EXIT_FAULT;
	}
	if (!p->why && p->out)
		code = write_out(p);
	if (p->as_json) {
		json_dumpf(facts, to, JSON_INDENT(2) | JSON_SORT_KEYS);
		fputc('\n', to);
	} else {
		print_facts(p, to, facts);
	}
	json_decref(facts);
	return code;
}

int preview_run(const struct preview *options)
{
	struct making p = { .file = options->file ? options->file : DEFAULT_FILE,
			    .profile_name = options->profile ? options->profile : "default",
			    .out = options->out,
			    .source = options->source,
			    .as_json = options->as_json };
	int code;

	log_set_level(LOG_LEVEL_ERROR);
	code = read_conf(&p);
	if (!code)
		code = make(&p);
	if (!code)
		code = show(&p);
	fetch_close(&p.fetch);
	conf_unref(&p.conf);
	return code;
}
