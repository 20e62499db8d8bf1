/* SPDX-License-Identifier: MIT */
/*
 * statedir - what must stand below state-dir before the box and the proxies run.
 */
#pragma once

#include "base/err.h"
#include "conf/conf.h"

/*
 * Where inset's own box is used: makes state-dir, the box's folder in it (the box's user's), and
 * the key that signs uploads, unless conf has one from secret-file. 0, or negative and msg.
 */
int statedir_prepare(struct conf *conf, struct err_msg *msg) MUSTCHECK;
