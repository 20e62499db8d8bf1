/* SPDX-License-Identifier: MIT */
/*
 * Captures written and read again: every byte, every truncation, damaged gzip, hostile JSON,
 * rotation, a full disk. What the tap makes of streams is test_redact.c's and test_replay.py's.
 */
#include "config.h"

#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/capture.h"
#include "base/clock.h"
#include "replay/reader.h"
#include "replay/trace.h"

static char folder[] = "/tmp/test_capture.XXXXXX";

static struct capture_config config = { .folder = folder,
					.name = "proxy-0",
					.redaction = "none",
					.at = "before",
					.rotate = UINT64_MAX };

static void empty_folder(void)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir)))
		(void)unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
}

static const char *path_of(unsigned number)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/proxy-0.%06u.jsonl.gz", folder, number);
	return path;
}

static void write_data(struct capture *c, uint64_t session, const void *p, size_t len)
{
	const struct capture_line line = {
		.at_us = clock_us(), .session = session, .event = CAPTURE_DATA, .p = p, .len = len
	};

	capture_write(c, &line);
}

static struct capture *begin(void)
{
	struct err_msg msg = { 0 };
	struct capture *c;

	empty_folder();
	assert_int_equal(capture_open(&c, &config, &msg), 0);
	return c;
}

/* Reads a file to its end: the data of all lines, and how the reading ended. */
static int read_all(const char *path, struct buf *out, bool *truncated)
{
	struct reader_event e;
	struct err_msg msg = { 0 };
	struct reader *r;
	int rc = reader_open(&r, path, &msg);

	if (rc) {
		assert_true(msg.text[0] != '\0');
		return rc;
	}
	while (!(rc = reader_next(r, &e, &msg)))
		assert_int_equal(buf_add(out, e.p, e.len), 0);
	*truncated = reader_is_truncated(r);
	assert_true(rc == ERR_CLOSED || msg.text[0]);
	reader_close(&r);
	return rc;
}

static uint8_t *slurp(const char *path, size_t *len_out)
{
	static uint8_t file[1 << 20];
	int fd = open(path, O_RDONLY);

	assert_true(fd != -1);
	*len_out = (size_t)read(fd, file, sizeof(file));
	close(fd);
	return file;
}

static void spew(const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd != -1);
	assert_int_equal(write(fd, p, len), len);
	close(fd);
}

/* --- tests -------------------------------------------------------------------------------- */

