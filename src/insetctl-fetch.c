/* SPDX-License-Identifier: MIT */
/*
 * insetctl-fetch - a media process and a scaler for one command, with all of their guards.
 *
 * Plays the master's part (base/child.h) and a proxy's (base/job.h), one message at a time and
 * blocking. Stands between media and scaler, passes on what they say to each other, and notes
 * what results do not tell: the ladder's step, times. Children end with us: their channels close.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/err.h"
#include "conf/generation.h"
#include "insetctl.h"

#define START_MS 20000
#define JOB_MS   40000

#define FETCH_OWN_ID UINT64_MAX /* media counts from 1 */

struct helper {
	enum role role;
	pid_t pid; /* 0: none */
	int fd;    /* its channel to its master; -1 */
	bool ready;
};

struct fetch {
	struct conf *conf; /* borrowed */
	struct helper media;
	struct helper scaler;
	int counters;  /* memfd; -1 */
	int jobs;      /* channel to media, as a proxy has it; -1 */
	int to_media;  /* the scaler's end of its channel; -1 */
	int to_scaler; /* media's end of its channel; -1 */
	uint64_t last_id;
	struct fetch_scaling scaling;
	bool have_own; /* the scaler answered what fetch_scale() asked */
	struct picture_result own;
	struct ipc_in in;
	struct ipc_out out;
};

/* Beside this executable (a build folder), else where it was installed. */
static void program_path(char out[PATH_MAX], const char *name, const char *folder)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - 20, dirname(self), name);
		if (access(out, X_OK) == 0)
			return;
	}
	snprintf(out, PATH_MAX, "%s/%s", folder, name);
}

