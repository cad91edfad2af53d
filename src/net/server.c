// SPDX-License-Identifier: Apache-2.0
/* The server: its listeners, the network thread's loop, starting and stopping; see server.h. */
#include "net/server.h"

#include "base/clock.h"
#include "net/conn.h"
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 128, ACCEPTS_PER_EVENT = 64 };

static const size_t ingest_stack = KiB(512), query_stack = MiB(2);

static void defaults(http_server_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(ingest_threads, 16);
    DEFAULT(query_threads, 4);
    DEFAULT(ingest_queue, 1024);
    DEFAULT(query_queue, 256);
    DEFAULT(header_bytes, KiB(16));
    DEFAULT(header_count, 100);
    DEFAULT(body_bytes, MiB(64));
    DEFAULT(bodies_bytes, MiB(256));
    DEFAULT(connections, 4096);
    DEFAULT(streams, 256);
    DEFAULT(idle_ms, 75000);
    DEFAULT(header_ms, 10000);
    DEFAULT(stall_ms, 30000);
    DEFAULT(resets, 200);
    DEFAULT(stream_bytes, MiB(1));
#undef DEFAULT
}

static status server_init(http_server *s, error *err)
{
    const http_server_options *o = &s->options;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = &s->wake_kind };
    s->wake_kind = EVENT_WAKE;
    s->wake_tail = &s->wake_head;
    s->bodies.limit = o->bodies_bytes;
    s->now_mono_ns = clock_mono_ns();
    unsigned shortest = MIN(MIN(o->idle_ms, o->header_ms), MIN(o->stall_ms, 4000u));
    s->tick_ns = MAX(shortest / 4, 1u) * NS_PER_MS;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->epoll < 0 || s->wake_fd < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake_fd, &e) != 0)
        return fail_errno(err, errno, "cannot make the network thread's event queue");
    pool_options ingest = { "ingest", o->ingest_threads, o->ingest_queue, ingest_stack };
    pool_options query = { "query", o->query_threads, o->query_queue, query_stack };
    status st = pool_new(&s->pools[POOL_INGEST], &ingest, exchange_run, err);
    if (st == STATUS_OK)
        st = pool_new(&s->pools[POOL_QUERY], &query, exchange_run, err);
    return st;
}

status http_server_new(http_server **ret, const http_server_options *options, error *err)
{
    http_server *s = calloc(1, sizeof(*s));
    if (!s)
        return fail(err, STATUS_NO_MEMORY, "no memory for the HTTP server");
    if (options)
        s->options = *options;
    defaults(&s->options);
    pthread_mutex_init(&s->wake_lock, NULL);
    status st = server_init(s, err);
    if (st != STATUS_OK) {
        http_server_free(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
}

/* ---- listening ---- */

static void group_free(listen_group *g)
{
    for (unsigned i = 0; i < g->socket_count; i++)
        if (g->sockets[i].fd >= 0)
            close(g->sockets[i].fd);
    route_set_done(&g->routes);
    free(g->address);
    free(g);
}

static status group_open(http_server *s, listen_group *g, unsigned *ret_port, error *err)
{
    struct addrinfo *list = NULL;
    unsigned port = 0;
    status st = listen_resolve(g->address, &list, err);
    for (struct addrinfo *a = list; st == STATUS_OK && a; a = a->ai_next) {
        listener *l = &g->sockets[g->socket_count];
        if (g->socket_count == ARRAY_LEN(g->sockets))
            break;
        st = listen_open(&l->fd, a, &port, g->address, err);
        if (st != STATUS_OK && a->ai_family == AF_INET6 && (g->socket_count || a->ai_next)) {
            st = STATUS_OK; /* a machine without IPv6 still has the other address */
            continue;
        }
        if (st != STATUS_OK)
            break;
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = l };
        l->kind = EVENT_LISTENER;
        l->routes = &g->routes;
        g->socket_count++;
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, l->fd, &e) != 0)
            st = fail_errno(err, errno, "cannot wait for connections on %s", g->address);
    }
    freeaddrinfo(list);
    if (st == STATUS_OK && ret_port)
        *ret_port = port;
    return st;
}

