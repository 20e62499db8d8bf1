/* SPDX-License-Identifier: MIT */
/*
 * redact - see redact.h.
 *
 * A small state machine over bytes finds texts and attribute values; everything else passes. It
 * does not judge the XML: what it does not understand is masked up to the next >. A text is kept
 * back to its end, or cut at a place that depends on its own bytes alone.
 */
#include "config.h"

#include "xmpp/redact.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/hash.h"

#define RUN_MAX       4096 /* bytes of a text that are kept back */
#define WORD_MAX      64   /* longer words are masked in pieces */
#define ROUNDS        8
#define REFERENCE_MAX 12
#define TAIL_MAX      128 /* bytes at a cut that may stay together */

enum state {
	STATE_TEXT,
	STATE_LT,    /* behind < */
	STATE_NAME,  /* of an element */
	STATE_TAG,   /* between attributes */
	STATE_ATTR,  /* an attribute's name */
	STATE_EQUAL, /* before the value's quote */
	STATE_VALUE,
	STATE_BANG, /* <!, perhaps [CDATA[ */
	STATE_CDATA,
	STATE_JUNK /* masked up to > */
};

enum policy {
	POLICY_MASK,    /* words */
	POLICY_ADDRESS, /* all but the domain */
	POLICY_RAW
};

/* What says nothing about anybody, or how streams are read and filtered. Alphabetical. */
static const char *const raw_attrs[] = {
	"affiliation",  "algo",       "ask",    "block-size", "category", "code",
	"encoding",     "h",          "hash",   "height",     "lang",     "max",
	"mechanism",    "media-type", "resume", "role",       "seq",      "stamp",
	"subscription", "type",       "var",    "version",    "width",
};
static const char *const address_names[] = { "authorization-identifier", "by", "from", "jid",
					     "to" };
static const char *const raw_texts[] = {
	"height", "idle-seconds", "max-bytes", "mechanism", "media-type",
	"method", "priority",     "show",      "size",      "width",
};
/* Their ids are keys to a stream (XEP-0198 5). */
static const char *const token_tags[] = { "enabled", "resume", "resumed" };
static const char *const url_schemes[] = { "aesgcm", "ftp", "http", "https" };
static const char *const url_suffixes[] = { "avif", "bmp", "gif",  "heic", "jpeg", "jpg",
					    "jxl",  "mp3", "mp4",  "ogg",  "pdf",  "png",
					    "svg",  "tif", "tiff", "webm", "webp" };

static bool is_among(const char *const *list, size_t n, const void *p, size_t len)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strlen(list[i]) == len && strncasecmp(list[i], p, len) == 0)
			return true;
	return false;
}
#define IS_AMONG(list, p, len) is_among(list, ARRAY_SIZE(list), p, len)

/* --- words ------------------------------------------------------------------------------- */

static bool is_word_byte(uint8_t b)
{
	return b >= 0x80 || isalnum(b);
}

/* One place of a word: value v of m, counted from base; m is 1 for what stays. */
struct place {
	uint8_t v;
	uint8_t m;
	uint8_t base;
};

/*
 * The range of the second byte of a character (and of the third behind EF BF), so that what comes
 * out is a character of XML as well.
 */
static struct place place_of_second(uint8_t lead, uint8_t b)
{
	uint8_t low = 0x80, high = 0xbf;

	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	else if (lead == 0xef)
		high = 0xbe;
	if (b < low || b > high) /* EF BF: no other stays apart from U+FFFE and U+FFFF */
		return (struct place){ .m = 1, .base = b };
	return (struct place){ (uint8_t)(b - low), (uint8_t)(high - low + 1), low };
}

static struct place place_of_lead(uint8_t b)
{
	if (b >= 0xc3 && b <= 0xdf)
		return (struct place){ (uint8_t)(b - 0xc3), 0xdf - 0xc3 + 1, 0xc3 };
	if (b >= 0xe1 && b <= 0xec)
		return (struct place){ (uint8_t)(b - 0xe1), 0xec - 0xe1 + 1, 0xe1 };
	return (struct place){ .m = 1, .base = b };
}

/* Reads one character: its places, and its length. */
static size_t places_of(const uint8_t *p, size_t len, struct place *out)
{
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2, i;

	if (p[0] < 0x80) {
		uint8_t base = isdigit(p[0]) ? '0' : islower(p[0]) ? 'a' : 'A';

		out[0] = (struct place){ (uint8_t)(p[0] - base), isdigit(p[0]) ? 10 : 26, base };
		return 1;
	}
	for (i = 1; i < n && i < len && (p[i] & 0xc0) == 0x80; i++)
		out[i] = (struct place){ p[i] & 0x3f, 64, 0x80 };
	if (p[0] < 0xc2 || p[0] > 0xf4 || i < n) { /* no character: nothing worth keeping */
		out[0] = (struct place){ .m = 1, .base = 'x' };
		return 1;
	}
	out[0] = place_of_lead(p[0]);
	out[1] = place_of_second(p[0], p[1]);
	if (p[0] == 0xef && p[1] == 0xbf && p[2] > 0xbd)
		out[2] = (struct place){ .m = 1, .base = 0xbd };
	else if (p[0] == 0xef && p[1] == 0xbf)
		out[2] = (struct place){ p[2] & 0x3f, 62, 0x80 };
	return n;
}

