// SPDX-License-Identifier: Apache-2.0
/* TLS for listeners; see tls.h. Nothing of OpenSSL is made for a connection before its first byte
 * says that it speaks TLS, so that connections that only wait cost little. Resumption is by tickets
 * (no session is kept here), whose keys are new when the certificates are. */
#include "net/tls.h"

#include "base/clock.h"
#include "base/file.h"
#include "net/conn.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { PEM_MAX = 1 << 20, RECORD_MAX = 16384, HANDSHAKE_RECORD = 22 };

/* Of TLS 1.2 only what HTTP/2 allows (RFC 9113, appendix A). */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

typedef struct {
    char *path; /* NULL: the text was given */
    char *pem;
    struct timespec changed;
    ino_t inode;
    off_t size;
} pem_source;

typedef enum { PEM_CERT, PEM_KEY, PEM_CLIENT_CA, PEM_SOURCES } pem_kind;

struct tls_context {
    pem_source sources[PEM_SOURCES];
    int min_version;
    SSL_CTX *ssl;
    int64_t looked_ns; /* at the files */
};

static const char *const what[PEM_SOURCES] = { "certificate", "private key",
                                               "client CA certificate" };

/* ---- reading PEM ---- */

static status fail_ssl(error *err, const tls_context *t, pem_kind k, const char *problem)
{
    const char *path = t->sources[k].path;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return fail(err, STATUS_INVALID, "TLS %s%s%s: %s%s%s", what[k], path ? " " : "",
                path ? path : "", problem, reason ? ": " : "", reason ? reason : "");
}

/* A key with a passphrase is an error, not a question on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *user)
{
    (void)to;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static status source_open(BIO **ret, const tls_context *t, pem_kind k, buf *text, error *err)
{
    const pem_source *s = &t->sources[k];
    if (s->path) {
        status st = file_read(s->path, text, err);
        if (st != STATUS_OK)
            return st;
    } else if (s->pem) {
        buf_str(text, str_c(s->pem));
    }
    *ret = text->failed ? NULL : BIO_new_mem_buf(text->len ? text->ptr : "", (int)text->len);
    if (!*ret)
        return fail(err, STATUS_NO_MEMORY, "no memory for TLS");
    return STATUS_OK;
}

static status use_certs(const tls_context *t, SSL_CTX *ssl, BIO *in, error *err)
{
    unsigned count = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509_AUX(in, NULL, no_passphrase, NULL))) {
        long ok =
            count++ == 0 ? SSL_CTX_use_certificate(ssl, cert) : SSL_CTX_add1_chain_cert(ssl, cert);
        X509_free(cert);
        if (ok != 1)
            return fail_ssl(err, t, PEM_CERT, "cannot be used");
    }
    if (count == 0)
        return fail_ssl(err, t, PEM_CERT, "has no certificate in PEM form");
    ERR_clear_error();
    return STATUS_OK;
}

static status use_key(const tls_context *t, SSL_CTX *ssl, BIO *in, error *err)
{
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
    if (!key)
        return fail_ssl(err, t, PEM_KEY, "has no private key in PEM form without passphrase");
    int ok = SSL_CTX_use_PrivateKey(ssl, key);
    EVP_PKEY_free(key);
    if (ok != 1 || SSL_CTX_check_private_key(ssl) != 1)
        return fail_ssl(err, t, PEM_KEY, "does not belong to the certificate");
    return STATUS_OK;
}

static status use_client_ca(const tls_context *t, SSL_CTX *ssl, BIO *in, error *err)
{
    unsigned count = 0;
    X509 *cert;
    while ((cert = PEM_read_bio_X509_AUX(in, NULL, no_passphrase, NULL))) {
        bool ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ssl), cert) == 1 &&
                  SSL_CTX_add_client_CA(ssl, cert) == 1;
        X509_free(cert);
        count++;
        if (!ok)
            return fail_ssl(err, t, PEM_CLIENT_CA, "cannot be used");
    }
    if (count == 0)
        return fail_ssl(err, t, PEM_CLIENT_CA, "has no certificate in PEM form");
    ERR_clear_error();
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return STATUS_OK;
}

/* ---- the context ---- */

