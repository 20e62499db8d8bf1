/* SPDX-License-Identifier: MIT */
/*
 * child - see child.h.
 */
#include "config.h"

#include "base/child.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/err.h"
#include "base/stall.h"

#define PATIENCE_MS 2000

static struct {
	char name[32];
	enum role role;
	struct ipc_out out; /* one at a time: children have one thread */
	bool sending;
} child = { .name = "child" };

static void child_log(void *ctx UNUSED, enum log_level level, const char *line)
{
	int rc;

	if (child.sending) { /* a failure while sending must not send again */
		log_relay(child.name, level, line);
		return;
	}
	child.sending = true;
	ipc_begin(&child.out, IPC_LOG);
	ipc_put_u8(&child.out, (uint8_t)level);
	ipc_put_str(&child.out, line);
	rc = ipc_send(CHILD_FD, &child.out);
	child.sending = false;
	if (rc == ERR_AGAIN)
		counter_inc(METRIC_LOG_LOST);
	if (rc)
		log_relay(child.name, level, line);
}

void child_open(enum role role, unsigned index)
{
	child.role = role;
	if (role == ROLE_PROXY)
		snprintf(child.name, sizeof(child.name), "proxy/%u", index);
	else
		snprintf(child.name, sizeof(child.name), "%s", role_name(role));
	stall_open(role);
	log_open(child.name, LOG_TARGET_STDERR, LOG_FORMAT_TEXT);
	log_set_sink(child_log, NULL);
}

const char *child_name(void)
{
	return child.name;
}

/*
 * The few messages that must arrive. A socket may be full of lines for the log, which the master is
 * about to read; one that stays full means that it hangs.
 */
static void child_must_send(void)
{
	struct pollfd p = { .fd = CHILD_FD, .events = POLLOUT };
	int rc = ipc_send(CHILD_FD, &child.out);

	if (rc == ERR_AGAIN && poll(&p, 1, PATIENCE_MS) == 1)
		rc = ipc_send(CHILD_FD, &child.out);
	if (rc) {
		log_relay(child.name, LOG_LEVEL_ERROR,
			  "the master does not read its channel any more");
		_exit(70);
	}
}

void child_confirm(uint64_t generation, bool ready, const char *why)
{
	ipc_begin(&child.out, IPC_CONFIRM);
	ipc_put_u64(&child.out, generation);
	ipc_put_u8(&child.out, ready);
	ipc_put_str(&child.out, why);
	child_must_send();
}

void child_ready(const char *versions)
{
	ipc_begin(&child.out, IPC_READY);
	ipc_put_str(&child.out, versions);
	child_must_send();
}

int child_answer(uint64_t id, enum ask_state state, const void *p, size_t len)
{
	int rc;

	child.sending = true;
	ask_answer_put(&child.out, id, state, p, len);
	rc = ipc_send(CHILD_FD, &child.out);
	child.sending = false;
	return rc;
}

void child_refuse(uint64_t id, const char *why)
{
	if (child_answer(id, ASK_REFUSED, why, strlen(why)))
		log_debug("an answer found the channel to the master full or closed");
}

void child_answer_json(uint64_t id, struct jtext *j)
{
	if (j->error || child_answer(id, ASK_DONE, j->b.p, j->b.len))
		child_refuse(id, err_str(j->error ? j->error : ERR_FULL));
	jtext_fini(j);
}

int child_on_ask(struct ipc_in *in, child_ask_fn fn)
{
	struct jtext j;
	struct ask a;
	int rc = ask_get(in, child.role, &a);

	if (rc)
		return rc;
	if (a.command != ASK_LOG) {
		BUG_ON(!fn); /* ask.def names this role: somebody must answer */
		fn(&a);
		return 0;
	}
	log_set_level((enum log_level)a.number);
	jtext_init(&j, 64);
	jtext_open(&j, NULL, '{');
	jtext_close(&j, '}');
	child_answer_json(a.id, &j);
	return 0;
}

int child_on_ping(struct ipc_in *in)
{
	int rc = ipc_end(in);

	if (rc)
		return rc;
	ipc_begin(&child.out, IPC_PONG);
	/* Where the socket is full the next one will do: it is not worth sessions. */
	if (ipc_send(CHILD_FD, &child.out))
		log_debug("an answer found the channel to the master full or closed");
	return 0;
}

int child_on_peer(struct ipc_in *in, enum role wanted, int *fd_out)
{
	uint8_t role = ipc_get_u8(in);

	(void)ipc_get_u32(in);
	*fd_out = ipc_take_fd(in);
	if (ipc_end(in) == 0 && role == wanted)
		return 0;
	if (*fd_out != -1)
		close(*fd_out);
	return ERR_BAD_MESSAGE;
}

int child_on_counters(struct ipc_in *in)
{
	uint32_t slot = ipc_get_u32(in);
	int fd = ipc_take_fd(in);
	int rc = ipc_end(in);

	if (!rc && slot >= COUNTERS_SLOTS)
		rc = ERR_BAD_MESSAGE;
	if (!rc)
		rc = counters_map(fd, slot);
	if (fd != -1)
		close(fd);
	return rc;
}
