// SPDX-License-Identifier: Apache-2.0
/* An HTTP/1.1 server for tests: on 127.0.0.1 and a free port, one request for each connection,
 * answering the n-th request with the n-th scripted answer (the last one again and again). It keeps
 * what it got; stub_wait waits for a number of requests. */
#ifndef TESTS_STUB_SERVER_H
#define TESTS_STUB_SERVER_H

#include "base/buf.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STUB_REQUESTS = 64 };

typedef struct {
    char head[4096]; /* request line and headers */
    buf body;
} stub_request;

typedef struct {
    int fd, stop[2];
    int port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *const *answers; /* whole answers; "" closes without one, "hang" never answers */
    stub_request requests[STUB_REQUESTS];
    size_t count;
} stub_server;

/* Reads one request; false at the end of the connection or of the server. */
static bool stub_read(stub_server *s, int fd, stub_request *r)
{
    buf in;
    buf_init(&in, MiB(8));
    size_t head = 0, length = 0;
    memset(r, 0, sizeof(*r));
    for (;;) {
        struct pollfd ready[2] = { { .fd = fd, .events = POLLIN },
                                   { .fd = s->stop[0], .events = POLLIN } };
        char piece[4096];
        ssize_t n =
            poll(ready, 2, -1) > 0 && !ready[1].revents ? read(fd, piece, sizeof(piece)) : 0;
        if (n <= 0)
            break;
        buf_add(&in, piece, (size_t)n);
        if (!head) {
            size_t end = str_find(buf_view(&in), STR("\r\n\r\n"));
            if (end == SIZE_MAX)
                continue;
            head = end + 4;
            str_copy_c(r->head, sizeof(r->head), str_slice(buf_view(&in), 0, end + 2));
            const char *at = strcasestr(r->head, "content-length:");
            length = at ? strtoul(at + 15, NULL, 10) : 0;
        }
        if (in.len >= head + length) {
            buf_init(&r->body, 0);
            buf_add(&r->body, in.ptr + head, length);
            buf_done(&in);
            return true;
        }
    }
    buf_done(&in);
    return false;
}

static void *stub_run(void *user)
{
    stub_server *s = user;
    for (;;) {
        struct pollfd ready[2] = { { .fd = s->fd, .events = POLLIN },
                                   { .fd = s->stop[0], .events = POLLIN } };
        if (poll(ready, 2, -1) < 0 || ready[1].revents)
            return NULL;
        int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
        stub_request r;
        if (s->count < STUB_REQUESTS && stub_read(s, fd, &r)) {
            pthread_mutex_lock(&s->lock);
            s->requests[s->count++] = r;
            const char *answer = *s->answers;
            if (s->answers[1])
                s->answers++;
            pthread_cond_broadcast(&s->changed);
            pthread_mutex_unlock(&s->lock);
            if (strcmp(answer, "hang") == 0)
                poll(&(struct pollfd){ .fd = s->stop[0], .events = POLLIN }, 1, -1);
            else if (answer[0])
                (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void stub_start(stub_server *s, const char *const *answers)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof(at);
    memset(s, 0, sizeof(*s));
    s->answers = answers;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&s->lock, NULL);
    if (pipe(s->stop) != 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(s->fd, 16) != 0 || getsockname(s->fd, (struct sockaddr *)&at, &size) != 0 ||
        pthread_create(&s->thread, NULL, stub_run, s) != 0) {
        perror("stub server");
        abort();
    }
    s->port = ntohs(at.sin_port);
}

static void stub_stop(stub_server *s)
{
    ssize_t ignored UNUSED = write(s->stop[1], "x", 1);
    pthread_join(s->thread, NULL);
    close(s->fd);
    close(s->stop[0]);
    close(s->stop[1]);
    for (size_t i = 0; i < s->count; i++)
        buf_done(&s->requests[i].body);
}

/* Waits until `count` requests have come, at most 10 s. */
static bool UNUSED stub_wait(stub_server *s, size_t count)
{
    int64_t end = clock_mono_ns() + 10 * NS_PER_S;
    struct timespec until = { end / NS_PER_S, end % NS_PER_S };
    pthread_mutex_lock(&s->lock);
    while (s->count < count && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
        ;
    bool good = s->count >= count;
    pthread_mutex_unlock(&s->lock);
    return good;
}

#define STUB_OK "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#define STUB_503 \
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

#endif