static void every_byte_comes_back(void **state UNUSED)
{
	struct buf sent, got;
	struct capture *c = begin();
	uint8_t all[256];
	bool truncated;
	int i;

	buf_init(&sent, 1 << 24);
	buf_init(&got, 1 << 24);
	for (i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	for (i = 0; i < 256; i++) {
		write_data(c, 1, all, (size_t)i);
		assert_int_equal(buf_add(&sent, all, (size_t)i), 0);
		write_data(c, 1, all + i, 1);
		assert_int_equal(buf_add(&sent, all + i, 1), 0);
	}
	write_data(c, 2, "\xd0\x9d\xd0\xb5\xe2\x82\xac\xf0\x9f\x98\x80\"\\\n\x01", 15);
	assert_int_equal(
		buf_add(&sent, "\xd0\x9d\xd0\xb5\xe2\x82\xac\xf0\x9f\x98\x80\"\\\n\x01", 15), 0);
	capture_close(&c);
	assert_int_equal(read_all(path_of(1), &got, &truncated), ERR_CLOSED);
	assert_false(truncated);
	assert_int_equal(got.len, sent.len);
	assert_memory_equal(got.p, sent.p, sent.len);
	buf_fini(&sent);
	buf_fini(&got);
}

static void long_data_is_cut_between_characters(void **state UNUSED)
{
	struct capture *c = begin();
	struct reader_event e;
	struct err_msg msg = { 0 };
	struct reader *r;
	struct buf text;
	size_t sum = 0, lines = 0;

	buf_init(&text, 1 << 20);
	while (text.len < 200000)
		assert_int_equal(buf_add(&text, "\xe2\x82\xac", 3), 0);
	write_data(c, 1, text.p, text.len);
	capture_close(&c);
	assert_int_equal(reader_open(&r, path_of(1), &msg), 0);
	while (reader_next(r, &e, &msg) == 0) {
		assert_true(e.len <= CAPTURE_PIECE_MAX);
		assert_int_equal(e.len % 3, 0);
		assert_memory_equal(e.p, text.p + sum, e.len);
		sum += e.len;
		lines++;
	}
	assert_int_equal(sum, text.len);
	assert_true(lines > 5);
	reader_close(&r);
	buf_fini(&text);
}

/* Cut off at any byte: whole lines that were flushed are there, and the rest is no error. */
static void every_truncation_gives_what_was_flushed(void **state UNUSED)
{
	struct capture *c = begin();
	uint8_t *file;
	size_t len, flushed, i;
	struct buf got;
	bool truncated;

	buf_init(&got, 1 << 20);
	write_data(c, 1, "<first/>", 8);
	capture_flush(c);
	(void)slurp(path_of(1), &flushed);
	for (i = 0; i < 20; i++)
		write_data(c, 1, "<more>text</more>", 17);
	capture_close(&c);
	file = slurp(path_of(1), &len);
	assert_true(flushed < len);
	for (i = 0; i <= len; i++) {
		int rc;

		spew(path_of(2), file, i);
		buf_drop(&got, got.len);
		rc = read_all(path_of(2), &got, &truncated);
		if (i >= flushed) {
			assert_int_equal(rc, ERR_CLOSED);
			assert_int_equal(truncated, i < len);
			assert_true(got.len >= 8);
			assert_memory_equal(got.p, "<first/>", 8);
		} else {
			assert_true(rc == ERR_CLOSED || rc == ERR_SYNTAX);
		}
	}
	buf_fini(&got);
}

static void damage_never_passes_for_an_end(void **state UNUSED)
{
	struct capture *c = begin();
	uint8_t *file;
	size_t len, i;
	struct buf sent, got;
	bool truncated;
	int bit;

	buf_init(&got, 1 << 22);
	for (i = 0; i < 30; i++)
		write_data(c, 1, "<message><body>text</body></message>", 36);
	capture_close(&c);
	buf_init(&sent, 1 << 22);
	assert_int_equal(read_all(path_of(1), &sent, &truncated), ERR_CLOSED);
	file = slurp(path_of(1), &len);
	for (i = 10; i < len; i++)
		for (bit = 0; bit < 8; bit++) {
			int rc;

			file[i] ^= (uint8_t)(1 << bit);
			spew(path_of(2), file, len);
			buf_drop(&got, got.len);
			truncated = false;
			rc = read_all(path_of(2), &got, &truncated);
			/* Bits between two blocks mean nothing. */
			assert_true(rc == ERR_SYNTAX || (rc == ERR_CLOSED && truncated) ||
				    (got.len == sent.len && memcmp(got.p, sent.p, sent.len) == 0));
			file[i] ^= (uint8_t)(1 << bit);
		}
	buf_fini(&sent);
	buf_fini(&got);
}

/* A gzip file of this text; then what reading it says. */
static int read_text(const char *text, size_t len)
{
	gzFile f = gzopen(path_of(3), "wb");
	struct buf got;
	bool truncated;
	int rc;

	assert_non_null(f);
	assert_int_equal(gzwrite(f, text, (unsigned)len), len);
	gzclose(f);
	buf_init(&got, 1 << 24);
	rc = read_all(path_of(3), &got, &truncated);
	buf_fini(&got);
	return rc;
}

#define HEAD "{\"format\":\"inset-capture\",\"version\":1,\"start\":\"2026-01-01T00:00:00.000Z\"}\n"

static void hostile_lines_are_refused(void **state UNUSED)
{
	static const char *const bad[] = {
		"",
		"\n",
		"[]\n",
		"nonsense\n",
		"{\"format\":\"other\",\"version\":1}\n",
		"{\"format\":\"inset-capture\",\"version\":2}\n",
		"{\"format\":\"inset-capture\"}\n",
		HEAD "{}\n",
		HEAD "[1]\n",
		HEAD "{\"t\":\"1\",\"s\":1,\"d\":\"c2s\",\"e\":\"open\"}\n",
		HEAD "{\"t\":-1,\"s\":1,\"d\":\"c2s\",\"e\":\"open\"}\n",
		HEAD "{\"t\":1e308,\"s\":1,\"d\":\"c2s\",\"e\":\"open\"}\n",
		HEAD "{\"t\":1,\"s\":-1,\"d\":\"c2s\",\"e\":\"open\"}\n",
		HEAD "{\"t\":1,\"s\":1.5,\"d\":\"c2s\",\"e\":\"open\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"up\",\"e\":\"open\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"burn\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\",\"x\":1}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\",\"x\":\"a\",\"b\":\"YQ==\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\",\"b\":\"!\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\",\"n\":-4}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\",\"x\":\"\\ud800\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"data\",\"x\":\"\xff\"}\n",
		HEAD "{\"t\":1,\"t\":2,\"s\":1,\"d\":\"c2s\",\"e\":\"open\"}\n",
		HEAD "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"open\",\"w\":\"there\"}\n",
		HEAD "{\"t\":2,\"s\":1,\"d\":\"c2s\",\"e\":\"open\"}\n"
		     "{\"t\":1,\"s\":1,\"d\":\"c2s\",\"e\":\"close\"}\n",
		HEAD "{\"t\":1,\"s\":99999999999999999999,\"d\":\"c2s\",\"e\":\"open\"}\n",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (read_text(bad[i], strlen(bad[i])) != ERR_SYNTAX)
			fail_msg("taken: %s", bad[i]);
}

static void deep_and_long_lines_are_refused(void **state UNUSED)
{
	size_t len = strlen(HEAD) + 3 * CAPTURE_LINE_MAX;
	char *text = malloc(len);

	assert_non_null(text);
	memcpy(text, HEAD, strlen(HEAD));
	memset(text + strlen(HEAD), '[', len - strlen(HEAD));
	assert_int_equal(read_text(text, strlen(HEAD) + 100000), ERR_CLOSED); /* no end: cut off */
	text[strlen(HEAD) + 100000] = '\n';
	assert_int_equal(read_text(text, strlen(HEAD) + 100001), ERR_SYNTAX);
	memset(text + strlen(HEAD), ' ', len - strlen(HEAD));
	assert_int_equal(read_text(text, len), ERR_SYNTAX);
	free(text);
}

static void files_rotate_and_the_oldest_go(void **state UNUSED)
{
	struct capture_config small = config;
	struct err_msg msg = { 0 };
	struct stat st;
	struct capture *c;
	uint8_t noise[4096];
	unsigned i, k, files = 0;

	empty_folder();
	small.rotate = 65536;
	small.files = 3;
	assert_int_equal(capture_open(&c, &small, &msg), 0);
	srand(1);
	for (i = 0; i < 200; i++) {
		for (k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)rand();
		write_data(c, 1, noise, sizeof(noise));
	}
	capture_close(&c);
	for (i = 1; i < 100; i++)
		if (stat(path_of(i), &st) == 0) {
			files++;
			assert_true(st.st_size < 65536 + 2 * 65536);
		}
	assert_int_equal(files, 3);
	assert_int_equal(stat(path_of(1), &st), -1);
	/* Another run goes on behind the newest and overwrites nothing. */
	assert_int_equal(capture_open(&c, &small, &msg), 0);
	capture_close(&c);
	files = 0;
	for (i = 1; i < 100; i++)
		files += stat(path_of(i), &st) == 0;
	assert_int_equal(files, 3);
}

static void what_cannot_be_written_stops_it(void **state UNUSED)
{
	struct capture_config nowhere = config;
	struct err_msg msg = { 0 };
	struct capture *c;

	nowhere.folder = "/nonexistent/folder";
	assert_int_equal(capture_open(&c, &nowhere, &msg), ERR_IO);
	assert_null(c);
	assert_non_null(strstr(msg.text, "/nonexistent/folder"));
}

/* A session goes on in the next file; one that was opened again is another one. */
static void sessions_go_on_over_files(void **state UNUSED)
{
	static const char header[] = "<stream:stream xmlns='jabber:client' "
				     "xmlns:stream='http://etherx.jabber.org/streams'>";
	struct capture_config small = config;
	struct capture_line open = { .session = 7, .event = CAPTURE_OPEN };
	struct err_msg msg = { 0 };
	struct capture *c;
	struct trace t;
	uint8_t noise[300];
	char unit[800];
	unsigned i, n, files = 0;

	empty_folder();
	small.rotate = 65536;
	assert_int_equal(capture_open(&c, &small, &msg), 0);
	open.at_us = clock_us();
	capture_write(c, &open);
	write_data(c, 7, header, sizeof(header) - 1);
	srand(2);
	for (i = 0; i < 1000; i++) {
		for (n = 0; n < sizeof(noise); n++)
			noise[n] = (uint8_t)('a' + rand() % 26);
		n = (unsigned)snprintf(unit, sizeof(unit), "<message><body>%.300s</body></message>",
				       (const char *)noise);
		write_data(c, 7, unit, n / 2);
		write_data(c, 7, unit + n / 2, n - n / 2);
	}
	open.at_us = clock_us();
	capture_write(c, &open);
	write_data(c, 7, header, sizeof(header) - 1);
	capture_close(&c);
	trace_init(&t, 1 << 26);
	for (i = 1; access(path_of(i), F_OK) == 0; i++, files++)
		assert_int_equal(trace_load(&t, path_of(i), &msg), 0);
	assert_true(files >= 3);
	assert_int_equal(trace_prepare(&t), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.v[0].error, 0);
	assert_int_equal(t.v[0].lane[0].n, 1001);
	assert_int_equal(t.v[1].lane[0].n, 1);
	trace_fini(&t);
}

/* Clones say other names wherever their own stand, ids of their own, and the same URLs elsewhere.
 */
static void clones_have_names_of_their_own(void **state UNUSED)
{
	static const char *const said[] = {
		"<stream:stream xmlns='jabber:client' "
		"xmlns:stream='http://etherx.jabber.org/streams'>",
		"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
		"<jid>al@x.org/r</jid></bind></iq>",
		"<message from='al@x.org/r' to='bal@x.org' id='m'><body>al@x.org.uk, al@x.org: "
		"http://h.org/p</body></message>",
	};
	struct err_msg msg = { 0 };
	struct capture *c = begin();
	struct capture_line line = { .session = 1, .event = CAPTURE_DATA, .s2c = true };
	struct trace t;
	struct buf out;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(said); i++) {
		line.at_us = clock_us();
		line.p = (const uint8_t *)said[i];
		line.len = strlen(said[i]);
		capture_write(c, &line);
	}
	capture_close(&c);
	trace_init(&t, 1 << 20);
	buf_init(&out, 1 << 20);
	assert_int_equal(trace_load(&t, path_of(1), &msg), 0);
	assert_int_equal(trace_prepare(&t), 0);
	assert_int_equal(t.v[0].lane[1].n, 3);
	assert_int_equal(trace_print(&t.v[0].lane[1].v[2], 0, NULL, &out), 0);
	assert_int_equal(out.len, strlen(said[2]));
	assert_memory_equal(out.p, said[2], out.len);
	buf_drop(&out, out.len);
	assert_int_equal(trace_print(&t.v[0].lane[1].v[2], 7, "http://127.0.0.1:80", &out), 0);
	assert_int_equal(buf_add(&out, "", 1), 0);
	assert_string_equal(
		(char *)out.p,
		"<message from='al.7@x.org/r' to='bal@x.org' id='m.7'><body>al@x.org.uk, "
		"al.7@x.org: http://127.0.0.1:80/p</body></message>");
	buf_fini(&out);
	trace_fini(&t);
}

static void the_memory_of_a_trace_is_capped(void **state UNUSED)
{
	struct capture *c = begin();
	struct err_msg msg = { 0 };
	struct trace t;
	int i;

	write_data(c, 1,
		   "<stream:stream xmlns='jabber:client' "
		   "xmlns:stream='http://etherx.jabber.org/streams'>",
		   85);
	for (i = 0; i < 100; i++)
		write_data(c, 1, "<message/>", 10);
	capture_close(&c);
	trace_init(&t, 500);
	assert_int_equal(trace_load(&t, path_of(1), &msg), ERR_FULL);
	trace_fini(&t);
}

static int set_up(void **state UNUSED)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state UNUSED)
{
	empty_folder();
	return rmdir(folder);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_comes_back),
		cmocka_unit_test(long_data_is_cut_between_characters),
		cmocka_unit_test(every_truncation_gives_what_was_flushed),
		cmocka_unit_test(damage_never_passes_for_an_end),
		cmocka_unit_test(hostile_lines_are_refused),
		cmocka_unit_test(deep_and_long_lines_are_refused),
		cmocka_unit_test(files_rotate_and_the_oldest_go),
		cmocka_unit_test(what_cannot_be_written_stops_it),
		cmocka_unit_test(sessions_go_on_over_files),
		cmocka_unit_test(clones_have_names_of_their_own),
		cmocka_unit_test(the_memory_of_a_trace_is_capped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