/* A Feistel network whose halves are added to, each place modulo its own range. */
static void permute(const uint64_t key[2], struct place *v, size_t n)
{
	uint8_t in[3 + 2 * WORD_MAX];
	size_t half = n / 2, i;
	unsigned round;

	for (round = 0; round < ROUNDS; round++) {
		size_t from = round % 2 ? 0 : half, to = round % 2 ? half : n;
		size_t other = round % 2 ? half : 0, end = round % 2 ? n : half;
		struct {
			uint64_t h;
			uint64_t i;
		} block;
		uint64_t bits = 0;
		size_t k = 0;

		in[k++] = (uint8_t)round;
		in[k++] = (uint8_t)n;
		for (i = 0; i < n; i++)
			in[k++] = v[i].m;
		for (i = other; i < end; i++)
			in[k++] = v[i].v;
		block.h = hash_with(key, in, k);
		for (i = from; i < to; i++) {
			block.i = (i - from) / 4;
			if ((i - from) % 4 == 0)
				bits = hash_with(key, &block, sizeof(block));
			v[i].v = (uint8_t)((v[i].v + (bits & 0xffff)) % v[i].m);
			bits >>= 16;
		}
	}
}

void redact_word(const uint64_t key[2], uint8_t *p, size_t len)
{
	struct place v[WORD_MAX + 4];
	size_t n, i;

	for (; len; p += n, len -= n) {
		for (n = 0; n < len && n < WORD_MAX - 3;)
			n += places_of(p + n, len - n, v + n);
		permute(key, v, n);
		for (i = 0; i < n; i++)
			p[i] = (uint8_t)(v[i].base + v[i].v);
	}
}

/* --- texts ------------------------------------------------------------------------------- */

/* A reference at p: its length, 0 if it is none. Names stay, numbers become that of an X. */
static size_t mask_reference(uint8_t *p, size_t len)
{
	size_t n = 1, digits;

	while (n < len && n < REFERENCE_MAX && (isalnum(p[n]) || (n == 1 && p[n] == '#')))
		n++;
	if (n >= len || p[n] != ';')
		return 0;
	if (p[1] != '#')
		return n <= 5 ? n + 1 : 0;
	if (n > 2) {
		bool hex = p[2] == 'x';

		digits = n - 2 - hex;
		if (digits >= 2) {
			memset(p + 2 + hex, '0', digits);
			memcpy(p + n - 2, hex ? "58" : "88", 2);
		}
	}
	return n + 1;
}

static bool is_kept_in_url(const struct redact *r, const uint8_t *p, size_t len, bool dot)
{
	size_t i;

	if (!r->in_authority)
		return dot && IS_AMONG(url_suffixes, p, len);
	for (i = 0; i < len; i++)
		if (!isdigit(p[i]))
			return false;
	return true; /* of an address or port */
}

/* Masks a word; in a URL nothing comes out as what would have been kept. */
static void mask_word(struct redact *r, uint8_t *p, size_t len, bool dot)
{
	if (r->in_url && is_kept_in_url(r, p, len, dot))
		return;
	do
		redact_word(r->key, p, len);
	while (r->in_url && is_kept_in_url(r, p, len, dot));
}

static void mask_run(struct redact *r, uint8_t *p, size_t len)
{
	size_t i = 0, n;

	while (i < len) {
		if (p[i] == '&' && (n = mask_reference(p + i, len - i)) > 0) {
			i += n;
			continue;
		}
		if (!is_word_byte(p[i])) {
			if (p[i] == '/' || p[i] == '?' || p[i] == '#')
				r->in_authority = false;
			if (isspace(p[i]) || p[i] == '"')
				r->in_url = r->in_authority = false;
			i++;
			continue;
		}
		for (n = 1; i + n < len && is_word_byte(p[i + n]); n++)
			;
		if (i + n + 3 <= len && memcmp(p + i + n, "://", 3) == 0 &&
		    IS_AMONG(url_schemes, p + i, n)) {
			r->in_url = r->in_authority = true;
			n += 3;
		} else {
			mask_word(r, p + i, n, i > 0 && p[i - 1] == '.');
		}
		i += n;
	}
}

