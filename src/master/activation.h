/* SPDX-License-Identifier: MIT */
/*
 * activation - listening sockets that a service manager opened: LISTEN_FDS of sd_listen_fds(3).
 *
 * Not libsystemd, for the same reason as notify.h: three variables are read here.
 */
#pragma once

#include "master/sockets.h"

/*
 * Adds them to out, each as what binds its address: a listener, web, or the box. A socket's name
 * (FileDescriptorName=) may say which of these it is for, and must then be right. 0, also when
 * there are none; or ERR_CONFIG, ERR_NOMEM and msg. The variables are gone afterwards.
 */
int activation_take(const struct conf *conf, struct sockets *out, struct err_msg *msg) MUSTCHECK;
