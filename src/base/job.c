/* SPDX-License-Identifier: MIT */
/*
 * job - see job.h: jobs and results as messages.
 */
#include "config.h"

#include "base/job.h"

#include <string.h>

#include "base/err.h"

static const char *const status_names[] = {
#define JOB_STATUS(name, label) label,
#include "base/job-status.def"
#undef JOB_STATUS
};

const char *job_status_name(enum job_status s)
{
	return s < JOB_STATUS_COUNT ? status_names[s] : "?";
}

void job_put(struct ipc_out *out, const struct job *j)
{
	ipc_put_u64(out, j->id);
	ipc_put_str(out, j->url);
	ipc_put_str(out, j->declared);
	ipc_put_u64(out, j->sender);
	ipc_put_u32(out, j->deadline_ms);
	ipc_put_u8(out, j->cached_only);
	ipc_put_u8(out, j->no_store);
	ipc_put_u8(out, j->to_box);
	ipc_put_u8(out, (uint8_t)j->output);
	ipc_put_u32(out, j->width);
	ipc_put_u32(out, j->height);
	ipc_put_u32(out, j->max_bytes);
	ipc_put_u64(out, j->fetch_max);
	ipc_put_u32(out, j->rate_per_min);
	ipc_put_u32(out, j->rate_burst);
	ipc_put_u8(out, j->publishes);
	ipc_put_u8(out, j->find_cid);
	ipc_put_bytes(out, j->cid, sizeof(j->cid));
	ipc_put_bytes(out, j->owner, sizeof(j->owner));
}

/* Fixed bytes; zeroes after an error, which ipc_end() will tell. */
static void get_sum(struct ipc_in *in, uint8_t *out, size_t len)
{
	const uint8_t *p = ipc_get_bytes(in, len);

	memset(out, 0, len);
	if (p)
		memcpy(out, p, len);
}

/* What must hold of a job for a thumbnail. */
static bool picture_job_is_ok(const struct job *j, uint8_t output, uint32_t width, uint32_t height)
{
	return j->url[0] && strlen(j->url) <= JOB_URL_MAX && strlen(j->declared) <= 255 &&
	       output <= PICTURE_OUT_WEBP && width >= 1 && width <= 1024 && height >= 1 &&
	       height <= 1024 && j->max_bytes >= 256 && j->max_bytes <= 65535 && j->fetch_max &&
	       j->fetch_max <= IPC_BLOB_MAX;
}

int job_get(struct ipc_in *in, struct job *j)
{
	uint8_t cached_only, no_store, to_box, output, publishes, find_cid;
	uint32_t width, height;
	int rc;

	j->id = ipc_get_u64(in);
	j->url = ipc_get_str(in);
	j->declared = ipc_get_str(in);
	j->sender = ipc_get_u64(in);
	j->deadline_ms = ipc_get_u32(in);
	cached_only = ipc_get_u8(in);
	no_store = ipc_get_u8(in);
	to_box = ipc_get_u8(in);
	output = ipc_get_u8(in);
	width = ipc_get_u32(in);
	height = ipc_get_u32(in);
	j->max_bytes = ipc_get_u32(in);
	j->fetch_max = ipc_get_u64(in);
	j->rate_per_min = ipc_get_u32(in);
	j->rate_burst = ipc_get_u32(in);
	publishes = ipc_get_u8(in);
	find_cid = ipc_get_u8(in);
	get_sum(in, j->cid, sizeof(j->cid));
	get_sum(in, j->owner, sizeof(j->owner));
	rc = ipc_end(in);
	if (rc)
		return rc;
	if (cached_only > 1 || no_store > 1 || to_box > 1 || publishes > 1 || find_cid > 1 ||
	    j->deadline_ms > 60000)
		return ERR_BAD_MESSAGE;
	if (find_cid ? j->url[0] || j->declared[0] || publishes
		     : !picture_job_is_ok(j, output, width, height))
		return ERR_BAD_MESSAGE;
	j->publishes = publishes;
	j->find_cid = find_cid;
	j->cached_only = cached_only;
	j->no_store = no_store;
	j->to_box = to_box;
	j->output = (enum picture_output)output;
	j->width = (uint16_t)width;
	j->height = (uint16_t)height;
	return 0;
}

bool job_type_is_ok(const char *type)
{
	size_t len = strlen(type);
	const char *p;

	if (!len || len > JOB_TYPE_MAX || !strchr(type, '/'))
		return false;
	for (p = type; *p; p++)
		if (*p < ' ' || *p > '~' || strchr("<>&'\"", *p))
			return false;
	return true;
}

