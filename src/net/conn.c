// SPDX-License-Identifier: Apache-2.0
/* Connections: reading, writing, deadlines, and telling which protocol is spoken; see conn.h. */
#include "net/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READS_PER_EVENT = 4, /* of READ_BYTES: then the next connection has its turn */
    WRITE_PARTS = 16,
    LINGER_MS = 2000,
    LINGER_STOPPING_MS = 300
};

static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113, 3.4 */

static ssize_t plain_read(conn *c, void *bytes, size_t n)
{
    return recv(c->fd, bytes, n, 0);
}

static ssize_t plain_write(conn *c, const struct iovec *parts, int count)
{
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count };
    return sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

static void plain_nothing(conn *c)
{
    (void)c;
}

static const transport plain_transport = { plain_read, plain_write, NULL, plain_nothing,
                                           plain_nothing };

/* IPv4 as IPv6 (RFC 4291, 2.5.5.2). */
static ip_address ip_of(const struct sockaddr *a)
{
    ip_address ip = { { 0 } };
    if (a && a->sa_family == AF_INET6) {
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
    } else if (a && a->sa_family == AF_INET) {
        ip.bytes[10] = ip.bytes[11] = 0xff;
        memcpy(ip.bytes + 12, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    }
    return ip;
}

conn *conn_new(http_listener *l, int fd, const struct sockaddr *from)
{
    http_server *s = l->server;
    conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->kind = EVENT_CONN;
    c->fd = fd;
    c->server = s;
    c->listener = l;
    c->client = ip_of(from);
    c->transport = l->tls ? &tls_transport : &plain_transport;
    c->handshaking = l->tls != NULL;
    c->interest = EPOLLIN | EPOLLRDHUP;
    c->write_deadline_ns = INT64_MAX;
    struct epoll_event e = { .events = c->interest, .data.ptr = c };
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
        free(c);
        return NULL;
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->next = s->conns;
    c->link = &s->conns;
    if (c->next)
        c->next->link = &c->next;
    s->conns = c;
    listener_ref(l);
    conn_set_deadline(c, l->tls ? s->options.handshake_ms : s->options.header_ms);
    atomic_fetch_add(&s->connections, 1);
    return c;
}

void conn_set_deadline(conn *c, unsigned ms)
{
    c->deadline_ns = ms ? c->server->now_mono_ns + (int64_t)ms * NS_PER_MS : INT64_MAX;
}

void conn_update(conn *c)
{
    if (c->dead)
        return;
    bool told = c->half_closed || (c->held && c->paused); /* or not read to its end yet */
    uint32_t wanted = told ? 0 : EPOLLRDHUP;
    if (!c->paused)
        c->input_waits = false;
    if (!c->input_waits) /* deregistering only when input comes too early saves two calls a request
                          */
        wanted |= EPOLLIN;
    if (c->out.bytes || c->wants_write)
        wanted |= EPOLLOUT;
    if (!c->out.bytes)
        c->write_deadline_ns = INT64_MAX;
    else if (c->write_deadline_ns == INT64_MAX)
        c->write_deadline_ns =
            c->server->now_mono_ns + (int64_t)c->server->options.stall_ms * NS_PER_MS;
    if (wanted == c->interest)
        return;
    struct epoll_event e = { .events = wanted, .data.ptr = c };
    c->interest = wanted;
    if (epoll_ctl(c->server->epoll, EPOLL_CTL_MOD, c->fd, &e) != 0)
        conn_close(c);
}

void conn_close(conn *c)
{
    http_server *s = c->server;
    if (c->dead)
        return;
    c->dead = true;
    if (c->protocol)
        c->protocol->done(c);
    out_queue_done(&c->out);
    if (c->handshaking)
        atomic_fetch_add(&s->tls_failed, 1);
    if (c->held)
        atomic_fetch_sub(&s->held, 1);
    c->transport->done(c);
    /* Closing alone would leave it there while a child of this process, just forked, has it too. */
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    c->next = s->dead;
    s->dead = c;
    atomic_fetch_sub(&s->connections, 1);
    listener_unref(c->listener);
}

void conn_hold(conn *c)
{
    if (!c->held)
        atomic_fetch_add(&c->server->held, 1);
    c->held = true;
    conn_set_deadline(c, 0);
}

void conn_release(conn *c)
{
    c->held = false;
    atomic_fetch_sub(&c->server->held, 1);
    c->protocol->resume(c);
    if (!c->dead)
        conn_flush(c);
}

bool conn_draining(const conn *c)
{
    return c->server->draining || c->listener->closing;
}

void conn_drain(conn *c)
{
    if (!c->protocol)
        conn_close(c);
    else if (!c->end_after_out)
        c->protocol->drain(c);
}

void conn_free(conn *c)
{
    free(c);
}

void conn_check_time(conn *c)
{
    int64_t now = c->server->now_mono_ns;
    if (c->dead || (now < c->deadline_ns && now < c->write_deadline_ns))
        return;
    if (now >= c->write_deadline_ns || !c->protocol || c->lingering)
        conn_close(c);
    else
        c->protocol->timeout(c);
}

bool conn_send(conn *c, const void *bytes, size_t n)
{
    if (c->dead)
        return false;
    if (!out_queue_add(&c->out, bytes, n)) {
        conn_close(c);
        return false;
    }
    return true;
}

/* All is sent: says so, and waits for the client to agree, because a close with unread input would
 * reset the connection and could take the answer with it. */
static void conn_linger(conn *c)
{
    c->lingering = true;
    c->paused = false;
    c->transport->end(c);
    if (c->half_closed || shutdown(c->fd, SHUT_WR) != 0) {
        conn_close(c);
        return;
    }
    conn_set_deadline(c, conn_draining(c) ? LINGER_STOPPING_MS : LINGER_MS);
}

static bool write_some(conn *c)
{
    struct iovec parts[WRITE_PARTS];
    int count = 0;
    for (out_piece *p = c->out.head; p && count < WRITE_PARTS; p = p->next)
        parts[count++] = (struct iovec){ p->bytes.ptr + p->sent, p->bytes.len - p->sent };
    ssize_t n = c->transport->write(c, parts, count);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n < 0) {
        conn_close(c);
        return false;
    }
    out_queue_sent(&c->out, (size_t)n);
    c->write_deadline_ns = INT64_MAX; /* progress: counts anew from the next check */
    return true;
}

