/* SPDX-License-Identifier: MIT */
/*
 * secure - see secure.h.
 */
#include "config.h"

#include "replay/secure.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdint.h>
#include <stdlib.h>

struct secure_context {
	SSL_CTX *ctx; /* owned */
	bool verifies;
};

struct secure {
	SSL *ssl; /* owned */
	bool wants_write;
	const char *error;
};

int secure_open(const char *ca_file, struct secure_context **out, struct err_msg *msg)
{
	struct secure_context *c = calloc(1, sizeof(*c));

	if (c)
		c->ctx = SSL_CTX_new(TLS_client_method());
	if (!c || !c->ctx) {
		secure_close(&c);
		return err_msg_set(msg, ERR_NOMEM, "%s", err_str(ERR_NOMEM));
	}
	/* Thousands of idle sessions must not keep buffers. */
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(c->ctx, SSL_SESS_CACHE_OFF);
	if (ca_file && SSL_CTX_load_verify_file(c->ctx, ca_file) != 1) {
		ERR_clear_error();
		secure_close(&c);
		return err_msg_set(msg, ERR_CONFIG, "no authorities could be read from %.200s",
				   ca_file);
	}
	c->verifies = ca_file != NULL;
	SSL_CTX_set_verify(c->ctx, ca_file ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*out = c;
	return 0;
}

void secure_close(struct secure_context **cp)
{
	struct secure_context *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	free(c);
}

static bool secure_setup(struct secure *s, const struct secure_context *c, int fd, const char *name,
			 bool direct)
{
	static const unsigned char alpn[] = "\013xmpp-client";

	s->ssl = SSL_new(c->ctx);
	if (!s->ssl || SSL_set_fd(s->ssl, fd) != 1)
		return false;
	if (direct && SSL_set_alpn_protos(s->ssl, alpn, sizeof(alpn) - 1) != 0)
		return false;
	if (name && *name &&
	    SSL_ctrl(s->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		     (void *)(uintptr_t)name) != 1)
		return false;
	if (c->verifies && (!name || !*name || SSL_set1_host(s->ssl, name) != 1))
		return false;
	SSL_set_connect_state(s->ssl);
	return true;
}

struct secure *secure_new(struct secure_context *c, int fd, const char *name, bool direct)
{
	struct secure *s = calloc(1, sizeof(*s));

	if (s && !secure_setup(s, c, fd, name, direct))
		secure_free(&s);
	ERR_clear_error();
	return s;
}

void secure_free(struct secure **sp)
{
	struct secure *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	SSL_free(s->ssl);
	free(s);
}

/* What it means that a call has not done all: 0 at the peer's end, or an errno. */
static int secure_explain(struct secure *s, int rc)
{
	int why = SSL_get_error(s->ssl, rc), err = errno;
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	long verified = SSL_get_verify_result(s->ssl);

	ERR_clear_error();
	s->wants_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return EAGAIN;
	if (why == SSL_ERROR_ZERO_RETURN)
		return 0;
	s->error = reason ? reason : "the connection was closed";
	if (why == SSL_ERROR_SSL && verified != X509_V_OK &&
	    SSL_get_verify_mode(s->ssl) != SSL_VERIFY_NONE)
		s->error = X509_verify_cert_error_string(verified);
	return why == SSL_ERROR_SYSCALL && err && err != EAGAIN ? err : EPROTO;
}

int secure_handshake(struct secure *s)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(s->ssl);
	if (rc == 1)
		return 0;
	return secure_explain(s, rc) == EAGAIN ? ERR_AGAIN : ERR_TLS;
}

bool secure_wants_write(const struct secure *s)
{
	return s->wants_write;
}

ssize_t secure_recv(struct secure *s, void *p, size_t len)
{
	size_t n;

	ERR_clear_error();
	errno = 0;
	if (SSL_read_ex(s->ssl, p, len, &n) == 1)
		return (ssize_t)n;
	errno = secure_explain(s, 0);
	return errno ? -1 : 0;
}

ssize_t secure_send(struct secure *s, const void *p, size_t len)
{
	size_t n;

	ERR_clear_error();
	errno = 0;
	if (SSL_write_ex(s->ssl, p, len, &n) == 1)
		return (ssize_t)n;
	errno = secure_explain(s, 0);
	return -1;
}

bool secure_has_pending(const struct secure *s)
{
	return SSL_has_pending(s->ssl) == 1;
}

const char *secure_error(const struct secure *s)
{
	return s->error ? s->error : "no error";
}
