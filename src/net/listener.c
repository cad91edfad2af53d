// SPDX-License-Identifier: Apache-2.0
/* Listeners that come, change and go; see listener.h and server.h. What changes one runs on the
 * network thread (server_call), so that no request ever sees half a change. */
#include "net/listener.h"

#include "net/conn.h"
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_EVENT = 64, MAX_LISTENERS = 64 };

status listener_new(http_listener **ret, http_server *s, const char *address,
                    const http_routes *routes, const http_tls *tls, error *err)
{
    http_listener *l = calloc(1, sizeof(*l));
    if (!l || !(l->address = strdup(address))) {
        free(l);
        return fail(err, STATUS_NO_MEMORY, "no memory for a listener");
    }
    l->server = s;
    l->refs = 1;
    status st = route_set_new(&l->routes, routes, &l->counters, err);
    if (st == STATUS_OK && tls)
        st = tls_context_new(&l->tls, tls, err);
    if (st != STATUS_OK) {
        if (l->routes)
            l->routes->done = NULL; /* the caller has the error instead */
        listener_free(l);
        return st;
    }
    *ret = l;
    return STATUS_OK;
}

void listener_close_sockets(http_listener *l)
{
    for (unsigned i = 0; i < l->socket_count; i++) {
        if (l->sockets[i].fd < 0)
            continue;
        (void)epoll_ctl(l->server->epoll, EPOLL_CTL_DEL, l->sockets[i].fd, NULL);
        close(l->sockets[i].fd);
        l->sockets[i].fd = -1;
    }
}

void listener_free(http_listener *l)
{
    listener_close_sockets(l);
    if (l->routes)
        route_set_unref(l->routes);
    route_counters_free(l->counters);
    tls_context_free(l->tls);
    free(l->address);
    free(l);
}

void listener_ref(http_listener *l)
{
    l->refs++;
}

/* Events at hand may still name its sockets: freed after them. */
void listener_unref(http_listener *l)
{
    if (--l->refs > 0)
        return;
    l->next = l->server->dead_listeners;
    l->server->dead_listeners = l;
}

/* ---- opening ---- */

static status open_sockets(http_listener *l, unsigned *ret_port, error *err)
{
    struct addrinfo *list = NULL;
    unsigned port = 0;
    status st = listen_resolve(l->address, &list, err);
    for (struct addrinfo *a = list; st == STATUS_OK && a; a = a->ai_next) {
        listen_socket *s = &l->sockets[l->socket_count];
        if (l->socket_count == ARRAY_LEN(l->sockets))
            break;
        st = listen_open(&s->fd, a, &port, l->address, err);
        if (st != STATUS_OK && a->ai_family == AF_INET6 && (l->socket_count || a->ai_next)) {
            st = STATUS_OK; /* a machine without IPv6 still has the other address */
            continue;
        }
        if (st != STATUS_OK)
            break;
        s->kind = EVENT_LISTENER;
        s->listener = l;
        l->socket_count++;
    }
    freeaddrinfo(list);
    if (st == STATUS_OK && ret_port)
        *ret_port = port;
    return st;
}

typedef struct {
    http_listener *listener;
    route_set *routes;
    tls_context *tls;
    int failed; /* errno */
} change;

static void add_listener(void *arg)
{
    change *ch = arg;
    http_listener *l = ch->listener;
    http_server *s = l->server;
    for (unsigned i = 0; i < l->socket_count; i++) {
        struct epoll_event e = { .events = EPOLLIN, .data.ptr = &l->sockets[i] };
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, l->sockets[i].fd, &e) != 0) {
            ch->failed = errno;
            listener_close_sockets(l);
            return;
        }
    }
    pthread_mutex_lock(&s->listeners_lock);
    l->next = s->listeners;
    s->listeners = l;
    pthread_mutex_unlock(&s->listeners_lock);
}

static status open_listener(http_listener *l, unsigned *ret_port, error *err)
{
    unsigned count = 0;
    pthread_mutex_lock(&l->server->listeners_lock);
    for (http_listener *i = l->server->listeners; i; i = i->next)
        count++;
    pthread_mutex_unlock(&l->server->listeners_lock);
    if (count >= MAX_LISTENERS)
        return fail(err, STATUS_LIMIT, "at most %d addresses to listen on", MAX_LISTENERS);
    status st = open_sockets(l, ret_port, err);
    if (st != STATUS_OK)
        return st;
    change ch = { .listener = l };
    server_call(l->server, add_listener, &ch);
    if (ch.failed)
        return fail_errno(err, ch.failed, "cannot wait for connections on %s", l->address);
    return STATUS_OK;
}