status http_server_listen(http_server *s, const char *address, const http_route_table *tables,
                          size_t table_count, unsigned *ret_port, error *err)
{
    if (s->group_count == LISTEN_GROUPS)
        return fail(err, STATUS_LIMIT, "at most %d addresses to listen on", LISTEN_GROUPS);
    listen_group *g = calloc(1, sizeof(*g));
    if (!g || !(g->address = strdup(address))) {
        free(g);
        return fail(err, STATUS_NO_MEMORY, "no memory for a listener");
    }
    status st = route_set_init(&g->routes, tables, table_count, err);
    if (st == STATUS_OK)
        st = group_open(s, g, ret_port, err);
    if (st != STATUS_OK) {
        group_free(g);
        return st;
    }
    s->groups[s->group_count++] = g;
    return STATUS_OK;
}

/* Told plainly, because a client that only sees a closed connection tries again at once. */
static void refuse_connection(http_server *s, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";
    atomic_fetch_add(&s->refused_connections, 1);
    (void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void accept_some(http_server *s, listener *l)
{
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && s->spare_fd >= 0) {
            /* Out of descriptors: without this the pending connection would wake us forever. */
            close(s->spare_fd);
            fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0)
                refuse_connection(s, fd);
            s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
            continue;
        }
        if (fd < 0)
            return;
        atomic_fetch_add(&s->accepted, 1);
        if (atomic_load(&s->connections) >= s->options.connections || !conn_new(s, l->routes, fd))
            refuse_connection(s, fd);
    }
}

/* ---- the network thread ---- */

bool server_wake(http_server *s, wake_item *item)
{
    pthread_mutex_lock(&s->wake_lock);
    bool taken = !item->queued && !s->wake_closed;
    bool first = !s->wake_head;
    if (taken) {
        item->queued = true;
        item->next = NULL;
        *s->wake_tail = item;
        s->wake_tail = &item->next;
    }
    pthread_mutex_unlock(&s->wake_lock);
    if (taken && first)
        (void)eventfd_write(s->wake_fd, 1);
    return taken;
}

static void run_wakes(http_server *s)
{
    eventfd_t count;
    (void)eventfd_read(s->wake_fd, &count);
    pthread_mutex_lock(&s->wake_lock);
    wake_item *item = s->wake_head;
    s->wake_head = NULL;
    s->wake_tail = &s->wake_head;
    while (item) {
        wake_item *next = item->next;
        item->queued = false; /* from here on it may be queued again */
        pthread_mutex_unlock(&s->wake_lock);
        item->run(item);
        pthread_mutex_lock(&s->wake_lock);
        item = next;
    }
    pthread_mutex_unlock(&s->wake_lock);
}

static void check_deadlines(http_server *s)
{
    conn *next;
    for (conn *c = s->conns; c; c = next) {
        next = c->next;
        conn_check_time(c);
    }
}

static void free_dead(http_server *s)
{
    while (s->dead) {
        conn *c = s->dead;
        s->dead = c->next;
        conn_free(c);
    }
}

void server_turn(http_server *s)
{
    run_wakes(s);
    free_dead(s);
}

static void begin_drain(http_server *s)
{
    s->draining = true;
    for (unsigned i = 0; i < s->group_count; i++) {
        listen_group *g = s->groups[i];
        for (unsigned k = 0; k < g->socket_count; k++) {
            close(g->sockets[k].fd);
            g->sockets[k].fd = -1;
        }
    }
    conn *next;
    for (conn *c = s->conns; c; c = next) {
        next = c->next;
        if (!c->protocol)
            conn_close(c);
        else if (!c->end_after_out)
            c->protocol->drain(c);
    }
}

static void handle_event(http_server *s, const struct epoll_event *e)
{
    switch (*(event_kind *)e->data.ptr) {
    case EVENT_LISTENER:
        if (((listener *)e->data.ptr)->fd >= 0)
            accept_some(s, e->data.ptr);
        break;
    case EVENT_CONN:
        conn_event(e->data.ptr, e->events);
        break;
    case EVENT_WAKE:
        run_wakes(s);
        break;
    }
}

