// SPDX-License-Identifier: Apache-2.0
/* The server: its listeners, the network thread's loop, starting and stopping; see server.h. */
#include "net/server.h"

#include "base/clock.h"
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 128, SPARE_DESCRIPTORS = 512 };

static const size_t ingest_stack = KiB(512), query_stack = MiB(2);

static void defaults(http_server_options *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    DEFAULT(ingest_threads, 16);
    DEFAULT(query_threads, HTTP_QUERY_THREADS);
    DEFAULT(ingest_queue, 1024);
    DEFAULT(query_queue, 4096);
    DEFAULT(header_bytes, KiB(16));
    DEFAULT(header_count, 100);
    DEFAULT(body_bytes, MiB(64));
    DEFAULT(bodies_bytes, MiB(256));
    DEFAULT(connections, 16384);
    DEFAULT(streams, 256);
    DEFAULT(idle_ms, 75000);
    DEFAULT(header_ms, 10000);
    DEFAULT(handshake_ms, 10000);
    DEFAULT(stall_ms, 30000);
    DEFAULT(resets, 200);
    DEFAULT(stream_bytes, MiB(1));
#undef DEFAULT
}

/* Connections need descriptors, of which the store needs some as well. */
static void fit_descriptors(http_server_options *o)
{
    struct rlimit r;
    rlim_t wanted = (rlim_t)o->connections + SPARE_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    if (r.rlim_cur < wanted && r.rlim_cur < r.rlim_max) {
        struct rlimit raised = { MIN(wanted, r.rlim_max), r.rlim_max };
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            r = raised;
    }
    if (r.rlim_cur < wanted)
        o->connections = (unsigned)MAX(r.rlim_cur / 2, (rlim_t)16);
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
    route_counter *counters = NULL;
    if (st == STATUS_OK)
        st = route_set_new(&s->no_routes, &(http_routes){ 0 }, &counters, err);
    s->no_counters = counters;
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
    fit_descriptors(&s->options);
    pthread_mutex_init(&s->wake_lock, NULL);
    pthread_mutex_init(&s->listeners_lock, NULL);
    pthread_mutex_init(&s->call_lock, NULL);
    pthread_cond_init(&s->call_done, NULL);
    retired_sets_init(&s->retired);
    status st = server_init(s, err);
    if (st != STATUS_OK) {
        http_server_free(s);
        return st;
    }
    *ret = s;
    return STATUS_OK;
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

typedef struct {
    wake_item wake; /* first, so that one is the other */
    http_server *server;
    void (*run)(void *arg);
    void *arg;
    bool done; /* under the server's call_lock */
} call_item;

static void call_run(wake_item *item)
{
    call_item *call = (call_item *)item;
    http_server *s = call->server;
    call->run(call->arg);
    pthread_mutex_lock(&s->call_lock);
    call->done = true;
    pthread_cond_broadcast(&s->call_done);
    pthread_mutex_unlock(&s->call_lock);
}

void server_call(http_server *s, void (*run)(void *arg), void *arg)
{
    call_item call = { .wake.run = call_run, .server = s, .run = run, .arg = arg };
    if (!atomic_load(&s->started) || !server_wake(s, &call.wake)) {
        run(arg);
        return;
    }
    pthread_mutex_lock(&s->call_lock);
    while (!call.done)
        pthread_cond_wait(&s->call_done, &s->call_lock);
    pthread_mutex_unlock(&s->call_lock);
}

/* Above three quarters reading stops, below one half it goes on. */
static bool fuller_than(const http_server *s, unsigned quarters)
{
    size_t bytes = s->bodies.limit / 4 * quarters, jobs = s->options.ingest_queue / 4 * quarters;
    return atomic_load_explicit(&s->bodies.used, memory_order_relaxed) > bytes ||
           pool_waiting(s->pools[POOL_INGEST]) > MAX(jobs, (size_t)quarters);
}

bool server_pressed(const http_server *s)
{
    return atomic_load_explicit(&s->working, memory_order_relaxed) > 0 && fuller_than(s, 3);
}

static void release_held(http_server *s)
{
    conn *next;
    if (!atomic_load(&s->held) || (atomic_load(&s->working) > 0 && fuller_than(s, 2)))
        return;
    for (conn *c = s->conns; c; c = next) {
        next = c->next;
        if (c->held)
            conn_release(c);
    }
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
    while (s->dead_listeners) {
        http_listener *l = s->dead_listeners;
        s->dead_listeners = l->next;
        listener_free(l);
    }
    while (s->dead) {
        conn *c = s->dead;
        s->dead = c->next;
        conn_free(c);
    }
}

void server_turn(http_server *s)
{
    run_wakes(s);
    release_held(s);
    free_dead(s);
}

static void begin_drain(http_server *s)
{
    s->draining = true;
    for (http_listener *l = s->listeners; l; l = l->next)
        listener_close_sockets(l);
    conn *next;
    for (conn *c = s->conns; c; c = next) {
        next = c->next;
        conn_drain(c);
    }
}

static void handle_event(http_server *s, const struct epoll_event *e)
{
    switch (*(event_kind *)e->data.ptr) {
    case EVENT_LISTENER:
        listener_accept(e->data.ptr);
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
        release_held(s);
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
    atomic_store(&s->started, true);
    return STATUS_OK;
}

bool http_server_stop(http_server *s, unsigned limit_ms)
{
    int64_t until = clock_mono_ns() + (int64_t)limit_ms * NS_PER_MS;
    if (atomic_load(&s->started)) {
        s->stop_at_mono_ns = until;
        atomic_store(&s->stopping, 1);
        (void)eventfd_write(s->wake_fd, 1);
        pthread_join(s->thread, NULL);
        atomic_store(&s->started, false);
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
    while (s->listeners) {
        http_listener *l = s->listeners;
        s->listeners = l->next;
        listener_free(l);
    }
    free_dead(s);
    if (s->no_routes)
        route_set_unref(s->no_routes);
    route_counters_free(s->no_counters);
    for (size_t i = 0; i < ARRAY_LEN(s->pools); i++)
        pool_free(s->pools[i]);
    int *fds[] = { &s->epoll, &s->wake_fd, &s->spare_fd };
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (*fds[i] > 0)
            close(*fds[i]);
    retired_sets_done(&s->retired);
    pthread_cond_destroy(&s->call_done);
    pthread_mutex_destroy(&s->call_lock);
    pthread_mutex_destroy(&s->listeners_lock);
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
        .refused_auth = atomic_load(&s->refused_auth),
        .refused_rate = atomic_load(&s->refused_rate),
        .held = atomic_load(&s->held),
        .tls_handshakes = atomic_load(&s->tls_handshakes),
        .tls_failed = atomic_load(&s->tls_failed),
        .tls_reload_failed = atomic_load(&s->tls_reload_failed),
    };
}