/* Local part and resource; a domain stays. */
static void mask_address(struct redact *r, uint8_t *p, size_t len)
{
	const uint8_t *slash = memchr(p, '/', len);
	size_t bare = slash ? (size_t)(slash - p) : len;
	const uint8_t *at = memchr(p, '@', bare);

	if (memmem(p, len, "://", 3)) {
		mask_run(r, p, len);
		return;
	}
	if (at)
		mask_run(r, p, (size_t)(at - p));
	mask_run(r, p + bare, len - bare);
}

/* The text or value has ended. */
static int held_end(struct redact *r, struct buf *out)
{
	int rc;

	if (r->policy == POLICY_ADDRESS)
		mask_address(r, r->held.p, r->held.len);
	else
		mask_run(r, r->held.p, r->held.len);
	rc = buf_add(out, r->held.p, r->held.len);
	r->in_url = r->in_authority = false;
	buf_drop(&r->held, r->held.len);
	return rc;
}

/* Too long to be kept: its first part goes, up to a place where no word or reference is cut. */
static int held_cut(struct redact *r, struct buf *out)
{
	size_t n = r->held.len, i;
	const uint8_t *amp;
	int rc;

	r->policy = POLICY_MASK;
	for (i = n; i > n - TAIL_MAX; i--)
		if (isspace(r->held.p[i - 1]) || r->held.p[i - 1] == ';' || r->held.p[i - 1] == ',')
			break;
	if (i == n - TAIL_MAX) { /* one long word: at least between characters and references */
		for (i = n; i > n - 4 && (r->held.p[i - 1] & 0xc0) == 0x80; i--)
			;
		if (r->held.p[i - 1] >= 0xc0)
			i--;
		amp = memrchr(r->held.p + n - REFERENCE_MAX, '&', REFERENCE_MAX);
		if (amp)
			i = (size_t)(amp - r->held.p);
	}
	mask_run(r, r->held.p, i);
	rc = buf_add(out, r->held.p, i);
	buf_drop(&r->held, i);
	return rc;
}

static int held_add(struct redact *r, uint8_t b, struct buf *out)
{
	if (r->policy == POLICY_RAW)
		return buf_add(out, &b, 1);
	if (r->held.len >= (r->policy == POLICY_ADDRESS ? REDACT_KEEP : RUN_MAX)) {
		int rc = held_cut(r, out);

		if (rc)
			return rc;
	}
	return buf_add(&r->held, &b, 1);
}

/* --- the machine -------------------------------------------------------------------------- */

static enum policy text_policy(const struct redact *r)
{
	if (r->depth == 0 || r->depth > REDACT_DEPTH)
		return POLICY_MASK;
	return (enum policy)r->stack[r->depth - 1];
}

static void name_begin(struct redact *r)
{
	r->name_len = 0;
}

/* Collects a local name. */
static void name_add(struct redact *r, uint8_t b)
{
	if (b == ':')
		r->name_len = 0;
	else if (r->name_len < sizeof(r->name))
		r->name[r->name_len++] = (char)b;
}

static void tag_named(struct redact *r)
{
	r->tag = POLICY_MASK;
	if (IS_AMONG(raw_texts, r->name, r->name_len))
		r->tag = POLICY_RAW;
	else if (IS_AMONG(address_names, r->name, r->name_len))
		r->tag = POLICY_ADDRESS;
	r->tokens = IS_AMONG(token_tags, r->name, r->name_len);
}

static void tag_ended(struct redact *r)
{
	if (r->end_tag) {
		if (r->depth)
			r->depth--;
	} else if (!r->slash && r->depth < UINT32_MAX) {
		if (r->depth < REDACT_DEPTH)
			r->stack[r->depth] = r->tag;
		r->depth++;
	}
	r->state = STATE_TEXT;
	r->policy = (uint8_t)text_policy(r);
}

static enum policy value_policy(const struct redact *r)
{
	bool raw = IS_AMONG(raw_attrs, r->name, r->name_len);

	if (r->match) /* xmlns or xmlns:prefix */
		return POLICY_RAW;
	if (r->tokens && !raw)
		return POLICY_MASK;
	if (IS_AMONG(address_names, r->name, r->name_len))
		return POLICY_ADDRESS;
	return raw ? POLICY_RAW : POLICY_MASK;
}

static void on_lt(struct redact *r, uint8_t b)
{
	r->end_tag = b == '/';
	r->slash = false;
	name_begin(r);
	if (b == '!') {
		r->state = STATE_BANG;
		r->match = 0;
		return;
	}
	r->state = STATE_NAME;
	if (b == '?')
		r->slash = true; /* opens nothing */
	else if (b == '>')
		tag_ended(r);
	else if (b != '/')
		name_add(r, b);
}

