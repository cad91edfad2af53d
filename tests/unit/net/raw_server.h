// SPDX-License-Identifier: Apache-2.0
/* A server that says exactly the bytes that a test wants said, one connection after another. */
#ifndef TESTS_UNIT_NET_RAW_SERVER_H
#define TESTS_UNIT_NET_RAW_SERVER_H

#include "net_fixture.h"

/* What happens on one connection: the first bytes are read (but with `silent`), `answer` is
 * written, then the connection is closed, or with `hold` kept until the test ends. */
typedef struct {
    str answer;
    bool silent, hold, reset;
} raw_step;

typedef struct {
    int fd;
    unsigned port;
    const raw_step *steps;
    size_t count;
    atomic_size_t accepted;
    pthread_t thread;
    int held[16];
} raw_server;

static void raw_serve_one(raw_server *s, const raw_step *step, int fd, size_t index)
{
    char bytes[KiB(64)];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (!step->silent && poll(&p, 1, 10000) == 1)
        (void)!recv(fd, bytes, sizeof(bytes), 0);
    (void)!send(fd, step->answer.ptr, step->answer.len, MSG_NOSIGNAL);
    if (step->hold) {
        s->held[index] = fd;
        return;
    }
    if (step->reset) {
        struct linger now = { .l_onoff = 1 };
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    } else {
        shutdown(fd, SHUT_WR); /* what the client still sends shall not reset it */
        while (poll(&p, 1, 1000) == 1 && recv(fd, bytes, sizeof(bytes), 0) > 0)
            ;
    }
    close(fd);
}

static void *raw_run(void *user)
{
    raw_server *s = user;
    for (size_t i = 0; i < s->count; i++) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            break;
        atomic_fetch_add(&s->accepted, 1);
        raw_serve_one(s, &s->steps[i], fd, i);
    }
    return NULL;
}

UNUSED static void raw_start(raw_server *s, const raw_step *steps, size_t count)
{
    struct sockaddr_in a = { .sin_family = AF_INET };
    socklen_t n = sizeof(a);
    *s = (raw_server){ .steps = steps, .count = count };
    memset(s->held, -1, sizeof(s->held));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, raw_run, s), 0);
}

UNUSED static void raw_stop(raw_server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    for (size_t i = 0; i < ARRAY_LEN(s->held); i++)
        if (s->held[i] >= 0)
            close(s->held[i]);
}

/* Sets a flag after a while, on a thread of its own. */
typedef struct {
    _Atomic int flag;
    int after_ms;
    pthread_t thread;
} later;

static void *later_run(void *user)
{
    later *l = user;
    (void)poll(NULL, 0, l->after_ms);
    atomic_store(&l->flag, 1);
    return NULL;
}

UNUSED static void later_start(later *l, int after_ms)
{
    atomic_store(&l->flag, 0);
    l->after_ms = after_ms;
    assert_int_equal(pthread_create(&l->thread, NULL, later_run, l), 0);
}

#endif
