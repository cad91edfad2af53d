// SPDX-License-Identifier: Apache-2.0
/* Unary gRPC calls; see grpc_client.h. A call runs on the connection of the one before it. It is
 * made a second time, on a new connection, only when the server cannot have worked on it: it
 * refused the stream, or the old connection ended without one byte of an answer. */
#include "net/grpc_client.h"

#include "base/clock.h"
#include "base/file.h"
#include "net/client_dial.h"
#include "net/client_encoding.h"
#include "net/client_tls.h"
#include "net/grpc_client_impl.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADERS_MAX = 64, OPTIONS_MAX = KiB(256) };
static const int64_t default_timeout = 30 * NS_PER_S, connect_timeout = 10 * NS_PER_S;
/* An idle connection is made anew before servers and routers between forget it; a silent one is
 * asked for a sign of life, seldom enough for servers that count that as abuse. */
static const int64_t idle_max = 240 * NS_PER_S, silent_max = 20 * NS_PER_S,
                     ping_limit = 10 * NS_PER_S;

struct grpc_client {
    grpc_client_options options;
    arena memory;
    char host[256], port[8];
    const char *authority;
    nghttp2_nv *headers; /* options.headers */
    size_t header_count;
    grpc_connection connection;
};

/* ---- options ---- */

static bool split_target(grpc_client *k, str target)
{
    uint64_t number;
    size_t colon = target.len;
    while (colon > 0 && target.ptr[colon - 1] != ':')
        colon--;
    str host = str_slice(target, 0, colon ? colon - 1 : 0);
    str port = str_slice(target, colon, target.len);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = str_slice(host, 1, host.len - 1);
    if (!host.len || host.len >= sizeof(k->host) || !str_to_u64(port, &number) || number < 1 ||
        number > 65535)
        return false;
    str_copy_c(k->host, sizeof(k->host), host);
    str_copy_c(k->port, sizeof(k->port), port);
    return true;
}

static void set_nv(nghttp2_nv *nv, str name, str value, uint8_t flags)
{
    *nv = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
                        .namelen = name.len,
                        .value = (uint8_t *)(uintptr_t)value.ptr,
                        .valuelen = value.len,
                        .flags = flags };
}

/* "Name: value" lines, into `a`. They may be secrets: no table of the connection keeps them. */
static bool add_lines(arena *a, nghttp2_nv *nv, size_t *count, size_t most,
                      const char *const *lines)
{
    for (; lines && *lines; lines++) {
        str value, name = arena_str(a, str_trim(str_cut(str_c(*lines), ':', &value)));
        str copy = arena_str(a, str_trim(value));
        if (!name.ptr || !copy.ptr || *count >= most)
            return false;
        for (char *p = (char *)(uintptr_t)name.ptr; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        set_nv(&nv[(*count)++], name, copy, NGHTTP2_NV_FLAG_NO_INDEX);
    }
    return true;
}

status grpc_client_new(grpc_client **ret, const grpc_client_options *options, error *err)
{
    /* What is wrong with certificates is said at once. */
    status st = options->use_tls ? client_tls_check(&options->tls, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    grpc_client *k = calloc(1, sizeof(*k));
    if (!k)
        return fail(err, STATUS_NO_MEMORY, "no memory for a gRPC client");
    k->options = *options;
    k->connection.fd = -1;
    arena_init(&k->memory, OPTIONS_MAX);
    const char *authority =
        options->use_tls && options->tls.server_name ? options->tls.server_name : options->target;
    k->authority = arena_str(&k->memory, str_c(authority)).ptr;
    k->options.target = arena_str(&k->memory, str_c(options->target)).ptr;
    k->headers = arena_calloc(&k->memory, HEADERS_MAX, sizeof(nghttp2_nv));
    if (!split_target(k, str_c(options->target)))
        st = fail(err, STATUS_INVALID, "\"%s\" must be HOST:PORT, as in localhost:4317",
                  options->target);
    else if (!k->authority || !k->options.target || !k->headers ||
             !add_lines(&k->memory, k->headers, &k->header_count, HEADERS_MAX, options->headers))
        st = fail(err, STATUS_LIMIT, "more than %d headers or 256 KiB of them", HEADERS_MAX);
    if (st != STATUS_OK) {
        grpc_client_free(k);
        return st;
    }
    *ret = k;
    return STATUS_OK;
}

void grpc_client_free(grpc_client *k)
{
    error ignored;
    if (!k)
        return;
    if (k->connection.fd >= 0 &&
        nghttp2_session_terminate_session(k->connection.session, NGHTTP2_NO_ERROR) == 0)
        (void)!grpc_connection_step(&k->connection, &ignored);
    grpc_connection_close(&k->connection);
    arena_done(&k->memory);
    free(k);
}

/* ---- connecting ---- */

typedef struct {
    int64_t deadline;
    const _Atomic int *canceled;
} limits;

static status shake_hands(SSL *ssl, int fd, const limits *l, error *err)
{
    for (;;) {
        short events;
        char text[160];
        ERR_clear_error();
        int rc = SSL_do_handshake(ssl);
        int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, rc);
        if (rc == 1)
            break;
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
            long verified = SSL_get_verify_result(ssl);
            const char *reason = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
                                 : ERR_peek_error()    ? client_tls_reason(text, sizeof(text))
                                                       : "the server closed the connection";
            return fail(err, STATUS_IO, "TLS: %s", reason);
        }
        status st = client_wait(fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, &events,
                                l->deadline, l->canceled, err);
        if (st == STATUS_BUSY)
            return fail(err, STATUS_IO, "TLS: no handshake in time");
        if (st != STATUS_OK)
            return st;
    }
    const uint8_t *protocol = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(ssl, &protocol, &n);
    if (!str_is(str_n(protocol, n), "h2"))
        return fail(err, STATUS_IO, "TLS: the server does not offer HTTP/2 (ALPN h2)");
    return STATUS_OK;
}

