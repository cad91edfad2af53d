// SPDX-License-Identifier: Apache-2.0
/* A small HTTP server to be tested, and a client that writes exactly the bytes it is told to and
 * reads one answer at a time. Every read has a limit of 10 s. */
#ifndef TESTS_UNIT_NET_FIXTURE_H
#define TESTS_UNIT_NET_FIXTURE_H

#include "base/clock.h"
#include "net/server.h"
#include "net/websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* cmocka wants these first, and its macro fail() would hide base/error.h's function. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- the server ---- */

static atomic_int gate_open;     /* /block waits for it */
static atomic_int blocked;       /* handlers waiting */
static atomic_int canceled_seen; /* /wait-cancel saw its client go */
static atomic_int handled;       /* handlers that ran */
static _Atomic(websocket *) socket_accepted;
static atomic_int socket_closed;

/* Waits for a condition, at most 10 s. */
#define WAIT_FOR(condition) \
    do { \
        int64_t wait_until = clock_mono_ns() + 10 * NS_PER_S; \
        while (!(condition) && clock_mono_ns() < wait_until) \
            (void)poll(NULL, 0, 1); \
        assert_true(condition); \
    } while (0)

static void handle_echo(http_exchange *x, void *user)
{
    (void)user;
    atomic_fetch_add(&handled, 1);
    http_set_header(x, "Content-Type", STR("text/plain"));
    http_set_header(x, "X-Method", http_method(x));
    http_set_header(x, "X-Path", http_path(x));
    http_set_header(x, "X-Hello", http_header(x, "HELLO"));
    http_set_header(x, "X-Param", http_param(x, "p", 0, NULL));
    buf_str(http_out(x), http_body(x));
}

static void handle_named(http_exchange *x, void *user)
{
    (void)user;
    buf_fmt(http_out(x), "%.*s/%.*s", STR_ARG(http_path_param(x, "name")),
            STR_ARG(http_path_param(x, "other")));
}

static void handle_prefix(http_exchange *x, void *user)
{
    (void)user;
    buf_fmt(http_out(x), "rest=%.*s", STR_ARG(http_path_param(x, "*")));
}

static uint64_t number_param(http_exchange *x, const char *name)
{
    uint64_t n = 0;
    assert_true(str_to_u64(http_param(x, name, 0, NULL), &n));
    return n;
}

static void handle_big(http_exchange *x, void *user)
{
    (void)user;
    uint64_t n = number_param(x, "n");
    http_set_header(x, "Content-Type", STR("text/plain"));
    for (uint64_t i = 0; i < n; i++)
        buf_char(http_out(x), (char)('a' + i % 26));
}

/* `count` pieces of `n` bytes; stops when told that the client is gone. */
static void handle_stream(http_exchange *x, void *user)
{
    (void)user;
    uint64_t n = number_param(x, "n"), count = number_param(x, "count");
    for (uint64_t i = 0; i < count; i++) {
        for (uint64_t k = 0; k < n; k++)
            buf_char(http_out(x), (char)('a' + k % 26));
        if (!http_flush(x)) {
            atomic_store(&canceled_seen, 1);
            return;
        }
    }
}

static void handle_block(http_exchange *x, void *user)
{
    (void)user;
    atomic_fetch_add(&blocked, 1);
    while (!atomic_load(&gate_open))
        (void)poll(NULL, 0, 1);
    atomic_fetch_sub(&blocked, 1);
    buf_lit(http_out(x), "opened");
}

static void handle_wait_cancel(http_exchange *x, void *user)
{
    (void)user;
    atomic_fetch_add(&blocked, 1);
    int64_t until = clock_mono_ns() + 10 * NS_PER_S;
    while (!*http_canceled(x) && clock_mono_ns() < until)
        (void)poll(NULL, 0, 1);
    atomic_store(&canceled_seen, *http_canceled(x));
    atomic_fetch_sub(&blocked, 1);
}

static void handle_fail(http_exchange *x, void *user)
{
    (void)user;
    http_fail(x, 422, "no \"%s\"\n", "good");
}

static void on_socket_closed(void *user)
{
    (void)user;
    atomic_store(&socket_closed, 1);
}

static void handle_socket(http_exchange *x, void *user)
{
    (void)user;
    ws_options options = { .closed = on_socket_closed, .queue_bytes = 10000 };
    websocket *ws = ws_accept(x, &options);
    if (ws)
        atomic_store(&socket_accepted, ws);
}

static const http_route fixture_routes[] = {
    { "GET|POST", "/echo", handle_echo, NULL, POOL_INGEST, "" },
    { "GET", "/named/{name}/and/{other}", handle_named, NULL, POOL_QUERY, "" },
    { "GET", "/named/*", handle_prefix, NULL, POOL_QUERY, "" },
    { "GET", "/big", handle_big, NULL, POOL_QUERY, "" },
    { "GET", "/stream", handle_stream, NULL, POOL_QUERY, "" },
    { "GET|POST", "/block", handle_block, NULL, POOL_QUERY, "" },
    { "GET", "/wait-cancel", handle_wait_cancel, NULL, POOL_QUERY, "" },
    { "GET", "/fail", handle_fail, NULL, POOL_QUERY, "" },
    { "GET", "/socket", handle_socket, NULL, POOL_QUERY, "" },
};

typedef struct {
    http_server *server;
    unsigned port;
} fixture;

