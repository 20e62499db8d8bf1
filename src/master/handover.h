/* SPDX-License-Identifier: MIT */
/*
 * handover - what one insetd leaves to the next: a description in a sealed memfd, and the
 * descriptors that it names.
 *
 * JSON, because the two may be of different versions: a reader takes what it knows and ignores
 * the rest; what must be understood is guarded by "version". Everything in it is checked, and each
 * socket must be what the description says.
 *
 *   version 1, pid, channel, control, generation, scaler (does it make thumbnails?)
 *   counters {fd, layout}, slots [number...]: of its processes
 *   rules, listeners [{name, row}...]: their rows in the counter pages
 *   sockets [{role, index, address, fd, given}...]
 *   elders [{pid, fd, control, since, slots}...]: that drain still
 *
 * The channel is a SOCK_SEQPACKET pair, one JSON object a message: "say" is
 *   ready {pid}      heir: all my processes are up
 *   failed {why}     heir: I cannot, and end
 *   go               the old one: you serve, I drain
 *   sessions {n}     the old one: as many are left
 *   end {ms}         heir: end yours within ms
 * End of file: the other end is gone.
 */
#pragma once

#include <jansson.h>

#include "master/state.h"

#define HANDOVER_VERSION 1
#define HANDOVER_MAX     (4u * 1024 * 1024)
#define HANDOVER_ENV     "INSET_HANDOVER"

struct handover {
	json_t *root; /* owned; texts below are borrowed from it */
	pid_t pid;
	int channel;
	const char *control;
	uint64_t generation;
	bool scaler;
	int counters; /* -1: not of our layout */
	bool slots[COUNTERS_SLOTS];
	struct conf *rules;     /* owned: nothing but rules and listeners with names and rows */
	struct sockets sockets; /* owned */
	struct elder elders[ELDERS_MAX];
	size_t elders_n;
};

/* A new object; NULL when out of memory. channel: the heir's end. */
json_t *handover_new(const struct master *m, int channel) MUSTCHECK;

/*
 * Takes root in any case. 0 and all of *out; or negative, msg, and *out empty. Descriptors belong
 * to *out from then on, also those of what was not understood.
 */
int handover_parse(json_t *root, struct handover *out, struct err_msg *msg) MUSTCHECK;
void handover_fini(struct handover *h);

/* The descriptors of a description, to be inherited: calls fn for each. */
void handover_each_fd(const json_t *root, void (*fn)(int fd));

/* A message: 0, or ERR_AGAIN, ERR_CLOSED, ERR_IO, ERR_NOMEM. Takes the object. */
int handover_send(int fd, json_t *message) MUSTCHECK;
/* The next message, NULL with *rc_out: ERR_AGAIN, ERR_CLOSED, ERR_BAD_MESSAGE. */
json_t *handover_recv(int fd, int *rc_out) MUSTCHECK;
