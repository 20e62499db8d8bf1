/* SPDX-License-Identifier: MIT */
/*
 * store-inside - what the files of the store call of each other. Not for anybody else.
 */
#pragma once

#include <dirent.h>

#include "box/store.h"

#define STORE_BLOCK    4096u
#define STORE_NAME_LEN 96
#define STORE_SHARES   1024

struct share;

struct store {
	int dir;    /* owned */
	DIR *sweep; /* owned; NULL between sweeps */
	DIR *evict; /* owned; NULL: begins anew */
	uint64_t quota;
	uint64_t quota_user;
	uint64_t bytes; /* of contents and drafts, in whole blocks */
	uint64_t files;
	bool settled;       /* it is known whether somebody is to be told */
	bool nothing_left;  /* to evict: nothing has come since a whole round found none */
	store_gone_fn gone; /* NULL: nothing makes room */
	void *gone_arg;
	struct share *shares[STORE_SHARES];
};

/* --- store.c ---------------------------------------------------------------------------- */

uint64_t store_blocks_of(uint64_t size);
uint64_t store_share_of(struct store *s, const uint8_t user[TOKEN_USER_LEN]);
int store_share_add(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t bytes) MUSTCHECK;
void store_share_remove(struct store *s, const uint8_t user[TOKEN_USER_LEN], uint64_t bytes);
void store_bytes_remove(struct store *s, uint64_t size);
/* Into the metrics. */
void store_count(const struct store *s);

void store_name(char out[STORE_NAME_LEN], char kind, const uint8_t *p, size_t len);
/* What the disk or its quota has no room for, and all else. */
int store_errno(void);
/* 0 and f but its id; ERR_NOT_FOUND; ERR_BAD_FORMAT: what is there are no facts. */
int store_read_facts(const struct store *s, const char *name, struct store_file *f) MUSTCHECK;
/* A content that one name is left of is nobody's. */
void store_drop_content(struct store *s, const char *content, uint64_t size);

/* --- store-draft.c ---------------------------------------------------------------------- */

/* A new file under a name of its own, locked as long as it is open. -1 and errno. */
int store_create(struct store *s, char name[STORE_NAME_LEN]);

/* --- store-sweep.c ---------------------------------------------------------------------- */

/* Copies of what is elsewhere leave until there is room for so many blocks' bytes, or none is left.
 */
void store_evict(struct store *s, uint64_t blocks);
