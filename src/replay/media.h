/* SPDX-License-Identifier: MIT */
/*
 * media - the player's web server: pictures for whatever path is asked, and faults on request.
 *
 * HTTP/1.1, GET and HEAD, one request a connection, loopback only. The same path always gets the
 * same picture and the same fault, so that runs can be compared.
 */
#pragma once

#include <event2/event.h>
#include <stdbool.h>

#include "base/err.h"

enum media_fault {
#define MEDIA_FAULT(name, text, help) MEDIA_##name,
#include "replay/media-fault.def"
#undef MEDIA_FAULT
	MEDIA_FAULT_COUNT
};

struct media_config {
	uint16_t port;                       /* 0: any */
	const char *folder;                  /* of pictures; NULL: they are made */
	unsigned width, height;              /* of those */
	unsigned percent[MEDIA_FAULT_COUNT]; /* of paths */
};

struct media;

/* "slow=10,404=5": 0, or ERR_SYNTAX and msg. */
int media_parse_faults(struct media_config *c, const char *text, struct err_msg *msg) MUSTCHECK;
int media_open(struct media **out, struct event_base *base, const struct media_config *c,
	       struct err_msg *msg) MUSTCHECK;
void media_close(struct media **m);
/* "http://127.0.0.1:PORT" */
const char *media_origin(const struct media *m);
/* Which answer a path gets; in an answer's count are requests that were answered so. */
enum media_fault media_fault_of(const struct media *m, const char *path, size_t len);
uint64_t media_count(const struct media *m, enum media_fault fault);
const char *media_fault_name(enum media_fault fault);