status http_server_open(http_server *s, http_listener **ret, const char *address,
                        const http_routes *routes, const http_tls *tls, unsigned *ret_port,
                        error *err)
{
    http_listener *l = NULL;
    status st = listener_new(&l, s, address, routes, tls, err);
    if (st != STATUS_OK)
        return st;
    st = open_listener(l, ret_port, err);
    if (st != STATUS_OK) {
        l->routes->done = NULL;
        listener_free(l);
        return st;
    }
    *ret = l;
    return STATUS_OK;
}

status http_server_listen(http_server *s, const char *address, const http_route_table *tables,
                          size_t table_count, unsigned *ret_port, error *err)
{
    http_listener *l;
    http_routes routes = { .tables = tables, .table_count = table_count };
    return http_server_open(s, &l, address, &routes, NULL, ret_port, err);
}

/* ---- changing ---- */

static void swap_routes(void *arg)
{
    change *ch = arg;
    route_set *old = ch->listener->routes;
    ch->listener->routes = ch->routes;
    route_set_retire(old, &ch->listener->server->retired);
}

status http_server_set_routes(http_server *s, http_listener *l, const http_routes *routes,
                              error *err)
{
    change ch = { .listener = l };
    pthread_mutex_lock(&s->listeners_lock);
    status st = route_set_new(&ch.routes, routes, &l->counters, err);
    pthread_mutex_unlock(&s->listeners_lock);
    if (st == STATUS_OK)
        server_call(s, swap_routes, &ch);
    return st;
}

static void swap_tls(void *arg)
{
    change *ch = arg;
    tls_context *old = ch->listener->tls;
    ch->listener->tls = ch->tls;
    ch->tls = old;
}

status http_server_set_tls(http_server *s, http_listener *l, const http_tls *tls, error *err)
{
    change ch = { .listener = l };
    status st = tls ? tls_context_new(&ch.tls, tls, err) : STATUS_OK;
    if (st != STATUS_OK)
        return st;
    server_call(s, swap_tls, &ch);
    tls_context_free(ch.tls);
    return STATUS_OK;
}

status http_tls_check(const http_tls *tls, error *err)
{
    tls_context *t;
    status st = tls_context_new(&t, tls, err);
    if (st == STATUS_OK)
        tls_context_free(t);
    return st;
}

static void remove_listener(void *arg)
{
    change *ch = arg;
    http_listener *l = ch->listener;
    http_server *s = l->server;
    pthread_mutex_lock(&s->listeners_lock);
    http_listener **at = &s->listeners;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    pthread_mutex_unlock(&s->listeners_lock);
    listener_close_sockets(l);
    l->closing = true;
    ch->routes = route_set_ref(s->no_routes);
    swap_routes(ch);
    conn *next;
    for (conn *c = s->conns; c; c = next) {
        next = c->next;
        if (c->listener == l)
            conn_drain(c);
    }
    listener_unref(l);
}

void http_server_unlisten(http_server *s, http_listener *l)
{
    change ch = { .listener = l };
    server_call(s, remove_listener, &ch);
}

bool http_server_settle(http_server *s, unsigned limit_ms)
{
    return retired_sets_wait(&s->retired, limit_ms);
}

/* ---- accepting ---- */

/* Told plainly, because a client that only sees a closed connection tries again at once. */
static void refuse_connection(http_server *s, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Content-Length: 0\r\nConnection: close\r\n\r\n";
    atomic_fetch_add(&s->refused_connections, 1);
    (void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

void listener_accept(listen_socket *socket)
{
    http_server *s = socket->listener->server;
    for (int i = 0; i < ACCEPTS_PER_EVENT && socket->fd >= 0; i++) {
        struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
        socklen_t n = sizeof(from);
        struct sockaddr *name = (struct sockaddr *)&from;
        int fd = accept4(socket->fd, name, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE) && s->spare_fd >= 0) {
            /* Out of descriptors: without this the pending connection would wake us forever. */
            close(s->spare_fd);
            fd = accept4(socket->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0)
                refuse_connection(s, fd);
            s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
            continue;
        }
        if (fd < 0)
            return;
        atomic_fetch_add(&s->accepted, 1);
        if (atomic_load(&s->connections) >= s->options.connections ||
            !conn_new(socket->listener, fd, name))
            refuse_connection(s, fd);
    }
}

/* ---- what it says about itself ---- */

void http_server_counts(http_server *s, http_count_sink *sink, void *user)
{
    pthread_mutex_lock(&s->listeners_lock);
    for (const http_listener *l = s->listeners; l; l = l->next)
        for (route_counter *r = l->counters; r; r = r->next)
            for (size_t j = 0; j < ROUTE_CODES && atomic_load(&r->codes[j].code); j++)
                sink(user, str_c(l->address), str_c(r->path), atomic_load(&r->codes[j].code),
                     atomic_load(&r->codes[j].count));
    pthread_mutex_unlock(&s->listeners_lock);
}
