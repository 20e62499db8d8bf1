/* SPDX-License-Identifier: MIT */
/*
 * decoder - the zygote's handle on one child: starts it, feeds it one picture, takes what
 * it answers, ends it. Never blocks; whatever a child does ends in DECODER_DONE.
 *
 * FREE -> STARTING -> READY -> BUSY -> DONE -> (answered) -> FREE. A child that dies before
 * READY goes to FREE directly. The pid is reaped by the owner, who calls decoder_on_exit().
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "scaler/worker.h"

enum decoder_state {
	DECODER_FREE,
	DECODER_STARTING, /* forked, not in its sandbox yet */
	DECODER_READY,    /* waits for a picture */
	DECODER_BUSY,     /* has one */
	DECODER_DONE,     /* result is there, or the child failed; pid may still live */
	DECODER_BROKEN    /* cannot be confined; why[] says so */
};

struct decoder {
	enum decoder_state state;
	pid_t pid;        /* 0 once reaped */
	int fd;           /* our end; -1 */
	int64_t deadline; /* clock_now() ms when it is killed: STARTING and BUSY */
	bool killed;      /* by us, or ended by a signal */
	struct worker_request request;
	const uint8_t *file; /* owned mapping, or a sample; NULL once sent */
	bool file_is_mapped;
	size_t sent; /* of request and file together */
	size_t got;  /* of in */
	uint8_t *in; /* owned: answer and at most max_bytes, one more to see excess */
	size_t in_size;
	char why[128];
	struct picture_result result; /* valid when DONE; bytes point into in */
};

void decoder_init(struct decoder *d);

/* Forks. 0 or ERR_*; then STARTING. */
int decoder_start(struct decoder *d, const struct picture_limits *limits) MUSTCHECK;

/* READY only. file: len bytes at p, unmapped by the decoder if `mapped`. 0 or ERR_NOMEM (file stays
 * the caller's). */
int decoder_give(struct decoder *d, const struct picture_request *req, const uint8_t *p, size_t len,
		 bool mapped) MUSTCHECK;

/* What poll() should watch fd for. */
short decoder_events(const struct decoder *d);
void decoder_on_io(struct decoder *d, short revents);

/* Its pid was reaped with this wait status. STARTING before: it died without a picture. */
void decoder_on_exit(struct decoder *d, int status);

/* Past its deadline? Kills it then. */
void decoder_check_deadline(struct decoder *d, int64_t now);

/* Ends the child and forgets its picture: FREE once reaped. */
void decoder_kill(struct decoder *d);

/* The result of a DONE decoder was delivered. */
void decoder_answered(struct decoder *d);