static void on_tag(struct redact *r, uint8_t b)
{
	if (b == '>') {
		tag_ended(r);
	} else if (b == '/' || b == '?') {
		r->slash = true;
	} else if (b == '"' || b == '\'') {
		r->state = STATE_VALUE;
		r->quote = b;
		r->policy = POLICY_MASK;
	} else if (!isspace(b)) {
		r->state = STATE_ATTR;
		r->match = false;
		name_begin(r);
		name_add(r, b);
	}
}

static void on_name(struct redact *r, uint8_t b)
{
	if (b != '>' && b != '/' && !isspace(b)) {
		name_add(r, b);
		return;
	}
	if (b == '/' && r->end_tag && r->name_len == 0)
		return;
	tag_named(r);
	r->state = STATE_TAG;
	on_tag(r, b);
}

static void on_attr(struct redact *r, uint8_t b)
{
	if (b == ':' && r->name_len == 5 && memcmp(r->name, "xmlns", 5) == 0)
		r->match = true;
	if (b == '=') {
		if (r->name_len == 5 && memcmp(r->name, "xmlns", 5) == 0)
			r->match = true;
		r->state = STATE_EQUAL;
	} else if (b == '>' || b == '"' || b == '\'') {
		r->name_len = 0;
		on_tag(r, b);
	} else if (!isspace(b)) {
		name_add(r, b);
	}
}

static void on_equal(struct redact *r, uint8_t b)
{
	if (b == '"' || b == '\'') {
		r->state = STATE_VALUE;
		r->quote = b;
		r->policy = (uint8_t)value_policy(r);
	} else if (b == '>') {
		tag_ended(r);
	} else if (!isspace(b)) {
		r->state = STATE_JUNK;
		r->policy = POLICY_MASK;
	}
}

/* Behind <!: [CDATA[, or nothing that an XMPP stream may hold. */
static void on_bang(struct redact *r, uint8_t b)
{
	static const char cdata[] = "[CDATA[";

	r->policy = POLICY_MASK;
	if (b != (uint8_t)cdata[r->match]) {
		r->state = b == '>' ? STATE_TEXT : STATE_JUNK;
		if (b == '>')
			r->policy = (uint8_t)text_policy(r);
	} else if (++r->match == sizeof(cdata) - 1) {
		r->state = STATE_CDATA;
		r->match = 0;
		r->policy = (uint8_t)text_policy(r);
	}
}

/* A byte of a text or value; its end among them. */
static int on_content(struct redact *r, uint8_t b, struct buf *out)
{
	bool end = (r->state == STATE_TEXT && b == '<') ||
		   (r->state == STATE_VALUE && b == r->quote) ||
		   (r->state == STATE_JUNK && b == '>');
	int rc;

	if (r->state == STATE_CDATA) {
		end = b == '>' && r->match >= 2;
		r->match = b == ']' ? (uint8_t)MIN_OF(r->match + 1, 2) : 0;
	}
	if (!end)
		return held_add(r, b, out);
	rc = held_end(r, out);
	if (rc)
		return rc;
	if (r->state == STATE_TEXT) {
		r->state = STATE_LT;
	} else if (r->state == STATE_VALUE) {
		r->state = STATE_TAG;
		r->slash = false;
	} else {
		r->state = STATE_TEXT;
		r->policy = (uint8_t)text_policy(r);
	}
	return buf_add(out, &b, 1);
}

static int on_byte(struct redact *r, uint8_t b, struct buf *out)
{
	switch ((enum state)r->state) {
	case STATE_TEXT:
	case STATE_VALUE:
	case STATE_CDATA:
	case STATE_JUNK:
		return on_content(r, b, out);
	case STATE_LT:
		on_lt(r, b);
		break;
	case STATE_NAME:
		on_name(r, b);
		break;
	case STATE_TAG:
		on_tag(r, b);
		break;
	case STATE_ATTR:
		on_attr(r, b);
		break;
	case STATE_EQUAL:
		on_equal(r, b);
		/* Without a quote this is the first byte of junk. */
		return r->state == STATE_JUNK ? held_add(r, b, out) : buf_add(out, &b, 1);
	case STATE_BANG:
		on_bang(r, b);
		return r->state == STATE_JUNK ? held_add(r, b, out) : buf_add(out, &b, 1);
	}
	return buf_add(out, &b, 1);
}

void redact_init(struct redact *r, const uint64_t key[2])
{
	*r = (struct redact){ .key = key };
	buf_init(&r->held, RUN_MAX + 1);
}

void redact_fini(struct redact *r)
{
	buf_fini(&r->held);
}

int redact_feed(struct redact *r, const uint8_t *p, size_t len, struct buf *out)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < len && !rc; i++)
		rc = on_byte(r, p[i], out);
	if (!r->held.len)
		buf_clear(&r->held);
	return rc;
}

int redact_end(struct redact *r, struct buf *out)
{
	int rc = held_end(r, out);

	buf_clear(&r->held);
	return rc;
}
