/* SPDX-License-Identifier: MIT */
/*
 * ask - see ask.h.
 */
#include "config.h"

#include "base/ask.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"

static const unsigned roles[] = {
#define ASK(name, r) [ASK_##name] = r,
#include "base/ask.def"
#undef ASK
};

unsigned ask_roles(enum ask_command c)
{
	return roles[c];
}

void ask_put(struct ipc_out *out, const struct ask *a)
{
	ipc_begin(out, IPC_ASK);
	ipc_put_u64(out, a->id);
	ipc_put_u8(out, (uint8_t)a->command);
	ipc_put_u32(out, a->number);
	ipc_put_u8(out, a->choice);
	ipc_put_str(out, a->text);
}

int ask_get(struct ipc_in *in, enum role me, struct ask *out)
{
	uint8_t command;

	out->id = ipc_get_u64(in);
	command = ipc_get_u8(in);
	out->number = ipc_get_u32(in);
	out->choice = ipc_get_u8(in);
	out->text = ipc_get_str(in);
	if (ipc_end(in) || command >= ASK_COMMAND_COUNT || !(roles[command] & 1u << me) ||
	    strlen(out->text) > ASK_TEXT_MAX || out->choice >= ASK_ORDER_COUNT)
		return ERR_BAD_MESSAGE;
	out->command = (enum ask_command)command;
	if (out->command == ASK_LOG && out->number > LOG_LEVEL_DEBUG)
		return ERR_BAD_MESSAGE;
	return 0;
}

void ask_answer_put(struct ipc_out *out, uint64_t id, enum ask_state state, const void *p,
		    size_t len)
{
	ipc_begin(out, IPC_ANSWER);
	ipc_put_u64(out, id);
	ipc_put_u8(out, (uint8_t)state);
	ipc_put_blob(out, p, len);
}

int ask_answer_get(struct ipc_in *in, uint64_t *id_out, enum ask_state *state_out,
		   const char **p_out, size_t *len_out)
{
	uint8_t state;

	*id_out = ipc_get_u64(in);
	state = ipc_get_u8(in);
	*p_out = (const char *)ipc_get_blob(in, ASK_ANSWER_MAX, len_out);
	if (ipc_end(in) || state >= ASK_STATE_COUNT)
		return ERR_BAD_MESSAGE;
	*state_out = (enum ask_state)state;
	return 0;
}
