/* SPDX-License-Identifier: MIT */
/*
 * control - the socket that insetctl talks to.
 *
 * One JSON object a line, {"command": NAME, ...arguments}, answered by one JSON object a line;
 * where a command says so others come before it, which have "more": true. For root and the user
 * that insetd runs as only. Never blocks: what a client does not take within its buffer ends
 * it, but for parts that may be lost.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct control;
struct event_base;

/* A request: answer it now or later with control_answer(). command and request (all of it) are
 * valid for the call. */
typedef void (*control_fn)(void *ctx, uint64_t client, const char *command, const json_t *request);
/* A client has gone before its answer. */
typedef void (*control_gone_fn)(void *ctx, uint64_t client);

/* NULL and msg when the socket cannot be made. */
struct control *control_new(struct event_base *base, const char *path, control_fn on_command,
			    control_gone_fn on_gone, void *ctx, struct err_msg *msg) MUSTCHECK;
/* Closes all clients and removes the socket; accepts NULL, sets it to NULL. */
void control_free(struct control **c);

/*
 * The socket's other name from now on; what had it before goes. leave: the old name stays where it
 * is, for whoever takes it over. 0, or ERR_IO, ERR_TOO_BIG and errno.
 */
int control_move(struct control *c, const char *path, bool leave) MUSTCHECK;
/* "" for NULL. */
const char *control_path(const struct control *c);

/* Takes the answer; NULL (out of memory) closes the client. One that has gone meanwhile is no
 * error. */
void control_answer(struct control *c, uint64_t client, json_t *answer);

/*
 * A part of the answer, taken; "more" is added to it. False: it was dropped, because the client has
 * a backlog (or has gone).
 */
bool control_say(struct control *c, uint64_t client, json_t *part);

/* A JSON text of s; what is not UTF-8 in it becomes '?', so that an answer never fails for it. */
json_t *control_text(const char *s) MUSTCHECK;