/* HTTP/2 when the client can. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned n, void *user)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)user;
    if (SSL_select_next_proto(&chosen, ret_len, ours, sizeof(ours) - 1, offered, n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_rules(const tls_context *t, SSL_CTX *ssl)
{
    static const unsigned char session_context[] = "sonde";
    SSL_CTX_set_min_proto_version(ssl, t->min_version);
    SSL_CTX_set_cipher_list(ssl, ciphers);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
}

static status context_load(const tls_context *t, SSL_CTX **ret, error *err)
{
    static status (*const use[PEM_SOURCES])(const tls_context *, SSL_CTX *, BIO *,
                                            error *) = { use_certs, use_key, use_client_ca };
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    if (!ssl)
        return fail(err, STATUS_NO_MEMORY, "no memory for TLS");
    set_rules(t, ssl);
    status st = STATUS_OK;
    for (int k = 0; st == STATUS_OK && k < PEM_SOURCES; k++) {
        buf text;
        BIO *in = NULL;
        if (k == PEM_CLIENT_CA && !t->sources[k].path && !t->sources[k].pem)
            continue;
        buf_init(&text, PEM_MAX);
        st = source_open(&in, t, (pem_kind)k, &text, err);
        if (st == STATUS_OK)
            st = use[k](t, ssl, in, err);
        BIO_free(in);
        if (text.cap)
            OPENSSL_cleanse(text.ptr, text.cap);
        buf_done(&text);
    }
    if (st != STATUS_OK) {
        SSL_CTX_free(ssl);
        return st;
    }
    *ret = ssl;
    return STATUS_OK;
}

/* Whether one of the files is another than when this was asked last. */
static bool files_changed(tls_context *t)
{
    bool changed = false;
    for (int k = 0; k < PEM_SOURCES; k++) {
        pem_source *s = &t->sources[k];
        struct stat now;
        if (!s->path || stat(s->path, &now) != 0)
            continue;
        changed |= now.st_ino != s->inode || now.st_size != s->size ||
                   now.st_mtim.tv_sec != s->changed.tv_sec ||
                   now.st_mtim.tv_nsec != s->changed.tv_nsec;
        s->inode = now.st_ino;
        s->size = now.st_size;
        s->changed = now.st_mtim;
    }
    return changed;
}

static void context_refresh(tls_context *t, http_server *s)
{
    SSL_CTX *fresh;
    if (s->now_mono_ns - t->looked_ns < NS_PER_S)
        return;
    t->looked_ns = s->now_mono_ns;
    if (!files_changed(t))
        return;
    if (context_load(t, &fresh, NULL) != STATUS_OK) {
        atomic_fetch_add(&s->tls_reload_failed, 1);
        return;
    }
    SSL_CTX_free(t->ssl);
    t->ssl = fresh;
}

static status set_options(tls_context *t, const http_tls *o, error *err)
{
    const str given[PEM_SOURCES][2] = { { o->cert_file, o->cert_pem },
                                        { o->key_file, o->key_pem },
                                        { o->client_ca_file, o->client_ca_pem } };
    t->min_version = str_is(o->min_version, "1.3") ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (o->min_version.len && !str_is(o->min_version, "1.2") && !str_is(o->min_version, "1.3"))
        return fail(err, STATUS_INVALID, "TLS min_version must be \"1.2\" or \"1.3\", not \"%.*s\"",
                    STR_ARG(o->min_version));
    for (int k = 0; k < PEM_SOURCES; k++) {
        bool file = given[k][0].len, pem = given[k][1].len;
        if (file && pem)
            return fail(err, STATUS_INVALID, "the TLS %s is given twice: as a file and as text",
                        what[k]);
        if (!file && !pem && k != PEM_CLIENT_CA)
            return fail(err, STATUS_INVALID, "TLS needs a %s", what[k]);
        char **to = file ? &t->sources[k].path : &t->sources[k].pem;
        str from = given[k][file ? 0 : 1];
        if (from.len && !(*to = strndup(from.ptr, from.len)))
            return fail(err, STATUS_NO_MEMORY, "no memory for TLS");
    }
    return STATUS_OK;
}

status tls_context_new(tls_context **ret, const http_tls *options, error *err)
{
    tls_context *t = calloc(1, sizeof(*t));
    if (!t)
        return fail(err, STATUS_NO_MEMORY, "no memory for TLS");
    status st = set_options(t, options, err);
    if (st == STATUS_OK) {
        (void)files_changed(t); /* before they are read, so that no change between is missed */
        st = context_load(t, &t->ssl, err);
    }
    if (st != STATUS_OK) {
        tls_context_free(t);
        return st;
    }
    t->looked_ns = clock_mono_ns();
    *ret = t;
    return STATUS_OK;
}