NORETURN static void helper_exec(const struct fetch *f, const struct helper *h, int fd)
{
	char path[PATH_MAX];
	int null = open("/dev/null", O_RDWR);

	(void)signal(SIGPIPE, SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1 || null == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		_exit(EXIT_FAULT);
	if (fd == CHILD_FD ? fcntl(fd, F_SETFD, 0) == -1 : dup2(fd, CHILD_FD) == -1)
		_exit(EXIT_FAULT);
	(void)close_range(CHILD_FD + 1, ~0U, 0);
	if (h->role == ROLE_SCALER) {
		program_path(path, "inset-scaler", PKGLIBEXECDIR);
		execl(path, "inset-scaler", "--user", f->conf->scaler_user, (char *)NULL);
	} else {
		program_path(path, "insetd", SBINDIR);
		execl(path, "insetd", "--role=media", "--index=0", (char *)NULL);
	}
	fprintf(stderr, "insetctl: cannot execute %s: %s\n", path, strerror(errno));
	_exit(EXIT_FAULT);
}

static int helper_start(struct fetch *f, struct helper *h)
{
	int fds[2];

	if (ipc_pair(fds))
		return ERR_IO;
	h->pid = fork();
	if (h->pid == 0)
		helper_exec(f, h, fds[1]);
	close(fds[1]);
	h->fd = fds[0];
	if (h->pid == -1) {
		h->pid = 0;
		return ERR_IO;
	}
	ipc_begin(&f->out, IPC_COUNTERS);
	ipc_put_u32(&f->out, (uint32_t)h->role);
	ipc_put_fd(&f->out, f->counters);
	return ipc_send(h->fd, &f->out);
}

static int send_peer(struct fetch *f, const struct helper *to, enum role role, int fd)
{
	ipc_begin(&f->out, IPC_PEER);
	ipc_put_u8(&f->out, (uint8_t)role);
	ipc_put_u32(&f->out, 0);
	ipc_put_fd(&f->out, fd);
	return ipc_send(to->fd, &f->out);
}

static int send_generation(struct fetch *f)
{
	struct buf b;
	int fd = -1, rc;

	buf_init(&b, GENERATION_MAX);
	rc = generation_print(f->conf, false, &b);
	if (!rc)
		fd = ipc_memfd("inset-generation", b.p, b.len);
	buf_fini(&b);
	if (fd == -1)
		return rc ? rc : ERR_IO;
	ipc_begin(&f->out, IPC_GENERATION);
	ipc_put_u64(&f->out, f->conf->generation);
	ipc_put_fd(&f->out, fd);
	rc = ipc_send(f->media.fd, &f->out);
	close(fd);
	return rc;
}

static int send_setup(struct fetch *f)
{
	const struct conf_scale *s = &f->conf->scale;
	const struct picture_setup setup = {
		.children = 1,
		.limits = { .max_pixels = s->max_pixels,
			    .max_pixels_jpeg = s->max_pixels_jpeg,
			    .max_side = (uint32_t)s->max_side,
			    .memory = s->memory,
			    .wall_ms = s->wall,
			    .cpu_ms = s->cpu },
	};

	ipc_begin(&f->out, IPC_SETUP);
	picture_setup_put(&f->out, &setup);
	return ipc_send(f->scaler.fd, &f->out);
}

/* A channel of a helper's to that role; our end, or -1. */
static int open_peer(struct fetch *f, const struct helper *to, enum role role)
{
	int fds[2], rc;

	if (ipc_pair(fds))
		return -1;
	rc = send_peer(f, to, role, fds[0]);
	close(fds[0]);
	if (!rc)
		return fds[1];
	close(fds[1]);
	return -1;
}

static int send_peers(struct fetch *f)
{
	f->to_media = open_peer(f, &f->media, ROLE_SCALER);
	f->to_scaler = open_peer(f, &f->scaler, ROLE_MEDIA);
	f->jobs = open_peer(f, &f->media, ROLE_PROXY);
	return f->to_media == -1 || f->to_scaler == -1 || f->jobs == -1 ? ERR_IO : 0;
}

static int on_confirm(struct fetch *f, struct helper *h)
{
	uint64_t generation = ipc_get_u64(&f->in);
	bool ready = ipc_get_u8(&f->in);
	const char *why = ipc_get_str(&f->in);
	int rc = ipc_end(&f->in);

	if (!rc && !ready) {
		fprintf(stderr, "insetctl: %s process: %s\n", role_name(h->role), why);
		rc = ERR_CONFIG;
	}
	if (rc)
		return rc;
	ipc_begin(&f->out, IPC_COMMIT);
	ipc_put_u64(&f->out, generation);
	return ipc_send(h->fd, &f->out);
}

/* One message of a helper: 0, or it is of no use any more. */
static int on_helper(struct fetch *f, struct helper *h)
{
	int rc = ipc_recv(h->fd, &f->in, ROLE_MASTER, h->role);

	if (rc)
		return rc == ERR_AGAIN ? 0 : rc;
	if (f->in.type == IPC_CONFIRM)
		rc = on_confirm(f, h);
	else if (f->in.type == IPC_READY)
		h->ready = true;
	ipc_in_fini(&f->in);
	return rc;
}

static int send_scale(struct fetch *f, const struct picture_request *what, int fd)
{
	f->scaling = (struct fetch_scaling){ .asked = true, .format = what->format };
	f->scaling.asked_us = clock_us();
	ipc_begin(&f->out, IPC_SCALE);
	picture_request_put(&f->out, what);
	ipc_put_fd(&f->out, fd);
	return ipc_send(f->to_scaler, &f->out);
}

/* SCALE, media to scaler. */
static int relay_picture(struct fetch *f)
{
	int rc = ipc_recv(f->to_media, &f->in, ROLE_SCALER, ROLE_MEDIA);
	struct picture_request what;
	int fd;

	if (rc)
		return rc == ERR_AGAIN ? 0 : rc;
	rc = picture_request_get(&f->in, &what);
	fd = ipc_take_fd(&f->in);
	if (!rc)
		rc = send_scale(f, &what, fd);
	if (fd != -1)
		close(fd);
	ipc_in_fini(&f->in);
	return rc;
}

static int relay_formats(struct fetch *f)
{
	uint32_t formats = ipc_get_u32(&f->in);
	const char *why = ipc_get_str(&f->in);
	int rc = ipc_end(&f->in);

	if (rc)
		return rc;
	ipc_begin(&f->out, IPC_FORMATS);
	ipc_put_u32(&f->out, formats);
	ipc_put_str(&f->out, why);
	return ipc_send(f->to_media, &f->out);
}

/* SCALED and FORMATS, scaler to media; but what fetch_scale() asked for is ours. */
static int relay_answer(struct fetch *f)
{
	int rc = ipc_recv(f->to_scaler, &f->in, ROLE_MEDIA, ROLE_SCALER);
	struct picture_result r;

	if (rc)
		return rc == ERR_AGAIN ? 0 : rc;
	if (f->in.type == IPC_FORMATS) {
		rc = relay_formats(f);
		ipc_in_fini(&f->in);
		return rc;
	}
	rc = picture_result_get(&f->in, &r);
	if (!rc) {
		f->scaling.answered = true;
		f->scaling.status = r.status;
		f->scaling.step = r.step;
		f->scaling.scale_us = clock_us() - f->scaling.asked_us;
		f->scaling.decoder_us = r.wall_us;
	}
	if (!rc && r.id == FETCH_OWN_ID) {
		f->own = r; /* its bytes stay in `in` */
		f->have_own = true;
		return 0;
	}
	if (!rc) {
		ipc_begin(&f->out, IPC_SCALED);
		picture_result_put(&f->out, &r);
		rc = ipc_send(f->to_media, &f->out);
	}
	ipc_in_fini(&f->in);
	return rc;
}

/* Waits for anything from the helpers or, if it is there, an answer; 0 or an error. */
static int wait_for(struct fetch *f, int64_t until, bool *answer)
{
	struct pollfd p[] = {
		{ .fd = f->media.fd, .events = POLLIN },  { .fd = f->scaler.fd, .events = POLLIN },
		{ .fd = f->jobs, .events = POLLIN },      { .fd = f->to_media, .events = POLLIN },
		{ .fd = f->to_scaler, .events = POLLIN },
	};
	int rc = 0, n = poll(p, ARRAY_SIZE(p), 50);

	clock_update();
	*answer = n > 0 && p[2].revents;
	if (n > 0 && p[0].revents)
		rc = on_helper(f, &f->media);
	if (!rc && n > 0 && p[1].revents)
		rc = on_helper(f, &f->scaler);
	if (!rc && n > 0 && p[3].revents)
		rc = relay_picture(f);
	if (!rc && n > 0 && p[4].revents)
		rc = relay_answer(f);
	if (!rc && clock_now() > until)
		rc = ERR_TIMEOUT;
	return rc;
}

static int start_all(struct fetch *f)
{
	bool answer;
	int rc = helper_start(f, &f->media);
	int64_t until;

	if (!rc)
		rc = helper_start(f, &f->scaler);
	if (!rc)
		rc = send_generation(f);
	if (!rc)
		rc = send_setup(f);
	if (!rc)
		rc = send_peers(f);
	clock_update();
	until = clock_now() + START_MS;
	while (!rc && !(f->media.ready && f->scaler.ready &&
			counters_of(ROLE_MEDIA, METRIC_SCALER_FORMATS)))
		rc = wait_for(f, until, &answer);
	return rc;
}

static int settle_user(char **user, const char *other)
{
	char *copy;

	if ((*user)[0])
		return 0;
	copy = strdup(other);
	if (!copy)
		return ERR_NOMEM;
	free(*user);
	*user = copy;
	return 0;
}

struct fetch *fetch_open(struct conf *conf)
{
	struct fetch *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return NULL;
	f->conf = conf;
	f->media = (struct helper){ .role = ROLE_MEDIA, .fd = -1 };
	f->scaler = (struct helper){ .role = ROLE_SCALER, .fd = -1 };
	f->jobs = f->to_media = f->to_scaler = f->in.fd = -1;
	conf->generation = 1;
	f->counters = counters_create();
	rc = f->counters == -1 ? ERR_IO : counters_map(f->counters, 0);
	if (!rc)
		rc = settle_user(&conf->media_user, conf->user);
	if (!rc)
		rc = settle_user(&conf->scaler_user, conf->user);
	(void)signal(SIGPIPE, SIG_IGN);
	if (!rc)
		rc = start_all(f);
	if (rc) {
		fprintf(stderr, "insetctl: no media process: %s\n", err_str(rc));
		fetch_close(&f);
	}
	return f;
}

int fetch_do(struct fetch *f, const struct job *job, struct job_result *out)
{
	struct job full = *job;
	bool answer = false;
	int64_t until;
	int rc;

	full.id = ++f->last_id;
	f->scaling = (struct fetch_scaling){ 0 };
	ipc_in_fini(&f->in); /* the result before */
	ipc_begin(&f->out, IPC_JOB);
	job_put(&f->out, &full);
	rc = ipc_send(f->jobs, &f->out);
	until = clock_now() + JOB_MS;
	while (!rc && !answer)
		rc = wait_for(f, until, &answer);
	if (!rc)
		rc = ipc_recv(f->jobs, &f->in, ROLE_PROXY, ROLE_MEDIA);
	if (rc)
		return rc;
	return f->in.type == IPC_RESULT ? job_result_get(&f->in, out) : ERR_BAD_MESSAGE;
}

int fetch_scale(struct fetch *f, const struct picture_request *what, int fd,
		struct picture_result *out)
{
	struct picture_request full = *what;
	bool answer;
	int64_t until;
	int rc;

	full.id = FETCH_OWN_ID;
	f->have_own = false;
	ipc_in_fini(&f->in); /* the result before */
	rc = send_scale(f, &full, fd);
	until = clock_now() + JOB_MS;
	while (!rc && !f->have_own)
		rc = wait_for(f, until, &answer);
	if (!rc)
		*out = f->own;
	return rc;
}

const struct fetch_scaling *fetch_scaling(const struct fetch *f)
{
	return &f->scaling;
}

static void close_channel(int fd)
{
	if (fd != -1)
		close(fd);
}

static void helper_end(struct helper *h)
{
	if (h->fd != -1)
		close(h->fd);
	if (!h->pid)
		return;
	(void)kill(h->pid, SIGKILL);
	(void)waitpid(h->pid, NULL, 0);
}

void fetch_close(struct fetch **fp)
{
	struct fetch *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	helper_end(&f->media);
	helper_end(&f->scaler);
	close_channel(f->jobs);
	close_channel(f->to_media);
	close_channel(f->to_scaler);
	close_channel(f->counters);
	free(f);
}