static status start_tls(const grpc_client *k, int fd, SSL **ret, const limits *l, error *err)
{
    SSL_CTX *context = NULL;
    status st = client_tls_context(&context, &k->options.tls, err);
    if (st == STATUS_OK)
        st = client_tls_new(ret, context, &k->options.tls, k->host, fd, STR("\x02h2"), err);
    SSL_CTX_free(context);
    return st == STATUS_OK ? shake_hands(*ret, fd, l, err) : st;
}

static status connect_client(grpc_client *k, const limits *call, error *err)
{
    SSL *ssl = NULL;
    int fd = -1;
    limits l = *call;
    l.deadline = MIN(l.deadline, clock_mono_ns() + connect_timeout);
    status st = client_dial(&fd, k->host, k->port, l.deadline, l.canceled, err);
    if (st != STATUS_OK)
        return st;
    if (k->options.use_tls)
        st = start_tls(k, fd, &ssl, &l, err);
    if (st == STATUS_OK)
        return grpc_connection_open(&k->connection, fd, ssl, err);
    SSL_free(ssl);
    file_closep(&fd);
    return st;
}

/* Whether the connection of the last call can be used once more. */
static bool is_usable(grpc_connection *c)
{
    error ignored;
    if (c->fd < 0)
        return false;
    if (c->leaving || clock_mono_ns() - c->used_ns > idle_max ||
        grpc_connection_step(c, &ignored) != STATUS_OK || c->leaving ||
        !nghttp2_session_check_request_allowed(c->session)) {
        grpc_connection_close(c);
        return false;
    }
    return true;
}

/* ---- one call ---- */