UNUSED static fixture fixture_start(const http_server_options *options)
{
    fixture f = { 0 };
    error err;
    http_route_table table = { .rows = fixture_routes, .count = ARRAY_LEN(fixture_routes) };
    atomic_store(&gate_open, 0);
    atomic_store(&canceled_seen, 0);
    atomic_store(&handled, 0);
    atomic_store(&socket_closed, 0);
    atomic_store(&socket_accepted, NULL);
    assert_int_equal(http_server_new(&f.server, options, &err), STATUS_OK);
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0", &table, 1, &f.port, &err),
                     STATUS_OK);
    assert_int_equal(http_server_start(f.server, &err), STATUS_OK);
    return f;
}

UNUSED static void fixture_stop(fixture *f)
{
    atomic_store(&gate_open, 1);
    assert_true(http_server_stop(f->server, 5000));
    http_server_stats stats;
    http_server_get_stats(f->server, &stats);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.requests_in_flight, 0);
    assert_int_equal(stats.body_bytes, 0);
    http_server_free(f->server);
}

/* ---- the client ---- */

/* receive_bytes: of the kernel's buffer, so that a client that reads nothing is soon full; 0: its
 * default. */
static int client_connect_sized(unsigned port, int receive_bytes)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct timeval limit = { .tv_sec = 10 };
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    if (receive_bytes)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

UNUSED static int client_connect(unsigned port)
{
    return client_connect_sized(port, 0);
}

/* False: the server has closed the connection before all was sent. */
UNUSED static bool client_try_send(int fd, str bytes)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes = str_slice(bytes, (size_t)n, bytes.len);
    }
    return true;
}

UNUSED static void client_send(int fd, str bytes)
{
    assert_true(client_try_send(fd, bytes));
}

typedef struct {
    int code; /* 0: the connection ended instead */
    buf head, body;
} answer;

UNUSED static bool read_byte(int fd, buf *to)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    assert_true(n >= 0 || errno == ECONNRESET);
    if (n > 0)
        buf_char(to, c);
    return n > 0;
}

UNUSED static void read_exactly(int fd, buf *to, size_t n)
{
    char chunk[4096];
    while (n) {
        ssize_t got = recv(fd, chunk, MIN(n, sizeof(chunk)), 0);
        assert_true(got > 0);
        buf_add(to, chunk, (size_t)got);
        n -= (size_t)got;
    }
}

UNUSED static str answer_header(const answer *a, const char *name)
{
    str rest = buf_view(&a->head);
    while (rest.len) {
        str content, line = str_cut(rest, '\n', &rest);
        str key = str_cut(line, ':', &content);
        if (str_eq_nocase(key, str_c(name)))
            return str_trim(content);
    }
    return STR_EMPTY;
}

UNUSED static void read_chunks(int fd, answer *a)
{
    for (;;) {
        buf line;
        buf_init(&line, 0);
        while (!str_ends(buf_view(&line), STR("\r\n")))
            assert_true(read_byte(fd, &line));
        buf_char(&line, 0);
        size_t n = strtoul(line.ptr, NULL, 16);
        buf_done(&line);
        read_exactly(fd, &a->body, n);
        buf_init(&line, 0);
        read_exactly(fd, &line, 2);
        assert_memory_equal(line.ptr, "\r\n", 2);
        buf_done(&line);
        if (n == 0)
            return;
    }
}

/* Reads one answer; `head_only` for HEAD. Free with answer_done. */
UNUSED static answer client_read(int fd, bool head_only)
{
    answer a = { 0 };
    buf_init(&a.head, 0);
    buf_init(&a.body, 0);
    while (!str_ends(buf_view(&a.head), STR("\r\n\r\n")))
        if (!read_byte(fd, &a.head))
            return a;
    assert_true(str_starts(buf_view(&a.head), STR("HTTP/1.1 ")));
    a.code = (a.head.ptr[9] - '0') * 100 + (a.head.ptr[10] - '0') * 10 + a.head.ptr[11] - '0';
    str length = answer_header(&a, "content-length");
    uint64_t n = 0;
    if (head_only || a.code == 204 || a.code == 304 || a.code < 200)
        return a;
    if (str_is(answer_header(&a, "transfer-encoding"), "chunked"))
        read_chunks(fd, &a);
    else if (str_to_u64(length, &n))
        read_exactly(fd, &a.body, n);
    else
        while (read_byte(fd, &a.body))
            ;
    return a;
}

UNUSED static void answer_done(answer *a)
{
    buf_done(&a->head);
    buf_done(&a->body);
}

/* Sends `request` on a connection of its own and checks code and body (NULL: any). */
UNUSED static void expect_answer(unsigned port, str request, int code, const char *body)
{
    int fd = client_connect(port);
    (void)client_try_send(fd, request); /* a server that refuses early may stop reading */
    answer a = client_read(fd, false);
    assert_int_equal(a.code, code);
    if (body) {
        buf_char(&a.body, 0);
        assert_string_equal(a.body.ptr, body);
    }
    answer_done(&a);
    close(fd);
}

/* Has a handler hold a body of n bytes, on a connection of its own, until the gate is opened. */
UNUSED static int client_hold(unsigned port, size_t n)
{
    char head[200];
    int fd = client_connect(port), before = atomic_load(&blocked);
    char *bytes = calloc(n, 1);
    assert_non_null(bytes);
    (void)snprintf(head, sizeof(head),
                   "POST /block HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", n);
    client_send(fd, str_c(head));
    client_send(fd, str_n(bytes, n));
    free(bytes);
    WAIT_FOR(atomic_load(&blocked) == before + 1);
    return fd;
}

UNUSED static http_server_stats fixture_stats(const fixture *f)
{
    http_server_stats s;
    http_server_get_stats(f->server, &s);
    return s;
}

/* The connection was ended by the server. */
UNUSED static void expect_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);
    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

#endif
