/* SPDX-License-Identifier: MIT */
/*
 * store - uploaded files in one folder: whole and kept, or not there.
 *
 *   t-RANDOM  being written, under a lock of its writer's
 *   b-SHA256  a content; its links are what refers to it
 *   u-ID      an upload's content: a second name of a b- file
 *   m-ID      an upload's facts; made last and exclusively, so with it the upload exists
 *   p-SHA256  a thumbnail, served under its hash until its time of modification
 *   g-ID      facts of an upload that is over here, and still to be deleted elsewhere
 *   q-SHA256  the same of a thumbnail
 *
 * A store may be the cache of another one: what is known to be there, too, leaves to make room, the
 * least recently used first. Its facts stay, and with them its share of its user's quota.
 *
 * Any number of processes may use a folder at a time: every step is one system call that
 * succeeds for one of them. Not for HTTP, and not for a clock of its own: callers say when now is.
 *
 * Invariants
 *   - once store_commit() has returned 0 the file is on the disk, whole, under its id
 *   - the same bytes are stored once, whatever their types, names and owners
 *   - totals never exceed the limits by what this process has let in
 *   - nothing makes room that is not elsewhere
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/token.h"

#define STORE_TYPE_MAX  127
#define STORE_FACTS_MAX 512

struct store;
struct store_draft;

/* An upload. */
struct store_file {
	uint8_t id[TOKEN_ID_LEN];
	uint8_t user[TOKEN_USER_LEN];
	uint8_t sha256[HASH_SHA256_LEN];
	uint64_t size;
	uint64_t expires; /* seconds since 1970 */
	bool elsewhere;   /* another store has it as well */
	char type[STORE_TYPE_MAX + 1];
};

/*
 * Opens the folder, clears away what a crash has left and what has expired, and counts the rest.
 * NULL: msg.
 */
struct store *store_open(const char *folder, uint64_t now, struct err_msg *msg) MUSTCHECK;
/* No draft may be left. */
void store_close(struct store **s);

/* Bytes of all files, and of one user's; a file counts at least 4 KiB for its user. */
void store_set_limits(struct store *s, uint64_t quota, uint64_t quota_user);

/* What is elsewhere makes room from now on, and its end is told. */
/* name: g- or q-; f: the upload, or a thumbnail's hash alone. */
typedef void (*store_gone_fn)(void *arg, const char *name, const struct store_file *f);
/*
 * Called by store_sweep() a day after the end, when no token can bring it back, and again until
 * store_forget(). NULL: nobody is told, and nothing makes room.
 */
void store_set_elsewhere(struct store *s, store_gone_fn gone, void *arg);
/* It is gone there as well. */
void store_forget(struct store *s, const char *name);

/* Room for a file of this size: 0; ERR_FULL (a limit, or the disk), ERR_IO or ERR_NOMEM. */
int store_begin(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t size,
		struct store_draft **out) MUSTCHECK;
/* The same for a copy of what is elsewhere: whatever its user has here. */
int store_begin_copy(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t size,
		     struct store_draft **out) MUSTCHECK;
/* 0; ERR_TOO_BIG: more than announced; ERR_FULL; ERR_IO. */
int store_write(struct store_draft *d, const void *p, size_t len) MUSTCHECK;
/* No more bytes: their number, hash and user in f. 0; ERR_BAD_FORMAT: too few; ERR_IO. */
int store_seal(struct store_draft *d, struct store_file *f) MUSTCHECK;
/* What was written, to be read with pread(); borrowed. */
int store_draft_fd(const struct store_draft *d);
/* Forgets it; accepts NULL. */
void store_abort(struct store_draft **d);
/*
 * The file becomes the upload f->id with f->type and f->expires; the rest of f is filled in. If
 * that upload is there with the same bytes, all is well and *f is that one. Takes the draft. 0;
 * ERR_EXISTS: other bytes; ERR_BAD_FORMAT: fewer bytes than announced; ERR_FULL; ERR_IO.
 */
int store_commit(struct store_draft **d, struct store_file *f, uint64_t now) MUSTCHECK;

/*
 * 0 and *f, or ERR_NOT_FOUND: never there, expired, or unreadable. Its content may have made room.
 */
int store_find(struct store *s, const uint8_t id[TOKEN_ID_LEN], uint64_t now,
	       struct store_file *f) MUSTCHECK;
/* Its content, open for reading, the caller's; -1. */
int store_read(struct store *s, const struct store_file *f) MUSTCHECK;

/* An upload's facts, all but its id, as text: the length. */
int store_print_facts(const struct store_file *f, char out[STORE_FACTS_MAX]);
/* The text is changed. False: it is no such text. */
bool store_parse_facts(char *text, struct store_file *f) MUSTCHECK;

/*
 * Keeps a thumbnail until then, or nearly: one that is there already is only touched when it gains
 * by it. 0, ERR_FULL, ERR_IO or ERR_NOMEM. *fresh_out: it is new, or was touched.
 */
int store_keep(struct store *s, const void *p, size_t len, uint64_t expires, uint64_t now,
	       bool *fresh_out) MUSTCHECK;
/* A thumbnail, open for reading, the caller's, and its size and end in f; -1. */
int store_thumbnail(struct store *s, const uint8_t sha256[HASH_SHA256_LEN], uint64_t now,
		    struct store_file *f) MUSTCHECK;

/* Looks at some files and removes what has expired; true: it has been through the whole folder. */
bool store_sweep(struct store *s, uint64_t now);

uint64_t store_bytes(const struct store *s);
uint64_t store_files(const struct store *s);
