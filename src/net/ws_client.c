// SPDX-License-Identifier: Apache-2.0
/* A WebSocket client on wslay; see ws_client.h. */
#include "net/ws_client.h"

#include "base/file.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

enum { CONNECT_MS = 10000, MESSAGE_MAX = 16 << 20, HEAD_MAX = 16 << 10 };

struct ws_client {
    int fd;
    wslay_event_context_ptr frames;
    buf first; /* bytes that came with the handshake's answer */
    size_t first_used;
    ws_client_text *on_text;
    void *user;
    bool enough;
    unsigned close_code;
    char close_reason[124];
};

/* ---- connecting ---- */

typedef struct {
    char host[256], port[8];
    str authority, path;
} target_url;

static status split_url(const char *base, target_url *ret, error *err)
{
    str rest = str_c(base);
    if (str_starts(rest, STR("http://")))
        rest = str_slice(rest, 7, rest.len);
    else if (str_contains(rest, STR("://")))
        return fail(err, STATUS_INVALID, "address \"%s\": only http:// is supported here", base);
    size_t slash = MIN(str_find_char(rest, '/'), rest.len);
    ret->authority = str_slice(rest, 0, slash);
    ret->path = str_slice(rest, slash, rest.len);
    while (str_ends(ret->path, STR("/")))
        ret->path.len--;
    str host = ret->authority, port = STR("80");
    size_t colon = host.len;
    while (colon > 0 && host.ptr[colon - 1] != ':' && host.ptr[colon - 1] != ']')
        colon--;
    if (colon > 0 && host.ptr[colon - 1] == ':') {
        port = str_slice(host, colon, host.len);
        host = str_slice(host, 0, colon - 1);
    }
    if (host.len > 2 && host.ptr[0] == '[')
        host = str_slice(host, 1, host.len - 1);
    uint64_t number;
    if (!host.len || !str_to_u64(port, &number) || number > 65535)
        return fail(err, STATUS_INVALID, "address \"%s\" must be like http://127.0.0.1:4319", base);
    str_copy_c(ret->host, sizeof(ret->host), host);
    str_copy_c(ret->port, sizeof(ret->port), port);
    return STATUS_OK;
}

static int connect_within(const struct addrinfo *a)
{
    int problem = 0;
    socklen_t n = sizeof(problem);
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
        problem = errno;
    else if (poll(&p, 1, CONNECT_MS) != 1)
        problem = ETIMEDOUT;
    else
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &n);
    if (problem) {
        close(fd);
        errno = problem;
        return -1;
    }
    return fd;
}

static status connect_to(const target_url *url, int *ret, error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(url->host, url->port, &hints, &list);
    if (rc != 0)
        return fail(err, STATUS_INVALID, "host \"%s\": %s", url->host, gai_strerror(rc));
    int fd = -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = connect_within(a);
    int problem = errno;
    freeaddrinfo(list);
    if (fd < 0)
        return fail_errno(err, problem, "cannot connect to %.*s", STR_ARG(url->authority));
    *ret = fd;
    return STATUS_OK;
}

/* ---- the handshake ---- */

static status wait_for(int fd, short events, int ms, error *err)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n;
    do
        n = poll(&p, 1, ms);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        return STATUS_OK;
    return fail_errno(err, n == 0 ? ETIMEDOUT : errno, "waiting for the server");
}

static status send_all(int fd, str bytes, error *err)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail_errno(err, errno, "sending to the server");
        if (n < 0) {
            status st = wait_for(fd, POLLOUT, CONNECT_MS, err);
            if (st != STATUS_OK)
                return st;
            continue;
        }
        bytes = str_slice(bytes, (size_t)n, bytes.len);
    }
    return STATUS_OK;
}

/* Reads until the head is complete; what follows it stays in c->first. */
static status read_head(ws_client *c, size_t *ret_len, error *err)
{
    for (;;) {
        size_t end = str_find(buf_view(&c->first), STR("\r\n\r\n"));
        if (end != SIZE_MAX) {
            *ret_len = end + 4;
            return STATUS_OK;
        }
        status st = wait_for(c->fd, POLLIN, CONNECT_MS, err);
        if (st != STATUS_OK)
            return st;
        if (!buf_reserve(&c->first, 1024))
            return fail(err, STATUS_LIMIT, "the server's answer is no HTTP head");
        ssize_t n = recv(c->fd, c->first.ptr + c->first.len, 1024, 0);
        if (n == 0)
            return fail(err, STATUS_IO, "the server closed the connection without an answer");
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return fail_errno(err, errno, "reading the server's answer");
        c->first.len += n > 0 ? (size_t)n : 0;
    }
}

/* Not 101: says what the server said, with what of the body is there or comes at once. */
static status refused(ws_client *c, size_t head, error *err)
{
    error ignored;
    str line = str_cut(buf_view(&c->first), '\r', &(str){ 0 });
    if (c->first.len == head && buf_reserve(&c->first, 1024) &&
        wait_for(c->fd, POLLIN, 1000, &ignored) == STATUS_OK) {
        ssize_t n = recv(c->fd, c->first.ptr + c->first.len, 1024, 0);
        c->first.len += n > 0 ? (size_t)n : 0;
    }
    line.ptr = c->first.ptr; /* may have moved */
    str body = str_trim(str_slice(buf_view(&c->first), head, head + 300));
    return fail(err, STATUS_INVALID, "the server answered \"%.*s\"%s%.*s", STR_ARG(line),
                body.len ? ": " : "", STR_ARG(body));
}

