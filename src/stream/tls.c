/* SPDX-License-Identifier: MIT */
/*
 * tls - see tls.h.
 *
 * A listener has an SSL_CTX for each certificate; a connection starts with the first and
 * changes to the one whose names match SNI or the stream's `to`. Session tickets are off:
 * each worker would have a key of its own, and resumption saves a client that stays
 * connected for hours nothing.
 */
#include "config.h"

#include "stream/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char alpn[] = "\x0bxmpp-client";

struct tls_context {
	struct tls_context *next;
	unsigned refs;
	struct conf *conf;                /* one reference */
	const struct conf_listen *listen; /* borrowed from conf */
	bool upstream;
	SSL_CTX **ctx; /* owned; one, or one for each certificate */
	size_t n;
};

struct tls {
	SSL *ssl;
	struct tls_context *context; /* one reference */
	char *domain;                /* owned; NULL: none */
	const char *error;
	bool wants_write;
	bool dead; /* after a fatal error OpenSSL may not be asked again */
};

static struct tls_context *contexts; /* all that are in use */

/* --- contexts -------------------------------------------------------------------------- */

static X509 *first_certificate(const SSL_CTX *ctx)
{
	return SSL_CTX_get0_certificate(ctx);
}

static SSL_CTX *context_for(const struct tls_context *c, const char *name)
{
	size_t i;

	for (i = 0; name && i < c->n; i++)
		if (X509_check_host(first_certificate(c->ctx[i]), name, 0, 0, NULL) == 1)
			return c->ctx[i];
	return c->ctx[0];
}

static int on_name(SSL *ssl, int *alert UNUSED, void *arg UNUSED)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls *t = SSL_get_app_data(ssl);

	SSL_set_SSL_CTX(ssl, context_for(t->context, name ? name : t->domain));
	return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *in, unsigned in_len, void *arg UNUSED)
{
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_len, alpn, sizeof(alpn) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* What both sides have in common. */
static SSL_CTX *ctx_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx)
		return NULL;
	/* A peer that just goes away is as usual as one that says so first. */
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF |
					 SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
	    SSL_CTX_set_num_tickets(ctx, 0) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

/* PEM as the master has checked it: the first certificate, its chain, the key. */
static bool ctx_use_key(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	BIO *again = BIO_new_mem_buf(pem, -1);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *key = again ? PEM_read_bio_PrivateKey(again, NULL, NULL, NULL) : NULL;
	bool good = x && key && SSL_CTX_use_certificate(ctx, x) == 1 &&
		    SSL_CTX_use_PrivateKey(ctx, key) == 1;

	X509_free(x);
	while (good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, x) != 1) {
			X509_free(x);
			good = false;
		}
	ERR_clear_error();
	EVP_PKEY_free(key);
	BIO_free(bio);
	BIO_free(again);
	return good;
}

static bool context_add_server(struct tls_context *c, const char *pem)
{
	SSL_CTX *ctx = ctx_new(TLS_server_method());

	if (!ctx || !ctx_use_key(ctx, pem)) {
		SSL_CTX_free(ctx);
		return false;
	}
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	c->ctx[c->n++] = ctx;
	return true;
}

static bool store_add(X509_STORE *store, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	bool good = bio != NULL;
	X509 *x;

	while (good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		good = X509_STORE_add_cert(store, x) == 1;
		X509_free(x);
	}
	ERR_clear_error();
	BIO_free(bio);
	return good;
}

static bool context_add_client(struct tls_context *c)
{
	SSL_CTX *ctx = ctx_new(TLS_client_method());
	const char *cas = c->listen->upstream_cas;

	if (!ctx)
		return false;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if ((cas ? !store_add(SSL_CTX_get_cert_store(ctx), cas)
		 : SSL_CTX_set_default_verify_paths(ctx) != 1) ||
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0) {
		SSL_CTX_free(ctx);
		return false;
	}
	c->ctx[c->n++] = ctx;
	return true;
}

static bool context_fill(struct tls_context *c)
{
	size_t i, n = c->upstream ? 1 : c->listen->keys.n;
	bool good = n > 0;

	c->ctx = calloc(n + 1, sizeof(*c->ctx));
	if (!c->ctx)
		return false;
	if (c->upstream)
		return context_add_client(c);
	for (i = 0; i < n && good; i++)
		good = context_add_server(c, c->listen->keys.v[i]);
	return good;
}

struct tls_context *tls_context_get(struct conf *conf, const struct conf_listen *listen,
				    bool upstream, struct err_msg *msg)
{
	struct tls_context *c;

	for (c = contexts; c; c = c->next) {
		if (c->conf != conf || c->listen != listen || c->upstream != upstream)
			continue;
		c->refs++;
		return c;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		err_msg_set(msg, ERR_NOMEM, "out of memory");
		return NULL;
	}
	c->refs = 1;
	c->conf = conf_ref(conf);
	c->listen = listen;
	c->upstream = upstream;
	c->next = contexts;
	contexts = c;
	if (!context_fill(c)) {
		err_msg_set(msg, ERR_TLS, "listener %s: certificates cannot be used", listen->name);
		tls_context_put(&c);
	}
	return c;
}

