/* SPDX-License-Identifier: MIT */
/*
 * certificate - see certificate.h.
 */
#include "config.h"

#include "conf/certificate.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1024 * 1024)

/* The whole file as text, or NULL with errno. */
static char *file_read(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	struct stat st;
	size_t n;

	if (!f)
		return NULL;
	/* EISDIR comes by itself; devices and pipes are not read. */
	errno = EINVAL;
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size < FILE_MAX)
		text = calloc(1, (size_t)st.st_size + 1);
	if (text) {
		n = fread(text, 1, (size_t)st.st_size, f);
		if (n != (size_t)st.st_size || strlen(text) != n) {
			explicit_bzero(text, n);
			free(text);
			text = NULL;
			errno = EINVAL;
		}
	}
	fclose(f);
	return text;
}

/* Nobody is there to ask for one. */
static int no_password(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
	return -1;
}

struct pems {
	X509 *first;
	EVP_PKEY *key;
	unsigned certificates;
	bool chain_ok;
};

static int pems_add(struct pems *p, X509 **last, BIO *bio)
{
	X509 *next = PEM_read_bio_X509(bio, NULL, no_password, NULL);

	if (!next)
		return ERR_NOT_FOUND;
	if (*last && X509_verify(*last, X509_get0_pubkey(next)) != 1)
		p->chain_ok = false;
	if (*last != p->first)
		X509_free(*last);
	if (!p->first)
		p->first = next;
	*last = next;
	p->certificates++;
	return 0;
}

/* PEM readers skip what is of another kind, so keys may stand anywhere. */
static int pems_read(struct pems *p, const char *text, bool with_key)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *last = NULL;

	*p = (struct pems){ .chain_ok = true };
	if (!bio)
		return ERR_NOMEM;
	while (!pems_add(p, &last, bio))
		;
	if (last != p->first)
		X509_free(last);
	BIO_free(bio);
	bio = with_key ? BIO_new_mem_buf(text, -1) : NULL;
	if (with_key && !bio)
		return ERR_NOMEM;
	if (bio)
		p->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	return 0;
}

static void pems_fini(struct pems *p)
{
	X509_free(p->first);
	EVP_PKEY_free(p->key);
}

static int check_dates(const char *path, const X509 *x, struct err_msg *msg)
{
	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
		err_msg_set(msg, ERR_CONFIG, "\"%.200s\": the certificate has expired", path);
	else if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		err_msg_set(msg, ERR_CONFIG, "\"%.200s\": the certificate is not valid yet", path);
	return 0;
}

static int check(const char *path, const struct pems *p, bool with_key, struct err_msg *msg)
{
	const char *why = NULL;

	if (!p->certificates)
		why = "holds no certificate in PEM form";
	else if (!with_key)
		return 0;
	else if (!p->key)
		why = "holds no private key in PEM form, or one with a password";
	else if (X509_check_private_key(p->first, p->key) != 1)
		why = "the key is not that of the first certificate";
	else if (!p->chain_ok)
		why = "in the chain a certificate is not followed by its issuer's";
	ERR_clear_error();
	if (why)
		return err_msg_set(msg, ERR_CONFIG, "\"%.200s\": %s", path, why);
	return check_dates(path, p->first, msg);
}

static int read_and_check(const char *path, bool with_key, char **out, struct err_msg *msg)
{
	struct pems p;
	int rc;

	*out = file_read(path);
	if (!*out)
		return errno == ENOMEM
			       ? ERR_NOMEM
			       : err_msg_set(msg, ERR_CONFIG, "\"%.200s\": cannot be read: %s",
					     path, strerror(errno));
	rc = pems_read(&p, *out, with_key);
	if (!rc) {
		rc = check(path, &p, with_key, msg);
		pems_fini(&p);
	}
	if (rc) {
		explicit_bzero(*out, strlen(*out));
		free(*out);
		*out = NULL;
	}
	return rc;
}

int certificate_read(const char *path, char **out, struct err_msg *msg)
{
	return read_and_check(path, true, out, msg);
}

int certificate_read_authorities(const char *path, char **out, struct err_msg *msg)
{
	return read_and_check(path, false, out, msg);
}
