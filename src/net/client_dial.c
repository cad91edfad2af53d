// SPDX-License-Identifier: Apache-2.0
/* Connecting by name; see client_dial.h. The system's resolver cannot be stopped, so it runs on a
 * thread of its own, which is left to itself when nobody waits any more; it frees what it holds. */
#include "net/client_dial.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 50, HOST_MAX = 256, PORT_MAX = 16 };
enum { KEEPALIVE_IDLE_S = 30, KEEPALIVE_STEP_S = 10, KEEPALIVE_COUNT = 3 };

status client_wait(int fd, short events, short *ret_events, int64_t deadline_ns,
                   const _Atomic int *canceled, error *err)
{
    *ret_events = 0;
    if (canceled && atomic_load(canceled))
        return fail(err, STATUS_CANCELED, "given up");
    int64_t left = deadline_ns - clock_mono_ns();
    if (left <= 0)
        return fail(err, STATUS_BUSY, "the time limit has passed");
    struct pollfd p = { .fd = fd, .events = events };
    int ms = (int)MIN(left / NS_PER_MS + 1, (int64_t)STEP_MS);
    int n = poll(&p, 1, ms);
    if (n < 0 && errno != EINTR)
        return fail_errno(err, errno, "waiting for a connection");
    if (n == 1)
        *ret_events = p.revents;
    return STATUS_OK;
}

/* ---- names ---- */

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned holders; /* the resolving thread and who waits for it */
    bool done;
    int problem; /* getaddrinfo's */
    struct addrinfo *list;
    char host[HOST_MAX], port[PORT_MAX];
} lookup;

static void lookup_release(lookup *l)
{
    pthread_mutex_lock(&l->lock);
    bool last = --l->holders == 0;
    pthread_mutex_unlock(&l->lock);
    if (!last)
        return;
    if (l->list)
        freeaddrinfo(l->list);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static int resolve(const lookup *l, int flags, struct addrinfo **ret)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags };
    return getaddrinfo(l->host, l->port, &hints, ret);
}

static void *run_lookup(void *user)
{
    lookup *l = user;
    struct addrinfo *list = NULL;
    int problem = resolve(l, 0, &list);
    pthread_mutex_lock(&l->lock);
    l->done = true;
    l->problem = problem;
    l->list = problem ? NULL : list;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    lookup_release(l);
    return NULL;
}

static lookup *lookup_new(const char *host, const char *port)
{
    lookup *l = calloc(1, sizeof(*l));
    pthread_condattr_t attributes;
    if (!l)
        return NULL;
    l->holders = 1;
    str_copy_c(l->host, sizeof(l->host), str_c(host));
    str_copy_c(l->port, sizeof(l->port), str_c(port));
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return l;
}

static bool start_lookup(lookup *l)
{
    pthread_t thread;
    sigset_t all, before;
    l->holders = 2;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the program's signals are for others */
    bool started = pthread_create(&thread, NULL, run_lookup, l) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_detach(thread);
    else
        l->holders = 1;
    return started;
}

static status await_lookup(lookup *l, int64_t deadline_ns, const _Atomic int *canceled, error *err)
{
    status st = STATUS_OK;
    pthread_mutex_lock(&l->lock);
    while (!l->done && st == STATUS_OK) {
        int64_t now = clock_mono_ns(), until = MIN(now + STEP_MS * NS_PER_MS, deadline_ns);
        struct timespec at = { .tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S };
        if (canceled && atomic_load(canceled))
            st = fail(err, STATUS_CANCELED, "given up");
        else if (now >= deadline_ns)
            st = fail(err, STATUS_IO, "host \"%s\": its name was not resolved in time", l->host);
        else
            pthread_cond_timedwait(&l->changed, &l->lock, &at);
    }
    pthread_mutex_unlock(&l->lock);
    if (st == STATUS_OK && l->problem)
        st = fail(err, STATUS_IO, "host \"%s\": %s", l->host, gai_strerror(l->problem));
    return st;
}

/* ---- addresses ---- */

static void set_options(int fd)
{
    int one = 1, idle = KEEPALIVE_IDLE_S, step = KEEPALIVE_STEP_S, count = KEEPALIVE_COUNT;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &step, sizeof(step));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static int socket_problem(int fd)
{
    int problem = 0;
    socklen_t n = sizeof(problem);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &n) ? errno : problem;
}

/* *ret_problem: an errno, when this address did not answer. */
static status connect_to(const struct addrinfo *a, int *ret_fd, int *ret_problem,
                         int64_t deadline_ns, const _Atomic int *canceled, error *err)
{
    status st = STATUS_OK;
    short events = 0;
    *ret_problem = 0;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *ret_problem = errno;
        return STATUS_OK;
    }
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
        *ret_problem = errno;
    while (!*ret_problem && !events && st == STATUS_OK)
        st = client_wait(fd, POLLOUT, &events, deadline_ns, canceled, err);
    if (st == STATUS_BUSY) {
        *ret_problem = ETIMEDOUT;
        st = STATUS_OK;
    } else if (st == STATUS_OK && !*ret_problem) {
        *ret_problem = socket_problem(fd);
    }
    if (st == STATUS_OK && !*ret_problem) {
        set_options(fd);
        *ret_fd = fd;
    } else {
        close(fd);
    }
    return st;
}

static status try_all(const struct addrinfo *list, const char *host, const char *port, int *ret_fd,
                      int64_t deadline_ns, const _Atomic int *canceled, error *err)
{
    unsigned left = 0, tried = 0;
    int problem = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next)
        left++;
    for (const struct addrinfo *a = list; a; a = a->ai_next, left--) {
        int64_t now = clock_mono_ns();
        int64_t until = now + MAX(deadline_ns - now, (int64_t)0) / left;
        status st = connect_to(a, ret_fd, &problem, until, canceled, err);
        if (st != STATUS_OK || !problem)
            return st;
        tried++;
    }
    return fail(err, STATUS_IO, "cannot connect to %s:%s: %s%s", host, port,
                problem ? errno_text(problem) : "no address",
                tried > 1 ? " (the last of several addresses)" : "");
}

status client_dial(int *ret_fd, const char *host, const char *port, int64_t deadline_ns,
                   const _Atomic int *canceled, error *err)
{
    lookup *l = lookup_new(host, port);
    if (!l)
        return fail(err, STATUS_NO_MEMORY, "no memory to resolve a name");
    status st = STATUS_OK;
    if (resolve(l, AI_NUMERICHOST, &l->list) != 0) {
        l->list = NULL;
        if (start_lookup(l))
            st = await_lookup(l, deadline_ns, canceled, err);
        else
            st = fail(err, STATUS_NO_MEMORY, "no thread to resolve a name on");
    }
    if (st == STATUS_OK)
        st = try_all(l->list, host, port, ret_fd, deadline_ns, canceled, err);
    lookup_release(l);
    return st;
}