void conn_flush(conn *c)
{
    while (!c->dead) {
        if (c->out.bytes < OUT_HIGH && c->protocol && !c->end_after_out)
            c->protocol->output(c);
        if (c->dead || !c->out.bytes || !write_some(c))
            break;
    }
    if (!c->dead && !c->out.bytes && c->end_after_out && !c->lingering)
        conn_linger(c);
    conn_update(c);
}

void conn_end(conn *c)
{
    if (c->dead || c->end_after_out)
        return;
    c->end_after_out = true;
    c->paused = true;
    conn_set_deadline(c, 0);
    conn_flush(c);
}

void conn_switch(conn *c, const protocol *p, void *state)
{
    c->protocol = p;
    c->state = state;
}

/* Collects bytes until they differ from HTTP/2's preface, or are it. */
static void conn_sniff(conn *c, const char *bytes, size_t n)
{
    unsigned held = c->first_len;
    size_t used = 0;
    while (used < n && c->first_len < sizeof(c->first) &&
           bytes[used] == http2_preface[c->first_len])
        c->first[c->first_len++] = bytes[used++];
    bool http2 = c->first_len == sizeof(c->first);
    if (used == n && !http2)
        return;
    if (!(http2 ? http2_start(c) : http1_start(c)))
        return;
    /* nghttp2 wants to see the preface itself. */
    if (http2)
        held = c->first_len;
    else
        used = 0;
    if (held)
        c->protocol->input(c, c->first, held);
    if (!c->dead && used < n)
        c->protocol->input(c, bytes + used, n - used);
}

static void conn_input(conn *c, const char *bytes, size_t n)
{
    if (c->lingering || c->end_after_out)
        return;
    if (c->protocol)
        c->protocol->input(c, bytes, n);
    else
        conn_sniff(c, bytes, n);
}

static void conn_eof(conn *c)
{
    c->half_closed = true;
    if (c->lingering || !c->protocol)
        conn_close(c);
    else
        c->protocol->eof(c);
}

static void conn_read(conn *c)
{
    http_server *s = c->server;
    for (int i = 0; i < READS_PER_EVENT && !c->dead && !c->paused; i++) {
        ssize_t n = c->transport->read(c, s->read_buffer, READ_BYTES);
        if (n > 0)
            conn_input(c, s->read_buffer, (size_t)n);
        else if (n == 0 && !c->half_closed)
            conn_eof(c);
        else if (n == 0)
            conn_end(c);
        else if (errno == EAGAIN || errno == EINTR)
            break;
        else
            conn_close(c);
        if (n < READ_BYTES / 2)
            break; /* probably no more: epoll tells otherwise */
    }
}

/* Told in the language that the client speaks, and the connection goes on without TLS to its end.
 */
static void refuse_plain(conn *c)
{
    static const char answer[] =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 92\r\n"
        "Connection: close\r\n\r\n"
        "{\"error\":{\"code\":400,\"message\":\"this port speaks TLS only: use https:// (gRPC: "
        "with "
        "TLS)\"}}\n";
    atomic_fetch_add(&c->server->tls_failed, 1);
    c->handshaking = false;
    c->transport = &plain_transport;
    if (conn_send(c, answer, sizeof(answer) - 1))
        conn_end(c);
}

/* The alert that says why is on its way: it would be lost if the connection were closed while some
 * of what the client sent is unread. */
static void refuse_handshake(conn *c)
{
    atomic_fetch_add(&c->server->tls_failed, 1);
    c->handshaking = false;
    c->wants_write = false;
    c->transport->done(c);
    c->transport = &plain_transport;
    c->end_after_out = true;
    conn_linger(c);
    conn_update(c);
}

/* True: the connection is open and may be read. */
static bool conn_handshake(conn *c)
{
    switch (c->transport->handshake(c)) {
    case HANDSHAKE_DONE:
        c->handshaking = false;
        atomic_fetch_add(&c->server->tls_handshakes, 1);
        conn_set_deadline(c, c->server->options.header_ms);
        return true;
    case HANDSHAKE_WAITS:
        conn_update(c);
        return false;
    case HANDSHAKE_PLAIN:
        refuse_plain(c);
        return false;
    case HANDSHAKE_FAILED:
        refuse_handshake(c);
        return false;
    }
    return false;
}

void conn_event(conn *c, uint32_t events)
{
    if (c->dead)
        return;
    if (events & (EPOLLERR | EPOLLHUP)) {
        conn_close(c);
        return;
    }
    if (c->handshaking && !conn_handshake(c))
        return;
    if (c->wants_write)
        events |= EPOLLIN;
    if ((events & EPOLLIN) && c->paused)
        c->input_waits = true;
    else if (events & EPOLLIN)
        conn_read(c);
    if (!c->dead && (events & EPOLLRDHUP) && c->paused && !c->held && !c->half_closed)
        conn_eof(c);
    if (!c->dead)
        conn_flush(c);
}