static void *network_thread(void *arg)
{
    http_server *s = arg;
    struct epoll_event events[EVENTS];
    int64_t next_tick = 0;
    for (;;) {
        int64_t tick_ns = s->draining ? MIN(s->tick_ns, 50 * NS_PER_MS) : s->tick_ns;
        int wait_ms = s->conns ? (int)(tick_ns / NS_PER_MS) : -1;
        int n = epoll_wait(s->epoll, events, EVENTS, wait_ms);
        s->now_mono_ns = clock_mono_ns();
        for (int i = 0; i < n; i++)
            handle_event(s, &events[i]);
        if (s->now_mono_ns >= next_tick) {
            check_deadlines(s);
            next_tick = s->now_mono_ns + tick_ns;
        }
        if (atomic_load(&s->stopping) && !s->draining)
            begin_drain(s);
        free_dead(s);
        if (s->draining && (!s->conns || s->now_mono_ns >= s->stop_at_mono_ns))
            break;
    }
    while (s->conns)
        conn_close(s->conns);
    pthread_mutex_lock(&s->wake_lock);
    s->wake_closed = true;
    pthread_mutex_unlock(&s->wake_lock);
    server_turn(s);
    return NULL;
}

str server_date(http_server *s)
{
    int64_t now = clock_now_ns() / NS_PER_S;
    if (now != s->date_s) {
        struct tm tm;
        time_t t = (time_t)now;
        gmtime_r(&t, &tm);
        strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = now;
    }
    return str_c(s->date);
}

/* ---- start and stop ---- */

status http_server_start(http_server *s, error *err)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, KiB(512));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->thread, &attr, network_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        return fail_errno(err, rc, "cannot start the network thread");
    pthread_setname_np(s->thread, "network");
    s->started = true;
    return STATUS_OK;
}

bool http_server_stop(http_server *s, unsigned limit_ms)
{
    int64_t until = clock_mono_ns() + (int64_t)limit_ms * NS_PER_MS;
    if (s->started) {
        s->stop_at_mono_ns = until;
        atomic_store(&s->stopping, 1);
        (void)eventfd_write(s->wake_fd, 1);
        pthread_join(s->thread, NULL);
        s->started = false;
    }
    /* Handlers whose client was cut off just now see http_canceled: they get a moment. */
    bool ended = true;
    for (size_t i = 0; i < ARRAY_LEN(s->pools); i++) {
        int64_t left = MAX(until - clock_mono_ns(), 500 * NS_PER_MS);
        ended &= pool_stop(s->pools[i], (unsigned)(left / NS_PER_MS));
    }
    return ended;
}

void http_server_free(http_server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->group_count; i++)
        group_free(s->groups[i]);
    for (size_t i = 0; i < ARRAY_LEN(s->pools); i++)
        pool_free(s->pools[i]);
    int *fds[] = { &s->epoll, &s->wake_fd, &s->spare_fd };
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (*fds[i] > 0)
            close(*fds[i]);
    pthread_mutex_destroy(&s->wake_lock);
    free(s);
}

/* ---- what it says about itself ---- */

void http_server_get_stats(http_server *s, http_server_stats *ret)
{
    *ret = (http_server_stats){
        .connections = atomic_load(&s->connections),
        .accepted = atomic_load(&s->accepted),
        .refused_connections = atomic_load(&s->refused_connections),
        .requests_in_flight = atomic_load(&s->in_flight),
        .body_bytes = atomic_load(&s->bodies.used),
        .refused_busy = atomic_load(&s->refused_busy),
        .websockets = atomic_load(&s->websockets),
    };
}

void http_server_counts(http_server *s, http_count_sink *sink, void *user)
{
    for (unsigned i = 0; i < s->group_count; i++) {
        const listen_group *g = s->groups[i];
        for (size_t k = 0; k <= g->routes.count; k++) {
            route *r = &g->routes.items[k];
            for (size_t j = 0; j < ROUTE_CODES && atomic_load(&r->codes[j].code); j++)
                sink(user, str_c(g->address), r->row, atomic_load(&r->codes[j].code),
                     atomic_load(&r->codes[j].count));
        }
    }
}
