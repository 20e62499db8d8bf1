/* SPDX-License-Identifier: MIT */
/*
 * ipc - typed messages between inset's processes, over SOCK_SEQPACKET pairs.
 *
 * One message is one packet: a type, then fields in the order of ipc.def. Numbers are in
 * host order (both ends are one program on one machine). A reader has a sticky error:
 * read all fields, then ipc_end() once, which fails unless everything was there and
 * everything was used up. A message's blob field rides inline while the message stays
 * within IPC_INLINE_MAX and in a sealed memfd above that.
 *
 * Not for waiting: all sockets are non-blocking, a full one is a full queue.
 */
#pragma once

#include <stdbool.h>

#include "base/util.h"

#define IPC_INLINE_MAX (64 * 1024)
#define IPC_BLOB_MAX   (64u * 1024 * 1024)

enum role { ROLE_MASTER, ROLE_PROXY, ROLE_MEDIA, ROLE_WEB, ROLE_BOX, ROLE_SCALER, ROLE_COUNT };

#define R_MASTER (1u << ROLE_MASTER)
#define R_PROXY  (1u << ROLE_PROXY)
#define R_MEDIA  (1u << ROLE_MEDIA)
#define R_WEB    (1u << ROLE_WEB)
#define R_BOX    (1u << ROLE_BOX)
#define R_SCALER (1u << ROLE_SCALER)
#define R_CHILD  (R_PROXY | R_MEDIA | R_WEB | R_BOX | R_SCALER)

enum ipc_type {
#define IPC(name, from, to, max, fds) IPC_##name,
#include "base/ipc.def"
#undef IPC
	IPC_TYPE_COUNT
};

/* "proxy", "media" ...; -1 for another word. */
const char *role_name(enum role role);
int role_parse(const char *word);
const char *ipc_name(enum ipc_type type);

/* A connected pair, non-blocking, close-on-exec, with buffers for several large messages. 0 or
 * ERR_IO. */
int ipc_pair(int fds_out[2]) MUSTCHECK;

/* A memfd holding these bytes, sealed against any change, or -1. The caller owns it. */
int ipc_memfd(const char *name, const void *p, size_t len) MUSTCHECK;

/*
 * Checks that fd is a memfd sealed against change and at most max bytes, and maps it
 * read-only: 0, or ERR_BAD_MESSAGE, ERR_NOMEM. Empty: *p_out NULL. Unmap with munmap().
 */
int ipc_memfd_map(int fd, size_t max, const uint8_t **p_out, size_t *len_out) MUSTCHECK;

/* --- writing --------------------------------------------------------------------------- */

struct ipc_out {
	enum ipc_type type;
	int error;  /* sticky: first failure of a put */
	int fd;     /* descriptor to pass, borrowed; -1 */
	int own_fd; /* memfd made for a blob, owned; -1 */
	size_t len;
	uint8_t data[IPC_INLINE_MAX + 512];
};

void ipc_begin(struct ipc_out *out, enum ipc_type type);
void ipc_put_u8(struct ipc_out *out, uint8_t v);
void ipc_put_u32(struct ipc_out *out, uint32_t v);
void ipc_put_u64(struct ipc_out *out, uint64_t v);
void ipc_put_str(struct ipc_out *out, const char *s); /* NULL is sent as "" */
void ipc_put_bytes(struct ipc_out *out, const void *p, size_t len);
/* The last field of a message that may have one. */
void ipc_put_blob(struct ipc_out *out, const void *p, size_t len);
void ipc_put_fd(struct ipc_out *out, int fd);

/*
 * Sends and forgets the message: 0, ERR_AGAIN (the socket is full: the caller treats it
 * as a full queue), ERR_CLOSED, ERR_TOO_BIG, ERR_NOMEM or ERR_IO.
 */
int ipc_send(int sock, struct ipc_out *out) MUSTCHECK;
/* 0, or why ipc_send() would not even try. */
int ipc_check(const struct ipc_out *out) MUSTCHECK;

/* --- reading --------------------------------------------------------------------------- */

struct ipc_in {
	enum ipc_type type;
	int error;          /* sticky */
	int fd;             /* passed descriptor, owned until taken; -1 */
	const uint8_t *map; /* mapped blob, owned; NULL */
	size_t map_len;
	size_t len;
	size_t at;
	uint8_t data[IPC_INLINE_MAX + 512];
};

/*
 * Receives one message and checks type, direction, size and number of descriptors.
 * 0, ERR_AGAIN (nothing there), ERR_CLOSED (end of file), ERR_BAD_MESSAGE (close that
 * peer), ERR_IO. After 0 call ipc_in_fini() in the end.
 */
int ipc_recv(int sock, struct ipc_in *in, enum role me, enum role peer) MUSTCHECK;

uint8_t ipc_get_u8(struct ipc_in *in);
uint32_t ipc_get_u32(struct ipc_in *in);
uint64_t ipc_get_u64(struct ipc_in *in);
/* NUL-terminated, lives in `in`; "" after an error. Refuses embedded NULs. */
const char *ipc_get_str(struct ipc_in *in);
/* Exactly len bytes, lives in `in`; NULL after an error. */
const uint8_t *ipc_get_bytes(struct ipc_in *in, size_t len);
/* Up to max bytes, lives in `in` (until ipc_in_fini()); NULL and 0 after an error or when empty. */
const uint8_t *ipc_get_blob(struct ipc_in *in, size_t max, size_t *len_out);
/* The descriptor becomes the caller's; -1 after an error. */
int ipc_take_fd(struct ipc_in *in);

/* 0 if all fields were there and nothing is left; else ERR_BAD_MESSAGE. */
int ipc_end(struct ipc_in *in) MUSTCHECK;

/* Closes and unmaps what was not taken. */
void ipc_in_fini(struct ipc_in *in);