void tls_context_free(tls_context *t)
{
    if (!t)
        return;
    for (int k = 0; k < PEM_SOURCES; k++) {
        pem_source *s = &t->sources[k];
        if (s->pem)
            OPENSSL_cleanse(s->pem, strlen(s->pem));
        free(s->pem);
        free(s->path);
    }
    SSL_CTX_free(t->ssl);
    free(t);
}

/* ---- connections ---- */

/* What OpenSSL's answer means to a caller of read or write. */
static ssize_t stream_error(conn *c, int result)
{
    switch (SSL_get_error(c->tls, result)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_WRITE:
        c->wants_write = true;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_READ:
        errno = EAGAIN;
        return -1;
    default:
        ERR_clear_error();
        errno = EPROTO;
        return -1;
    }
}

/* Whole records only: none may wait inside OpenSSL, where epoll does not see it. */
static ssize_t tls_read(conn *c, void *bytes, size_t n)
{
    size_t total = 0, got = 0;
    int ok = 1;
    c->wants_write = false;
    while (ok > 0 && n - total >= RECORD_MAX) {
        ERR_clear_error();
        ok = SSL_read_ex(c->tls, (char *)bytes + total, n - total, &got);
        total += ok > 0 ? got : 0;
    }
    return total ? (ssize_t)total : stream_error(c, ok);
}

/* One record. Small parts are put together; after EAGAIN the same bytes come again first. */
static ssize_t tls_write(conn *c, const struct iovec *parts, int count)
{
    char *gathered = c->server->record;
    const char *bytes = parts[0].iov_base;
    size_t n = parts[0].iov_len, written = 0;
    if (n < RECORD_MAX && count > 1) {
        n = 0;
        for (int i = 0; i < count && n < RECORD_MAX; i++) {
            size_t part = MIN(parts[i].iov_len, (size_t)RECORD_MAX - n);
            memcpy(gathered + n, parts[i].iov_base, part);
            n += part;
        }
        bytes = gathered;
    }
    ERR_clear_error();
    int ok = SSL_write_ex(c->tls, bytes, n, &written);
    if (ok > 0)
        return (ssize_t)written;
    ssize_t rc = stream_error(c, ok);
    c->wants_write = false; /* the output that waits says it */
    if (rc == 0)
        errno = EPIPE;
    return -1;
}

static void keep_peer(conn *c)
{
    X509 *cert = SSL_get0_peer_certificate(c->tls);
    BIO *out = cert ? BIO_new(BIO_s_mem()) : NULL;
    char *text;
    if (!out)
        return;
    X509_NAME_print_ex(out, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253);
    long n = BIO_get_mem_data(out, &text);
    c->peer = strndup(text, (size_t)MAX(n, 0));
    BIO_free(out);
}

/* The first byte of TLS is the type of a handshake record; that of HTTP a capital letter. */
static handshake_state begin(conn *c)
{
    unsigned char first;
    ssize_t n = recv(c->fd, &first, 1, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return HANDSHAKE_WAITS;
    if (n <= 0)
        return HANDSHAKE_FAILED;
    if (first >= 'A' && first <= 'Z')
        return HANDSHAKE_PLAIN;
    if (first != HANDSHAKE_RECORD || !c->listener->tls)
        return HANDSHAKE_FAILED;
    context_refresh(c->listener->tls, c->server);
    SSL *ssl = SSL_new(c->listener->tls->ssl);
    if (!ssl || SSL_set_fd(ssl, c->fd) != 1) {
        SSL_free(ssl);
        return HANDSHAKE_FAILED;
    }
    c->tls = ssl;
    return HANDSHAKE_DONE;
}

static handshake_state tls_handshake(conn *c)
{
    if (!c->tls) {
        handshake_state first = begin(c);
        if (first != HANDSHAKE_DONE)
            return first;
    }
    ERR_clear_error();
    int ok = SSL_accept(c->tls);
    c->wants_write = false;
    if (ok == 1) {
        keep_peer(c);
        return HANDSHAKE_DONE;
    }
    stream_error(c, ok);
    return errno == EAGAIN ? HANDSHAKE_WAITS : HANDSHAKE_FAILED;
}

static void tls_end(conn *c)
{
    if (c->tls && !c->handshaking)
        (void)SSL_shutdown(c->tls);
    ERR_clear_error();
}

static void tls_done(conn *c)
{
    SSL_free(c->tls);
    c->tls = NULL;
    free(c->peer);
    c->peer = NULL;
}

const transport tls_transport = { tls_read, tls_write, tls_handshake, tls_end, tls_done };
