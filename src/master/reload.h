/* SPDX-License-Identifier: MIT */
/*
 * reload - from one generation to the next: all confirm, or the old one stays.
 */
#pragma once

#include "master/state.h"

/* Reads and checks the configuration again and asks the children. client: 0, or who waits for the
 * answer. */
void reload_start(struct master *m, uint64_t client);

/* A child's answer: 0, or negative and the child is to be killed. */
int reload_on_confirm(struct proc *p, uint64_t generation, bool ready, const char *why) MUSTCHECK;

/* A child has ended or the master stops: a reload that is under way fails. */
void reload_abort(struct master *m, const char *why);

/* All children have settled: the reload that waited for it begins. */
void reload_resume(struct master *m);

/* The configuration as sealed memfds: 0, or negative and none. */
int reload_memfds(const struct conf *conf, struct memfds *out) MUSTCHECK;
void reload_close(struct memfds *m);

/* Users that are empty become what they stand for. 0 or ERR_NOMEM. */
int reload_settle_users(struct conf *conf) MUSTCHECK;
