// SPDX-License-Identifier: Apache-2.0
/* HTTP: whatever bytes a client sends, the server neither breaks nor leaks, and over HTTP/1.1 its
 * answers do not depend on how the bytes are cut. Handlers run on the calling thread; the
 * connection is one end of a socket pair. */
#include "fuzz/fuzz.h"

#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE_MAX_WHOLE = 32 << 10, SIZE_MAX_CUT = 2048, OUT_MAX = 8 << 20 };

static void echo(http_exchange *x, void *user)
{
    (void)user;
    buf_str(http_out(x), http_param(x, "p", 0, NULL));
    buf_str(http_out(x), http_path_param(x, "name"));
    buf_str(http_out(x), http_body(x));
    http_set_header(x, "X-Echo", http_header(x, "x-echo"));
}

static void stream(http_exchange *x, void *user)
{
    (void)user;
    buf_lit(http_out(x), "one");
    (void)http_flush(x);
    buf_lit(http_out(x), "two");
}

static const http_route rows[] = {
    { "GET|POST", "/e", echo, NULL, POOL_NONE, "" },
    { "GET", "/n/{name}/x", echo, NULL, POOL_NONE, "" },
    { "GET", "/s", stream, NULL, POOL_NONE, "" },
};

static http_server *server;
static http_listener *listener;

static void setup(void)
{
    http_route_table table = { .rows = rows, .count = ARRAY_LEN(rows) };
    http_routes routes = { .tables = &table, .table_count = 1 };
    http_server_options options = { .header_bytes = 1024, .header_count = 20, .body_bytes = 4096 };
    FUZZ_CHECK(http_server_new(&server, &options, NULL) == STATUS_OK);
    FUZZ_CHECK(listener_new(&listener, server, "", &routes, NULL, NULL) == STATUS_OK);
}

/* False: the server's end is closed. */
static bool drain(int fd, buf *out)
{
    char bytes[4096];
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        buf_add(out, bytes, (size_t)n);
    }
}

static void turn(int fd, buf *out)
{
    size_t before;
    do {
        before = out->len;
        if (server->conns)
            conn_event(server->conns, EPOLLIN);
        server_turn(server);
        (void)drain(fd, out);
    } while (out->len != before);
}

/* Sends `bytes` in pieces of `step`, and collects what comes back. */
static void converse(str bytes, size_t step, buf *out)
{
    int fds[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    FUZZ_CHECK(conn_new(listener, fds[0], NULL) != NULL);
    while (bytes.len && server->conns) {
        size_t n = MIN(step, bytes.len);
        ssize_t sent = send(fds[1], bytes.ptr, n, MSG_NOSIGNAL);
        if (sent < 0)
            break;
        bytes = str_slice(bytes, (size_t)sent, bytes.len);
        turn(fds[1], out);
    }
    (void)shutdown(fds[1], SHUT_WR);
    turn(fds[1], out);
    while (server->conns)
        conn_close(server->conns);
    server_turn(server);
    close(fds[1]);
    FUZZ_CHECK(atomic_load(&server->in_flight) == 0);
    FUZZ_CHECK(atomic_load(&server->bodies.used) == 0);
}

/* The clock may have moved between two runs. */
static void mask_dates(buf *b)
{
    str rest = buf_view(b);
    for (size_t at; (at = str_find(rest, STR("Date: "))) != SIZE_MAX;) {
        for (size_t i = at + 6; i < rest.len && rest.ptr[i] != '\r'; i++)
            b->ptr[(size_t)(rest.ptr - b->ptr) + i] = 'x';
        rest = str_slice(rest, at + 6, rest.len);
    }
}

/* Without the last answer when it is a refusal: which of two mistakes in one head is found first
 * does depend on the cut. */
static str before_refusal(const buf *b)
{
    static const str refusal = STR_INIT("HTTP/1.1 4");
    str all = buf_view(b);
    for (size_t i = all.len; i > 0; i--)
        if (str_starts(str_slice(all, i - 1, all.len), refusal))
            return str_slice(all, 0, i - 1 + refusal.len);
    return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str bytes = str_n(data, size);
    buf whole, cut;
    if (size > SIZE_MAX_WHOLE)
        return 0;
    if (!server)
        setup();
    buf_init(&whole, OUT_MAX);
    buf_init(&cut, OUT_MAX);
    converse(bytes, SIZE_MAX_WHOLE, &whole);
    bool http2 = str_starts(bytes, STR("PRI"));
    if (!http2 && whole.len)
        FUZZ_CHECK(str_starts(buf_view(&whole), STR("HTTP/1.1 ")));
    /* Whether 100 (Continue) is sent depends on whether the body came with its head. */
    if (!http2 && size <= SIZE_MAX_CUT && !str_contains(bytes, STR("100-"))) {
        converse(bytes, 1, &cut);
        mask_dates(&whole);
        mask_dates(&cut);
        FUZZ_CHECK(str_eq(before_refusal(&whole), before_refusal(&cut)));
    }
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