static status handshake(ws_client *c, const target_url *url, str target, error *err)
{
    unsigned char random[16], key[32];
    size_t head = 0;
    buf request;
    (void)random_seed(random, sizeof(random));
    EVP_EncodeBlock(key, random, sizeof(random));
    buf_init(&request, KiB(64));
    buf_fmt(&request,
            "GET %.*s%.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: sonde/" SONDE_VERSION "\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: %s\r\n\r\n",
            STR_ARG(url->path), STR_ARG(target), STR_ARG(url->authority), (const char *)key);
    status st = buf_check(&request, err, "the request");
    if (st == STATUS_OK)
        st = send_all(c->fd, buf_view(&request), err);
    buf_done(&request);
    if (st == STATUS_OK)
        st = read_head(c, &head, err);
    if (st == STATUS_OK && !str_starts(buf_view(&c->first), STR("HTTP/1.1 101")))
        st = refused(c, head, err);
    c->first_used = head;
    return st;
}

/* ---- frames ---- */

static ssize_t frames_recv(wslay_event_context_ptr frames, uint8_t *to, size_t n, int flags,
                           void *user)
{
    ws_client *c = user;
    (void)flags;
    if (c->first_used < c->first.len) {
        n = MIN(n, c->first.len - c->first_used);
        memcpy(to, c->first.ptr + c->first_used, n);
        c->first_used += n;
        return (ssize_t)n;
    }
    ssize_t got = c->enough ? -1 : recv(c->fd, to, n, 0);
    if (got > 0)
        return got;
    bool later = c->enough || (got < 0 && (errno == EAGAIN || errno == EINTR));
    wslay_event_set_error(frames, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t frames_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t n,
                           int flags, void *user)
{
    ws_client *c = user;
    (void)flags;
    ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    bool later = errno == EAGAIN || errno == EINTR;
    wslay_event_set_error(frames, later ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int frames_mask(wslay_event_context_ptr frames, uint8_t *to, size_t n, void *user)
{
    (void)frames;
    (void)user;
    (void)random_seed(to, n);
    return 0;
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *m,
                       void *user)
{
    ws_client *c = user;
    (void)frames;
    if (m->opcode == WSLAY_TEXT_FRAME && !c->enough) {
        c->enough = !c->on_text(c->user, str_n(m->msg, m->msg_length));
    } else if (m->opcode == WSLAY_CONNECTION_CLOSE) {
        c->close_code = m->status_code ? m->status_code : WSLAY_CODE_NORMAL_CLOSURE;
        if (m->msg_length > 2)
            str_copy_c(c->close_reason, sizeof(c->close_reason),
                       str_n(m->msg + 2, m->msg_length - 2));
    }
}

status ws_client_open(ws_client **ret, const char *base, str target, error *err)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = frames_recv,
        .send_callback = frames_send,
        .genmask_callback = frames_mask,
        .on_msg_recv_callback = on_message,
    };
    target_url url;
    status st = split_url(base, &url, err);
    if (st != STATUS_OK)
        return st;
    ws_client *c = calloc(1, sizeof(*c));
    if (!c)
        return fail(err, STATUS_NO_MEMORY, "no memory for a connection");
    c->fd = -1;
    buf_init(&c->first, HEAD_MAX);
    st = connect_to(&url, &c->fd, err);
    if (st == STATUS_OK)
        st = handshake(c, &url, target, err);
    if (st == STATUS_OK && wslay_event_context_client_init(&c->frames, &callbacks, c) != 0)
        st = fail(err, STATUS_NO_MEMORY, "no memory for a WebSocket");
    if (st != STATUS_OK) {
        ws_client_close(c);
        return st;
    }
    wslay_event_config_set_max_recv_msg_length(c->frames, MESSAGE_MAX);
    *ret = c;
    return STATUS_OK;
}

void ws_client_close(ws_client *c)
{
    if (!c)
        return;
    if (c->frames)
        wslay_event_context_free(c->frames);
    file_closep(&c->fd);
    buf_done(&c->first);
    free(c);
}

status ws_client_run(ws_client *c, ws_client_text *on_text, void *user, error *err)
{
    c->on_text = on_text;
    c->user = user;
    while (!c->enough && !c->close_code) {
        if (wslay_event_recv(c->frames) != 0 || wslay_event_send(c->frames) != 0) {
            if (!c->close_code && !c->enough)
                return fail(err, STATUS_IO, "the connection to the server was lost");
            break;
        }
        short events = wslay_event_want_write(c->frames) ? POLLIN | POLLOUT : POLLIN;
        if (!c->enough && !c->close_code) {
            status st = wait_for(c->fd, events, -1, err);
            if (st != STATUS_OK)
                return st;
        }
    }
    if (!c->enough && c->close_code != WSLAY_CODE_NORMAL_CLOSURE &&
        c->close_code != WSLAY_CODE_GOING_AWAY)
        return fail(err, STATUS_IO, "the server ended the connection (%u): %s", c->close_code,
                    c->close_reason);
    return STATUS_OK;
}