void tls_context_put(struct tls_context **cp)
{
	struct tls_context *c = *cp, **at;

	*cp = NULL;
	if (!c || --c->refs)
		return;
	for (at = &contexts; *at != c; at = &(*at)->next)
		BUG_ON(!*at);
	*at = c->next;
	while (c->n)
		SSL_CTX_free(c->ctx[--c->n]);
	free(c->ctx);
	conf_unref(&c->conf);
	free(c);
}

/* --- connections ----------------------------------------------------------------------- */

static bool tls_set_up(struct tls *t, int fd)
{
	const char *name = t->context->listen->upstream_name;

	if (SSL_set_fd(t->ssl, fd) != 1)
		return false;
	SSL_set_app_data(t->ssl, t);
	if (!t->context->upstream) {
		SSL_set_accept_state(t->ssl);
		return true;
	}
	SSL_set_connect_state(t->ssl);
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set1_host(t->ssl, name) != 1)
		return false;
	/* As SSL_set_tlsext_host_name(), whose cast drops the const. */
	return SSL_ctrl(t->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			(void *)(uintptr_t)name) == 1;
}

struct tls *tls_new(struct tls_context *c, int fd, const char *domain)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	c->refs++;
	t->context = c;
	t->wants_write = true; /* so that the handshake begins at the next turn */
	t->domain = domain ? strdup(domain) : NULL;
	t->ssl = SSL_new(c->ctx[0]);
	if ((domain && !t->domain) || !t->ssl || !tls_set_up(t, fd))
		tls_free(&t);
	return t;
}

void tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	SSL_free(t->ssl);
	tls_context_put(&t->context);
	free(t->domain);
	free(t);
}

bool tls_wants_write(const struct tls *t)
{
	return t->wants_write;
}

/* What went wrong, in words that a log can have. */
static const char *tls_reason(const struct tls *t)
{
	long verify = SSL_get_verify_result(t->ssl);
	unsigned long code = ERR_peek_last_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	if (t->context->upstream && verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	return text ? text : "connection broken";
}

/* After a call that did not succeed. */
static int tls_fail(struct tls *t, int rc)
{
	int saved = errno;

	t->wants_write = false;
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_WRITE:
		t->wants_write = true;
		return ERR_AGAIN;
	case SSL_ERROR_WANT_READ:
		return ERR_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		t->error = "closed by the other side";
		return ERR_CLOSED;
	case SSL_ERROR_SYSCALL:
		t->dead = true;
		t->error = saved ? strerror(saved) : "connection broken";
		ERR_clear_error();
		return ERR_CLOSED;
	}
	t->dead = true;
	t->error = tls_reason(t);
	ERR_clear_error();
	return ERR_TLS;
}

int tls_handshake(struct tls *t)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		t->wants_write = false;
		free(t->domain); /* it has done its work */
		t->domain = NULL;
		return 0;
	}
	return tls_fail(t, rc);
}

ssize_t tls_read(struct tls *t, void *p, size_t len)
{
	size_t n;
	int rc;

	if (t->dead)
		return ERR_CLOSED;
	ERR_clear_error();
	rc = SSL_read_ex(t->ssl, p, len, &n);
	if (rc == 1)
		return (ssize_t)n;
	rc = tls_fail(t, rc);
	return rc == ERR_CLOSED && !t->dead ? 0 : rc;
}

ssize_t tls_write(struct tls *t, const void *p, size_t len)
{
	size_t n;
	int rc;

	if (t->dead)
		return ERR_CLOSED;
	ERR_clear_error();
	rc = SSL_write_ex(t->ssl, p, len, &n);
	if (rc == 1)
		return (ssize_t)n;
	return tls_fail(t, rc);
}

bool tls_has_pending(const struct tls *t)
{
	return SSL_has_pending(t->ssl) == 1;
}

void tls_close_notify(struct tls *t)
{
	if (t->dead || !SSL_is_init_finished(t->ssl))
		return;
	ERR_clear_error();
	if (SSL_shutdown(t->ssl) < 0)
		ERR_clear_error();
}

const char *tls_library(void)
{
	return OpenSSL_version(OPENSSL_VERSION_STRING);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

const char *tls_authority(const struct tls *t)
{
	return SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
}

const char *tls_alpn(const struct tls *t)
{
	const unsigned char *name;
	unsigned len;

	/* There is but one that is agreed to. */
	SSL_get0_alpn_selected(t->ssl, &name, &len);
	return len ? (const char *)alpn + 1 : NULL;
}

const char *tls_error(const struct tls *t)
{
	return t->error ? t->error : "connection broken";
}