static status check_silence(grpc_connection *c, error *err)
{
    int64_t now = clock_mono_ns();
    if (c->ping_ns && now - c->ping_ns > ping_limit)
        return fail(err, STATUS_IO, "the server does not answer to a ping");
    if (!c->ping_ns && now - c->received_ns > silent_max && now - c->used_ns > silent_max) {
        (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        c->ping_ns = now;
    }
    return STATUS_OK;
}

static status run_call(grpc_connection *c, const grpc_call *call, const limits *l, error *err)
{
    short events;
    c->used_ns = clock_mono_ns();
    for (;;) {
        status st = grpc_connection_step(c, err);
        if (call->ended)
            return STATUS_OK;
        if (st == STATUS_OK)
            st = check_silence(c, err);
        if (st == STATUS_OK)
            st = client_wait(c->fd, grpc_connection_events(c), &events, l->deadline, l->canceled,
                             err);
        if (st == STATUS_BUSY)
            return fail(err, STATUS_IO, "no answer in time");
        if (st != STATUS_OK)
            return st;
    }
}

static void call_init(grpc_call *call, str message, bool compressed)
{
    *call = (grpc_call){ .message = message, .code = GRPC_NOT_SAID };
    uint32_t n = (uint32_t)message.len;
    uint8_t head[] = { compressed, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                       (uint8_t)n };
    memcpy(call->head, head, sizeof(head));
    buf_init(&call->text, KiB(64));
    buf_init(&call->details, KiB(64));
    buf_init(&call->body, GRPC_ANSWER_LIMIT + GRPC_FRAME_HEAD);
}

static void call_done(grpc_call *call)
{
    buf_done(&call->text);
    buf_done(&call->details);
    buf_done(&call->body);
}

typedef struct {
    nghttp2_nv items[HEADERS_MAX + 16];
    size_t count;
} header_set;

static void add_nv(header_set *h, const char *name, str value)
{
    set_nv(&h->items[h->count++], str_c(name), value, NGHTTP2_NV_FLAG_NONE);
}

static status make_headers(const grpc_client *k, header_set *h, arena *a, const char *path,
                           const char *encoding, int64_t timeout_ns, error *err)
{
    const char *const *more = NULL;
    const char *agent = k->options.user_agent ? k->options.user_agent : "sonde/" SONDE_VERSION;
    str timeout = arena_fmt(a, "%lldm", (long long)MIN(timeout_ns / NS_PER_MS, 99999999LL));
    status st = STATUS_OK;
    h->count = 0;
    add_nv(h, ":method", STR("POST"));
    add_nv(h, ":scheme", k->options.use_tls ? STR("https") : STR("http"));
    add_nv(h, ":path", str_c(path));
    add_nv(h, ":authority", str_c(k->authority));
    add_nv(h, "te", STR("trailers"));
    add_nv(h, "content-type", STR("application/grpc"));
    add_nv(h, "user-agent", str_c(agent));
    add_nv(h, "grpc-accept-encoding", STR("identity,gzip,deflate,zstd"));
    add_nv(h, "grpc-timeout", timeout.ptr ? timeout : STR("30S"));
    if (encoding)
        add_nv(h, "grpc-encoding", str_c(encoding));
    memcpy(h->items + h->count, k->headers, k->header_count * sizeof(nghttp2_nv));
    h->count += k->header_count;
    if (k->options.more_headers)
        st = k->options.more_headers(k->options.user, a, &more, err);
    if (st == STATUS_OK && !add_lines(a, h->items, &h->count, ARRAY_LEN(h->items), more))
        st = fail(err, STATUS_LIMIT, "a call has too many headers");
    return st;
}

/* *ret_again: the server cannot have worked on it, another connection may do better. */
static status attempt(grpc_client *k, grpc_call *call, const header_set *h, const limits *l,
                      bool *ret_again, error *err)
{
    grpc_connection *c = &k->connection;
    bool old = is_usable(c);
    status st = old ? STATUS_OK : connect_client(k, l, err);
    *ret_again = false;
    if (st != STATUS_OK)
        return st;
    uint64_t received = c->received;
    st = grpc_connection_submit(c, call, h->items, h->count, err);
    if (st == STATUS_OK)
        st = run_call(c, call, l, err);
    *ret_again =
        (st == STATUS_IO && old && c->received == received && clock_mono_ns() < l->deadline) ||
        (call->reset && call->reason == NGHTTP2_REFUSED_STREAM);
    grpc_connection_forget(c);
    c->used_ns = clock_mono_ns();
    if (st != STATUS_OK || *ret_again || call->body.failed)
        grpc_connection_close(c);
    return st;
}

static status call_twice(grpc_client *k, const char *path, str message, const char *encoding,
                         const limits *l, grpc_answer *ret, error *err)
{
    header_set h;
    arena memory;
    bool again = true;
    arena_init(&memory, KiB(64));
    status st = make_headers(k, &h, &memory, path, encoding, l->deadline - clock_mono_ns(), err);
    for (int i = 0; i < 2 && again && (st == STATUS_OK || i > 0); i++) {
        grpc_call call;
        call_init(&call, message, encoding != NULL);
        st = attempt(k, &call, &h, l, &again, err);
        if (st == STATUS_OK && !(again && i == 0))
            st = grpc_call_judge(&call, k->options.target, ret, err);
        call_done(&call);
    }
    arena_done(&memory);
    return st;
}

status grpc_client_call(grpc_client *k, const char *path, str message, const char *encoding,
                        int64_t timeout_ns, const _Atomic int *canceled, grpc_answer *ret,
                        error *err)
{
    error why;
    buf packed;
    limits l = { clock_mono_ns() + (timeout_ns > 0 ? timeout_ns : default_timeout), canceled };
    bool pack = encoding && *encoding && !str_is(str_c(encoding), "identity");
    *ret = (grpc_answer){ 0 };
    buf_init(&ret->body, GRPC_ANSWER_LIMIT);
    buf_init(&packed, UINT32_MAX);
    status st = pack ? client_compress(encoding, message, &packed, err) : STATUS_OK;
    if (st == STATUS_OK && (pack ? packed.len : message.len) > UINT32_MAX)
        st =
            fail(err, STATUS_LIMIT, "a message of %zu bytes does not fit into a call", message.len);
    if (st == STATUS_OK) {
        st = call_twice(k, path, pack ? buf_view(&packed) : message, pack ? encoding : NULL, &l,
                        ret, &why);
        if (st != STATUS_OK && !str_starts(str_c(why.message), str_c(k->options.target)))
            (void)fail(err, st, "%s: %s", k->options.target, why.message);
        else if (st != STATUS_OK)
            (void)fail(err, st, "%s", why.message);
    }
    buf_done(&packed);
    return st;
}
