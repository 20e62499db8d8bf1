/* SPDX-License-Identifier: MIT */
/*
 * ask - what the master asks a child on behalf of insetctl, and the child's answer.
 *
 * Questions and who is asked stand in ask.def. A child answers with JSON, in one message (large
 * ones ride in a memfd) or, where the question says so, in many. The master reads answers like
 * anything else that a child says: it believes nothing.
 */
#pragma once

#include "base/buf.h"
#include "base/ipc.h"

#define ASK_TEXT_MAX   3800          /* bytes of a question's text */
#define ASK_ANSWER_MAX (1024 * 1024) /* bytes of one answer */

enum ask_command {
#define ASK(name, roles) ASK_##name,
#include "base/ask.def"
#undef ASK
	ASK_COMMAND_COUNT
};

enum ask_order { ASK_ORDER_AGE, ASK_ORDER_BYTES, ASK_ORDER_HELD, ASK_ORDER_COUNT };

enum ask_state {
	ASK_DONE,    /* the answer */
	ASK_MORE,    /* a part of it; others follow */
	ASK_REFUSED, /* a text for people says why there is none */
	ASK_STATE_COUNT
};

struct ask {
	uint64_t id;
	enum ask_command command;
	uint32_t number;
	uint8_t choice;
	const char *text; /* lives as long as the message */
};

/* Roles (R_...) that a question goes to. */
unsigned ask_roles(enum ask_command c);

void ask_put(struct ipc_out *out, const struct ask *a);
/* ASK, for a process of this role: 0 or ERR_BAD_MESSAGE. */
int ask_get(struct ipc_in *in, enum role me, struct ask *out) MUSTCHECK;

void ask_answer_put(struct ipc_out *out, uint64_t id, enum ask_state state, const void *p,
		    size_t len);
/* ANSWER: 0 or ERR_BAD_MESSAGE. *p_out lives as long as the message; NULL when *len_out is 0. */
int ask_answer_get(struct ipc_in *in, uint64_t *id_out, enum ask_state *state_out,
		   const char **p_out, size_t *len_out) MUSTCHECK;