void job_keep_put(struct ipc_out *out, const struct job_keep *k)
{
	ipc_put_bytes(out, k->owner, sizeof(k->owner));
	ipc_put_u32(out, k->max_age);
	ipc_put_str(out, k->type);
	ipc_put_blob(out, k->bytes, k->len);
}

int job_keep_get(struct ipc_in *in, struct job_keep *k)
{
	int rc;

	get_sum(in, k->owner, sizeof(k->owner));
	k->max_age = ipc_get_u32(in);
	k->type = ipc_get_str(in);
	k->bytes = ipc_get_blob(in, 65535, &k->len);
	rc = ipc_end(in);
	if (!rc && (!k->len || !job_type_is_ok(k->type)))
		rc = ERR_BAD_MESSAGE;
	return rc;
}

void job_result_put(struct ipc_out *out, const struct job_result *r)
{
	ipc_put_u64(out, r->id);
	ipc_put_u8(out, (uint8_t)r->status);
	ipc_put_u8(out, r->from_cache);
	ipc_put_u32(out, r->max_age);
	ipc_put_u32(out, r->queue_ms);
	ipc_put_u32(out, r->fetch_ms);
	ipc_put_u32(out, r->scale_ms);
	ipc_put_u8(out, (uint8_t)r->media_format);
	ipc_put_u32(out, r->media_width);
	ipc_put_u32(out, r->media_height);
	ipc_put_u64(out, r->media_size);
	ipc_put_bytes(out, r->media_sha256, sizeof(r->media_sha256));
	ipc_put_u8(out, r->media_whole);
	ipc_put_u8(out, r->in_box);
	picture_thumbhash_put(out, &r->thumbhash);
	ipc_put_u8(out, (uint8_t)r->format);
	ipc_put_u32(out, r->width);
	ipc_put_u32(out, r->height);
	ipc_put_str(out, r->type);
	ipc_put_blob(out, r->bytes, r->len);
}

int job_result_get(struct ipc_in *in, struct job_result *r)
{
	uint8_t status, from_cache, media_format, media_whole, in_box, format;
	uint32_t width, height;
	const char *type;
	const uint8_t *sum;
	int rc;

	r->id = ipc_get_u64(in);
	status = ipc_get_u8(in);
	from_cache = ipc_get_u8(in);
	r->max_age = ipc_get_u32(in);
	r->queue_ms = ipc_get_u32(in);
	r->fetch_ms = ipc_get_u32(in);
	r->scale_ms = ipc_get_u32(in);
	media_format = ipc_get_u8(in);
	r->media_width = ipc_get_u32(in);
	r->media_height = ipc_get_u32(in);
	r->media_size = ipc_get_u64(in);
	sum = ipc_get_bytes(in, sizeof(r->media_sha256));
	if (sum)
		memcpy(r->media_sha256, sum, sizeof(r->media_sha256));
	media_whole = ipc_get_u8(in);
	in_box = ipc_get_u8(in);
	rc = picture_thumbhash_get(in, &r->thumbhash);
	if (rc)
		return rc;
	format = ipc_get_u8(in);
	width = ipc_get_u32(in);
	height = ipc_get_u32(in);
	type = ipc_get_str(in);
	r->bytes = ipc_get_blob(in, 65535, &r->len);
	rc = ipc_end(in);
	if (rc)
		return rc;
	if (status >= JOB_STATUS_COUNT || from_cache > 1 || media_whole > 1 || in_box > 1 ||
	    media_format >= PICTURE_FORMAT_COUNT || format >= PICTURE_FORMAT_COUNT ||
	    width > 1024 || height > 1024 || (type[0] && !job_type_is_ok(type)))
		return ERR_BAD_MESSAGE;
	r->status = (enum job_status)status;
	r->from_cache = from_cache;
	r->media_whole = media_whole;
	r->in_box = in_box;
	r->media_format = (enum picture_format)media_format;
	r->format = (enum picture_format)format;
	r->width = (uint16_t)width;
	r->height = (uint16_t)height;
	memcpy(r->type, type, strlen(type) + 1);
	if ((r->status == JOB_OK) != (r->len > 0) ||
	    (r->status == JOB_OK && !type[0] && (!width || !height || r->format == PICTURE_NONE)))
		return ERR_BAD_MESSAGE;
	return 0;
}
